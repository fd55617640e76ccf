/* A multi-layer perceptron: the dense yardstick. */
#include "zoo.h"

struct mlp {
    int hidden, layers, classes;
};

/* image [B,C,H,W] -> logits [B,classes] */
static tern_value build(tern_graph *g, const struct mlp *p, tern_value image)
{
    tern_value x = flatten(g, image, .from = 1); /* [B,C*H*W] */
    for (int i = 0; i < p->layers; i++) x = relu(g, linear(g, x, .out = p->hidden));
    return linear(g, x, .out = p->classes);
}

TERN_NET(mlp, "mlp", "multi-layer perceptron", false, IMAGE(1, 28, 28), build,
         INT(mlp, hidden, 512, "neurons of a hidden layer"), INT(mlp, layers, 2, "hidden layers"),
         INT(mlp, classes, 10, "classes"));
