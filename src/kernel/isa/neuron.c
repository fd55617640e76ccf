/* Integrate-and-fire neurons, one time step of a block of neurons: forwards, and backwards with every surrogate. */
#include "kernel/isa/isa.h"
#include "kernel/loops.h"

#include <string.h>

/* `count` floats from p, zeros behind them (a whole vector when there are that many). */
TERN_INLINE vf load_some(const float *p, int64_t count)
{
    if (count >= TERN_LANES) return tern_load(p);
    vf v = {0};
    memcpy(&v, p, (size_t)count * sizeof *p);
    return v;
}

TERN_INLINE void store_some(float *p, vf v, int64_t count)
{
    if (count >= TERN_LANES)
        tern_store(p, v);
    else
        memcpy(p, &v, (size_t)count * sizeof *p);
}

TERN_INLINE vf all(float x)
{
    return (vf){0} + x;
}

TERN_INLINE vf where(vi mask, vf yes, vf no)
{
    return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

TERN_INLINE vf magnitude(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

/* Bit l is lane l of a comparison's result. */
TERN_INLINE uint64_t mask_bits(vi mask)
{
#if defined(__AVX512DQ__)
    return _mm512_movepi32_mask((__m512i)mask);
#elif defined(__AVX2__)
    return (uint32_t)_mm256_movemask_ps((__m256)mask);
#else
    uint64_t bits = 0;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) bits |= (uint64_t)(mask[l] & 1) << l;
    return bits;
#endif
}

TERN_INLINE vi fires(const tern_neuron *n, vf u)
{
    return n->strict ? u > all(n->threshold) : u >= all(n->threshold);
}

TERN_INLINE vf after_reset(const tern_neuron *n, vf u, vi spike)
{
    if (n->reset == TERN_RESET_SOFT) return u - (vf)(spike & (vi)all(n->threshold));
    if (n->reset == TERN_RESET_HARD) return where(spike, all(n->v_reset), u);
    return u;
}

/* Spikes of 64 neurons; u may be NULL.  Constants come as vectors and rules as constants: after inlining nothing is left
 * in the loop but the arithmetic. */
TERN_INLINE uint64_t group(tern_reset reset, bool strict, const vf *constants, const float *x, float *v,
                           float *u, const float *ahead)
{
    const vf rest = constants[0], decay = constants[1], gain = constants[2], threshold = constants[3];
    uint64_t word = 0;
    TERN_UNROLL for (int k = 0; k < 64; k += TERN_LANES)
    {
        __builtin_prefetch(ahead + k); /* of the next step */
        vf membrane = rest + decay * (tern_load(v + k) - rest) + gain * tern_load(x + k), next = membrane;
        vi spike = strict ? membrane > threshold : membrane >= threshold;
        if (reset == TERN_RESET_SOFT) next = membrane - (vf)(spike & (vi)threshold);
        if (reset == TERN_RESET_HARD) next = where(spike, rest, membrane);
        if (u) tern_store(u + k, membrane);
        tern_store(v + k, next);
        word |= mask_bits(spike) << k;
    }
    return word;
}

/* Whole groups where they are, the last neurons in a copy that is long enough. */
TERN_INLINE void step(tern_reset reset, bool strict, const tern_neuron *n, int64_t count, const float *x,
                      float *v, float *u, uint64_t *spikes)
{
    const vf constants[4] = {all(n->v_reset), all(n->decay), all(n->gain), all(n->threshold)};
    const float *ahead = n->is_static ? x : x + n->neurons;
    int64_t whole = count / 64 * 64, rest = count - whole;
    if (u)
        for (int64_t i = 0; i < whole; i += 64)
            spikes[i / 64] = group(reset, strict, constants, x + i, v + i, u + i, ahead + i);
    else
        for (int64_t i = 0; i < whole; i += 64)
            spikes[i / 64] = group(reset, strict, constants, x + i, v + i, NULL, ahead + i);
    if (rest == 0) return;
    float some_x[64] = {0}, some_v[64] = {0}, some_u[64];
    memcpy(some_x, x + whole, (size_t)rest * sizeof *x);
    memcpy(some_v, v + whole, (size_t)rest * sizeof *v);
    spikes[whole / 64] = group(reset, strict, constants, some_x, some_v, some_u, some_x);
    memcpy(v + whole, some_v, (size_t)rest * sizeof *v);
    if (u) memcpy(u + whole, some_u, (size_t)rest * sizeof *u);
}

void TERN_FOR_ISA(tern_neuron_step)(const tern_neuron *n, int64_t count, const float *x, float *v, float *u,
                                    uint64_t *spikes);
void TERN_FOR_ISA(tern_neuron_back)(const tern_neuron *n, const tern_neuron_row *r);

void TERN_FOR_ISA(tern_neuron_step)(const tern_neuron *n, int64_t count, const float *x, float *v, float *u,
                                    uint64_t *spikes)
{
    bool soft = n->reset == TERN_RESET_SOFT, hard = n->reset == TERN_RESET_HARD;
    if (soft && !n->strict)
        step(TERN_RESET_SOFT, false, n, count, x, v, u, spikes);
    else if (hard && !n->strict)
        step(TERN_RESET_HARD, false, n, count, x, v, u, spikes);
    else if (soft)
        step(TERN_RESET_SOFT, true, n, count, x, v, u, spikes);
    else if (hard)
        step(TERN_RESET_HARD, true, n, count, x, v, u, spikes);
    else
        step(TERN_RESET_NONE, n->strict, n, count, x, v, u, spikes);
}

/* e^x for x <= 0: 2^n e^r with |r| <= ln(2)/2, e^r by its Taylor polynomial (error below 2e-7 of the result). */
TERN_INLINE vf exp_negative(vf x)
{
    x = where(x < all(-87), all(-87), x);
    vf n = x * all(1.44269504f) - all(0.5f);
    vi whole = __builtin_convertvector(n, vi); /* towards 0: the nearest integer, since n <= 0 */
    n = __builtin_convertvector(whole, vf);
    vf r = (x - n * all(0.693145752f)) - n * all(1.42860677e-6f);
    vf p = all(1.0f / 720);
    p = p * r + all(1.0f / 120);
    p = p * r + all(1.0f / 24);
    p = p * r + all(1.0f / 6);
    p = p * r + all(0.5f);
    p = p * r + all(1);
    p = p * r + all(1);
    return p * (vf)((whole + 127) << 23);
}

/* Derivative of the surrogate at z. */
TERN_INLINE vf slope_of(tern_surrogate surrogate, float a, vf z)
{
    vf s;
    switch (surrogate) {
    case TERN_ARCTAN:
        s = all(1.57079633f * a) * z;
        return all(0.5f * a) * tern_inverse(all(1) + s * s);
    case TERN_SIGMOID:
        s = all(1) / (all(1) + exp_negative(-magnitude(all(a) * z)));
        return all(a) * s * (all(1) - s);
    case TERN_RECTANGLE:
        return (vf)((magnitude(z) <= all(0.5f * a)) & (vi)all(1 / a));
    case TERN_TRIANGLE:
        s = all(a) - all(a * a) * magnitude(z);
        return (vf)((s > all(0)) & (vi)s);
    case TERN_FAST_SIGMOID:
        s = all(1) + all(a) * magnitude(z);
        return tern_inverse(s * s);
    case TERN_LINEAR_DECAY:
        s = all(a) * (all(1) - magnitude(z));
        return (vf)((s > all(0)) & (vi)s);
    }
    return all(0);
}

TERN_INLINE double lanes_sum(vf v)
{
    double sum = 0;
    for (int l = 0; l < TERN_LANES; l++) sum += (double)v[l];
    return sum;
}

/* The common case of `backward`: no sums, no du, one dx a step. */
TERN_INLINE void backward_plain(const tern_neuron *n, const tern_neuron_row *r, tern_surrogate surrogate,
                                tern_reset reset, bool detach)
{
    const vf threshold = all(n->threshold), rest = all(n->v_reset), gain = all(n->gain),
             carry = all(r->carry);
    const float *u_row = r->u, *ds_row = r->ds, *ahead_u = r->previous ? r->previous : r->u;
    const float *ahead_ds = r->previous ? ds_row + (r->previous - u_row) : ds_row;
    float *h_row = r->h, *dx_row = r->dx, alpha = n->alpha;
    for (int64_t i = 0; i + TERN_LANES <= r->count; i += TERN_LANES) {
        vf u = tern_load(u_row + i), h = tern_load(h_row + i), ds = tern_load(ds_row + i);
        vi spike = fires(n, u);
        __builtin_prefetch(ahead_u + i); /* the step before: what is read next */
        __builtin_prefetch(ahead_ds + i);
        if (reset == TERN_RESET_SOFT && !detach) ds -= h * threshold;
        if (reset == TERN_RESET_HARD && !detach) ds += h * (rest - u);
        vf e = ds * slope_of(surrogate, alpha, u - threshold) +
               (reset == TERN_RESET_HARD ? (vf)(~spike & (vi)h) : h);
        tern_store(dx_row + i, gain * e);
        tern_store(h_row + i, carry * e);
    }
}

/* The equations stand at tern_op_lif_grad; h comes in as dL/dv_t and goes out as dL/dv_{t-1}. */
TERN_INLINE void backward(const tern_neuron *neuron, const tern_neuron_row *row, tern_surrogate surrogate)
{
    const tern_neuron rules = *neuron, *n = &rules; /* copies: stores of vectors may alias the originals */
    const tern_neuron_row operands = *row, *r = &operands;
    const vf threshold = all(n->threshold), rest = all(n->v_reset);
    vf sum_decay = {0}, sum_gain = {0}, sum_threshold = {0};
    for (int64_t i = 0; i < r->count; i += TERN_LANES) {
        int64_t left = r->count - i;
        vf u = load_some(r->u + i, left), h = tern_load(r->h + i);
        vf ds = r->ds ? load_some(r->ds + i, left) : all(0);
        vi spike = fires(n, u);
        if (n->reset == TERN_RESET_SOFT) {
            sum_threshold -= (vf)(spike & (vi)h);
            if (!n->detach_reset) ds -= h * threshold;
        } else if (n->reset == TERN_RESET_HARD && !n->detach_reset) {
            ds += h * (rest - u);
        }
        vf z = n->normalised ? u / threshold - all(1) : u - threshold;
        vf dz = ds * slope_of(surrogate, n->alpha, z);
        sum_threshold -= n->normalised ? dz * u / (threshold * threshold) : dz;
        vf e = n->normalised ? dz / threshold : dz;
        if (r->du) e += load_some(r->du + i, left);
        e += n->reset == TERN_RESET_HARD ? (vf)(~spike & (vi)h) : h;
        if (r->sums) {
            vf before = rest;
            if (r->v0) before = load_some(r->v0 + i, left);
            if (r->previous) {
                vf last = load_some(r->previous + i, left);
                before = after_reset(n, last, fires(n, last));
            }
            sum_decay += e * (before - rest);
            if (r->x) sum_gain += e * load_some(r->x + i, left);
        }
        vf dx = all(n->gain) * e;
        if (r->static_dx)
            tern_store(r->static_dx + i, tern_load(r->static_dx + i) + dx);
        else if (r->dx)
            store_some(r->dx + i, dx, left);
        tern_store(r->h + i, all(r->carry) * e);
    }
    if (r->sums) {
        r->sums[0] += lanes_sum(sum_decay);
        r->sums[1] += lanes_sum(sum_gain);
        r->sums[2] += lanes_sum(sum_threshold);
    }
}

TERN_INLINE void back(const tern_neuron *n, const tern_neuron_row *r, tern_surrogate surrogate)
{
    bool plain =
        r->ds && r->dx && !r->du && !r->sums && !r->static_dx && !n->normalised && r->count % TERN_LANES == 0;
    if (!plain)
        backward(n, r, surrogate);
    else if (n->reset == TERN_RESET_NONE || (n->reset == TERN_RESET_SOFT && n->detach_reset))
        backward_plain(n, r, surrogate, TERN_RESET_NONE, true); /* a detached soft reset has no gradient */
    else if (n->reset == TERN_RESET_SOFT)
        backward_plain(n, r, surrogate, TERN_RESET_SOFT, false);
    else if (n->detach_reset)
        backward_plain(n, r, surrogate, TERN_RESET_HARD, true);
    else
        backward_plain(n, r, surrogate, TERN_RESET_HARD, false);
}

void TERN_FOR_ISA(tern_neuron_back)(const tern_neuron *n, const tern_neuron_row *r)
{
    switch (n->surrogate) {
    case TERN_ARCTAN:
        back(n, r, TERN_ARCTAN);
        break;
    case TERN_SIGMOID:
        back(n, r, TERN_SIGMOID);
        break;
    case TERN_RECTANGLE:
        back(n, r, TERN_RECTANGLE);
        break;
    case TERN_TRIANGLE:
        back(n, r, TERN_TRIANGLE);
        break;
    case TERN_FAST_SIGMOID:
        back(n, r, TERN_FAST_SIGMOID);
        break;
    case TERN_LINEAR_DECAY:
        back(n, r, TERN_LINEAR_DECAY);
        break;
    }
}
