/* Layers of few bits: weights and activations as levels of a step, which sums in f32 hold exactly. */
#include "op/fixed.h"

tern_levelled tern_whole(tern_graph *graph, tern_value x, int high)
{
    tern_fixed_op op = {.positive = true,
                        .round = TERN_ROUND_UP,
                        .overflow = TERN_OVERFLOW_SATURATE,
                        .hold = true,
                        .fixed = true};
    while (high >> op.bits) op.bits++;
    tern_value in[] = {x, tern_scalar(graph, 0)};
    return (tern_levelled){tern_apply(graph, &tern_op_fixed, &op, in, 2, NULL), tern_scalar(graph, 1), high};
}

tern_levelled tern_low_levels(tern_graph *graph, tern_value w, int bits)
{
    tern_graph *g = graph;
    int high = bits > 1 ? (1 << (bits - 1)) - 1 : 1, axes = tern_shape_of(g, w).rank;
    tern_value size = tern_absolute(g, w), step;
    if (bits > 1)
        step = tern_max(g, size, .axis = 0, .axes = axes);
    else
        step = tern_mean(g, size, .axis = 0, .axes = axes);
    step = tern_reshape(g, step, TERN_SHAPE(1));
    step = tern_maximum(g, tern_divide(g, step, tern_scalar(g, high)), tern_scalar(g, 1e-10));
    tern_uniform_op op = {-high, high, true, bits == 1};
    return (tern_levelled){tern_apply(g, &tern_op_uniform, &op, (tern_value[]){w, step}, 2, NULL), step,
                           high};
}

/* Weights [out, in] as levels. */
static tern_levelled weights_of(tern_graph *g, int out, int64_t in, int bits)
{
    tern_init init = {TERN_INIT_UNIFORM, 1 / sqrt((double)in)};
    return tern_low_levels(g, tern_param(g, tern_layer_name(g, "weight"), TERN_SHAPE(out, in), init), bits);
}

static bool begin(tern_graph *g, tern_levelled x, const tern_low_args *a)
{
    tern_shape s = tern_shape_of(g, x.k);
    tern_layer(g, "low", a->name);
    if (g->status != TERN_OK) return false;
    bool good = s.rank >= 1 && a->out > 0 && a->bits >= 1 && a->bits <= 8 && a->act_bits >= 1 &&
                a->act_bits <= 8 && a->dropout >= 0 && a->dropout < 1;
    if (good) return true;
    char text[96];
    tern_graph_fail(
        g,
        "layer %s: x %s, .out %d, .bits %d, .act_bits %d, .dropout %g: expected [..,K], outputs, 1 "
        "to 8 bits and dropout below 1",
        g->layer, tern_shape_text(text, &s), a->out, a->bits, a->act_bits, a->dropout);
    return false;
}

static tern_value sums_of(tern_graph *g, tern_levelled x, tern_levelled w, tern_value bias)
{
    tern_value in[] = {x.k, w.k, bias};
    return tern_apply(g, &tern_op_linear, NULL, in, bias.id ? 3 : 2, NULL);
}

/* What the batch norm of training becomes: one scale and shift of the sums, over the step of the activation. */
static tern_value infer_levels(tern_graph *g, const char *norm, tern_value sums, tern_value sum_step,
                               tern_value bias, tern_value step, int high)
{
    tern_shape channels = tern_shape_of(g, bias);
    tern_init one = {TERN_INIT_CONSTANT, 1}, zero = {TERN_INIT_ZERO, 0};
    tern_arena *a = &g->arena;
    const char *names[4] = {tern_arena_format(a, "%s.weight", norm), tern_arena_format(a, "%s.bias", norm),
                            tern_arena_format(a, "%s.running_mean", norm),
                            tern_arena_format(a, "%s.running_var", norm)};
    for (int i = 0; i < 4; i++)
        if (!names[i]) return tern_graph_no_memory(g);
    tern_value gamma = tern_param(g, names[0], channels, one), beta = tern_param(g, names[1], channels, zero);
    tern_value mean = tern_state(g, names[2], TERN_F32, channels, zero, true),
               variance = tern_state(g, names[3], TERN_F32, channels, one, true);
    tern_value scale = tern_divide(g, gamma, tern_sqrt(g, tern_add(g, variance, tern_scalar(g, 1e-5))));
    tern_value shift = tern_add(g, tern_multiply(g, scale, tern_subtract(g, bias, mean)), beta);
    tern_value in[] = {sums, tern_divide(g, tern_multiply(g, scale, sum_step), step),
                       tern_divide(g, shift, step)};
    tern_thresholds_op op = {.high = high, .inner = 1};
    return tern_apply(g, &tern_op_step_levels, &op, in, 3, NULL);
}

tern_levelled tern_low_linear_with(tern_graph *graph, tern_levelled x, tern_low_args args)
{
    tern_graph *g = graph;
    if (!begin(g, x, &args)) return (tern_levelled){0};
    const char *label = g->layer;
    tern_shape s = tern_shape_of(g, x.k);
    tern_levelled w = weights_of(g, args.out, s.dim[s.rank - 1], args.bits),
                  y = {.high = (1 << args.act_bits) - 1};
    tern_value bias = tern_param(g, tern_layer_name(g, "bias"), TERN_SHAPE(args.out), (tern_init){0});
    /* a norm's outputs are normal: the step at which the highest level is their 99.999 % quantile */
    tern_init start = {TERN_INIT_CONSTANT, 4.26 / y.high};
    y.step = tern_param(g, tern_layer_name(g, "step"), TERN_SHAPE(1), start);
    tern_limit(g, y.step, 1e-6, INFINITY);
    tern_value sums = sums_of(g, x, w, (tern_value){0}), sum_step = tern_multiply(g, w.step, x.step);
    const char *norm = tern_arena_format(&g->arena, "%s-norm", label);
    if (!norm) tern_graph_no_memory(g);
    if (g->status != TERN_OK) return (tern_levelled){0};
    if (!g->options.training) {
        tern_layer(g, "norm", norm); /* layers are numbered as in training */
        if (args.dropout > 0) tern_layer(g, "dropout", NULL);
        g->layer = label;
        y.k = infer_levels(g, norm, sums, sum_step, bias, y.step, y.high);
        return y;
    }
    tern_value z = tern_add(g, tern_multiply(g, sums, sum_step), bias);
    z = tern_batch_norm(g, z, .name = norm);
    if (args.dropout > 0) z = tern_dropout(g, z, .rate = args.dropout);
    g->layer = label;
    tern_uniform_op op = {0, y.high, true, false};
    y.k = tern_apply(g, &tern_op_uniform, &op, (tern_value[]){tern_relu(g, z), y.step}, 2, NULL);
    return y;
}

tern_value tern_low_logits_with(tern_graph *graph, tern_levelled x, tern_low_args args)
{
    tern_graph *g = graph;
    if (!begin(g, x, &args)) return (tern_value){0};
    tern_shape s = tern_shape_of(g, x.k);
    tern_levelled w = weights_of(g, args.out, s.dim[s.rank - 1], args.bits);
    tern_value step = tern_multiply(g, w.step, x.step);
    tern_value bias = tern_param(g, tern_layer_name(g, "bias"), TERN_SHAPE(args.out), (tern_init){0});
    tern_uniform_op op = {-32768, 32767, true, false};
    bias = tern_apply(g, &tern_op_uniform, &op, (tern_value[]){bias, step}, 2, NULL);
    return tern_multiply(g, sums_of(g, x, w, bias), step);
}
