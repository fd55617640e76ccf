/* What a parameter becomes in a training step. */
#include "kernel/isa/update.h"
#include "kernel/isa/math.h"

#include <string.h>

TERN_INLINE vf root(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)x);
#else
    for (int l = 0; l < TERN_LANES; l++) x[l] = __builtin_sqrtf(x[l]);
    return x;
#endif
}

/* The constants of a step; the rate and the first correction are one factor. */
typedef struct adam_constants {
    float keep, pull, beta1, share1, beta2, share2, correction2, rate, epsilon;
} adam_constants;

/* Elements i to i + TERN_LANES - 1. */
TERN_INLINE void adam_vector(const adam_constants *s, const tern_adam_operands *o, int64_t i)
{
    vf x = tern_load(o->p + i), d = tern_load(o->g + i) + s->pull * x;
    vf mean = s->beta1 * tern_load(o->m + i) + s->share1 * d;
    vf square = s->beta2 * tern_load(o->v + i) + s->share2 * d * d, divisor = square;
    if (o->highest) {
        vf before = tern_load(o->highest + i);
        divisor = tern_choose(before > square, before, square);
        tern_store(o->highest_out + i, divisor);
    }
    tern_store(o->p_out + i,
               s->keep * x - s->rate * mean * tern_inverse(root(divisor * s->correction2) + s->epsilon));
    tern_store(o->m_out + i, mean);
    tern_store(o->v_out + i, square);
}

/* The last elements, fewer than a vector, by way of whole ones. */
static void adam_rest(const adam_constants *c, const tern_adam_operands *o, int64_t i, int64_t last)
{
    float in[5][TERN_LANES] = {{0}}, out[4][TERN_LANES];
    size_t bytes = (size_t)(last - i) * sizeof **in;
    memcpy(in[0], o->p + i, bytes);
    memcpy(in[1], o->g + i, bytes);
    memcpy(in[2], o->m + i, bytes);
    memcpy(in[3], o->v + i, bytes);
    if (o->highest) memcpy(in[4], o->highest + i, bytes);
    tern_adam_operands rest = {in[0],  in[1],  in[2],  in[3], o->highest ? in[4] : NULL,
                               out[0], out[1], out[2], out[3]};
    adam_vector(c, &rest, 0);
    memcpy(o->p_out + i, out[0], bytes);
    memcpy(o->m_out + i, out[1], bytes);
    memcpy(o->v_out + i, out[2], bytes);
    if (o->highest) memcpy(o->highest_out + i, out[3], bytes);
}

void TERN_FOR_ISA(tern_adam)(int64_t first, int64_t last, const tern_adam_step *s,
                             const tern_adam_operands *operands)
{
    const tern_adam_operands o = *operands;
    const adam_constants c = {.keep = s->decoupled ? 1 - s->rate * s->decay : 1,
                              .pull = s->decoupled ? 0 : s->decay,
                              .beta1 = s->beta1,
                              .share1 = 1 - s->beta1,
                              .beta2 = s->beta2,
                              .share2 = 1 - s->beta2,
                              .correction2 = s->correction2,
                              .rate = s->rate * s->correction1,
                              .epsilon = s->epsilon};
    int64_t i = first;
    for (; i + TERN_LANES <= last; i += TERN_LANES) adam_vector(&c, &o, i);
    if (i < last) adam_rest(&c, &o, i, last);
}

/* p_out may be p and v_out v: of one element all is read before anything is written. */
void TERN_FOR_ISA(tern_sgd)(int64_t n, float rate, float momentum, float decay, bool nesterov, const float *p,
                            const float *g, const float *v, float *p_out, float *v_out)
{
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] + decay * p[i], velocity = momentum * v[i] + d;
        p_out[i] = p[i] - rate * (nesterov ? d + momentum * velocity : velocity);
        v_out[i] = velocity;
    }
}
