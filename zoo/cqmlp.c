/* A perceptron of few bits that labels messages of a CAN bus (arXiv 2401.11030): the identifier and the payload are the input,
 * bit by bit; each layer is a product with weights of few bits, a norm, dropout and an activation of few bits. */
#include "zoo.h"

struct cqmlp {
    int bits, act_bits, layers, width, classes;
    double drop;
};

/* bits [B,K] of 0 and 1 -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct cqmlp *p, tern_value message)
{
    int act = p->act_bits > 0 ? p->act_bits : p->bits;
    tern_levelled x = whole(g, flatten(g, message, .from = 1), 1);
    for (int i = 0; i < p->layers; i++) {
        int width = p->width >> i > 4 ? p->width >> i : 4; /* each layer half as wide */
        x = low_linear(g, x, .out = width, .bits = p->bits, .act_bits = act, .dropout = p->drop);
    }
    return low_logits(g, x, .out = p->classes, .bits = p->bits);
}

TERN_NET(cqmlp, "cqmlp", "perceptron of few bits for messages of a CAN bus", false, VECTOR(80), build,
         INT(cqmlp, bits, 2, "bits of a weight, 1 to 8"),
         INT(cqmlp, act_bits, 0, "bits of an activation; 0: as weights"),
         INT(cqmlp, layers, 3, "hidden layers, each half as wide as the one before"),
         INT(cqmlp, width, 256, "neurons of the first"), INT(cqmlp, classes, 4, "classes"),
         REAL(cqmlp, drop, 0.5, "share of activations dropped in training"));
