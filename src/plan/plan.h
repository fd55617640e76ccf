/* plan: a graph becomes a program: steps in order, each with its kernel and the place of its operands.
 * What is planned here is what is executed, costed, simulated and emitted. */
#ifndef TERN_PLAN_H
#define TERN_PLAN_H

#include "graph/graph.h"
#include "machine/machine.h"

typedef struct tern_program tern_program;

typedef enum tern_space {
    TERN_SPACE_NONE,     /* absent or never read */
    TERN_SPACE_ARENA,    /* at an offset of the arena; lives from first to last */
    TERN_SPACE_HOST,     /* at an offset of the host memory: what has left the arena */
    TERN_SPACE_INPUT,    /* memory of the caller */
    TERN_SPACE_STORE,    /* parameter or state */
    TERN_SPACE_CONSTANT, /* in the graph */
    TERN_SPACE_PREPARED, /* at an offset of the prepared memory: what follows from parameters that do not change */
} tern_space;

/* Where a value is.  Values that share memory (views, in-place results) have the same root. */
typedef struct tern_place {
    tern_space space;
    int root;        /* value id that owns the memory */
    size_t bytes;    /* of the root */
    size_t offset;   /* ARENA, HOST, PREPARED: from its beginning */
    int first, last; /* ARENA, HOST, PREPARED, of the root: steps (first writes it, last reads it) */
} tern_place;

typedef struct tern_step {
    const tern_node *node;
    const tern_fast *fast; /* NULL: the reference kernel */
    tern_program
        *body[TERN_BODIES]; /* operators with body graphs; their arena is the end of the scratch memory */
    size_t scratch_bytes, scratch_offset, body_offset;
    int joined; /* steps from this on that may start together (tern_joining); 0 or 1: it alone */
} tern_step;

/* A state whose next value was computed elsewhere: copied at the end of a run. */
typedef struct tern_copy {
    int state, next; /* value ids */
} tern_copy;

struct tern_program {
    const tern_graph *graph; /* must outlive the program */
    tern_graph *own_graph;   /* the same, where planning had to change it (recomputation); else NULL */
    tern_step *steps;
    int step_count;
    int prepare_count;  /* of them, the first: run once, and again after the parameters have changed */
    tern_place *places; /* [graph->value_count] */
    tern_copy *copies;
    int copy_count;
    size_t prepared_bytes; /* results and scratch of the steps that run once */
    size_t arena_bytes;    /* what one run needs */
    size_t host_bytes;     /* and outside the arena, of a program that moves tensors */
    size_t least_bytes;    /* most bytes alive at one step: no allocation can be below */
    int peak_step;         /* where that is */
};

/* Places that are given: nothing but views shares memory then, and scratch memory lies behind the results. */
typedef struct tern_fixed_places {
    size_t bytes;         /* of the arena, without scratch memory */
    const size_t *offset; /* [value_count]: in the arena; TERN_FIXED_HOST: in host memory, anywhere */
} tern_fixed_places;
#define TERN_FIXED_HOST SIZE_MAX

typedef struct tern_plan_options {
    bool reference; /* reference kernels only */
    bool
        many; /* rows come in large numbers: kernels may be taken that round otherwise than those for a few */
    bool keep_order; /* steps in the order of the graph */
    bool early;      /* updates as soon as their gradients are there, else in the order of the graph */
    bool apart;      /* results never take the memory of what they are made of (but views) */
    bool every_run;  /* all steps run each time: a body, whose parameters are what its operator is given */
    bool compact;  /* offsets in multiples of 8 bytes, and an arena that ends with its last byte: for machines
                        without cache lines; reference kernels only */
    size_t memory; /* arena limit in bytes: forward values are computed again to keep it; 0: none */
    const tern_fixed_places *fixed; /* with keep_order; NULL: places are found */
} tern_plan_options;

/* Plan a graph.  TERN_NO_FIT names the tensors that are alive at the peak when `memory` is too small. */
tern_status tern_plan(tern_program **program, const tern_graph *graph, const tern_plan_options *options);
void tern_program_close(tern_program *program);

/* ---- what a program does and needs ------------------------------------------------------------------------- */

/* Bytes that one execution of a step moves, by where they are. */
typedef struct tern_traffic {
    double weights;   /* parameters and constants, read */
    double state;     /* states, read and written */
    double membranes; /* of them, what a sequence carries from step to step and then forgets */
    double read, written;
    double moved; /* part of both: between the arena and host memory */
} tern_traffic;

typedef struct tern_step_work {
    const tern_node *node; /* layer, operator, phase */
    const char *label;     /* its layer, or else the first parameter that it reads; "" */
    tern_dtype dtype;      /* in which a product is computed where a machine can, else f32 */
    tern_work work;
    tern_traffic traffic;
    bool on_spikes; /* an operand is spikes: event-driven units can run it */
    tern_product_shape product;
    tern_dtype weights; /* format of its first parameter */
    bool bits;          /* an operand is spikes as bits, where on_spikes has fractions of them too */
    bool defined;       /* see tern_task_work */
    double spread;      /* elements of the largest operand for each of the smallest that has more than one */
    double aged[TERN_AGES]; /* bytes by how long ago they were touched (machine.h) */
    double handed;          /* see tern_task_work */
} tern_step_work;

/* steps[program->step_count]: counts of one run when a share `density` of each spike operand fires.  Views have zeros, and so
 * have steps that are not part of each run. */
tern_status tern_program_work(const tern_program *program, double density, tern_step_work *steps);
/* The same where some inputs are known, as positions are: what an operator does then depends on them. */
typedef struct tern_known_input {
    const char *name;
    const void *data;
} tern_known_input;
tern_status tern_program_work_with(const tern_program *program, double density, const tern_known_input *known,
                                   int known_count, tern_step_work *steps);

/* Bytes of the operands of a node, in[node->nin] and out[node->nout], that one application touches: of all of them, but where
 * the operator knows better (the rows of a table that are looked up), from the data of the call where it has some. */
void tern_step_bytes(const tern_program *program, const tern_node *node, const tern_call *call, double *in,
                     double *out);

/* A step as a task of the cost model. */
tern_task_work tern_task_of(const tern_step_work *step);

/* Bytes that a machine must hold to run the program: of parameters that only prepared steps read, their results. */
typedef struct tern_memory_need {
    double weights, state, arena, inputs;
    double membranes; /* part of state: what a sequence carries from step to step and then forgets */
} tern_memory_need;
tern_status tern_program_memory(const tern_program *program, tern_memory_need *need);

/* A program as a question to machines: its steps as tasks, when a share `density` of each spike operand fires, and the bytes that
 * it holds.  After a failure there is nothing to close. */
typedef struct tern_bill {
    tern_step_work *steps; /* [query.count] */
    tern_task_work *tasks; /* [query.count]: the query's, which may be changed */
    tern_memory_need need;
    tern_cost_query query;
} tern_bill;
tern_status tern_bill_open(tern_bill *bill, const tern_program *program, double density);
void tern_bill_close(tern_bill *bill);

/* ---- pieces ----------------------------------------------------------------------------------------------- */

/* A block of memory that lives from step first to step last (inclusive); offset is the result. */
typedef struct tern_block {
    size_t bytes, offset;
    int first, last;
} tern_block;

#define TERN_LINE 64 /* bytes of a cache line: alignment that fast kernels expect */

/* Offsets for blocks so that blocks alive together do not overlap: several orders are tried, best wins.  Returns the
 * arena's size: a multiple of 64 bytes where blocks are aligned to lines, else the end of the last block. */
tern_status tern_allocate(tern_block *blocks, int count, size_t alignment, size_t *arena_bytes);

/* The same in one pass, as TensorFlow Lite's arena planner does it: what lives all the time, then the bigger first, each in the
 * tightest gap. */
tern_status tern_allocate_by_size(tern_block *blocks, int count, size_t *arena_bytes);

/* An order of the nodes that keeps little alive: order[step] = node. */
tern_status tern_order_nodes(const tern_graph *graph, int *order);

/* The order of the graph, but each node that updates a parameter as soon as its gradient is there and nobody reads the parameter any
 * more: order[step] = node. */
tern_status tern_order_early(const tern_graph *graph, int *order);

/* A value that waits over the peak, the biggest below (limit bytes, limit_id), or 0; and the graph in which it is
 * computed again behind the peak (NULL when it can't be). */
int tern_recompute_candidate(const tern_program *plan, size_t limit, int limit_id);
tern_status tern_recompute_value(const tern_program *plan, int id, tern_graph **result);

/* Most bytes alive at one step, and which step. */
size_t tern_least_bytes(const tern_block *blocks, int count, int steps, size_t alignment, int *peak_step);

/* A call of a step without data: types and arguments only, for match, scratch and work.  The tensors are written into
 * in[] and out[], which have room for the node's operands. */
tern_call tern_call_of(const tern_graph *graph, const tern_node *node, tern_tensor *in, tern_tensor *out);

#endif
