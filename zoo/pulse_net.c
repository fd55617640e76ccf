/* A net that tells time and energy of a detector pulse, as PulseDL-II runs it (arXiv 2209.00884; the sizes of the layers are Tern's
 * own): an encoder and a decoder of convolutions along time (images of height 1) with sums where lengths are equal, and a head of dense layers. */
#include "zoo.h"

struct pulse_net {
    int width, outputs, clean;
};

static tern_value down(tern_graph *g, tern_value x, int out)
{
    return relu(g, conv2d(g, x, .out = out, .kernel = 4, .stride = 2, .pad = 1));
}

static tern_value up(tern_graph *g, tern_value x, int out)
{
    return tern_conv_transpose2d(g, x, .out = out, .kernel = 4, .stride = 2, .pad = 1, .flat = true);
}

/* samples [B,64] -> time behind the middle start and energy [B,outputs], or (clean) the pulse without noise [B,64] */
static tern_value build(tern_graph *g, const struct pulse_net *p, tern_value samples)
{
    tern_shape s = tern_shape_of(g, samples);
    tern_value x = tern_reshape(g, samples, TERN_SHAPE(s.dim[0], 1, 1, -1)); /* [B,1,1,64] */
    tern_value first = down(g, x, p->width);                                 /* [B,16,1,32] */
    tern_value second = down(g, first, 2 * p->width);                        /* [B,32,1,16] */
    x = down(g, second, 4 * p->width);                                       /* [B,64,1,8] */
    x = add(g, relu(g, up(g, x, 2 * p->width)), second);                     /* [B,32,1,16] */
    x = add(g, relu(g, up(g, x, p->width)), first);                          /* [B,16,1,32] */
    if (p->clean) return flatten(g, up(g, x, 1), .from = 1);
    x = relu(g, conv2d(g, x, .out = p->width / 4, .kernel = 3, .pad = 1)); /* [B,4,1,32] */
    x = relu(g, linear(g, flatten(g, x, .from = 1), .out = 2 * p->width));
    return linear(g, x, .out = p->outputs);
}

TERN_NET(pulse_net, "pulse-net", "time and energy of detector pulses", false, VECTOR(64), build,
         INT(pulse_net, width, 16, "channels of the first convolution, a multiple of 4"),
         INT(pulse_net, outputs, 2, "what is predicted"),
         INT(pulse_net, clean, 0, "1: the pulse without noise instead, to train all layers but the head"));
