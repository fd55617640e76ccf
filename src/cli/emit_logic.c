/* What tern emit --target verilog says of blocks: what they do, what they take by the estimate, and behind synthesis. */
#include "cli/emit_logic.h"
#include "emit/rtl.h"

/* Cells behind synthesis beside the estimate, into a row and an object (or NULL); what stands between blocks has no estimate. */
static void add_cells(tern_grid *t, json_t *to, const char *name, const tern_rtl_cost *estimate,
                      const tern_rtl_cells *c)
{
    bool has = estimate && estimate->luts > 0;
    char luts[48] = "|", brams[24] = "", dsps[24] = "";
    if (estimate) {
        snprintf(luts, sizeof luts, "%.0f|%.2f", estimate->luts, has ? c->luts / estimate->luts : 0);
        snprintf(brams, sizeof brams, "%.0f", estimate->bram18);
        snprintf(dsps, sizeof dsps, "%.0f", estimate->dsp);
    }
    tern_grid_row(t, "%s|%.0f|%s|%.0f|%.0f|%s|%.0f|%s", name, c->luts, luts, c->flip_flops, c->bram, brams,
                  c->dsp, dsps);
    json_object_set_new(to, "synthesis",
                        json_pack("{s:f,s:f,s:f,s:f}", "luts", c->luts, "flip_flops", c->flip_flops, "bram",
                                  c->bram, "dsp", c->dsp));
}

/* yosys' statistics beside the estimate, module by module. */
static tern_status synthesise(const tern_logic_job *job, const tern_rtl *rtl, json_t *blocks, json_t *total,
                              tern_grid *t)
{
    tern_rtl_chip chip = (tern_rtl_chip)tern_cli_pick(job->cli, "synthesise");
    tern_rtl_cost all = {0};
    tern_rtl_cells sum = {0}, *cells = tern_take_array((size_t)rtl->count + 1, sizeof *cells);
    if (!cells) return tern_no_memory(((size_t)rtl->count + 1) * sizeof *cells, "statistics");
    tern_status status = tern_rtl_synthesise(job->folder, job->name, chip, cells, rtl->count);
    tern_grid_row(t, "block|LUT|LUT (est.)|ratio|flip-flops|%s|(est.)|DSP|(est.)",
                  chip == TERN_RTL_XILINX ? "BRAM18" : "RAM of 4 kbit");
    for (int i = 0; status == TERN_OK && i <= rtl->count; i++) {
        const tern_rtl_cells *c = &cells[i];
        tern_rtl_cost estimate = {0};
        sum = (tern_rtl_cells){sum.luts + c->luts, sum.flip_flops + c->flip_flops, sum.bram + c->bram,
                               sum.dsp + c->dsp};
        if (i < rtl->count) estimate = tern_rtl_cost_of(&rtl->layers[i]);
        all.luts += estimate.luts;
        all.bram18 += estimate.bram18;
        all.dsp += estimate.dsp;
        add_cells(t, json_array_get(blocks, (size_t)i), i < rtl->count ? rtl->layers[i].name : "between them",
                  i < rtl->count ? &estimate : NULL, c);
    }
    add_cells(t, total, "all", &all, &sum);
    tern_release(cells);
    return status;
}

/* What the blocks take, beside what they do. */
static tern_status report_logic(const tern_logic_job *job, const tern_rtl *rtl)
{
    tern_grid t = {0}, synthesis = {0};
    json_t *blocks = json_array(), *total = json_object();
    tern_rtl_cost sum = {0};
    tern_grid_row(&t, "block|pe|simd|bits of sums|cycles|LUT (est.)|BRAM18 (est.)|DSP (est.)");
    for (int i = 0; i < rtl->count; i++) {
        const tern_rtl_layer *l = &rtl->layers[i];
        tern_rtl_cost c = tern_rtl_cost_of(l);
        sum.luts += c.luts;
        sum.bram18 += c.bram18;
        sum.dsp += c.dsp;
        tern_grid_row(&t, "%s|%d|%d|%d|%lld|%.0f|%.0f|%.0f", l->kind == TERN_RTL_POOL ? "maximum" : l->name,
                      l->pe, l->simd, l->sum_bits, (long long)tern_rtl_cycles(rtl, i), c.luts, c.bram18,
                      c.dsp);
        json_array_append_new(blocks, json_pack("{s:s,s:i,s:i,s:i,s:I,s:f,s:f,s:f}", "layer", l->name, "pe",
                                                l->pe, "simd", l->simd, "sum_bits", l->sum_bits, "cycles",
                                                (json_int_t)tern_rtl_cycles(rtl, i), "luts", c.luts, "bram18",
                                                c.bram18, "dsp", c.dsp));
    }
    tern_status status =
        tern_cli_has(job->cli, "synthesise") ? synthesise(job, rtl, blocks, total, &synthesis) : TERN_OK;
    json_t *all = json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f,s:f,s:o}", "folder", job->folder, "name", job->name,
                            "target", "verilog", "interval", (json_int_t)tern_rtl_interval(rtl), "latency",
                            (json_int_t)tern_rtl_latency(rtl), "luts", sum.luts, "bram18", sum.bram18, "dsp",
                            sum.dsp, "blocks", blocks);
    json_object_update(all, total);
    json_decref(total);
    if (status != TERN_OK || job->cli->json) {
        tern_grid_free(&t);
        tern_grid_free(&synthesis);
        if (status == TERN_OK) return tern_print_json(all);
        json_decref(all);
        return status;
    }
    json_decref(all);
    TERN_TRY(tern_grid_print(&t, stdout));
    if (synthesis.count) TERN_TRY(tern_grid_print(&synthesis, stdout));
    printf("%s: %s.v, %s_tb.v, Makefile; a sample every %lld cycles, its first result %lld cycles behind its "
           "first word\n",
           job->folder, job->name, job->name, (long long)tern_rtl_interval(rtl),
           (long long)tern_rtl_latency(rtl));
    printf("check it: make -C %s check lint; make -C %s synth\n", job->folder, job->folder);
    return TERN_OK;
}

/* As --fold says, within --budget, or for --cycles. */
static tern_status fold(const tern_cli *cli, tern_rtl *rtl)
{
    tern_rtl_budget budget;
    if (tern_cli_has(cli, "fold")) return tern_rtl_fold_by(rtl, tern_cli_text(cli, "fold"));
    if (!tern_cli_has(cli, "budget")) {
        tern_rtl_fold(rtl, tern_cli_whole(cli, "cycles"));
        return TERN_OK;
    }
    TERN_TRY(tern_rtl_parse_budget(tern_cli_text(cli, "budget"), &budget));
    return tern_rtl_fold_best(rtl, &budget);
}

tern_status tern_emit_logic(const tern_logic_job *job)
{
    tern_rtl rtl;
    if (tern_cli_has(job->cli, "synthesise")) TERN_TRY(tern_rtl_find_yosys());
    TERN_TRY(tern_rtl_open(&rtl, job->program, job->session));
    tern_status status = fold(job->cli, &rtl);
    if (status == TERN_OK)
        status = tern_rtl_folder(&rtl, job->name, job->about, job->session, job->samples->images,
                                 job->samples->count, job->folder);
    if (status == TERN_OK) status = report_logic(job, &rtl);
    tern_rtl_free(&rtl);
    return status;
}
