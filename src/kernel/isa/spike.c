/* Spikes times weights without a multiplication: the positions of the ones in a row of bits become a list, and the
 * rows of a packed panel that the list names are added in registers. */
#include "kernel/isa/isa.h"

int TERN_FOR_ISA(tern_list_bits)(const uint64_t *words, int64_t at, int count, uint8_t *list)
{
    int found = 0;
    for (int base = 0; base < count; base += 64) {
        int part = count - base < 64 ? count - base : 64;
        uint64_t bits = tern_bits_at(words, at + base, part < 32 ? part : 32);
        if (part > 32) bits |= (uint64_t)tern_bits_at(words, at + base + 32, part - 32) << 32;
#if defined(__AVX512VBMI2__)
        static const uint8_t upto_63[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                            32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                            48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
        __m512i position = _mm512_add_epi8(_mm512_loadu_si512(upto_63), _mm512_set1_epi8((char)base));
        _mm512_storeu_si512(list + found, _mm512_maskz_compress_epi8(bits, position));
        found += __builtin_popcountll(bits);
#else
        for (; bits; bits &= bits - 1) list[found++] = (uint8_t)(base + __builtin_ctzll(bits));
#endif
    }
    return found;
}

void TERN_FOR_ISA(tern_add_rows)(int64_t rows, const uint8_t *lists, int64_t list_step,
                                 const uint16_t *counts, int64_t count_step, const float *b, float *c,
                                 int64_t row_stride, bool add)
{
    for (int64_t i = 0; i < rows; i++, lists += list_step, counts += count_step, c += row_stride) {
        vf low = {0}, high = {0};
        for (int j = 0; j < *counts; j++) {
            const float *row = b + (size_t)lists[j] * 2 * TERN_LANES;
            low += tern_load(row);
            high += tern_load(row + TERN_LANES);
        }
        tern_store(c, add ? tern_load(c) + low : low);
        tern_store(c + TERN_LANES, add ? tern_load(c + TERN_LANES) + high : high);
    }
}
