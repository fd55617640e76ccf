/* NASNet-A (Zoph et al. 2018, arXiv 1707.07012, figure 4): cells that a search found, each of which sees the outputs of the two cells
 * before it.  Normal cells keep the size, reduction cells halve it.  Width 44 with 4 cells in a row is NASNet-A (4 @ 1056), the mobile net. */
#include "zoo.h"

struct nasnet {
    int width, cells, classes;
};

/* The outputs of the two cells before. */
typedef struct pair {
    tern_value x, before;
} pair;

static tern_value norm(tern_graph *g, tern_value x)
{
    return batch_norm(g, x, .epsilon = 1e-3);
}

static tern_value relu_conv_norm(tern_graph *g, tern_value x, int out)
{
    return norm(g, conv2d(g, relu(g, x), .out = out, .kernel = 1, .bias = false));
}

/* Twice: a ReLU, each channel by itself, a 1x1 convolution, a norm; the stride is that of the first. */
static tern_value separable(tern_graph *g, tern_value x, int out, int kernel, int stride)
{
    for (int i = 0; i < 2; i++) {
        int in = (int)tern_shape_of(g, x).dim[1];
        x = conv2d(g, relu(g, x), .out = in, .kernel = kernel, .stride = i ? 1 : stride, .pad = kernel / 2,
                   .groups = in, .bias = false);
        x = norm(g, conv2d(g, x, .out = out, .kernel = 1, .bias = false));
    }
    return x;
}

static tern_value average(tern_graph *g, tern_value x, int stride)
{
    return avg_pool2d(g, x, .kernel = 3, .stride = stride, .pad = 1);
}

static tern_value highest(tern_graph *g, tern_value x)
{
    return max_pool2d(g, x, .kernel = 3, .stride = 2, .pad = 1);
}

/* Every second pixel, and every second one of the image shifted by one, so that nothing is lost. */
static tern_value halve(tern_graph *g, tern_value x, int out)
{
    tern_shape s = tern_shape_of(g, x);
    int height = (int)s.dim[2], width = (int)s.dim[3];
    x = relu(g, x);
    tern_value shifted = tern_slice(g, tern_slice(g, x, 2, 1, height - 1), 3, 1, width - 1);
    shifted = tern_pad(g, tern_pad(g, shifted, 2, 0, height), 3, 0, width);
    tern_value halves[] = {avg_pool2d(g, x, .kernel = 1, .stride = 2),
                           avg_pool2d(g, shifted, .kernel = 1, .stride = 2)};
    for (int i = 0; i < 2; i++)
        halves[i] = conv2d(g, halves[i], .out = i ? out - out / 2 : out / 2, .kernel = 1, .bias = false);
    return norm(g, tern_concat(g, halves, 2, 1));
}

/* What came before the last cell, with the size of x and `out` channels. */
static tern_value adjust(tern_graph *g, pair p, int out)
{
    tern_shape s = tern_shape_of(g, p.before), x = tern_shape_of(g, p.x);
    if (p.before.id == p.x.id) return p.before; /* the first cell */
    if (s.dim[2] != x.dim[2]) return halve(g, p.before, out);
    return s.dim[1] == out ? p.before : relu_conv_norm(g, p.before, out);
}

static pair normal_cell(tern_graph *g, pair p, int out)
{
    tern_value b = adjust(g, p, out), h = relu_conv_norm(g, p.x, out);
    tern_value parts[] = {b,
                          add(g, separable(g, h, out, 5, 1), separable(g, b, out, 3, 1)),
                          add(g, separable(g, b, out, 5, 1), separable(g, b, out, 3, 1)),
                          add(g, average(g, h, 1), b),
                          add(g, average(g, b, 1), average(g, b, 1)),
                          add(g, separable(g, h, out, 3, 1), h)};
    return (pair){tern_concat(g, parts, 6, 1), p.x};
}

static pair reduction_cell(tern_graph *g, pair p, int out)
{
    tern_value b = adjust(g, p, out), h = relu_conv_norm(g, p.x, out);
    tern_value one = add(g, separable(g, h, out, 5, 2), separable(g, b, out, 7, 2));
    tern_value two = add(g, highest(g, h), separable(g, b, out, 7, 2));
    tern_value three = add(g, average(g, h, 2), separable(g, b, out, 5, 2));
    tern_value parts[] = {two, three, add(g, average(g, one, 1), two),
                          add(g, separable(g, one, out, 3, 1), highest(g, h))};
    return (pair){tern_concat(g, parts, 4, 1), p.x};
}

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct nasnet *p, tern_value image)
{
    tern_value stem = norm(g, conv2d(g, image, .out = 32, .kernel = 3, .stride = 2, .pad = 1, .bias = false));
    pair cells = {stem, stem};
    cells = reduction_cell(g, cells, p->width / 4);
    cells = reduction_cell(g, cells, p->width / 2);
    for (int stage = 0; stage < 3; stage++) {
        if (stage) cells = reduction_cell(g, cells, p->width << stage);
        for (int i = 0; i < p->cells; i++) cells = normal_cell(g, cells, p->width << stage);
    }
    tern_value x = mean(g, relu(g, cells.x), .axis = 2, .axes = 2);
    return linear(g, x, .out = p->classes);
}

TERN_NET(nasnet, "nasnet", "NASNet-A, the mobile net by default", false, IMAGE(3, 64, 64), build,
         INT(nasnet, width, 44, "channels of a cell's branches at first"),
         INT(nasnet, cells, 4, "normal cells in a row"), INT(nasnet, classes, 10, "classes"));
