/* Packed formats with two levels of scales: 256 elements in sub-blocks of 16 or 32, whose scales (and offsets) are small
 * integers times the block's own.  Reading follows ggml's arithmetic to the bit; writing is a least-squares fit (fit.c)
 * in which the integer scales are then chosen by their error, not just rounded. */
#include "tensor/packed.h"

#include <math.h>
#include <string.h>

/* Levels, integer scales and integer offsets of a block, and the two factors. */
typedef struct tern_kblock {
    int8_t q[256];
    int8_t scale[16];
    uint8_t offset[16];
    float d, dmin;
} tern_kblock;

/* ---- fits ---------------------------------------------------------------------------------------------------------- */

/* The error of a sub-block with an integer scale and offset. */
static double error_of(const float *x, int n, const tern_kblock *b, int scale, int offset, int low, int high)
{
    int8_t q[32];
    return tern_fit_levels(x, n, b->d * (float)scale, b->dmin * (float)offset, low, high, q);
}

/* Of the integers around what was fitted, those with the least error. */
static void choose(const float *x, int n, tern_kblock *b, int s, int low, int high, int least, int most,
                   int most_offset)
{
    double best = INFINITY;
    int scale = b->scale[s], offset = b->offset[s];
    for (int i = scale - 1; i <= scale + 1; i++) {
        for (int k = offset - 1; k <= offset + 1; k++) {
            if (i < least || i > most || k < 0 || k > most_offset) continue;
            double error = error_of(x, n, b, i, k, low, high);
            if (error >= best) continue;
            best = error;
            b->scale[s] = (int8_t)i;
            b->offset[s] = (uint8_t)k;
        }
    }
}

/* All levels for the integer scales; the squared error. */
static double level_all(const float *x, int n, tern_kblock *b, int low, int high)
{
    double error = 0;
    for (int s = 0; s < 256 / n; s++)
        error += tern_fit_levels(x + s * n, n, b->d * (float)b->scale[s], b->dmin * (float)b->offset[s], low,
                                 high, b->q + s * n);
    return error;
}

static float half(double value)
{
    return tern_f16_to_f32(tern_f32_to_f16((float)value));
}

/* d (and dmin) once more, now that everything else is known: x ~ d (scale q) - dmin offset. */
static void refit(const float *x, int n, tern_kblock *b, int low, int high)
{
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    tern_kblock better = *b;
    for (int i = 0; i < 256; i++) {
        double u = (double)b->scale[i / n] * b->q[i], v = -(double)b->offset[i / n];
        aa += u * u;
        ab += u * v;
        bb += v * v;
        xa += (double)x[i] * u;
        xb += (double)x[i] * v;
    }
    double determinant = aa * bb - ab * ab;
    if (bb > 0 && determinant > 1e-9 * aa * bb) {
        better.d = half((xa * bb - xb * ab) / determinant);
        better.dmin = half((xb * aa - xa * ab) / determinant);
    } else if (aa > 0) {
        better.d = half(xa / aa);
    }
    if (!isfinite(better.d) || !isfinite(better.dmin) || better.dmin < 0) return;
    if (level_all(x, n, &better, low, high) < level_all(x, n, b, low, high)) *b = better;
}

/* x ~ d scale q - dmin offset with q in 0..high, integers up to `most`, sub-blocks of n. */
static void fit_affine(const float *x, int n, int high, int most, tern_kblock *b)
{
    float scale[16], offset[16], top = 0, bottom = 0;
    uint8_t q[32];
    for (int s = 0; s < 256 / n; s++) {
        scale[s] = tern_fit_affine(x + s * n, n, high, q, &offset[s]);
        top = fmaxf(top, scale[s]);
        bottom = fmaxf(bottom, offset[s]);
    }
    b->d = half((double)(top / (float)most));
    b->dmin = half((double)(bottom / (float)most));
    for (int s = 0; s < 256 / n; s++) {
        float i = b->d > 0 ? rintf(scale[s] / b->d) : 0, k = b->dmin > 0 ? rintf(offset[s] / b->dmin) : 0;
        b->scale[s] = (int8_t)fminf(i, (float)most);
        b->offset[s] = (uint8_t)fminf(k, (float)most);
        choose(x + s * n, n, b, s, 0, high, 0, most, most);
    }
    level_all(x, n, b, 0, high);
    refit(x, n, b, 0, high);
}

/* x ~ d scale q with q in low..-low-1, integer scales in least..-least-1, sub-blocks of 16. */
static void fit_signed(const float *x, int low, int least, tern_kblock *b)
{
    float scale[16], top = 0;
    int8_t q[16];
    for (int s = 0; s < 16; s++) {
        scale[s] = tern_fit_scale(x + s * 16, 16, low, -low - 1, q);
        if (fabsf(scale[s]) > fabsf(top)) top = scale[s];
    }
    b->d = half((double)(top / (float)least));
    b->dmin = 0;
    for (int s = 0; s < 16; s++) {
        float i = b->d != 0 ? rintf(scale[s] / b->d) : 0;
        b->scale[s] = (int8_t)fmaxf(fminf(i, (float)(-least - 1)), (float)least);
        b->offset[s] = 0;
        choose(x + s * 16, 16, b, s, low, -low - 1, least, -least - 1, 0);
    }
    level_all(x, 16, b, low, -low - 1);
    refit(x, 16, b, low, -low - 1);
}

/* ---- where bits stand: levels of several bits, plane by plane ------------------------------------------------------ */

/* Two bits of element i: 128 elements a time, element i of 128 in byte i % 32, bits 2 (i / 32). */
static int pair_at(const uint8_t *bytes, int i)
{
    return bytes[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

static void add_pair(uint8_t *bytes, int i, int value)
{
    bytes[i / 128 * 32 + i % 32] |= (uint8_t)(value << i % 128 / 32 * 2);
}

/* Four bits of element i: `step` elements in the low halves of as many bytes, the next `step` in the high halves. */
static int nibble_at(const uint8_t *bytes, int i, int step)
{
    return bytes[i / (2 * step) * step + i % step] >> i / step % 2 * 4 & 15;
}

static void add_nibble(uint8_t *bytes, int i, int step, int value)
{
    bytes[i / (2 * step) * step + i % step] |= (uint8_t)(value << i / step % 2 * 4);
}

/* One bit of element i: bit i / 32 of byte i % 32. */
static int bit_at(const uint8_t *bytes, int i)
{
    return bytes[i % 32] >> i / 32 & 1;
}

static void add_bit(uint8_t *bytes, int i, int value)
{
    bytes[i % 32] |= (uint8_t)(value << i / 32);
}

/* ---- q2_K: [scale | offset << 4, u8 x 16][two bits][d][dmin] ------------------------------------------------------- */

void tern_q2_K_unpack(const void *block, float *out)
{
    const uint8_t *b = block;
    float d = tern_load_f16(b + 80), dmin = tern_load_f16(b + 82);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(b[i / 16] & 15), offset = dmin * (float)(b[i / 16] >> 4);
        out[i] = scale * (float)pair_at(b + 16, i) - offset;
    }
}

static void q2_K_pack(void *block, const float *in)
{
    tern_kblock k = {0};
    uint8_t *b = memset(block, 0, 84);
    fit_affine(in, 16, 3, 15, &k);
    for (int s = 0; s < 16; s++) b[s] = (uint8_t)(k.scale[s] | k.offset[s] << 4);
    for (int i = 0; i < 256; i++) add_pair(b + 16, i, k.q[i]);
    tern_store_f16(b + 80, k.d);
    tern_store_f16(b + 82, k.dmin);
}
TERN_PACKED(q2_K, 256, 84)

/* ---- q3_K: [third bits][two bits][scales, 6 bits, 12 bytes][d]; levels -4..3, scales -32..31 ------------------------ */

static int scale_q3_K(const uint8_t *scales, int s)
{
    int low = scales[s % 8] >> s / 8 * 4 & 15, high = scales[8 + s % 4] >> s / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

void tern_q3_K_unpack(const void *block, float *out)
{
    const uint8_t *b = block;
    float d = tern_load_f16(b + 108);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)scale_q3_K(b + 96, i / 16);
        out[i] = scale * (float)(pair_at(b + 32, i) + 4 * bit_at(b, i) - 4);
    }
}

static void q3_K_pack(void *block, const float *in)
{
    tern_kblock k = {0};
    uint8_t *b = memset(block, 0, 110);
    fit_signed(in, -4, -32, &k);
    for (int s = 0; s < 16; s++) {
        int scale = k.scale[s] + 32;
        b[96 + s % 8] |= (uint8_t)((scale & 15) << s / 8 * 4);
        b[104 + s % 4] |= (uint8_t)(scale >> 4 << s / 4 * 2);
    }
    for (int i = 0; i < 256; i++) {
        add_pair(b + 32, i, (k.q[i] + 4) & 3);
        add_bit(b, i, (k.q[i] + 4) >> 2);
    }
    tern_store_f16(b + 108, k.d);
}
TERN_PACKED(q3_K, 256, 110)

/* ---- q4_K: [d][dmin][scales and offsets, 6 bits, 12 bytes][nibbles]; q5_K: fifth bits before the nibbles ------------ */

/* Bytes 0-3: scales 0-3 and, on top, the upper bits of scales 4-7; bytes 4-7: the same of offsets; bytes 8-11: the lower
 * four bits of scales 4-7 and, above, of offsets 4-7. */
static void scales_q4_K(const uint8_t *p, uint8_t *scale, uint8_t *offset)
{
    for (int s = 0; s < 4; s++) {
        scale[s] = p[s] & 63;
        offset[s] = p[4 + s] & 63;
        scale[4 + s] = (uint8_t)((p[8 + s] & 15) | p[s] >> 6 << 4);
        offset[4 + s] = (uint8_t)(p[8 + s] >> 4 | p[4 + s] >> 6 << 4);
    }
}

static void put_scales_q4_K(uint8_t *p, const tern_kblock *k)
{
    for (int s = 0; s < 4; s++) {
        p[s] = (uint8_t)(k->scale[s] | k->scale[4 + s] >> 4 << 6);
        p[4 + s] = (uint8_t)(k->offset[s] | k->offset[4 + s] >> 4 << 6);
        p[8 + s] = (uint8_t)((k->scale[4 + s] & 15) | (k->offset[4 + s] & 15) << 4);
    }
}

static void unpack_q45(const uint8_t *b, const uint8_t *fifth, const uint8_t *nibbles, float *out)
{
    float d = tern_load_f16(b), dmin = tern_load_f16(b + 2);
    uint8_t scale[8], offset[8];
    scales_q4_K(b + 4, scale, offset);
    for (int i = 0; i < 256; i++) {
        float ds = d * (float)scale[i / 32], dm = dmin * (float)offset[i / 32];
        int q = nibble_at(nibbles, i, 32) + (fifth ? 16 * bit_at(fifth, i) : 0);
        out[i] = ds * (float)q - dm;
    }
}

static void pack_q45(uint8_t *b, uint8_t *fifth, uint8_t *nibbles, const float *in)
{
    tern_kblock k = {0};
    fit_affine(in, 32, fifth ? 31 : 15, 63, &k);
    tern_store_f16(b, k.d);
    tern_store_f16(b + 2, k.dmin);
    put_scales_q4_K(b + 4, &k);
    for (int i = 0; i < 256; i++) {
        add_nibble(nibbles, i, 32, k.q[i] & 15);
        if (fifth) add_bit(fifth, i, k.q[i] >> 4);
    }
}

void tern_q4_K_unpack(const void *block, float *out)
{
    unpack_q45(block, NULL, (const uint8_t *)block + 16, out);
}

static void q4_K_pack(void *block, const float *in)
{
    uint8_t *b = memset(block, 0, 144);
    pack_q45(b, NULL, b + 16, in);
}
TERN_PACKED(q4_K, 256, 144)

void tern_q5_K_unpack(const void *block, float *out)
{
    unpack_q45(block, (const uint8_t *)block + 16, (const uint8_t *)block + 48, out);
}

static void q5_K_pack(void *block, const float *in)
{
    uint8_t *b = memset(block, 0, 176);
    pack_q45(b, b + 16, b + 48, in);
}
TERN_PACKED(q5_K, 256, 176)

/* ---- q6_K: [nibbles, in steps of 64][upper two bits][scales i8 x 16][d]; levels -32..31 ------------------------------ */

void tern_q6_K_unpack(const void *block, float *out)
{
    const uint8_t *b = block;
    float d = tern_load_f16(b + 208);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(int8_t)b[192 + i / 16];
        out[i] = scale * (float)((nibble_at(b, i, 64) | pair_at(b + 128, i) << 4) - 32);
    }
}

static void q6_K_pack(void *block, const float *in)
{
    tern_kblock k = {0};
    uint8_t *b = memset(block, 0, 210);
    fit_signed(in, -32, -128, &k);
    for (int i = 0; i < 256; i++) {
        add_nibble(b, i, 64, (k.q[i] + 32) & 15);
        add_pair(b + 128, i, (k.q[i] + 32) >> 4);
    }
    for (int s = 0; s < 16; s++) b[192 + s] = (uint8_t)k.scale[s];
    tern_store_f16(b + 208, k.d);
}
TERN_PACKED(q6_K, 256, 210)
