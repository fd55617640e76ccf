/* Lines of llama.cpp's logs, one by one: each is of a kind that is known, or none of them. */
#include "llm/ggml_log.h"

#include <stdlib.h>
#include <string.h>

typedef struct tern_log_reader {
    tern_ggml_log *log;
    const char *name;
    int line;
    char text[1024];  /* the line at hand */
    int tensors_told; /* in the header; -1: not */
    int nodes_left;   /* of the graph at hand */
} tern_log_reader;

static tern_status wrong(const tern_log_reader *r, const char *what)
{
    return tern_fail(TERN_FAILED, "%s: line %d \"%.80s\" is no %s", r->name, r->line, r->text, what);
}

static tern_status operator_of(const tern_log_reader *r, const char *name, size_t size,
                               tern_ggml_operator **out)
{
    tern_ggml_log *log = r->log;
    if (!size || size >= sizeof log->operators[0].name) return wrong(r, "line with an operator's name");
    for (int i = 0; i < log->operator_count; i++) {
        *out = &log->operators[i];
        if (strlen((*out)->name) == size && memcmp((*out)->name, name, size) == 0) return TERN_OK;
    }
    if (log->operator_count == TERN_LOG_OPERATORS)
        return tern_fail(TERN_FAILED, "%s: line %d: there are more than %d operators", r->name, r->line,
                         TERN_LOG_OPERATORS);
    *out = &log->operators[log->operator_count++];
    memcpy((*out)->name, name, size);
    return TERN_OK;
}

/* A number at *at, which goes behind it. */
static bool number(const char **at, double *value)
{
    char *end;
    *value = strtod(*at, &end);
    if (end == *at) return false;
    *at = end;
    return true;
}

/* Spaces, then this text. */
static bool passes(const char **at, const char *text)
{
    while (**at == ' ') ++*at;
    size_t size = strlen(text);
    if (strncmp(*at, text, size) != 0) return false;
    *at += size;
    return true;
}

static const char *word(const char **at, size_t *size)
{
    while (**at == ' ') ++*at;
    const char *from = *at;
    *size = strcspn(from, " ]");
    *at += *size;
    return from;
}

/* "llama_model_loader: - tensor    0:   token_embd.weight q4_0     [  4096, 32000,     1,     1 ]" */
static tern_status read_tensor(tern_log_reader *r, const char *at)
{
    double index, extent, elements = 1;
    size_t size;
    bool good = number(&at, &index) && index == r->log->tensors && passes(&at, ":");
    for (int i = 0; good && i < 2; i++) {
        word(&at, &size);
        good = size > 0;
    }
    good = good && passes(&at, "[");
    for (int i = 0; good && i < 4; i++) {
        good = number(&at, &extent) && extent >= 0 && (i == 3 || passes(&at, ","));
        elements *= extent;
    }
    if (!good || !passes(&at, "]")) return wrong(r, "line of the table of tensors");
    r->log->tensors++;
    r->log->elements += elements;
    return TERN_OK;
}

/* " -   3: [  4096,     2,     1]          MUL_MAT   (  1) cpu =  18.562 /  18.562 ms, wall =   5.255 /   5.255 ms" */
static tern_status read_node(tern_log_reader *r)
{
    const char *at = r->text, *name = "";
    double x, processor = 0, wall = 0;
    size_t size = 0;
    tern_ggml_operator *o;
    bool good = passes(&at, "-") && number(&at, &x) && passes(&at, ":") && passes(&at, "[");
    for (int i = 0; good && i < 3; i++) good = number(&at, &x) && (i == 2 || passes(&at, ","));
    good = good && passes(&at, "]");
    if (good) name = word(&at, &size);
    good = good && passes(&at, "(") && number(&at, &x) && passes(&at, ")");
    good = good && passes(&at, "cpu =") && number(&at, &processor) && passes(&at, "/") && number(&at, &x);
    good = good && passes(&at, "ms, wall =") && number(&at, &wall) && passes(&at, "/") && number(&at, &x) &&
           passes(&at, "ms");
    if (!good) return wrong(r, "node of a graph");
    TERN_TRY(operator_of(r, name, size, &o));
    o->nodes++;
    o->processor += processor;
    o->wall += wall;
    r->log->nodes++;
    r->nodes_left--;
    return TERN_OK;
}

/* "perf_total_per_op_us[             ADD] =   0.513 ms" */
static tern_status read_total(tern_log_reader *r, const char *at)
{
    size_t size;
    double milliseconds = 0;
    tern_ggml_operator *o;
    const char *name = word(&at, &size);
    if (!passes(&at, "]") || !passes(&at, "=") || !number(&at, &milliseconds) || !passes(&at, "ms"))
        return wrong(r, "total of an operator");
    TERN_TRY(operator_of(r, name, size, &o));
    o->evaluations++;
    o->total += milliseconds;
    r->log->totals++;
    return TERN_OK;
}

static tern_status read_graph(tern_log_reader *r, const char *at)
{
    double count = 0;
    if (!number(&at, &count) || count < 0 || count > 1e6) return wrong(r, "number of nodes");
    r->nodes_left = (int)count;
    r->log->graphs++;
    return TERN_OK;
}

static tern_status read_line(tern_log_reader *r)
{
    const char *at = r->text, *told = strstr(r->text, " key-value pairs and ");
    if (r->nodes_left > 0) return read_node(r);
    if (told && passes(&at, "llama_model_loader: loaded meta data"))
        r->tensors_told = (int)strtol(told + strlen(" key-value pairs and "), NULL, 10);
    at = r->text;
    if (passes(&at, "llama_model_loader: - tensor")) return read_tensor(r, at);
    at = r->text;
    if (passes(&at, "n_nodes =")) return read_graph(r, at);
    at = r->text;
    return passes(&at, "perf_total_per_op_us[") ? read_total(r, at) : TERN_OK;
}

tern_status tern_ggml_log_parse(tern_ggml_log *log, const char *text, size_t size, const char *name)
{
    tern_log_reader r = {.log = log, .name = name, .line = 1, .tensors_told = -1};
    *log = (tern_ggml_log){0};
    for (size_t at = 0; at < size; r.line++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at, kept = length;
        if (kept >= sizeof r.text) kept = sizeof r.text - 1; /* what is longer is a prompt, not a table */
        memcpy(r.text, text + at, kept);
        r.text[kept] = 0;
        if (kept && r.text[kept - 1] == '\r') r.text[kept - 1] = 0;
        at += length + 1;
        TERN_TRY(read_line(&r));
    }
    if (r.nodes_left > 0)
        return tern_fail(TERN_FAILED, "%s: the log ends %d nodes before its last graph does", name,
                         r.nodes_left);
    if (r.tensors_told >= 0 && r.tensors_told != log->tensors)
        return tern_fail(TERN_FAILED, "%s: %d tensors are told and %d listed", name, r.tensors_told,
                         log->tensors);
    if (!log->tensors && !log->nodes && !log->totals)
        return tern_fail(TERN_FAILED, "%s: no tensor, node or total of llama.cpp stands in it", name);
    return TERN_OK;
}
