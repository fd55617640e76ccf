/* tern cost of language models that are served: prompts and answers, one device or several. */
#ifndef TERN_CLI_COST_SERVING_H
#define TERN_CLI_COST_SERVING_H

#include "cli/cli.h"

#define TERN_SERVING_OPTIONS                                                                                  \
    {"phase",                                                                                                 \
     0,                                                                                                       \
     TERN_PICK,                                                                                               \
     "P",                                                                                                     \
     "both",                                                                                                  \
     "of serving a language model: prompts, answers, or both",                                                \
     "prefill|decode|both"},                                                                                  \
        {"in", 0, TERN_WHOLE, "N", "512", "tokens of a prompt", "1..10000000"},                               \
        {"out", 0, TERN_WHOLE, "N", "128", "tokens of an answer, whose last one is costed", "0..10000000"},   \
        {"beams", 0, TERN_WHOLE, "N", "1", "answers of a request that are followed at once", "1..1024"},      \
        {"tp", 0, TERN_WHOLE, "N", "1", "devices that share each matrix (tensor parallel)", "1..1024"},       \
        {"pp", 0, TERN_WHOLE, "N", "1", "stages of layers (pipeline parallel)", "1..1024"},                   \
        {"ep",     0, TERN_WHOLE, "N", "1", "groups of devices that share the experts (expert parallel)",     \
         "1..1024"},                                                                                          \
        {"format",                                                                                            \
         0,                                                                                                   \
         TERN_PICK,                                                                                           \
         "F",                                                                                                 \
         NULL,                                                                                                \
         "of weights, caches and activations; left out: as the model is",                                     \
         "f32|bf16|int8|fp8|fp6|int4|fp4|int2"},                                                              \
        {"causal", 0,    TERN_FLAG,                                                                           \
         NULL,     NULL, "a prompt's token sees those before it; else all, as GenZ has it",                   \
         NULL},                                                                                               \
        {"elements", 0, TERN_FLAG, NULL, NULL, "count norms, rotations and activations by themselves", NULL}, \
        {"offload", 0, TERN_FLAG, NULL, NULL, "what a device has no room for is read from the host", NULL},   \
    {                                                                                                         \
        "compat", 0, TERN_PICK, "PROGRAM", NULL, "count as that program does", "genz"                         \
    }

/* Whether an option of serving was given, or the net is a language model and nothing speaks against it. */
bool tern_cost_means_serving(const tern_cli *cli);
tern_status tern_cost_serving(tern_cli *cli);

#endif
