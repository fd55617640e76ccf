/* tern cost MODEL --sweep X=A..B: the same question with other figures of the machine or other numbers of requests, tokens and
 * devices. */
#include "cli/cost_serving.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SWEEPS = 4, FEW = 64 };
#define MOST_POINTS 1e6

/* One figure and its values. */
typedef struct tern_sweep {
    char name[128]; /* as given */
    bool machine;
    size_t number; /* of a plan: where */
    tern_machine_field field;
    char unit[24];          /* of the values as given; "" */
    double *values, *shown; /* [count]; shown: in that unit */
    int count;
} tern_sweep;

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {{"batch", offsetof(tern_serving_plan, batch)}, {"in", offsetof(tern_serving_plan, in)},
               {"out", offsetof(tern_serving_plan, out)},     {"beams", offsetof(tern_serving_plan, beams)},
               {"tp", offsetof(tern_serving_plan, tensor)},   {"pp", offsetof(tern_serving_plan, pipeline)},
               {"ep", offsetof(tern_serving_plan, experts)},  {"chunk", offsetof(tern_serving_plan, chunk)}};

static tern_status add_value(tern_sweep *s, double shown, double factor)
{
    size_t old = (size_t)s->count, wanted = old ? 2 * old : 16;
    if ((old & (old - 1)) == 0 && (old == 0 || old >= 16)) { /* full */
        double *values = tern_resize(s->values, old * sizeof *values, wanted * sizeof *values);
        if (!values) return tern_no_memory(wanted * sizeof *values, "the values of a sweep");
        s->values = values;
        double *texts = tern_resize(s->shown, old * sizeof *texts, wanted * sizeof *texts);
        if (!texts) return tern_no_memory(wanted * sizeof *texts, "the values of a sweep");
        s->shown = texts;
    }
    if (!s->machine && (shown != floor(shown) || shown < 0 || shown > 1e9))
        return tern_fail(TERN_USAGE, "--sweep %s: found %g, expected a whole number", s->name, shown);
    s->values[old] = shown * factor;
    s->shown[old] = shown;
    s->count++;
    return TERN_OK;
}

/* What one of the unit is. */
static tern_status unit_factor(tern_sweep *s, double *factor)
{
    char text[40];
    bool per_cycle = false;
    *factor = 1;
    if (!s->machine || s->field.plain) {
        if (!*s->unit) return TERN_OK;
        return tern_fail(TERN_USAGE, "--sweep %s: it has no unit, found \"%s\"", s->name, s->unit);
    }
    snprintf(text, sizeof text, "1 %s", s->unit);
    tern_status status = tern_parse_quantity(text, s->field.quantity, factor, &per_cycle);
    if (status != TERN_OK) return tern_in(TERN_USAGE, "--sweep %s", s->name);
    return per_cycle ? tern_fail(TERN_USAGE, "--sweep %s: expected a rate per second", s->name) : TERN_OK;
}

/* "A..B", "A..BUNIT", and behind a colon how many values: without it whole numbers where they are few, else 11. */
static tern_status read_range(tern_sweep *s, const char *text, const char *dots)
{
    char first[32], *end, *rest;
    double factor;
    snprintf(first, sizeof first, "%.*s", (int)(dots - text), text); /* "1..8" begins like the number "1." */
    double from = strtod(first, &end), to = strtod(dots + 2, &rest);
    if (end == first || *end || rest == dots + 2)
        return tern_fail(TERN_USAGE, "--sweep %s: expected numbers around \"..\", found \"%.40s\"", s->name,
                         text);
    size_t length = strcspn(rest, ":");
    if (length >= sizeof s->unit)
        return tern_fail(TERN_USAGE, "--sweep %s: \"%.40s\" is no unit", s->name, rest);
    memcpy(s->unit, rest, length);
    s->unit[length] = 0;
    TERN_TRY(unit_factor(s, &factor));
    double count = to - from + 1;
    if (from != floor(from) || to != floor(to) || count > FEW) count = 11;
    end = rest + length;
    if (*end == ':') count = strtod(end + 1, &end);
    if (*end || !(from < to) || !(count >= 2) || count != floor(count) || count > MOST_POINTS)
        return tern_fail(TERN_USAGE,
                         "--sweep %s: expected A..B with A below B, perhaps a unit, and perhaps :N for 2 to "
                         "1000000 values",
                         s->name);
    for (int i = 0; i < (int)count; i++) {
        double value = from + (to - from) * i / (count - 1);
        TERN_TRY(add_value(s, s->machine ? value : round(value), factor));
    }
    return TERN_OK;
}

/* "A,B,CUNIT" */
static tern_status read_list(tern_sweep *s, const char *text)
{
    double factor;
    const char *last = strrchr(text, ',');
    char *end;
    strtod(last ? last + 1 : text, &end);
    snprintf(s->unit, sizeof s->unit, "%s", end);
    TERN_TRY(unit_factor(s, &factor));
    for (const char *p = text; p; p = *end == ',' ? end + 1 : NULL) {
        double value = strtod(p, &end);
        if (end == p || (*end && *end != ',' && strcmp(end, s->unit) != 0))
            return tern_fail(TERN_USAGE, "--sweep %s: found \"%.40s\", expected numbers with commas between",
                             s->name, p);
        TERN_TRY(add_value(s, value, factor));
    }
    return TERN_OK;
}

static tern_status read_sweep(tern_sweep *s, tern_machine *m, const char *text)
{
    const char *is = strchr(text, '=');
    if (!is || is == text || (size_t)(is - text) >= sizeof s->name)
        return tern_fail(TERN_USAGE, "--sweep %.60s: expected NAME=A..B or NAME=A,B,C", text);
    *s = (tern_sweep){0};
    memcpy(s->name, text, (size_t)(is - text));
    s->machine = strncmp(s->name, "machine.", 8) == 0;
    if (s->machine) {
        TERN_TRY(tern_machine_find_field(m, s->name + 8, &s->field));
    } else {
        const char *known[TERN_COUNT(numbers)];
        size_t i = 0;
        for (size_t k = 0; k < TERN_COUNT(numbers); k++) known[k] = numbers[k].name;
        while (i < TERN_COUNT(numbers) && strcmp(numbers[i].name, s->name) != 0) i++;
        if (i == TERN_COUNT(numbers))
            return tern_in(tern_unknown("figure", s->name, known, TERN_COUNT(numbers)),
                           "--sweep (of machines: machine.memory.main.bandwidth and so on)");
        s->number = numbers[i].offset;
    }
    const char *dots = strstr(is + 1, "..");
    return dots ? read_range(s, is + 1, dots) : read_list(s, is + 1);
}

/* ---- the points ------------------------------------------------------------------------------------------------------ */

typedef struct sweeping {
    tern_serving_job *job;
    tern_machine *machine;
    tern_sweep sweeps[MOST_SWEEPS];
    int count;
    tern_serving_plan plan; /* of job->serving */
    tern_grid grid;
} sweeping;

static int *number_of(tern_serving_plan *plan, size_t offset)
{
    return (int *)(void *)((char *)plan + offset);
}

/* Sets the values of a point; the runs are made anew where the plan changes. */
static tern_status set_point(sweeping *w, const int *at)
{
    tern_serving_plan plan = w->job->plan;
    bool offload = w->job->serving.way.offload, same = true;
    for (int i = 0; i < w->count; i++) {
        const tern_sweep *s = &w->sweeps[i];
        if (s->machine)
            tern_machine_set_field(&s->field, s->values[at[i]]);
        else
            *number_of(&plan, s->number) = (int)s->values[at[i]];
        same = same && (s->machine || *number_of(&plan, s->number) == *number_of(&w->plan, s->number));
    }
    if (same) return TERN_OK;
    tern_serving fresh;
    tern_status status = tern_serving_open(&fresh, &w->job->about, &plan);
    if (status != TERN_OK) return status;
    tern_serving_close(&w->job->serving);
    w->job->serving = fresh;
    w->job->serving.way.offload = offload;
    w->plan = plan;
    return TERN_OK;
}

static void show_point(sweeping *w, const int *at, const tern_serving_result *r)
{
    char line[640], values[256] = "";
    const tern_serving_job *job = w->job;
    if (job->cli->json) {
        json_t *o = tern_serving_json(job, w->machine, r), *point = json_object();
        for (int i = 0; i < w->count; i++)
            json_object_set_new(point, w->sweeps[i].name, json_real(w->sweeps[i].values[at[i]]));
        json_object_set_new(o, "at", point);
        json_array_append_new(job->machines, o);
        return;
    }
    for (int i = 0; i < w->count; i++) {
        const tern_sweep *s = &w->sweeps[i];
        size_t length = strlen(values);
        if (job->csv)
            printf("%.9g,", s->values[at[i]]);
        else
            snprintf(values + length, sizeof values - length, "%.6g%s%s|", s->shown[at[i]],
                     *s->unit ? " " : "", s->unit);
    }
    if (job->csv) {
        tern_serving_csv(job, r, stdout);
        return;
    }
    tern_serving_row(job, r, line);
    tern_grid_row(&w->grid, "%s%s", values, line);
}

/* A point that can't be (more stages than layers) is one with a reason. */
static tern_status ask_point(sweeping *w, const int *at)
{
    tern_serving_result r = {.first_bound = "", .token_bound = ""};
    tern_status status = set_point(w, at);
    if (status == TERN_OK) {
        tern_serving_ask(&w->job->serving, w->machine, &r);
    } else {
        if (status != TERN_USAGE) return status;
        snprintf(r.reason, sizeof r.reason, "%s", tern_message());
        tern_clear();
    }
    show_point(w, at, &r);
    return TERN_OK;
}

static tern_status ask_points(sweeping *w)
{
    int at[MOST_SWEEPS] = {0};
    char head[512] = "";
    const tern_serving_job *job = w->job;
    for (int i = 0; i < w->count; i++) {
        size_t length = strlen(head);
        snprintf(head + length, sizeof head - length, "%s%s", w->sweeps[i].name, job->csv ? "," : "|");
    }
    if (job->csv && !job->cli->json) printf("%s" TERN_SERVING_CSV "\n", head);
    tern_grid_row(&w->grid, "%s" TERN_SERVING_HEAD, head);
    for (int i = 0; i >= 0;) {
        TERN_TRY(ask_point(w, at));
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
        for (i = w->count - 1; i >= 0 && ++at[i] == w->sweeps[i].count; i--) at[i] = 0;
    }
    if (!job->csv && !job->cli->json) {
        TERN_TRY(tern_grid_print(&w->grid, stdout));
        printf("machine %s (%016llx)\n", w->machine->name, (unsigned long long)w->machine->hash);
    }
    return TERN_OK;
}

static tern_status read_sweeps(sweeping *w)
{
    const tern_cli *cli = w->job->cli;
    double points = 1;
    for (int i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].name, "sweep") != 0) continue;
        if (w->count == MOST_SWEEPS)
            return tern_fail(TERN_USAGE, "--sweep: at most %d at a time", MOST_SWEEPS);
        tern_sweep *s = &w->sweeps[w->count++];
        TERN_TRY(read_sweep(s, w->machine, cli->given[i].value));
        points *= s->count;
    }
    return points > MOST_POINTS
               ? tern_fail(TERN_USAGE, "--sweep: %.0f points, expected at most %.0f", points, MOST_POINTS)
               : TERN_OK;
}

tern_status tern_serving_sweep(tern_serving_job *job, const char *machine)
{
    sweeping w = {.job = job, .plan = job->plan};
    TERN_TRY(tern_machine_open(&w.machine, machine));
    tern_status status = read_sweeps(&w);
    if (status == TERN_OK) status = ask_points(&w);
    for (int i = 0; i < w.count; i++) {
        tern_release(w.sweeps[i].values);
        tern_release(w.sweeps[i].shown);
    }
    tern_grid_free(&w.grid);
    tern_machine_close(w.machine);
    return status;
}
