/* tern eval: a trained net on the test split, with its activity and work measured; a language model on a text or on questions. */
#include "cli/eval.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"data", 'd', TERN_TEXT, "DATA", NULL, "data set (default: that of the run)", NULL},
    {"batch", 'b', TERN_WHOLE, "N", "100", "samples of a batch", "1..65536"},
    {"limit", 0, TERN_WHOLE, "N", "0",
     "use the first N test samples, windows of a text, or questions, only; 0: all", NULL},
    {"delta", 0, TERN_FLAG, NULL, NULL,
     "run a net with delta layers frame by frame, multiplying only what has changed, and print what that "
     "saves",
     NULL},
    {"dense", 0, TERN_FLAG, NULL, NULL, "the same, but multiply everything: the reference", NULL},
    {"weights", 0, TERN_PICK, "FORMAT", "i8",
     "with --delta or --dense: weights in i8 with 32-bit sums, which stay exact, or in f32", "i8|f32"},
    {"resync", 0, TERN_WHOLE, "N", "256",
     "with --delta: compute everything anew every N frames, which ends the drift of f32; 0: never", NULL},
    {"video", 0, TERN_TEXT, "PATH", NULL,
     "use a clip instead of the test split: a folder of frames, .y4m, or .avi with MJPEG frames", NULL},
    {"frames", 0, TERN_WHOLE, "N", "0",
     "frames of a clip or of the video; 0: as many as in training, or as there are", "0..4096"},
    {"metric", 0, TERN_PICK, "NAME", NULL,
     "of showers: the earth mover's distance of decoded shares of charge (emd), beside classical encoders "
     "with equal bits",
     "emd"},
    {"perplexity", 0, TERN_TEXT, "FILE", NULL, "measure the perplexity of a language model on this text",
     NULL},
    {"window", 0, TERN_WHOLE, "N", "512",
     "--perplexity: tokens seen at once, of which the second half is scored", "2..1000000"},
    {"choices", 0, TERN_TEXT, "FILE", NULL,
     "of a language model on multiple-choice questions: JSON of HellaSwag, ARC, WinoGrande or TruthfulQA, or "
     "a "
     "{query, choices, gold} a line",
     NULL},
    {"preamble", 0, TERN_TEXT, "FILE", NULL, "--choices: a text that stands before each question", NULL},
    {"beside", 0, TERN_TEXT, "FILE.csv", NULL,
     "--choices: published results to print below: framework, model, dataset, quantization, accuracy, "
     "std_err",
     NULL},
    {"dataset", 0, TERN_TEXT, "NAME", NULL, "--beside: results of this data set alone", NULL},
    {"lora", 0, TERN_TEXT, "FILE[=X]", NULL,
     "of a language model: add a LoRA adapter, scaled by X (default 1); may be given several times", NULL},
    {0},
};

static tern_status print(const tern_evaluation *e)
{
    char macs[24], adds[24];
    if (e->targets)
        TERN_TRY(tern_print_targets(e));
    else
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

static const tern_exclusion exclusions[] = {
    {"delta", "dense", "one multiplies only what has changed, the other everything"},
    {"perplexity", "data", "a language model is evaluated on a text"},
    {"perplexity", "delta", "a language model has no frames"},
    {"perplexity", "dense", "a language model has no frames"},
    {"perplexity", "choices", "one at a time"},
    {"choices", "data", "a language model is held against questions"},
    {"choices", "delta", "a language model has no frames"},
    {"choices", "dense", "a language model has no frames"},
    {0},
};

static bool by_frames(const tern_cli *cli)
{
    return tern_cli_has(cli, "delta") || tern_cli_has(cli, "dense");
}

/* Options that say how frames are seen one by one, without the option that asks for it, are a misunderstanding. */
static tern_status check_options(const tern_cli *cli)
{
    static const char *const of_delta[] = {"weights", "resync", "video", "frames", NULL},
                             *const of_choices[] = {"preamble", "beside", NULL},
                             *const of_others[] = {"dataset", NULL}, *const of_language[] = {"lora", NULL};
    bool choices = tern_cli_has(cli, "choices");
    if (!by_frames(cli)) TERN_TRY(tern_cli_refuse(cli, of_delta, "without --delta or --dense"));
    if (!choices) TERN_TRY(tern_cli_refuse(cli, of_choices, "without --choices"));
    if (!tern_cli_has(cli, "beside")) TERN_TRY(tern_cli_refuse(cli, of_others, "without --beside"));
    if (!choices && !tern_cli_has(cli, "perplexity"))
        TERN_TRY(tern_cli_refuse(cli, of_language, "without --perplexity or --choices"));
    if (tern_cli_has(cli, "video") && (tern_cli_has(cli, "data") || tern_cli_has(cli, "limit")))
        return tern_fail(TERN_USAGE, "--video takes the place of data: leave out --data and --limit");
    return TERN_OK;
}

static tern_status evaluate(tern_cli *cli, tern_subject *s, const tern_dataset *d)
{
    tern_samples test = tern_samples_of(d, false);
    if (s->config) tern_samples_normalise_as(&test, s->config); /* else by the statistics of the data */
    if (by_frames(cli)) return tern_eval_delta(cli, s, &test);
    tern_evaluation e;
    char path[4096];
    TERN_TRY(tern_evaluate(&e, s->net, s->parameters, &test, tern_cli_whole(cli, "batch"),
                           (int)test.images.shape.dim[0], &s->store, cli->pool));
    json_t *document = tern_evaluation_json(&e, d);
    tern_status status = s->folder ? tern_run_path(path, s->folder, "eval.json") : TERN_OK;
    if (status == TERN_OK && s->folder) status = tern_write_json(path, json_incref(document));
    if (status == TERN_OK && tern_cli_has(cli, "metric"))
        status = tern_eval_showers(cli, s, d, &e);
    else if (status == TERN_OK)
        status = cli->json ? tern_print_json(json_incref(document)) : print(&e);
    json_decref(document);
    tern_evaluation_free(&e);
    return status;
}

/* Whether samples of the data are of the net's shape; frame by frame, clips may have any number of frames. */
static bool fits(const tern_cli *cli, const tern_dataset *d, const tern_subject *s)
{
    tern_shape a = d->sample, b = s->sample;
    if (by_frames(cli) && a.rank == 4 && b.rank == 4) a.dim[0] = b.dim[0];
    return tern_shape_equal(&a, &b);
}

static tern_status on_data(tern_cli *cli, tern_subject *s)
{
    tern_dataset d = {0};
    const char *data = tern_cli_text(cli, "data");
    if (!data) data = json_string_value(json_object_get(s->config, "data"));
    json_t *frames = json_object_get(json_object_get(s->config, "recipe"), "frames");
    tern_dataset_options limits = {.train_limit = 1,
                                   .test_limit = tern_cli_whole(cli, "limit"),
                                   .timesteps = tern_cli_has(cli, "frames") ? tern_cli_whole(cli, "frames")
                                                                            : (int)json_number_value(frames)};
    tern_status status = tern_open_data(&d, data ? data : "", limits, cli, s);
    if (status == TERN_OK && !fits(cli, &d, s)) {
        char a[96], b[96];
        status = tern_fail(TERN_USAGE, "samples of %s are %s, the net takes %s", data,
                           tern_shape_text(a, &d.sample), tern_shape_text(b, &s->sample));
    }
    if (status == TERN_OK) status = evaluate(cli, s, &d);
    tern_dataset_close(&d);
    return status;
}

/* A classifier of images whose pixels are normalised by the statistics of the data. */
static tern_status eval_file(tern_cli *cli, tern_subject *s)
{
    if (by_frames(cli))
        return tern_fail(TERN_USAGE,
                         "--delta and --dense see nets of tern train, not files of other programs");
    if (!tern_cli_has(cli, "data"))
        return tern_fail(TERN_USAGE, "eval %s: --data is missing; tern list datasets knows some",
                         s->net->name);
    TERN_TRY(tern_subject_weights(s));
    return on_data(cli, s);
}

static tern_status run_eval(tern_cli *cli)
{
    tern_subject s;
    TERN_TRY(check_options(cli));
    if (tern_cli_has(cli, "perplexity")) return tern_eval_text(cli);
    if (tern_cli_has(cli, "window"))
        return tern_fail(TERN_USAGE, "--window has no effect without --perplexity");
    if (tern_cli_has(cli, "choices")) return tern_eval_choices(cli);
    TERN_TRY(tern_subject_open(&s, cli, cli->arguments[0]));
    tern_status status = TERN_OK;
    tern_catch_interrupts();
    if (!s.folder && !s.onnx && !s.tflite) {
        status = tern_fail(
            TERN_USAGE, "eval needs a run folder of tern train or an ONNX or TFLite file, found the net %s",
            s.net->name);
    } else if (s.onnx || s.tflite) {
        status = eval_file(cli, &s);
    } else if (tern_cli_has(cli, "video")) {
        tern_samples like = {0};
        tern_samples_normalise_as(&like, s.config);
        status = tern_eval_delta(cli, &s, &like);
    } else {
        status = on_data(cli, &s);
    }
    tern_subject_close(&s);
    return status;
}

const tern_command tern_command_eval = {
    .name = "eval",
    .about = "evaluate a trained net on the test split, and count what it does; or evaluate a language model "
             "on a text",
    .usage = "RUN|MODEL|NET.onnx|NET.tflite",
    .more =
        "tern eval run/spiking-cnn\n"
        "tern eval run/mobilenet-delta --delta                 # multiplications and states of each layer\n"
        "tern eval run/mobilenet-delta --delta --video hall.y4m\n"
        "tern eval run/econ-ae-qfx --metric emd                # of showers\n"
        "tern eval smollm2 --perplexity book.txt\n"
        "tern eval smollm2 --choices arc_easy.jsonl --limit 200\n\n"
        "Of several choices a language model's is the one whose tokens behind the question have the largest "
        "sum of "
        "ln p, or\nlargest mean by character; questions are written as lm-evaluation-harness writes them.",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .run = run_eval,
};
