/* The report of tern bench, as a page of text and as one JSON document; energy is measured, modelled, or not told at all. */
#include "cli/bench_report.h"

static double per(double count, double seconds)
{
    return seconds > 0 ? count / seconds : 0;
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */

static tern_status print_times(const tern_bench *b)
{
    tern_bench_total prompt = tern_bench_sum(b, TERN_BENCH_PROMPT),
                     reply = tern_bench_sum(b, TERN_BENCH_REPLY);
    tern_quantiles first = tern_quantiles_of(b->first, b->turns),
                   between = tern_quantiles_of(b->between, b->between_count);
    tern_grid grid = {0};
    char a[24], c[24], d[24], e[24];
    tern_grid_row(&grid, "phase|tokens|tokens/s|time of|mean|p50|p95|p99");
    tern_grid_row(&grid, "prompt|%.0f|%.1f|first token|%s|%s|%s|%s", prompt.tokens,
                  per(prompt.tokens, prompt.seconds), tern_human(a, first.mean, "s"),
                  tern_human(c, first.p50, "s"), tern_human(d, first.p95, "s"),
                  tern_human(e, first.p99, "s"));
    tern_grid_row(&grid, "reply|%.0f|%.1f|next token|%s|%s|%s|%s", reply.tokens,
                  per(reply.tokens, reply.seconds), tern_human(a, between.mean, "s"),
                  tern_human(c, between.p50, "s"), tern_human(d, between.p95, "s"),
                  tern_human(e, between.p99, "s"));
    TERN_TRY(tern_grid_print(&grid, stdout));
    if (b->warm_seconds >= 0) printf("loading and one token: %s", tern_human(a, b->warm_seconds, "s"));
    if (b->cold_seconds >= 0)
        printf(", with the file's pages dropped before %s", tern_human(c, b->cold_seconds, "s"));
    if (b->warm_seconds >= 0) puts("");
    return TERN_OK;
}

static void print_memory(const tern_bench_result *r)
{
    tern_llm_need n = r->account->need;
    char a[24], b[24], c[24], d[24], e[24], f[24];
    if (!tern_cli_has(r->cli, "conversations")) n.tokenizer = 0; /* prompts of numbers do without */
    n.process = 0;                                               /* what is held is without it */
    printf("memory: weights %s, cache %s, scratch %s, tokenizer %s; told before loading %s",
           tern_human(a, n.weights, "B"), tern_human(b, n.cache, "B"), tern_human(c, n.scratch, "B"),
           tern_human(d, n.tokenizer, "B"), tern_human(e, tern_llm_need_total(&n), "B"));
    if (r->bench) {
        printf(", held %s", tern_human(e, r->bench->resident, "B"));
        printf("; the process at most %s", tern_human(f, r->bench->peak, "B"));
    }
    puts("");
}

static void print_battery(const tern_cli *cli, double joules_per_token, double tokens_per_turn)
{
    double volts = tern_cli_number(cli, "volts"), capacity = tern_cli_number(cli, "battery");
    double each = joules_per_token / (3.6 * volts);
    if (!tern_cli_has(cli, "battery") || joules_per_token <= 0) return;
    printf("battery: %.3g mAh a token, %.3g %% of %g mAh a turn, %.0f tokens a charge\n", each,
           100 * each * tokens_per_turn / capacity, capacity, capacity / each);
}

static void print_energy(const tern_bench_result *r)
{
    char a[24], b[24], c[24];
    const tern_bench *m = r->bench;
    if (m && m->sensor) {
        tern_bench_total prompt = tern_bench_sum(m, TERN_BENCH_PROMPT),
                         reply = tern_bench_sum(m, TERN_BENCH_REPLY);
        double idle = m->idle_watts > 0 ? m->idle_watts : 0;
        if (reply.joules >= 0 && prompt.joules >= 0) {
            printf("energy, measured by %s: %s a token of the prompt, %s a token of the reply", m->sensor,
                   tern_human(a, per(prompt.joules, prompt.tokens), "J"),
                   tern_human(b, per(reply.joules, reply.tokens), "J"));
            if (m->idle_watts >= 0)
                printf(", %s of it without what an idle machine draws",
                       tern_human(c, per(reply.joules - idle * reply.seconds, reply.tokens), "J"));
            puts("");
            print_battery(r->cli, per(reply.joules, reply.tokens), per(reply.tokens, m->turns));
        }
    }
    if (r->machine && r->token.joules > 0) {
        printf("energy, modelled on %s: %s the prompt, %s a token of the reply\n", r->machine->name,
               tern_human(a, r->ask.joules, "J"), tern_human(b, r->token.joules, "J"));
        print_battery(r->cli, r->token.joules, r->generate);
    }
    if (!(m && m->sensor) && !(r->machine && r->token.joules > 0))
        puts("energy: not known: no sensor here, and no --machine with figures of energy");
}

static void print_roofline(const tern_bench_result *r)
{
    char a[24], b[24];
    printf("a token reads and writes %s; one of the prompt takes %s multiply-accumulates\n",
           tern_human(a, r->token_effort.bytes, "B"), tern_human(b, r->ask_effort.work.macs / r->prompt, ""));
    if (!r->here || !r->bench) return;
    tern_bench_total prompt = tern_bench_sum(r->bench, TERN_BENCH_PROMPT),
                     reply = tern_bench_sum(r->bench, TERN_BENCH_REPLY);
    printf("of what tern probe says can be attained here: prompt %.2f of %.1f tokens/s, reply %.2f of %.1f\n",
           per(prompt.tokens, prompt.seconds) * r->ask_here.seconds / r->prompt,
           per(r->prompt, r->ask_here.seconds), per(reply.tokens, reply.seconds) * r->token_here.seconds,
           per(1, r->token_here.seconds));
}

static void print_modelled(const tern_bench_result *r)
{
    char a[24], b[24];
    if (!r->machine) return;
    if (!r->token.fits) {
        printf("%s: does not fit: %s\n", r->machine->name, r->token.reason);
        return;
    }
    printf(
        "modelled on %s: prompt %.1f tokens/s, first token %s; reply %.1f tokens/s, next token %s, bound by "
        "%s\n",
        r->machine->name, per(r->prompt, r->ask.seconds), tern_human(a, r->ask.seconds, "s"),
        per(1, r->token.seconds), tern_human(b, r->token.seconds, "s"), r->token.bound);
}

static tern_status print_sustained(const tern_bench_result *r)
{
    const tern_sustained *s = r->sustained;
    tern_grid grid = {0};
    if (!s) return TERN_OK;
    tern_grid_row(&grid, "turn|tokens/s|clock|chip");
    for (int i = 0; i<s->count; i += s->count> 12 ? s->count / 12 : 1)
        tern_grid_row(&grid, "%d|%.2f|%.2f|%.1f C", i + 1, s->turns[i].rate, s->turns[i].clock,
                      s->turns[i].degrees);
    TERN_TRY(tern_grid_print(&grid, stdout));
    printf("%d turns without a pause at %.2f W of full clock, modelled: %.2f tokens/s in the first quarter, "
           "%.2f in the last, %.3f of it\n",
           s->count, s->watts, s->first, s->last, per(s->last, s->first));
    return TERN_OK;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------ */

static json_t *quantiles_json(double *values, int count)
{
    tern_quantiles q = tern_quantiles_of(values, count);
    return json_pack("{s:i,s:f,s:f,s:f,s:f}", "count", q.count, "mean", q.mean, "p50", q.p50, "p95", q.p95,
                     "p99", q.p99);
}

static void put_phase(json_t *all, const char *name, const tern_bench *b, tern_bench_kind kind)
{
    tern_bench_total t = tern_bench_sum(b, kind);
    json_t *one = json_pack("{s:f,s:f,s:f}", "tokens", t.tokens, "seconds", t.seconds, "tokens_per_second",
                            per(t.tokens, t.seconds));
    if (b->sensor && t.joules >= 0) { /* else nothing is said of energy */
        json_object_set_new(one, "joules", json_real(t.joules));
        json_object_set_new(one, "energy", json_string(b->sensor));
    }
    json_object_set_new(all, name, one);
}

static json_t *measured_json(tern_bench *b)
{
    json_t *all = json_pack("{s:i,s:o,s:o}", "turns", b->turns, "first_token_seconds",
                            quantiles_json(b->first, b->turns), "next_token_seconds",
                            quantiles_json(b->between, b->between_count));
    if (b->resident > 0) json_object_set_new(all, "resident_bytes", json_real(b->resident));
    if (b->peak > 0) json_object_set_new(all, "peak_bytes", json_real(b->peak));
    if (b->warm_seconds >= 0) json_object_set_new(all, "warm_seconds", json_real(b->warm_seconds));
    put_phase(all, "prompt", b, TERN_BENCH_PROMPT);
    put_phase(all, "reply", b, TERN_BENCH_REPLY);
    if (b->cold_seconds >= 0) json_object_set_new(all, "cold_seconds", json_real(b->cold_seconds));
    if (b->idle_watts >= 0) json_object_set_new(all, "idle_watts", json_real(b->idle_watts));
    return all;
}

static json_t *modelled_json(const tern_bench_result *r, const tern_machine *m, const tern_cost *ask,
                             const tern_cost *token)
{
    json_t *all =
        json_pack("{s:s,s:b,s:s}", "machine", m->name, "fits", token->fits, "reason", token->reason);
    if (!token->fits) return all;
    json_object_set_new(all, "prompt_tokens_per_second", json_real(per(r->prompt, ask->seconds)));
    json_object_set_new(all, "tokens_per_second", json_real(per(1, token->seconds)));
    if (token->joules > 0) {
        json_object_set_new(all, "prompt_joules", json_real(ask->joules));
        json_object_set_new(all, "joules_per_token", json_real(token->joules));
        json_object_set_new(all, "energy", json_string("modelled"));
    }
    return all;
}

static json_t *sustained_json(const tern_sustained *s)
{
    json_t *turns = json_array();
    for (int i = 0; i < s->count; i++)
        json_array_append_new(turns, json_pack("{s:f,s:f,s:f,s:f,s:f}", "tokens_per_second", s->turns[i].rate,
                                               "seconds", s->turns[i].seconds, "joules", s->turns[i].joules,
                                               "clock", s->turns[i].clock, "celsius", s->turns[i].degrees));
    return json_pack("{s:f,s:f,s:f,s:s,s:o}", "watts", s->watts, "first_quarter", s->first, "last_quarter",
                     s->last, "energy", "modelled", "turns", turns);
}

static tern_status print_json(const tern_bench_result *r)
{
    const tern_llm_need *n = &r->account->need;
    json_t *all = json_pack("{s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "prompt", r->prompt, "generate",
                            r->generate, "weight_bytes", n->weights, "cache_bytes", n->cache, "scratch_bytes",
                            n->scratch, "tokenizer_bytes", n->tokenizer, "bytes", tern_llm_need_total(n),
                            "token_bytes", r->token_effort.bytes, "prompt_macs", r->ask_effort.work.macs);
    if (r->bench) json_object_set_new(all, "measured", measured_json(r->bench));
    if (r->machine) json_object_set_new(all, "modelled", modelled_json(r, r->machine, &r->ask, &r->token));
    if (r->here)
        json_object_set_new(all, "attainable", modelled_json(r, r->here, &r->ask_here, &r->token_here));
    if (r->sustained) json_object_set_new(all, "sustained", sustained_json(r->sustained));
    return tern_print_json(all);
}

tern_status tern_bench_print(tern_bench_result *r)
{
    if (r->cli->json) return print_json(r);
    if (r->bench) TERN_TRY(print_times(r->bench));
    print_memory(r);
    print_roofline(r);
    print_modelled(r);
    print_energy(r);
    return print_sustained(r);
}

/* What another program told of itself: neither plan nor model of it is known. */
tern_status tern_bench_print_told(const tern_cli *cli, tern_bench *b)
{
    tern_bench_total load = tern_bench_sum(b, TERN_BENCH_LOAD);
    char text[24];
    if (cli->json) {
        json_t *all = measured_json(b);
        if (load.seconds > 0) json_object_set_new(all, "load_seconds", json_real(load.seconds));
        return tern_print_json(all);
    }
    TERN_TRY(print_times(b));
    if (load.seconds > 0) printf("loading: %s\n", tern_human(text, load.seconds, "s"));
    if (b->peak > 0) printf("memory: at most %s\n", tern_human(text, b->peak, "B"));
    print_energy(&(tern_bench_result){.cli = cli, .bench = b});
    return TERN_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

tern_status tern_bench_csv(const tern_bench *b, const char *path)
{
    tern_text text = {0};
    double begun = b->event_count ? b->events[0].from : 0;
    tern_text_put(&text, "event,turn,tokens,from_seconds,to_seconds,resident_bytes,joules\n");
    for (int i = 0; i < b->event_count; i++) {
        const tern_bench_event *e = &b->events[i];
        tern_text_format(&text, "%s,%d,%d,%.6f,%.6f,", tern_bench_kinds[e->kind], e->turn, e->tokens,
                         e->from - begun, e->to - begun);
        /* What is not known is empty, not zero. */
        if (e->resident > 0) tern_text_format(&text, "%.0f", e->resident);
        tern_text_put(&text, ",");
        if (e->joules >= 0) tern_text_format(&text, "%.6g", e->joules);
        tern_text_put(&text, "\n");
    }
    tern_status status = tern_text_status(&text);
    if (status == TERN_OK) status = tern_write_file(path, text.data, text.size);
    tern_text_free(&text);
    return status;
}
