/* Run folders, and what a command works on: a net by name, or a trained one by its folder. */
#include "cli/cli.h"
#include "io/io.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

tern_status tern_run_path(char out[4096], const char *folder, const char *file)
{
    int length = snprintf(out, 4096, "%s/%s", folder, file);
    return length > 0 && length < 4096 ? TERN_OK : tern_fail(TERN_USAGE, "the path %s is too long", folder);
}

tern_status tern_run_save(const char *folder, const tern_store *store, const tern_progress_state *s)
{
    char path[4096];
    TERN_TRY(tern_run_path(path, folder, "model.safetensors"));
    json_t *progress =
        json_pack("{s:i,s:i,s:I,s:f,s:i,s:f,s:I,s:I,s:f}", "epoch", s->epoch, "batch", s->batch, "steps",
                  (json_int_t)s->steps, "best", s->best, "since_best", s->since_best, "loss_sum", s->loss_sum,
                  "correct", (json_int_t)s->correct, "seen", (json_int_t)s->seen, "seconds", s->seconds);
    char *text = progress ? json_dumps(progress, JSON_REAL_PRECISION(17)) : NULL;
    json_decref(progress);
    if (!text) return tern_no_memory(0, "a checkpoint");
    tern_status status =
        tern_checkpoint_write(path, store->tensors, (const char *const *)store->names, store->count, text);
    tern_release(text);
    return status;
}

static tern_status read_progress(const char *text, const char *path, tern_progress_state *s)
{
    json_error_t error;
    json_t *p = json_loads(text, 0, &error);
    json_int_t steps = 0, correct = 0, seen = 0;
    int bad =
        json_unpack_ex(p, &error, 0, "{s:i,s:i,s:I,s:F,s:i,s:F,s:I,s:I,s:F}", "epoch", &s->epoch, "batch",
                       &s->batch, "steps", &steps, "best", &s->best, "since_best", &s->since_best, "loss_sum",
                       &s->loss_sum, "correct", &correct, "seen", &seen, "seconds", &s->seconds);
    json_decref(p);
    if (bad) return tern_fail(TERN_FAILED, "%s: progress of training: %s", path, error.text);
    s->steps = (uint64_t)steps;
    s->correct = correct;
    s->seen = seen;
    return TERN_OK;
}

tern_status tern_run_load(const char *folder, tern_store *store, tern_progress_state *state)
{
    char path[4096], *document = NULL;
    TERN_TRY(tern_run_path(path, folder, "model.safetensors"));
    TERN_TRY(tern_store_read(store, path, &document));
    tern_status status = read_progress(document, path, state);
    tern_release(document);
    return status;
}

/* Net and parameters of config.json. */
static tern_status from_config(tern_subject *s, const char *path)
{
    const char *name = json_string_value(json_object_get(s->config, "net"));
    json_t *parameters = json_object_get(s->config, "parameters"),
           *sample = json_object_get(s->config, "sample"), *value;
    const char *key;
    if (!name || !(s->net = tern_net_find(name)))
        return tern_fail(TERN_FAILED, "%s: \"net\" is \"%s\", which this version does not know", path,
                         name ? name : "");
    TERN_TRY(tern_net_parameters(s->net, &s->parameters));
    json_object_foreach(parameters, key, value)
    {
        tern_status status = tern_net_set(s->net, s->parameters, key, json_number_value(value));
        if (status != TERN_OK) return tern_in(TERN_FAILED, "%s", path);
    }
    size_t rank = json_array_size(sample);
    if (rank < 1 || rank >= TERN_MAX_RANK)
        return tern_fail(TERN_FAILED, "%s: \"sample\" must be the shape of one sample", path);
    s->sample.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) s->sample.dim[i] = json_integer_value(json_array_get(sample, i));
    return TERN_OK;
}

static tern_status open_run(tern_subject *s, const char *folder)
{
    char path[4096];
    struct stat about;
    TERN_TRY(tern_run_path(path, folder, "config.json"));
    if (stat(path, &about) != 0)
        return tern_fail(TERN_FAILED, "%s is no run folder: it has no config.json; tern train makes one",
                         folder);
    TERN_TRY(tern_read_json(path, &s->config));
    s->folder = folder;
    TERN_TRY(from_config(s, path));
    return tern_run_load(folder, &s->store, &s->state);
}

/* "3x224x224" */
static tern_status parse_input(const char *text, tern_shape *sample)
{
    const char *at = text;
    tern_shape shape = {0};
    while (shape.rank < TERN_MAX_RANK - 1) {
        char *end;
        long extent = strtol(at, &end, 10);
        if (end == at || extent < 1 || extent > 1 << 24) break;
        shape.dim[shape.rank++] = extent;
        at = end + (*end == 'x');
        if (*end == 0) {
            *sample = shape;
            return tern_shape_check(sample, "--input");
        }
        if (*end != 'x') break;
    }
    return tern_fail(TERN_USAGE, "--input is \"%s\", expected the shape of one sample, for example 3x224x224",
                     text);
}

static tern_status open_net(tern_subject *s, const tern_cli *cli, const char *name)
{
    const char *known[64];
    size_t count = 0;
    s->net = tern_net_find(name);
    for (; tern_net_at((int)count) && count < 64; count++) known[count] = tern_net_at((int)count)->name;
    for (int i = 0; tern_classic_at(i) && count < 64; i++) known[count++] = tern_classic_at(i)->name;
    for (int i = 0; tern_decoder_at(i) && count < 64; i++) known[count++] = tern_decoder_at(i)->name;
    if (!s->net) {
        const char *near = tern_nearest(name, known, count);
        return near
                   ? tern_fail(TERN_USAGE, "unknown net \"%s\"; did you mean \"%s\"?", name, near)
                   : tern_fail(TERN_USAGE,
                               "unknown net \"%s\", and no run folder or .onnx or .tflite file of that name; "
                               "see tern list nets",
                               name);
    }
    TERN_TRY(tern_net_parameters(s->net, &s->parameters));
    s->sample = s->net->sample;
    for (int i = 0; i < cli->given_count; i++) {
        for (const tern_option *o = s->net->options; o->name; o++)
            if (strcmp(o->name, cli->given[i].name) == 0)
                TERN_TRY(tern_net_set(s->net, s->parameters, o->name, strtod(cli->given[i].value, NULL)));
    }
    const char *input = tern_cli_text(cli, "input");
    return input ? parse_input(input, &s->sample) : TERN_OK;
}

bool tern_file_named(const char *name)
{
    return tern_ends_with(name, ".onnx") || tern_ends_with(name, ".tflite");
}

static tern_status open_onnx(tern_subject *s, const tern_cli *cli, const char *path)
{
    const char *input = tern_cli_text(cli, "input");
    TERN_TRY(tern_onnx_open(&s->onnx, path));
    s->net = tern_onnx_net(s->onnx);
    TERN_TRY(tern_onnx_parameters(s->onnx, &s->parameters));
    s->sample = s->net->sample;
    if (input) return parse_input(input, &s->sample);
    char shape[96];
    if (tern_elements(&s->sample) == 0 && !tern_cli_has(cli, "data")) /* an array says it */
        return tern_fail(TERN_USAGE, "%s: a sample is %s, and the file leaves the zeros open; give --input",
                         path, tern_shape_text(shape, &s->sample));
    return TERN_OK;
}

static tern_status open_tflite(tern_subject *s, const tern_cli *cli, const char *path)
{
    TERN_TRY(tern_tflite_open(&s->tflite, path));
    s->net = tern_tflite_net(s->tflite);
    s->sample = s->net->sample;
    if (tern_cli_has(cli, "input"))
        return tern_fail(TERN_USAGE, "--input: the shapes of a TFLite file are its own");
    return tern_tflite_parameters(s->tflite, &s->parameters);
}

tern_file_about tern_subject_about(const tern_subject *subject)
{
    if (subject->tflite) {
        tern_tflite_about a = tern_tflite_about_of(subject->tflite);
        return (tern_file_about){"a TFLite file", a.input, a.outputs, a.scale, a.zero, a.wide};
    }
    tern_onnx_about a = tern_onnx_about_of(subject->onnx);
    return (tern_file_about){.kind = "an ONNX file", .input = a.input, .outputs = a.outputs};
}

tern_file_output tern_subject_output(const tern_subject *subject, int i)
{
    if (subject->tflite)
        return (tern_file_output){tern_tflite_output_name(subject->tflite, i),
                                  tern_tflite_output_of(subject->tflite, i)};
    const char *name = tern_onnx_output_name(subject->onnx, i);
    return (tern_file_output){name, i == 0 ? "logits" : name};
}

tern_status tern_subject_weights(tern_subject *subject)
{
    if (subject->tflite) return tern_tflite_weights(subject->tflite, &subject->store);
    return subject->onnx ? tern_onnx_weights(subject->onnx, &subject->store) : TERN_OK;
}

tern_status tern_subject_open(tern_subject *subject, const tern_cli *cli, const char *name)
{
    *subject = (tern_subject){0};
    if (tern_file_named(name)) {
        tern_status opened = (tern_ends_with(name, ".onnx") ? open_onnx : open_tflite)(subject, cli, name);
        if (opened != TERN_OK) tern_subject_close(subject);
        return opened;
    }
    struct stat about;
    bool folder = !tern_net_find(name) && stat(name, &about) == 0 && S_ISDIR(about.st_mode);
    if (folder && tern_cli_has(cli, "input"))
        return tern_fail(TERN_USAGE, "--input: the run %s has the samples that it was trained on", name);
    tern_status status = folder ? open_run(subject, name) : open_net(subject, cli, name);
    if (status != TERN_OK) tern_subject_close(subject);
    return status;
}

tern_status tern_subject_open_run(tern_subject *subject, const char *folder)
{
    *subject = (tern_subject){0};
    tern_status status = open_run(subject, folder);
    if (status != TERN_OK) tern_subject_close(subject);
    return status;
}

void tern_subject_close(tern_subject *subject)
{
    tern_net_free(subject->parameters);
    tern_store_close(&subject->store);
    tern_onnx_close(subject->onnx);
    tern_tflite_close(subject->tflite);
    json_decref(subject->config);
    *subject = (tern_subject){0};
}

/* Whether the net has an option of that name that neither the command line nor the run has set. */
static bool is_open(const tern_cli *cli, const tern_subject *s, const char *name)
{
    for (const tern_option *o = s->net->options; o->name; o++)
        if (strcmp(o->name, name) == 0) return !tern_cli_has(cli, name) && !s->config;
    return false;
}

/* The size that images of the data are brought to: that of the run, when these are its data, or --input. */
static bool is_sized(const tern_cli *cli, const tern_subject *s, const char *name)
{
    const char *own = json_string_value(json_object_get(s->config, "data"));
    if (s->sample.rank != 3) return false;
    if (s->net->bytes) return true;
    return s->config ? own && strcmp(own, name) == 0 : tern_cli_has(cli, "input");
}

tern_status tern_open_data(tern_dataset *dataset, const char *name, tern_dataset_options options,
                           const tern_cli *cli, tern_subject *subject)
{
    const tern_net *net = subject->net;
    int chosen = tern_net_steps(net, subject->parameters);
    if (chosen && !is_open(cli, subject, "timesteps")) options.timesteps = chosen;
    if (is_sized(cli, subject, name)) {
        options.height = (int)subject->sample.dim[1];
        options.width = (int)subject->sample.dim[2];
    }
    TERN_TRY(tern_dataset_open(dataset, name, &options));
    char a[96], b[96];
    if (!subject->config && tern_cli_has(cli, "input") &&
        !tern_shape_equal(&dataset->sample, &subject->sample)) {
        tern_shape_text(a, &dataset->sample);
        tern_dataset_close(dataset);
        return tern_fail(TERN_USAGE, "samples of %s are %s and cannot be brought to --input %s", name, a,
                         tern_shape_text(b, &subject->sample));
    }
    if (is_open(cli, subject, "classes"))
        TERN_TRY(tern_net_set(net, subject->parameters, "classes", dataset->classes));
    if (!tern_net_sees_clip(net, &dataset->sample)) return TERN_OK;
    int steps = tern_net_steps(net, subject->parameters), frames = (int)dataset->sample.dim[0];
    if (is_open(cli, subject, "timesteps"))
        return tern_net_set(net, subject->parameters, "timesteps", frames);
    if (steps == frames) return TERN_OK;
    return tern_fail(TERN_USAGE, "the clips of %s have %d frames, the net %d steps; give --timesteps %d",
                     name, frames, steps, frames);
}

void tern_samples_normalise_as(tern_samples *samples, const json_t *config)
{
    for (size_t i = 0; i < 8; i++) {
        samples->mean[i] = json_number_value(json_array_get(json_object_get(config, "mean"), i));
        samples->std[i] = json_number_value(json_array_get(json_object_get(config, "std"), i));
    }
}
