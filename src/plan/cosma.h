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
    int *producer; /* [tensors]: step that writes it; -1: it comes from before (tern_cosma_state) */
    int *begin;    /* [steps + 1]: first of a step's inputs */
    int *read;     /* tensors, each once a step */
    int *node;     /* [steps]: of the program's graph; NULL: the flow is of no program */
    int *value;    /* [tensors]: of the program's graph */
} tern_flow;

/* The values that the steps of a program pass on; views are what they show, and a result in place is a tensor of its own.
 * Tensors begin at cache lines, as kernels expect it; int8: a byte an element instead, to compare with what others plan. */
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

/* A tensor at the borders of a window of steps. */
typedef struct tern_cosma_state {
    bool there,
        hosted; /* before the first step: in the memory at `address`, and with a copy in host memory */
    size_t address;
    bool needed; /* behind the last step: it must be there or have a copy, from which it would be retrieved */
} tern_cosma_state;

typedef struct tern_cosma_options {
    size_t memory;     /* bytes of the small memory */
    bool free_order;   /* the program chooses the order, too */
    double seconds;    /* for the solver */
    int window;        /* of tern_cosma_divided: steps of a window; 0: 20 */
    tern_text *export; /* not NULL: the integer program as LP text */
    const tern_cosma_state
        *state; /* [tensors]; NULL: nothing is there before, and nothing is needed behind */
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

/* The same for nets that are too long for one program, in the given order: windows of steps, one behind the other (divide.c). */
tern_status tern_cosma_divided(const tern_flow *flow, const tern_cosma_options *options,
                               tern_cosma_plan *plan);

/* What plans step by step do without looking ahead for places (evict.c): which of the tensors that wait leaves first. */
typedef enum tern_eviction {
    TERN_EVICT_GREEDY, /* the biggest */
    TERN_EVICT_BELADY, /* the one whose next use is farthest off */
    TERN_EVICT_MIP,    /* those with the fewest bytes in all, by an integer program a step */
} tern_eviction;
/* Not found where the blocks that result do not fit the memory. */
tern_status tern_evict(const tern_flow *flow, size_t memory, tern_eviction policy, tern_cosma_plan *plan);

/* TERN_NO_FIT below tern_flow_least; an empty plan with room for the flow's tensors at each time, in the given order. */
tern_status tern_cosma_check(const tern_flow *flow, size_t memory);
tern_status tern_cosma_begin(const tern_flow *flow, tern_cosma_plan *plan);

/* Replays a plan byte by byte: each tensor has its own content, what is freed is poisoned, and each step must read what was
 * written; counts the bytes that move.  TERN_FAILED says what is wrong. */
tern_status tern_cosma_replay(const tern_flow *flow, const tern_cosma_plan *plan, size_t memory,
                              double *spilled, double *retrieved);

/* The program of a flow's program that makes the moves of a plan: tensors lie where the plan says, what leaves is copied to host
 * memory and back by steps of their own, and results of the net are in host memory, too.  The graph of `program` must outlive
 * it.  Scratch memory of kernels comes behind the `memory` of the plan. */
tern_status tern_plan_moved(tern_program **moved, const tern_program *program, const tern_flow *flow,
                            const tern_cosma_plan *plan, size_t memory, const tern_plan_options *options);

#endif
