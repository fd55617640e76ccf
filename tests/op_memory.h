/* Operands of the cases of op_cases.h: made, filled and released. */
#ifndef TERN_OP_MEMORY_H
#define TERN_OP_MEMORY_H

#include "op_cases.h"

#include "kernel/exponent.h"

static void make(size_t c, spec *s)
{
    memset(s, 0, sizeof *s);
    s->op = tern_operator_find(cases[c].name);
    assert_non_null(s->op);
    s->tolerance = 1e-4;
    s->density = uniform();
    cases[c].make(s);
}

/* What calibration would find, now and then beyond. */
static double integer(values v, int64_t i)
{
    bool rare = below(20) == 0;
    if (v == SUM_CONSTANTS) v = i % 3 == 0 || i > 8 ? ZEROS : i % 3 == 1 ? MULTIPLIERS : SUM_CONSTANTS;
    if (v == PRODUCT_CONSTANTS || v == MEAN_CONSTANTS) {
        int64_t at = v == PRODUCT_CONSTANTS ? i - 2 : i; /* both have a multiplier and its shift in a row */
        v = at == 1 ? MULTIPLIERS : at == 2 ? SHIFTS : ZEROS;
    }
    if (v == LOGISTIC_STEPS) return tern_logistic_steps[i];
    if (v == SHORT_STEPS) return nearbyint(32767 * exp((double)(i - 512) / 50));
    if (v == SHORT_FACTOR) return i == 0 ? between(1, 32767) : between(0, rare ? 31 : 15);
    if (v == RESCALE_CONSTANTS) {
        if (i > 5) return i == 6 ? between(-40000, 0) : between(0, 40000); /* limits */
        v = i == 0 || i == 5 ? ZEROS : i % 2 ? MULTIPLIERS : SHIFTS;
    }
    if (v == LSTM_CONSTANTS) {
        static const int32_t last[] = {3, 20000, 3, 1}; /* zero, largest cell, multiplier and shift of tanh */
        if (i >= 22) return last[i - 22];
        v = i % 2 ? SHIFTS : MULTIPLIERS;
    }
    if (v == SVDF_CONSTANTS) v = i == 4 ? ZEROS : i % 2 ? SHIFTS : MULTIPLIERS;
    if (v == EXPONENTIAL_STEPS) return i < 256 ? nearbyint(32767 * exp(-(double)i / 24)) : 0;
    if (v == NORM_CONSTANTS)
        return i == 0 ? between(1, 1 << 20) : i == 1 ? between(0, 20) : between(-128, 127);
    if (v == ATTENTION_CONSTANTS) {
        if (i == 3 || i == 6) return i == 3 ? between(-8, 0) : between(-18, -12);
        if (i == 4) return 65500;
        v = i == 2 || i == 5 ? MULTIPLIERS : ZEROS;
    }
    if (v == BIASES) return between(-(1 << 17), 1 << 17);
    if (v == MULTIPLIERS) return (double)(1 << 30) + between(0, (1 << 30) - 1);
    if (v == SHIFTS) return rare ? between(-31, 6) : between(-12, -4);
    if (v == SUM_CONSTANTS) return i < 8 ? between(-4, 0) : between(-22, -17);
    if (v == EXPONENTIALS) return nearbyint(exp(-0.03 * (double)i) * 2147483647.0);
    return between(-128, 127);
}

static void fill(const tern_tensor *t, values v, double density)
{
    int64_t n = tern_elements(&t->shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tern_rng_normal(rng, drawn++);
        if (v == POSITIVE) x = 0.5 + fabs(x);
        if (v == LABELS) x = between(1, 2) - (below(8) == 0 ? 3 : 0) * (t->dtype == TERN_I32);
        if (v == SPIKES) x = uniform() < density;
        if (v == COUNTS) x = uniform() < density ? round(3 * x) : 0;
        if (v == RATE) x = 0.01;
        if (v == QUARTERS) x = uniform() < density ? between(1, 4) / 4.0 : 0;
        if (v == TREE_FEATURE) x = below(4) ? below(3) : -1;
        if (v == TREE_CHILD) x = (double)i + between(1, 3);
        if (t->dtype == TERN_I8) x = between(-128, 127);
        if (v >= BIASES) x = integer(v, i);
        if (v == NORMAL && fabs(x) < 0.02) x = 0.05; /* finite differences stay on one side of kinks */
        tern_set(t, i, x);
    }
}

/* Outputs of a spec, as tensors of their own. */
static int infer(const spec *s, tern_type *out)
{
    const tern_type *in[12] = {0};
    for (int i = 0; i < s->nin; i++) in[i] = s->absent[i] ? NULL : &s->in[i];
    tern_infer types = {.op = s->op, .args = s->args, .nin = s->nin, .in = in, .out = out};
    assert_ok(s->op->infer(&types));
    return types.nout;
}

typedef struct memory {
    tern_tensor in[12], out[8];
    int nin, nout;
} memory;

static void open_memory(memory *m, const spec *s)
{
    tern_type out[8];
    *m = (memory){.nin = s->nin, .nout = infer(s, out)};
    for (int i = 0; i < s->nin; i++) {
        if (s->absent[i]) continue;
        assert_ok(tern_tensor_new(&m->in[i], s->in[i].dtype, &s->in[i].shape));
        fill(&m->in[i], s->values[i], s->density);
    }
    for (int i = 0; i < m->nout; i++) assert_ok(tern_tensor_new(&m->out[i], out[i].dtype, &out[i].shape));
}

static void close_memory(memory *m)
{
    for (int i = 0; i < m->nin; i++) tern_tensor_free(&m->in[i]);
    for (int i = 0; i < m->nout; i++) tern_tensor_free(&m->out[i]);
}

static tern_call call_of(const spec *s, memory *m)
{
    return (tern_call){.op = s->op,
                       .args = s->args,
                       .nin = m->nin,
                       .nout = m->nout,
                       .in = m->in,
                       .out = m->out,
                       .levels = s->in[0].levels,
                       .seed = 5};
}

static void run_with(void (*run)(const tern_call *), size_t (*scratch)(const tern_call *), tern_call *call)
{
    void *memory = scratch ? tern_take(scratch(call) + 64) : NULL;
    call->scratch = memory;
    run(call);
    tern_release(memory);
}

#endif
