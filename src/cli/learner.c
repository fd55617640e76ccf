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

static tern_status check_folder(const tern_learner_job *job)
{
    char path[4096];
    TERN_TRY(tern_run_path(path, job->out, "model.safetensors"));
    return access(path, F_OK) == 0
               ? tern_fail(TERN_USAGE, "%s holds a run already; give another --out", job->out)
               : TERN_OK;
}

/* "models/tree.json" becomes run/tree. */
static tern_status choose_folder(tern_learner_job *job, const char *file)
{
    const char *out = tern_cli_text(job->cli, "out"), *slash = strrchr(file, '/');
    const char *stem = slash ? slash + 1 : file, *dot = strrchr(stem, '.');
    int length = dot ? (int)(dot - stem) : (int)strlen(stem);
    job->out = out ? out : tern_arena_format(&job->arena, "run/%.*s", length, stem);
    return job->out ? check_folder(job) : tern_no_memory(strlen(file), "a path");
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

/* file: what the learner was read from, or NULL. */
static tern_status write_config(const tern_learner_job *job, const char *file)
{
    char path[4096];
    const tern_classic *c = &job->learner;
    tern_shape shape = job->data ? job->dataset.sample : TERN_SHAPE(c->features);
    json_t *sample = json_array();
    tern_text line = {0};
    for (int i = 0; i < shape.rank; i++) json_array_append_new(sample, json_integer(shape.dim[i]));
    tern_cli_line(&line, job->cli);
    json_t *config = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:s*,s:s*}", "tern", TERN_VERSION, "command",
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

static bool is_means(const tern_classic *c)
{
    return strcmp(c->net->name, "kmeans") == 0;
}

static tern_status report(const tern_learner_job *job, const double *accuracy)
{
    const tern_classic *c = &job->learner;
    if (job->cli->json)
        return tern_print_json(json_pack(
            "{s:s,s:s,s:i,s:i,s:o*,s:o*,s:o*}", "run", job->out, "net", c->net->name, "features", c->features,
            "classes", c->classes, "test_accuracy", accuracy ? json_real(*accuracy) : NULL, "rounds",
            c->rounds ? json_integer(c->rounds) : NULL, is_means(c) ? "inertia" : "log_likelihood",
            c->clusters && c->rounds ? json_real(c->score) : NULL));
    printf("%s: %s of %d features and %d %s", job->out, c->net->doc, c->features, c->classes,
           c->clusters ? "clusters" : "classes");
    if (c->rounds) printf("; %d rounds", c->rounds);
    if (c->clusters && c->rounds) printf(", %s %.10g", is_means(c) ? "inertia" : "log-likelihood", c->score);
    if (accuracy) printf("; test accuracy %.4f on %s", *accuracy, job->data);
    printf("\n");
    return TERN_OK;
}

/* Clusters have no names that could be right. */
static tern_status keep(tern_learner_job *job, const char *file)
{
    double accuracy = 0;
    const tern_classic *c = &job->learner;
    bool judged = job->data && !c->clusters;
    TERN_TRY(tern_make_folder(job->out));
    TERN_TRY(write_config(job, file));
    TERN_TRY(tern_run_save(job->out, &c->store, &(tern_progress_state){0}));
    if (judged) TERN_TRY(evaluate(job, &accuracy));
    return report(job, judged ? &accuracy : NULL);
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

/* All training samples as rows of floats. */
static tern_status fit(tern_learner_job *job, const tern_subject *s)
{
    tern_samples train = tern_samples_of(&job->dataset, true);
    tern_loader *loader = NULL;
    double classes;
    for (int i = 0; i < 8; i++) train.mean[i] = 0, train.std[i] = 1;
    TERN_TRY(tern_net_get(s->net, s->parameters, "classes", &classes));
    TERN_TRY(
        tern_loader_open(&loader, &train, &(tern_loader_options){.batch = (int)train.images.shape.dim[0]}));
    tern_loader_begin(loader, 0, 0);
    const tern_batch *all = tern_loader_next(loader);
    tern_fit f = {.net = s->net,
                  .parameters = s->parameters,
                  .x = all->images,
                  .y = all->labels,
                  .rows = all->count,
                  .features = (int)tern_elements(&job->dataset.sample),
                  .classes = (int)classes,
                  .seed = job->cli->seed};
    tern_status status = tern_classic_fit(&f, &job->learner);
    tern_loader_close(loader);
    return status;
}

/* Options of training by gradients are a misunderstanding. */
static tern_status check_options(const tern_cli *cli)
{
    static const char *const known[] = {"data", "out", "limit", NULL};
    return tern_cli_only(cli, known, "on %s, which is fitted, not trained by gradients", cli->net->name);
}

tern_status tern_train_learner(tern_cli *cli)
{
    tern_learner_job job = {.cli = cli, .data = tern_cli_text(cli, "data")};
    tern_subject s = {0};
    tern_dataset_options options = {.train_limit = tern_cli_whole(cli, "limit")};
    tern_status status = check_options(cli);
    if (status == TERN_OK) status = choose_folder(&job, cli->net->name);
    if (status == TERN_OK) status = tern_subject_open(&s, cli, cli->arguments[0]);
    if (status == TERN_OK) status = tern_open_data(&job.dataset, job.data, options, cli, &s);
    if (status == TERN_OK) status = fit(&job, &s);
    if (status == TERN_OK) status = keep(&job, NULL);
    tern_subject_close(&s);
    tern_dataset_close(&job.dataset);
    tern_classic_close(&job.learner);
    tern_arena_free(&job.arena);
    return status;
}
