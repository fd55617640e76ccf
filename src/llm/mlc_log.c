/* Reports of TVM's profiler in a log of MLC LLM. */
#include "llm/mlc_log.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "Report from function ";

typedef struct tern_mlc_reader {
    tern_mlc_log *log;
    const char *name;
    const char *at, *end;
    int line;           /* of what is behind `at` */
    char function[128]; /* of the report at hand */
    tern_text pieces;   /* of its document */
    int piece, last;    /* read so far, and the number of the last one */
} tern_mlc_reader;

void tern_mlc_log_free(tern_mlc_log *log)
{
    tern_release(log->operators);
    tern_arena_free(&log->arena);
    *log = (tern_mlc_log){0};
}

static const char *find(const char *text, size_t size, const char *what)
{
    size_t length = strlen(what);
    for (size_t i = 0; i + length <= size; i++)
        if (text[i] == *what && memcmp(text + i, what, length) == 0) return text + i;
    return NULL;
}

bool tern_mlc_log_is(const char *text, size_t size)
{
    return find(text, size, mark) != NULL;
}

/* ---- entries ---------------------------------------------------------------------------------------------------------- */

static tern_status operator_of(tern_mlc_reader *r, const char *name, const char *device,
                               tern_mlc_operator **out)
{
    tern_mlc_log *log = r->log;
    for (int i = 0; i < log->count; i++) {
        *out = &log->operators[i];
        if (strcmp((*out)->function, r->function) == 0 && strcmp((*out)->name, name) == 0 &&
            strcmp((*out)->device, device) == 0)
            return TERN_OK;
    }
    if (log->count == log->room) {
        int more = log->room ? 2 * log->room : 64;
        void *bigger =
            tern_resize(log->operators, (size_t)log->room * sizeof **out, (size_t)more * sizeof **out);
        if (!bigger) return tern_no_memory((size_t)more * sizeof **out, "a log");
        log->operators = bigger;
        log->room = more;
    }
    tern_mlc_operator o = {.function = tern_arena_string(&log->arena, r->function),
                           .name = tern_arena_string(&log->arena, name),
                           .device = tern_arena_string(&log->arena, device)};
    if (!o.function || !o.name || !o.device) return tern_no_memory(strlen(name), "a log");
    *out = &log->operators[log->count++];
    **out = o;
    return TERN_OK;
}

/* {"string": ..}, {"count": ..} or {"microseconds": ..}: a value is wrapped in its unit. */
static const json_t *unwrap(const json_t *call, const char *key, const char *unit)
{
    return json_object_get(json_object_get(call, key), unit);
}

static tern_status read_call(tern_mlc_reader *r, const json_t *call, size_t index)
{
    tern_mlc_operator *o = NULL;
    const char *name = json_string_value(unwrap(call, "Name", "string")),
               *device = json_string_value(unwrap(call, "Device", "string"));
    const json_t *count = unwrap(call, "Count", "count"),
                 *time = unwrap(call, "Duration (us)", "microseconds");
    if (!time) time = unwrap(call, "Duration(us)", "microseconds"); /* Android's log loses spaces */
    if (!name || !json_is_number(count) || !json_is_number(time))
        return tern_fail(TERN_FAILED, "%s:%d: entry %zu of %s: expected Name, Count and Duration (us)",
                         r->name, r->line, index + 1, r->function);
    TERN_TRY(operator_of(r, name, device ? device : "", &o));
    o->calls += json_number_value(count);
    o->microseconds += json_number_value(time);
    r->log->entries++;
    return TERN_OK;
}

static tern_status read_document(tern_mlc_reader *r)
{
    json_error_t error;
    json_t *all = json_loadb(r->pieces.data ? r->pieces.data : "", r->pieces.size, 0, &error);
    if (!all)
        return tern_fail(TERN_FAILED, "%s:%d:%d: the report from %s: %s", r->name, r->line, error.column,
                         r->function, error.text);
    const json_t *calls = json_object_get(all, "calls");
    tern_status status = json_is_array(calls)
                             ? TERN_OK
                             : tern_fail(TERN_FAILED, "%s:%d: the report from %s has no list of calls",
                                         r->name, r->line, r->function);
    for (size_t i = 0; status == TERN_OK && i < json_array_size(calls); i++)
        status = read_call(r, json_array_get(calls, i), i);
    json_decref(all);
    r->log->reports++;
    return status;
}

/* ---- lines ------------------------------------------------------------------------------------------------------------- */

static bool next_line(tern_mlc_reader *r, const char **line, size_t *size)
{
    if (r->at >= r->end) return false;
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    *line = r->at;
    *size = (size_t)((stop ? stop : r->end) - r->at);
    r->at += *size + 1;
    r->line++;
    return true;
}

/* "decode:" or "decode[2/5]:", pieces counted from 0 to 5. */
static tern_status read_head(tern_mlc_reader *r, const char *at, size_t size)
{
    char head[160], *rest;
    snprintf(head, sizeof head, "%.*s", (int)(size < sizeof head ? size : sizeof head - 1), at);
    size_t length = strcspn(head, "[:");
    long piece = 0, last = 0;
    bool good = length > 0 && length < sizeof r->function;
    if (good && head[length] == '[') {
        piece = strtol(head + length + 1, &rest, 10);
        good = *rest == '/';
        last = good ? strtol(rest + 1, &rest, 10) : 0;
        good = good && *rest == ']' && piece >= 0 && piece <= last && last < 100000;
    }
    if (!good)
        return tern_fail(TERN_FAILED, "%s:%d: \"%.60s\" names no function and piece", r->name, r->line, head);
    bool goes_on = piece > 0 && r->piece + 1 == piece && r->last == last && strlen(r->function) == length &&
                   strncmp(r->function, head, length) == 0;
    if ((r->piece < r->last || piece > 0) && !goes_on)
        return tern_fail(
            TERN_FAILED,
            "%s:%d: piece %ld of %ld of a report from %.*s, behind piece %d of %d of one from %s", r->name,
            r->line, piece, last, (int)length, head, r->piece, r->last, r->function);
    if (!goes_on) tern_text_free(&r->pieces);
    memcpy(r->function, head, length);
    r->function[length] = '\0';
    r->piece = (int)piece;
    r->last = (int)last;
    return TERN_OK;
}

static tern_status read_lines(tern_mlc_reader *r)
{
    const char *line;
    size_t size;
    while (next_line(r, &line, &size)) {
        const char *found = find(line, size, mark);
        if (!found) continue;
        found += sizeof mark - 1;
        TERN_TRY(read_head(r, found, size - (size_t)(found - line)));
        if (!next_line(r, &line, &size))
            return tern_fail(TERN_FAILED, "%s: the log ends where a report from %s should be", r->name,
                             r->function);
        while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == ' ')) size--;
        tern_text_add(&r->pieces, line, size);
        TERN_TRY(tern_text_status(&r->pieces));
        if (r->piece == r->last) TERN_TRY(read_document(r));
    }
    if (r->piece < r->last)
        return tern_fail(TERN_FAILED, "%s: the log ends at piece %d of %d of a report from %s", r->name,
                         r->piece, r->last, r->function);
    return TERN_OK;
}

tern_status tern_mlc_log_parse(tern_mlc_log *log, const char *text, size_t size, const char *name)
{
    tern_mlc_reader r = {.log = log, .name = name, .at = text, .end = text + size};
    tern_status status = read_lines(&r);
    tern_text_free(&r.pieces);
    return status;
}
