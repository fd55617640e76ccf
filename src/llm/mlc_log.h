/* Logs of MLC LLM with times by operator (its builds with BENCHMARK_PER_LAYER): "Report from function NAME:" and below it a JSON
 * document of TVM's profiler, which Android's log cuts into numbered pieces, "NAME[k/n]:". */
#ifndef TERN_LLM_MLC_LOG_H
#define TERN_LLM_MLC_LOG_H

#include "base/base.h"

/* All calls of an operator in a function of the virtual machine. */
typedef struct tern_mlc_operator {
    const char *function, *name, *device;
    double calls, microseconds;
} tern_mlc_operator;

/* Zero-initialise; release with tern_mlc_log_free. */
typedef struct tern_mlc_log {
    tern_mlc_operator *operators; /* in the order of appearance */
    int count, room;
    int reports, entries; /* documents, and lines of calls in them */
    tern_arena arena;
} tern_mlc_log;

/* Whether such a report stands in it. */
bool tern_mlc_log_is(const char *text, size_t size);
/* `name` is for messages: a report without its document, with one that is broken or lacks a piece, and entries without name, count or
 * duration fail with the line's number; none is left out. */
tern_status tern_mlc_log_parse(tern_mlc_log *log, const char *text, size_t size, const char *name);
void tern_mlc_log_free(tern_mlc_log *log);

#endif
