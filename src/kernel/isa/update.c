/* What a parameter becomes in a training step. */
#include "kernel/isa/update.h"

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

TERN_INLINE void adam_vector(const adam_constants *s, const float *p, const float *g, const float *m,
                             const float *v, float *p_out, float *m_out, float *v_out)
{
    vf x = tern_load(p), d = tern_load(g) + s->pull * x;
    vf mean = s->beta1 * tern_load(m) + s->share1 * d;
    vf square = s->beta2 * tern_load(v) + s->share2 * d * d;
    tern_store(p_out,
               s->keep * x - s->rate * mean * tern_inverse(root(square * s->correction2) + s->epsilon));
    tern_store(m_out, mean);
    tern_store(v_out, square);
}

void TERN_FOR_ISA(tern_adam)(int64_t n, const tern_adam_step *s, const float *p, const float *g,
                             const float *m, const float *v, float *p_out, float *m_out, float *v_out)
{
    const adam_constants c = {.keep = s->decoupled ? 1 - s->rate * s->decay : 1,
                              .pull = s->decoupled ? 0 : s->decay,
                              .beta1 = s->beta1,
                              .share1 = 1 - s->beta1,
                              .beta2 = s->beta2,
                              .share2 = 1 - s->beta2,
                              .correction2 = s->correction2,
                              .rate = s->rate * s->correction1,
                              .epsilon = s->epsilon};
    int64_t i = 0;
    for (; i + TERN_LANES <= n; i += TERN_LANES)
        adam_vector(&c, p + i, g + i, m + i, v + i, p_out + i, m_out + i, v_out + i);
    if (i == n) return;
    float in[4][TERN_LANES] = {{0}}, out[3][TERN_LANES];
    size_t bytes = (size_t)(n - i) * sizeof *p;
    memcpy(in[0], p + i, bytes);
    memcpy(in[1], g + i, bytes);
    memcpy(in[2], m + i, bytes);
    memcpy(in[3], v + i, bytes);
    adam_vector(&c, in[0], in[1], in[2], in[3], out[0], out[1], out[2]);
    memcpy(p_out + i, out[0], bytes);
    memcpy(m_out + i, out[1], bytes);
    memcpy(v_out + i, out[2], bytes);
}

/* p_out may be p and v_out v: of one element all is read before anything is written. */
void TERN_FOR_ISA(tern_sgd)(int64_t n, float rate, float momentum, float decay, const float *p,
                            const float *g, const float *v, float *p_out, float *v_out)
{
    for (int64_t i = 0; i < n; i++) {
        float velocity = momentum * v[i] + g[i] + decay * p[i];
        p_out[i] = p[i] - rate * velocity;
        v_out[i] = velocity;
    }
}
