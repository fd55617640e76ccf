/* Order, addresses and eviction of tensors in a small memory as one integer program (COSMA, arXiv 2311.18246). */
#ifndef TERN_COSMA_H
#define TERN_COSMA_H

#include "plan/mip.h"
#include "plan/plan.h"

/* A net as what its steps read and write; steps are in a valid order.  Inputs of the net are left out: they are traffic that no
 * plan can save; so are parameters, unless they are asked for. */
typedef struct tern_flow {
    int steps, tensors;
    size_t *bytes; /* [tensors] */
    int *
        producer; /* [tensors]: step that writes it; -1: it comes from before (tern_cosma_state), or is a parameter:
                    * host memory has it from the start */
    int *begin; /* [steps + 1]: first of a step's inputs */
    int *read;  /* tensors, each once a step */
    int *node;  /* [steps]: of the program's graph; NULL: the flow is of no program */
    int *value; /* [tensors]: of the program's graph */
} tern_flow;

typedef struct tern_flow_options {
    bool
        int8; /* tensors take a byte an element, to compare with what others plan; else they begin at cache lines, as
                      * kernels expect it */
    bool
        parameters; /* what steps read of parameters that the program does not change, and of what is prepared of them, are
                      * tensors, too */
} tern_flow_options;

/* The values that the steps of a program pass on; views are what they show, and a result in place is a tensor of its own.
 * options: NULL for none.  Free with tern_flow_free. */
tern_status tern_flow_of(const tern_program *program, const tern_flow_options *options, tern_flow *flow);
void tern_flow_free(tern_flow *flow);
bool tern_flow_reads(const tern_flow *flow, int step,
                     int tensor); /* whether the tensor is among a step's inputs */

/* Bytes without which no order runs (M_R of the paper): the most that one step reads and writes.  The most that is alive at once
 * in the order of the flow, parameters from their first use to their last.  Bytes of the parameters, each of which has to be
 * retrieved once by any plan. */
size_t tern_flow_least(const tern_flow *flow, int *step);
size_t tern_flow_peak(const tern_flow *flow);
size_t tern_flow_compulsory(const tern_flow *flow);

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
    const tern_cosma_state *
        state; /* [tensors]; NULL: nothing is there before, parameters have copies, and nothing is needed behind */
} tern_cosma_options;

typedef struct tern_cosma_plan {
    tern_mip_answer answer;
    bool found;
    int *order;                /* [steps]: step of the flow that runs at each time */
    unsigned char *residence;  /* [tensors * steps]: a tern_residence of each tensor at each time */
    size_t *address;           /* [tensors * steps]: while it is there */
    double spilled, retrieved; /* bytes, compulsory ones among them */
    double bound;              /* no plan moves fewer */
} tern_cosma_plan;

/* First without addresses: that program is small, and its optimum a bound.  Where its tensors find places as they are, it is
 * the optimum with addresses, too; else the whole program is solved with that bound.  What the solver can't prove is held against
 * the plans that are made step by step, in the given order (tern_evict).  TERN_NO_FIT below tern_flow_least.  Free
 * with tern_cosma_free. */
tern_status tern_cosma(const tern_flow *flow, const tern_cosma_options *options, tern_cosma_plan *plan);
void tern_cosma_free(tern_cosma_plan *plan);
double tern_cosma_moved(const tern_cosma_plan *plan); /* bytes */

/* M_P of the paper: bytes in which a plan moves nothing (but parameters, once), holes aside: of the given order, its peak; with
 * options->free_order the least over all orders, *bytes being the least known where *answer is TERN_MIP_UNPROVEN. */
tern_status tern_cosma_without_moves(const tern_flow *flow, const tern_cosma_options *options, size_t *bytes,
                                     tern_mip_answer *answer);

/* The same for nets that are too long for one program: windows of steps, one behind the other (divide.c), in the given order, or
 * with options->free_order in one that is searched for, and each window in its best. */
tern_status tern_cosma_divided(const tern_flow *flow, const tern_cosma_options *options,
                               tern_cosma_plan *plan);

/* step[flow->steps]: an order in which few bytes move in `memory`, which is no less than tern_flow_least: a beam search `width`
 * orders wide.  The flow with its steps in an order, in `to`, whose arrays are as large; time[steps]: when each comes.
 * flow_order.c */
tern_status tern_flow_order(const tern_flow *flow, size_t memory, int width, int *step);
void tern_flow_put_in_order(const tern_flow *flow, const int *step, int *time, tern_flow *to);

/* What plans step by step do without looking ahead for places (evict.c): which of the tensors that wait leaves first. */
typedef enum tern_eviction {
    TERN_EVICT_GREEDY, /* the biggest */
    TERN_EVICT_BELADY, /* the one whose next use is farthest off */
    TERN_EVICT_MIP,    /* those with the fewest bytes in all, by an integer program a step */
} tern_eviction;
/* Not found where the blocks that result do not fit the memory. */
tern_status tern_evict(const tern_flow *flow, size_t memory, tern_eviction policy, tern_cosma_plan *plan);

/* In place of a plan that moves more, or of none; *better: whether it is. */
tern_status tern_evict_better(const tern_flow *flow, size_t memory, tern_eviction policy,
                              tern_cosma_plan *plan, bool *better);

/* TERN_NO_FIT below tern_flow_least; an empty plan with room for the flow's tensors at each time, in the given order. */
tern_status tern_cosma_check(const tern_flow *flow, size_t memory);
tern_status tern_cosma_begin(const tern_flow *flow, tern_cosma_plan *plan);

/* Addresses for all stays of a plan that has none, none of which began before it; *bytes of memory that they take. */
tern_status tern_cosma_place(const tern_flow *flow, tern_cosma_plan *plan, size_t memory, size_t *bytes);

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
