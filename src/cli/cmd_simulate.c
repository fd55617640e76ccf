/* tern simulate: a net on a systolic array, cycle by cycle counted, layer by layer shown. */
#include "cli/simulate.h"
#include "cli/sweep.h"
#include "machine/cores.h"

static const tern_cli_option options[] = {
    {"machine", 'm', TERN_TEXT, "M", "systolic-32x32",
     "machine, a name or a path: a systolic array, event cores, a processor with caches or, for NET-half, "
     "cores that share floating-point units",
     NULL},
    TERN_ARRAY_OPTIONS,
    {"batch", 'b', TERN_WHOLE, "N", "1", "samples of a batch", "1..65536"},
    {"train", 0, TERN_FLAG, NULL, NULL, "a training step instead of inference", NULL},
    {"density", 0, TERN_NUMBER, "D", "0.1",
     "share of neurons that fire in a time step; on event cores a run uses what was measured", "0..1"},
    {"mapping", 0, TERN_PICK, "HOW", "least",
     "of event cores: put neurons on as few cores as have room for them, or spread them over free cores "
     "where there is most work",
     "least|spread"},
    {"report", 0, TERN_PICK, "WHAT", "layers", "what to show: every layer, or the totals only",
     "layers|total"},
    {"csv", 0, TERN_FLAG, NULL, NULL, "print the layers as comma-separated values in plain units", NULL},
    {"sweep", 0, TERN_TEXT, "X=A..B", NULL,
     "several values of a figure, such as machine.memory.l2.size=1..8MiB, batch=1,8,64 or "
     "density=0.05..0.5:10; may be "
     "given several times",
     NULL},
    {"trace", 0, TERN_TEXT, "FILE", NULL, "write a timeline for chrome://tracing or Perfetto", NULL},
    TERN_INPUT_OPTION,
    {0},
};

/* What a sweep may change. */
typedef struct tern_simulate_plan {
    int batch;
    double density;
} tern_simulate_plan;

static const tern_sweep_number numbers[] = {{"batch", offsetof(tern_simulate_plan, batch), false},
                                            {"density", offsetof(tern_simulate_plan, density), true}};

static bool has_array(const tern_machine *m)
{
    for (int i = 0; i < m->unit_count; i++)
        if (m->units[i].rows > 0) return true;
    return false;
}

/* An array before cores, cores before caches. */
static tern_status simulate(const tern_simulate_ask *ask, int batch)
{
    bool shape = tern_cli_has(ask->cli, "array") || tern_cli_has(ask->cli, "dataflow");
    if (has_array(ask->machine)) return tern_simulate_array(ask);
    if (shape)
        return tern_fail(TERN_USAGE,
                         "simulate: machine %s has no systolic array: --array and --dataflow mean nothing",
                         ask->machine->name);
    if (tern_cli_has(ask->cli, "mapping") && !tern_event_unit(ask->machine))
        return tern_fail(TERN_USAGE, "simulate: machine %s has no event cores: --mapping means nothing",
                         ask->machine->name);
    if (!tern_event_unit(ask->machine) && tern_simulate_is_cluster(ask->program))
        return tern_simulate_cluster(ask);
    if (!tern_event_unit(ask->machine) || tern_cli_has(ask->cli, "train")) return tern_simulate_caches(ask);
    return batch == 1
               ? tern_simulate_cores(ask)
               : tern_fail(TERN_USAGE,
                           "simulate: event cores take one sample after the other, not --batch %d", batch);
}

static tern_status plan_net(const tern_cli *cli, const tern_subject *s, int batch, tern_graph **g,
                            tern_program **p)
{
    tern_recipe recipe = tern_recipe_of(s->net);
    TERN_TRY(tern_cli_has(cli, "train")
                 ? tern_model_training_graph(g, s->net, s->parameters, &s->sample, batch, &recipe)
                 : tern_model_graph(g, s->net, s->parameters, &s->sample, batch, cli->seed));
    return tern_plan(p, *g, &(tern_plan_options){.reference = true});
}

/* ---- several points -------------------------------------------------------------------------------------------------- */

typedef struct tern_simulate_sweep {
    const tern_cli *cli;
    const tern_subject *subject;
    tern_machine *machine;
    tern_sweeps sweeps;
    json_t *points;
} tern_simulate_sweep;

static tern_status simulate_point(tern_simulate_sweep *w)
{
    tern_simulate_plan plan = {tern_cli_whole(w->cli, "batch"), tern_cli_number(w->cli, "density")};
    tern_graph *g = NULL;
    tern_program *p = NULL;
    json_t *total = NULL, *at = json_object();
    tern_sweeps_set(&w->sweeps, &plan);
    tern_status status = plan.batch < 1 || plan.density > 1
                             ? tern_fail(TERN_USAGE, "--sweep: batch is 1 at least, density 1 at most")
                             : plan_net(w->cli, w->subject, plan.batch, &g, &p);
    tern_simulate_ask ask = {w->cli, w->machine, p, w->subject->folder, plan.density, &total};
    if (status == TERN_OK) status = simulate(&ask, plan.batch);
    if (status == TERN_NO_FIT) { /* a point with a reason */
        total = json_pack("{s:s}", "reason", tern_message());
        tern_clear();
        status = TERN_OK;
    }
    for (int i = 0; i < w->sweeps.count; i++) {
        const tern_sweep *s = &w->sweeps.sweeps[i];
        json_object_set_new(at, s->name, json_real(s->values[w->sweeps.at[i]]));
    }
    if (total) json_object_set(total, "at", at);
    if (total) json_array_append_new(w->points, total);
    json_decref(at);
    tern_program_close(p);
    tern_graph_close(g);
    return status;
}

/* The figures of a point that every kind of machine has, or why there are none. */
static void show_point(const tern_simulate_sweep *w, const json_t *total, tern_grid *grid)
{
    bool csv = tern_cli_has(w->cli, "csv");
    char row[256], a[24], b[24];
    const char *bound = json_string_value(json_object_get(total, "bound"));
    const char *reason = json_string_value(json_object_get(total, "reason"));
    double seconds = json_number_value(json_object_get(total, "seconds"));
    double joules = json_number_value(json_object_get(total, "joules"));
    if (!bound)
        bound = json_number_value(json_object_get(total, "stall_cycles")) > 0 ? "array, with waits" : "array";
    tern_sweeps_row(&w->sweeps, csv, row);
    if (csv)
        printf("%s%.10g,%.10g,%s,\"%s\"\n", row, seconds, joules, reason ? "" : bound, reason ? reason : "");
    else if (reason)
        tern_grid_row(grid, "%s-|-|-|%s", row, reason);
    else
        tern_grid_row(grid, "%s%s|%s|%s|", row, tern_human(a, seconds, "s"), tern_human(b, joules, "J"),
                      bound);
}

static tern_status simulate_points(tern_simulate_sweep *w)
{
    char head[512];
    tern_grid grid = {0};
    bool csv = tern_cli_has(w->cli, "csv");
    tern_sweeps_head(&w->sweeps, csv, head);
    if (csv && !w->cli->json) printf("%sseconds,joules,bound,reason\n", head);
    tern_grid_row(&grid, "%stime|energy|bound by|note", head);
    tern_status status = TERN_OK;
    do {
        status = simulate_point(w);
        if (status == TERN_OK && !w->cli->json)
            show_point(w, json_array_get(w->points, json_array_size(w->points) - 1), &grid);
        if (status == TERN_OK && tern_interrupted()) status = tern_fail(TERN_INTERRUPTED, "interrupted");
    } while (status == TERN_OK && tern_sweeps_next(&w->sweeps));
    if (status == TERN_OK && !w->cli->json && !csv) status = tern_grid_print(&grid, stdout);
    tern_grid_free(&grid);
    if (status != TERN_OK || !w->cli->json) return status;
    return tern_print_json(json_pack("{s:s,s:O}", "machine", w->machine->name, "points", w->points));
}

static tern_status sweep(const tern_cli *cli, const tern_subject *s, tern_machine *m)
{
    tern_simulate_sweep w = {.cli = cli, .subject = s, .machine = m};
    if (tern_cli_has(cli, "trace"))
        return tern_fail(TERN_USAGE, "simulate: --trace is of one simulation, not of a sweep");
    tern_status status = tern_sweeps_read(&w.sweeps, cli, m, numbers, TERN_COUNT(numbers));
    w.points = json_array();
    if (status == TERN_OK) status = simulate_points(&w);
    json_decref(w.points);
    tern_sweeps_free(&w.sweeps);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static tern_status run_once(const tern_cli *cli, const tern_subject *s, const tern_machine *m)
{
    tern_graph *g = NULL;
    tern_program *p = NULL;
    int batch = tern_cli_whole(cli, "batch");
    tern_status status = plan_net(cli, s, batch, &g, &p);
    tern_simulate_ask ask = {cli, m, p, s->folder, tern_cli_number(cli, "density"), NULL};
    if (status == TERN_OK) status = simulate(&ask, batch);
    tern_program_close(p);
    tern_graph_close(g);
    return status;
}

static tern_status run_simulate(tern_cli *cli)
{
    tern_subject s;
    tern_machine *m = NULL;
    TERN_TRY(tern_subject_open(&s, cli, cli->arguments[0]));
    tern_status status = tern_open_array(&m, cli);
    if (status == TERN_OK) status = tern_cli_has(cli, "sweep") ? sweep(cli, &s, m) : run_once(cli, &s, m);
    tern_machine_close(m);
    tern_subject_close(&s);
    return status;
}

static const tern_exclusion exclusions[] = {
    {"csv", "report", "--csv prints the layers"},
    {"csv", "json", "both say how figures are written"},
    {0},
};

const tern_command tern_command_simulate = {
    .name = "simulate",
    .about = "simulate a net on a systolic array, on event cores or on a processor with caches: cycles, time "
             "steps, bytes, what bounds it, energy",
    .usage = "NET|RUN|NET.onnx|NET.tflite",
    .more =
        "tern simulate spiking-cnn --machine systolic-32x32 --dataflow output-stationary\n"
        "tern simulate lenet --array 64x64 --trace lenet.trace.json\n"
        "tern simulate run/spiking-cnn --machine loihi2      # with the spike rates that were measured\n"
        "tern simulate resnet --machine raspberry-pi-5 --sweep machine.memory.l2.size=1..8MiB:8\n"
        "tern simulate mobilenet-regroup --group 4 --alpha 1 --input 3x224x224 --machine systolic-64x64-rs",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_simulate,
};
