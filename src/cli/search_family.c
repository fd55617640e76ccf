/* tern search NET --space: a family of nets that share weights is trained, and the best one within the RAM of a board is found. */
#include "cli/blocks.h"
#include "cli/config.h"
#include "search/family.h"
#include "search/space.h"

#include <math.h>
#include <string.h>

typedef struct tern_family_job {
    tern_cli *cli;
    tern_subject subject;
    tern_dataset dataset;
    tern_samples train, validation, test;
    tern_family family;
    tern_store store;
    double budget, share, rank, patch;
    json_t *rounds;
    tern_found_member found;
    int judged;
    double accuracy, drawn; /* on the test split: of what was found, and the mean of those that were drawn */
} tern_family_job;

/* "sram=320KiB" or "320KiB"; else the RAM of the machine. */
tern_status tern_budget_of(const tern_cli *cli, double *bytes)
{
    const char *text = tern_cli_text(cli, "budget");
    bool named = strncmp(text, "sram=", 5) == 0;
    tern_status status = tern_parse_bytes(named ? text + 5 : text, bytes);
    return status == TERN_OK ? TERN_OK : tern_in(status, "--budget");
}

static tern_status take_budget(tern_family_job *j)
{
    tern_machine *m;
    j->budget = 320 * 1024;
    if (tern_cli_has(j->cli, "budget")) return tern_budget_of(j->cli, &j->budget);
    if (!tern_cli_has(j->cli, "machine")) return TERN_OK;
    TERN_TRY(tern_machine_open(&m, tern_cli_text(j->cli, "machine")));
    j->budget = tern_largest_memory(m, false);
    tern_machine_close(m);
    if (j->budget > 0) return TERN_OK;
    return tern_fail(TERN_USAGE, "machine %s has no RAM of its own; give --budget",
                     tern_cli_text(j->cli, "machine"));
}

/* The last samples of the training split judge members. */
static tern_status split(tern_family_job *j)
{
    int64_t all = j->dataset.train.images.shape.dim[0], held = tern_cli_whole(j->cli, "validation");
    j->train = j->validation = tern_samples_of(&j->dataset, true);
    j->test = tern_samples_of(&j->dataset, false);
    if (held >= all)
        return tern_fail(TERN_USAGE,
                         "--validation %lld: there are %lld training samples; lower it or raise --limit",
                         (long long)held, (long long)all);
    tern_tensor *images = &j->validation.images, *labels = &j->validation.labels;
    size_t image = tern_bytes_of(images->dtype, tern_elements_from(&images->shape, 1));
    images->data = (char *)images->data + image * (size_t)(all - held);
    labels->data = (int32_t *)labels->data + (all - held);
    images->shape.dim[0] = labels->shape.dim[0] = held;
    j->train.images.shape.dim[0] = j->train.labels.shape.dim[0] = all - held;
    return TERN_OK;
}

static tern_training training_of(const tern_family_job *j)
{
    const tern_cli *cli = j->cli;
    tern_training t = {.recipe = tern_recipe_default(), .train = &j->train, .quiet = cli->quiet};
    t.recipe.rate = tern_cli_has(cli, "rate") ? tern_cli_number(cli, "rate") : 0.001;
    t.recipe.epochs = tern_cli_whole(cli, "epochs");
    t.recipe.batch = tern_cli_whole(cli, "batch");
    t.recipe.crop = 0;
    t.recipe.smoothing = 0;
    t.recipe.seed = cli->seed;
    return t;
}

/* ---- families -------------------------------------------------------------------------------------------------------------- */

/* The family of this rank and patch, trained. */
static tern_status train_family(tern_family_job *j, double rank, double patch)
{
    tern_subject *s = &j->subject;
    tern_training t = training_of(j);
    tern_store_close(&j->store);
    j->store = (tern_store){0};
    TERN_TRY(tern_net_set(s->net, s->parameters, "rank", rank));
    TERN_TRY(tern_net_set(s->net, s->parameters, "patch", patch));
    TERN_TRY(tern_family_open(&j->family, s->net, s->parameters, j->dataset.sample,
                              tern_cli_text(j->cli, "space")));
    TERN_TRY(tern_family_train(&j->family, &t, &j->store, j->cli->pool));
    return tern_family_share(&j->family, j->budget, 200, j->cli->seed, &j->share);
}

/* What the planes are made of: the mean of the largest net's accuracy and that of three others. */
static tern_status measure(tern_family_job *j, tern_space_point *p)
{
    tern_rng rng = {j->cli->seed, 404};
    uint64_t drawn = 0;
    tern_member m;
    double largest, one, sum = 0;
    TERN_TRY(train_family(j, p->rank, p->patch));
    tern_family_largest(&j->family, &m);
    TERN_TRY(tern_family_accuracy(&j->family, &m, &j->validation, &j->store, j->cli->pool, &largest));
    for (int i = 0; i < 3; i++) {
        tern_family_draw(&j->family, rng, &drawn, &m);
        TERN_TRY(tern_family_accuracy(&j->family, &m, &j->validation, &j->store, j->cli->pool, &one));
        sum += one / 3;
    }
    p->accuracy = 100 * (largest + sum) / 2;
    p->share = j->share;
    json_array_append_new(j->rounds, json_pack("{s:f,s:f,s:f,s:f}", "rank", p->rank, "patch", p->patch,
                                               "accuracy", p->accuracy / 100, "share", p->share));
    if (!j->cli->quiet)
        fprintf(stderr, "family of rank %.2f, patch %g: accuracy %.4f, %.3f of its nets fit\n", p->rank,
                p->patch, p->accuracy / 100, p->share);
    return TERN_OK;
}

/* Five families around the first, then steps along the planes through them: as the authors began, at any size of patch. */
static tern_status evolve_space(tern_family_job *j, int rounds)
{
    enum { FIRST = 5, MOST = 32 };
    static const double from[FIRST][2] = {{-0.3, 0}, {-0.25, 3}, {0.05, 3}, {-0.05, 1}, {0, 0}};
    double unit = fmax(floor(j->patch / 4), 1);
    tern_space_limits limits = {0.4, 0.95, 0.05, j->patch, 2 * j->patch, unit};
    tern_space_point points[FIRST + MOST], *at = points + FIRST - 1;
    for (int i = 0; i < FIRST; i++) {
        points[i] = (tern_space_point){.rank = fmin(fmax(j->rank + from[i][0], 0.4), 0.95),
                                       .patch = j->patch + from[i][1] * unit};
        TERN_TRY(measure(j, &points[i]));
    }
    for (int r = 0; r < rounds && r < MOST; r++) {
        tern_space_step step;
        TERN_TRY(tern_space_evolve(points, FIRST + r, &limits, at->rank, at->patch, &step));
        if (step.rank == 0 && step.patch == 0) return TERN_OK;
        points[FIRST + r] = (tern_space_point){.rank = at->rank + step.rank, .patch = at->patch + step.patch};
        at = &points[FIRST + r];
        TERN_TRY(measure(j, at));
    }
    return TERN_OK;
}

/* ---- members ----------------------------------------------------------------------------------------------------------------- */

static void tell(void *context, int generation, double best)
{
    const tern_cli *cli = context;
    if (!cli->quiet) fprintf(stderr, "generation %d: best %.4f\n", generation, best);
}

static tern_status search_members(tern_family_job *j)
{
    const tern_cli *cli = j->cli;
    tern_family_search s = {.samples = &j->validation,
                            .budget = j->budget,
                            .population = tern_cli_whole(cli, "population"),
                            .keep = tern_cli_whole(cli, "keep"),
                            .mutations = tern_cli_whole(cli, "mutations"),
                            .crossovers = tern_cli_whole(cli, "crossovers"),
                            .generations = tern_cli_whole(cli, "generations"),
                            .seed = cli->seed,
                            .done = tell,
                            .context = j->cli};
    if (s.mutations + s.crossovers > s.population)
        return tern_fail(TERN_USAGE, "--mutations %d and --crossovers %d are more than --population %d",
                         s.mutations, s.crossovers, s.population);
    TERN_TRY(tern_family_evolve(&j->family, &s, &j->store, cli->pool, &j->found, &j->judged));
    TERN_TRY(
        tern_family_accuracy(&j->family, &j->found.member, &j->test, &j->store, cli->pool, &j->accuracy));
    return tern_family_mean(&j->family, j->budget, tern_cli_whole(cli, "compare"), cli->seed, &j->test,
                            &j->store, cli->pool, &j->drawn);
}

/* A run folder of what was found: it reads its part of the family's weights. */
static tern_status keep(tern_family_job *j)
{
    const char *out = tern_cli_text(j->cli, "out");
    void *parameters;
    char path[4096];
    tern_store weights = {0};
    tern_text line = {0};
    if (!out) return TERN_OK;
    TERN_TRY(tern_family_parameters(&j->family, &j->found.member, &parameters));
    tern_cli_line(&line, j->cli);
    tern_status status = tern_text_status(&line);
    if (status == TERN_OK) status = tern_hand_over(&j->store, &weights);
    if (status == TERN_OK) status = tern_make_folder(out);
    if (status == TERN_OK) status = tern_run_path(path, out, "config.json");
    if (status == TERN_OK)
        status = tern_write_json(path,
                                 tern_config_json(j->cli, line.data, j->family.net, parameters, &j->dataset));
    if (status == TERN_OK) status = tern_run_save(out, &weights, &(tern_progress_state){0});
    tern_text_free(&line);
    tern_store_close(&weights);
    tern_net_free(parameters);
    return status;
}

static tern_status print(const tern_family_job *j)
{
    tern_text member = {0};
    const tern_found_member *f = &j->found;
    double rank = 0, patch = 0;
    const char *out = tern_cli_text(j->cli, "out");
    tern_member_print(&f->member, &member);
    TERN_TRY(tern_text_status(&member));
    TERN_TRY(tern_net_get(j->subject.net, j->subject.parameters, "rank", &rank));
    TERN_TRY(tern_net_get(j->subject.net, j->subject.parameters, "patch", &patch));
    tern_status status = TERN_OK;
    if (j->cli->json) {
        json_t *o = json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:i,s:O}", "member", member.data, "rank",
                              rank, "patch", patch, "ram_bytes", f->bytes, "budget", j->budget, "share",
                              j->share, "validation_accuracy", f->accuracy, "test_accuracy", j->accuracy,
                              "test_accuracy_drawn", j->drawn, "judged", j->judged, "families", j->rounds);
        status = tern_print_json(o);
    } else {
        printf("%.3f of the family's nets keep to %.0f bytes of RAM; %d were judged\n", j->share, j->budget,
               j->judged);
        printf("found: %s, rank %g, patch %g: %.0f bytes, accuracy %.4f (validation), %.4f (test)\n",
               member.data, rank, patch, f->bytes, f->accuracy, j->accuracy);
        printf("%d that were drawn and fit reach %.4f (test) on average\n", tern_cli_whole(j->cli, "compare"),
               j->drawn);
        if (out) printf("%s: the net, with the weights of the family\n", out);
    }
    tern_text_free(&member);
    return status;
}

static tern_status search(tern_family_job *j)
{
    tern_cli *cli = j->cli;
    tern_dataset_options limits = {.train_limit = tern_cli_whole(cli, "limit")};
    int rounds = tern_cli_whole(cli, "rounds");
    TERN_TRY(take_budget(j));
    TERN_TRY(tern_open_data(&j->dataset, tern_cli_text(cli, "data"), limits, cli, &j->subject));
    TERN_TRY(tern_family_open(&j->family, j->subject.net, j->subject.parameters, j->dataset.sample,
                              tern_cli_text(cli, "space")));
    TERN_TRY(split(j));
    TERN_TRY(tern_net_get(j->subject.net, j->subject.parameters, "rank", &j->rank));
    TERN_TRY(tern_net_get(j->subject.net, j->subject.parameters, "patch", &j->patch));
    TERN_TRY(rounds ? evolve_space(j, rounds) : train_family(j, j->rank, j->patch));
    TERN_TRY(search_members(j));
    TERN_TRY(keep(j));
    return print(j);
}

/* Options of the other searches. */
static tern_status check_options(const tern_cli *cli)
{
    static const char *const others[] = {"pass",       "group", "target",     "most",        "width",
                                         "width-step", "match", "objectives", "train-width", "seeds",
                                         "csv",        "array", "dataflow",   "input",       NULL};
    return tern_cli_refuse(cli, others, "with --space");
}

tern_status tern_search_family(tern_cli *cli)
{
    tern_family_job j = {.cli = cli};
    TERN_TRY(check_options(cli));
    TERN_TRY(tern_subject_open(&j.subject, cli, cli->arguments[0]));
    tern_catch_interrupts();
    j.rounds = json_array();
    tern_status status =
        j.subject.folder
            ? tern_fail(TERN_USAGE, "search --space needs a net, found the run folder %s", j.subject.folder)
            : search(&j);
    json_decref(j.rounds);
    tern_store_close(&j.store);
    tern_dataset_close(&j.dataset);
    tern_subject_close(&j.subject);
    return status;
}
