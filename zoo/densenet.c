/* DenseNet (Huang et al. 2017, arXiv 1608.06993, table 1): each layer of a block sees the outputs of all layers before it, and adds
 * `growth` channels to them; between blocks channels and pixels are halved. */
#include "zoo.h"

struct densenet {
    int depth, growth, classes;
};

enum { BLOCKS = 4 };
static const struct {
    int depth, layers[BLOCKS];
} plans[] = {{121, {6, 12, 24, 16}}, {169, {6, 12, 32, 32}}, {201, {6, 12, 48, 32}}};
enum { PLANS = sizeof plans / sizeof *plans };

static tern_value norm_relu_conv(tern_graph *g, tern_value x, int out, int kernel)
{
    x = relu(g, batch_norm(g, x));
    return same_conv2d(g, x, out, kernel, 1, 1);
}

static tern_value dense_block(tern_graph *g, tern_value x, int layers, int growth)
{
    for (int i = 0; i < layers; i++) {
        tern_value fresh = norm_relu_conv(g, norm_relu_conv(g, x, 4 * growth, 1), growth, 3);
        x = tern_concat(g, (tern_value[]){x, fresh}, 2, 1);
    }
    return x;
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct densenet *p, tern_value image)
{
    int plan = 0;
    while (plan < PLANS - 1 && plans[plan].depth < p->depth) plan++;
    tern_value x = conv2d(g, image, .out = 2 * p->growth, .kernel = 7, .stride = 2, .pad = 3, .bias = false);
    x = max_pool2d(g, relu(g, batch_norm(g, x)), .kernel = 3, .stride = 2, .pad = 1);
    for (int b = 0; b < BLOCKS; b++) {
        x = dense_block(g, x, plans[plan].layers[b], p->growth);
        if (b == BLOCKS - 1) break;
        x = norm_relu_conv(g, x, (int)tern_shape_of(g, x).dim[1] / 2, 1);
        x = avg_pool2d(g, x, .kernel = 2);
    }
    x = mean(g, relu(g, batch_norm(g, x)), .axis = 2, .axes = 2);
    return linear(g, x, .out = p->classes);
}

TERN_NET(densenet, "densenet", "DenseNet", false, IMAGE(3, 64, 64), build,
         INT(densenet, depth, 121, "layers: 121, 169 or 201 (the next larger one is taken)"),
         INT(densenet, growth, 32, "channels that a layer adds"), INT(densenet, classes, 10, "classes"));
