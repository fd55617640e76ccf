/* tern convert: a trained net of ReLUs becomes a spiking one, depthwise convolutions group convolutions, or any net one of
 * bytes, of 16 bits, of fixed point or of integers, in a run folder of its own; a language model changes its number format
 * (convert_model.c); what scikit-learn fitted becomes a run (learner.c). */
#include "cli/convert_int8.h"
#include "cli/convert_model.h"
#include "cli/learner.h"
#include "train/fixed.h"

#include <string.h>
#include <sys/stat.h>

static const tern_cli_option options[] = {
    {"to", 0, TERN_PICK, "FORM", "snn",
     "form to convert to.  snn: a spiking net; regroup: group convolutions, which compute the same and can "
     "learn more; int8: weights and activations of 8 bits; half: 16 bits, which can be trained further; qfx: "
     "fixed point with binary points from data; fixed: integers, which compute the same as NET-qfx or a net "
     "of few bits; fixed16: a classic learner in fixed point.  One of",
     "snn|regroup|int8|half|qfx|fixed|fixed16"},
    {"dtype", 0, TERN_PICK, "NAME", "f16", "--to half: format of all values (f32: to compare with)",
     "f16|bf16|f32"},
    {"word", 0, TERN_WHOLE, "W", "8", "--to qfx: bits of a weight", "2..16"},
    {"word-act", 0, TERN_WHOLE, "W", "0", "--to qfx: bits of an activation; 0: as weights", "0..16"},
    {"word-norm", 0, TERN_WHOLE, "W", "0", "--to qfx: bits of a scale of a norm; 0: as weights", "0..12"},
    {"word-bias", 0, TERN_WHOLE, "W", "0", "--to qfx: bits of a bias, also of a norm; 0: as the sums need",
     "0..24"},
    {"khot", 0, TERN_WHOLE, "K", "0", "--to qfx: how many bits of a weight may be 1; 0: any number", "0..16"},
    {"out", 'o', TERN_TEXT, "PATH", NULL,
     "run folder of the result (default RUN-FORM, such as RUN-snn); with --format the new file, .gguf or "
     ".safetensors",
     NULL},
    {"group", 0, TERN_WHOLE, "G", "4", "--to regroup: channels of a group", "1..65536"},
    {"format", 0, TERN_TEXT, "NAME", NULL,
     "of a model file: number format to convert to: f32, f16, bf16, q4_0 .. q6_K, q3_K_M to q5_K_M, ternary, "
     "nf4, nf4x2 (nf4 with 8-bit scales), int8-outlier",
     NULL},
    {"head-format", 0, TERN_TEXT, "NAME", NULL,
     "with --format: format of the table that makes logits (q6_K is what llama.cpp combines with q4_0)",
     NULL},
    {"lossy", 0, TERN_FLAG, NULL, NULL,
     "with --format: also convert what has lost precision already, and folders, whose tokenizer is left out",
     NULL},
    {"outlier-threshold", 0, TERN_NUMBER, "A", "6",
     "with --format int8-outlier: inputs of at least this magnitude are multiplied in full precision; 0: "
     "none",
     "0.."},
    {"data", 'd', TERN_TEXT, "DATA", NULL,
     "of a learner (FILE.json): data that it is evaluated on, and that its run keeps", NULL},
    {"timesteps", 'T', TERN_WHOLE, "N", "5", "--to snn: time steps of the spiking net", "1..1000"},
    {"threshold-percentile", 0, TERN_NUMBER, "P", "90",
     "--to snn: the threshold of a layer is this percentile of the currents into it", "0..100"},
    {"calib", 0, TERN_WHOLE, "N", "512", "how many training images thresholds or ranges are calibrated on",
     "1..65536"},
    {"calib-steps", 0, TERN_WHOLE, "N", "100",
     "--to snn: time steps of calibration, of which the highest percentile counts (IIR-SNN took 500)",
     "1..100000"},
    {"calibrate", 0, TERN_PICK, "HOW", "min-max",
     "--to int8: what the range of an activation is: all that is seen (min-max), all but some of it "
     "(percentile), or the part with the least squared error (mse) or the least divergence (entropy)",
     "min-max|percentile|mse|entropy"},
    {"percentile", 0, TERN_NUMBER, "P", "99.99",
     "--calibrate percentile: percentage of what is seen that the range holds", "50..100"},
    {"weight-bits", 0, TERN_WHOLE, "N", "8",
     "--to int8: bits of a weight, which takes a byte (of a run of NET-qat: those that it was trained for)",
     "2..8"},
    {"per", 0, TERN_PICK, "WHAT", "channel",
     "--to int8: one scale of the weights for each output channel, or for each layer", "channel|layer"},
    {"act-bits", 0, TERN_PICK, "N", "8",
     "--to int8: bits of an activation (of a run of NET-qat: those that it was trained for)", "8|16"},
    {"out-bits", 0, TERN_PICK, "N", "8", "--to int8: bits of the results of a last linear layer", "8|16"},
    {"multiplier-bits", 0, TERN_PICK, "N", "32",
     "--to int8: bits of the multipliers that rescale sums; the array of tern emit --machine takes 16",
     "32|16"},
    {0},
};

/* In the order of --to. */
typedef enum convert_form { TO_SNN, TO_REGROUP, TO_INT8, TO_HALF, TO_QFX, TO_FIXED, TO_FIXED16 } convert_form;

typedef struct tern_convert_job {
    tern_cli *cli;
    tern_subject from;
    const tern_net *net; /* what it becomes */
    void *parameters;    /* of that */
    tern_store store;
    tern_dataset dataset;
    const char *out;
    convert_form form;
    double accuracy; /* of floats, before it becomes bytes */
    json_t *formats; /* of its bytes */
    tern_arena arena;
} tern_convert_job;

static tern_status set_timesteps(tern_convert_job *job, int timesteps)
{
    return tern_net_set(job->net, job->parameters, "timesteps", timesteps);
}

/* The parameters of the net that was trained, but for what is new. */
static tern_status copy_parameters(tern_convert_job *job)
{
    const tern_subject *s = &job->from;
    double value;
    TERN_TRY(tern_net_parameters(job->net, &job->parameters));
    for (const tern_option *o = s->net->options; o->name; o++) {
        TERN_TRY(tern_net_get(s->net, s->parameters, o->name, &value));
        TERN_TRY(tern_net_set(job->net, job->parameters, o->name, value));
    }
    return TERN_OK;
}

/* Options without effect are a misunderstanding. */
static tern_status check_options(const tern_convert_job *job)
{
    static const struct {
        const char *option;
        unsigned forms; /* that it is for */
    } known[] = {{"group", 1 << TO_REGROUP},
                 {"timesteps", 1 << TO_SNN},
                 {"threshold-percentile", 1 << TO_SNN},
                 {"calib", 1 << TO_SNN | 1 << TO_INT8 | 1 << TO_QFX},
                 {"calib-steps", 1 << TO_SNN},
                 {"calibrate", 1 << TO_INT8},
                 {"percentile", 1 << TO_INT8},
                 {"weight-bits", 1 << TO_INT8},
                 {"per", 1 << TO_INT8},
                 {"act-bits", 1 << TO_INT8},
                 {"out-bits", 1 << TO_INT8},
                 {"multiplier-bits", 1 << TO_INT8},
                 {"dtype", 1 << TO_HALF},
                 {"word", 1 << TO_QFX},
                 {"word-act", 1 << TO_QFX},
                 {"word-norm", 1 << TO_QFX},
                 {"word-bias", 1 << TO_QFX},
                 {"khot", 1 << TO_QFX}};
    for (size_t i = 0; i < TERN_COUNT(known); i++)
        if (tern_cli_has(job->cli, known[i].option) && !(known[i].forms & 1u << job->form))
            return tern_fail(TERN_USAGE, "convert: --%s has no effect with --to %s", known[i].option,
                             tern_cli_text(job->cli, "to"));
    if (tern_cli_has(job->cli, "percentile") && tern_cli_pick(job->cli, "calibrate") != TERN_PERCENTILE)
        return tern_fail(TERN_USAGE, "convert: --percentile has no effect without --calibrate percentile");
    return TERN_OK;
}

/* NET-qfx of NET; NET-fixed of NET-qfx, or of a net whose layers have few bits themselves. */
static tern_status check_fixed(tern_convert_job *job)
{
    const tern_subject *s = &job->from;
    size_t length = strlen(s->net->name);
    bool cast = s->net->fixed && !s->net->integers;
    bool other = s->net->integers || s->net->delta || s->net->regroup || s->net->int8 || s->net->qat;
    char name[80];
    if (cast) length -= strlen("-qfx");
    snprintf(name, sizeof name, "%.*s-%s", (int)length, s->net->name, tern_cli_text(job->cli, "to"));
    job->net = other || (job->form == TO_QFX && cast) ? NULL : tern_net_find(name);
    if (job->net) return TERN_OK;
    return tern_fail(TERN_USAGE, "%s is a run of %s, which has no form %s", s->folder, s->net->name,
                     tern_cli_text(job->cli, "to"));
}

/* Whether the net has the form that is asked for. */
static tern_status check_form(tern_convert_job *job)
{
    const tern_subject *s = &job->from;
    double timesteps = -1;
    char name[64];
    if (job->form == TO_QFX || job->form == TO_FIXED) return check_fixed(job);
    if (job->form != TO_SNN) {
        bool bytes = job->form == TO_INT8, other = s->net->delta || s->net->regroup || s->net->int8 ||
                                                   s->net->half || s->net->fixed || (s->net->qat && !bytes);
        int base = (int)strlen(s->net->name) - (s->net->qat ? (int)strlen("-qat") : 0);
        snprintf(name, sizeof name, "%.*s-%s", base, s->net->name, tern_cli_text(job->cli, "to"));
        job->net = other ? NULL : tern_net_find(name);
        return job->net ? TERN_OK
                        : tern_fail(TERN_USAGE, "%s is a run of %s, which %s", s->folder, s->net->name,
                                    job->form == TO_FIXED16 ? "has no such form: classic learners have one"
                                    : job->form != TO_REGROUP
                                        ? "has no such form: plain nets without spikes have one"
                                        : "cannot be regrouped");
    }
    job->net = s->net;
    for (const tern_option *o = s->net->options; o->name; o++)
        if (strcmp(o->name, "timesteps") == 0)
            TERN_TRY(tern_net_get(s->net, s->parameters, o->name, &timesteps));
    if (timesteps == 0) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     timesteps < 0 ? "net %s has no spiking form; begin with: tern train vgg"
                                   : "%s is a run of a spiking net already",
                     timesteps < 0 ? s->net->name : s->folder);
}

static tern_status check(tern_convert_job *job)
{
    const tern_subject *s = &job->from;
    struct stat about;
    char path[4096];
    job->form = (convert_form)tern_cli_pick(job->cli, "to");
    if (!s->folder)
        return tern_fail(TERN_USAGE, "convert needs a run folder of tern train, found the net %s",
                         s->net->name);
    TERN_TRY(check_options(job));
    TERN_TRY(check_form(job));
    const char *out = tern_cli_text(job->cli, "out");
    job->out = out ? out : tern_arena_format(&job->arena, "%s-%s", s->folder, tern_cli_text(job->cli, "to"));
    if (!job->out) return tern_no_memory(strlen(s->folder), "a path");
    TERN_TRY(tern_run_path(path, job->out, "model.safetensors"));
    return stat(path, &about) == 0
               ? tern_fail(TERN_USAGE, "%s holds a run already; give another --out", job->out)
               : TERN_OK;
}

/* config.json of the run that it came from, with what is new. */
static tern_status write_config(const tern_convert_job *job)
{
    char path[4096];
    tern_text line = {0};
    tern_cli_line(&line, job->cli);
    tern_status status = tern_text_status(&line);
    json_t *config = json_deep_copy(job->from.config);
    if (status == TERN_OK) {
        json_object_set_new(config, "command", json_string(line.data));
        json_object_set_new(config, "converted_from", json_string(job->from.folder));
        json_object_set_new(config, "parameters", tern_parameters_json(job->net, job->parameters));
        json_object_set_new(config, "net", json_string(job->net->name));
        json_object_del(config, "recipe");
        if (job->formats) json_object_set(config, "formats", job->formats);
    }
    if (status == TERN_OK) status = tern_run_path(path, job->out, "config.json");
    if (status == TERN_OK)
        status = tern_write_json(path, config);
    else
        json_decref(config);
    tern_text_free(&line);
    return status;
}

/* Thresholds by layer. */
static json_t *thresholds_json(const tern_store *store)
{
    json_t *list = json_object();
    for (int i = 0; i < store->count; i++) {
        const char *dot = strrchr(store->names[i], '.');
        if (dot && strcmp(dot, ".threshold") == 0)
            json_object_set_new(list, store->names[i], json_real(tern_get(&store->tensors[i], 0)));
    }
    return list;
}

static size_t bytes_of(const tern_store *store)
{
    size_t bytes = 0;
    for (int i = 0; i < store->count; i++)
        bytes += tern_bytes_of(store->tensors[i].dtype, tern_elements(&store->tensors[i].shape));
    return bytes;
}

static tern_status report_int8(const tern_convert_job *job, const tern_evaluation *e)
{
    char bytes[24];
    size_t size = bytes_of(&job->store);
    if (job->cli->json)
        return tern_print_json(json_pack("{s:s,s:f,s:f,s:f,s:I,s:O}", "run", job->out, "accuracy_f32",
                                         job->accuracy, "test_accuracy", e->accuracy, "test_loss", e->loss,
                                         "bytes", (json_int_t)size, "formats", job->formats));
    if (e->targets) TERN_TRY(tern_print_targets(e));
    printf(e->targets ? "%s: explained %.6f in f32, %.6f in int8 (%+.4f points); parameters take %s\n"
                      : "%s: test accuracy %.4f in f32, %.4f in int8 (%+.2f points); parameters take %s\n",
           job->out, job->accuracy, e->accuracy, 100 * (e->accuracy - job->accuracy),
           tern_human(bytes, (double)size, "B"));
    return TERN_OK;
}

static tern_status report(const tern_convert_job *job, const tern_evaluation *e)
{
    json_t *thresholds = thresholds_json(&job->store), *value;
    const char *name;
    if (job->form == TO_INT8) {
        json_decref(thresholds);
        return report_int8(job, e);
    }
    if (job->cli->json)
        return tern_print_json(json_pack("{s:s,s:f,s:f,s:f,s:o}", "run", job->out, "test_accuracy",
                                         e->accuracy, "test_loss", e->loss, "spikes_per_neuron",
                                         e->spikes_per_neuron, "thresholds", thresholds));
    tern_grid t = {0};
    tern_status status = TERN_OK;
    tern_grid_row(&t, "layer|threshold");
    json_object_foreach(thresholds, name, value)
    {
        tern_grid_row(&t, "%.*s|%.4f", (int)(strrchr(name, '.') - name), name, json_real_value(value));
    }
    if (job->form != TO_SNN)
        tern_grid_free(&t);
    else
        status = tern_grid_print(&t, stdout);
    printf("%s: test accuracy %.4f before any training; spikes per neuron %.3f\n", job->out, e->accuracy,
           e->spikes_per_neuron);
    json_decref(thresholds);
    return status;
}

/* The run folder, with an evaluation as training leaves it. */
static tern_status keep(tern_convert_job *job, tern_samples *test)
{
    char path[4096];
    tern_evaluation e;
    TERN_TRY(tern_make_folder(job->out));
    TERN_TRY(write_config(job));
    TERN_TRY(tern_run_save(job->out, &job->store, &(tern_progress_state){0}));
    TERN_TRY(tern_evaluate(&e, job->net, job->parameters, test, 64, (int)test->images.shape.dim[0],
                           &job->store, job->cli->pool));
    tern_status status = tern_run_path(path, job->out, "eval.json");
    if (status == TERN_OK) status = tern_write_json(path, tern_evaluation_json(&e, &job->dataset));
    if (status == TERN_OK) status = report(job, &e);
    tern_evaluation_free(&e);
    return status;
}

/* The net of floats is evaluated first. */
static tern_status to_int8(tern_convert_job *job, tern_samples *train, tern_samples *test)
{
    tern_evaluation e;
    tern_subject *s = &job->from;
    TERN_TRY(tern_net_set(job->net, job->parameters, "int8-per", tern_cli_pick(job->cli, "per")));
    TERN_TRY(
        tern_net_set(job->net, job->parameters, "out-bits", tern_cli_pick(job->cli, "out-bits") ? 16 : 8));
    if (tern_cli_has(job->cli, "act-bits") || !s->net->qat)
        TERN_TRY(tern_net_set(job->net, job->parameters, "act-bits",
                              tern_cli_pick(job->cli, "act-bits") ? 16 : 8));
    TERN_TRY(tern_net_set(job->net, job->parameters, "multiplier-bits",
                          tern_cli_pick(job->cli, "multiplier-bits") ? 16 : 32));
    if (tern_cli_has(job->cli, "weight-bits") || !s->net->qat)
        TERN_TRY(
            tern_net_set(job->net, job->parameters, "weight-bits", tern_cli_whole(job->cli, "weight-bits")));
    TERN_TRY(
        tern_convert_run_int8(job->cli, s, job->net, job->parameters, train, &job->store, &job->formats));
    TERN_TRY(tern_evaluate(&e, s->net, s->parameters, test, 64, 0, &s->store, job->cli->pool));
    job->accuracy = e.accuracy;
    tern_evaluation_free(&e);
    return keep(job, test);
}

/* Weights with norms folded in, rounded. */
static tern_status to_half(tern_convert_job *job, tern_samples *test)
{
    const tern_subject *s = &job->from;
    TERN_TRY(tern_net_set(job->net, job->parameters, "half-format", tern_cli_pick(job->cli, "dtype")));
    const tern_half_parameters *how = (const void *)((const char *)job->parameters + job->net->half);
    TERN_TRY(tern_convert_half(s->net, s->parameters, how, &s->sample, &job->from.store, &job->store,
                               job->cli->pool));
    return keep(job, test);
}

/* Fixed point with binary points from data. */
static tern_status to_qfx(tern_convert_job *job, const tern_samples *train)
{
    static const char *const words[] = {"word", "word-act", "word-norm", "word-bias", "khot"};
    tern_fixed_calibration c = {.net = job->net,
                                .parameters = job->parameters,
                                .samples = train,
                                .images = tern_cli_whole(job->cli, "calib"),
                                .percentile = 99.9,
                                .seed = job->cli->seed};
    for (size_t i = 0; i < TERN_COUNT(words); i++)
        TERN_TRY(tern_net_set(job->net, job->parameters, words[i], tern_cli_whole(job->cli, words[i])));
    TERN_TRY(tern_hand_over(&job->from.store, &job->store));
    return tern_fixed_calibrate(&c, &job->store, job->cli->pool);
}

/* The same parameters, of which integers are made when they are loaded. */
static tern_status to_fixed(tern_convert_job *job)
{
    tern_fixed_widths widths;
    tern_grid t = {0};
    if (!job->from.net->fixed) TERN_TRY(tern_net_set(job->net, job->parameters, "word", 0));
    TERN_TRY(tern_hand_over(&job->from.store, &job->store));
    TERN_TRY(tern_fixed_measure(&widths, job->net, job->parameters, &job->from.sample, &job->store,
                                job->cli->pool));
    tern_grid_row(&t, "layer|bits of its sums");
    for (int i = 0; i < widths.count; i++)
        tern_grid_row(&t, "%s|%d", widths.layers[i].layer, widths.layers[i].bits);
    tern_status status = TERN_OK;
    if (job->cli->json)
        tern_grid_free(&t);
    else
        status = tern_grid_print(&t, stdout);
    tern_arena_free(&widths.arena);
    return status;
}

/* A classic learner with binary points from data. */
static tern_status to_fixed16(tern_convert_job *job, const tern_samples *train)
{
    tern_classic c = {.net = job->net, .parameters = job->parameters};
    tern_status status = tern_classic_fix(&job->from.store, train, &c);
    job->store = c.store;
    return status;
}

static tern_status convert(tern_convert_job *job)
{
    tern_cli *cli = job->cli;
    tern_samples train = tern_samples_of(&job->dataset, true), test = tern_samples_of(&job->dataset, false);
    tern_samples_normalise_as(&train, job->from.config);
    tern_samples_normalise_as(&test, job->from.config);
    if (job->form == TO_INT8) return to_int8(job, &train, &test);
    if (job->form == TO_HALF) return to_half(job, &test);
    if (job->form == TO_QFX || job->form == TO_FIXED) {
        TERN_TRY(job->form == TO_QFX ? to_qfx(job, &train) : to_fixed(job));
        return keep(job, &test);
    }
    if (job->form == TO_FIXED16) {
        TERN_TRY(to_fixed16(job, &train));
        return keep(job, &test);
    }
    if (job->form == TO_REGROUP) {
        TERN_TRY(tern_net_set(job->net, job->parameters, "group", tern_cli_whole(cli, "group")));
        TERN_TRY(
            tern_regroup_store(&job->from.store, job->net, job->parameters, &job->from.sample, &job->store));
        return keep(job, &test);
    }
    tern_conversion c = {.net = job->from.net,
                         .parameters = job->from.parameters,
                         .spiking = job->parameters,
                         .samples = &train,
                         .images = tern_cli_whole(cli, "calib"),
                         .steps = tern_cli_whole(cli, "calib-steps"),
                         .percentile = tern_cli_number(cli, "threshold-percentile"),
                         .seed = cli->seed};
    TERN_TRY(set_timesteps(job, 2)); /* any number above 1: thresholds do not depend on it */
    TERN_TRY(tern_convert(&c, &job->from.store, &job->store, cli->pool));
    TERN_TRY(set_timesteps(job, tern_cli_whole(cli, "timesteps")));
    return keep(job, &test);
}

/* Options of one use don't go with the other. */
static const tern_exclusion exclusions[] = {
    {"format", "to", "a model file keeps its net"},
    {"format", "timesteps", "a model file has no time steps"},
    {"format", "group", "a model file keeps its net"},
    {"format", "data", "a model file has no data"},
    {0},
};

static tern_status run_convert(tern_cli *cli)
{
    tern_convert_job job = {.cli = cli};
    if (tern_cli_has(cli, "format")) return tern_convert_model(cli);
    if (tern_is_learner(cli->arguments[0])) return tern_convert_learner(cli);
    if (tern_cli_has(cli, "data"))
        return tern_fail(TERN_USAGE,
                         "--data has no effect but with the JSON file of a learner; a run has its data");
    TERN_TRY(tern_subject_open(&job.from, cli, cli->arguments[0]));
    tern_status status = check(&job);
    if (status == TERN_OK) status = copy_parameters(&job);
    const char *data = json_string_value(json_object_get(job.from.config, "data"));
    tern_catch_interrupts();
    if (status == TERN_OK)
        status = tern_open_data(&job.dataset, data ? data : "", (tern_dataset_options){0}, cli, &job.from);
    if (status == TERN_OK) status = convert(&job);
    json_decref(job.formats);
    tern_dataset_close(&job.dataset);
    tern_store_close(&job.store);
    tern_net_free(job.parameters);
    tern_subject_close(&job.from);
    tern_arena_free(&job.arena);
    return status;
}

const tern_command tern_command_convert = {
    .name = "convert",
    .about =
        "convert a trained net into another form (spiking, group convolutions, int8, 16 bits, fixed point, "
        "integers), a model file into another number format, or a learner of scikit-learn into a run",
    .usage = "RUN | MODEL | FILE.json",
    .more =
        "tern train vgg -o run/vgg                       # with ReLU\n"
        "tern convert run/vgg --to snn --threshold-percentile 90 --calib 512 -o run/vgg-snn\n"
        "tern train run/vgg-snn --timesteps-schedule 5,4,3,2,1 --epochs-per-stage 2 -o run/iir\n"
        "tern convert run/mobilenet --to regroup --group 4\n"
        "tern convert run/cnn --to int8 --calibrate mse -o run/cnn-int8   # then eval, cost, emit it\n"
        "tern convert run/resnet-small --to half --dtype bf16   # learns on in 16 bits: tern train RUN-half\n"
        "tern train lenet --insert qfx --word 8 -o run/lenet-qfx && tern convert run/lenet-qfx --to fixed\n"
        "tern convert run/lenet --to qfx --word 6          # after training, from data\n"
        "tern convert run/forest --to fixed16             # a classic learner without floats\n"
        "tern convert smollm2 --format f16 --lossy -o smollm2-f16.gguf\n"
        "tern convert smollm2-f16.gguf --format q4_K -o smollm2-q4_K.gguf\n"
        "tern convert forest.json --data table.csv -o run/forest   # of tern.scikit.write(estimator, "
        "\"forest.json\")",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .run = run_convert,
};
