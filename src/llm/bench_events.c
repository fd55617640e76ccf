/* Runs of another program, told line by line. */
#include "llm/bench.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

typedef struct tern_told {
    tern_bench *bench;
    tern_power_sample *power; /* [power_count], of a room of as many as there are lines */
    int power_count;
    bool asked;             /* a turn is open */
    double began, computed; /* its prompt */
    int tokens;             /* of its reply */
    double last;            /* when the latest of them was there, or the prompt */
} tern_told;

static tern_status number(const json_t *o, const char *key, double least, double *out)
{
    const json_t *value = json_object_get(o, key);
    *out = json_number_value(value);
    if (json_is_number(value) && *out >= least) return TERN_OK;
    return tern_fail(TERN_FAILED, "its \"%s\" is no number of at least %.6g", key, least);
}

static tern_status end_turn(tern_told *t)
{
    tern_bench *b = t->bench;
    if (!t->asked) return TERN_OK;
    if (!t->tokens) TERN_TRY(tern_bench_add_first(b, t->computed - t->began));
    TERN_TRY(tern_bench_add_event(b, &(tern_bench_event){.kind = TERN_BENCH_REPLY,
                                                         .turn = b->turns,
                                                         .tokens = t->tokens,
                                                         .from = t->computed,
                                                         .to = t->last,
                                                         .joules = -1}));
    b->turns++;
    t->asked = false;
    return TERN_OK;
}

static tern_status load(tern_told *t, const json_t *o)
{
    tern_bench_event e = {.kind = TERN_BENCH_LOAD, .joules = -1};
    TERN_TRY(number(o, "from", 0, &e.from));
    TERN_TRY(number(o, "to", e.from, &e.to));
    return tern_bench_add_event(t->bench, &e);
}

static tern_status prompt(tern_told *t, const json_t *o)
{
    double tokens;
    TERN_TRY(end_turn(t));
    TERN_TRY(number(o, "from", t->last, &t->began));
    TERN_TRY(number(o, "to", t->began, &t->computed));
    TERN_TRY(number(o, "tokens", 0, &tokens));
    t->asked = true;
    t->tokens = 0;
    t->last = t->computed;
    return tern_bench_add_event(t->bench, &(tern_bench_event){.kind = TERN_BENCH_PROMPT,
                                                              .turn = t->bench->turns,
                                                              .tokens = (int)tokens,
                                                              .from = t->began,
                                                              .to = t->computed,
                                                              .joules = -1});
}

static tern_status token(tern_told *t, const json_t *o)
{
    double at;
    if (!t->asked) return tern_fail(TERN_FAILED, "a token before any prompt");
    TERN_TRY(number(o, "at", t->last, &at));
    TERN_TRY(t->tokens ? tern_bench_add_between(t->bench, at - t->last)
                       : tern_bench_add_first(t->bench, at - t->began));
    t->tokens++;
    t->last = at;
    return TERN_OK;
}

static tern_status power(tern_told *t, const json_t *o)
{
    tern_power_sample s = {0};
    double before = t->power_count ? t->power[t->power_count - 1].seconds : 0;
    TERN_TRY(number(o, "at", before, &s.seconds));
    TERN_TRY(number(o, "watts", 0, &s.watts));
    t->power[t->power_count++] = s;
    t->bench->sensor = "what it tells";
    return TERN_OK;
}

static tern_status memory(tern_told *t, const json_t *o)
{
    double bytes;
    TERN_TRY(number(o, "bytes", 0, &bytes));
    t->bench->resident = bytes;
    if (bytes > t->bench->peak) t->bench->peak = bytes;
    return TERN_OK;
}

static const struct {
    const char *name;
    tern_status (*read)(tern_told *t, const json_t *o);
} kinds[] = {{"load", load}, {"prompt", prompt}, {"token", token}, {"power", power}, {"memory", memory}};

static tern_status read_line(tern_told *t, const char *text, size_t size)
{
    json_error_t error;
    json_t *o = json_loadb(text, size, 0, &error);
    if (!o) return tern_fail(TERN_FAILED, "column %d: %s", error.column, error.text);
    const char *name = json_string_value(json_object_get(o, "event"));
    tern_status status = TERN_FAILED;
    size_t k = 0;
    while (k < TERN_COUNT(kinds) && !(name && strcmp(kinds[k].name, name) == 0)) k++;
    if (k < TERN_COUNT(kinds))
        status = kinds[k].read(t, o);
    else
        status = tern_fail(TERN_FAILED, "event \"%.40s\", expected load, prompt, token, power or memory",
                           name ? name : "");
    json_decref(o);
    return status;
}

/* Joules of each event, and the watts before the first one. */
static void use_power(tern_told *t)
{
    tern_bench *b = t->bench;
    double joules, from = t->power_count ? t->power[0].seconds : 0,
                   to = b->event_count ? b->events[0].from : 0;
    for (int i = 0; i < b->event_count; i++) {
        tern_bench_event *e = &b->events[i];
        if (!tern_power_energy(t->power, t->power_count, e->from, e->to, &e->joules)) e->joules = -1;
    }
    if (to > from && tern_power_energy(t->power, t->power_count, from, to, &joules))
        b->idle_watts = joules / (to - from);
}

static tern_status read_lines(tern_told *t, const char *text, size_t size, const char *path)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    t->power = tern_take_array(lines, sizeof *t->power);
    if (!t->power) return tern_no_memory(lines * sizeof *t->power, path);
    const char *end = text + size;
    for (int line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((stop ? stop : end) - text), blank = 0;
        while (blank < length && isspace((unsigned char)text[blank])) blank++;
        tern_status status = blank < length ? read_line(t, text, length) : TERN_OK;
        if (status != TERN_OK) return tern_in(status, "%s:%d", path, line);
        text += length + 1;
    }
    TERN_TRY(end_turn(t));
    use_power(t);
    return t->bench->turns ? TERN_OK : tern_fail(TERN_FAILED, "%s tells of no prompt", path);
}

tern_status tern_bench_events(tern_bench *bench, const char *text, size_t size, const char *name)
{
    tern_told told = {.bench = bench};
    *bench = (tern_bench){.cold_seconds = -1, .warm_seconds = -1, .idle_watts = -1};
    tern_status status = read_lines(&told, text, size, name);
    tern_release(told.power);
    return status;
}
