/* Packed formats with one level of scales: blocks of 32 (q4_0 to q8_0), ternary, nf4. */
#include "tensor/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- whole blocks and parts of them ------------------------------------------------------------------------------ */

void tern_packed_decode(const tern_packing *packing, const void *storage, int64_t first, int64_t count,
                        double *out)
{
    float block[TERN_PACKED_MOST];
    int n = packing->elements;
    const uint8_t *at = (const uint8_t *)storage + first / n * packing->bytes;
    for (int64_t i = 0, skip = first % n; i < count; skip = 0, at += packing->bytes) {
        packing->unpack(at, block);
        for (int64_t k = skip; k < n && i < count; k++) out[i++] = (double)block[k];
    }
}

/* What a scale in half precision can carry: NaN becomes 0, and beyond the largest half is the largest half. */
static float clean(double value)
{
    return isnan(value) ? 0 : value > 65504 ? 65504 : value < -65504 ? -65504 : (float)value;
}

/* A block that is written in part keeps its other elements, as nearly as its new scales can say them. */
void tern_packed_encode(const tern_packing *packing, void *storage, int64_t first, int64_t count,
                        const double *in)
{
    float block[TERN_PACKED_MOST];
    int n = packing->elements;
    uint8_t *at = (uint8_t *)storage + first / n * packing->bytes;
    for (int64_t i = 0, skip = first % n; i < count; skip = 0, at += packing->bytes) {
        int64_t part = n - skip < count - i ? n - skip : count - i;
        if (part < n) packing->unpack(at, block);
        for (int64_t k = 0; part < n && k < n; k++) block[k] = clean((double)block[k]);
        for (int64_t k = 0; k < part; k++) block[skip + k] = clean(in[i++]);
        packing->pack(at, block);
    }
}

/* ---- blocks of 32: [scale f16][offset f16 (q._1)][fifth bits, u32 (q5_.)][nibbles: element i low, i + 16 high] ----- */

/* The element of largest magnitude, with its sign. */
static float extreme(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    return most;
}

static float inverse(float value)
{
    return value != 0 ? 1 / value : 0;
}

/* Levels to nibbles, and the fifth bits (NULL: there are none). */
static void put_levels(uint8_t *nibbles, uint8_t *fifth, const uint8_t *q)
{
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++) nibbles[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
    for (int i = 0; i < 32; i++) bits |= (uint32_t)(q[i] >> 4) << i;
    for (int i = 0; fifth && i < 4; i++) fifth[i] = (uint8_t)(bits >> 8 * i);
}

static void get_levels(const uint8_t *nibbles, const uint8_t *fifth, uint8_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = nibbles[i] & 15;
        q[i + 16] = nibbles[i] >> 4;
    }
    for (int i = 0; fifth && i < 32; i++) q[i] |= (uint8_t)((fifth[i / 8] >> i % 8 & 1) << 4);
}

/* scale * (q - middle): the extreme element becomes level 0, so that its sign costs nothing. */
static void pack_signed(uint8_t *scale, uint8_t *nibbles, uint8_t *fifth, const float *x)
{
    int middle = fifth ? 16 : 8;
    float d = extreme(x, 32) / (float)-middle, id = inverse(d);
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        int level = (int)(x[i] * id + ((float)middle + 0.5F));
        q[i] = (uint8_t)(level < 2 * middle ? level : 2 * middle - 1);
    }
    tern_store_f16(scale, d);
    put_levels(nibbles, fifth, q);
}

static void unpack_signed(const uint8_t *scale, const uint8_t *nibbles, const uint8_t *fifth, float *out)
{
    float d = tern_load_f16(scale);
    uint8_t q[32];
    get_levels(nibbles, fifth, q);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(q[i] - (fifth ? 16 : 8));
}

/* scale * q + lowest */
static void pack_ranged(uint8_t *scale, uint8_t *nibbles, uint8_t *fifth, const float *x)
{
    int high = fifth ? 31 : 15;
    float low = x[0], most = x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > most) most = x[i];
    }
    float d = (most - low) / (float)high, id = inverse(d);
    uint8_t q[32];
    for (int i = 0; i < 32; i++) {
        int level = (int)((x[i] - low) * id + 0.5F);
        q[i] = (uint8_t)(level < high ? level : high);
    }
    tern_store_f16(scale, d);
    tern_store_f16(scale + 2, low);
    put_levels(nibbles, fifth, q);
}

static void unpack_ranged(const uint8_t *scale, const uint8_t *nibbles, const uint8_t *fifth, float *out)
{
    float d = tern_load_f16(scale), low = tern_load_f16(scale + 2);
    uint8_t q[32];
    get_levels(nibbles, fifth, q);
    for (int i = 0; i < 32; i++) out[i] = d * (float)q[i] + low;
}

#define SMALL(name, kind, bytes, nibbles, fifth)                                                             \
    void tern_##name##_unpack(const void *block, float *out)                                                 \
    {                                                                                                        \
        const uint8_t *b = block;                                                                            \
        unpack_##kind(b, b + (nibbles), fifth, out);                                                         \
    }                                                                                                        \
    static void name##_pack(void *block, const float *in)                                                    \
    {                                                                                                        \
        uint8_t *b = block;                                                                                  \
        pack_##kind(b, b + (nibbles), fifth, in);                                                            \
    }                                                                                                        \
    TERN_PACKED(name, 32, bytes)

SMALL(q4_0, signed, 18, 2, NULL)
SMALL(q4_1, ranged, 20, 4, NULL)
SMALL(q5_0, signed, 22, 6, b + 2)
SMALL(q5_1, ranged, 24, 8, b + 4)

/* [scale f16][q i8 x 32] */
void tern_q8_0_unpack(const void *block, float *out)
{
    const uint8_t *b = block;
    float d = tern_load_f16(b);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)b[2 + i];
}

static void q8_0_pack(void *block, const float *in)
{
    uint8_t *b = block;
    float d = fabsf(extreme(in, 32)) / 127, id = inverse(d);
    tern_store_f16(b, d);
    for (int i = 0; i < 32; i++) b[2 + i] = (uint8_t)(int8_t)roundf(in[i] * id);
}
TERN_PACKED(q8_0, 32, 34)

/* ---- ternary: 256 elements of -1, 0, 1 times a scale: [two bits each, 128 elements a time: element i of 128 is in
 * byte i % 32, bits 2 (i / 32)][scale f16].  GGUF calls it tq2_0. --------------------------------------------------- */

void tern_ternary_unpack(const void *block, float *out)
{
    const uint8_t *b = block;
    float d = tern_load_f16(b + 64);
    for (int i = 0; i < 256; i++)
        out[i] = d * (float)((b[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3) - 1);
}

static int by_magnitude(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* With the k largest magnitudes as +-1 and the rest 0, the best scale is the mean of those k and takes (their sum)^2 / k
 * off the squared error: the best k is found by trying all.  What is ternary already stays as it is. */
static void ternary_pack(void *block, const float *in)
{
    uint8_t *b = block;
    float sorted[256], least = 0;
    double sum = 0, best = 0, scale = 0;
    for (int i = 0; i < 256; i++) sorted[i] = fabsf(in[i]);
    qsort(sorted, 256, sizeof *sorted, by_magnitude);
    for (int k = 1; k <= 256 && sorted[k - 1] > 0; k++) {
        sum += (double)sorted[k - 1];
        if (sum * sum / k <= best) continue;
        best = sum * sum / k;
        scale = sum / k;
        least = sorted[k - 1];
    }
    memset(b, 0, 64);
    tern_store_f16(b + 64, (float)scale);
    for (int i = 0; i < 256; i++) {
        int level = best > 0 && fabsf(in[i]) >= least ? (in[i] > 0) - (in[i] < 0) : 0;
        b[i / 128 * 32 + i % 32] |= (uint8_t)((level + 1) << i % 128 / 32 * 2);
    }
}
TERN_PACKED(ternary, 256, 66)
