/* tern train RUN-int8 --update, tern train NET.tflite --update: a net in bytes learns on, by the steps that a device would make. */
#include "cli/learning.h"

#include <string.h>

/* Options of training in floats. */
static tern_status check_options(const tern_cli *cli)
{
    static const char *const used[] = {"data", "out", "epochs", "batch", "rate", "limit", "update", NULL};
    return tern_cli_only(cli, used, "with --update: learning in bytes is plain gradient descent");
}

static tern_status keep(const tern_cli *cli, tern_subject *s, const tern_dataset *d, const char *folder,
                        const char *data, const tern_evaluation *e)
{
    char path[4096];
    TERN_TRY(tern_make_folder(folder));
    TERN_TRY(tern_run_path(path, folder, "config.json"));
    json_t *config = json_deep_copy(s->config);
    json_object_set_new(config, "data", json_string(data));
    json_object_set_new(config, "learned", json_string(tern_cli_text(cli, "update")));
    TERN_TRY(tern_write_json(path, config));
    TERN_TRY(tern_run_save(folder, &s->store, &s->state));
    TERN_TRY(tern_run_path(path, folder, "eval.json"));
    return tern_write_json(path, tern_evaluation_json(e, d));
}

static tern_status evaluate(tern_evaluation *e, const tern_subject *s, const tern_samples *test,
                            tern_store *store, tern_pool *pool)
{
    return tern_evaluate(e, s->net, s->parameters, test, 100, 0, store, pool);
}

static tern_status train(tern_cli *cli, tern_subject *s, tern_dataset *d, const char *data)
{
    tern_samples train = tern_samples_of(d, true), test = tern_samples_of(d, false);
    tern_learning_normalise(&train, s);
    tern_learning_normalise(&test, s);
    tern_int8_learning l = {.net = s->net,
                            .parameters = s->parameters,
                            .train = &train,
                            .rate = tern_cli_has(cli, "rate") ? tern_cli_number(cli, "rate") : 0.01,
                            .epochs = tern_cli_whole(cli, "epochs"),
                            .batch = tern_cli_has(cli, "batch") ? tern_cli_whole(cli, "batch") : 1,
                            .seed = cli->seed,
                            .quiet = cli->quiet};
    tern_int8_learned learned;
    tern_evaluation before, after;
    TERN_TRY(tern_update_of(cli, NULL, &l.update));
    TERN_TRY(evaluate(&before, s, &test, &s->store, cli->pool));
    double loss = before.loss, accuracy = before.accuracy;
    tern_evaluation_free(&before);
    tern_catch_interrupts();
    TERN_TRY(tern_int8_learn(&l, &s->store, cli->pool, &learned));
    TERN_TRY(evaluate(&after, s, &test, &s->store, cli->pool));
    const char *folder = tern_cli_text(cli, "out");
    char path[4096];
    if (s->tflite)
        snprintf(path, sizeof path, "%.200s-learned.tflite", s->net->name);
    else
        snprintf(path, sizeof path, "%.4000s-learned", s->folder);
    if (!folder) folder = path;
    tern_status status =
        s->tflite ? tern_tflite_write(s->tflite, &s->store, folder) : keep(cli, s, d, folder, data, &after);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(
            json_pack("{s:s,s:I,s:f,s:f,s:f,s:f,s:f,s:f}", "run", folder, "steps", (json_int_t)learned.steps,
                      "first_loss", learned.first_loss, "last_loss", learned.last_loss, "loss_before", loss,
                      "accuracy_before", accuracy, "test_loss", after.loss, "test_accuracy", after.accuracy));
    else if (status == TERN_OK)
        printf("%s: %llu steps; test loss %.4f before, %.4f after, accuracy %.4f before, %.4f after\n",
               folder, (unsigned long long)learned.steps, loss, after.loss, accuracy, after.accuracy);
    tern_evaluation_free(&after);
    return status;
}

/* The file's weights become the subject's own: they change. */
static tern_status take_file(tern_subject *s)
{
    tern_store lent = {0};
    TERN_TRY(tern_tflite_learn(s->tflite));
    s->sample = s->net->sample;
    tern_status status = tern_tflite_weights(s->tflite, &lent);
    if (status == TERN_OK) status = tern_hand_over(&lent, &s->store);
    tern_store_close(&lent);
    return status;
}

tern_status tern_learning_subject(const tern_cli *cli, tern_subject *s)
{
    TERN_TRY(tern_subject_open(s, cli, cli->arguments[0]));
    return s->tflite ? take_file(s) : TERN_OK;
}

void tern_learning_normalise(tern_samples *samples, const tern_subject *s)
{
    if (!s->tflite) {
        tern_samples_normalise_as(samples, s->config);
        return;
    }
    tern_file_about about = tern_subject_about(s);
    bool pixels = samples->images.dtype == TERN_U8;
    for (size_t i = 0; i < 8; i++) { /* (p / 255 - mean) / std = scale (p - 128 - zero) */
        samples->mean[i] = pixels ? (128 + about.zero) / 255.0 : 0;
        samples->std[i] = pixels ? 1 / (255 * about.scale) : 1;
    }
}

/* Scores of as many classes as the data have. */
static tern_status check_classes(const tern_subject *s, const tern_dataset *d, const char *data)
{
    tern_graph *g;
    TERN_TRY(tern_model_plain_graph(&g, s->net, s->parameters, &s->sample, 1, 0));
    tern_shape y = tern_shape_of(g, g->outputs[0].value);
    int64_t classes = y.rank ? y.dim[y.rank - 1] : 0;
    tern_graph_close(g);
    if (d->classes <= classes && d->classes > 0) return TERN_OK;
    return tern_fail(TERN_USAGE, "%s has %d classes, the net scores of %lld: it needs a head of as many",
                     data, d->classes, (long long)classes);
}

tern_status tern_learning_open(tern_cli *cli, const char *asked, tern_dataset_options limits, tern_subject *s,
                               tern_dataset *d, const char **data)
{
    char a[96], b[96];
    *d = (tern_dataset){0};
    TERN_TRY(tern_learning_subject(cli, s));
    if (!s->tflite && (!s->config || !s->net->int8))
        return tern_fail(TERN_USAGE,
                         "--%s: learning begins with a run in bytes, of tern convert RUN --to int8, or with "
                         "a TFLite file of bytes",
                         asked);
    *data = json_string_value(json_object_get(s->config, "data"));
    if (tern_cli_has(cli, "data")) *data = tern_cli_text(cli, "data");
    if (!*data)
        return tern_fail(TERN_USAGE, "--%s: a TFLite file does not say what it learns from: give --data",
                         asked);
    TERN_TRY(tern_open_data(d, *data, limits, cli, s));
    if (!tern_shape_equal(&s->sample, &d->sample))
        return tern_fail(TERN_USAGE, "samples of %s are %s, the net %s %s", *data,
                         tern_shape_text(a, &d->sample), s->tflite ? "takes" : "was trained on",
                         tern_shape_text(b, &s->sample));
    return check_classes(s, d, *data);
}

tern_status tern_train_learning(tern_cli *cli)
{
    tern_subject s = {0};
    tern_dataset d = {0};
    const char *data;
    TERN_TRY(check_options(cli));
    tern_dataset_options limits = {.train_limit = tern_cli_whole(cli, "limit")};
    tern_status status = tern_learning_open(cli, "update", limits, &s, &d, &data);
    if (status == TERN_OK) status = train(cli, &s, &d, data);
    tern_dataset_close(&d);
    tern_subject_close(&s);
    return status;
}
