/* tern cost MODEL --phase ..: what serving a language model costs. */
#include "cli/cost_serving.h"

#include "llm/hugging_face.h"
#include "llm/models.h"

#include <math.h>
#include <string.h>

static const char *const serving_options[] = {"phase", "in",     "out",    "beams",    "tp",      "pp",
                                              "ep",    "format", "causal", "elements", "offload", "compat",
                                              "slo",   "solve",  "sweep",  "vs"};

bool tern_cost_means_serving(const tern_cli *cli)
{
    for (size_t i = 0; i < TERN_COUNT(serving_options); i++)
        if (tern_cli_has(cli, serving_options[i])) return true;
    bool other = tern_cli_has(cli, "context") || tern_cli_has(cli, "input") ||
                 tern_cli_has(cli, "stepping") || tern_cli_has(cli, "density") ||
                 tern_cli_has(cli, "trained");
    return cli->net && cli->net->decoder && !other;
}

/* A net of the zoo with its parameters, by its shapes; else a model's file or folder. */
static tern_status open_net(tern_serving_job *job)
{
    const tern_cli *cli = job->cli;
    TERN_TRY(tern_net_parameters(cli->net, &job->parameters));
    for (const tern_option *o = cli->net->options; o && o->name; o++)
        if (tern_cli_has(cli, o->name))
            TERN_TRY(tern_net_set(cli->net, job->parameters, o->name, tern_cli_number(cli, o->name)));
    TERN_TRY(tern_transformer_of(&job->about, &job->weights, cli->net, job->parameters));
    job->weighed = true;
    return TERN_OK;
}

static tern_status open_model(tern_serving_job *job)
{
    char path[4096];
    TERN_TRY(tern_model_find(path, job->cli->arguments[0]));
    TERN_TRY(tern_weights_open(&job->weights, path));
    job->weighed = true;
    TERN_TRY(tern_import_hugging_face(&job->weights));
    return tern_transformer_read(&job->about, &job->weights);
}

static tern_serving_plan plan_of(const tern_cli *cli)
{
    int format = tern_cli_pick(cli, "format"); /* in the order of the table */
    bool genz = tern_cli_has(cli, "compat");
    if (format < 0 && genz) format = 1; /* bf16 */
    return (tern_serving_plan){.batch = tern_cli_whole(cli, "batch"),
                               .in = tern_cli_whole(cli, "in"),
                               .out = tern_cli_whole(cli, "out"),
                               .beams = tern_cli_whole(cli, "beams"),
                               .tensor = tern_cli_whole(cli, "tp"),
                               .experts = tern_cli_whole(cli, "ep"),
                               .pipeline = tern_cli_whole(cli, "pp"),
                               .chunk = tern_cli_has(cli, "chunk") ? tern_cli_whole(cli, "chunk") : 0,
                               .format = format < 0 ? NULL : &tern_serving_formats[format],
                               .causal = tern_cli_has(cli, "causal"),
                               .elements = tern_cli_has(cli, "elements"),
                               .genz = genz};
}

/* ---- results -------------------------------------------------------------------------------------------------------- */

json_t *tern_serving_json(const tern_serving_job *job, const tern_machine *m, const tern_serving_result *r)
{
    char hash[24];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)m->hash);
    json_t *o = json_pack("{s:s,s:s,s:b,s:b,s:s,s:f,s:f}", "machine", m->name, "hash", hash, "fits", r->fits,
                          "offloaded", r->offloaded, "reason", r->reason, "held_bytes", r->held, "room_bytes",
                          r->room);
    if (!isfinite(r->first + r->token)) return o; /* there is no link */
    if (job->prompts)
        json_object_update_new(o, json_pack("{s:f,s:f,s:f,s:s}", "first_token_seconds", r->first,
                                            "prompt_tokens_per_second", r->prompt_rate, "prompt_joules",
                                            r->first_joules, "first_token_bound", r->first_bound));
    if (job->answers)
        json_object_update_new(o, json_pack("{s:f,s:f,s:f,s:s}", "token_seconds", r->token,
                                            "answer_tokens_per_second", r->answer_rate, "token_joules",
                                            r->token_joules, "token_bound", r->token_bound));
    if (r->beside > 0) json_object_set_new(o, "token_beside_prompt_seconds", json_real(r->beside));
    return o;
}

/* "-" where it is not asked for or can't be. */
static const char *cell(char out[24], bool there, double value, const char *unit)
{
    if (!there || !isfinite(value)) return "-";
    return tern_human(out, value, unit);
}

void tern_serving_row(const tern_serving_job *job, const tern_serving_result *r, char line[640])
{
    char first[24], token[24], rate[24], joules[24], held[24];
    bool p = job->prompts && r->fits, a = job->answers && r->fits;
    const char *one = job->prompts ? r->first_bound : "", *two = job->answers ? r->token_bound : "";
    bool both = *one && *two && strcmp(one, two) != 0;
    snprintf(line, 640, "%s|%s|%s|%s|%s|%s|%s%s%s|%s%s", cell(first, p, r->first, "s"),
             cell(token, a, r->token, "s"), cell(rate, a, r->answer_rate, ""),
             cell(joules, a && r->token_joules > 0, r->token_joules, "J"), tern_human(held, r->held, "B"),
             r->fits ? "yes" : "no",
             !r->fits ? ""
             : *one   ? one
                      : two,
             both && r->fits ? ", " : "", both && r->fits ? two : "", r->reason,
             r->offloaded ? "some of it is read from the host" : "");
}

void tern_serving_csv(const tern_serving_job *job, const tern_serving_result *r, FILE *out)
{
    bool p = job->prompts && r->fits, a = job->answers && r->fits;
    if (p) fprintf(out, "%.9g", r->first);
    fputc(',', out);
    if (a) fprintf(out, "%.9g", r->token);
    fputc(',', out);
    if (a) fprintf(out, "%.9g", r->answer_rate);
    fputc(',', out);
    if (p) fprintf(out, "%.9g", r->prompt_rate);
    fputc(',', out);
    if (p && r->first_joules > 0) fprintf(out, "%.9g", r->first_joules);
    fputc(',', out);
    if (a && r->token_joules > 0) fprintf(out, "%.9g", r->token_joules);
    fprintf(out, ",%.0f,%s,%s,%s,\"%s\"\n", r->held, r->fits ? "yes" : "no", p ? r->first_bound : "",
            a ? r->token_bound : "", r->reason);
}

/* ---- one machine ---------------------------------------------------------------------------------------------------- */

static const char *const exchange_names[] = {"", "all-reduce", "all-gather", "all-to-all", "message"};

static json_t *operators_json(const tern_serving_run *run, const tern_serving_time *times)
{
    json_t *list = json_array();
    for (int i = 0; i < run->count; i++) {
        const tern_serving_task *t = &run->tasks[i];
        const tern_serving_time *s = &times[i];
        json_array_append_new(
            list,
            json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:f,s:i,s:f,s:f,s:f,s:f,s:f,s:s}", "operator",
                      t->label, "count", t->count, "macs", t->macs, "weight_and_cache_bytes", t->fixed,
                      "read_bytes", t->in, "written_bytes", t->out, "special_functions", t->specials,
                      "exchange", exchange_names[t->exchange], "message_bytes", t->message, "devices",
                      t->devices, "seconds", s->seconds, "compute_seconds", s->compute, "memory_seconds",
                      s->memory, "exchange_seconds", s->exchange, "joules", s->joules, "bound", s->bound));
    }
    return list;
}

static double moved_by(const tern_serving_task *t)
{
    return t->exchange ? t->message : t->fixed + t->in + t->out;
}

static tern_status print_operators(const tern_serving_run *run, const tern_serving_time *times,
                                   double seconds)
{
    tern_grid g = {0};
    char each[24], macs[24], bytes[24], all[24];
    tern_grid_row(&g, "operator|times|MACs|bytes|each|together|share|bound by");
    for (int i = 0; i < run->count; i++) {
        const tern_serving_task *t = &run->tasks[i];
        double sum = times[i].seconds * t->count;
        tern_grid_row(&g, "%s|%.0f|%s|%s|%s|%s|%.1f %%|%s", t->label, t->count, tern_human(macs, t->macs, ""),
                      tern_human(bytes, moved_by(t), "B"), tern_human(each, times[i].seconds, "s"),
                      tern_human(all, sum, "s"), seconds > 0 ? 100 * sum / seconds : 0, times[i].bound);
    }
    return tern_grid_print(&g, stdout);
}

static void csv_operators(const tern_machine *m, const char *title, const tern_serving_run *run,
                          const tern_serving_time *times)
{
    for (int i = 0; i < run->count; i++) {
        const tern_serving_task *t = &run->tasks[i];
        printf("%s,%s,%s,%.0f,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%.9g,%s\n", m->name, title, t->label, t->count,
               t->macs, moved_by(t), times[i].seconds, times[i].compute, times[i].memory, times[i].exchange,
               times[i].joules, times[i].bound);
    }
}

/* A run on the machine, operator by operator; *list receives them as JSON. */
static tern_status show_run(tern_serving_job *job, const tern_machine *m, const tern_serving_run *run,
                            const char *title, json_t **list)
{
    tern_serving_cost c;
    char macs[24], bytes[24], time[24];
    double mac_sum = 0, byte_sum = 0;
    tern_serving_time *times = tern_take_array((size_t)run->count + 1, sizeof *times);
    if (!times) return tern_no_memory((size_t)run->count * sizeof *times, "the times of operators");
    tern_machine_serve(m, run, &job->serving.way, &c, times);
    *list = operators_json(run, times);
    tern_status status = TERN_OK;
    for (int i = 0; i < run->count; i++) {
        mac_sum += run->tasks[i].macs * run->tasks[i].count;
        byte_sum += (run->tasks[i].fixed + run->tasks[i].in + run->tasks[i].out) * run->tasks[i].count;
    }
    if (job->csv) csv_operators(m, title, run, times);
    if (!job->cli->json && !job->csv) {
        printf("%s: %s on a device, %s MACs, %s; compute %.1f %%, memory %.1f %%, exchange %.1f %% of the "
               "time\n",
               title, tern_human(time, c.seconds, "s"), tern_human(macs, mac_sum, ""),
               tern_human(bytes, byte_sum, "B"), 100 * c.compute / c.seconds, 100 * c.memory / c.seconds,
               100 * c.exchange / c.seconds);
        status = print_operators(run, times, c.seconds);
        puts("");
    }
    tern_release(times);
    return status;
}

/* Both phases operator by operator, as members of `into`. */
static tern_status show_runs(tern_serving_job *job, const tern_machine *m, json_t *into)
{
    tern_status status = TERN_OK;
    json_t *list = NULL;
    if (job->csv && !job->cli->json)
        puts("machine,phase,operator,count,macs,bytes,seconds,compute_seconds,memory_seconds,exchange_"
             "seconds,joules,"
             "bound");
    if (job->prompts) {
        json_t *prompts = json_array();
        json_object_set_new(into, "prompt_operators", prompts);
        for (int i = 0; status == TERN_OK && i < job->serving.prompt_count; i++) {
            char title[64];
            snprintf(title, sizeof title, job->plan.chunk ? "prompt, chunk %d" : "prompt", i + 1);
            status = show_run(job, m, &job->serving.prompts[i], title, &list);
            json_array_append_new(prompts, list);
        }
    }
    if (status == TERN_OK && job->answers) {
        status = show_run(job, m, &job->serving.answer, "token of an answer", &list);
        json_object_set_new(into, "answer_operators", list);
    }
    return status;
}

static tern_status ask(tern_serving_job *job, const char *name, tern_grid *table, bool one)
{
    tern_machine *m;
    tern_serving_result r;
    char line[640];
    TERN_TRY(tern_machine_open(&m, name));
    tern_serving_ask(&job->serving, m, &r);
    json_t *o = tern_serving_json(job, m, &r);
    json_array_append_new(job->machines, o);
    tern_status status = one ? show_runs(job, m, o) : TERN_OK;
    bool shapes = job->cli->net != NULL &&
                  job->about.taps == 0; /* in the format that GenZ counts in, and no state spaces */
    if (status == TERN_OK && one && shapes && !job->plan.genz) status = tern_serving_show_genz(job, m, o);
    if (one && !job->cli->json && !job->csv)
        printf("machine %s (%016llx)\n", m->name, (unsigned long long)m->hash);
    tern_serving_row(job, &r, line);
    tern_grid_row(table, "%s|%s", m->name, line);
    if (job->csv && !one && !job->cli->json) {
        printf("%s,", m->name);
        tern_serving_csv(job, &r, stdout);
    }
    if (status == TERN_OK && one && !r.fits) status = tern_fail(TERN_NO_FIT, "%.40s: %s", m->name, r.reason);
    if (status == TERN_OK && one && !tern_serving_meets(&job->target, &r))
        status = tern_fail(TERN_NO_FIT, "%.40s misses --slo %s; --solve says what would do", m->name,
                           tern_cli_text(job->cli, "slo"));
    tern_machine_close(m);
    return status;
}

static tern_status ask_all(tern_serving_job *job, const char *machine)
{
    tern_grid table = {0};
    tern_text names = {0};
    bool one = strcmp(machine, "all") != 0, print = !job->cli->json && !job->csv;
    tern_status status = TERN_OK;
    if (one)
        tern_text_format(&names, "%s\n", machine);
    else
        status = tern_machine_names(&names);
    if (status == TERN_OK) status = tern_text_status(&names);
    if (job->csv && !one && !job->cli->json) puts("machine," TERN_SERVING_CSV);
    tern_grid_row(&table, "machine|" TERN_SERVING_HEAD);
    for (char *p = names.data, *end; status == TERN_OK && p && *p; p = end + 1) {
        end = strchr(p, '\n');
        *end = 0;
        status = ask(job, p, &table, one);
    }
    if ((status == TERN_OK || status == TERN_NO_FIT) && print) {
        tern_status printed = tern_grid_print(&table, stdout);
        if (status == TERN_OK) status = printed;
    }
    tern_grid_free(&table);
    tern_text_free(&names);
    return status;
}

static json_t *document(const tern_serving_job *job)
{
    const tern_serving_plan *p = &job->plan;
    return json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:s,s:O}", "model", job->cli->arguments[0],
                     "batch", p->batch, "in", p->in, "out", p->out, "beams", p->beams, "tensor_parallel",
                     p->tensor, "pipeline_parallel", p->pipeline, "expert_parallel", p->experts, "chunk",
                     p->chunk, "format", p->format ? p->format->name : "of the model", "counted_as",
                     p->genz ? "genz" : "tern", "machines", job->machines);
}

/* Options that say nothing here, or contradict each other. */
static tern_status check(const tern_cli *cli)
{
    static const char *const loaded[] = {"context", "prompt", "cache"}, *const ways[] = {"sweep", "solve",
                                                                                         "vs"};
    const char *chosen = NULL;
    for (size_t i = 0; i < TERN_COUNT(loaded); i++)
        if (tern_cli_has(cli, loaded[i]))
            return tern_fail(
                TERN_USAGE,
                "cost: --%s goes with --context, where a model is loaded here; serving has --in, "
                "--out and --format",
                loaded[i]);
    for (size_t i = 0; i < TERN_COUNT(ways); i++) {
        if (!tern_cli_has(cli, ways[i])) continue;
        if (chosen)
            return tern_fail(TERN_USAGE, "cost: --%s and --%s contradict each other", chosen, ways[i]);
        chosen = ways[i];
    }
    bool all = strcmp(tern_cli_text(cli, "machine"), "all") == 0;
    if (chosen && all) return tern_fail(TERN_USAGE, "cost: --%s needs one machine: --machine M", chosen);
    if (tern_cli_has(cli, "slo") && all)
        return tern_fail(TERN_USAGE, "cost: --slo needs one machine: --machine M");
    return TERN_OK;
}

static tern_status serve(tern_serving_job *job)
{
    const tern_cli *cli = job->cli;
    const char *machine = tern_cli_text(cli, "machine");
    int phase = tern_cli_pick(cli, "phase");
    TERN_TRY(check(cli));
    job->plan = plan_of(cli);
    job->prompts = phase != 1;
    job->answers = phase != 0;
    job->csv = tern_cli_has(cli, "csv");
    TERN_TRY(tern_serving_read_target(job));
    TERN_TRY(cli->net ? open_net(job) : open_model(job));
    TERN_TRY(tern_weights_make_index(&job->weights)); /* a sweep asks for each name at each point */
    TERN_TRY(tern_serving_open(&job->serving, &job->about, &job->plan));
    job->serving.way.offload = tern_cli_has(cli, "offload");
    tern_status status = tern_cli_has(cli, "sweep")   ? tern_serving_sweep(job, machine)
                         : tern_cli_has(cli, "solve") ? tern_serving_show_least(job, machine)
                         : tern_cli_has(cli, "vs")
                             ? tern_serving_compare(job, machine, tern_cli_text(cli, "vs"))
                             : ask_all(job, machine);
    if (cli->json && (status == TERN_OK || status == TERN_NO_FIT)) {
        tern_status printed = tern_print_json(document(job));
        if (status == TERN_OK) status = printed;
    }
    return status;
}

tern_status tern_cost_serving(tern_cli *cli)
{
    tern_serving_job job = {.cli = cli, .machines = json_array()};
    tern_status status = serve(&job);
    tern_serving_close(&job.serving);
    if (job.weighed) tern_weights_close(&job.weights);
    tern_net_free(job.parameters);
    json_decref(job.machines);
    return status;
}
