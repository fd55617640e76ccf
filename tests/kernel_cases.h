/* What the tests of the kernels share: random shapes and numbers, memory with a guard, sums with their error, and a run
 * on each instruction set. */
#ifndef TERN_KERNEL_CASES_H
#define TERN_KERNEL_CASES_H

#include "kernel/kernel.h"
#include "tensor/tensor.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CASES 200

static tern_rng rng = {.seed = 2026, .stream = 7};
static uint64_t drawn;
static tern_pool *two;

static inline int64_t below(int64_t bound)
{
    return (int64_t)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

static inline int64_t between(int64_t low, int64_t high)
{
    return low + below(high - low + 1);
}

/* Mostly ordinary numbers, some hard ones: zero, minus zero, denormals, large and tiny. */
static inline float number(void)
{
    static const float hard[] = {0.0f, -0.0f, 1e-40f, -3e-42f, 1e15f, -1e15f, 1e-20f, 1.0f};
    if (below(40) == 0) return hard[below((int64_t)TERN_COUNT(hard))];
    return (float)(2 * tern_rng_uniform(rng, drawn++) - 1);
}

static inline float *numbers(int64_t count)
{
    float *x = tern_take(sizeof *x * (size_t)(count + 1));
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) x[i] = number();
    return x;
}

/* Densities from none to all. */
static inline uint64_t *spikes(int64_t count)
{
    static const double densities[] = {0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9, 1};
    double density = densities[below((int64_t)TERN_COUNT(densities))];
    uint64_t *bits = tern_take((size_t)tern_bits_words(count) * 8 + 8);
    assert_non_null(bits);
    for (int64_t i = 0; i < count; i++)
        if (tern_rng_uniform(rng, drawn++) < density) bits[i / 64] |= 1ull << (i % 64);
    return bits;
}

static inline float *copy(const float *x, int64_t count)
{
    float *y = tern_take(sizeof *y * (size_t)(count + 1));
    assert_non_null(y);
    memcpy(y, x, sizeof *y * (size_t)count);
    return y;
}

static inline void *scratch_of(size_t bytes)
{
    unsigned char *scratch = tern_take(bytes + 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes); /* NaN everywhere: whoever reads before writing is found */
    memset(scratch + bytes, 0x5a, 64);
    return scratch;
}

static inline void release_scratch(void *scratch, size_t bytes)
{
    for (size_t i = 0; i < 64; i++) assert_int_equal(((unsigned char *)scratch)[bytes + i], 0x5a);
    tern_release(scratch);
}

/* A sum and the sum of its magnitudes, from which the rounding error that is allowed follows. */
typedef struct sum {
    double value, size;
} sum;

static inline void add_to(sum *s, double x)
{
    s->value += x;
    s->size += fabs(x);
}

static inline void assert_near(float got, sum want, int64_t terms, const char *what)
{
    double allowed = (double)(terms + 4) * 6e-8 * want.size + 1e-37;
    if (fabs(got - want.value) <= allowed) return;
    fail_msg("%s, %s: got %.9g, expected %.9g +- %.3g", tern_isa_name(), what, got, want.value, allowed);
}

static inline void on_each_isa(void (*test)(void))
{
    bool usable;
    for (int i = 0; tern_isa_known(i, &usable); i++) {
        if (!usable) continue;
        assert_int_equal(tern_isa_select(tern_isa_known(i, &usable)), TERN_OK);
        for (int n = 0; n < CASES; n++) test();
    }
    assert_int_equal(tern_isa_select(NULL), TERN_OK);
}

static inline int open_pool(void **state)
{
    (void)state;
    return tern_pool_open(&two, 2) == TERN_OK ? 0 : -1;
}

static inline int close_pool(void **state)
{
    (void)state;
    tern_pool_close(two);
    return 0;
}

#endif
