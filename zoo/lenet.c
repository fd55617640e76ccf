/* LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998) with ReLU and max pooling: the convolutional net without spikes. */
#include "zoo.h"

struct lenet {
    int width, hidden, classes;
};

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct lenet *p, tern_value image)
{
    tern_value x = relu(g, conv2d(g, image, .out = p->width, .kernel = 5, .pad = 2));
    x = max_pool2d(g, x, .kernel = 2);
    x = relu(g, conv2d(g, x, .out = 2 * p->width + p->width / 2, .kernel = 5));
    x = flatten(g, max_pool2d(g, x, .kernel = 2), .from = 1);
    x = relu(g, linear(g, x, .out = p->hidden));
    x = relu(g, linear(g, x, .out = p->hidden * 7 / 10));
    return linear(g, x, .out = p->classes);
}

TERN_NET(lenet, "lenet", "LeNet-5 with ReLU", false, IMAGE(1, 28, 28), build,
         INT(lenet, width, 6, "channels of the first convolution"), INT(lenet, hidden, 120, "hidden neurons"),
         INT(lenet, classes, 10, "classes"));
