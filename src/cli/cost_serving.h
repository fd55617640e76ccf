/* tern cost of language models that are served: prompts and answers, one device or several; sweeps, targets and the least
 * machine that meets them. */
#ifndef TERN_CLI_COST_SERVING_H
#define TERN_CLI_COST_SERVING_H

#include "cli/cli.h"
#include "llm/serving.h"

#define TERN_SERVING_OPTIONS                                                                                   \
    {"phase",                                                                                                  \
     0,                                                                                                        \
     TERN_PICK,                                                                                                \
     "P",                                                                                                      \
     "both",                                                                                                   \
     "phase of serving a language model: its prompt, its answer, or both",                                     \
     "prefill|decode|both"},                                                                                   \
        {"in", 0, TERN_WHOLE, "N", "512", "tokens of a prompt", "1..10000000"},                                \
        {"out",        0, TERN_WHOLE, "N", "128", "tokens of an answer, of which the last one is costed",      \
         "0..10000000"},                                                                                       \
        {"beams",  0, TERN_WHOLE, "N", "1", "beams, answers of a request that are followed at the same time",  \
         "1..1024"},                                                                                           \
        {"tp", 0, TERN_WHOLE, "N", "1", "tensor parallelism: devices that share each matrix", "1..1024"},      \
        {"pp", 0, TERN_WHOLE, "N", "1", "pipeline parallelism: stages of layers", "1..1024"},                  \
        {"ep",     0, TERN_WHOLE, "N", "1", "expert parallelism: groups of devices that share the experts",    \
         "1..1024"},                                                                                           \
        {"format",                                                                                             \
         0,                                                                                                    \
         TERN_PICK,                                                                                            \
         "F",                                                                                                  \
         NULL,                                                                                                 \
         "number format of weights, caches and activations (default: the model's own)",                        \
         "f32|bf16|int8|fp8|fp6|int4|fp4|int2"},                                                               \
        {"causal",                                                                                             \
         0,                                                                                                    \
         TERN_FLAG,                                                                                            \
         NULL,                                                                                                 \
         NULL,                                                                                                 \
         "count causal attention, where a token of the prompt sees those before it only; else it sees all, "   \
         "as in GenZ",                                                                                         \
         NULL},                                                                                                \
        {"elements", 0,    TERN_FLAG,                                                                          \
         NULL,       NULL, "count norms, rotary positions and activations as operators of their own",          \
         NULL},                                                                                                \
        {"offload", 0, TERN_FLAG, NULL, NULL, "read from the host what a device has no room for", NULL},       \
        {"compat", 0, TERN_PICK, "PROGRAM", NULL, "count as this program does", "genz"},                       \
        {"slo",                                                                                                \
         0,                                                                                                    \
         TERN_TEXT,                                                                                            \
         "T",                                                                                                  \
         NULL,                                                                                                 \
         "times to keep, to the first token and for each further one: ttft=200ms,tpot=20ms (status 3 when "    \
         "they are not kept)",                                                                                 \
         NULL},                                                                                                \
        {"solve",   0,                                                                                         \
         TERN_TEXT, "LIST",                                                                                    \
         NULL,      "find the least of these figures of the machine that keeps --slo: flops,bw,capacity,link", \
         NULL},                                                                                                \
        {"sweep",                                                                                              \
         0,                                                                                                    \
         TERN_TEXT,                                                                                            \
         "X=A..B",                                                                                             \
         NULL,                                                                                                 \
         "several values of a figure, such as machine.memory.main.bandwidth=1..8TB/s, batch=1..64 or "         \
         "tp=1,2,4; may be "                                                                                   \
         "given several times",                                                                                \
         NULL},                                                                                                \
    {                                                                                                          \
        "vs", 0, TERN_TEXT, "M", NULL, "compare --machine with another machine, operator by operator", NULL    \
    }

/* A language model as it is asked about. */
typedef struct tern_serving_job {
    tern_cli *cli;
    void *parameters; /* of a net of the zoo */
    tern_weights weights;
    bool weighed;
    tern_transformer about;
    tern_serving_plan plan;
    tern_serving serving;
    tern_serving_target target; /* of --slo */
    bool prompts, answers;      /* what is asked for */
    bool csv;
    json_t *machines;
} tern_serving_job;

/* Whether an option of serving was given, or the net is a language model and nothing speaks against it. */
bool tern_cost_means_serving(const tern_cli *cli);
tern_status tern_cost_serving(tern_cli *cli);

/* Numbers of a result for JSON, a line of a table and a line of CSV. */
json_t *tern_serving_json(const tern_serving_job *job, const tern_machine *machine,
                          const tern_serving_result *result);
#define TERN_SERVING_HEAD "first token|next token|tokens/s|energy a step|a device holds|fits|bound by|note"
#define TERN_SERVING_CSV                                                                                     \
    "first_token_seconds,token_seconds,answer_tokens_per_second,prompt_tokens_per_second,prompt_joules,"     \
    "token_joules,"                                                                                          \
    "held_bytes,fits,first_token_bound,token_bound,reason"
void tern_serving_row(const tern_serving_job *job, const tern_serving_result *result, char line[640]);
void tern_serving_csv(const tern_serving_job *job, const tern_serving_result *result, FILE *out);

/* --sweep on the machine: all combinations of values.  cost_sweep.c */
tern_status tern_serving_sweep(tern_serving_job *job, const char *machine);
/* --slo, and --solve on the machine.  cost_solve.c */
tern_status tern_serving_read_target(tern_serving_job *job);
tern_status tern_serving_show_least(tern_serving_job *job, const char *machine);
/* What GenZ counts otherwise, and --vs.  cost_compare.c */
tern_status tern_serving_show_genz(tern_serving_job *job, const tern_machine *machine, json_t *into);
tern_status tern_serving_compare(tern_serving_job *job, const char *machine, const char *other);

#endif
