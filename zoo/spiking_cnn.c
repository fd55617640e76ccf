/* A spiking convolutional classifier: conv, norm, LIF, pool; twice; then a read-out that averages over time. */
#include "zoo.h"

struct spiking_cnn {
    int timesteps, blocks, width, hidden, classes;
    double tau;
};

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct spiking_cnn *p, tern_value image)
{
    tern_value x = frames(g, image, .timesteps = p->timesteps); /* [T,B,C,H,W] */
    for (int i = 0; i < p->blocks; i++) {
        x = conv2d(g, x, .out = p->width << i, .kernel = 3, .pad = 1, .bias = false);
        x = lif(g, batch_norm(g, x), .tau = p->tau, .surrogate = TERN_ARCTAN);
        x = max_pool2d(g, x, .kernel = 2);
    }
    x = flatten(g, x, .from = 2); /* [T,B,C*H*W] */
    x = lif(g, linear(g, x, .out = p->hidden), .tau = p->tau, .surrogate = TERN_ARCTAN);
    x = linear(g, x, .out = p->classes);
    return mean(g, x, .axis = 0);
}

TERN_NET(spiking_cnn, "spiking-cnn", "spiking convolutional classifier", true, IMAGE(1, 28, 28), build,
         INT(spiking_cnn, timesteps, 4, "time steps T"), INT(spiking_cnn, blocks, 2, "conv-LIF-pool blocks"),
         INT(spiking_cnn, width, 32, "channels of the first block"),
         INT(spiking_cnn, hidden, 256, "hidden neurons"), INT(spiking_cnn, classes, 10, "classes"),
         REAL(spiking_cnn, tau, 4.0 / 3, "membrane time constant, steps"));
