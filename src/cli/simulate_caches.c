/* tern simulate on processors with caches: where each layer's operands come from, and what bounds it. */
#include "cli/simulate.h"

#include "plan/reuse.h"

#include <string.h>

typedef struct tern_caches_job {
    const tern_simulate_ask *ask;
    tern_bill bill;
    tern_cache_run *runs, total;
} tern_caches_job;

static tern_status simulate(tern_caches_job *job)
{
    const tern_program *p = job->ask->program;
    size_t count = (size_t)p->step_count + 1;
    tern_access *accesses = NULL;
    int access_count = 0;
    job->runs = tern_take_array(count, sizeof *job->runs);
    if (!job->runs) return tern_no_memory(count * sizeof *job->runs, "a simulation");
    TERN_TRY(tern_bill_open(&job->bill, p, job->ask->density));
    TERN_TRY(tern_program_accesses(p, &accesses, &access_count));
    tern_status status = tern_machine_caches(job->ask->machine, &job->bill.query, accesses, access_count,
                                             &job->total, job->runs);
    tern_release(accesses);
    return status;
}

static bool shown(const tern_caches_job *job, int i)
{
    return job->runs[i].bound != NULL;
}

/* One row: operators follow each other. */
static tern_status write_trace(const tern_caches_job *job, const char *path)
{
    json_t *events = json_array();
    double start = 0;
    for (int i = 0; i < job->ask->program->step_count; i++) {
        const tern_cache_run *r = &job->runs[i];
        char name[160];
        if (!shown(job, i)) continue;
        snprintf(name, sizeof name, "%.100s %.40s", job->bill.tasks[i].label,
                 job->bill.steps[i].node->op->name);
        json_array_append_new(events, json_pack("{s:s,s:s,s:i,s:s,s:f,s:f,s:{s:s,s:f,s:f,s:f}}", "name", name,
                                                "ph", "X", "pid", 1, "tid", "units", "ts", 1e6 * start, "dur",
                                                1e6 * r->seconds, "args", "bound", r->bound, "compute_us",
                                                1e6 * r->compute_seconds, "memory_us",
                                                1e6 * r->memory_seconds, "joules", r->joules));
        start += r->seconds;
    }
    return tern_write_json(path, json_pack("{s:o}", "traceEvents", events));
}

static json_t *run_json(const tern_machine *m, const tern_cache_run *r)
{
    json_t *bytes = json_object();
    for (int i = 0; i < m->tier_count; i++)
        json_object_set_new(bytes, m->tiers[i].name, json_real(r->bytes[i]));
    return json_pack("{s:f,s:f,s:f,s:f,s:s,s:o}", "seconds", r->seconds, "compute_seconds",
                     r->compute_seconds, "memory_seconds", r->memory_seconds, "joules", r->joules, "bound",
                     r->bound, "bytes", bytes);
}

static json_t *total_json(const tern_caches_job *job)
{
    char hash[17];
    json_t *o = run_json(job->ask->machine, &job->total);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)job->ask->machine->hash);
    json_object_set_new(o, "machine", json_string(job->ask->machine->name));
    json_object_set_new(o, "machine_hash", json_string(hash));
    return o;
}

static json_t *layers_json(const tern_caches_job *job)
{
    json_t *all = json_array();
    for (int i = 0; i < job->ask->program->step_count; i++) {
        if (!shown(job, i)) continue;
        json_t *o = run_json(job->ask->machine, &job->runs[i]);
        json_object_set_new(o, "layer", json_string(job->bill.tasks[i].label));
        json_object_set_new(o, "operator", json_string(job->bill.steps[i].node->op->name));
        json_array_append_new(all, o);
    }
    return all;
}

static void print_csv(const tern_caches_job *job)
{
    const tern_machine *m = job->ask->machine;
    printf("layer,operator,seconds,compute_seconds,memory_seconds,joules,bound");
    for (int t = 0; t < m->tier_count; t++) printf(",%s_bytes", m->tiers[t].name);
    putchar('\n');
    for (int i = 0; i < job->ask->program->step_count; i++) {
        const tern_cache_run *r = &job->runs[i];
        if (!shown(job, i)) continue;
        printf("%s,%s,%.10g,%.10g,%.10g,%.10g,%s", job->bill.tasks[i].label,
               job->bill.steps[i].node->op->name, r->seconds, r->compute_seconds, r->memory_seconds,
               r->joules, r->bound);
        for (int t = 0; t < m->tier_count; t++) printf(",%.10g", r->bytes[t]);
        putchar('\n');
    }
}

/* Bytes of each memory behind each other, as columns of a row. */
static void add_bytes(const tern_machine *m, const tern_cache_run *r, char row[256])
{
    char a[24];
    size_t length = 0;
    row[0] = 0;
    for (int t = 0; t < m->tier_count; t++)
        length += (size_t)snprintf(row + length, 256 - length, "|%s",
                                   r ? tern_human(a, r->bytes[t], "B") : m->tiers[t].name);
}

static tern_status print_table(const tern_caches_job *job)
{
    tern_grid t = {0};
    char a[24], b[24], c[24], d[24], bytes[256];
    add_bytes(job->ask->machine, NULL, bytes);
    tern_grid_row(&t, "layer|operator|compute|memory%s|time|bound by|energy", bytes);
    for (int i = 0; i < job->ask->program->step_count; i++) {
        const tern_cache_run *r = &job->runs[i];
        if (!shown(job, i)) continue;
        add_bytes(job->ask->machine, r, bytes);
        tern_grid_row(&t, "%s|%s|%s|%s%s|%s|%s|%s", job->bill.tasks[i].label,
                      job->bill.steps[i].node->op->name, tern_human(a, r->compute_seconds, "s"),
                      tern_human(b, r->memory_seconds, "s"), bytes, tern_human(c, r->seconds, "s"), r->bound,
                      tern_human(d, r->joules, "J"));
    }
    return tern_grid_print(&t, stdout);
}

static void print_total(const tern_caches_job *job)
{
    const tern_machine *m = job->ask->machine;
    char a[24], b[24];
    printf("%s (%016llx): %s, bounded by %s; %s", m->name, (unsigned long long)m->hash,
           tern_human(a, job->total.seconds, "s"), job->total.bound, tern_human(b, job->total.joules, "J"));
    for (int t = 0; t < m->tier_count; t++)
        printf("%s %s from %s", t ? "," : ";", tern_human(a, job->total.bytes[t], "B"), m->tiers[t].name);
    putchar('\n');
}

static tern_status print(const tern_caches_job *job)
{
    bool layers = tern_cli_pick(job->ask->cli, "report") == 0;
    if (job->ask->cli->json) {
        json_t *document = total_json(job);
        if (layers) json_object_set_new(document, "layers", layers_json(job));
        return tern_print_json(document);
    }
    if (tern_cli_has(job->ask->cli, "csv")) {
        print_csv(job);
        return TERN_OK;
    }
    if (layers) {
        TERN_TRY(print_table(job));
        puts("bytes are those that a memory serves; nearer ones pass them on\n");
    }
    print_total(job);
    return TERN_OK;
}

tern_status tern_simulate_caches(const tern_simulate_ask *ask)
{
    tern_caches_job job = {.ask = ask};
    const char *trace = tern_cli_text(ask->cli, "trace");
    tern_status status = simulate(&job);
    if (status == TERN_OK && trace && !ask->total) status = write_trace(&job, trace);
    if (status == TERN_OK && ask->total)
        *ask->total = total_json(&job);
    else if (status == TERN_OK)
        status = print(&job);
    tern_bill_close(&job.bill);
    tern_release(job.runs);
    return status;
}
