/* Logic that takes a sample every cycle, and what it takes on a chip. */
#include "cli/emit_logic.h"

#include "emit/rtl_parallel.h"

#include <string.h>

static json_t *gates_json(const tern_rtl_gates *g, double activity)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "dots", g->dots, "registers", g->registers, "loading",
                     g->loading, "redundancy", g->redundancy, "area_mm2", g->area, "energy_nj",
                     1e9 * g->energy, "activity", activity);
}

static tern_status print_gates(const tern_rtl_gates *g, double activity)
{
    double all = g->dots + g->registers + g->loading + g->redundancy;
    const double parts[] = {g->dots, g->registers, g->loading, g->redundancy, all};
    static const char *const names[] = {"products and sums", "registers", "loading",
                                        "two more copies and votes", "all"};
    tern_grid t = {0};
    tern_grid_row(&t, "modelled|gate equivalents|share");
    for (int i = 0; i < 5; i++)
        tern_grid_row(&t, "%s|%.0f|%.1f %%", names[i], parts[i], 100 * parts[i] / all);
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("65 nm low power, modelled: %.2f mm2, %.2f nJ a sample (%.1f %% of the bits of codes change)\n",
           g->area, 1e9 * g->energy, 100 * activity);
    return TERN_OK;
}

/* What yosys makes of each part, beside the model. */
static tern_status synthesise(const tern_logic_job *job, const tern_rtl *rtl, json_t *all)
{
    size_t count = (size_t)rtl->count + 2;
    tern_rtl_part *parts = tern_take_array(count, sizeof *parts);
    tern_grid t = {0};
    json_t *list = json_array();
    double modelled = 0, found = 0;
    tern_status status =
        parts ? tern_rtl_synthesise_parts(rtl, job->name, tern_cli_has(job->cli, "tmr"), job->folder, parts)
              : tern_no_memory(count * sizeof *parts, "parts of a circuit");
    tern_grid_row(&t, "synthesised|of these|gates of one|modelled|ratio");
    for (size_t i = 0; status == TERN_OK && i < count; i++) {
        const tern_rtl_part *p = &parts[i];
        modelled += p->count * p->modelled;
        found += p->count * p->found;
        tern_grid_row(&t, "%s%s%s|%.0f|%.1f|%.1f|%.2f", p->what, p->layer ? " " : "",
                      p->layer ? p->layer : "", p->count, p->found, p->modelled, p->found / p->modelled);
        json_array_append_new(list, json_pack("{s:s,s:s*,s:f,s:f,s:f}", "what", p->what, "layer", p->layer,
                                              "count", p->count, "gates", p->found, "modelled", p->modelled));
    }
    tern_grid_row(&t, "all||%.0f|%.0f|%.2f", found, modelled, found / modelled);
    json_object_set_new(all, "synthesis", list);
    json_object_set_new(all, "gates_found", json_real(found));
    tern_release(parts);
    if (status == TERN_OK && !job->cli->json) return tern_grid_print(&t, stdout);
    tern_grid_free(&t);
    return status;
}

/* What can be loaded, what any of it can sum up to, and what that takes. */
static tern_status report(const tern_logic_job *job, const tern_rtl *rtl, double activity)
{
    tern_grid t = {0};
    json_t *layers = json_array();
    long long chain = tern_rtl_chain(rtl);
    tern_rtl_gates g = tern_rtl_gates_of(rtl, tern_cli_has(job->cli, "tmr"), activity);
    tern_grid_row(&t, "layer|bits of a weight|of a bias|least sum|largest sum|bits of sums|bits of results");
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        double low, high;
        int bits = tern_rtl_worst_sum(l, &low, &high), bias = l->bias ? l->bias_bits : 0;
        tern_grid_row(&t, "%s|%d|%d|%.0f|%.0f|%d|%d", l->name, l->format_bits, bias, low, high, bits,
                      tern_rtl_result_bits(l));
        json_array_append_new(layers,
                              json_pack("{s:s,s:i,s:i,s:f,s:f,s:i,s:i}", "layer", l->name, "weight_bits",
                                        l->format_bits, "bias_bits", bias, "low", low, "high", high,
                                        "sum_bits", bits, "result_bits", tern_rtl_result_bits(l)));
    }
    json_t *all = json_pack("{s:s,s:s,s:s,s:I,s:i,s:I,s:I,s:o,s:o}", "folder", job->folder, "name", job->name,
                            "target", "verilog", "interval", (json_int_t)1, "latency", rtl->count,
                            "chain_bits", (json_int_t)chain, "register_bits", (json_int_t)g.register_bits,
                            "layers", layers, "gates", gates_json(&g, activity));
    tern_status status = TERN_OK;
    if (job->cli->json)
        tern_grid_free(&t);
    else
        status = tern_grid_print(&t, stdout);
    if (status == TERN_OK && !job->cli->json) status = print_gates(&g, activity);
    if (status == TERN_OK && tern_cli_has(job->cli, "synthesise")) status = synthesise(job, rtl, all);
    if (status == TERN_OK && job->cli->json) return tern_print_json(all);
    json_decref(all);
    TERN_TRY(status);
    printf("%s: %s.v, %s_tb.v, Makefile; a sample every cycle, its results %d cycles later; %lld bits to "
           "load, %.0f bits of registers\n",
           job->folder, job->name, job->name, rtl->count, chain, g.register_bits);
    printf("check it: make -C %s check lint; make -C %s synth\n", job->folder, job->folder);
    return TERN_OK;
}

/* The store of a run of the same net, in integers or before. */
static tern_status second_weights(const char *run, const tern_store *first, tern_subject *second)
{
    TERN_TRY(tern_subject_open_run(second, run));
    for (int i = 0; i < first->count; i++) {
        int at = 0;
        while (at < second->store.count && strcmp(second->store.names[at], first->names[i]) != 0) at++;
        if (at == second->store.count ||
            !tern_shape_equal(&first->tensors[i].shape, &second->store.tensors[at].shape))
            return tern_fail(TERN_USAGE,
                             "--weights %s: it has no %s of the same shape; take a run of the same net", run,
                             first->names[i]);
    }
    return TERN_OK;
}

tern_status tern_emit_reloadable(const tern_logic_job *job)
{
    const char *run = tern_cli_text(job->cli, "weights");
    tern_subject second = {0};
    tern_store turned = {0};
    tern_session *session[2] = {job->session, NULL};
    tern_rtl rtl[2] = {0};
    double activity = 0;
    if (tern_cli_has(job->cli, "synthesise")) TERN_TRY(tern_rtl_find_yosys());
    tern_status status =
        run ? second_weights(run, job->store, &second) : tern_rtl_other_weights(job->store, &turned);
    if (status == TERN_OK)
        status = tern_session_open(&session[1], job->program, run ? &second.store : &turned, job->cli->pool);
    if (status == TERN_OK) status = tern_session_bind(session[1], "image", job->samples->images);
    if (status == TERN_OK) status = tern_session_run(session[1], 0);
    for (int k = 0; k < 2 && status == TERN_OK; k++)
        status = tern_rtl_open(&rtl[k], job->program, session[k]);
    if (status == TERN_OK)
        status = tern_rtl_parallel_folder(rtl, session, job->name, job->about, job->samples->images,
                                          job->samples->count, tern_cli_has(job->cli, "tmr"), job->folder);
    if (status == TERN_OK)
        status =
            tern_rtl_activity(&rtl[0], job->session, job->samples->images, job->samples->count, &activity);
    if (status == TERN_OK) status = report(job, &rtl[0], activity);
    for (int k = 0; k < 2; k++) tern_rtl_free(&rtl[k]);
    tern_session_close(session[1]);
    tern_store_close(&turned);
    tern_subject_close(&second);
    return status;
}
