/* ggml_log: logs of llama.cpp with times by operator (its GGML_PERF builds): the table of tensors, the nodes of each evaluation and
 * the totals by operator. */
#ifndef TERN_LLM_GGML_LOG_H
#define TERN_LLM_GGML_LOG_H

#include "base/base.h"

typedef struct tern_ggml_operator {
    char name[32];
    int evaluations;        /* lines of totals */
    double total;           /* milliseconds: their sum */
    int nodes;              /* lines of nodes */
    double processor, wall; /* milliseconds: sums over nodes */
} tern_ggml_operator;

#define TERN_LOG_OPERATORS 128

typedef struct tern_ggml_log {
    int tensors;                                      /* lines of the table */
    double elements;                                  /* that they have together */
    int graphs, nodes;                                /* evaluations whose nodes are listed, and all nodes */
    int totals;                                       /* lines of totals */
    tern_ggml_operator operators[TERN_LOG_OPERATORS]; /* in the order of appearance */
    int operator_count;
} tern_ggml_log;

/* `name` is for messages: a line that begins as one of these and goes on otherwise, and tensors or nodes that are fewer than the log
 * says, fail with the line's number. */
tern_status tern_ggml_log_parse(tern_ggml_log *log, const char *text, size_t size, const char *name);

#endif
