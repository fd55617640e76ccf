/* A spiking multi-layer perceptron: linear, LIF; the last layer's neurons vote by how often they fire. */
#include "zoo.h"

struct spiking_mlp {
    int timesteps, hidden, layers, classes;
    double tau;
};

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct spiking_mlp *p, tern_value image)
{
    tern_value x = flatten(g, frames(g, image, .timesteps = p->timesteps), .from = 2); /* [T,B,C*H*W] */
    for (int i = 0; i < p->layers; i++) x = lif(g, linear(g, x, .out = p->hidden), .tau = p->tau);
    return mean(g, linear(g, x, .out = p->classes), .axis = 0);
}

TERN_NET(spiking_mlp, "spiking-mlp", "spiking multi-layer perceptron", true, IMAGE(1, 28, 28), build,
         INT(spiking_mlp, timesteps, 4, "time steps T"),
         INT(spiking_mlp, hidden, 512, "neurons of a hidden layer"),
         INT(spiking_mlp, layers, 2, "hidden layers"), INT(spiking_mlp, classes, 10, "classes"),
         REAL(spiking_mlp, tau, 2, "membrane time constant, steps"));
