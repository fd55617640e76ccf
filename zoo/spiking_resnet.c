/* Spiking ResNet with spike-element-wise shortcuts (SEW-ResNet, Fang et al. 2021): the shortcut adds spikes to spikes,
 * so that what flows between blocks are small counts. */
#include "zoo.h"

struct spiking_resnet {
    int depth, timesteps, width, classes;
    double tau;
};

static tern_value conv_lif(tern_graph *g, const struct spiking_resnet *p, tern_value x, int out, int kernel,
                           int stride)
{
    return lif(g, conv_norm(g, x, out, kernel, stride, 1), .tau = p->tau);
}

/* Two convolutions and a shortcut, joined by addition. */
static tern_value block(tern_graph *g, const struct spiking_resnet *p, tern_value x, int out, int stride)
{
    tern_value shortcut = x;
    if (stride != 1 || tern_shape_of(g, x).dim[2] != out) shortcut = conv_lif(g, p, x, out, 1, stride);
    x = conv_lif(g, p, x, out, 3, stride);
    x = conv_lif(g, p, x, out, 3, 1);
    return add(g, x, shortcut);
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct spiking_resnet *p, tern_value image)
{
    int stages = p->depth >= 18 ? 4 : 3, blocks = p->depth >= 18 ? 2 : 1;
    tern_value x = frames(g, image, .timesteps = p->timesteps); /* [T,B,C,H,W] */
    x = conv_lif(g, p, x, p->width, 3, 1);
    for (int s = 0; s < stages; s++)
        for (int b = 0; b < blocks; b++) x = block(g, p, x, p->width << s, b == 0 && s > 0 ? 2 : 1);
    x = mean(g, x, .axis = 3, .axes = 2); /* [T,B,C]: global average */
    return mean(g, linear(g, x, .out = p->classes), .axis = 0);
}

TERN_NET(spiking_resnet, "spiking-resnet", "spiking ResNet-8 or ResNet-18 with spike-element-wise shortcuts",
         true, IMAGE(1, 28, 28), build, INT(spiking_resnet, depth, 8, "8 or 18"),
         INT(spiking_resnet, timesteps, 4, "time steps T"),
         INT(spiking_resnet, width, 16, "channels of the first stage"),
         INT(spiking_resnet, classes, 10, "classes"),
         REAL(spiking_resnet, tau, 2, "membrane time constant, steps"));
