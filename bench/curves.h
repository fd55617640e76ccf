/* Element-wise functions, rows and casts beside a copy of as many bytes; chains in one pass beside the same steps one by one. */
#ifndef TERN_BENCH_CURVES_H
#define TERN_BENCH_CURVES_H

#include "elements.h"
#include "kernel/cast.h"
#include "kernel/element.h"
#include "kernel/rows.h"

typedef struct curves {
    elements e; /* x, y -> u, arrays of steps x neurons; m: one row */
    tern_element kind[8];
    int kinds;
    bool by_row;
} curves;

/* Step `first` .. `last` of a chain: x, then y or the row m as the second operand of each. */
static void chain(const curves *c, int first, int last, const float *x)
{
    tern_element_pass p = {.rank = 2, .inputs = 2, .steps = last - first, .dim = {c->e.steps, c->e.neurons}};
    p.in[0] = (tern_element_operand){.data = x, .stride = {c->e.neurons, 1}};
    p.in[1] = (tern_element_operand){.data = c->by_row ? c->e.m : c->e.y,
                                     .stride = {c->by_row ? 0 : c->e.neurons, 1}};
    for (int s = 0; s < p.steps; s++)
        p.step[s] = (tern_element_step){.kind = c->kind[first + s], .in = {s ? 1 + s : 0, 1, 0}};
    p.step[p.steps - 1].out = c->e.u;
    tern_element_run(c->e.pool, &p);
}

static void one_pass(void *context, int times)
{
    const curves *c = context;
    for (int i = 0; i < times; i++) chain(c, 0, c->kinds, c->e.x);
}

static void step_by_step(void *context, int times)
{
    const curves *c = context;
    for (int i = 0; i < times; i++)
        for (int s = 0; s < c->kinds; s++) chain(c, s, s + 1, s ? c->e.u : c->e.x);
}

static void softmax(void *context, int times)
{
    const elements *e = context;
    for (int i = 0; i < times; i++) tern_softmax_rows(e->pool, e->steps, e->neurons, e->x, e->u, NULL);
}

static void normalise(void *context, int times)
{
    const elements *e = context;
    for (int i = 0; i < times; i++)
        tern_normalise_rows(e->pool, e->steps, e->neurons, 1e-5, true, e->x, e->u);
}

static void to_f16(void *context, int times)
{
    const elements *e = context;
    for (int i = 0; i < times; i++) tern_cast_loop(e->pool, e->count, TERN_F32, e->x, TERN_F16, e->u);
}

static void from_bf16(void *context, int times)
{
    const elements *e = context;
    for (int i = 0; i < times; i++) tern_cast_loop(e->pool, e->count, TERN_BF16, e->x, TERN_F32, e->u);
}

static void bench_curves(tern_pool *pool, int64_t steps, int64_t neurons, float *(*numbers)(int64_t))
{
    static const struct {
        const char *name;
        double bytes;
        bool by_row;
        tern_element kind;
    } single[] = {{"add", 12, false, TERN_ELEMENT_ADD},
                  {"multiply-by-row", 8, true, TERN_ELEMENT_MULTIPLY},
                  {"relu", 8, true, TERN_ELEMENT_RELU},
                  {"relu-grad", 12, false, TERN_ELEMENT_RELU_GRAD},
                  {"exp", 8, true, TERN_ELEMENT_EXP},
                  {"log", 8, true, TERN_ELEMENT_LOG},
                  {"sigmoid", 8, true, TERN_ELEMENT_SIGMOID},
                  {"tanh", 8, true, TERN_ELEMENT_TANH},
                  {"silu", 8, true, TERN_ELEMENT_SILU},
                  {"gelu", 8, true, TERN_ELEMENT_GELU},
                  {"gelu-grad", 12, false, TERN_ELEMENT_GELU_GRAD},
                  {"softplus", 8, true, TERN_ELEMENT_SOFTPLUS}};
    curves c = {.e = {.pool = pool, .steps = steps, .neurons = neurons, .count = steps * neurons},
                .kinds = 1};
    float **all[] = {&c.e.x, &c.e.y, &c.e.u, &c.e.m, &c.e.from, &c.e.to};
    for (size_t i = 0; i < TERN_COUNT(all); i++) *all[i] = numbers(c.e.count);
    for (size_t i = 0; i < TERN_COUNT(single); i++) {
        c.kind[0] = single[i].kind;
        c.by_row = single[i].by_row;
        bench_loop(single[i].name, &c.e, single[i].bytes, one_pass);
    }
    bench_loop("softmax", &c.e, 8, softmax);
    bench_loop("normalise", &c.e, 8, normalise);
    bench_loop("f32-to-f16", &c.e, 6, to_f16);
    bench_loop("bf16-to-f32", &c.e, 6, from_bf16);
    static const tern_element affine[] = {TERN_ELEMENT_MULTIPLY, TERN_ELEMENT_ADD, TERN_ELEMENT_GELU,
                                          TERN_ELEMENT_MULTIPLY};
    memcpy(c.kind, affine, sizeof affine);
    char name[96];
    for (c.kinds = 2; c.kinds <= 4; c.kinds += 2) {
        c.by_row = true;
        snprintf(name, sizeof name, "fused-%d-steps-%lldx%lld-vs-one-by-one", c.kinds, (long long)steps,
                 (long long)neurons);
        bench_print(name, 0, "ms", one_pass, &c, step_by_step, &c);
    }
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(*all[i]);
}

#endif
