/* The spiking VGG-11 for event data of spatial learning through time (SLTT; Meng et al., ICCV 2023): convolution, norm, LIF
 * that leaks almost everything, average pooling; a linear read-out at each step.  With --width 12 and small frames it is
 * the small net for N-MNIST.  The authors repeat a last map of 1x1 7x7 times before the read-out; here it is read once. */
#include "zoo.h"

struct vgg11_snn {
    int timesteps, width, classes;
    double tau, dropout;
};

/* Channels in units of the width; 0: a pool. */
static const int stages[] = {1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0};

/* image [B,C,H,W] or clip [B,T,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct vgg11_snn *p, tern_value image)
{
    tern_value x = frames(g, image, .timesteps = p->timesteps); /* [T,B,C,H,W] */
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        if (stages[i] > 0) {
            x = conv2d(g, x, .out = p->width * stages[i], .kernel = 3, .pad = 1);
            x = lif(g, batch_norm(g, x, .per_step = true), .tau = p->tau, .decay_input = false,
                    .reset = TERN_RESET_SOFT, .detach_reset = false, .surrogate = TERN_TRIANGLE, .alpha = 1);
        } else if (tern_shape_of(g, x).dim[4] > 1) {
            x = avg_pool2d(g, x, .kernel = 2);
        }
    }
    x = flatten(g, x, .from = 2);
    if (p->dropout > 0) x = dropout(g, x, .rate = p->dropout);
    return mean(g, linear(g, x, .out = p->classes), .axis = 0);
}

TERN_NET(vgg11_snn, "vgg11-snn", "spiking VGG-11 for events, as SLTT trains it", true, IMAGE(2, 48, 48),
         build, INT(vgg11_snn, timesteps, 10, "time steps T"),
         INT(vgg11_snn, width, 64, "channels of the first convolution"),
         INT(vgg11_snn, classes, 10, "classes"), REAL(vgg11_snn, tau, 1.1, "membrane time constant, steps"),
         REAL(vgg11_snn, dropout, 0.3, "share of the last activations left out in training"));
