/* The table of operators: one line each.  A catalogue to read; docs are in the records. */
#ifndef TERN_OP_TABLE_H
#define TERN_OP_TABLE_H

#define TERN_OPERATORS(X)                                                                                    \
    /* arithmetic.c: element by element, with broadcasting */                                                \
    X(add)                                                                                                   \
    X(subtract)                                                                                              \
    X(multiply)                                                                                              \
    X(divide) /* linear.c: products with a weight matrix */                                                  \
    X(linear)                                                                                                \
    X(linear_grad_input)                                                                                     \
    X(linear_grad_weight) /* reduce.c */                                                                     \
    X(sum)                                                                                                   \
    X(mean)                                                                                                  \
    X(expand)                                  /* shape.c */                                                 \
        X(reshape)                             /* lif.c: integrate-and-fire neurons over time */             \
        X(lif) X(lif_grad)                     /* loss.c */                                                  \
        X(cross_entropy) X(cross_entropy_grad) /* optimiser.c: what a parameter becomes */                   \
        X(sgd) X(adam)

#endif
