/* Layers over images and sequences that are made of other operators. */
#include "op/op.h"

#include <math.h>

/* [..,C,L] as images of height 1, and back. */
static tern_value as_images(tern_graph *g, tern_value x)
{
    tern_shape s = tern_shape_of(g, x);
    if (g->status != TERN_OK) return (tern_value){0};
    if (s.rank < 2 || s.rank >= TERN_MAX_RANK) {
        char text[96];
        return tern_graph_fail(g, "layer %s: x is %s, expected [..,C,L] of at most %d axes", g->layer,
                               tern_shape_text(text, &s), TERN_MAX_RANK - 1);
    }
    s.dim[s.rank] = s.dim[s.rank - 1];
    s.dim[s.rank - 1] = 1;
    s.rank++;
    return tern_reshape(g, x, s);
}

static tern_value as_sequences(tern_graph *g, tern_value y)
{
    tern_shape s = tern_shape_of(g, y);
    if (g->status != TERN_OK) return (tern_value){0};
    s.dim[s.rank - 2] = s.dim[s.rank - 1];
    s.rank--;
    return tern_reshape(g, y, s);
}

tern_value tern_conv1d_with(tern_graph *graph, tern_value x, tern_conv2d_args args)
{
    return as_sequences(graph, tern_conv2d_with(graph, as_images(graph, x), args));
}

tern_value tern_max_pool1d_with(tern_graph *graph, tern_value x, tern_pool2d_args args)
{
    return as_sequences(graph, tern_max_pool2d_with(graph, as_images(graph, x), args));
}

tern_value tern_avg_pool1d_with(tern_graph *graph, tern_value x, tern_pool2d_args args)
{
    return as_sequences(graph, tern_avg_pool2d_with(graph, as_images(graph, x), args));
}

tern_value tern_adaptive_avg_pool2d_with(tern_graph *graph, tern_value x, tern_adaptive_pool_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    char text[96];
    if (graph->status != TERN_OK) return (tern_value){0};
    int64_t height = s.rank < 3 ? 0 : s.dim[s.rank - 2], width = s.rank < 3 ? 0 : s.dim[s.rank - 1];
    if (args.size == 1 && s.rank >= 3)
        return tern_mean(graph, x, .axis = s.rank - 2, .axes = 2, .keep = true);
    if (args.size < 1 || height < 1 || height % args.size || width % args.size ||
        height / args.size != width / args.size)
        return tern_graph_fail(
            graph,
            "adaptive_avg_pool2d: x is %s, expected square windows: [..,C,H,W] with H = W a multiple of %d",
            tern_shape_text(text, &s), args.size);
    return tern_avg_pool2d(graph, x, .kernel = (int)(height / args.size));
}

tern_value tern_upsample2d_with(tern_graph *graph, tern_value x, tern_upsample_args args)
{
    tern_shape s = tern_shape_of(graph, x);
    char text[96];
    if (graph->status != TERN_OK) return (tern_value){0};
    if (s.rank < 2 || args.factor < 1)
        return tern_graph_fail(graph, "upsample2d: x is %s, .factor %d: expected [..,H,W] and at least 1",
                               tern_shape_text(text, &s), args.factor);
    int64_t planes = tern_elements_upto(&s, s.rank - 2), h = s.dim[s.rank - 2], w = s.dim[s.rank - 1],
            f = args.factor;
    x = tern_reshape(graph, x, TERN_SHAPE(planes, h, 1, w, 1));
    x = tern_expand(graph, x, TERN_SHAPE(planes, h, f, w, f));
    s.dim[s.rank - 2] *= f;
    s.dim[s.rank - 1] *= f;
    return tern_reshape(graph, x, s);
}

/* ---- transposed convolution ------------------------------------------ */

tern_value tern_conv_transpose2d_with(tern_graph *graph, tern_value x, tern_conv_transpose2d_args args)
{
    tern_shape y = tern_shape_of(graph, x);
    char text[96];
    tern_layer(graph, "conv_transpose", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    int r = y.rank;
    int64_t in = r < 4 ? 0 : y.dim[r - 3];
    if (in < 1 || args.out < 1 || args.kernel < 1 || args.groups < 1 || args.stride < 1 ||
        args.dilation < 1 || in % args.groups || args.out % args.groups || args.out_pad < 0 ||
        args.out_pad >= args.stride)
        return tern_graph_fail(
            graph,
            "layer %s: x %s, .out %d, .kernel %d, .stride %d, .groups %d, .out_pad %d do not go together: "
            "expected [..,C,H,W], groups that divide C and out, and out_pad below stride",
            graph->layer, tern_shape_text(text, &y), args.out, args.kernel, args.stride, args.groups,
            args.out_pad);
    int64_t out = args.out / args.groups, reach = (int64_t)args.dilation * (args.kernel - 1) + 1;
    int64_t height = args.flat ? 1 : args.kernel;
    tern_init init = {TERN_INIT_UNIFORM, 1 / sqrt((double)out * (double)height * args.kernel)};
    y.dim[r - 3] = args.out;
    for (int d = args.flat ? r - 1 : r - 2; d < r; d++)
        y.dim[d] = (y.dim[d] - 1) * args.stride + reach - 2 * (int64_t)args.pad + args.out_pad;
    tern_conv_op op = {
        .stride = args.stride, .pad = args.pad, .dilation = args.dilation, .groups = args.groups, .like = y};
    tern_shape w = TERN_SHAPE(in, out, height, args.kernel);
    tern_value ins[3] = {x, tern_param(graph, tern_layer_name(graph, "weight"), w, init)};
    if (args.bias) ins[2] = tern_param(graph, tern_layer_name(graph, "bias"), TERN_SHAPE(args.out), init);
    return tern_apply(graph, &tern_op_conv2d_transposed, &op, ins, args.bias ? 3 : 2, NULL);
}

tern_value tern_conv_transpose1d_with(tern_graph *graph, tern_value x, tern_conv_transpose2d_args args)
{
    args.flat = true;
    return as_sequences(graph, tern_conv_transpose2d_with(graph, as_images(graph, x), args));
}
