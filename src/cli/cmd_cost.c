/* tern cost: time, energy and memory of a net on machines that may not be here. */
#include "cli/cost_all.h"
#include "cli/cost_model.h"
#include "cli/cost_serving.h"
#include "cli/measured.h"
#include "machine/machine.h"

#include <stdlib.h>
#include <string.h>

static const tern_cli_option options[] = {
    {"machine", 'm', TERN_TEXT, "M", "all", "machine: a name, a path to a .yaml file, or all", NULL},
    {"batch", 'b', TERN_WHOLE, "N", "1", "samples of a batch", "1..65536"},
    {"density", 0, TERN_NUMBER, "D", "0.1",
     "share of neurons that fire in a time step, where nothing was measured", "0..1"},
    {"stepping", 0, TERN_FLAG, NULL, NULL, "cost one time step, with membranes kept in memory between steps",
     NULL},
    {"trained", 0, TERN_TEXT, "RUN", NULL, "use the spike rates that tern eval measured in this run", NULL},
    TERN_INPUT_OPTION,
    TERN_COST_ALL_OPTIONS,
    {"context", 'c', TERN_WHOLE, "N", "0",
     "of a language model: tokens that the cache holds; 0: 2048, or the model's limit if that is less",
     "0..1000000"},
    {"prompt", 'p', TERN_WHOLE, "N", "512", "of a language model: tokens of the prompt", "1..1000000"},
    {"chunk", 0, TERN_WHOLE, "N", "256",
     "of a language model: tokens of the prompt that are computed at once", "1..4096"},
    {"cache", 0, TERN_PICK, "FORMAT", "f32",
     "of a language model: number format of the keys and values in the cache", "f32|f16"},
    {"as", 0, TERN_TEXT, "NAME", NULL,
     "of a language model: as if it had been converted to this format (tern convert --format): q4_0, q4_K_M, "
     "..",
     NULL},
    {"head-format", 0, TERN_TEXT, "NAME", NULL,
     "with --as: format of the table that makes logits (q6_K is what llama.cpp combines with q4_0)", NULL},
    TERN_SERVING_OPTIONS,
    {0},
};

static const tern_exclusion exclusions[] = {
    {"csv", "json", "both say how figures are written"},
    {"density", "trained", "one assumes spike rates, the other takes measured ones"},
    {0},
};

#define REFERENCE "reference-45nm"

typedef struct tern_cost_job {
    tern_cli *cli;
    tern_program *program;
    tern_bill bill;
    tern_task_cost *costs;
    bool measured;
    bool one; /* machine was asked for: its layers are shown */
    tern_work total;
    const char *folder;  /* of the run; NULL: a net */
    json_t *layers;      /* on the machine below */
    char layers_on[128]; /* the machine asked for; of all, the reference or else the first that fits */
    char refusal[320];   /* why the one machine that was asked for does not do */
    double membranes, membrane_traffic; /* bytes */
} tern_cost_job;

static tern_status prepare(tern_cost_job *job, double density)
{
    size_t count = (size_t)job->program->step_count;
    job->costs = tern_take_array(count + 1, sizeof *job->costs);
    if (!job->costs) return tern_no_memory(count * sizeof *job->costs, "a cost");
    TERN_TRY(tern_bill_open(&job->bill, job->program, density));
    for (size_t i = 0; i < count; i++) job->membrane_traffic += job->bill.steps[i].traffic.membranes;
    job->membranes = job->bill.need.membranes;
    return TERN_OK;
}

static json_t *cost_json(const tern_machine *m, const tern_cost *c)
{
    return json_pack("{s:s,s:s,s:b,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:s,s:s}", "machine", m->name, "about",
                     m->about, "fits", c->fits, "reason", c->reason, "seconds", c->seconds, "energy_joules",
                     c->joules, "compute_joules", c->compute_joules, "memory_joules", c->memory_joules,
                     "idle_joules", c->idle_joules, "peak_bytes", c->peak_bytes, "paper_energy_joules",
                     c->paper_joules, "bound", c->bound, "weights_in", c->weights_in, "activations_in",
                     c->activations_in);
}

static json_t *layer_costs(const tern_cost_job *job)
{
    json_t *list = json_array();
    for (int i = 0; i < job->bill.query.count; i++) {
        const tern_task_work *t = &job->bill.tasks[i];
        const tern_task_cost *c = &job->costs[i];
        if (!c->bound || !*c->bound) continue;
        json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:f,s:f,s:f,s:f,s:f,s:s}", "layer", t->label,
                                              "operator", job->bill.steps[i].node->op->name, "work",
                                              tern_work_json(&t->work), "weight_bytes", t->weight_bytes,
                                              "read_bytes", t->read_bytes, "written_bytes", t->written_bytes,
                                              "seconds", c->seconds, "joules", c->joules, "bound", c->bound));
    }
    return list;
}

/* Keeps the layers on this machine where it is the one to show. */
static void keep_layers(tern_cost_job *job, const tern_machine *m, const tern_cost *c)
{
    bool better = !job->layers || strcmp(m->name, REFERENCE) == 0;
    if (!c->fits || !better) return;
    json_decref(job->layers);
    job->layers = layer_costs(job);
    snprintf(job->layers_on, sizeof job->layers_on, "%s", m->name);
}

static tern_status print_layers(const tern_cost_job *job)
{
    tern_grid t = {0};
    char macs[24], adds[24], bytes[24], time[24], joules[24];
    tern_grid_row(&t, "layer|operator|MACs|accumulates|bytes moved|time|energy|bound by");
    for (int i = 0; i < job->bill.query.count; i++) {
        const tern_task_work *k = &job->bill.tasks[i];
        const tern_task_cost *c = &job->costs[i];
        if (!c->bound || !*c->bound) continue;
        tern_grid_row(
            &t, "%s|%s|%s|%s|%s|%s|%s|%s", k->label, job->bill.steps[i].node->op->name,
            tern_human(macs, k->work.macs, ""), tern_human(adds, k->work.accumulates, ""),
            tern_human(bytes, k->weight_bytes + k->read_bytes + k->written_bytes + k->state_bytes, "B"),
            tern_human(time, c->seconds, "s"), tern_human(joules, c->joules, "J"), c->bound);
    }
    TERN_TRY(tern_grid_print(&t, stdout));
    puts("");
    return TERN_OK;
}

/* Adds the line of one machine; prints its layers when it is the only one. */
static tern_status cost_on(tern_cost_job *job, const char *name, tern_grid *table, json_t *all)
{
    tern_machine *m;
    tern_cost c;
    char time[24], joules[24], bytes[24];
    TERN_TRY(tern_machine_open(&m, name));
    tern_machine_cost(m, &job->bill.query, &c, job->costs);
    if (c.fits)
        tern_grid_row(table, "%s|%s|%s|%s|%s|yes|%s", m->name, tern_human(time, c.seconds, "s"),
                      c.joules > 0 ? tern_human(joules, c.joules, "J") : "-",
                      tern_human(bytes, c.peak_bytes, "B"), c.bound, c.reason);
    else
        tern_grid_row(table, "%s|-|-|%s|-|no|%s", m->name, tern_human(bytes, c.peak_bytes, "B"), c.reason);
    json_array_append_new(all, cost_json(m, &c));
    keep_layers(job, m, &c);
    if (!c.fits) snprintf(job->refusal, sizeof job->refusal, "%.40s: %s", m->name, c.reason);
    tern_status status = job->one && !job->cli->json ? print_layers(job) : TERN_OK;
    tern_machine_close(m); /* whose names stand in the costs */
    return status;
}

/* Takes the reference to `machines`. */
static json_t *document(const tern_cost_job *job, json_t *machines)
{
    double paper = 4.6e-12 * job->total.macs + 0.9e-12 * job->total.accumulates;
    return json_pack("{s:o,s:f,s:f,s:f,s:s,s:o,s:s,s:o}", "work", tern_work_json(&job->total),
                     "paper_energy_joules", paper, "membrane_bytes", job->membranes, "membrane_traffic_bytes",
                     job->membrane_traffic, "spike_rates", job->measured ? "measured" : "assumed", "machines",
                     machines, "layers_on", job->layers_on, "layers",
                     job->layers ? json_incref(job->layers) : json_array());
}

static void print_total(const tern_cost_job *job, double density)
{
    char a[24], b[24], c[24];
    double paper = 4.6e-12 * job->total.macs + 0.9e-12 * job->total.accumulates;
    printf("%s multiply-accumulates, %s accumulates (spike rates %s", tern_human(a, job->total.macs, ""),
           tern_human(b, job->total.accumulates, ""), job->measured ? "measured)" : "assumed: ");
    if (!job->measured) printf("%g of neurons in a step; --trained RUN takes measured ones)", density);
    printf("; paper-energy %s\n", tern_human(c, paper, "J"));
    if (tern_cli_has(job->cli, "stepping"))
        printf("of one time step; membranes %.0f bytes, %.0f bytes of them moved\n", job->membranes,
               job->membrane_traffic);
}

/* Costs on each machine named, one a line. */
static tern_status cost_all(tern_cost_job *job, char *names, tern_grid *table, json_t *all)
{
    tern_grid_row(table, "machine|time|energy|peak memory|bound by|fits|note");
    for (char *p = names, *end; p && *p; p = end + 1) {
        end = strchr(p, '\n');
        *end = 0;
        TERN_TRY(cost_on(job, p, table, all));
    }
    return TERN_OK;
}

/* Prints; a run keeps the costs on all machines in its cost.json, for the report. */
static tern_status show(tern_cost_job *job, double density, tern_grid *table, json_t *costs)
{
    char path[4096];
    if (job->folder && !tern_cli_has(job->cli, "stepping") && !job->one) {
        TERN_TRY(tern_run_path(path, job->folder, "cost.json"));
        TERN_TRY(tern_write_json(path, json_incref(costs)));
    }
    if (job->cli->json) return tern_print_json(json_incref(costs));
    TERN_TRY(tern_grid_print(table, stdout));
    print_total(job, density);
    return TERN_OK;
}

static tern_status print_all(tern_cost_job *job, const char *machine, double density)
{
    tern_grid table = {0};
    tern_text names = {0};
    json_t *all = json_array(), *costs = NULL;
    job->one = strcmp(machine, "all") != 0;
    tern_status status = TERN_OK;
    for (int i = 0; i < job->bill.query.count; i++) tern_work_add(&job->total, &job->bill.tasks[i].work);
    if (job->one)
        tern_text_format(&names, "%s\n", machine);
    else
        status = tern_machine_names(&names);
    if (status == TERN_OK) status = cost_all(job, names.data, &table, all);
    if (status == TERN_OK) costs = document(job, json_incref(all));
    if (status == TERN_OK) status = show(job, density, &table, costs);
    if (status == TERN_OK && job->one && job->refusal[0]) status = tern_fail(TERN_NO_FIT, "%s", job->refusal);
    tern_grid_free(&table);
    tern_text_free(&names);
    json_decref(costs);
    json_decref(all);
    json_decref(job->layers);
    return status;
}

static tern_status check_net(const tern_cli *cli)
{
    static const char *const of_models[] = {"context", "prompt", "chunk", "cache", "as", "head-format"};
    for (size_t i = 0; i < TERN_COUNT(of_models); i++)
        if (tern_cli_has(cli, of_models[i]))
            return tern_fail(TERN_USAGE, "cost: --%s is for language models%s", of_models[i],
                             cli->net && cli->net->decoder ? ", with --context" : "");
    return TERN_OK;
}

static tern_status run_cost(tern_cli *cli)
{
    tern_subject s;
    tern_graph *g = NULL;
    tern_cost_job job = {.cli = cli};
    int batch = tern_cli_whole(cli, "batch");
    double density = tern_cli_number(cli, "density");
    const char *trained = tern_cli_text(cli, "trained");
    bool all = strcmp(cli->arguments[0], "ALL") == 0;
    if (tern_cost_means_serving(cli))
        return all ? tern_fail(TERN_USAGE, "cost ALL: options of serving are for one model")
                   : tern_cost_serving(cli);
    if (tern_cost_means_all(cli)) return tern_cost_all(cli);
    if (tern_cost_means_model(cli)) return tern_cost_model(cli);
    TERN_TRY(check_net(cli));
    TERN_TRY(tern_subject_open(&s, cli, cli->arguments[0]));
    bool stepping = tern_cli_has(cli, "stepping");
    int steps = stepping ? tern_net_steps(s.net, s.parameters) : 1;
    tern_status status = stepping
                             ? tern_model_step_graph(&g, s.net, s.parameters, &s.sample, batch, cli->seed)
                             : tern_model_graph(&g, s.net, s.parameters, &s.sample, batch, cli->seed);
    tern_plan_options portable = {
        .reference = true}; /* the scratch of this computer's kernels is no need of the net */
    if (status == TERN_OK) status = tern_plan(&job.program, g, &portable);
    if (status == TERN_OK) status = prepare(&job, density);
    if (!trained && s.folder) trained = s.folder;
    job.folder = trained;
    job.measured = trained != NULL;
    if (status == TERN_OK && trained)
        status = tern_take_measured(trained, (double)batch / (steps ? steps : 1), job.bill.tasks,
                                    job.bill.query.count, NULL);
    if (status == TERN_OK) status = print_all(&job, tern_cli_text(cli, "machine"), density);
    tern_bill_close(&job.bill);
    tern_release(job.costs);
    tern_program_close(job.program);
    tern_graph_close(g);
    tern_subject_close(&s);
    return status;
}

const tern_command tern_command_cost = {
    .name = "cost",
    .about = "what a net or a language model takes of time, energy and memory on one machine, or on all",
    .usage = "ALL | NET | RUN | NET.onnx | NET.tflite | MODEL",
    .more = "tern cost spiking-vgg --depth 9 --machine stm32f746\n"
            "tern cost ALL --machine all --csv  # every net on every machine: a number or a reason\n"
            "tern cost run/spiking-cnn          # with the spike rates that were measured, on all machines\n"
            "tern cost smollm2 --context 8192   # a language model, before it is loaded\n"
            "tern cost llama2-7b --context 4096 --machine jetson-agx-orin\n"
            "tern cost llama3-70b --tp 8 --batch 16 --in 2048 --out 256   # a language model that is served\n"
            "tern cost mixtral-8x7b --machine h100-sxm --tp 2 --phase decode\n"
            "tern cost llama2-7b --machine genz-a100-80g --in 2048 --compat genz\n"
            "tern cost llama2-7b --machine h100-sxm --slo ttft=100ms,tpot=9ms --solve flops,bw,capacity\n"
            "tern cost llama3-70b --tp 8 --machine h100-sxm --sweep machine.memory.hbm3.bandwidth=1..8TB/s "
            "--csv\n"
            "tern cost llama3-70b --tp 8 --machine h100-sxm --vs a100-sxm-80g\n"
            "\n"
            "A language model is costed in one of two ways: as tern run would load it and run it here, or as "
            "it would be served.  A\n"
            "model file is costed as it runs, a model by its shapes (llama3-70b) as it is served; --context "
            "asks for the first way,\n"
            "--phase, --in, --out, --tp and their like for the second.  Of serving, what is told is the time "
            "to the first token of a\n"
            "prompt of --in tokens and the time of the last token of an answer, on --tp x --ep x --pp "
            "devices; operator by operator\n"
            "when one machine is named.  --input costs a model by its shapes as a plain net.",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_cost,
};
