/* Spikes times weights without a multiplication: the positions of the ones in a row of bits become a list, and the
 * rows of a packed panel that the list names are added in registers. */
#include "kernel/isa/isa.h"

#include <string.h>

int TERN_FOR_ISA(tern_list_bits)(const uint64_t *words, int64_t at, int count, int unit, int rest,
                                 uint16_t *list)
{
    int found = 0;
#if defined(__AVX512VBMI2__)
    static const uint16_t upto_31[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                         16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
    __m512i position = _mm512_mullo_epi16(_mm512_loadu_si512(upto_31), _mm512_set1_epi16((short)unit));
    __m512i step = _mm512_set1_epi16((short)(32 * unit));
    for (int base = 0; base < count; base += 32, position = _mm512_add_epi16(position, step)) {
        uint32_t bits = tern_bits_at(words, at + base, count - base < 32 ? count - base : 32);
        _mm512_storeu_si512(list + found, _mm512_maskz_compress_epi16(bits, position));
        found += __builtin_popcount(bits);
    }
#else
    for (int base = 0; base < count; base += 32) {
        uint32_t bits = tern_bits_at(words, at + base, count - base < 32 ? count - base : 32);
        for (; bits; bits &= bits - 1) list[found++] = (uint16_t)((base + __builtin_ctz(bits)) * unit);
    }
#endif
    while (found % 4) list[found++] = (uint16_t)rest;
    return found;
}

/* Four positions come with one load: what limits this loop is the loads of b. */
void TERN_FOR_ISA(tern_add_listed)(int64_t rows, const uint16_t *lists, const uint32_t *starts,
                                   const float *b, const float *from, int64_t from_stride, float *c,
                                   int64_t row_stride)
{
    for (int64_t i = 0; i < rows; i++, c += row_stride) {
        const uint16_t *list = lists + starts[i], *end = lists + starts[i + 1];
        vf low = {0}, high = {0};
        for (; list < end; list += 4) {
            uint64_t four;
            memcpy(&four, list, sizeof four);
            TERN_UNROLL for (int j = 0; j < 4; j++, four >>= 16)
            {
                const float *row = b + (four & 0xffff) * 2;
                low += tern_load(row);
                high += tern_load(row + TERN_LANES);
            }
        }
        if (from) {
            low += tern_load(from);
            high += tern_load(from + TERN_LANES);
            from += from_stride;
        }
        tern_store(c, low);
        tern_store(c + TERN_LANES, high);
    }
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
