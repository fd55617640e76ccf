/* MobileNet v2 (Sandler et al. 2018, arXiv 1801.04381, table 2): blocks that widen, look at each channel by itself, and narrow
 * again without a ReLU (inverted residuals with linear bottlenecks); where nothing else changes, the input is added. */
#include "zoo.h"

struct mobilenet_v2 {
    double alpha;
    int classes;
};

/* Expansion, channels, blocks in a row, stride of the first. */
static const struct {
    int expand, channels, blocks, stride;
} plan[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
            {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
enum { STAGES = sizeof plan / sizeof *plan };

static tern_value conv_norm_relu6(tern_graph *g, tern_value x, int out, int kernel, int stride, int groups)
{
    return clip(g, conv_norm(g, x, out, kernel, stride, groups), 0, 6);
}

static tern_value block(tern_graph *g, tern_value x, int expand, int out, int stride)
{
    int in = (int)tern_shape_of(g, x).dim[1], hidden = expand * in;
    tern_value y = expand > 1 ? conv_norm_relu6(g, x, hidden, 1, 1, 1) : x;
    y = conv_norm_relu6(g, y, hidden, 3, stride, hidden);
    y = conv_norm(g, y, out, 1, 1, 1);
    return stride == 1 && in == out ? add(g, x, y) : y;
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct mobilenet_v2 *p, tern_value image)
{
    tern_value x = conv_norm_relu6(g, image, in_eights(p->alpha * 32), 3, 2, 1);
    for (int s = 0; s < STAGES; s++)
        for (int i = 0; i < plan[s].blocks; i++)
            x = block(g, x, plan[s].expand, in_eights(p->alpha * plan[s].channels), i ? 1 : plan[s].stride);
    x = conv_norm_relu6(g, x, in_eights((p->alpha > 1 ? p->alpha : 1) * 1280), 1, 1, 1);
    x = dropout(g, mean(g, x, .axis = 2, .axes = 2), .rate = 0.2);
    return linear(g, x, .out = p->classes);
}

TERN_NET(mobilenet_v2, "mobilenet-v2", "MobileNet v2", false, IMAGE(3, 64, 64), build,
         REAL(mobilenet_v2, alpha, 1, "width multiplier"), INT(mobilenet_v2, classes, 10, "classes"));
