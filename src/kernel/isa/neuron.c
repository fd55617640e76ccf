/* Integrate-and-fire neurons through time: a block of neurons keeps its membranes in cache while T steps stream by. */
#include "kernel/isa/isa.h"
#include "kernel/loops.h"

#include <math.h>

/* Lanes in which a >= b (or a > b), as bits. */
TERN_INLINE uint32_t at_least(vf a, vf b, bool strict)
{
#if defined(__AVX512F__)
    return strict ? _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ)
                  : _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GE_OQ);
#elif defined(__AVX2__)
    __m256 m = strict ? _mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ)
                      : _mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GE_OQ);
    return (uint32_t)_mm256_movemask_ps(m);
#else
    vi m = strict ? a > b : a >= b;
    uint32_t bits = 0;
    for (int l = 0; l < TERN_LANES; l++) bits |= (uint32_t)(m[l] & 1) << l;
    return bits;
#endif
}

TERN_INLINE vf select(vi mask, vf yes, vf no)
{
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

TERN_INLINE vf splat(float x)
{
    return (vf){0} + x;
}

TERN_INLINE vf magnitude(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

/* e^x for x <= 0 to about 1e-7 relative: 2^n times a polynomial on [-ln2/2, ln2/2] (Cephes' coefficients). */
TERN_INLINE vf exp_negative(vf x)
{
    x = select(x < splat(-87.0f), splat(-87.0f), x);
    vf n = x * 1.44269504f - 0.5f;
    vi whole = __builtin_convertvector(n, vi); /* towards zero: rounds x/ln2 to nearest, x <= 0 */
    vf k = __builtin_convertvector(whole, vf);
    vf r = x - k * 0.693359375f + k * 2.12194440e-4f;
    vf p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * (vf)((whole + 127) << 23);
}

TERN_INLINE vf slope(int surrogate, float a, vf z)
{
    vf s;
    switch (surrogate) {
    case TERN_ARCTAN:
        s = z * (1.57079633f * a);
        return 0.5f * a / (1.0f + s * s);
    case TERN_SIGMOID:
        s = exp_negative(-magnitude(z * a));
        return a * s / ((1.0f + s) * (1.0f + s));
    case TERN_RECTANGLE:
        return select(magnitude(z) <= splat(0.5f * a), splat(1 / a), splat(0));
    case TERN_TRIANGLE:
        s = a - a * a * magnitude(z);
        return select(s > splat(0), s, splat(0));
    case TERN_FAST_SIGMOID:
        s = 1.0f + a * magnitude(z);
        return 1.0f / (s * s);
    default:
        s = a - a * magnitude(z);
        return select(s > splat(0), s, splat(0));
    }
}

/* Lanes l < count of memory; 0 elsewhere. */
TERN_INLINE vf load_some(const float *p, int64_t count)
{
    if (count >= TERN_LANES) return tern_load(p);
    vf v = {0};
    for (int l = 0; l < count; l++) v[l] = p[l];
    return v;
}

TERN_INLINE void store_some(float *p, vf v, int64_t count)
{
    if (count >= TERN_LANES)
        tern_store(p, v);
    else
        for (int l = 0; l < count; l++) p[l] = v[l];
}

/* Other blocks and other steps may own the rest of a word: OR is the same in any order. */
static void put_spikes(uint64_t *words, int64_t at, uint64_t bits, int count)
{
    uint64_t *word = words + (at >> 6);
    int shift = (int)(at & 63);
    __atomic_fetch_or(word, bits << shift, __ATOMIC_RELAXED);
    if (shift + count > 64) __atomic_fetch_or(word + 1, bits >> (64 - shift), __ATOMIC_RELAXED);
}

TERN_INLINE void forward(const tern_neuron_block *b, int reset, bool strict, bool normalised)
{
    const tern_neuron *n = b->n;
    vf v[TERN_NEURON_BLOCK / TERN_LANES];
    vf decay = splat(n->decay), gain = splat(n->gain), theta = splat(n->threshold), rest = splat(n->rest);
    int groups = (int)((b->count + TERN_LANES - 1) / TERN_LANES);
    bool whole = n->neurons % 64 == 0; /* then each block owns its words */
    for (int g = 0; g < groups; g++)
        v[g] = b->v0 ? load_some(b->v0 + b->first + g * TERN_LANES, b->count - g * TERN_LANES) : rest;
    for (int64_t t = 0; t < n->steps; t++) {
        int64_t at = t * n->neurons + b->first;
        const float *x = b->x + (n->is_static ? b->first : at);
        uint64_t word = 0;
        int filled = 0;
        for (int g = 0; g < groups; g++) {
            int64_t left = b->count - g * TERN_LANES;
            vf u = rest + decay * (v[g] - rest) + gain * load_some(x + g * TERN_LANES, left);
            if (b->u) store_some(b->u + at + g * TERN_LANES, u, left);
            vf z = normalised ? u / theta : u, limit = normalised ? splat(1) : theta;
            uint32_t bits = at_least(z, limit, strict);
            vi mask = strict ? z > limit : z >= limit;
            if (reset == TERN_RESET_SOFT)
                v[g] = select(mask, u - theta, u);
            else if (reset == TERN_RESET_HARD)
                v[g] = select(mask, rest, u);
            else
                v[g] = u;
            if (left < TERN_LANES) bits &= (1u << left) - 1;
            word |= (uint64_t)bits << filled;
            filled += TERN_LANES;
            if (filled == 64 || g == groups - 1) {
                int64_t to = at + (g + 1) * TERN_LANES - filled;
                if (whole)
                    b->spikes[to >> 6] = word;
                else
                    put_spikes(b->spikes, to, word, filled);
                word = 0;
                filled = 0;
            }
        }
    }
    for (int g = 0; b->v && g < groups; g++)
        store_some(b->v + b->first + g * TERN_LANES, v[g], b->count - g * TERN_LANES);
}

void TERN_FOR_ISA(tern_neuron_forward)(const tern_neuron_block *b);
void TERN_FOR_ISA(tern_neuron_backward)(const tern_neuron_block *b);

void TERN_FOR_ISA(tern_neuron_forward)(const tern_neuron_block *b)
{
    bool strict = b->n->strict, normalised = b->n->normalised;
    if (normalised)
        forward(b, b->n->reset, strict, true);
    else if (b->n->reset == TERN_RESET_SOFT)
        forward(b, TERN_RESET_SOFT, strict, false);
    else if (b->n->reset == TERN_RESET_HARD)
        forward(b, TERN_RESET_HARD, strict, false);
    else
        forward(b, TERN_RESET_NONE, strict, false);
}

TERN_INLINE double lane_sum(vf v)
{
    double sum = 0;
    for (int l = 0; l < TERN_LANES; l++) sum += v[l];
    return sum;
}

/* The sums of a block are taken in float over T and lanes, then in double over blocks. */
typedef struct block_sums {
    vf decay, gain, threshold;
} block_sums;

TERN_INLINE void backward(const tern_neuron_block *b, int reset, int surrogate, bool learned)
{
    const tern_neuron *n = b->n;
    int groups = (int)((b->count + TERN_LANES - 1) / TERN_LANES);
    vf h[TERN_NEURON_BLOCK / TERN_LANES], still[TERN_NEURON_BLOCK / TERN_LANES];
    vf decay = splat(n->decay), gain = splat(n->gain), theta = splat(n->threshold), rest = splat(n->rest);
    block_sums sums = {0};
    for (int g = 0; g < groups; g++) {
        h[g] = b->dv ? load_some(b->dv + b->first + g * TERN_LANES, b->count - g * TERN_LANES) : splat(0);
        still[g] = splat(0);
    }
    for (int64_t t = n->steps - 1; t >= 0; t--) {
        int64_t at = t * n->neurons + b->first;
        bool cut = n->truncate > 0 && t % n->truncate == 0;
        for (int g = 0; g < groups; g++) {
            int64_t i = at + g * TERN_LANES, left = b->count - g * TERN_LANES;
            vf u = load_some(b->u_in + i, left), ds = b->ds ? load_some(b->ds + i, left) : splat(0);
            vf z = n->normalised ? u / theta - 1.0f : u - theta;
            vi spike = n->strict ? z > splat(0) : z >= splat(0);
            vf reached = select(spike, h[g], splat(0)); /* h where the neuron fired */
            if (reset == TERN_RESET_SOFT) {
                if (!n->detach_reset) ds -= h[g] * theta;
            } else if (reset == TERN_RESET_HARD && !n->detach_reset) {
                ds += h[g] * (rest - u);
            }
            vf dz = ds * slope(surrogate, n->alpha, z);
            vf e = n->normalised ? dz / theta : dz;
            if (b->du) e += load_some(b->du + i, left);
            e += reset == TERN_RESET_HARD ? h[g] - reached : h[g];
            if (learned) {
                vf before = b->v0 ? load_some(b->v0 + b->first + g * TERN_LANES, left) : rest;
                if (t > 0) {
                    before = load_some(b->u_in + i - n->neurons, left);
                    vf zb = n->normalised ? before / theta - 1.0f : before - theta;
                    vi fired = n->strict ? zb > splat(0) : zb >= splat(0);
                    if (reset == TERN_RESET_SOFT) before = select(fired, before - theta, before);
                    if (reset == TERN_RESET_HARD) before = select(fired, rest, before);
                }
                if (left < TERN_LANES) /* lanes behind the last neuron count nothing */
                    for (int64_t l = left; l < TERN_LANES; l++) e[l] = dz[l] = reached[l] = 0;
                if (reset == TERN_RESET_SOFT) sums.threshold -= reached;
                sums.threshold -= n->normalised ? dz * u / (theta * theta) : dz;
                sums.decay += e * (before - rest);
                if (b->x)
                    sums.gain += e * load_some(b->x + (n->is_static ? b->first : at) + g * TERN_LANES, left);
            }
            vf dx = gain * e;
            still[g] += dx;
            if (b->dx && !n->is_static) store_some(b->dx + i, dx, left);
            h[g] = cut ? splat(0) : decay * e;
        }
    }
    for (int g = 0; g < groups; g++) {
        int64_t i = b->first + g * TERN_LANES, left = b->count - g * TERN_LANES;
        if (b->dx && n->is_static) store_some(b->dx + i, still[g], left);
        if (b->dv0) store_some(b->dv0 + i, h[g], left);
    }
    if (learned)
        *b->sums = (tern_neuron_sums){lane_sum(sums.decay), lane_sum(sums.gain), lane_sum(sums.threshold)};
}

void TERN_FOR_ISA(tern_neuron_backward)(const tern_neuron_block *b)
{
    int reset = b->n->reset, surrogate = b->n->surrogate;
    if (b->sums)
        backward(b, reset, surrogate, true);
    else if (surrogate == TERN_ARCTAN && reset == TERN_RESET_HARD)
        backward(b, TERN_RESET_HARD, TERN_ARCTAN, false);
    else if (surrogate == TERN_ARCTAN && reset == TERN_RESET_SOFT)
        backward(b, TERN_RESET_SOFT, TERN_ARCTAN, false);
    else
        backward(b, reset, surrogate, false);
}
