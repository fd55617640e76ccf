/* tern bench softfloat: what floats cost on a RISC-V board without a floating-point unit, by the compiler's library and by Tern's own,
 * in instructions of a decision of six classic learners, counted in QEMU. */
#define _DEFAULT_SOURCE /* mkdtemp */
#include "cli/bench_report.h"

#include "classic/classic.h"
#include "emit/emit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 64, CLASSES = 10, FITTED = 1000, ROWS = 20 };

/* Rows around ten centres, 0 .. 16 like pixels of digits; the last ROWS are decided. */
typedef struct rows {
    float *x;   /* [FITTED + ROWS, FEATURES] */
    int32_t *y; /* [FITTED + ROWS] */
} rows;

static tern_status make_rows(rows *r, uint64_t seed)
{
    tern_rng centres = {.seed = seed, .stream = 1}, noise = {.seed = seed, .stream = 2};
    size_t count = (FITTED + ROWS) * FEATURES;
    r->x = tern_take_array(count, sizeof *r->x);
    r->y = tern_take_array(FITTED + ROWS, sizeof *r->y);
    if (!r->x || !r->y) return tern_no_memory(count * sizeof *r->x, "rows");
    for (size_t i = 0; i < count; i++) {
        uint64_t class = i / FEATURES % CLASSES, feature = i % FEATURES;
        double x = 16 * tern_rng_uniform(centres, class * FEATURES + feature) + 3 * tern_rng_normal(noise, i);
        r->x[i] = (float)fmin(fmax(round(x), 0), 16);
        r->y[i / FEATURES] = (int32_t) class;
    }
    return TERN_OK;
}

typedef struct learner {
    const char *net, *option;
    double value;
} learner;
static const learner learners[] = {{"gnb", NULL, 0}, {"logreg", "scale", 16}, {"linear-svm", "scale", 16},
                                   {"knn", "k", 4},  {"kmeans", "first", 1},  {"forest", "depth", 8}};

typedef struct way {
    const char *name, *target;
    bool fast; /* Tern's library */
} way;
enum { FPU, COMPILER, OWN, WAYS };
static const way ways[WAYS] = {
    {"fpu", "riscv", false}, {"soft", "rv32imac", false}, {"soft_fast", "rv32imac", true}};

static tern_status fit(const learner *l, const rows *r, uint64_t seed, tern_classic *out)
{
    void *parameters;
    tern_fit f = {.net = tern_net_find(l->net),
                  .x = r->x,
                  .y = r->y,
                  .rows = FITTED,
                  .features = FEATURES,
                  .classes = CLASSES,
                  .seed = seed};
    TERN_TRY(tern_net_parameters(f.net, &parameters));
    tern_status status = l->option ? tern_net_set(f.net, parameters, l->option, l->value) : TERN_OK;
    f.parameters = parameters;
    if (status == TERN_OK) status = tern_classic_fit(&f, out);
    tern_net_free(parameters);
    return status;
}

/* Written for a board, compiled and run there; the folder is removed when all has gone well. */
static tern_status run_in(const char *folder, const tern_emit_source *source, const way *w, const rows *r,
                          double *instructions)
{
    const tern_emit_target *target = tern_emit_targets;
    tern_emit_limits limits = {.ram = 320 << 10, .flash = 1 << 20, .stack = 4096};
    tern_emit_samples samples = {.images = r->x + FITTED * FEATURES, .count = ROWS, .steps = 1};
    tern_emit_result result;
    while (strcmp(target->name, w->target) != 0) target++;
    TERN_TRY(tern_emit_folder(source, target, &limits, &samples, folder));
    TERN_TRY(tern_emit_run(folder, &result));
    if (result.equal != result.samples)
        return tern_fail(TERN_FAILED, "%s: %d of %d rows have the bits of this computer", folder,
                         result.equal, result.samples);
    *instructions = result.instructions;
    char *const arguments[] = {"rm", "-r", (char *)(uintptr_t)folder, NULL};
    return tern_emit_tool(".", arguments, "/dev/null", "apt-get install coreutils");
}

static tern_status count(const tern_program *program, tern_classic *c, const way *w, const rows *r,
                         double *instructions)
{
    tern_session *session;
    char folder[] = "/tmp/tern-softfloat-XXXXXX";
    TERN_TRY(tern_session_open(&session, program, &c->store, NULL));
    tern_emit_source source = {.program = program,
                               .session = session,
                               .name = "learner",
                               .about = c->net->doc,
                               .fast_floats = w->fast};
    tern_status status = tern_session_bind(session, "image", r->x + FITTED * FEATURES);
    if (status == TERN_OK) status = tern_session_run(session, 0);
    if (status == TERN_OK && !mkdtemp(folder)) status = tern_fail(TERN_FAILED, "%s cannot be made", folder);
    if (status == TERN_OK) status = run_in(folder, &source, w, r, instructions);
    tern_session_close(session);
    return status;
}

static tern_status count_all(const learner *l, const rows *r, uint64_t seed, double instructions[WAYS])
{
    tern_classic c = {0};
    tern_graph *graph = NULL;
    tern_program *program = NULL;
    tern_status status = fit(l, r, seed, &c);
    if (status == TERN_OK)
        status = tern_model_graph(&graph, c.net, c.parameters, &TERN_SHAPE(FEATURES), 1, 0);
    if (status == TERN_OK)
        status = tern_plan(&program, graph, &(tern_plan_options){.reference = true, .compact = true});
    for (int w = 0; w < WAYS && status == TERN_OK; w++)
        status = count(program, &c, &ways[w], r, &instructions[w]);
    tern_program_close(program);
    tern_graph_close(graph);
    tern_classic_close(&c);
    return status;
}

static tern_status print(const tern_cli *cli, double table[][WAYS])
{
    enum { LEARNERS = TERN_COUNT(learners) };
    tern_grid grid = {0};
    double soft = 0, own = 0;
    json_t *list = json_array(), *all = json_object();
    tern_grid_row(&grid, "learner|FPU|compiler's library|Tern's|compiler's / FPU|compiler's / Tern's");
    for (int i = 0; i < LEARNERS; i++) {
        const double *t = table[i];
        json_t *one = json_object();
        soft += t[COMPILER] / t[FPU] / LEARNERS, own += t[COMPILER] / t[OWN] / LEARNERS;
        tern_grid_row(&grid, "%s|%.0f|%.0f|%.0f|%.2f|%.2f", learners[i].net, t[FPU], t[COMPILER], t[OWN],
                      t[COMPILER] / t[FPU], t[COMPILER] / t[OWN]);
        json_object_set_new(one, "learner", json_string(learners[i].net));
        for (int w = 0; w < WAYS; w++) json_object_set_new(one, ways[w].name, json_real(t[w]));
        json_array_append_new(list, one);
    }
    tern_grid_row(&grid, "mean of six||||%.2f|%.2f", soft, own);
    json_object_set_new(all, "instructions", list);
    json_object_set_new(all, "soft_over_fpu", json_real(soft));
    json_object_set_new(all, "soft_over_soft_fast", json_real(own));
    if (cli->json) {
        tern_grid_free(&grid);
        return tern_print_json(all);
    }
    json_decref(all);
    TERN_TRY(tern_grid_print(&grid, stdout));
    printf("instructions of a decision on RV32 in QEMU, mean of %d made rows of %d features and %d classes; "
           "all with the "
           "bits of this computer\n",
           ROWS, FEATURES, CLASSES);
    return TERN_OK;
}

tern_status tern_bench_softfloat(const tern_cli *cli)
{
    double table[TERN_COUNT(learners)][WAYS] = {{0}};
    rows r = {0};
    tern_progress progress;
    char *const make[] = {"make", "--version", NULL};
    TERN_TRY(tern_emit_tool(".", make, "/dev/null", "scripts/setup --edge")); /* before anything is written */
    tern_status status = make_rows(&r, cli->seed);
    tern_progress_open(&progress, "bench", cli->quiet);
    for (size_t i = 0; i < TERN_COUNT(learners) && status == TERN_OK; i++) {
        tern_progress_show(&progress, (double)i / TERN_COUNT(learners), "%s", learners[i].net);
        status = count_all(&learners[i], &r, cli->seed, table[i]);
    }
    if (status == TERN_OK) tern_progress_close(&progress, "%d learners", (int)TERN_COUNT(learners));
    tern_release(r.x);
    tern_release(r.y);
    return status == TERN_OK ? print(cli, table) : status;
}
