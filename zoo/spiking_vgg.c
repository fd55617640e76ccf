/* Spiking VGG-5/9/16: stacks of 3x3 convolutions with LIF neurons, pooled between stages. */
#include "zoo.h"

struct spiking_vgg {
    int depth, timesteps, width, hidden, classes;
    double tau;
};

/* Convolutions of each stage; a pool follows each stage.  VGG-n has n weight layers, two of them linear. */
static const int vgg5[] = {1, 2, 0}, vgg9[] = {2, 2, 3, 0}, vgg16[] = {2, 2, 3, 3, 4, 0};

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct spiking_vgg *p, tern_value image)
{
    const int *stages = p->depth >= 16 ? vgg16 : p->depth >= 9 ? vgg9 : vgg5;
    tern_value x = frames(g, image, .timesteps = p->timesteps); /* [T,B,C,H,W] */
    for (int s = 0; stages[s]; s++) {
        int channels = p->width << (s < 3 ? s : 3);
        for (int i = 0; i < stages[s]; i++) {
            x = conv2d(g, x, .out = channels, .kernel = 3, .pad = 1, .bias = false);
            x = lif(g, batch_norm(g, x), .tau = p->tau);
        }
        if (tern_shape_of(g, x).dim[4] > 1) x = max_pool2d(g, x, .kernel = 2);
    }
    x = lif(g, linear(g, flatten(g, x, .from = 2), .out = p->hidden), .tau = p->tau);
    return mean(g, linear(g, x, .out = p->classes), .axis = 0);
}

TERN_NET(spiking_vgg, "spiking-vgg", "spiking VGG-5, VGG-9 or VGG-16", true, IMAGE(1, 28, 28), build,
         INT(spiking_vgg, depth, 9, "weight layers: 5, 9 or 16"),
         INT(spiking_vgg, timesteps, 4, "time steps T"),
         INT(spiking_vgg, width, 32, "channels of the first stage"),
         INT(spiking_vgg, hidden, 256, "neurons of the hidden linear layer"),
         INT(spiking_vgg, classes, 10, "classes"),
         REAL(spiking_vgg, tau, 4.0 / 3,
              "membrane time constant, steps: deep nets learn better with a short memory"));
