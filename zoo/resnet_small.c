/* Residual networks for small images (He et al. 2015, arXiv 1512.03385, section 4.2): a 3x3 convolution, three stages of blocks,
 * each half as large and twice as wide as the one before, a global mean and a linear layer: 6 n + 2 layers with n blocks a stage.
 * Where a block changes the shape its shortcut is a 1x1 convolution. */
#include "zoo.h"

struct resnet_small {
    int depth, width, classes;
};

enum { STAGES = 3 };

/* x [B,C,H,W] -> [B,width,H/stride,W/stride] */
static tern_value block(tern_graph *g, tern_value x, int width, int stride)
{
    bool same = stride == 1 && tern_shape_of(g, x).dim[1] == width;
    tern_value y = relu(g, conv_norm(g, x, width, 3, stride, 1));
    y = conv_norm(g, y, width, 3, 1, 1);
    return relu(g, add(g, y, same ? x : conv_norm(g, x, width, 1, stride, 1)));
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct resnet_small *p, tern_value image)
{
    int blocks = p->depth > 8 ? (p->depth - 2) / 6 : 1;
    tern_value x = relu(g, conv_norm(g, image, p->width, 3, 1, 1));
    for (int stage = 0; stage < STAGES; stage++)
        for (int i = 0; i < blocks; i++) x = block(g, x, p->width << stage, stage && i == 0 ? 2 : 1);
    x = mean(g, x, .axis = 2, .axes = 2); /* [B,C] */
    return linear(g, x, .out = p->classes);
}

TERN_NET(resnet_small, "resnet-small", "residual network for small images", false, IMAGE(1, 28, 28), build,
         INT(resnet_small, depth, 8, "layers: 8, 14, 20, 32, 44, 56 or 110"),
         INT(resnet_small, width, 16, "channels of the first stage"),
         INT(resnet_small, classes, 10, "classes"));
