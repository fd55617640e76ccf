/* EfficientNet (Tan & Le 2019, arXiv 1905.11946, table 1): inverted residuals with squeeze and excitation and x sigmoid(x).  B0 is
 * what a search found; B1 to B7 widen and deepen it by --alpha and --beta (B1: 1 and 1.1, B2: 1.1 and 1.2, ..). */
#include "zoo.h"

#include <math.h>

struct efficientnet {
    double alpha, beta;
    int classes;
};

/* Expansion, kernel, stride of the first block, channels, blocks. */
static const struct {
    int expand, kernel, stride, channels, blocks;
} plan[] = {{1, 3, 1, 16, 1},  {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2}, {6, 3, 2, 80, 3},
            {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4}, {6, 3, 1, 320, 1}};
enum { STAGES = sizeof plan / sizeof *plan };

/* Channels of x weighed by what the whole image says; `squeezed` channels in between. */
static tern_value squeeze_and_excite(tern_graph *g, tern_value x, int squeezed)
{
    int channels = (int)tern_shape_of(g, x).dim[1];
    tern_value s = mean(g, x, .axis = 2, .axes = 2, .keep = true);
    s = tern_silu(g, conv2d(g, s, .out = squeezed, .kernel = 1));
    s = tern_sigmoid(g, conv2d(g, s, .out = channels, .kernel = 1));
    return tern_multiply(g, x, s);
}

static tern_value block(tern_graph *g, tern_value x, int expand, int kernel, int stride, int out)
{
    int in = (int)tern_shape_of(g, x).dim[1], hidden = expand * in;
    tern_value y = expand > 1 ? tern_silu(g, conv_norm(g, x, hidden, 1, 1, 1)) : x;
    y = tern_silu(g, conv_norm(g, y, hidden, kernel, stride, hidden));
    y = squeeze_and_excite(g, y, in / 4 ? in / 4 : 1);
    y = conv_norm(g, y, out, 1, 1, 1);
    return stride == 1 && in == out ? add(g, x, y) : y;
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct efficientnet *p, tern_value image)
{
    tern_value x = tern_silu(g, conv_norm(g, image, in_eights(p->alpha * 32), 3, 2, 1));
    for (int s = 0; s < STAGES; s++)
        for (int i = 0; i < (int)ceil(p->beta * plan[s].blocks); i++)
            x = block(g, x, plan[s].expand, plan[s].kernel, i ? 1 : plan[s].stride,
                      in_eights(p->alpha * plan[s].channels));
    x = tern_silu(g, conv_norm(g, x, 4 * in_eights(p->alpha * plan[STAGES - 1].channels), 1, 1, 1));
    x = dropout(g, mean(g, x, .axis = 2, .axes = 2), .rate = 0.2);
    return linear(g, x, .out = p->classes);
}

TERN_NET(efficientnet, "efficientnet", "EfficientNet, B0 by default", false, IMAGE(3, 64, 64), build,
         REAL(efficientnet, alpha, 1, "width multiplier"), REAL(efficientnet, beta, 1, "depth multiplier"),
         INT(efficientnet, classes, 10, "classes"));
