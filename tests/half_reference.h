/* Sums of 16 bits in whole numbers: what tests and proofs hold the kernels against. */
#ifndef HALF_REFERENCE_H
#define HALF_REFERENCE_H

#include "tensor/tensor.h"

#include <stdint.h>
#include <stdlib.h>

__extension__ typedef __int128 int128;

/* A format of 16 bits: its fraction, and the exponent of its smallest number. */
typedef struct half_layout {
    int fraction, smallest,
        largest; /* 2^smallest is the smallest number; `largest`: the biased exponent of infinity */
} half_layout;
static const half_layout f16_layout = {10, -24, 31}, bf16_layout = {7, -133, 255};

static inline const half_layout *layout_of(tern_dtype format)
{
    return format == TERN_F16 ? &f16_layout : &bf16_layout;
}

/* A finite number as whole * 2^exponent. */
static inline int64_t take_apart(const half_layout *l, uint16_t bits, int *exponent)
{
    int biased = bits >> l->fraction & l->largest;
    int64_t whole = bits & ((1 << l->fraction) - 1);
    if (biased) whole |= 1 << l->fraction;
    *exponent = l->smallest + (biased ? biased - 1 : 0);
    return bits & 0x8000 ? -whole : whole;
}

/* sum + a b: exact in whole numbers, a term that is too small to be written beside the other as a last bit; then rounded to the
 * nearest, ties to even. */
static inline uint16_t term_of(const half_layout *l, uint16_t sum, uint16_t a, uint16_t b)
{
    int ea, eb, es;
    int128 p = (int128)take_apart(l, a, &ea) * take_apart(l, b, &eb), s = take_apart(l, sum, &es);
    int ep = ea + eb;
    if (p == 0) ep = es;
    if (s == 0) es = ep;
    int128 *high = es > ep ? &s : &p, *low = es > ep ? &p : &s;
    int apart = abs(es - ep), e = es < ep ? es : ep;
    if (apart > 60) { /* low is below 2^22 and so below 2^-38 of the last place of high */
        *high *= (int128)1 << 60;
        e += apart - 60;
        *low = *low > 0 ? 1 : -1;
    } else {
        *high *= (int128)1 << apart;
    }
    int128 total = s + p;
    bool negative = total < 0;
    if (total == 0) return (a ^ b) & sum & 0x8000; /* -0 only of two of them */
    if (negative) total = -total;
    int length = 0;
    while (length < 126 && total >> length) length++;
    int drop =
        length - l->fraction - 1; /* last bits, but of subnormal numbers those below the smallest one */
    if (drop < l->smallest - e) drop = l->smallest - e;
    int128 kept = drop <= 0 ? total << -drop : drop > length ? 0 : total >> drop;
    if (drop > 0 && drop <= length) {
        int128 rest = total - (kept << drop), half = (int128)1 << (drop - 1);
        if (rest > half || (rest == half && kept & 1)) kept++;
    }
    int64_t bits = (int64_t)kept + ((int64_t)(drop + e - l->smallest) << l->fraction);
    int64_t infinity = (int64_t)l->largest << l->fraction;
    if (bits > infinity) bits = infinity;
    return (uint16_t)(bits | (negative ? 0x8000 : 0));
}

static inline float value_of(tern_dtype format, uint16_t bits)
{
    return format == TERN_F16 ? tern_f16_to_f32(bits) : tern_bf16_to_f32(bits);
}

static inline uint16_t bits_of(tern_dtype format, float x)
{
    return format == TERN_F16 ? tern_f32_to_f16(x) : tern_f32_to_bf16(x);
}

#endif
