/* Functions of single elements on every instruction set: against the C library in double, in units of the last place; at the
 * ends of the number line; and the same bits wherever a block begins. */
#include "test.h"

#include "kernel/cast.h"
#include "kernel/table.h"
#include "tensor/tensor.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define NUMBERS 1000003

static double normal_share(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double gelu(double x)
{
    return x * normal_share(x);
}

static double gelu_tanh(double x)
{
    return x * sigmoid(1.59576912160573071176 * (x + 0.044715 * x * x * x));
}

static double silu(double x)
{
    return x * sigmoid(x);
}

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double elu(double x)
{
    return x > 0 ? x : expm1(x);
}

static const struct {
    tern_element kind;
    const char *name;
    double (*of)(double);
    double low, high, bound; /* range that is drawn from; units of the last place */
} functions[] = {
    {TERN_ELEMENT_EXP, "exp", exp, -105, 90, 2},
    {TERN_ELEMENT_LOG, "log", log, 0, 1e4, 2},
    {TERN_ELEMENT_SIGMOID, "sigmoid", sigmoid, -90, 90, 4},
    {TERN_ELEMENT_TANH, "tanh", tanh, -12, 12, 4},
    {TERN_ELEMENT_ERF, "erf", erf, -6, 6, 4},
    {TERN_ELEMENT_GELU, "gelu", gelu, -12, 12, 8},
    {TERN_ELEMENT_GELU_TANH, "gelu_tanh", gelu_tanh, -3, 12, 24},
    {TERN_ELEMENT_SILU, "silu", silu, -80, 80, 4},
    {TERN_ELEMENT_SOFTPLUS, "softplus", softplus, -80, 80, 4},
    {TERN_ELEMENT_ELU, "elu", elu, -20, 5, 4},
    {TERN_ELEMENT_SQRT, "sqrt", sqrt, 0, 1e6, 0.5},
};

/* |got - want| in units of the last place of want as a float. */
static double distance(float got, double want)
{
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if ((float)want == got) return fabs((double)got - want) > 0 && isfinite(got) ? 0.5 : 0;
    int exponent;
    frexp(want, &exponent);
    double unit = ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
    return fabs((double)got - want) / unit;
}

static void apply(tern_element kind, int64_t n, const float *x, float *y)
{
    const float *in[3] = {x, x, x}, constants[2] = {1, 0};
    tern_kernels_get()->element[kind](n, in, constants, y);
}

static void check_bounds(void)
{
    float *x = tern_take_array(2 * NUMBERS, sizeof *x), *y = x + NUMBERS;
    tern_rng rng = {.seed = 3};
    uint64_t drawn = 0;
    for (size_t f = 0; f < TERN_COUNT(functions); f++) {
        double low = functions[f].low, high = functions[f].high, worst = 0;
        for (int i = 0; i < NUMBERS; i++) {
            double u = tern_rng_uniform(rng, drawn++);
            bool near = i % 2 && low < 0; /* half of them near 0, on a scale of magnitudes */
            x[i] = (float)(near || low == 0 ? (i % 4 && low < 0 ? -1 : 1) * pow(2, 30 * u - 27)
                                            : low + u * (high - low));
            if (x[i] > high || x[i] < low) x[i] = (float)high;
        }
        apply(functions[f].kind, NUMBERS, x, y);
        for (int i = 0; i < NUMBERS; i++) {
            double d = distance(y[i], functions[f].of(x[i]));
            if (d > functions[f].bound)
                fail_msg("%s (%s): %.9g gives %.9g, %.3g units from %.9g", functions[f].name, tern_isa_name(),
                         x[i], y[i], d, functions[f].of(x[i]));
            worst = fmax(worst, d);
        }
        print_message("%s (%s): at most %.2f units of the last place\n", functions[f].name, tern_isa_name(),
                      worst);
    }
    tern_release(x);
}

/* Infinities, NaN, zeros, subnormal and largest numbers give what the library gives. */
static void check_ends(void)
{
    static const float ends[] = {0.0f,     -0.0f,   INFINITY, -INFINITY, NAN,     FLT_MAX,
                                 -FLT_MAX, FLT_MIN, -FLT_MIN, 1e-40f,    -1e-40f, 1e-45f};
    for (size_t f = 0; f < TERN_COUNT(functions); f++)
        for (size_t i = 0; i < TERN_COUNT(ends); i++) {
            float y;
            apply(functions[f].kind, 1, &ends[i], &y);
            double want = functions[f].of(ends[i]);
            if (!(distance(y, want) <= functions[f].bound))
                fail_msg("%s (%s): %g gives %g, not %g", functions[f].name, tern_isa_name(), ends[i], y,
                         want);
        }
}

/* Any n from any beginning, in place or not: the bits of the whole array. */
static void check_pieces(void)
{
    float x[333], whole[333], piece[333];
    for (int i = 0; i < 333; i++) x[i] = (float)tern_rng_normal((tern_rng){.seed = 4}, (uint64_t)i);
    for (int kind = TERN_ELEMENT_COPY; kind < TERN_ELEMENT_KINDS; kind++) {
        apply((tern_element)kind, 333, x, whole);
        for (int from = 0; from < 40; from++)
            for (int n = 1; from + n <= 333; n += 1 + n / 4) {
                memcpy(piece, x + from, (size_t)n * sizeof *x);
                apply((tern_element)kind, n, piece, piece);
                assert_memory_equal(piece, whole + from, (size_t)n * sizeof *x);
            }
    }
}

/* Random bit patterns in, the element-by-element codec's bits out. */
static void check_casts(void)
{
    enum { COUNT = 4099 };
    static const float ends[] = {INFINITY, -INFINITY, NAN,        65519,         65520,          -65520,
                                 0x1p-24f, 0x1p-25f,  0x1.8p-25f, 2147483648.0f, -2147483648.0f, 127.5f,
                                 128.5f,   -0.5f,     0.5f,       1.5f,          255.5f,         32767.5f};
    for (int d = 0; d < TERN_DTYPES; d++) {
        tern_shape shape = TERN_SHAPE(COUNT);
        tern_tensor x, there, back, want_there, want_back;
        tern_tensor *all[] = {&x, &back, &want_back, &there, &want_there};
        if (!tern_cast_has_loop(TERN_F32, (tern_dtype)d)) continue;
        for (int i = 0; i < 5; i++)
            assert_ok(tern_tensor_new(all[i], i < 3 ? TERN_F32 : (tern_dtype)d, &shape));
        for (int i = 0; i < COUNT; i++) {
            uint32_t word = tern_rng_u32((tern_rng){.seed = 5}, (uint64_t)i);
            if (i % 2)
                word = (word & 0x80ffffffu) | (uint32_t)(100 + i % 47)
                                                  << 23; /* magnitudes that the formats hold */
            memcpy((float *)x.data + i, i < (int)TERN_COUNT(ends) ? (const void *)&ends[i] : &word,
                   sizeof word);
        }
        tern_cast_loop(NULL, COUNT, TERN_F32, x.data, (tern_dtype)d, there.data);
        assert_ok(tern_tensor_cast(&want_there, &x));
        size_t bytes = tern_bytes_of((tern_dtype)d, COUNT);
        if (memcmp(there.data, want_there.data, bytes) != 0)
            for (int i = 0; i < COUNT; i++)
                if (tern_get(&there, i) != tern_get(&want_there, i) &&
                    tern_get(&there, i) == tern_get(&there, i))
                    fail_msg("%s (%s): %.9g becomes %g, not %g", tern_dtype_of((tern_dtype)d)->name,
                             tern_isa_name(), tern_get(&x, i), tern_get(&there, i), tern_get(&want_there, i));
        tern_cast_loop(NULL, COUNT, (tern_dtype)d, there.data, TERN_F32, back.data);
        assert_ok(tern_tensor_cast(&want_back, &there));
        for (int i = 0; i < COUNT; i++) {
            double a = tern_get(&back, i), b = tern_get(&want_back, i);
            if (a != b && (a == a || b == b))
                fail_msg("%s (%s): %g comes back as %g", tern_dtype_of((tern_dtype)d)->name, tern_isa_name(),
                         b, a);
        }
        for (int i = 0; i < 5; i++) tern_tensor_free(all[i]);
    }
}

static void on_each_isa(void (*check)(void))
{
    const char *name;
    bool usable;
    for (int i = 0; (name = tern_isa_known(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(name));
        check();
    }
    assert_ok(tern_isa_select(NULL));
}

static void test_bounds(void **state)
{
    (void)state;
    on_each_isa(check_bounds);
}

static void test_ends(void **state)
{
    (void)state;
    on_each_isa(check_ends);
}

static void test_pieces(void **state)
{
    (void)state;
    on_each_isa(check_pieces);
}

static void test_casts(void **state)
{
    (void)state;
    on_each_isa(check_casts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_casts),
    };
    return cmocka_run_group_tests_name("math", tests, NULL, NULL);
}
