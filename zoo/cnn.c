/* The twin of spiking-cnn without spikes: the same layers with ReLU, one pass instead of T steps. */
#include "zoo.h"

struct cnn {
    int blocks, width, hidden, classes;
};

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct cnn *p, tern_value x)
{
    for (int i = 0; i < p->blocks; i++) {
        x = conv2d(g, x, .out = p->width << i, .kernel = 3, .pad = 1, .bias = false);
        x = max_pool2d(g, relu(g, batch_norm(g, x)), .kernel = 2);
    }
    x = relu(g, linear(g, flatten(g, x, .from = 1), .out = p->hidden));
    return linear(g, x, .out = p->classes);
}

TERN_NET(cnn, "cnn", "convolutional classifier, the twin of spiking-cnn", false, IMAGE(1, 28, 28), build,
         INT(cnn, blocks, 2, "conv-ReLU-pool blocks"), INT(cnn, width, 32, "channels of the first block"),
         INT(cnn, hidden, 256, "hidden neurons"), INT(cnn, classes, 10, "classes"));
