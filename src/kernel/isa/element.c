/* Functions of single elements.  The last vector of an array is padded and goes through the same code as the others, so
 * that a result does not depend on where a block begins or ends. */
#include "kernel/element.h"
#include "kernel/isa/math.h"

TERN_INLINE vf zero_unless(vi mask, vf x)
{
    return (vf)(mask & (vi)x);
}

TERN_INLINE vf whole_of(vf x) /* nearest, ties to even, for every float */
{
    vf a = tern_magnitude(x), near = tern_with_sign_of(a + tern_all(0x1p23f) - tern_all(0x1p23f), x);
    return tern_choose(a < tern_all(0x1p23f), near, x);
}

TERN_INLINE vf root_of(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)x);
#else
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) x[l] = __builtin_sqrtf(x[l]);
    return x;
#endif
}

/* No vector form: powers are rare. */
TERN_INLINE vf power_of(vf x, vf p)
{
    for (int l = 0; l < TERN_LANES; l++) x[l] = powf(x[l], p[l]);
    return x;
}

TERN_INLINE vf hard_sigmoid_of(vf x)
{
    return tern_between(tern_fma(x, tern_all(1.0f / 6), tern_all(0.5f)), 0, 1);
}

TERN_INLINE vf gelu_slope(vf x)
{
    vf bell, share = tern_normal_share(x, &bell);
    vf slope = tern_fma(x * bell, tern_all(0x1.988454p-2f), share); /* 1/sqrt(2 pi) */
    return tern_choose(tern_magnitude(x) > tern_all(15),
                       tern_choose(x > tern_all(0), tern_all(1), tern_all(0)), slope);
}

TERN_INLINE vf gelu_of(vf x)
{
    vf bell;
    return x * tern_normal_share(x, &bell);
}

/* sqrt(2/pi) (x + 0.044715 x^3), doubled: x times its sigmoid is x/2 (1 + tanh) */
TERN_INLINE vf gelu_tanh_inside(vf x)
{
    return x * tern_fma(x * x, tern_all(0x1.2444f2p-4f), tern_all(0x1.988454p0f));
}

TERN_INLINE vf gelu_tanh_of(vf x)
{
    vf y = x * tern_sigmoid_of(gelu_tanh_inside(x));
    return tern_choose(x < tern_all(-15), tern_choose(x == tern_all(-INFINITY), tern_all(NAN), -tern_all(0)),
                       y);
}

TERN_INLINE vf gelu_tanh_slope(vf x)
{
    vf s = tern_sigmoid_of(gelu_tanh_inside(x));
    vf inside = tern_fma(x * x, tern_all(0x1.b6676cp-3f), tern_all(0x1.988454p0f));
    vf slope = s * tern_fma(x * inside, tern_all(1) - s, tern_all(1));
    return tern_choose(tern_magnitude(x) > tern_all(15),
                       tern_choose(x > tern_all(0), tern_all(1), tern_all(0)), slope);
}

/* 2/sqrt(pi) (x - x^3/3 + x^5/10 - ..) near 0, where 2 times the normal share less 1 would lose its digits. */
TERN_INLINE vf erf_of(vf x)
{
    vf a = tern_magnitude(x), z = x * x, bell, p = tern_all(-1.0f / 75600);
    p = tern_fma(p, z, tern_all(1.0f / 9360));
    p = tern_fma(p, z, tern_all(-1.0f / 1320));
    p = tern_fma(p, z, tern_all(1.0f / 216));
    p = tern_fma(p, z, tern_all(-1.0f / 42));
    p = tern_fma(p, z, tern_all(0.1f));
    p = tern_fma(p, z, tern_all(-1.0f / 3));
    vf near = x * tern_fma(p, z, tern_all(1)) * tern_all(0x1.20dd76p0f);
    vf tail = tern_normal_tail(a * tern_all(0x1.6a09e6p0f), &bell);
    vf far = tern_with_sign_of(tern_all(1) - (tail + tail), x);
    return tern_choose(x != x, x, tern_choose(a < tern_all(0.75f), near, far));
}

TERN_INLINE vf erf_slope(vf x)
{
    return tern_all(0x1.20dd76p0f) * tern_exp_of(-(x * x));
}

/* sech^2: 4 e^-2|x| / (1 + e^-2|x|)^2 */
TERN_INLINE vf tanh_slope(vf x)
{
    vf e = tern_exp_of(tern_magnitude(x) * tern_all(-2)), d = tern_all(1) + e;
    return tern_all(4) * e / (d * d);
}

TERN_INLINE vf silu_slope(vf x)
{
    vf s = tern_sigmoid_of(x);
    return s * tern_fma(x, tern_all(1) - s, tern_all(1));
}

TERN_INLINE vf softplus_of(vf x)
{
    vf e = tern_exp_of(-tern_magnitude(x)),
       y = tern_choose(x > tern_all(0), x, tern_all(0)) + tern_log1p_of(e);
    return tern_choose(x != x, x, y);
}

TERN_INLINE vf sigmoid_slope(vf x)
{
    vf e = tern_exp_of(-tern_magnitude(x)), d = tern_all(1) + e;
    return e / (d * d);
}

TERN_INLINE vf hard_swish_slope(vf x)
{
    vf inside = tern_fma(x, tern_all(1.0f / 3), tern_all(0.5f));
    inside = tern_choose(x < tern_all(3), inside, tern_all(1));
    return zero_unless(x > tern_all(-3), inside);
}

#define AHEAD 512 /* floats: operands are asked for before the arithmetic on those in between is done */

/* A loop over one function of `inputs` vectors: whole ones, then what is left. */
#define ELEMENT(name, inputs, expression)                                                                    \
    TERN_INLINE vf name##_vector(vf a, vf b, vf c, vf p, vf q)                                               \
    {                                                                                                        \
        const vf one = tern_all(1), zero = {0};                                                              \
        (void)a, (void)b, (void)c, (void)p, (void)q, (void)one, (void)zero;                                  \
        return expression;                                                                                   \
    }                                                                                                        \
    static void name##_loop(int64_t n, const float *const *in, const float *constants, float *y)             \
    {                                                                                                        \
        const float *pa = in[0], *pb = in[(inputs) > 1 ? 1 : 0], *pc = in[(inputs) > 2 ? 2 : 0];             \
        const vf p = tern_all(constants[0]), q = tern_all(constants[1]), one = tern_all(1);                  \
        int64_t i = 0;                                                                                       \
        for (; i + TERN_LANES <= n; i += TERN_LANES) {                                                       \
            __builtin_prefetch(pa + i + AHEAD);                                                              \
            if ((inputs) > 1) __builtin_prefetch(pb + i + AHEAD);                                            \
            vf b = (inputs) > 1 ? tern_load(pb + i) : one, c = (inputs) > 2 ? tern_load(pc + i) : one;       \
            tern_store(y + i, name##_vector(tern_load(pa + i), b, c, p, q));                                 \
        }                                                                                                    \
        if (i == n) return;                                                                                  \
        vf a = tern_load_some(pa + i, n - i, one), b = tern_load_some(pb + i, n - i, one),                   \
           c = tern_load_some(pc + i, n - i, one);                                                           \
        tern_store_some(y + i, name##_vector(a, b, c, p, q), n - i);                                         \
    }

ELEMENT(add, 2, a + b)
ELEMENT(subtract, 2, a - b)
ELEMENT(multiply, 2, a *b)
ELEMENT(divide, 2, a / b)
ELEMENT(maximum, 2, tern_choose((a > b) | (a != a), a, b))
ELEMENT(minimum, 2, tern_choose((a < b) | (a != a), a, b))
ELEMENT(maximum_grad, 3, tern_choose(a == b, c *tern_all(0.5f), zero_unless(a > b, c)))
ELEMENT(where, 3, tern_choose(a != zero, b, c))
ELEMENT(relu, 1, zero_unless(a > zero, a))
ELEMENT(relu_grad, 2, zero_unless(a > zero, b))
ELEMENT(sigmoid, 1, tern_sigmoid_of(a))
ELEMENT(sigmoid_grad, 2, sigmoid_slope(a) * b)
ELEMENT(tanh, 1, tern_tanh_of(a))
ELEMENT(tanh_grad, 2, tanh_slope(a) * b)
ELEMENT(gelu, 1, gelu_of(a))
ELEMENT(gelu_grad, 2, gelu_slope(a) * b)
ELEMENT(gelu_tanh, 1, gelu_tanh_of(a))
ELEMENT(gelu_tanh_grad, 2, gelu_tanh_slope(a) * b)
ELEMENT(silu, 1, a *tern_sigmoid_of(a))
ELEMENT(silu_grad, 2, silu_slope(a) * b)
ELEMENT(softplus, 1, softplus_of(a))
ELEMENT(softplus_grad, 2, tern_sigmoid_of(a) * b)
ELEMENT(erf, 1, erf_of(a))
ELEMENT(erf_grad, 2, erf_slope(a) * b)
ELEMENT(exp, 1, tern_exp_of(a))
ELEMENT(exp_grad, 2, tern_exp_of(a) * b)
ELEMENT(log, 1, tern_log_of(a))
ELEMENT(log_grad, 2, b / a)
ELEMENT(sqrt, 1, root_of(a))
ELEMENT(sqrt_grad, 2, tern_all(0.5f) * b / root_of(a))
ELEMENT(square, 1, a *a)
ELEMENT(square_grad, 2, (a + a) * b)
ELEMENT(absolute, 1, tern_magnitude(a))
ELEMENT(absolute_grad, 2, tern_choose(a > zero, b, zero_unless(a < zero, -b)))
ELEMENT(negate, 1, -a)
ELEMENT(heaviside, 1, zero_unless(a >= zero, one))
ELEMENT(round, 1, whole_of(a))
ELEMENT(floor, 1, whole_of(a) - zero_unless(whole_of(a) > a, one))
ELEMENT(clip, 1, tern_choose(tern_choose(a > p, a, p) < q, tern_choose(a > p, a, p), q))
ELEMENT(clip_grad, 2, zero_unless((a > p) & (a < q), b))
ELEMENT(elu, 1, tern_choose(a > zero, a, p *tern_expm1_of(a)))
ELEMENT(elu_grad, 2, tern_choose(a > zero, b, p *tern_exp_of(a) * b))
ELEMENT(leaky_relu, 1, tern_choose(a > zero, a, p *a))
ELEMENT(leaky_relu_grad, 2, tern_choose(a > zero, b, p *b))
ELEMENT(hard_sigmoid, 1, hard_sigmoid_of(a))
ELEMENT(hard_sigmoid_grad, 2, zero_unless((a > tern_all(-3)) & (a < tern_all(3)), b *tern_all(1.0f / 6)))
ELEMENT(hard_swish, 1, a *hard_sigmoid_of(a))
ELEMENT(hard_swish_grad, 2, hard_swish_slope(a) * b)
ELEMENT(power, 1, power_of(a, p))
ELEMENT(power_grad, 2, p *power_of(a, p - one) * b)

static void copy_loop(int64_t n, const float *const *in, const float *constants, float *y)
{
    (void)constants;
    if (y != in[0]) memcpy(y, in[0], (size_t)n * sizeof *y);
}

#define LOOP(name, function) [TERN_ELEMENT_##name] = function##_loop,
tern_element_loop *const TERN_FOR_ISA(tern_element_loops)[] = {TERN_ELEMENTS(LOOP)};

void TERN_FOR_ISA(tern_store_far)(int64_t n, const float *from, float *to)
{
    int64_t i = 0;
#if defined(__AVX512F__) || defined(__AVX2__)
    if (n == 0) {
        _mm_sfence();
        return;
    }
    while (i < n && ((uintptr_t)(to + i) & (TERN_VECTOR_BYTES - 1))) {
        to[i] = from[i];
        i++;
    }
    for (; i + TERN_LANES <= n; i += TERN_LANES)
#if defined(__AVX512F__)
        _mm512_stream_ps(to + i, (__m512)tern_load(from + i));
#else
        _mm256_stream_ps(to + i, (__m256)tern_load(from + i));
#endif
#endif
    for (; i < n; i++) to[i] = from[i];
}
