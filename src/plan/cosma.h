/* Order, addresses and eviction of tensors in a small memory as one integer program (COSMA, arXiv 2311.18246). */
#ifndef TERN_COSMA_H
#define TERN_COSMA_H

#include "plan/mip.h"
#include "plan/plan.h"

/* A net as what its steps read and write; steps are in a valid order.  Tensors from outside (inputs, parameters) are left
 * out: they are traffic that no plan can save. */
typedef struct tern_flow {
    int steps, tensors;
    size_t *bytes; /* [tensors] */
    int *producer; /* [tensors]: step that writes it */
    int *begin;    /* [steps + 1]: first of a step's inputs */
    int *read;     /* tensors, each once a step */
} tern_flow;

/* The values that the steps of a program pass on; views are what they show, and a result in place is a tensor of its own.
 * int8: a byte an element. */
tern_status tern_flow_of(const tern_program *program, bool int8, tern_flow *flow);
void tern_flow_free(tern_flow *flow);

/* Bytes without which no order runs: the most that one step reads and writes; and the most that is alive at once in the order of
 * the flow. */
size_t tern_flow_least(const tern_flow *flow, int *step);
size_t tern_flow_peak(const tern_flow *flow);

/* Where a tensor is during a time step. */
typedef enum tern_residence {
    TERN_AWAY,      /* in host memory, dead, or not there yet */
    TERN_CREATED,   /* written by the step */
    TERN_PRESERVED, /* stays where it was */
    TERN_SPILLED,   /* leaves, copied to host memory */
    TERN_RETRIEVED, /* comes back, to any address */
} tern_residence;

typedef struct tern_cosma_options {
    size_t memory;     /* bytes of the small memory */
    bool free_order;   /* the program chooses the order, too */
    double seconds;    /* for the solver */
    tern_text *export; /* not NULL: the integer program as LP text */
} tern_cosma_options;

typedef struct tern_cosma_plan {
    tern_mip_answer answer;
    bool found;
    int *order;                /* [steps]: step of the flow that runs at each time */
    unsigned char *residence;  /* [tensors * steps]: a tern_residence of each tensor at each time */
    size_t *address;           /* [tensors * steps]: while it is there */
    double spilled, retrieved; /* bytes */
    double bound;              /* no plan moves fewer */
} tern_cosma_plan;

/* TERN_NO_FIT below tern_flow_least.  Free with tern_cosma_free. */
tern_status tern_cosma(const tern_flow *flow, const tern_cosma_options *options, tern_cosma_plan *plan);
void tern_cosma_free(tern_cosma_plan *plan);

/* Replays a plan byte by byte: each tensor has its own content, what is freed is poisoned, and each step must read what was
 * written; counts the bytes that move.  TERN_FAILED says what is wrong. */
tern_status tern_cosma_replay(const tern_flow *flow, const tern_cosma_plan *plan, size_t memory,
                              double *spilled, double *retrieved);

#endif
