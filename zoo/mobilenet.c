/* MobileNet v1 (Howard et al. 2017, arXiv 1704.04861): a 3x3 convolution of stride 2, then 13 depthwise separable blocks, a
 * global mean and a linear layer.  Any size of image: alpha 0.25, 0.5, 0.75 or 1 and 224 pixels are the paper's. */
#include "zoo.h"

struct mobilenet {
    double alpha;
    int blocks, classes;
};

/* Channels and stride of each block, at width 1. */
static const struct {
    int channels, stride;
} plan[] = {{64, 1},  {128, 2}, {128, 1}, {256, 2}, {256, 1},  {512, 2}, {512, 1},
            {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1}};
enum { MOST_BLOCKS = sizeof plan / sizeof *plan };

static int scaled(const struct mobilenet *p, int channels)
{
    int scaled = (int)(p->alpha * channels);
    return scaled > 1 ? scaled : 1;
}

static tern_value conv_norm_relu6(tern_graph *g, tern_value x, int out, int kernel, int stride, int groups)
{
    x = same_conv2d(g, x, out, kernel, stride, groups);
    return clip(g, batch_norm(g, x, .epsilon = 1e-3), 0, 6);
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct mobilenet *p, tern_value image)
{
    int channels = scaled(p, 32);
    tern_value x = conv_norm_relu6(g, image, channels, 3, 2, 1);
    for (int i = 0; i < p->blocks && i < MOST_BLOCKS; i++) {
        x = conv_norm_relu6(g, x, channels, 3, plan[i].stride, channels); /* each channel by itself */
        channels = scaled(p, plan[i].channels);
        x = conv_norm_relu6(g, x, channels, 1, 1, 1);
    }
    x = mean(g, x, .axis = 2, .axes = 2); /* [B,C] */
    return linear(g, x, .out = p->classes);
}

TERN_NET(mobilenet, "mobilenet", "MobileNet v1", false, IMAGE(1, 64, 64), build,
         REAL(mobilenet, alpha, 0.25, "width multiplier"),
         INT(mobilenet, blocks, 13, "depthwise separable blocks, 13 at most"),
         INT(mobilenet, classes, 10, "classes"));
