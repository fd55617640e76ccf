/* What the walk over a decoder's graph and GenZ's way of counting share; nothing outside these two files needs it. */
#ifndef TERN_LLM_SERVING_PARTS_H
#define TERN_LLM_SERVING_PARTS_H

#include "graph/graph.h"
#include "llm/serving.h"

/* Requests whose tokens see the same rows of a cache. */
typedef struct tern_walk_request {
    int tokens, rows;
    double count;
    const char *part; /* of an answer's attention, as GenZ has it apart; "" */
} tern_walk_request;

enum { TERN_WALK_REQUESTS = 3, TERN_WALK_OPERANDS = 8 };
typedef struct tern_walk_query {
    const tern_transformer *about;
    const tern_serving_plan *plan;
    int tokens, asked; /* rows that go through the net, and of the logits */
    tern_walk_request requests[TERN_WALK_REQUESTS];
    int prompts;      /* tokens whose rows of the table of embeddings GenZ multiplies */
    double held_rows; /* of caches */
    bool decode, chunk;
    struct tern_walk_frame *frame; /* that has the graph; NULL: one is built */
} tern_walk_query;

/* Queries of the runs of a plan, and the run of a query. */
tern_walk_query tern_walk_prefill(const tern_transformer *about, const tern_serving_plan *plan);
tern_walk_query tern_walk_decode(const tern_transformer *about, const tern_serving_plan *plan);
tern_walk_query tern_walk_chunk(const tern_transformer *about, const tern_serving_plan *plan, int past,
                                int tokens);
tern_status tern_walk_run(tern_serving_run *run, const tern_walk_query *query);

/* The graph of a decoder for so many tokens, rows of logits and rows of a cache: numbers[TERN_FRAME_NUMBERS]. */
enum { TERN_FRAME_NUMBERS = 3 };
tern_status tern_walk_build(const tern_transformer *about, const int *numbers, tern_graph **graph);

/* The same for one after the other of such numbers: *graph is the frame's, until the next.  NULL: no memory.  serving_frame.c */
typedef struct tern_walk_frame tern_walk_frame;
tern_walk_frame *tern_frame_new(void);
void tern_frame_free(tern_walk_frame *frame);
tern_status tern_frame_graph(tern_walk_frame *frame, const tern_transformer *about, const int *numbers,
                             tern_graph **graph);

/* What is known of a value: whether it follows from weights alone; whether devices have a part each, and of how many (heads,
 * columns). */
typedef struct tern_walk_note {
    bool fixed, split, held;
    bool voted; /* the choice of experts reads it */
    bool sent;  /* tokens went to the experts that it names */
    double parts;
} tern_walk_note;

typedef enum tern_cut { TERN_CUT_NONE, TERN_CUT_COLUMNS, TERN_CUT_ROWS } tern_cut;

/* A task that later products of the same input may join. */
typedef struct tern_walk_draft {
    tern_serving_task task;
    int input;
    tern_cut cut;
} tern_walk_draft;

typedef struct tern_walk {
    const tern_walk_query *query;
    tern_graph *graph;
    tern_walk_note *notes; /* [value_count] */
    tern_walk_draft *drafts;
    int draft_count, draft_capacity;
    double held, cached; /* bytes on one device if there were no stages */
    double element;      /* bytes of one, of activations and caches */
} tern_walk;

/* An operator as its record sees it, without data. */
typedef struct tern_walk_call {
    const tern_node *node;
    tern_tensor in[TERN_WALK_OPERANDS], out[TERN_WALK_OPERANDS];
    double in_bytes[TERN_WALK_OPERANDS], out_bytes[TERN_WALK_OPERANDS]; /* that it touches */
    tern_call call;
    tern_work work;
} tern_walk_call;

/* Work and bytes of the call as it stands. */
void tern_walk_measure(tern_walk_call *call);
/* The same of attention, by one of the query's requests. */
tern_status tern_walk_attend(const tern_walk *walk, const tern_walk_request *request, tern_walk_call *call);

/* The largest share of `parts` that one of n devices has. */
double tern_share(double parts, int devices);
/* "attn_q" of "blk.3.attn_q.weight", an operand; else the operator's name. */
void tern_walk_name(char out[24], const tern_walk *walk, const tern_node *node, int operand);
/* Bytes of a weight that the operator reads, in the plan's format or as they are. */
double tern_walk_weight(const tern_walk *walk, const tern_walk_call *call, int operand);

tern_status tern_walk_add(tern_walk *walk, const tern_serving_task *task);
tern_status tern_walk_exchange(tern_walk *walk, const char *label, tern_exchange exchange, double elements,
                               int devices);
/* A product; one with another that reads the same input and is cut alike: the two are one with more columns. */
tern_status tern_walk_product(tern_walk *walk, const tern_serving_task *task, int input, tern_cut cut);
/* Whether devices have a part each of what the operator makes. */
void tern_walk_split(tern_walk *walk, const tern_node *node, bool split, double parts);

/* How GenZ counts them.  serving_genz.c */
tern_status tern_genz_product(tern_walk *walk, const tern_walk_call *call);
tern_status tern_genz_lookup(tern_walk *walk, const tern_walk_call *call);
tern_status tern_genz_attend(tern_walk *walk, tern_walk_call *call);
tern_status tern_genz_experts(tern_walk *walk, const tern_walk_call *call);

#endif
