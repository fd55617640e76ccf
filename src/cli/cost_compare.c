/* Two ways of counting, or two machines, operator by operator. */
#include "cli/cost_serving.h"

#include <math.h>
#include <string.h>

/* An operator in one of the two; attention in parts is one. */
typedef struct compared {
    char label[64];
    double seconds[2], count[2];
} compared;

enum { MOST = 64 };
typedef struct comparison {
    compared rows[MOST];
    int count;
    double all[2];
} comparison;

static void add_row(comparison *c, const char *label, int side, double seconds, double count)
{
    int i = 0;
    bool part = strncmp(label, "logit", 5) == 0 || strncmp(label, "attend", 6) == 0;
    if (part) label = "attend";
    while (i < c->count && strcmp(c->rows[i].label, label) != 0) i++;
    if (i == MOST) return; /* fewer kinds of operators are known to any net */
    if (i == c->count) snprintf(c->rows[c->count++].label, sizeof c->rows[0].label, "%s", label);
    c->rows[i].seconds[side] += seconds;
    c->rows[i].count[side] += count;
    c->all[side] += seconds;
}

/* The lookup in a table that is the last layer's too is another operator than that layer. */
static const char *label_of(const tern_serving_run *run, int i)
{
    const char *label = run->tasks[i].label;
    bool tied = i > 0 && strcmp(label, "token_embd") == 0;
    return tied ? "output" : label;
}

static tern_status add_run(comparison *c, const tern_machine *m, const tern_serving_run *run,
                           const tern_serving_way *way, int side)
{
    tern_serving_cost cost;
    tern_serving_time *times = tern_take_array((size_t)run->count + 1, sizeof *times);
    if (!times) return tern_no_memory((size_t)run->count * sizeof *times, "the times of operators");
    tern_machine_serve(m, run, way, &cost, times);
    for (int i = 0; i < run->count; i++)
        add_row(c, label_of(run, i), side, times[i].seconds * run->tasks[i].count, run->tasks[i].count);
    tern_release(times);
    return TERN_OK;
}

static tern_status add_phase(comparison *c, const tern_machine *m, const tern_serving *s, bool prompts,
                             int side)
{
    for (int i = 0; prompts && i < s->prompt_count; i++)
        TERN_TRY(add_run(c, m, &s->prompts[i], &s->way, side));
    return prompts ? TERN_OK : add_run(c, m, &s->answer, &s->way, side);
}

/* ---- GenZ's way ------------------------------------------------------------------------------------------------------ */

/* Operators that differ by more than a thousandth of the phase, in one line. */
static void print_differences(const comparison *c, const char *title, bool print, json_t *list)
{
    char here[24], there[24];
    bool first = true;
    for (int i = 0; i < c->count; i++) {
        const compared *r = &c->rows[i];
        if (!(fabs(r->seconds[0] - r->seconds[1]) > 1e-3 * c->all[0])) continue;
        json_array_append_new(list, json_pack("{s:s,s:s,s:f,s:f}", "phase", title, "operator", r->label,
                                              "seconds", r->seconds[0], "genz_seconds", r->seconds[1]));
        if (print)
            printf("%s%s%s %s (here %s)", first ? title : "", first ? ": genz-llm would count " : ", ",
                   r->label, tern_human(there, r->seconds[1], "s"), tern_human(here, r->seconds[0], "s"));
        first = false;
    }
    if (print && !first) puts("");
}

tern_status tern_serving_show_genz(tern_serving_job *job, const tern_machine *m, json_t *into)
{
    tern_serving genz;
    tern_serving_plan plan = job->plan;
    plan.genz = true;
    if (!plan.format) plan.format = &tern_serving_formats[1]; /* bf16 */
    TERN_TRY(tern_serving_open(&genz, &job->about, &plan));
    genz.way.offload = job->serving.way.offload;
    json_t *list = json_array();
    json_object_set_new(into, "genz_differs", list);
    tern_status status = TERN_OK;
    for (int phase = 0; status == TERN_OK && phase < 2; phase++) {
        bool prompts = phase == 0;
        comparison c = {0};
        if (prompts ? !job->prompts : !job->answers) continue;
        status = add_phase(&c, m, &job->serving, prompts, 0);
        if (status == TERN_OK) status = add_phase(&c, m, &genz, prompts, 1);
        if (status == TERN_OK)
            print_differences(&c, prompts ? "prompt" : "answer", !job->cli->json && !job->csv, list);
    }
    tern_serving_close(&genz);
    return status;
}

/* ---- two machines ---------------------------------------------------------------------------------------------------- */

static tern_status print_phase(const tern_serving_job *job, const comparison *c, const char *title,
                               const tern_machine *one, const tern_machine *other, json_t *into)
{
    tern_grid g = {0};
    char a[24], b[24];
    json_t *list = json_array();
    json_object_set_new(into, title, list);
    tern_grid_row(&g, "%s|%s|%s|ratio", title, one->name, other->name);
    for (int i = 0; i <= c->count; i++) {
        const char *label = i < c->count ? c->rows[i].label : "together";
        const double *s = i < c->count ? c->rows[i].seconds : c->all;
        tern_grid_row(&g, "%s|%s|%s|%.3g", label, tern_human(a, s[0], "s"), tern_human(b, s[1], "s"),
                      s[1] / s[0]);
        json_array_append_new(
            list, json_pack("{s:s,s:f,s:f}", "operator", label, "seconds", s[0], "other_seconds", s[1]));
        if (job->csv && !job->cli->json)
            printf("%s,%s,%.9g,%.9g,%.6g\n", title, label, s[0], s[1], s[1] / s[0]);
    }
    if (!job->cli->json && !job->csv) return tern_grid_print(&g, stdout);
    tern_grid_free(&g);
    return TERN_OK;
}

static tern_status compare(tern_serving_job *job, const tern_machine *one, const tern_machine *other)
{
    tern_serving_result r;
    const tern_machine *both[] = {one, other};
    tern_status status = TERN_OK;
    json_t *o = json_object();
    if (job->csv && !job->cli->json) printf("phase,operator,%s,%s,ratio\n", one->name, other->name);
    for (int phase = 0; status == TERN_OK && phase < 2; phase++) {
        bool prompts = phase == 0;
        comparison c = {0};
        if (prompts ? !job->prompts : !job->answers) continue;
        for (int side = 0; status == TERN_OK && side < 2; side++)
            status = add_phase(&c, both[side], &job->serving, prompts, side);
        if (status == TERN_OK) status = print_phase(job, &c, prompts ? "prompt" : "answer", one, other, o);
    }
    for (int side = 0; side < 2; side++) {
        tern_serving_ask(&job->serving, both[side], &r);
        json_array_append_new(job->machines, tern_serving_json(job, both[side], &r));
        if (!r.fits && !job->cli->json && !job->csv)
            printf("%s has no room: %s\n", both[side]->name, r.reason);
    }
    json_array_append_new(job->machines, o);
    return status;
}

tern_status tern_serving_compare(tern_serving_job *job, const char *machine, const char *other)
{
    tern_machine *one, *two;
    TERN_TRY(tern_machine_open(&one, machine));
    tern_status status = tern_machine_open(&two, other);
    if (status == TERN_OK) {
        status = compare(job, one, two);
        tern_machine_close(two);
    }
    tern_machine_close(one);
    return status;
}
