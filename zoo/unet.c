/* U-Net (Ronneberger et al. 2015, arXiv 1505.04597, figure 1): convolutions while the image shrinks four times and its channels
 * double, then back, each time beside what was there at that size on the way down.  Here convolutions have borders of zeros, so that
 * images keep their size, and norms, as today's implementations have. */
#include "zoo.h"

struct unet {
    int width, steps, classes, pixels;
};

enum { MOST_STEPS = 6 };

static tern_value twice(tern_graph *g, tern_value x, int out)
{
    for (int i = 0; i < 2; i++) x = relu(g, conv_norm(g, x, out, 3, 1, 1));
    return x;
}

/* image [B,C,H,W], H and W multiples of 2^steps -> logits of each pixel [B,classes,H,W], or their mean over pixels [B,classes] */
static tern_value build(tern_graph *g, const struct unet *p, tern_value image)
{
    int steps = p->steps < MOST_STEPS ? p->steps : MOST_STEPS;
    tern_value x = twice(g, image, p->width), seen[MOST_STEPS];
    for (int s = 0; s < steps; s++) {
        seen[s] = x;
        x = twice(g, max_pool2d(g, x, .kernel = 2), p->width << (s + 1));
    }
    for (int s = steps - 1; s >= 0; s--) {
        x = tern_conv_transpose2d(g, x, .out = p->width << s, .kernel = 2, .stride = 2);
        x = twice(g, tern_concat(g, (tern_value[]){seen[s], x}, 2, 1), p->width << s);
    }
    x = conv2d(g, x, .out = p->classes, .kernel = 1);
    return p->pixels ? x : mean(g, x, .axis = 2, .axes = 2);
}

TERN_NET(unet, "unet", "U-Net", false, IMAGE(3, 64, 64), build, INT(unet, width, 64, "channels at full size"),
         INT(unet, steps, 4, "times that the image is halved, 6 at most"), INT(unet, classes, 10, "classes"),
         INT(unet, pixels, 0, "1: logits of each pixel; 0: their mean, for labels of whole images"));
