/* MobileNet v3, large and small (Howard et al. 2019, arXiv 1905.02244, tables 1 and 2): the blocks of v2 as a search found them,
 * with squeeze and excitation in some (channels weighed by what the whole image says of them) and x hard_sigmoid(x) in the later
 * ones. */
#include "zoo.h"

struct mobilenet_v3 {
    int small, classes;
    double alpha;
};

/* Kernel, channels inside, channels out, squeeze and excitation, hard swish (else ReLU), stride. */
typedef struct row {
    int kernel, inside, out, squeeze, swish, stride;
} row;
static const row large[] = {
    {3, 16, 16, 0, 0, 1},   {3, 64, 24, 0, 0, 2},   {3, 72, 24, 0, 0, 1},   {5, 72, 40, 1, 0, 2},
    {5, 120, 40, 1, 0, 1},  {5, 120, 40, 1, 0, 1},  {3, 240, 80, 0, 1, 2},  {3, 200, 80, 0, 1, 1},
    {3, 184, 80, 0, 1, 1},  {3, 184, 80, 0, 1, 1},  {3, 480, 112, 1, 1, 1}, {3, 672, 112, 1, 1, 1},
    {5, 672, 160, 1, 1, 2}, {5, 960, 160, 1, 1, 1}, {5, 960, 160, 1, 1, 1}, {0}};
static const row small[] = {{3, 16, 16, 1, 0, 2},  {3, 72, 24, 0, 0, 2},  {3, 88, 24, 0, 0, 1},
                            {5, 96, 40, 1, 1, 2},  {5, 240, 40, 1, 1, 1}, {5, 240, 40, 1, 1, 1},
                            {5, 120, 48, 1, 1, 1}, {5, 144, 48, 1, 1, 1}, {5, 288, 96, 1, 1, 2},
                            {5, 576, 96, 1, 1, 1}, {5, 576, 96, 1, 1, 1}, {0}};

/* The running statistics of its norms change slowly. */
static tern_value conv_slow_norm(tern_graph *g, tern_value x, int out, int kernel, int stride, int groups)
{
    x = same_conv2d(g, x, out, kernel, stride, groups);
    return batch_norm(g, x, .epsilon = 1e-3, .momentum = 0.01);
}

static tern_value activation(tern_graph *g, tern_value x, int swish)
{
    return swish ? tern_hard_swish(g, x) : relu(g, x);
}

static tern_value squeeze_and_excite(tern_graph *g, tern_value x)
{
    int channels = (int)tern_shape_of(g, x).dim[1];
    tern_value s = mean(g, x, .axis = 2, .axes = 2, .keep = true);
    s = relu(g, conv2d(g, s, .out = in_eights(channels / 4.0), .kernel = 1));
    s = tern_hard_sigmoid(g, conv2d(g, s, .out = channels, .kernel = 1));
    return tern_multiply(g, x, s);
}

static tern_value block(tern_graph *g, tern_value x, const row *r, double alpha)
{
    int in = (int)tern_shape_of(g, x).dim[1], inside = in_eights(alpha * r->inside),
        out = in_eights(alpha * r->out);
    tern_value y = inside == in ? x : activation(g, conv_slow_norm(g, x, inside, 1, 1, 1), r->swish);
    y = activation(g, conv_slow_norm(g, y, inside, r->kernel, r->stride, inside), r->swish);
    if (r->squeeze) y = squeeze_and_excite(g, y);
    y = conv_slow_norm(g, y, out, 1, 1, 1);
    return r->stride == 1 && in == out ? add(g, x, y) : y;
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct mobilenet_v3 *p, tern_value image)
{
    tern_value x = tern_hard_swish(g, conv_slow_norm(g, image, in_eights(16 * p->alpha), 3, 2, 1));
    const row *r = p->small ? small : large;
    for (; r->kernel; r++) x = block(g, x, r, p->alpha);
    x = tern_hard_swish(g, conv_slow_norm(g, x, 6 * in_eights(p->alpha * (r - 1)->out), 1, 1, 1));
    x = mean(g, x, .axis = 2, .axes = 2);
    x = tern_hard_swish(g, linear(g, x, .out = in_eights(p->alpha * (p->small ? 1024 : 1280))));
    return linear(g, dropout(g, x, .rate = 0.2), .out = p->classes);
}

TERN_NET(mobilenet_v3, "mobilenet-v3", "MobileNet v3", false, IMAGE(3, 64, 64), build,
         INT(mobilenet_v3, small, 0, "1: the small net, 0: the large one"),
         INT(mobilenet_v3, classes, 10, "classes"), REAL(mobilenet_v3, alpha, 1, "width multiplier"));
