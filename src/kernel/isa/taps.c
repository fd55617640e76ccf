/* Convolution of spikes: where the ones of a plane stand becomes a list, and all taps of a channel that a spike reaches
 * are added at once, their rows of weights (forward) or their sums (gradient) in registers. */
#include "kernel/isa/isa.h"

int64_t TERN_FOR_ISA(tern_list_positions)(const uint64_t *words, int64_t at, int64_t count,
                                          const uint64_t *mask, int64_t mask_at, const uint16_t *positions,
                                          uint16_t shift, uint16_t *list)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i += 32) {
        int part = count - i < 32 ? (int)(count - i) : 32;
        uint32_t bits = tern_bits_at(words, at + i, part);
        if (mask) bits &= tern_bits_at(mask, mask_at + i, part);
#if defined(__AVX512VBMI2__)
        __m512i from = _mm512_maskz_loadu_epi16(bits, positions + i);
        from = _mm512_add_epi16(from, _mm512_set1_epi16((int16_t)shift));
        _mm512_storeu_si512(list + found, _mm512_maskz_compress_epi16(bits, from));
        found += __builtin_popcount(bits);
#else
        for (; bits; bits &= bits - 1) list[found++] = (uint16_t)(positions[i + __builtin_ctz(bits)] + shift);
#endif
    }
    return found;
}

TERN_INLINE void spread(const int taps, int64_t count, const uint16_t *list, const int64_t *offsets,
                        const float *w, float *y)
{
    vf low[TERN_TAPS], high[TERN_TAPS];
    int64_t offset[TERN_TAPS];
    TERN_UNROLL for (int t = 0; t < taps; t++)
    {
        low[t] = tern_load(w + 2 * TERN_LANES * t);
        high[t] = tern_load(w + 2 * TERN_LANES * t + TERN_LANES);
        offset[t] = offsets[t];
    }
    for (const uint16_t *end = list + count; list < end; list++) {
        float *to = y + 2 * TERN_LANES * (int64_t)*list;
        TERN_UNROLL for (int t = 0; t < taps; t++)
        {
            float *row = to + offset[t];
            tern_store(row, tern_load(row) + low[t]);
            tern_store(row + TERN_LANES, tern_load(row + TERN_LANES) + high[t]);
        }
    }
}

TERN_INLINE void gather(const int taps, int64_t count, const uint16_t *list, const int64_t *offsets,
                        const float *dy, float *sums, bool add)
{
    vf low[TERN_TAPS], high[TERN_TAPS];
    int64_t offset[TERN_TAPS];
    TERN_UNROLL for (int t = 0; t < taps; t++)
    {
        low[t] = high[t] = (vf){0};
        offset[t] = offsets[t];
    }
    for (const uint16_t *end = list + count; list < end; list++) {
        const float *from = dy + 2 * TERN_LANES * (int64_t)*list;
        TERN_UNROLL for (int t = 0; t < taps; t++)
        {
            const float *row = from + offset[t];
            low[t] += tern_load(row);
            high[t] += tern_load(row + TERN_LANES);
        }
    }
    TERN_UNROLL for (int t = 0; t < taps; t++)
    {
        float *row = sums + 2 * TERN_LANES * t;
        tern_store(row, add ? tern_load(row) + low[t] : low[t]);
        tern_store(row + TERN_LANES, add ? tern_load(row + TERN_LANES) + high[t] : high[t]);
    }
}

#define TAPS(taps)                                                                                           \
    static void spread_##taps(int64_t count, const uint16_t *list, const int64_t *offsets, const float *w,   \
                              float *y)                                                                      \
    {                                                                                                        \
        spread(taps, count, list, offsets, w, y);                                                            \
    }                                                                                                        \
    static void gather_##taps(int64_t count, const uint16_t *list, const int64_t *offsets, const float *dy,  \
                              float *sums, bool add)                                                         \
    {                                                                                                        \
        gather(taps, count, list, offsets, dy, sums, add);                                                   \
    }

TERN_EACH_TAPS(TAPS)

#define SPREAD_NAME(taps) spread_##taps,
#define GATHER_NAME(taps) gather_##taps,
tern_spread *const TERN_FOR_ISA(tern_spreads)[] = {TERN_EACH_TAPS(SPREAD_NAME)};
tern_gather_rows *const TERN_FOR_ISA(tern_gathers)[] = {TERN_EACH_TAPS(GATHER_NAME)};
