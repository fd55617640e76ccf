/* tern train: from a net and data to a run folder. */
#include "cli/cli.h"
#include "cli/config.h"
#include "cli/cosines.h"
#include "cli/learner.h"
#include "cli/learning.h"
#include "cli/train_recipe.h"
#include "cli/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const tern_cli_option options[] = {
    {"data", 'd', TERN_TEXT, "DATA", "fashion-mnist", "data set: a name of `tern data`, or a path", NULL},
    {"input", 0, TERN_TEXT, "CxHxW", NULL, "scale images to this size, such as 1x14x14", NULL},
    {"from", 0, TERN_TEXT, "RUN", NULL,
     "begin with the parameters of another run, where their names are the same", NULL},
    {"out", 'o', TERN_TEXT, "DIR", NULL, "run folder (default run/NET)", NULL},
    {"epochs", 'e', TERN_WHOLE, "N", "10", "epochs", "1.."},
    {"batch", 'b', TERN_WHOLE, "N", "64", "samples of a batch", "1..65536"},
    {"optimiser", 0, TERN_PICK, "NAME", "adamw", "update rule", "sgd|adam|adamw|amsgrad"},
    {"rate", 0, TERN_NUMBER, "R", "0.002", "learning rate", "0.."},
    {"schedule", 0, TERN_PICK, "NAME", "cosine", "schedule of the learning rate",
     "constant|step|cosine|milestones"},
    {"warmup", 0, TERN_NUMBER, "E", "0.5", "epochs over which the rate grows from 0", "0.."},
    {"step-epochs", 0, TERN_WHOLE, "N", "10", "schedule step: epochs between steps", "1.."},
    {"step-factor", 0, TERN_NUMBER, "F", "0.1", "schedules step and milestones: factor of a step", "0.."},
    {"milestones", 0, TERN_TEXT, "P,..", "60,80,90",
     "schedule milestones: when steps happen, in percent of the epochs", NULL},
    {"momentum", 0, TERN_NUMBER, "M", "0.9", "optimiser sgd: momentum", "0..1"},
    {"nesterov", 0, TERN_PICK, "YES", "no", "optimiser sgd: Nesterov momentum", "yes|no"},
    {"decay", 0, TERN_NUMBER, "W", "0.01", "weight decay", "0.."},
    {"error", 0, TERN_PICK, "NAME", "squared",
     "loss for data with targets: the squared error, that error weighed by the larger of output and target, "
     "so that large ones count, or how far shares are moved (of showers: the earth mover's distance along "
     "lines)",
     "squared|weighed|transport"},
    {"smoothing", 0, TERN_NUMBER, "S", "0.1", "label smoothing", "0..1"},
    {"crop", 0, TERN_WHOLE, "N", "2", "random shift by up to N pixels", "0..64"},
    {"flip", 0, TERN_PICK, "YES", "auto", "mirror images at random; auto: yes for images, no for clips",
     "auto|yes|no"},
    {"rule", 0, TERN_PICK, "NAME", "bptt",
     "how a spiking net learns through time: all steps at once (bptt), each as soon as it has run (sltt), or "
     "K of "
     "them (sltt-k)",
     "bptt|sltt|sltt-k"},
    {"K", 0, TERN_WHOLE, "K", "2", "rule sltt-k: how many time steps of a batch learn", "1.."},
    {"square", 0, TERN_NUMBER, "A", "0.05",
     "rules sltt and sltt-k: weight in the loss of the squared distance of the logits to 1", "0..1"},
    {"insert", 0, TERN_PICK, "LAYERS", NULL,
     "put layers into the net: delta makes NET-delta, whose activations change seldom; qfx makes NET-qfx, in "
     "fixed point",
     "delta|qfx"},
    {"delta-rate", 0, TERN_NUMBER, "R", "0", "weight of the penalty on changes that delta layers let through",
     "0.."},
    {"delta-until", 0, TERN_NUMBER, "E", "0", "epochs with that weight; 0: all", "0.."},
    {"delta-later", 0, TERN_NUMBER, "R", "0", "the weight after --delta-until", "0.."},
    {"delta-penalty", 0, TERN_PICK, "OF", "changes",
     "what the penalty acts on: changes over time, or all values (L1)", "changes|values"},
    {"norm-samples", 0, TERN_WHOLE, "N", "0",
     "after each epoch compute the statistics of batch norms anew from N samples; 0: keep the running "
     "statistics",
     "0.."},
    {"frames", 0, TERN_WHOLE, "N", "0", "frames of a clip; 0: as many as the data have", "0..4096"},
    {"patience", 0, TERN_WHOLE, "N", "0", "stop after N epochs without a better test accuracy; 0: never",
     NULL},
    {"limit", 0, TERN_WHOLE, "N", "0", "use the first N training samples only; 0: all", NULL},
    {"max-seconds", 0, TERN_NUMBER, "S", "0", "stop after S seconds of training; 0: never", "0.."},
    {"report", 0, TERN_PICK, "WHAT", NULL,
     "print for each weight the cosine between the gradients of sltt and bptt, before and after training",
     "grad-cos"},
    {"timesteps-schedule", 0, TERN_TEXT, "T,..", NULL,
     "train in stages of fewer and fewer time steps, each from the result of the stage before; run folders "
     "DIR/T5, ..",
     NULL},
    {"epochs-per-stage", 0, TERN_WHOLE, "N", NULL, "epochs of a stage (default: --epochs)", "1.."},
    {"superpipeline", 0, TERN_TEXT, "K,M", NULL,
     "keep the parameters of K layers in fast memory, with their gradients and the optimiser's moments, and "
     "move M layers at a time; the rest is in a file",
     NULL},
    {"slack", 0, TERN_FLAG, NULL, NULL,
     "--superpipeline: room for M more layers, so that loading need not wait", NULL},
    {"memory", 'm', TERN_BYTES, "BYTES", NULL,
     "train in so much memory: where values do not fit they are computed again, and parameters come in "
     "windows of layers",
     NULL},
    TERN_UPDATE_OPTION,
    {"resume", 0, TERN_FLAG, NULL, NULL,
     "continue an interrupted or finished run, with the options that it began with", NULL},
    {0},
};

static const tern_exclusion exclusions[] = {
    {"superpipeline", "memory", "--memory chooses the window"},
    {0},
};

typedef struct tern_train_run {
    tern_cli *cli;
    const char *folder;
    tern_store store;
    tern_progress_state state;
    json_t *last;            /* record of the last epoch */
    json_t *stages;          /* results of the stages; NULL: training is one */
    tern_cosines cosines[2]; /* --report grad-cos: before and after training */
    tern_arena arena;        /* values of options that a resumed run began with */
} tern_train_run;

static json_t *recipe_json(const tern_cli *cli)
{
    json_t *object = json_object();
    for (const tern_cli_option *o = options; o->name; o++) {
        const char *text = tern_cli_text(cli, o->name);
        if (o->kind == TERN_FLAG || !text || strcmp(o->name, "out") == 0 ||
            strcmp(o->name, "max-seconds") == 0 || strcmp(o->name, "report") == 0 ||
            strcmp(o->name, "superpipeline") == 0 || strcmp(o->name, "memory") == 0)
            continue;
        bool number = o->kind == TERN_WHOLE || o->kind == TERN_NUMBER;
        json_object_set_new(object, o->name, number ? json_real(strtod(text, NULL)) : json_string(text));
    }
    return object;
}

static const tern_cli_option *option_named(const char *name)
{
    for (const tern_cli_option *o = options; o->name; o++)
        if (strcmp(o->name, name) == 0) return o;
    return NULL;
}

static tern_status differs(const char *name, const char *given, const char *began)
{
    return tern_fail(TERN_USAGE, "--%s is %s, but the run began with %s; leave it out, or begin another run",
                     name, given, began);
}

/* The options that a run began with hold for its rest, but for how long it goes on. */
static tern_status adopt_recipe(tern_train_run *run, json_t *config)
{
    const char *name;
    json_t *value;
    tern_cli *cli = run->cli;
    json_object_foreach(json_object_get(config, "recipe"), name, value)
    {
        const tern_cli_option *o = option_named(name);
        const char *given = o && tern_cli_has(cli, name) ? tern_cli_text(cli, name) : NULL;
        if (!o || (given && (strcmp(name, "epochs") == 0 || strcmp(name, "patience") == 0))) continue;
        bool number = json_is_number(value);
        const char *text = json_string_value(value);
        const char *began = number ? tern_arena_format(&run->arena, "%.17g", json_number_value(value))
                            : text ? tern_arena_string(&run->arena, text)
                                   : NULL;
        if (!began)
            return tern_fail(TERN_FAILED, "%s/config.json: recipe: \"%s\" is no value", run->folder, name);
        if (!given)
            TERN_TRY(tern_cli_give(cli, o->name, began));
        else if (number ? strtod(given, NULL) != json_number_value(value) : strcmp(given, began) != 0)
            return differs(name, given, began);
    }
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(config, "seed"));
    if (tern_cli_has(cli, "seed") && cli->seed != seed)
        return differs("seed", tern_cli_text(cli, "seed"), "another");
    cli->seed = seed;
    return TERN_OK;
}

/* The net that is named, and its parameters, are those of the run. */
static tern_status check_same_net(const tern_train_run *run, const tern_subject *s)
{
    const tern_cli *cli = run->cli;
    char began[32];
    if (cli->net && cli->net != s->net)
        return tern_fail(TERN_USAGE, "%s is a run of %s, not of %s", run->folder, s->net->name,
                         cli->net->name);
    for (const tern_option *o = s->net->options; o->name; o++) {
        double value = 0;
        if (!tern_cli_has(cli, o->name)) continue;
        TERN_TRY(tern_net_get(s->net, s->parameters, o->name, &value));
        snprintf(began, sizeof began, "%g", value);
        if (tern_cli_number(cli, o->name) != value)
            return differs(o->name, tern_cli_text(cli, o->name), began);
    }
    return TERN_OK;
}

/* The steps of each stage, falling; *count 0: training is one. */
enum { STAGES = 64 };
static tern_status stages_of(const tern_cli *cli, int timesteps[STAGES], int *count)
{
    double list[STAGES];
    *count = 0;
    if (!tern_cli_text(cli, "timesteps-schedule")) return TERN_OK;
    TERN_TRY(tern_cli_numbers(cli, "timesteps-schedule", 1, 1000, list, STAGES, count));
    for (int i = 0; i < *count; i++) {
        timesteps[i] = (int)list[i];
        if (timesteps[i] != list[i] || (i > 0 && timesteps[i] >= timesteps[i - 1]))
            return tern_fail(TERN_USAGE, "--timesteps-schedule is \"%s\", expected whole falling numbers",
                             tern_cli_text(cli, "timesteps-schedule"));
    }
    return TERN_OK;
}

/* OUT, or the folder of a stage in it. */
static const char *folder_of(tern_train_run *run, const char *out, int timesteps)
{
    return timesteps ? tern_arena_format(&run->arena, "%s/T%d", out, timesteps) : out;
}

static bool holds_run(const char *folder)
{
    char path[4096];
    return tern_run_path(path, folder, "model.safetensors") == TERN_OK && access(path, F_OK) == 0;
}

static tern_status resume(tern_train_run *run, tern_subject *s)
{
    TERN_TRY(tern_subject_open_run(s, run->folder));
    TERN_TRY(check_same_net(run, s));
    TERN_TRY(adopt_recipe(run, s->config));
    run->store = s->store;
    run->state = s->state;
    s->store = (tern_store){0};
    return TERN_OK;
}

/* The options that the first stage began with hold for all. */
static tern_status adopt_stage(tern_train_run *run, const char *folder)
{
    char path[4096];
    json_t *config;
    TERN_TRY(tern_run_path(path, folder, "config.json"));
    TERN_TRY(tern_read_json(path, &config));
    tern_status status = adopt_recipe(run, config);
    json_decref(config);
    return status;
}

/* What has been learned by another run, to go on from: its data, where no other are named, and how pixels are normalised. */
static tern_status begin_from(tern_train_run *run, const tern_subject *s)
{
    const char *data = json_string_value(json_object_get(s->config, "data"));
    if (!tern_cli_has(run->cli, "data") && data) TERN_TRY(tern_cli_give(run->cli, "data", data));
    return tern_hand_over(&s->store, &run->store);
}

/* --from: what another net has learned; parameters that this one does not have are not looked at. */
static tern_status adopt(tern_train_run *run)
{
    const char *from = tern_cli_text(run->cli, "from");
    tern_store other = {0};
    tern_progress_state state;
    if (!from) return TERN_OK;
    tern_status status = tern_run_load(from, &other, &state);
    if (status == TERN_OK) status = tern_hand_over(&other, &run->store);
    tern_store_close(&other);
    return status;
}

/* What is trained, and the run folder: a fresh one, or where the one to resume stands. */
static tern_status open_run(tern_train_run *run, tern_subject *s)
{
    tern_cli *cli = run->cli;
    const char *what = cli->arguments[0], *out = tern_cli_text(cli, "out");
    int timesteps[STAGES], stages;
    TERN_TRY(stages_of(cli, timesteps, &stages));
    run->folder = out ? out : cli->net ? tern_arena_format(&run->arena, "run/%s", cli->net->name) : what;
    const char *first = run->folder ? folder_of(run, run->folder, stages ? timesteps[0] : 0) : NULL;
    if (!first) return tern_no_memory(64, "a path");
    bool exists = holds_run(first), again = tern_cli_has(cli, "resume");
    if (again && !exists)
        return tern_fail(TERN_USAGE, "--resume: %s holds no checkpoint; leave out --resume to begin", first);
    if (again && !stages) return resume(run, s);
    if (again) TERN_TRY(adopt_stage(run, first));
    TERN_TRY(tern_subject_open(s, cli, what));
    if (exists && !again)
        return tern_fail(TERN_USAGE, "%s holds a run already; give --resume to go on, or another --out",
                         first);
    TERN_TRY(s->config ? begin_from(run, s) : TERN_OK);
    return adopt(run);
}

static tern_status write_config(const tern_train_run *run, const tern_subject *s, const tern_dataset *d,
                                const char *command)
{
    char path[4096];
    json_t *config = tern_config_json(run->cli, command, s->net, s->parameters, d);
    json_object_set_new(config, "recipe", recipe_json(run->cli));
    TERN_TRY(tern_run_path(path, run->folder, "config.json"));
    return tern_write_json(path, config);
}

/* config.json, with the command that began the run; costs of an earlier state are gone. */
static tern_status keep_config(const tern_train_run *run, const tern_subject *s, const tern_dataset *d)
{
    char path[4096];
    tern_text line = {0};
    const char *began = json_string_value(json_object_get(s->config, "command"));
    TERN_TRY(tern_run_path(path, run->folder, "cost.json"));
    remove(path);
    tern_cli_line(&line, run->cli);
    tern_status status = tern_text_status(&line);
    if (status == TERN_OK) status = write_config(run, s, d, began ? began : line.data);
    tern_text_free(&line);
    return status;
}

/* history.jsonl is rewritten as a whole, so that it never holds half a line. */
static tern_status append_history(const char *folder, json_t *record)
{
    char path[4096], *old = NULL;
    size_t count = 0;
    tern_text text = {0};
    TERN_TRY(tern_run_path(path, folder, "history.jsonl"));
    if (access(path, F_OK) == 0) TERN_TRY(tern_read_file(path, &old, &count));
    char *line = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(12));
    if (old) tern_text_add(&text, old, count);
    if (line) tern_text_format(&text, "%s\n", line);
    tern_status status = line ? tern_text_status(&text) : tern_no_memory(0, "the history");
    if (status == TERN_OK) status = tern_write_file(path, text.data, text.size);
    tern_release(line);
    tern_release(old);
    tern_text_free(&text);
    return status;
}

static json_t *epoch_json(const tern_epoch *e)
{
    json_t *o =
        json_pack("{s:i,s:f,s:f,s:f,s:f,s:f,s:f}", "epoch", e->epoch, "train_loss", e->train_loss,
                  "train_accuracy", e->train_accuracy, "images_per_second", e->images_per_second,
                  "spikes_per_neuron", e->spikes_per_neuron, "seconds", e->seconds, "learning_rate", e->rate);
    if (isfinite(e->test_accuracy)) {
        json_object_set_new(o, "test_loss", json_real(e->test_loss));
        json_object_set_new(o, "test_accuracy", json_real(e->test_accuracy));
    }
    return o;
}

static tern_status hook(void *context, const tern_progress_state *state, const tern_epoch *epoch)
{
    tern_train_run *run = context;
    TERN_TRY(tern_run_save(run->folder, &run->store, state));
    if (!epoch) return TERN_OK;
    json_decref(run->last);
    run->last = epoch_json(epoch);
    return append_history(run->folder, run->last);
}

static tern_status measure_cosines(tern_train_run *run, const tern_training *t, int when)
{
    if (!tern_cli_has(run->cli, "report")) return TERN_OK;
    return tern_gradient_cosines(&run->cosines[when], t, &run->store, run->cli->pool);
}

static void print_accuracy(const tern_train_run *run, const tern_evaluation *e)
{
    printf("%s: test accuracy %.4f after %d epoch%s, %.0f s", run->folder, e->accuracy, run->state.epoch,
           run->state.epoch == 1 ? "" : "s", run->state.seconds);
    if (e->activity_count) printf("; spikes per neuron %.3f", e->spikes_per_neuron);
    printf("\n");
}

static tern_status finish(tern_train_run *run, const tern_subject *s, const tern_samples *test,
                          const tern_dataset *d, int batch)
{
    tern_evaluation e;
    char path[4096];
    TERN_TRY(tern_evaluate(&e, s->net, s->parameters, test, batch, (int)test->images.shape.dim[0],
                           &run->store, run->cli->pool));
    tern_status status = tern_run_path(path, run->folder, "eval.json");
    if (status == TERN_OK) status = tern_write_json(path, tern_evaluation_json(&e, d));
    json_t *result = json_pack("{s:s,s:f,s:f,s:f,s:f,s:i,s:o?,s:o*}", "run", run->folder, "test_accuracy",
                               e.accuracy, "test_loss", e.loss, "spikes_per_neuron", e.spikes_per_neuron,
                               "train_seconds", run->state.seconds, "epochs", run->state.epoch, "last_epoch",
                               json_incref(run->last), "grad_cos", tern_cosines_json(run->cosines));
    if (run->stages)
        json_array_append(run->stages, result);
    else if (status == TERN_OK && run->cli->json)
        status = tern_print_json(json_incref(result));
    json_decref(result);
    if (status == TERN_OK && !run->cli->json && e.targets)
        status = tern_print_targets(&e);
    else if (status == TERN_OK && !run->cli->json)
        print_accuracy(run, &e);
    if (status == TERN_OK && !run->cli->json) status = tern_print_cosines(run->cosines);
    tern_evaluation_free(&e);
    return status;
}

/* Training in windows of layers, whose parameters are in a file beside the run. */
static tern_status windows_of(tern_train_run *run, tern_training_window *w)
{
    TERN_TRY(tern_cli_window(run->cli, &w->window, &w->moved, &w->slack));
    if (tern_cli_has(run->cli, "superpipeline") && !w->window)
        return tern_fail(TERN_USAGE,
                         "--superpipeline auto is of tern plan NET --train, which says what K,M is worth it");
    w->memory = tern_cli_has(run->cli, "memory") ? tern_cli_number(run->cli, "memory") : 0;
    return w->window || w->memory > 0 ? tern_store_in_file(&run->store, run->folder) : TERN_OK;
}

static void print_memory(const tern_training_memory *m)
{
    char a[24], b[24], c[24], d[24];
    tern_pager_summary(&m->layers, stderr);
    fprintf(stderr, "fast memory of a training step: %s: arena %s, layers %s, parameters of no layer %s\n",
            tern_human(a, m->arena + m->layers.most + m->rest, "B"), tern_human(b, m->arena, "B"),
            tern_human(c, m->layers.most, "B"), tern_human(d, m->rest, "B"));
}

static tern_status train(tern_train_run *run, tern_subject *s, const tern_dataset *d)
{
    tern_samples train = tern_samples_of(d, true), test = tern_samples_of(d, false);
    tern_training t = {.net = s->net,
                       .parameters = s->parameters,
                       .train = &train,
                       .test = &test,
                       .max_seconds = tern_cli_number(run->cli, "max-seconds"),
                       .quiet = run->cli->quiet,
                       .hook = hook,
                       .context = run};
    tern_training_memory memory = {0};
    t.memory = &memory;
    TERN_TRY(tern_recipe_read(run->cli, d, &t.recipe));
    TERN_TRY(tern_make_folder(run->folder));
    TERN_TRY(windows_of(run, &t.window));
    TERN_TRY(keep_config(run, s, d));
    tern_catch_interrupts();
    TERN_TRY(measure_cosines(run, &t, 0));
    tern_status status = tern_train(&t, &run->state, &run->store, run->cli->pool);
    if (status == TERN_INTERRUPTED) {
        TERN_TRY(tern_run_save(run->folder, &run->store, &run->state));
        return tern_in(status, "%s is saved; go on with --resume", run->folder);
    }
    TERN_TRY(status);
    if (memory.layers.layers && !run->cli->quiet) print_memory(&memory);
    TERN_TRY(tern_run_save(run->folder, &run->store, &run->state));
    TERN_TRY(measure_cosines(run, &t, 1));
    return finish(run, s, &test, d, t.recipe.batch);
}

/* Bytes have no gradients; a penalty on changes needs something that can change. */
static tern_status check_net(const tern_cli *cli, const tern_subject *s, const tern_dataset *d)
{
    bool changes = strcmp(tern_cli_text(cli, "delta-penalty"), "changes") == 0;
    if (s->net->int8)
        return tern_fail(
            TERN_USAGE,
            "net %s is not trained: train the net of floats, then tern convert it; a run in bytes "
            "learns on with --update",
            s->net->name);
    bool none = tern_cli_number(cli, "delta-rate") == 0 && tern_cli_number(cli, "delta-later") == 0;
    if (none || !changes || tern_model_frames(s->net, &d->sample) > 1) return TERN_OK;
    char text[96];
    return tern_fail(
        TERN_USAGE,
        "--delta-rate needs clips [T,C,H,W] of at least two frames and a net of images, found samples "
        "%s and net %s; give --data video-moving, or --delta-penalty values",
        tern_shape_text(text, &d->sample), s->net->name);
}

/* One stage, from where it stands or else from what run->store holds. */
static tern_status train_stage(tern_train_run *run, tern_subject *s, const tern_dataset *d, int timesteps)
{
    tern_store begun = run->store;
    run->store = (tern_store){0};
    run->state = (tern_progress_state){0};
    json_decref(run->last);
    run->last = NULL;
    tern_status status = tern_net_set(s->net, s->parameters, "timesteps", timesteps);
    bool on = holds_run(run->folder);
    if (status == TERN_OK && on) status = tern_run_load(run->folder, &run->store, &run->state);
    if (status == TERN_OK && !on) status = tern_hand_over(&begun, &run->store);
    tern_store_close(&begun);
    return status == TERN_OK ? train(run, s, d) : status;
}

/* All stages; each keeps its run in a folder of its own. */
static tern_status train_stages(tern_train_run *run, tern_subject *s, const tern_dataset *d,
                                const int *timesteps, int count)
{
    const char *out = run->folder;
    double now = 1;
    if (s->config) TERN_TRY(tern_net_get(s->net, s->parameters, "timesteps", &now));
    if (now == 0)
        return tern_fail(TERN_USAGE, "%s is a net without spikes: make it one with tern convert first",
                         s->folder);
    TERN_TRY(tern_make_folder(out));
    run->stages = json_array();
    for (int i = 0; i < count; i++) {
        run->folder = folder_of(run, out, timesteps[i]);
        if (!run->folder) return tern_no_memory(64, "a path");
        TERN_TRY(train_stage(run, s, d, timesteps[i]));
    }
    if (!run->cli->json) return TERN_OK;
    return tern_print_json(json_pack("{s:s,s:O}", "run", out, "stages", run->stages));
}

/* What was learned holds for pixels as they were normalised then. */
static void keep_normalisation(tern_dataset *d, const json_t *config)
{
    tern_samples samples;
    tern_samples_normalise_as(&samples, config);
    memcpy(d->mean, samples.mean, sizeof d->mean);
    memcpy(d->std, samples.std, sizeof d->std);
}

static tern_status run_train(tern_cli *cli)
{
    tern_subject subject = {0};
    tern_dataset dataset = {0};
    tern_train_run run = {.cli = cli};
    int timesteps[STAGES], stages = 0;
    if (cli->net && cli->net->classic) return tern_train_learner(cli);
    if (tern_cli_has(cli, "update")) return tern_train_learning(cli);
    tern_status status = tern_cli_has(cli, "resume") ? TERN_OK : tern_recipe_check(cli);
    if (status == TERN_OK) status = stages_of(cli, timesteps, &stages);
    if (status == TERN_OK) status = open_run(&run, &subject);
    if (status == TERN_OK) status = tern_recipe_plain(cli, subject.net);
    tern_dataset_options limits = {.train_limit = tern_cli_whole(cli, "limit"),
                                   .timesteps = tern_cli_whole(cli, "frames")};
    if (status == TERN_OK)
        status = tern_open_data(&dataset, tern_cli_text(cli, "data"), limits, cli, &subject);
    if (status == TERN_OK) status = check_net(cli, &subject, &dataset);
    if (status == TERN_OK && subject.config) keep_normalisation(&dataset, subject.config);
    if (status == TERN_OK && stages) status = train_stages(&run, &subject, &dataset, timesteps, stages);
    if (status == TERN_OK && !stages) status = train(&run, &subject, &dataset);
    json_decref(run.last);
    json_decref(run.stages);
    for (int i = 0; i < 2; i++) tern_cosines_free(&run.cosines[i]);
    tern_store_close(&run.store);
    tern_dataset_close(&dataset);
    tern_subject_close(&subject);
    tern_arena_free(&run.arena);
    return status;
}

const tern_command tern_command_train = {
    .name = "train",
    .about = "train a net on a data set, into a run folder",
    .usage = "NET|RUN|NET.tflite",
    .more =
        "tern train spiking-cnn                                    # Fashion-MNIST into run/spiking-cnn\n"
        "tern train spiking-vgg --depth 9 --timesteps 4 -o run/vgg9\n"
        "tern train run/vgg9 --resume --epochs 20\n"
        "tern train cnn-qat --weight-bits 2 -o run/two            # then: tern convert run/two --to int8\n"
        "tern train run/cnn-int8 --update last=2,stochastic --data mnist --rate 0.01   # as a device would\n"
        "tern train net.tflite --update bias=9,head,stochastic --data DIR -o tuned.tflite   # a file in "
        "bytes\n"
        "tern train run/cnn-half --data mnist                     # of tern convert --to half: in 16 bits\n"
        "tern train vit --superpipeline 8,2 --input 1x28x28 --patch 7   # 8 layers of parameters in memory\n"
        "tern train forest --data table.csv --trees 16 --depth 8  # classic learners are fitted\n"
        "tern train mobilenet --insert delta --data video-moving --frames 2 --norm-samples 800 -o "
        "run/moving\n"
        "tern train run/moving --frames 2 --norm-samples 800 --delta-rate 0.1 -o run/still   # refined: "
        "fewer changes\n"
        "tern train run/vgg-snn --timesteps-schedule 5,4,3,2,1 -o run/iir   # of tern convert: "
        "run/iir/T5 .. T1",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_train,
};
