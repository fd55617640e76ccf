/* Loops over planes and runs of floats: norms, pooling, updates. */
#include "kernel/isa/isa.h"
#include "kernel/isa/update.h"
#include "kernel/loops.h"

#include <math.h>
#include <string.h>

TERN_INLINE float lane_sum(vf v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float sum = 0;
    for (int l = 0; l < TERN_LANES; l++) sum += v[l];
    return sum;
#endif
}

#define CHUNK  4096 /* floats that are summed in float before the sum goes on in double */
#define CHAINS 4    /* vectors that are summed side by side, so that no sum waits for the one before it */

TERN_INLINE float chain_sum(const vf v[CHAINS])
{
    return lane_sum((v[0] + v[1]) + (v[2] + v[3]));
}

static void plane_sums(const float *x, int64_t n, float shift, double *sum, double *squares)
{
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t to = from + CHUNK < n ? from + CHUNK : n, i = from;
        vf s[CHAINS] = {0}, q[CHAINS] = {0};
        for (; i + CHAINS * TERN_LANES <= to; i += CHAINS * TERN_LANES) {
            for (int c = 0; c < CHAINS; c++) {
                vf d = tern_load(x + i + c * TERN_LANES) - shift;
                s[c] += d;
                q[c] += d * d;
            }
        }
        for (; i + TERN_LANES <= to; i += TERN_LANES) {
            vf d = tern_load(x + i) - shift;
            s[0] += d;
            q[0] += d * d;
        }
        float rest = 0, rest_squares = 0;
        for (; i < to; i++) {
            float d = x[i] - shift;
            rest += d;
            rest_squares += d * d;
        }
        *sum += chain_sum(s) + rest;
        *squares += chain_sum(q) + rest_squares;
    }
}

static void plane_products(const float *x, const float *dy, int64_t n, float mean, double *sum,
                           double *product)
{
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t to = from + CHUNK < n ? from + CHUNK : n, i = from;
        vf s[CHAINS] = {0}, p[CHAINS] = {0};
        for (; i + CHAINS * TERN_LANES <= to; i += CHAINS * TERN_LANES) {
            for (int c = 0; c < CHAINS; c++) {
                vf d = tern_load(dy + i + c * TERN_LANES);
                s[c] += d;
                p[c] += d * (tern_load(x + i + c * TERN_LANES) - mean);
            }
        }
        for (; i + TERN_LANES <= to; i += TERN_LANES) {
            vf d = tern_load(dy + i);
            s[0] += d;
            p[0] += d * (tern_load(x + i) - mean);
        }
        float rest = 0, rest_product = 0;
        for (; i < to; i++) {
            rest += dy[i];
            rest_product += dy[i] * (x[i] - mean);
        }
        *sum += chain_sum(s) + rest;
        *product += chain_sum(p) + rest_product;
    }
}

static void plane_affine(const float *x, int64_t n, float scale, float shift, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = scale * x[i] + shift;
}

/* Adding and taking away 1.5 2^23 rounds a float of at most 2^22. */
static void plane_levels(const float *x, int64_t n, float q, float most, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / q;
        v = v > -most ? v : -most;
        v = v < most ? v : most;
        y[i] = ((v + 12582912.0f) - 12582912.0f) * q;
    }
}

/* One where the mask has ones, else the other. */
TERN_INLINE vf pick(vi mask, vf one, vf other)
{
    return (vf)(((vi)one & mask) | ((vi)other & ~mask));
}

static double plane_level_products(const float *x, const float *dy, int64_t n, float q, float most)
{
    vf high = most - (vf){0}, low = -high;
    double sum = 0;
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t to = from + CHUNK < n ? from + CHUNK : n, i = from;
        vf part = {0};
        float rest = 0, level;
        for (; i + TERN_LANES <= to; i += TERN_LANES) {
            vf v = tern_load(x + i) / q;
            v = pick(v > low, v, low);
            v = pick(v < high, v, high);
            part += tern_load(dy + i) * ((v + 12582912.0f) - 12582912.0f);
        }
        for (; i < to; i++) {
            plane_levels(x + i, 1, q, most, &level);
            rest += dy[i] * (level / q);
        }
        sum += lane_sum(part) + rest;
    }
    return sum;
}

static double plane_distance(const float *x, const float *y, int64_t n)
{
    const vi magnitude = 0x7fffffff - (vi){0};
    double sum = 0;
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t to = from + CHUNK < n ? from + CHUNK : n, i = from;
        vf part = {0};
        float rest = 0;
        for (; i + TERN_LANES <= to; i += TERN_LANES) {
            vf d = y ? tern_load(x + i) - tern_load(y + i) : tern_load(x + i);
            part += (vf)((vi)d & magnitude);
        }
        for (; i < to; i++) rest += fabsf(x[i] - (y ? y[i] : 0));
        sum += lane_sum(part) + rest;
    }
    return sum;
}

static void plane_signs(const float *x, const float *y, int64_t n, float each, bool add, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        float d = x[i] - (y ? y[i] : 0), sign = (float)((d > 0) - (d < 0));
        out[i] = add ? out[i] + each * sign : each * sign;
    }
}

static void plane_mix(const float *x, const float *dy, int64_t n, float a, float b, float c, float *dx)
{
    for (int64_t i = 0; i < n; i++) dx[i] = a * dy[i] + b * x[i] + c;
}

/* Columns of a matrix [rows, stride], `count` of them: the same sums for channels that stand side by side. */
static void column_sums(const float *x, int64_t rows, int64_t stride, int64_t count, const float *shift,
                        double *sum, double *squares)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < count; c++) {
            double d = (double)x[r * stride + c] - shift[c];
            sum[c] += d;
            squares[c] += d * d;
        }
}

static void column_products(const float *x, const float *dy, int64_t rows, int64_t stride, int64_t count,
                            const float *mean, double *sum, double *product)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < count; c++) {
            double d = dy[r * stride + c];
            sum[c] += d;
            product[c] += d * ((double)x[r * stride + c] - mean[c]);
        }
}

static void column_affine(const float *x, int64_t rows, int64_t stride, int64_t count, const float *scale,
                          const float *shift, float *y)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < count; c++) y[r * stride + c] = scale[c] * x[r * stride + c] + shift[c];
}

static void column_mix(const float *x, const float *dy, int64_t rows, int64_t stride, int64_t count,
                       const float *a, const float *b, const float *shift, float *dx)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < count; c++)
            dx[r * stride + c] = a[c] * dy[r * stride + c] + b[c] * x[r * stride + c] + shift[c];
}

/* out[i] = dy[i/2] where bit i is one, i < width; no bit stands behind the last whole pair. */
TERN_INLINE void keep_pairs(const float *dy, uint64_t bits, int64_t width, float *out)
{
#if defined(__AVX512F__)
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (int64_t i = 0; i < width; i += TERN_LANES, bits >>= TERN_LANES) {
        int64_t left = width - i < TERN_LANES ? width - i : TERN_LANES;
        __m256 some = _mm256_maskz_loadu_ps((__mmask8)((1u << left / 2) - 1), dy + i / 2);
        __m512 pairs = _mm512_permutexvar_ps(twice, _mm512_castps256_ps512(some));
        _mm512_mask_storeu_ps(out + i, (__mmask16)((1u << left) - 1),
                              _mm512_maskz_mov_ps((__mmask16)bits, pairs));
    }
#else
    for (int64_t i = 0; i < width; i++) out[i] = bits >> i & 1 ? dy[i / 2] : 0;
#endif
}

static uint64_t row_bits(const uint64_t *words, int64_t at, int64_t count)
{
    uint64_t low = tern_bits_at(words, at, (int)(count < 32 ? count : 32));
    return count > 32 ? low | (uint64_t)tern_bits_at(words, at + 32, (int)(count - 32)) << 32 : low;
}

/* Gradient of the 2x2 maximum of spikes, two rows of `width` <= 64 at once: dy [width/2] goes to the first spike of each
 * window, or to its first element when there is none.  An odd last column is in no window. */
static void spike_pool_grad(const uint64_t *x, int64_t at, int64_t width, const float *dy, float *dx)
{
    const uint64_t even = 0x5555555555555555u >> (64 - width / 2 * 2);
    uint64_t top = row_bits(x, at, width), bottom = row_bits(x, at + width, width);
    uint64_t a = top & even, b = top >> 1 & even, c = bottom & even, d = bottom >> 1 & even;
    uint64_t first = (a | ~(b | c | d)) & even, second = b & ~a, third = c & ~(a | b),
             fourth = d & ~(a | b | c);
    keep_pairs(dy, first | second << 1, width, dx);
    keep_pairs(dy, third | fourth << 1, width, dx + width);
}

/* y[i] (+)= x[i] */
static void accumulate(int64_t n, const float *x, bool add, float *y)
{
    if (add)
        for (int64_t i = 0; i < n; i++) y[i] += x[i];
    else
        memcpy(y, x, (size_t)n * sizeof *y);
}

void TERN_FOR_ISA(tern_neuron_step)(const tern_neuron *n, int64_t count, const float *x, float *v, float *u,
                                    uint64_t *spikes);
void TERN_FOR_ISA(tern_neuron_back)(const tern_neuron *n, const tern_neuron_row *r);

extern const tern_loops TERN_FOR_ISA(tern_loops);
const tern_loops TERN_FOR_ISA(tern_loops) = {
    .neuron_step = TERN_FOR_ISA(tern_neuron_step),
    .neuron_back = TERN_FOR_ISA(tern_neuron_back),
    .plane_sums = plane_sums,
    .plane_products = plane_products,
    .plane_affine = plane_affine,
    .plane_levels = plane_levels,
    .plane_level_products = plane_level_products,
    .plane_distance = plane_distance,
    .plane_signs = plane_signs,
    .plane_mix = plane_mix,
    .column_sums = column_sums,
    .column_products = column_products,
    .column_affine = column_affine,
    .column_mix = column_mix,
    .spike_pool_grad = spike_pool_grad,
    .adam = TERN_FOR_ISA(tern_adam),
    .sgd = TERN_FOR_ISA(tern_sgd),
    .accumulate = accumulate,
};
