/* DS-CNN (Zhang et al. 2017, arXiv 1711.07128), the net of keyword spotting in MLPerf Tiny: a convolution that halves the image,
 * depthwise separable blocks (3x3 of each channel, then 1x1 over channels), a global mean and a linear layer.  Spectrograms of
 * 49x10 and its 10x4 kernel have become square. */
#include "zoo.h"

struct ds_cnn {
    int width, blocks, kernel, classes;
};

static tern_value conv_norm_relu(tern_graph *g, tern_value x, int out, int kernel, int stride, int groups)
{
    return relu(g, conv_norm(g, x, out, kernel, stride, groups));
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct ds_cnn *p, tern_value image)
{
    tern_value x = conv_norm_relu(g, image, p->width, p->kernel, 2, 1);
    for (int i = 0; i < p->blocks; i++) {
        x = conv_norm_relu(g, x, p->width, 3, 1, p->width); /* each channel by itself */
        x = conv_norm_relu(g, x, p->width, 1, 1, 1);
    }
    x = mean(g, x, .axis = 2, .axes = 2); /* [B,C] */
    return linear(g, x, .out = p->classes);
}

TERN_NET(ds_cnn, "ds-cnn", "DS-CNN, depthwise separable", false, IMAGE(1, 28, 28), build,
         INT(ds_cnn, width, 64, "channels"), INT(ds_cnn, blocks, 4, "depthwise separable blocks"),
         INT(ds_cnn, kernel, 4, "pixels of the first convolution's windows along each axis"),
         INT(ds_cnn, classes, 10, "classes"));
