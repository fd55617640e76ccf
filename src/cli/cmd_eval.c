/* tern eval: a trained net on the test split, with its activity and work measured. */
#include "cli/cli.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"data", 'd', TERN_TEXT, "DATA", NULL, "data set (default: that of the run)", NULL},
    {"batch", 'b', TERN_WHOLE, "N", "100", "samples of a batch", "1..65536"},
    {"limit", 0, TERN_WHOLE, "N", "0", "first N test samples only; 0: all", NULL},
    {0},
};

static tern_status print(const tern_evaluation *e)
{
    char macs[24], adds[24];
    printf("accuracy %.4f  loss %.4f  on %d samples, %.2f s (%.0f samples/s)\n", e->accuracy, e->loss,
           e->samples, e->seconds, e->samples / e->seconds);
    tern_grid t = {0};
    tern_grid_row(&t, "layer|multiply-accumulates|accumulates|time here (us)");
    for (int i = 0; i < e->layer_count; i++) {
        const tern_layer_work *l = &e->layers[i];
        if (l->work.macs + l->work.accumulates + l->work.elementwise == 0) continue;
        tern_grid_row(&t, "%s|%s|%s|%.1f", l->layer, tern_human(macs, l->work.macs, ""),
                      tern_human(adds, l->work.accumulates, ""), 1e6 * l->seconds);
    }
    tern_grid_row(&t, "all|%s|%s|%.1f", tern_human(macs, e->work.macs, ""),
                  tern_human(adds, e->work.accumulates, ""), 1e6 * e->seconds / e->samples);
    TERN_TRY(tern_grid_print(&t, stdout));
    if (!e->activity_count) return TERN_OK;
    printf("\n");
    tern_grid_row(&t, "neurons of|number|spikes per neuron|share of steps");
    for (int i = 0; i < e->activity_count; i++)
        tern_grid_row(&t, "%s|%.0f|%.4f|%.4f", e->activity[i].layer, e->activity[i].neurons,
                      e->activity[i].spikes, e->activity[i].density);
    return tern_grid_print(&t, stdout);
}

static tern_status evaluate(tern_cli *cli, tern_subject *s, const tern_dataset *d)
{
    tern_samples test = tern_samples_of(d, false);
    tern_samples_normalise_as(&test, s->config);
    tern_evaluation e;
    char path[4096];
    TERN_TRY(tern_evaluate(&e, s->net, s->parameters, &test, tern_cli_whole(cli, "batch"),
                           (int)test.images.shape.dim[0], &s->store, cli->pool));
    json_t *document = tern_evaluation_json(&e, d);
    tern_status status = tern_run_path(path, s->folder, "eval.json");
    if (status == TERN_OK) status = tern_write_json(path, json_incref(document));
    if (status == TERN_OK) status = cli->json ? tern_print_json(json_incref(document)) : print(&e);
    json_decref(document);
    tern_evaluation_free(&e);
    return status;
}

static tern_status run_eval(tern_cli *cli)
{
    tern_subject s;
    tern_dataset d = {0};
    TERN_TRY(tern_subject_open(&s, cli, cli->arguments[0]));
    tern_status status = TERN_OK;
    const char *data = tern_cli_text(cli, "data");
    if (!s.folder)
        status =
            tern_fail(TERN_USAGE, "eval needs a run folder of tern train, found the net %s", s.net->name);
    if (!data && s.config) data = json_string_value(json_object_get(s.config, "data"));
    tern_dataset_options limits = {.train_limit = 1, .test_limit = tern_cli_whole(cli, "limit")};
    tern_catch_interrupts();
    if (status == TERN_OK) status = tern_open_data(&d, data ? data : "", limits, cli, &s);
    if (status == TERN_OK && !tern_shape_equal(&d.sample, &s.sample)) {
        char a[96], b[96];
        status = tern_fail(TERN_USAGE, "samples of %s are %s, the net was trained on %s", data,
                           tern_shape_text(a, &d.sample), tern_shape_text(b, &s.sample));
    }
    if (status == TERN_OK) status = evaluate(cli, &s, &d);
    tern_dataset_close(&d);
    tern_subject_close(&s);
    return status;
}

const tern_command tern_command_eval = {
    .name = "eval",
    .about = "evaluate a trained net on the test split, counting what it does",
    .usage = "RUN",
    .more = "tern eval run/spiking-cnn",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run_eval,
};
