/* The autoencoder of a detector's front end (ECON-T, arXiv 2105.01683): shares of charge of 48 trigger cells become a code of few outputs on
 * the detector, and shares again behind the link.  NET-qfx has the encoder in fixed point; the decoder stays in floats. */
#include "zoo.h"

struct econ_ae {
    int keep, share_bits, code_bits, filters;
};

enum { RHOMBI = 3, SIDE = 4, CELLS = RHOMBI * SIDE * SIDE };

/* shares [B,3,4,4], of sum 1 -> code [B,keep]; what is behind the cast of no bits is computed in floats */
static tern_value encode(tern_graph *g, const struct econ_ae *p, tern_value x)
{
    if (p->share_bits)
        x = tern_fixed(g, x, .width = p->share_bits, .point = p->share_bits, .positive = true,
                       .round = TERN_ROUND_DOWN, .still = true, .name = "charge");
    x = relu(g, conv2d(g, x, .out = p->filters, .kernel = 3, .pad = 1, .name = "filters"));
    x = relu(g, linear(g, flatten(g, x, .from = 1), .out = p->keep, .name = "code"));
    if (p->code_bits)
        x = tern_fixed(g, x, .width = p->code_bits, .point = p->code_bits - 1, .positive = true,
                       .name = "sent");
    return tern_fixed(g, x, .width = 0, .name = "link");
}

/* code [B,keep] -> shares [B,3,4,4] of sum 1 */
static tern_value decode(tern_graph *g, const struct econ_ae *p, tern_value code)
{
    int64_t batch = tern_shape_of(g, code).dim[0];
    tern_value x = relu(g, linear(g, code, .out = p->filters * SIDE * SIDE, .name = "spread"));
    x = tern_reshape(g, x, TERN_SHAPE(batch, p->filters, SIDE, SIDE));
    x = tern_sigmoid(
        g, tern_conv_transpose2d(g, x, .out = RHOMBI, .kernel = 3, .pad = 1, .stride = 1, .name = "cells"));
    tern_value all = sum(g, tern_reshape(g, x, TERN_SHAPE(batch, CELLS)), .axis = 1);
    return tern_divide(g, x, tern_reshape(g, all, TERN_SHAPE(batch, 1, 1, 1)));
}

/* shares [B,3,4,4] -> shares, their sums over 2 x 2 cells, and over rhombi [B,48 + 12 + 3] */
static tern_value build(tern_graph *g, const struct econ_ae *p, tern_value shares)
{
    tern_value x = decode(g, p, encode(g, p, shares));
    int64_t batch = tern_shape_of(g, x).dim[0];
    tern_value four = tern_multiply(g, avg_pool2d(g, x, .kernel = 2), tern_scalar(g, 4));
    tern_value rhombus = sum(g, x, .axis = 2, .axes = 2);
    tern_value levels[] = {tern_reshape(g, x, TERN_SHAPE(batch, CELLS)),
                           tern_reshape(g, four, TERN_SHAPE(batch, CELLS / 4)),
                           tern_reshape(g, rhombus, TERN_SHAPE(batch, RHOMBI))};
    return tern_concat(g, levels, 3, 1);
}

TERN_NET(econ_ae, "econ-ae", "autoencoder of a detector's front end", false, IMAGE(RHOMBI, SIDE, SIDE), build,
         INT(econ_ae, keep, 16, "outputs of the encoder that are sent"),
         INT(econ_ae, share_bits, 8, "bits of a share that goes in; 0: floats"),
         INT(econ_ae, code_bits, 9, "bits of an output; 0: floats"),
         INT(econ_ae, filters, 8, "filters of the convolution"));
