/* Residual networks (He et al. 2015, arXiv 1512.03385): a 7x7 convolution and a maximum of 3x3, four stages of blocks whose input is
 * added to what they compute, a global mean and a linear layer.  From depth 50 on a block narrows before its 3x3 convolution and
 * widens behind it; the stride is that of the 3x3 convolution. */
#include "zoo.h"

struct resnet {
    int depth, width, classes;
};

enum { STAGES = 4 };
static const struct {
    int depth, blocks[STAGES];
} plans[] = {{18, {2, 2, 2, 2}}, {34, {3, 4, 6, 3}}, {50, {3, 4, 6, 3}}, {101, {3, 4, 23, 3}}};
enum { PLANS = sizeof plans / sizeof *plans };

/* x [B,C,H,W] -> [B,width or 4 width,H/stride,W/stride] */
static tern_value block(tern_graph *g, tern_value x, int width, int stride, bool narrow)
{
    int out = narrow ? 4 * width : width;
    bool same = stride == 1 && tern_shape_of(g, x).dim[1] == out;
    tern_value y;
    if (narrow) {
        y = relu(g, conv_norm(g, x, width, 1, 1, 1));
        y = relu(g, conv_norm(g, y, width, 3, stride, 1));
        y = conv_norm(g, y, out, 1, 1, 1);
    } else {
        y = relu(g, conv_norm(g, x, width, 3, stride, 1));
        y = conv_norm(g, y, out, 3, 1, 1);
    }
    return relu(g, add(g, y, same ? x : conv_norm(g, x, out, 1, stride, 1)));
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct resnet *p, tern_value image)
{
    int plan = 0;
    while (plan < PLANS - 1 && plans[plan].depth < p->depth) plan++;
    tern_value x = relu(g, conv_norm(g, image, p->width, 7, 2, 1));
    x = max_pool2d(g, x, .kernel = 3, .stride = 2, .pad = 1);
    for (int stage = 0; stage < STAGES; stage++)
        for (int i = 0; i < plans[plan].blocks[stage]; i++)
            x = block(g, x, p->width << stage, stage && i == 0 ? 2 : 1, plans[plan].depth >= 50);
    x = mean(g, x, .axis = 2, .axes = 2); /* [B,C] */
    return linear(g, x, .out = p->classes);
}

TERN_NET(resnet, "resnet", "residual network", false, IMAGE(3, 64, 64), build,
         INT(resnet, depth, 18, "layers: 18, 34, 50 or 101 (the next larger one is taken)"),
         INT(resnet, width, 64, "channels of the first stage"), INT(resnet, classes, 10, "classes"));
