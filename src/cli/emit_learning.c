/* tern emit RUN-int8 --train, RUN-half --train: a training step as C, with samples that it is checked by. */
#include "cli/learning.h"
#include "emit/emit.h"
#include "kernel/int8.h"

#include <string.h>

typedef struct tern_learning_emission {
    tern_cli *cli;
    tern_subject subject;
    tern_dataset dataset;
    tern_int8_update_plan update;
    tern_int8_stepper stepper;
    tern_emit_samples samples;
    float *images, *rates;
    int32_t *labels;
    tern_text about;
    char name[64];
} tern_learning_emission;

tern_status tern_update_of(const tern_cli *cli, const char *standard, tern_int8_update_plan *plan)
{
    const char *text = tern_cli_text(cli, "update");
    return tern_int8_update_parse(text ? text : standard, plan);
}

static tern_status open_all(tern_learning_emission *e)
{
    tern_cli *cli = e->cli;
    tern_subject *s = &e->subject;
    TERN_TRY(tern_update_of(cli, "last=1", &e->update));
    e->update.bytes = tern_cli_has(cli, "bytes-in");
    TERN_TRY(tern_learning_subject(cli, s));
    if (!s->config && !s->tflite)
        return tern_fail(TERN_USAGE,
                         "--train: a training step begins with a trained net: give a run folder of tern "
                         "convert RUN --to int8 or --to half, or a TFLite file of bytes");
    const char *data = tern_cli_text(cli, "data");
    if (!data) data = json_string_value(json_object_get(s->config, "data"));
    if (!data)
        return tern_fail(TERN_USAGE, "--train: a TFLite file does not say what it learns from: give --data");
    int steps = tern_cli_whole(cli, "steps"), held = tern_cli_whole(cli, "samples");
    tern_dataset_options few = {.train_limit = steps, .test_limit = held};
    TERN_TRY(tern_open_data(&e->dataset, data ? data : "", few, cli, s));
    char a[96], b[96];
    if (!tern_shape_equal(&s->sample, &e->dataset.sample))
        return tern_fail(TERN_USAGE, "samples of %s are %s, the net %s %s", data,
                         tern_shape_text(a, &e->dataset.sample), s->tflite ? "takes" : "was trained on",
                         tern_shape_text(b, &s->sample));
    if (s->net->half && tern_cli_has(cli, "update"))
        return tern_fail(TERN_USAGE, "--update: of a net of 16 bits everything learns");
    if (s->net->half && e->update.bytes)
        return tern_fail(TERN_USAGE, "--bytes-in: net %s has samples of floats", s->net->name);
    return tern_int8_stepper_open(&e->stepper, s->net, s->parameters, &s->sample, 1, &e->update, &s->store,
                                  cli->pool);
}

/* Samples of a split, one behind the other from call `first` on, over and over. */
static tern_status take_split(tern_learning_emission *e, bool train, int first, int count, double rate)
{
    tern_samples samples = tern_samples_of(&e->dataset, train);
    size_t size = (size_t)tern_elements(&e->subject.sample);
    tern_loader *loader = NULL;
    tern_learning_normalise(&samples, &e->subject);
    TERN_TRY(tern_loader_open(&loader, &samples,
                              &(tern_loader_options){.batch = 1, .shuffle = train, .seed = e->cli->seed}));
    tern_status status = TERN_OK;
    for (int i = 0, epoch = 0; i < count && status == TERN_OK;) {
        const tern_batch *b;
        int before = i;
        tern_loader_begin(loader, epoch++, 0);
        while (i < count && (b = tern_loader_next(loader)) != NULL) {
            memcpy(e->images + (size_t)(first + i) * size, b->images, size * sizeof *e->images);
            e->labels[first + i] = b->labels[0];
            e->rates[first + i++] = (float)rate;
        }
        if (i == before)
            status = tern_fail(TERN_USAGE, "the data have no %s samples", train ? "training" : "test");
    }
    tern_loader_close(loader);
    return status;
}

/* Samples as bytes, in the memory of the floats. */
static void to_bytes(tern_learning_emission *e, size_t count)
{
    const tern_store *store = &e->subject.store;
    int s = tern_store_find(store, "image.scale"), z = tern_store_find(store, "image.zero");
    tern_file_about about = e->subject.tflite ? tern_subject_about(&e->subject) : (tern_file_about){0};
    double scale = s >= 0 ? tern_get(&store->tensors[s], 0) : about.scale;
    int zero = z >= 0 ? (int)tern_get(&store->tensors[z], 0) : about.zero;
    int8_t *bytes = (int8_t *)e->images;
    for (size_t i = 0; i < count; i++) bytes[i] = tern_float_to_byte(e->images[i], (float)scale, zero);
}

/* Held-out samples, steps of learning, the same held-out samples. */
static tern_status take_samples(tern_learning_emission *e)
{
    int steps = tern_cli_whole(e->cli, "steps"), held = tern_cli_whole(e->cli, "samples");
    size_t count = (size_t)(steps + 2 * held), size = (size_t)tern_elements(&e->subject.sample);
    e->images = tern_take_array(count * size, sizeof *e->images);
    e->labels = tern_take_array(count, sizeof *e->labels);
    e->rates = tern_take_array(count, sizeof *e->rates);
    if (!e->images || !e->labels || !e->rates)
        return tern_no_memory(count * size * sizeof *e->images, "samples");
    TERN_TRY(take_split(e, false, 0, held, 0));
    TERN_TRY(take_split(e, true, held, steps, tern_cli_number(e->cli, "rate")));
    TERN_TRY(take_split(e, false, held + steps, held, 0));
    if (e->update.bytes) to_bytes(e, count * size);
    e->samples = (tern_emit_samples){e->images, e->labels, (int)count, 1, e->rates, held};
    return TERN_OK;
}

static tern_status report(const tern_learning_emission *e, const char *folder)
{
    tern_emit_sizes s;
    char arena[24], state[24];
    tern_text update = {0};
    tern_emit_sizes_of(e->stepper.program, &s);
    if (e->subject.net->half)
        tern_text_put(&update, "all of it");
    else
        tern_int8_update_print(&e->update, &update);
    tern_status status = tern_text_status(&update);
    if (status == TERN_OK && e->cli->json)
        status = tern_print_json(json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I}", "folder", folder, "name", e->name,
                                           "target", tern_cli_text(e->cli, "target"), "update", update.data,
                                           "arena_bytes", (json_int_t)s.arena, "state_bytes",
                                           (json_int_t)s.state, "weight_bytes", (json_int_t)s.weights));
    else if (status == TERN_OK)
        printf("%s: a training step (%s): arena %zu bytes (%s), learned parameters %zu bytes (%s), const %zu "
               "bytes\n"
               "check it: make -C %s check\n",
               folder, update.data, s.arena, tern_human(arena, (double)s.arena, "B"), s.state,
               tern_human(state, (double)s.state, "B"), s.weights, folder);
    tern_text_free(&update);
    return status;
}

static tern_status emit(tern_learning_emission *e)
{
    tern_cli *cli = e->cli;
    const tern_emit_target *target = &tern_emit_targets[tern_cli_pick(cli, "target")];
    const char *folder = tern_cli_text(cli, "out"), *given = tern_cli_text(cli, "name");
    char path[128];
    if (target->logic) return tern_fail(TERN_USAGE, "--train: logic does not learn; choose C");
    TERN_TRY(tern_emit_check_cores(cli, target));
    TERN_TRY(open_all(e));
    TERN_TRY(tern_emit_name(e->name, given, e->subject.net->name));
    TERN_TRY(take_samples(e));
    tern_text_format(&e->about, "a training step of %s, from %s", e->subject.net->doc, e->cli->arguments[0]);
    TERN_TRY(tern_text_status(&e->about));
    snprintf(path, sizeof path, "emit/%s", e->name);
    if (!folder) folder = path;
    tern_emit_source source = {.program = e->stepper.program,
                               .session = e->stepper.session,
                               .name = e->name,
                               .about = e->about.data,
                               .learns = true,
                               .cores = tern_cli_whole(cli, "cores"),
                               .fast_floats = tern_cli_pick(cli, "float") > 0};
    tern_emit_limits limits = {.ram = (size_t)tern_cli_number(cli, "ram"),
                               .flash = (size_t)tern_cli_number(cli, "flash"),
                               .stack = (size_t)tern_cli_number(cli, "stack")};
    if (target->board && limits.flash > target->board->flash_bytes && !tern_cli_has(cli, "flash"))
        limits.flash = target->board->flash_bytes;
    TERN_TRY(tern_emit_folder(&source, target, &limits, &e->samples, folder));
    return report(e, folder);
}

tern_status tern_emit_learning(tern_cli *cli)
{
    tern_learning_emission e = {.cli = cli};
    tern_status status = emit(&e);
    tern_int8_stepper_close(&e.stepper);
    tern_dataset_close(&e.dataset);
    tern_subject_close(&e.subject);
    tern_release(e.images);
    tern_release(e.labels);
    tern_release(e.rates);
    tern_text_free(&e.about);
    return status;
}
