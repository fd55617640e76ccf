/* tern simulate on a systolic array: cycle by cycle counted, layer by layer shown. */
#include "cli/simulate.h"

#include <string.h>

typedef struct tern_simulate_job {
    const tern_machine *machine;
    const tern_program *program;
    tern_bill bill;
    tern_task_simulation *results;
    tern_simulation total;
} tern_simulate_job;

static tern_status simulate(tern_simulate_job *job, double density)
{
    size_t count = (size_t)job->program->step_count + 1;
    job->results = tern_take_array(count, sizeof *job->results);
    if (!job->results) return tern_no_memory(count * sizeof *job->results, "a simulation");
    TERN_TRY(tern_bill_open(&job->bill, job->program, density));
    return tern_machine_simulate(job->machine, &job->bill.query, &job->total, job->results);
}

static bool shown(const tern_simulate_job *job, int i)
{
    return job->results[i].unit[0] != 0;
}

/* Events of the trace format: complete events ("X") with microseconds, one row a unit. */
static tern_status write_trace(const tern_simulate_job *job, const char *path)
{
    json_t *events = json_array();
    for (int i = 0; i < job->program->step_count; i++) {
        const tern_task_simulation *r = &job->results[i];
        char name[160];
        if (!shown(job, i)) continue;
        snprintf(name, sizeof name, "%.100s %.40s", job->bill.tasks[i].label,
                 job->bill.steps[i].node->op->name);
        json_array_append_new(events, json_pack("{s:s,s:s,s:i,s:s,s:f,s:f,s:{s:f,s:f,s:f,s:f}}", "name", name,
                                                "ph", "X", "pid", 1, "tid",
                                                job->bill.tasks[i].product.count ? "array" : "other units",
                                                "ts", 1e6 * r->start, "dur", 1e6 * r->seconds, "args",
                                                "cycles", r->cycles, "stall_cycles", r->stall_cycles,
                                                "utilisation", r->utilisation, "joules", r->joules));
    }
    return tern_write_json(path, json_pack("{s:o}", "traceEvents", events));
}

static json_t *layers_json(const tern_simulate_job *job)
{
    json_t *all = json_array();
    for (int i = 0; i < job->program->step_count; i++) {
        const tern_task_simulation *r = &job->results[i];
        const tern_product_shape *p = &job->bill.tasks[i].product;
        if (!shown(job, i)) continue;
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:[I,I,I,I],s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}",
                                             "layer", job->bill.tasks[i].label, "operator",
                                             job->bill.steps[i].node->op->name, "unit", r->unit, "product",
                                             (json_int_t)p->count, (json_int_t)p->m, (json_int_t)p->n,
                                             (json_int_t)p->k, "cycles", r->cycles, "stall_cycles",
                                             r->stall_cycles, "utilisation", r->utilisation, "occupancy",
                                             r->occupancy, "far_bytes", r->far_bytes, "near_bytes",
                                             r->near_bytes, "seconds", r->seconds, "joules", r->joules));
    }
    return all;
}

static tern_status print_csv(const tern_simulate_job *job)
{
    puts("layer,operator,unit,products,m,n,k,macs,cycles,stall_cycles,utilisation,far_bytes,near_bytes,"
         "seconds,"
         "joules");
    for (int i = 0; i < job->program->step_count; i++) {
        const tern_task_simulation *r = &job->results[i];
        const tern_product_shape *p = &job->bill.tasks[i].product;
        if (!shown(job, i)) continue;
        printf("%s,%s,%s,%lld,%lld,%lld,%lld,%.0f,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g\n",
               job->bill.tasks[i].label, job->bill.steps[i].node->op->name, r->unit, (long long)p->count,
               (long long)p->m, (long long)p->n, (long long)p->k, r->macs, r->cycles, r->stall_cycles,
               r->utilisation, r->far_bytes, r->near_bytes, r->seconds, r->joules);
    }
    return TERN_OK;
}

static tern_status print_table(const tern_simulate_job *job)
{
    tern_grid t = {0};
    char a[24], b[24], c[24], d[24], e[24], product[64], used[16];
    tern_grid_row(&t,
                  "layer|operator|product m x n x k|cycles|of them waits|array used|far memory|time|energy");
    for (int i = 0; i < job->program->step_count; i++) {
        const tern_task_simulation *r = &job->results[i];
        const tern_product_shape *p = &job->bill.tasks[i].product;
        if (!shown(job, i)) continue;
        product[0] = used[0] = 0;
        if (p->count > 1) snprintf(product, sizeof product, "%lld * ", (long long)p->count);
        size_t at = strlen(product);
        if (p->count)
            snprintf(product + at, sizeof product - at, "%lldx%lldx%lld", (long long)p->m, (long long)p->n,
                     (long long)p->k);
        if (p->count) snprintf(used, sizeof used, "%.1f %%", 100 * r->utilisation);
        tern_grid_row(&t, "%s|%s|%s|%s|%s|%s|%s|%s|%s", job->bill.tasks[i].label,
                      job->bill.steps[i].node->op->name, product, tern_human(a, r->cycles, ""),
                      tern_human(b, r->stall_cycles, ""), used, tern_human(c, r->far_bytes, "B"),
                      tern_human(d, r->seconds, "s"), tern_human(e, r->joules, "J"));
    }
    return tern_grid_print(&t, stdout);
}

static json_t *total_json(const tern_simulate_job *job)
{
    const tern_simulation *s = &job->total;
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)job->machine->hash);
    return json_pack("{s:s,s:s,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "machine", job->machine->name,
                     "machine_hash", hash, "note", s->reason, "macs", s->macs, "cycles", s->cycles,
                     "array_cycles", s->array_cycles, "stall_cycles", s->stall_cycles, "utilisation",
                     s->utilisation, "mean_utilisation", s->mean_utilisation, "seconds", s->seconds, "joules",
                     s->joules, "far_bytes", s->far_bytes, "near_bytes", s->near_bytes);
}

static void print_total(const tern_simulate_job *job)
{
    const tern_simulation *s = &job->total;
    char a[24], b[24], c[24], d[24], e[24], f[24];
    printf("%s (%016llx): %s cycles, %s of them waiting for far memory; %s moved far, %s near; %s, %s\n",
           job->machine->name, (unsigned long long)job->machine->hash, tern_human(a, s->cycles, ""),
           tern_human(b, s->stall_cycles, ""), tern_human(c, s->far_bytes, "B"),
           tern_human(d, s->near_bytes, "B"), tern_human(e, s->seconds, "s"), tern_human(f, s->joules, "J"));
    printf("array: %s multiply-accumulates in %s cycles, operands at hand; used to %.1f %%, its products to "
           "%.1f "
           "%% on average\n",
           tern_human(a, s->macs, ""), tern_human(b, s->array_cycles, ""), 100 * s->utilisation,
           100 * s->mean_utilisation);
    if (s->reason[0]) printf("%s\n", s->reason);
}

static tern_status print(const tern_simulate_job *job, const tern_cli *cli)
{
    bool layers = tern_cli_pick(cli, "report") == 0;
    if (cli->json) {
        json_t *document = total_json(job);
        if (layers) json_object_set_new(document, "layers", layers_json(job));
        return tern_print_json(document);
    }
    if (tern_cli_has(cli, "csv")) return print_csv(job);
    if (layers) {
        TERN_TRY(print_table(job));
        putchar('\n');
    }
    print_total(job);
    return TERN_OK;
}

tern_status tern_simulate_array(const tern_simulate_ask *ask)
{
    tern_simulate_job job = {.machine = ask->machine, .program = ask->program};
    const char *trace = tern_cli_text(ask->cli, "trace");
    tern_status status = simulate(&job, ask->density);
    if (status == TERN_OK && trace && !ask->total) status = write_trace(&job, trace);
    if (status == TERN_OK && ask->total)
        *ask->total = total_json(&job);
    else if (status == TERN_OK)
        status = print(&job, ask->cli);
    tern_bill_close(&job.bill);
    tern_release(job.results);
    return status;
}
