/* tern simulate on event cores: which neurons are where, how long a time step takes, what bounds it. */
#include "cli/simulate.h"

#include "cli/measured.h"
#include "plan/populations.h"

#include <math.h>
#include <string.h>

typedef struct tern_cores_job {
    const tern_cli *cli;
    double density;
    const tern_machine *machine;
    const tern_program *program;
    tern_task_work *tasks;
    tern_work *work;
    double *spikes, samples;
    bool measured;
    tern_event_net net;
    tern_core_map map;
    tern_core_run run;
} tern_cores_job;

/* ---- what is known of the spikes ----------------------------------------------------------------------------------- */

/* Spikes of a layer in all samples that were evaluated; < 0: it was not. */
static double measured_spikes(const json_t *evaluation, const char *name, double samples)
{
    size_t index;
    json_t *layer;
    json_array_foreach(json_object_get(evaluation, "layers"), index, layer)
    {
        const char *this = json_string_value(json_object_get(layer, "name"));
        if (!this || strcmp(this, name) != 0 || !json_object_get(layer, "neurons")) continue;
        return samples * json_number_value(json_object_get(layer, "neurons")) *
               json_number_value(json_object_get(layer, "spikes_per_neuron"));
    }
    return -1;
}

static tern_status count_spikes(tern_cores_job *job, const json_t *evaluation, double density)
{
    for (int s = job->program->prepare_count; s < job->program->step_count; s++) {
        const tern_node *node = job->program->steps[s].node;
        if (!(node->op->flags & TERN_OP_FIRES)) continue;
        double elements = (double)tern_elements(&job->program->graph->values[node->out[0].id].type.shape);
        job->spikes[s] = density * elements;
        if (!evaluation) continue;
        job->spikes[s] = measured_spikes(evaluation, job->tasks[s].label, job->samples);
        if (job->spikes[s] < 0)
            return tern_fail(TERN_FAILED, "eval.json has no spikes of layer \"%s\"; run tern eval again",
                             job->tasks[s].label);
    }
    return TERN_OK;
}

/* Work and spikes of all steps, of all samples that were evaluated, or of one with assumed rates. */
static tern_status count_work(tern_cores_job *job, const tern_step_work *steps, const char *folder)
{
    int count = job->program->step_count;
    json_t *evaluation = NULL;
    for (int s = 0; s < count; s++) job->tasks[s] = tern_task_of(&steps[s]);
    job->samples = 1;
    if (folder) TERN_TRY(tern_take_measured(folder, 0, job->tasks, count, &evaluation));
    if (evaluation) job->samples = json_number_value(json_object_get(evaluation, "sample_count"));
    job->measured = evaluation != NULL;
    for (int s = 0; s < count; s++) {
        const tern_work *one = &job->tasks[s].work;
        job->work[s] = (tern_work){.macs = one->macs * job->samples,
                                   .accumulates = one->accumulates,
                                   .elementwise = one->elementwise * job->samples,
                                   .specials = one->specials * job->samples};
    }
    tern_status status = count_spikes(job, evaluation, job->density);
    json_decref(evaluation);
    return status;
}

static tern_status prepare(tern_cores_job *job, const char *folder)
{
    size_t count = (size_t)job->program->step_count + 1;
    tern_step_work *steps = tern_take_array(count, sizeof *steps);
    job->tasks = tern_take_array(count, sizeof *job->tasks);
    job->work = tern_take_array(count, sizeof *job->work);
    job->spikes = tern_take_array(count, sizeof *job->spikes);
    tern_status status = steps && job->tasks && job->work && job->spikes
                             ? TERN_OK
                             : tern_no_memory(count * sizeof *steps, "a simulation");
    if (status == TERN_OK) status = tern_program_work(job->program, job->density, steps);
    if (status == TERN_OK) status = count_work(job, steps, folder);
    if (status == TERN_OK)
        status = tern_program_populations(job->program, job->work, job->spikes, job->samples, &job->net);
    tern_release(steps);
    return status;
}

/* ---- output -------------------------------------------------------------------------------------------------------- */

static int cores_of(const tern_cores_job *job, int population)
{
    return job->map.first[population + 1] - job->map.first[population];
}

static double neurons_of(const tern_cores_job *job, int population)
{
    const tern_population *p = &job->net.populations[population];
    return (double)(p->channels * p->height * p->width);
}

static const char *bound_of(const tern_population_run *p)
{
    int most = 0;
    for (int b = 1; b < 3; b++)
        if (p->slowest[b] > p->slowest[most]) most = b;
    return p->longest > 0 ? tern_core_bounds[most] : "";
}

/* One row a core. */
static tern_status write_trace(const tern_cores_job *job, const char *path)
{
    json_t *events = json_array();
    for (size_t i = 0; i < job->run.moment_count; i++) {
        const tern_core_moment *m = &job->run.moments[i];
        char core[32], name[160];
        snprintf(core, sizeof core, "core %d", m->core);
        snprintf(name, sizeof name, "%.100s step %d",
                 job->net.populations[job->map.cores[m->core].population].name, m->step);
        json_array_append_new(
            events,
            json_pack("{s:s,s:s,s:i,s:s,s:f,s:f,s:{s:f,s:f,s:f,s:f,s:f}}", "name", name, "ph", "X", "pid", 1,
                      "tid", core, "ts", 1e6 * m->start, "dur", 1e6 * m->seconds, "args", "synaptic_events",
                      (m->events + m->products) / job->net.samples, "updates", m->updates / job->net.samples,
                      "synapse_us", 1e6 * m->part[TERN_BOUND_SYNAPSES], "neuron_us",
                      1e6 * m->part[TERN_BOUND_NEURONS], "message_us", 1e6 * m->part[TERN_BOUND_MESSAGES]));
    }
    return tern_write_json(path, json_pack("{s:o}", "traceEvents", events));
}

static json_t *layers_json(const tern_cores_job *job)
{
    json_t *all = json_array();
    for (int i = 0; i < job->net.population_count; i++) {
        const tern_population_run *p = &job->run.population[i];
        const tern_core *first = &job->map.cores[job->map.first[i]];
        json_array_append_new(
            all, json_pack("{s:s,s:f,s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:f}", "layer",
                           job->net.populations[i].name, "neurons", neurons_of(job, i), "first_core",
                           job->map.first[i], "cores", cores_of(job, i), "core_memory", first->memory,
                           "spikes", p->spikes, "synaptic_events", p->events, "products", p->products,
                           "updates", p->updates, "messages", p->messages, "hops", p->hops, "synapse_seconds",
                           p->slowest[TERN_BOUND_SYNAPSES], "neuron_seconds", p->slowest[TERN_BOUND_NEURONS],
                           "message_seconds", p->slowest[TERN_BOUND_MESSAGES], "step_seconds", p->longest,
                           "bound", bound_of(p), "joules", p->joules));
    }
    return all;
}

static json_t *document(const tern_cores_job *job)
{
    const tern_core_run *r = &job->run;
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)job->machine->hash);
    return json_pack("{s:s,s:s,s:s,s:i,s:f,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s}",
                     "machine", job->machine->name, "machine_hash", hash, "spike_rates",
                     job->measured ? "measured" : "assumed", "cores", job->map.count, "cores_of_machine",
                     job->map.unit->count, "steps", r->steps, "step_seconds", r->mean, "longest_step_seconds",
                     r->longest, "seconds", r->seconds, "samples_per_second", r->rate, "synaptic_events",
                     r->events, "products", r->products, "updates", r->updates, "hops", r->hops, "joules",
                     r->joules, "synapse_joules", r->synapse_joules, "neuron_joules", r->neuron_joules,
                     "hop_joules", r->hop_joules, "bound", r->bound);
}

static tern_status print_csv(const tern_cores_job *job)
{
    puts("layer,neurons,first_core,cores,core_memory,spikes,synaptic_events,products,updates,messages,hops,"
         "synapse_seconds,"
         "neuron_seconds,message_seconds,bound,joules");
    for (int i = 0; i < job->net.population_count; i++) {
        const tern_population_run *p = &job->run.population[i];
        printf("%s,%.0f,%d,%d,%.0f,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%s,%.10g\n",
               job->net.populations[i].name, neurons_of(job, i), job->map.first[i], cores_of(job, i),
               job->map.cores[job->map.first[i]].memory, p->spikes, p->events, p->products, p->updates,
               p->messages, p->hops, p->slowest[0], p->slowest[1], p->slowest[2], bound_of(p), p->joules);
    }
    return TERN_OK;
}

static tern_status print_table(const tern_cores_job *job)
{
    tern_grid t = {0};
    char a[24], b[24], c[24], d[24], e[24], f[24], g[24];
    tern_grid_row(&t, "layer|neurons|cores|memory of a core|spikes|synaptic "
                      "events|synapses|neurons|messages|bound by|energy");
    for (int i = 0; i < job->net.population_count; i++) {
        const tern_population_run *p = &job->run.population[i];
        tern_grid_row(&t, "%s|%.0f|%d|%s|%s|%s|%s|%s|%s|%s|%s", job->net.populations[i].name,
                      neurons_of(job, i), cores_of(job, i),
                      tern_human(a, job->map.cores[job->map.first[i]].memory, "B"),
                      tern_human(b, p->spikes, ""), tern_human(c, p->events + p->products, ""),
                      tern_human(d, p->slowest[0], "s"), tern_human(e, p->slowest[1], "s"),
                      tern_human(f, p->slowest[2], "s"), bound_of(p), tern_human(g, p->joules, "J"));
    }
    return tern_grid_print(&t, stdout);
}

static void print_total(const tern_cores_job *job)
{
    const tern_core_run *r = &job->run;
    char a[24], b[24], c[24], d[24], e[24], f[24];
    printf(
        "%s (%016llx): %d of %.0f cores; %d time steps of %s (the longest %s), bounded by %s: %s a sample\n",
        job->machine->name, (unsigned long long)job->machine->hash, job->map.count, job->map.unit->count,
        r->steps, tern_human(a, r->mean, "s"), tern_human(b, r->longest, "s"), r->bound,
        tern_human(c, r->seconds, "s"));
    printf("%s a sample: synapses %s, neurons %s, messages %s, standing %s\n", tern_human(a, r->joules, "J"),
           tern_human(b, r->synapse_joules, "J"), tern_human(c, r->neuron_joules, "J"),
           tern_human(d, r->hop_joules, "J"), tern_human(e, r->standing_joules, "J"));
    printf("%.10g synaptic events, %.10g products with numbers, %.10g updates, %s hops; spike rates %s\n",
           r->events, r->products, r->updates, tern_human(f, r->hops, ""),
           job->measured ? "measured" : "assumed (a run of tern train and tern eval has measured ones)");
}

static tern_status print(const tern_cores_job *job)
{
    bool layers = tern_cli_pick(job->cli, "report") == 0;
    if (job->cli->json) {
        json_t *d = document(job);
        if (layers) json_object_set_new(d, "layers", layers_json(job));
        return tern_print_json(d);
    }
    if (tern_cli_has(job->cli, "csv")) return print_csv(job);
    if (layers) {
        TERN_TRY(print_table(job));
        puts("times are those of the longest step of a core\n");
    }
    print_total(job);
    return TERN_OK;
}

tern_status tern_simulate_cores(const tern_simulate_ask *ask)
{
    tern_cores_job job = {
        .cli = ask->cli, .machine = ask->machine, .program = ask->program, .density = ask->density};
    const char *trace = tern_cli_text(ask->cli, "trace");
    tern_status status = prepare(&job, ask->folder);
    if (status == TERN_OK)
        status = tern_cores_map(job.machine, &job.net, tern_cli_pick(ask->cli, "mapping") == 1, &job.map);
    if (status == TERN_OK) status = tern_cores_run(job.machine, &job.net, &job.map, &job.run);
    if (status == TERN_OK && trace && !ask->total) status = write_trace(&job, trace);
    if (status == TERN_OK && ask->total)
        *ask->total = document(&job);
    else if (status == TERN_OK)
        status = print(&job);
    tern_core_run_free(&job.run);
    tern_core_map_free(&job.map);
    tern_event_net_free(&job.net);
    tern_release(job.tasks);
    tern_release(job.work);
    tern_release(job.spikes);
    return status;
}
