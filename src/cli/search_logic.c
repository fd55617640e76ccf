/* tern search NET --pass logic: nets of other parameters (widths of words, layers, ..) are trained, each is folded as well as a
 * budget of logic allows, and what nothing beats in accuracy, look-up tables and interval is kept. */
#include "cli/learning.h"
#include "emit/rtl.h"
#include "search/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHOICES = 4, VALUES = 16, POINTS = 256 };

/* A parameter of the net and what it may be. */
typedef struct choice {
    char name[32];
    double value[VALUES];
    int count;
} choice;

typedef struct point {
    double value[CHOICES], accuracy, luts, bram18, dsp, interval, latency;
    char folding[96]; /* pe:simd of each block */
} point;

typedef struct logic_job {
    tern_cli *cli;
    tern_subject subject;
    tern_dataset dataset;
    const tern_net *integers; /* NET-fixed */
    tern_rtl_budget budget;
    choice choices[CHOICES];
    int choice_count, all; /* combinations */
    point *points;
    int count;
    tern_pareto archive;
} logic_job;

/* ---- what is asked for -------------------------------------------------------------------------------------------------- */

static tern_status wrong_space(const char *text, const char *at)
{
    return tern_fail(
        TERN_USAGE,
        "--space %s: at \"%s\": expected up to %d parameters with up to %d numbers each, such as "
        "bits=1,2,4:layers=1..3",
        text, at, CHOICES, VALUES);
}

/* "1,2,4" or "1..3"; *at moves behind it. */
static bool parse_values(choice *c, const char **at)
{
    do {
        char *end;
        double first = strtod(*at, &end), last = first;
        if (end == *at || !isfinite(first)) return false;
        *at = *end == '.' && end[-1] == '.' ? end - 1 : end; /* "1." of "1..3" */
        if (strncmp(*at, "..", 2) == 0) {
            last = strtod(*at + 2, &end);
            if (end == *at + 2 || !(last >= first)) return false;
            *at = end;
        }
        for (double v = first; v <= last; v++) {
            if (c->count == VALUES) return false;
            c->value[c->count++] = v;
        }
    } while (**at == ',' && (*at)++);
    return true;
}

static tern_status parse_space(logic_job *job)
{
    const char *text = tern_cli_text(job->cli, "space"), *at = text;
    double old;
    job->all = 1;
    for (;;) {
        choice *c = &job->choices[job->choice_count];
        size_t n = strcspn(at, "=");
        if (job->choice_count == CHOICES || at[n] != '=' || n >= sizeof c->name) return wrong_space(text, at);
        memcpy(c->name, at, n);
        TERN_TRY(tern_net_get(job->subject.net, job->subject.parameters, c->name, &old));
        const char *values = at + n + 1;
        at = values;
        if (!parse_values(c, &at) || (*at && *at != ':')) return wrong_space(text, values);
        job->all *= c->count;
        job->choice_count++;
        if (job->all > POINTS)
            return tern_fail(TERN_USAGE, "--space %s: more than %d nets to train", text, POINTS);
        if (!*at) return TERN_OK;
        at++;
    }
}

/* NET-fixed of NET-qfx, or of a net whose layers have few bits themselves. */
static tern_status find_integers(logic_job *job)
{
    const tern_net *net = job->subject.net;
    char name[80];
    bool cast = net->fixed && !net->integers;
    snprintf(name, sizeof name, "%.*s-fixed", (int)(strlen(net->name) - (cast ? strlen("-qfx") : 0)),
             net->name);
    job->integers =
        net->integers || net->int8 || net->qat || net->delta || net->regroup ? NULL : tern_net_find(name);
    if (job->integers) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     "net %s has no form in integers: take NET-qfx, or a net of few bits such as cqmlp",
                     net->name);
}

/* ---- a point -------------------------------------------------------------------------------------------------------------- */

/* The parameters of the net that is trained, and those of its form in integers. */
static tern_status set_parameters(const logic_job *job, const point *p, void *net, void *integers)
{
    const tern_subject *s = &job->subject;
    double value;
    for (const tern_option *o = s->net->options; o->name; o++) {
        TERN_TRY(tern_net_get(s->net, s->parameters, o->name, &value));
        TERN_TRY(tern_net_set(s->net, net, o->name, value));
    }
    for (int k = 0; k < job->choice_count; k++)
        TERN_TRY(tern_net_set(s->net, net, job->choices[k].name, p->value[k]));
    TERN_TRY(tern_net_set(s->net, net, "classes", job->dataset.classes));
    for (const tern_option *o = s->net->options; o->name; o++) {
        TERN_TRY(tern_net_get(s->net, net, o->name, &value));
        TERN_TRY(tern_net_set(job->integers, integers, o->name, value));
    }
    return s->net->fixed ? TERN_OK : tern_net_set(job->integers, integers, "word", 0);
}

static tern_status train_point(const logic_job *job, const void *parameters, tern_store *store)
{
    const tern_cli *cli = job->cli;
    tern_samples train = tern_samples_of(&job->dataset, true);
    tern_progress_state state = {0};
    tern_training t = {.net = job->subject.net,
                       .parameters = parameters,
                       .recipe = tern_recipe_default(),
                       .train = &train,
                       .quiet = true};
    t.recipe.optimiser = TERN_ADAM;
    t.recipe.rate = tern_cli_has(cli, "rate") ? tern_cli_number(cli, "rate") : 0.001;
    t.recipe.epochs = tern_cli_whole(cli, "epochs");
    t.recipe.batch = tern_cli_whole(cli, "batch");
    t.recipe.decay = t.recipe.smoothing = t.recipe.crop = t.recipe.flip = 0;
    t.recipe.seed = cli->seed;
    return tern_train(&t, &state, store, cli->pool);
}

/* The folding within the budget and what it takes. */
static tern_status fold_point(const logic_job *job, tern_rtl *rtl, point *p)
{
    size_t at = 0;
    TERN_TRY(tern_rtl_fold_best(rtl, &job->budget));
    p->interval = (double)tern_rtl_interval(rtl);
    p->latency = (double)tern_rtl_latency(rtl);
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        tern_rtl_cost c = tern_rtl_cost_of(l);
        p->luts += c.luts;
        p->bram18 += c.bram18;
        p->dsp += c.dsp;
        if (at < sizeof p->folding)
            at += (size_t)snprintf(p->folding + at, sizeof p->folding - at, "%s%d:%d", at ? "," : "", l->pe,
                                   l->simd);
    }
    return TERN_OK;
}

static tern_status measure_logic(const logic_job *job, const void *parameters, tern_store *store, point *p)
{
    tern_graph *graph = NULL;
    tern_program *program = NULL;
    tern_session *session = NULL;
    tern_rtl rtl;
    size_t size = (size_t)tern_elements(&job->dataset.sample);
    float *zeros = tern_take_array(size, sizeof *zeros);
    tern_status status = zeros ? TERN_OK : tern_no_memory(size * sizeof *zeros, "a sample");
    if (status == TERN_OK)
        status = tern_model_graph(&graph, job->integers, parameters, &job->dataset.sample, 1, job->cli->seed);
    if (status == TERN_OK) status = tern_rtl_mark(graph);
    if (status == TERN_OK) status = tern_plan(&program, graph, NULL);
    if (status == TERN_OK) status = tern_session_open(&session, program, store, job->cli->pool);
    if (status == TERN_OK) status = tern_session_bind(session, "image", zeros);
    if (status == TERN_OK) status = tern_session_run(session, 0); /* what is prepared does not depend on it */
    if (status == TERN_OK) status = tern_rtl_open(&rtl, program, session);
    if (status == TERN_OK) {
        status = fold_point(job, &rtl, p);
        tern_rtl_free(&rtl);
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(graph);
    tern_release(zeros);
    return status;
}

/* Trained, judged in integers, folded.  TERN_NO_FIT: no folding keeps the budget. */
static tern_status measure_point(const logic_job *job, point *p)
{
    void *net = NULL, *integers = NULL;
    tern_store store = {0};
    tern_evaluation e = {0};
    tern_samples test = tern_samples_of(&job->dataset, false);
    tern_status status = tern_net_parameters(job->subject.net, &net);
    if (status == TERN_OK) status = tern_net_parameters(job->integers, &integers);
    if (status == TERN_OK) status = set_parameters(job, p, net, integers);
    if (status == TERN_OK) status = train_point(job, net, &store);
    if (status == TERN_OK)
        status = tern_evaluate(&e, job->integers, integers, &test, tern_cli_whole(job->cli, "batch"), 0,
                               &store, job->cli->pool);
    p->accuracy = e.accuracy;
    if (status == TERN_OK) status = measure_logic(job, integers, &store, p);
    tern_evaluation_free(&e);
    tern_store_close(&store);
    tern_net_free(integers);
    tern_net_free(net);
    return status;
}

static tern_status measure_all(logic_job *job)
{
    job->archive = (tern_pareto){.objectives = 3, .largest = {true, false, false}};
    for (int n = 0; n < job->all; n++) {
        point *p = &job->points[job->count];
        *p = (point){0};
        for (int k = job->choice_count - 1, rest = n; k >= 0; rest /= job->choices[k].count, k--)
            p->value[k] = job->choices[k].value[rest % job->choices[k].count];
        tern_status status = measure_point(job, p);
        if (status == TERN_NO_FIT && !job->cli->quiet)
            fprintf(stderr, "%d of %d left out: %s\n", n + 1, job->all, tern_message());
        if (status == TERN_NO_FIT) {
            tern_clear();
            continue;
        }
        TERN_TRY(status);
        if (!job->cli->quiet) fprintf(stderr, "%d of %d: accuracy %.4f\n", n + 1, job->all, p->accuracy);
        TERN_TRY(tern_pareto_add(
            &job->archive, (const double[TERN_OBJECTIVES]){p->accuracy, p->luts, p->interval}, job->count++));
    }
    if (job->count) return TERN_OK;
    return tern_fail(TERN_NO_FIT, "search: none of %d nets keeps the budget", job->all);
}

/* ---- what was found ----------------------------------------------------------------------------------------------------- */

static tern_status print_json(const logic_job *job)
{
    json_t *points = json_array();
    for (int i = 0; i < job->count; i++) {
        const point *p = &job->points[i];
        json_t *o = json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:b}", "accuracy", p->accuracy, "luts", p->luts,
                              "bram18", p->bram18, "dsp", p->dsp, "interval", p->interval, "latency",
                              p->latency, "folding", p->folding, "pareto", tern_pareto_has(&job->archive, i));
        json_t *chosen = json_object();
        for (int k = 0; k < job->choice_count; k++)
            json_object_set_new(chosen, job->choices[k].name, json_real(p->value[k]));
        json_object_set_new(o, "parameters", chosen);
        json_array_append_new(points, o);
    }
    return tern_print_json(json_pack("{s:s,s:s,s:i,s:o}", "net", job->subject.net->name, "pass", "logic",
                                     "tried", job->all, "points", points));
}

static tern_status print(const logic_job *job)
{
    tern_grid t = {0};
    tern_text line = {0};
    if (job->cli->json) return print_json(job);
    for (int k = 0; k < job->choice_count; k++) tern_text_format(&line, "%s|", job->choices[k].name);
    tern_text_put(&line, "accuracy|LUT (est.)|BRAM18 (est.)|DSP (est.)|interval|latency|pe:simd|Pareto");
    tern_grid_row(&t, "%s", line.data ? line.data : "");
    tern_text_free(&line);
    for (int i = 0; i < job->count; i++) {
        const point *p = &job->points[i];
        for (int k = 0; k < job->choice_count; k++) tern_text_format(&line, "%g|", p->value[k]);
        tern_text_format(&line, "%.4f|%.0f|%.0f|%.0f|%.0f|%.0f|%s|%s", p->accuracy, p->luts, p->bram18,
                         p->dsp, p->interval, p->latency, p->folding,
                         tern_pareto_has(&job->archive, i) ? "yes" : "");
        tern_grid_row(&t, "%s", line.data ? line.data : "");
        tern_text_free(&line);
    }
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("%d of %d nets keep the budget; accuracy is that of the integers on the test split, interval and "
           "latency are cycles\n",
           job->count, job->all);
    return TERN_OK;
}

static tern_status open_job(logic_job *job)
{
    tern_cli *cli = job->cli;
    tern_dataset_options limits = {.train_limit = tern_cli_whole(cli, "limit")};
    if (tern_cli_has(cli, "csv"))
        return tern_fail(TERN_USAGE, "search --pass logic: --csv is of group sizes; take --json");
    if (!tern_cli_has(cli, "space"))
        return tern_fail(TERN_USAGE,
                         "search --pass logic: --space says what is varied, such as bits=1,2,4:layers=1..3");
    TERN_TRY(tern_rtl_parse_budget(tern_cli_has(cli, "budget") ? tern_cli_text(cli, "budget") : NULL,
                                   &job->budget));
    TERN_TRY(tern_subject_open(&job->subject, cli, cli->arguments[0]));
    if (job->subject.folder)
        return tern_fail(TERN_USAGE, "search needs a net, found the run folder %s", job->subject.folder);
    TERN_TRY(find_integers(job));
    TERN_TRY(parse_space(job));
    TERN_TRY(tern_open_data(&job->dataset, tern_cli_text(cli, "data"), limits, cli, &job->subject));
    job->points = tern_take_array((size_t)job->all, sizeof *job->points);
    return job->points ? TERN_OK : tern_no_memory((size_t)job->all * sizeof *job->points, "a search");
}

tern_status tern_search_logic(tern_cli *cli)
{
    logic_job job = {.cli = cli};
    tern_catch_interrupts();
    tern_status status = open_job(&job);
    if (status == TERN_OK) status = measure_all(&job);
    if (status == TERN_OK) status = print(&job);
    tern_pareto_free(&job.archive);
    tern_release(job.points);
    tern_dataset_close(&job.dataset);
    tern_subject_close(&job.subject);
    return status;
}
