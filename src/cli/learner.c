/* Run folders of classic learners. */
#include "cli/learner.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct tern_learner_job {
    tern_cli *cli;
    const char *out, *data; /* data: NULL, there are none */
    tern_classic learner;
    tern_dataset dataset;
    tern_arena arena;
} tern_learner_job;

bool tern_is_learner(const char *path)
{
    struct stat about;
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ".json") == 0 && stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

/* "models/tree.json" becomes run/tree. */
static tern_status choose_folder(tern_learner_job *job, const char *file)
{
    char path[4096];
    const char *out = tern_cli_text(job->cli, "out"), *slash = strrchr(file, '/');
    const char *stem = slash ? slash + 1 : file;
    job->out = out ? out : tern_arena_format(&job->arena, "run/%.*s", (int)(strrchr(stem, '.') - stem), stem);
    if (!job->out) return tern_no_memory(strlen(file), "a path");
    TERN_TRY(tern_run_path(path, job->out, "model.safetensors"));
    return access(path, F_OK) == 0
               ? tern_fail(TERN_USAGE, "%s holds a run already; give another --out", job->out)
               : TERN_OK;
}

/* Samples have as many elements as the learner has features, and classes the names that it knows. */
static tern_status check_data(const tern_learner_job *job)
{
    const tern_dataset *d = &job->dataset;
    const tern_classic *c = &job->learner;
    char shape[96];
    if (tern_elements(&d->sample) != c->features)
        return tern_fail(TERN_USAGE, "samples of %s are %s, the learner has %d features", job->data,
                         tern_shape_text(shape, &d->sample), c->features);
    if (d->classes > c->classes)
        return tern_fail(TERN_USAGE, "%s has %d classes, the learner %d", job->data, d->classes, c->classes);
    for (int i = 0; d->class_names && c->class_names && i < d->classes; i++)
        if (strcmp(d->class_names[i], c->class_names[i]) != 0)
            return tern_fail(TERN_USAGE, "class %d is \"%s\" in %s and \"%s\" in the learner", i,
                             d->class_names[i], job->data, c->class_names[i]);
    return TERN_OK;
}

/* Features are taken as they are: mean 0, deviation 1. */
static json_t *eight(double value)
{
    json_t *list = json_array();
    for (int i = 0; i < 8; i++) json_array_append_new(list, json_real(value));
    return list;
}

static tern_status write_config(const tern_learner_job *job, const char *file)
{
    char path[4096];
    const tern_classic *c = &job->learner;
    tern_shape shape = job->data ? job->dataset.sample : TERN_SHAPE(c->features);
    json_t *sample = json_array();
    tern_text line = {0};
    for (int i = 0; i < shape.rank; i++) json_array_append_new(sample, json_integer(shape.dim[i]));
    tern_cli_line(&line, job->cli);
    json_t *config = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:s,s:s*}", "tern", TERN_VERSION, "command",
                               line.data ? line.data : "", "net", c->net->name, "parameters",
                               tern_parameters_json(c->net, c->parameters), "sample", sample, "mean",
                               eight(0), "std", eight(1), "converted_from", file, "data", job->data);
    tern_text_free(&line);
    TERN_TRY(tern_run_path(path, job->out, "config.json"));
    return tern_write_json(path, config);
}

static tern_status evaluate(tern_learner_job *job, double *accuracy)
{
    char path[4096];
    tern_evaluation e;
    tern_classic *c = &job->learner;
    tern_samples test = tern_samples_of(&job->dataset, false);
    for (int i = 0; i < 8; i++) test.mean[i] = 0, test.std[i] = 1;
    TERN_TRY(tern_evaluate(&e, c->net, c->parameters, &test, 64, (int)test.images.shape.dim[0], &c->store,
                           job->cli->pool));
    *accuracy = e.accuracy;
    tern_status status = tern_run_path(path, job->out, "eval.json");
    if (status == TERN_OK) status = tern_write_json(path, tern_evaluation_json(&e, &job->dataset));
    tern_evaluation_free(&e);
    return status;
}

static tern_status keep(tern_learner_job *job, const char *file)
{
    double accuracy = 0;
    const tern_classic *c = &job->learner;
    TERN_TRY(tern_make_folder(job->out));
    TERN_TRY(write_config(job, file));
    TERN_TRY(tern_run_save(job->out, &c->store, &(tern_progress_state){0}));
    if (job->data) TERN_TRY(evaluate(job, &accuracy));
    if (job->cli->json)
        return tern_print_json(json_pack("{s:s,s:s,s:i,s:i,s:o*}", "run", job->out, "net", c->net->name,
                                         "features", c->features, "classes", c->classes, "test_accuracy",
                                         job->data ? json_real(accuracy) : NULL));
    printf("%s: %s of %d features and %d classes", job->out, c->net->doc, c->features, c->classes);
    if (job->data) printf("; test accuracy %.4f on %s", accuracy, job->data);
    printf("\n");
    return TERN_OK;
}

tern_status tern_convert_learner(tern_cli *cli)
{
    const char *file = cli->arguments[0];
    tern_learner_job job = {.cli = cli, .data = tern_cli_text(cli, "data")};
    tern_status status = choose_folder(&job, file);
    if (status == TERN_OK) status = tern_scikit_read(file, &job.learner);
    if (status == TERN_OK && job.data) status = tern_dataset_open(&job.dataset, job.data, NULL);
    if (status == TERN_OK && job.data) status = check_data(&job);
    if (status == TERN_OK) status = keep(&job, file);
    tern_dataset_close(&job.dataset);
    tern_classic_close(&job.learner);
    tern_arena_free(&job.arena);
    return status;
}
