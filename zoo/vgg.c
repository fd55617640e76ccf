/* VGG-5 or VGG-16 with average pooling, in the two forms of IIR-SNN (Chowdhury, Rathi & Roy, ECCV 2022): with
 * timesteps 0 a net of ReLUs and batch norms; else the spiking net that `tern convert` makes of it, the norms being part
 * of the weights, with a learned threshold and leak in each layer.  Plain, it is configuration D of Simonyan & Zisserman 2014
 * (arXiv 1409.1556): no norms, maxima behind all five stages, biases in the linear layers. */
#include "zoo.h"

#include <math.h>

struct vgg {
    int depth, timesteps, width, hidden, classes, plain;
    double dropout;
};

/* Convolutions of each stage, and how many stages end with a pool. */
static const int vgg5[] = {1, 2, 0}, vgg16[] = {2, 2, 3, 3, 3, 0};
enum { POOLS = 4 };

static const char *const conv_names[] = {"conv1", "conv2", "conv3",  "conv4",  "conv5",  "conv6", "conv7",
                                         "conv8", "conv9", "conv10", "conv11", "conv12", "conv13"};
static const char *const norm_names[] = {"norm1", "norm2", "norm3",  "norm4",  "norm5",  "norm6", "norm7",
                                         "norm8", "norm9", "norm10", "norm11", "norm12", "norm13"};
static const char *const linear_names[] = {"linear1", "linear2", "linear3"};
static const char *const neuron_names[] = {"neuron1",  "neuron2",  "neuron3",  "neuron4",  "neuron5",
                                           "neuron6",  "neuron7",  "neuron8",  "neuron9",  "neuron10",
                                           "neuron11", "neuron12", "neuron13", "neuron14", "neuron15"};

/* ReLU, or neurons that fire above a learned threshold and lose it; in one step there is nothing to lose. */
static tern_value activation(tern_graph *g, const struct vgg *p, tern_value x, int *neurons)
{
    if (p->timesteps == 0) return relu(g, x);
    return lif(g, x, .leak = 1, .learn_leak = true, .learn_threshold = true, .strict = true,
               .normalised = true, .reset = TERN_RESET_SOFT, .surrogate = TERN_LINEAR_DECAY, .alpha = 0.3,
               .memoryless = p->timesteps == 1, .name = neuron_names[(*neurons)++]);
}

/* 3x3 convolution and its activation */
static tern_value block(tern_graph *g, const struct vgg *p, tern_value x, int out, int *convs, int *neurons)
{
    int n = (*convs)++;
    x = conv2d(g, x, .out = out, .kernel = 3, .pad = 1, .deviation = sqrt(2.0 / (9 * out)),
               .name = conv_names[n]);
    if (p->timesteps == 0 && !p->plain) x = batch_norm(g, x, .name = norm_names[n]);
    return activation(g, p, x, neurons);
}

/* image [B,C,H,W] -> logits [B,classes]; in between [T,B,..] where there is time */
static tern_value build(tern_graph *g, const struct vgg *p, tern_value image)
{
    const int *stages = p->depth >= 16 ? vgg16 : vgg5;
    int pools = p->plain ? POOLS + 1 : POOLS;
    int linears = p->depth >= 16 ? 3 : 2,
        hidden = p->hidden ? p->hidden : (p->depth >= 16 ? 64 : 16) * p->width;
    int convs = 0, neurons = 0, time = p->timesteps > 0;
    tern_value x = time ? frames(g, image, .timesteps = p->timesteps) : image;
    for (int s = 0; stages[s]; s++) {
        for (int i = 0; i < stages[s]; i++) {
            bool pooled = s < pools && i == stages[s] - 1;
            x = block(g, p, x, p->width << (s < 3 ? s : 3), &convs, &neurons);
            if (pooled)
                x = p->plain ? max_pool2d(g, x, .kernel = 2) : avg_pool2d(g, x, .kernel = 2);
            else if (!p->plain)
                x = dropout(g, x, .rate = p->dropout, .over_time = time);
        }
    }
    x = flatten(g, x, .from = 1 + time);
    for (int i = 0; i < linears - 1; i++) {
        x = activation(g, p, linear(g, x, .out = hidden, .bias = p->plain, .name = linear_names[i]),
                       &neurons);
        x = dropout(g, x, .rate = p->dropout, .over_time = time);
    }
    x = linear(g, x, .out = p->classes, .bias = p->plain, .name = linear_names[linears - 1]);
    return time ? sum(g, x, .axis = 0) : x;
}

TERN_NET(vgg, "vgg",
         "VGG-5 or VGG-16 with ReLU, to be converted, and what it becomes: one with learned thresholds",
         false, IMAGE(1, 28, 28), build, INT(vgg, depth, 5, "weight layers: 5 or 16"),
         INT(vgg, timesteps, 0, "time steps T of the spiking form; 0: ReLU and batch norm"),
         INT(vgg, width, 64, "channels of the first stage"),
         INT(vgg, hidden, 0, "neurons of a hidden linear layer; 0: 16 widths in VGG-5, 64 in VGG-16"),
         INT(vgg, classes, 10, "classes"),
         INT(vgg, plain, 0, "1: as first published: no norms, maxima, biases in linear layers"),
         REAL(vgg, dropout, 0.2, "share that dropout drops"));
