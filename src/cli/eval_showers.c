/* tern eval RUN --metric emd: how far showers are from what is decoded of their codes, beside classical encoders at equal bits. */
#include "cli/eval.h"

#include "train/shower.h"

#include <string.h>

enum { CELLS = TERN_TRIGGER_CELLS };

static json_t *score_json(const char *name, const tern_shower_score *s)
{
    return json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f}", "encoder", name, "bits", s->bits, "distance", s->mean,
                     "low", s->low, "high", s->high, "sparse", s->sparse, "dense", s->dense);
}

static tern_status print_scores(const tern_cli *cli, const char *net, const tern_shower_score *own,
                                const tern_shower_score *classical, int rows)
{
    tern_grid t = {0};
    json_t *all = json_array();
    tern_status status = TERN_OK;
    tern_grid_row(&t, "encoder|bits|distance, cells|middle 68 %%|few cells|many cells");
    for (int e = -1; e < rows; e++) {
        const tern_shower_score *s = e < 0 ? own : &classical[e];
        const char *name = e < 0 ? net : tern_shower_encoder_names[e];
        tern_grid_row(&t, "%s|%.1f|%.4f|%.4f to %.4f|%.4f|%.4f", name, s->bits, s->mean, s->low, s->high,
                      s->sparse, s->dense);
        json_array_append_new(all, score_json(name, s));
    }
    if (cli->json)
        status = tern_print_json(json_incref(all));
    else
        status = tern_grid_print(&t, stdout);
    if (cli->json) tern_grid_free(&t);
    json_decref(all);
    return status;
}

tern_status tern_eval_showers(tern_cli *cli, const tern_subject *s, const tern_dataset *d,
                              const tern_evaluation *e)
{
    double keep = 0, bits = 0;
    tern_shower_options o = {.seed = tern_shower_seed(cli->seed, true)};
    tern_shower_score own, classical[TERN_SHOWER_ENCODERS];
    if (strcmp(d->name, "showers") != 0 || e->classes < CELLS)
        return tern_fail(
            TERN_USAGE,
            "--metric emd: expected a net that decodes 48 cells, on showers; %s has %d results on %s",
            s->net->name, e->classes, d->name);
    float *decoded = tern_take_array((size_t)e->samples * CELLS, sizeof *decoded);
    if (!decoded) return tern_no_memory((size_t)e->samples * CELLS * sizeof *decoded, "decoded showers");
    for (int i = 0; i < e->samples; i++)
        memcpy(decoded + (ptrdiff_t)i * CELLS, e->logits + (ptrdiff_t)i * e->classes,
               CELLS * sizeof *decoded);
    tern_status status = tern_shower_judge(d->test.images.data, decoded, e->samples, cli->pool, &own);
    tern_release(decoded);
    TERN_TRY(status);
    bool coded = tern_net_get(s->net, s->parameters, "keep", &keep) == TERN_OK &&
                 tern_net_get(s->net, s->parameters, "code_bits", &bits) == TERN_OK && keep * bits >= 24;
    own.bits = keep * bits;
    if (coded) TERN_TRY(tern_shower_compare(&o, e->samples, (int)own.bits, cli->pool, classical));
    return print_scores(cli, s->net->name, &own, classical, coded ? TERN_SHOWER_ENCODERS : 0);
}
