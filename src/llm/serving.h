/* The runs of a language model that serving it is made of, as lists of operators for machine/serving.h: read from the graph of
 * its architecture, each operator's work and bytes from its own record, cut over devices as Megatron cuts (arXiv 1909.08053). */
#ifndef TERN_LLM_SERVING_H
#define TERN_LLM_SERVING_H

#include "llm/transformer.h"
#include "machine/serving.h"

/* A number format of weights, caches and activations. */
typedef struct tern_serving_format {
    const char *name;
    double bytes;     /* an element */
    double speed;     /* products in it by those in bf16, as GenZ takes it */
    tern_dtype dtype; /* whose rates a machine gives; formats below 8 bits are unpacked to 8 */
} tern_serving_format;
extern const tern_serving_format tern_serving_formats[]; /* ended by name NULL */

typedef struct tern_serving_plan {
    int batch;    /* requests at a time */
    int in, out;  /* tokens of a prompt and of an answer */
    int beams;    /* answers that are followed at once, of each request */
    int tensor;   /* devices that share each matrix */
    int experts;  /* and groups of them that share the experts; attention is cut over both */
    int pipeline; /* stages of layers */
    int chunk; /* tokens of a prompt that are computed at once, one prompt at a time while the others of the batch decode;
                      0: all prompts at once */
    const tern_serving_format *format; /* NULL: weights as they are, the rest in bf16 */
    bool causal; /* a token of a prompt sees those before it; else all, as GenZ counts */
    bool
        elements; /* count the operators on elements (norms, rotations, activations), which else are part of products */
    bool genz; /* as the program genz-llm 0.0.16 counts, quirks included */
} tern_serving_plan;

/* Checks the numbers, against the net too. */
tern_status tern_serving_check(const tern_transformer *about, const tern_serving_plan *plan);

/* All prompts of a batch (of one batch of the pipeline), at once. */
tern_status tern_serving_prefill(tern_serving_run *run, const tern_transformer *about,
                                 const tern_serving_plan *plan);
/* One token of each answer: the last, which sees all others. */
tern_status tern_serving_decode(tern_serving_run *run, const tern_transformer *about,
                                const tern_serving_plan *plan);
/* `tokens` of one prompt behind `past`, and one of each other request, whose answer is at its end. */
tern_status tern_serving_chunk(tern_serving_run *run, const tern_transformer *about,
                               const tern_serving_plan *plan, int past, int tokens);

/* Requests of one batch in the pipeline, and how many batches there are. */
int tern_serving_batch(const tern_serving_plan *plan);
tern_serving_way tern_serving_way_of(const tern_serving_plan *plan);

/* ---- both phases ----------------------------------------------------------------------------------------------------- */

typedef struct tern_serving {
    const tern_transformer *about;
    tern_serving_plan plan;
    tern_serving_way way;
    tern_serving_run *prompts; /* [prompt_count], taken: one, or one a chunk */
    int prompt_count;
    tern_serving_run answer;
    struct tern_walk_frame *frames[2]; /* graphs of both phases, once another plan was asked for */
} tern_serving;
tern_status tern_serving_open(tern_serving *serving, const tern_transformer *about,
                              const tern_serving_plan *plan);
/* Another plan of the same net, much quicker than opening: graphs are kept and only their shapes change.  After a failure the
 * serving is as it was. */
tern_status tern_serving_change(tern_serving *serving, const tern_serving_plan *plan);
void tern_serving_close(tern_serving *serving);

typedef struct tern_serving_result {
    bool fits, offloaded;
    char reason[256];
    double first;       /* seconds to the first token of a prompt (of one batch of the pipeline) */
    double token;       /* seconds between the last tokens of an answer */
    double beside;      /* the same while a chunk of a prompt is computed beside it; 0: without chunks */
    double prompt_rate; /* tokens of prompts per second */
    double answer_rate; /* tokens of answers per second, beams counted once */
    double first_joules, token_joules; /* of all devices: for all prompts, for a token of each answer */
    double held, room;                 /* bytes of a device */
    const char *first_bound, *token_bound;
} tern_serving_result;
void tern_serving_ask(const tern_serving *serving, const tern_machine *machine, tern_serving_result *result);

/* ---- the least machine ------------------------------------------------------------------------------------------------ */

typedef struct tern_serving_target {
    double first, token; /* seconds, at most; 0: any */
} tern_serving_target;
bool tern_serving_meets(const tern_serving_target *target, const tern_serving_result *result);

typedef enum tern_resource {
    TERN_RESOURCE_RATE,      /* multiply-accumulates */
    TERN_RESOURCE_BANDWIDTH, /* of the memory with the most room */
    TERN_RESOURCE_CAPACITY,  /* its size */
    TERN_RESOURCE_LINK,      /* bandwidth between devices */
    TERN_RESOURCES
} tern_resource;
extern const char *const tern_resource_names[TERN_RESOURCES];

/* Changes these resources of the machine to the least that meets the target: less of any of them misses it.  They shrink
 * together in the machine's proportions, then each by itself in the order given.  needed[i]: resources[i] matters; else it
 * stays as it was.  TERN_NO_FIT when nothing meets it, with what would do. */
tern_status tern_serving_solve(const tern_serving *serving, const tern_serving_target *target,
                               const tern_resource *resources, int count, tern_machine *machine,
                               bool needed[TERN_RESOURCES]);

#endif
