/* graph: values, nodes, the operator record, shape inference, autodiff, passes and the printed form.
 *
 * A graph is single-assignment: states and parameters change only through `next`, which the executor stores at the
 * end of a run (in place where the planner sees that nobody reads the old content later). */
#ifndef TERN_GRAPH_H
#define TERN_GRAPH_H

#include "kernel/element.h"
#include "tensor/tensor.h"

typedef struct tern_op tern_op;

/* levels: each element is k/levels of a spike for a whole k >= 0, so that a weight times it is k additions of that
 * weight over `levels`; 0: real numbers.  (Format bit says for itself that it holds spikes.) */
typedef struct tern_type {
    tern_dtype dtype;
    tern_shape shape;
    int levels;
} tern_type;

typedef enum tern_value_kind {
    TERN_VALUE_NODE,     /* produced by a node */
    TERN_VALUE_INPUT,    /* bound by the caller before each run */
    TERN_VALUE_PARAM,    /* in the store; trained */
    TERN_VALUE_STATE,    /* in the store (kept) or in the session (reset at each sequence) */
    TERN_VALUE_CONSTANT, /* content lives in the graph */
} tern_value_kind;

typedef struct tern_value_info {
    tern_value_kind kind;
    tern_type type;
    const char *name; /* inputs, parameters, states: unique; nodes' values: NULL */
    int node, slot;   /* producer, when kind is NODE */
    tern_init init;
    bool kept;
    const void *content; /* constants */
    tern_value next;     /* parameters and states */
    bool limited;        /* parameters: an update keeps every element in low .. high */
    double low, high;
    double rate; /* parameters: learning rates are multiplied by this; 0: by 1 */
} tern_value_info;

typedef enum tern_phase { TERN_FORWARD, TERN_BACKWARD, TERN_UPDATE } tern_phase;

typedef struct tern_node {
    const tern_op *op;
    const void *args;  /* op->args_size bytes */
    const char *layer; /* label of the layer that it belongs to: cost tables group by it */
    tern_phase phase;
    int nin, nout;
    tern_value *in; /* id 0: an optional input that is absent */
    tern_value *out;
} tern_node;

typedef struct tern_named {
    const char *name;
    tern_value value;
} tern_named;

struct tern_graph {
    tern_graph_options options;
    tern_arena arena;        /* everything below that is not an array, released at once */
    tern_value_info *values; /* [value_count], entry 0 unused */
    int value_count, value_capacity;
    int *named; /* [named_room, a power of two]: ids of values with names, by the hash of those; 0: free */
    int named_count, named_room;
    tern_node **nodes; /* topological order */
    int node_count, node_capacity;
    tern_named *outputs;
    int output_count, output_capacity;
    const char *layer; /* label of the nodes that are being added */
    tern_phase phase;
    int layer_count; /* labels given so far, for automatic names */
    int owners;      /* a body belongs to whoever opened it and to each node that has it as an argument */
    tern_status status;
    char *message;
};

/* ---- the operator record ------------------------------------------------------------------------------ */

typedef enum tern_arg_kind {
    TERN_ARG_INT,    /* int */
    TERN_ARG_REAL,   /* double */
    TERN_ARG_BOOL,   /* bool */
    TERN_ARG_CHOICE, /* an enum; choices are its names */
    TERN_ARG_DIMS,   /* tern_shape */
    TERN_ARG_GRAPH,  /* tern_graph *: a body */
} tern_arg_kind;

/* A field of an operator's argument struct. */
typedef struct tern_arg {
    const char *name;
    tern_arg_kind kind;
    size_t offset;
    const char *doc;
    const char *const *choices; /* NULL at the end */
} tern_arg;

#define TERN_ARG(type, field, kind_, doc_)                                                                   \
    {                                                                                                        \
        .name = #field, .kind = kind_, .offset = offsetof(type, field), .doc = doc_                          \
    }

/* Types in, types out.  `out` has room for TERN_MAX_OUT; infer appends with tern_infer_out.  An absent optional
 * input has in[i] = NULL. */
#define TERN_MAX_OUT 512
typedef struct tern_infer {
    const tern_op *op;
    const void *args;
    int nin, nout;
    const tern_type *const *in;
    tern_type *out;
} tern_infer;

/* Gradient of a node: given the gradients of its outputs (id 0: none flows in), add nodes to `graph` and set din[i]
 * for each input with need[i]. */
typedef struct tern_grad {
    tern_graph *graph;
    const tern_node *node;
    const tern_value *dout;
    const bool *need;
    tern_value *din;
} tern_grad;

/* One application of an operator to memory.  in[i].data is NULL for an absent optional input, out[i].data for an
 * output that nobody reads.  Kernels never allocate: scratch holds what the operator or kernel asked for. */
#define TERN_BODIES 2 /* body graphs that an operator can have */
typedef struct tern_call tern_call;
typedef void tern_run_body(const tern_call *call, int which, const void *const *in, void *const *state,
                           void *const *out);
struct tern_call {
    const tern_op *op;
    const void *args;
    int nin, nout;
    const tern_tensor *in;
    const tern_tensor *out;
    void *scratch;
    tern_pool *pool;
    uint64_t seed; /* of this run, for random operators */
    const double
        *density;       /* share of ones in each input of format bit, for work without data; NULL: all ones */
    int levels;         /* of in[0]: see tern_type */
    bool many;          /* while a kernel is chosen: rows come in large numbers (tern_plan_options) */
    tern_work *counter; /* when not NULL, reference kernels count here each operation that they execute */
    void *body[TERN_BODIES]; /* planned bodies of operators that have them (scan) */
    tern_run_body
        *run_body; /* runs body `which` once: inputs and parameters, states (read and overwritten), outputs */
};

/* Elements of the largest operand for each of the smallest that has more than one; 1: they are of one size. */
double tern_call_spread(const tern_call *call);

/* A faster kernel beside the reference.  match looks at types and arguments only (data are NULL). */
typedef struct tern_fast {
    const char *name;
    bool (*match)(const tern_call *call);
    size_t (*scratch)(const tern_call *call); /* bytes; NULL: none */
    void (*run)(const tern_call *call);
} tern_fast;

/* Calls of one fast kernel, one behind the other with the same in[0], that start together, to the bits of single ones. */
enum { TERN_MOST_JOINED = 8 };
typedef struct tern_joining {
    const char *fast;                                             /* the kernel's name */
    bool (*match)(const tern_call *first, const tern_call *next); /* as above */
    void (*run)(const tern_call *calls,
                int count); /* in the scratch memory of the first: the most that one of them asks for */
} tern_joining;

/* Where an operator writes itself as the body of a C99 function that does what `run` does, to the bit.  Its operands are
 * called in0, in1, .. (const) and out0, out1, ..: pointers to float, or, for bits, to uint8_t (element i is bit i%8 of byte
 * i/8).  Shapes and arguments become literals; data of the call are not NULL where an operand is there (and of nothing
 * else).  Results may share the memory of operands as they may when they are executed.  The body may call get_bit(bits, i)
 * and set_bit(bits, i), use the memory `scratch` where the operator's `scratch` asks for some, and, where it says so, the functions of math.h. */
typedef struct tern_emit {
    tern_text *text;
    bool math; /* the body calls functions of math.h */
} tern_emit;

enum {
    TERN_OP_ELEMENTWISE = 1, /* out[i] depends on in[*][i] only (after broadcasting) */
    TERN_OP_ROWWISE =
        2, /* rows along axis 0 of in[0] are independent: what repeats over time is computed once */
    TERN_OP_VIEW = 4,   /* out[0] is in[0] under another shape: no step is executed */
    TERN_OP_RANDOM = 8, /* two applications differ: never merged, folded or prepared */
    TERN_OP_TAKES_STATIC =
        16,               /* in[0] may be [1,...] while args.timesteps says T: the same input at each step */
    TERN_OP_FIRES = 32,   /* out[0] are the spikes of neurons: [T,B,..] */
    TERN_OP_PREPARE = 64, /* of parameters: computed when they are loaded, however large the result */
};

struct tern_op {
    const char *name, *doc;
    const tern_arg *args; /* ended by name NULL; NULL: none */
    size_t args_size;
    void (*print)(const void *args,
                  tern_text *text); /* what `args` does not tell of the arguments; NULL: nothing */
    unsigned flags;
    int inputs;           /* of element-wise operators: how many there are */
    tern_element element; /* of element-wise operators: their vector loop */
    signed char
        inplace[4]; /* out[i] may use the memory of in[inplace[i]-1] when that input dies here; 0: never */
    tern_status (*infer)(tern_infer *types);
    tern_status (*grad)(tern_grad *grad);                 /* NULL: not differentiable */
    void (*work)(const tern_call *call, tern_work *work); /* adds what one application costs */
    /* Bytes of its operands that one application touches, where they are less than all: sets in[i] and out[i], which hold all. */
    void (*touched)(const tern_call *call, double *in, double *out);
    tern_product_shape (*product)(const tern_call *call); /* NULL: it is no product of matrices */
    void (*run)(const tern_call *call);                   /* the definition: any dtype, any shape, slow */
    size_t (*scratch)(const tern_call *call); /* bytes that run, or what emit writes, needs; NULL: none */
    const tern_fast *fast;                    /* best first, ended by name NULL; NULL: none */
    const tern_joining *joining;              /* NULL: its calls run one by one */
    tern_status (*emit)(const tern_call *call,
                        tern_emit *to); /* the definition as C; NULL: not emitted yet */
};

/* total += part */
void tern_work_add(tern_work *total, const tern_work *part);

/* ---- building ------------------------------------------------------------------------------------------ */

/* Apply `op`: infers the outputs' types and appends a node.  Copies args.  `out` receives all outputs (may be NULL);
 * returns out[0]. */
tern_value tern_apply(tern_graph *graph, const tern_op *op, const void *args, const tern_value *in, int nin,
                      tern_value *out);

/* The argument of that name, a whole number; 0 when the operator has none. */
int tern_int_argument(const tern_node *node, const char *name);

/* The i-th body graph among the arguments of a node, or NULL. */
tern_graph *tern_body_of(const tern_node *node, int i);

/* Keep an error (the first one); returns the empty value. */
tern_value tern_graph_fail(tern_graph *graph, const char *format, ...) TERN_PRINTF(2, 3);

/* The same with the failure that is recorded on this thread. */
tern_value tern_graph_keep(tern_graph *graph, tern_status status);

/* The same for an allocation that failed. */
tern_value tern_graph_no_memory(tern_graph *graph);

/* Begin a layer: following nodes carry its label, "<kind><n>" or `name` when not NULL.  Returns the label. */
const char *tern_layer(tern_graph *graph, const char *kind, const char *name);

/* "<layer>.<what>" in the graph's arena: names of a layer's parameters. */
const char *tern_layer_name(tern_graph *graph, const char *what);

const tern_value_info *tern_value_of(const tern_graph *graph,
                                     tern_value value);                /* NULL for the empty value */
tern_value tern_find_value(const tern_graph *graph, const char *name); /* input, parameter, state by name */
tern_value tern_find_output(const tern_graph *graph, const char *name);
int64_t tern_parameter_count(const tern_graph *graph);

/* Keep the elements of a parameter in low .. high: whoever updates it clips them. */
void tern_limit(tern_graph *graph, tern_value param, double low, double high);

/* A parameter that learns `factor` times as fast as others. */
void tern_rate(tern_graph *graph, tern_value param, double factor);

/* An error for infer functions, with the operator's name in front. */
tern_status tern_infer_fail(const tern_infer *types, const char *format, ...) TERN_PRINTF(2, 3);
/* Between `least` and `most` inputs, the first `least` present. */
tern_status tern_infer_inputs(const tern_infer *types, int least, int most);
/* Inputs first .. last, where present, have as many elements as `shape`; the message shows both shapes. */
tern_status tern_infer_like(const tern_infer *types, int first, int last, tern_shape shape);
void tern_infer_out(tern_infer *types, tern_dtype dtype, tern_shape shape);
/* The output that was appended last holds spikes in `levels` steps (tern_type); 0 leaves it as it is. */
void tern_infer_levels(tern_infer *types, int levels);

/* ---- passes: each reads a graph and writes a new one ---------------------------------------------------- */

/* A copy under construction: map[old id] = new value.  Sources (inputs, parameters, states, constants) are copied by
 * open, outputs and nexts by close, which hands the new graph over; on any failure the new graph is released. */
typedef struct tern_rewrite {
    const tern_graph *from;
    tern_graph *to;
    tern_value *map;
} tern_rewrite;

tern_status tern_rewrite_open(tern_rewrite *rewrite, const tern_graph *from);
void tern_rewrite_node(tern_rewrite *rewrite, const tern_node *node); /* copy one node with mapped inputs */
/* What is applied to the graph from now on belongs to the layer and to the phase of the node, which may be another graph's. */
void tern_graph_enter(tern_graph *graph, const tern_node *node);
tern_status tern_rewrite_close(tern_rewrite *rewrite, tern_graph **result);

tern_status tern_pass_dead(const tern_graph *from, tern_graph **to);   /* drop what no output or next needs */
tern_status tern_pass_common(const tern_graph *from, tern_graph **to); /* merge equal nodes */
tern_status tern_pass_fold(const tern_graph *from,
                           tern_graph **to); /* compute what depends on constants only */

/* fixed[graph->value_count]: whether each value is the same in every run for as long as the parameters are. */
void tern_mark_prepared(const tern_graph *graph, bool *fixed);

/* ---- printed form ---------------------------------------------------------------------------------------- */

void tern_graph_print(const tern_graph *graph, tern_text *text);
void tern_args_print(const tern_op *op, const void *args, tern_text *text); /* "kernel=3 pad=1" */

#endif
