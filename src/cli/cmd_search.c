/* tern search: nets compared by several objectives on a machine and on data; what no other beats in all of them is kept. */
#include "cli/blocks.h"
#include "cli/learning.h"
#include "search/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tern_cli_option options[] = {
    {"pass", 0, TERN_PICK, "PASS", "regroup",
     "what is searched: regroup makes group convolutions of depthwise ones (DRACO); sparse-update: what of a "
     "run in bytes "
     "should learn on a device, by what training each layer is worth on --data; logic: nets of --space, "
     "trained, in "
     "integers, and folded as logic as well as --budget allows",
     "regroup|sparse-update|logic"},
    {"budget", 0, TERN_TEXT, "LIMITS", "100KiB",
     "sparse-update: bytes that learning may take, by the paper's formula; --space: RAM of a board that a "
     "net may "
     "take, such as sram=320KiB (default: that of --machine, else 320KiB); logic: as tern emit --budget",
     NULL},
    {"space", 0, TERN_TEXT, "CHOICES", NULL,
     "instead of a pass: train a family of nets that share weights, and find the best within --budget; "
     "vit-t, or "
     "choices such as D=32,48:depth=2,3:heads=1,2:m=2,4 (MCUFormer); logic: parameters of the net, such as "
     "bits=1,2,4:layers=1..3",
     NULL},
    {"rounds", 0, TERN_WHOLE, "N", "0",
     "--space: move rank and patch by planes through what five families reach, then N more", "0..32"},
    {"population", 0, TERN_WHOLE, "N", "50", "--space: nets of a generation", "1..10000"},
    {"keep", 0, TERN_WHOLE, "N", "10", "--space: the best, which have descendants", "1..10000"},
    {"mutations", 0, TERN_WHOLE, "N", "25", "--space: nets of a generation in which choices change",
     "0..10000"},
    {"crossovers", 0, TERN_WHOLE, "N", "25", "--space: nets of a generation from two others", "0..10000"},
    {"generations", 0, TERN_WHOLE, "N", "20", "--space: generations behind the first", "0..1000"},
    {"validation", 0, TERN_WHOLE, "N", "1000", "--space: training samples that judge instead of training",
     "1.."},
    {"compare", 0, TERN_WHOLE, "N", "10", "--space: nets that are drawn and fit, to compare with", "1..1000"},
    {"out", 'o', TERN_TEXT, "DIR", NULL, "--space: run folder of what was found", NULL},
    {"machine", 'm', TERN_TEXT, "M", "systolic-64x64-rs", "machine with a systolic array: a name or a path",
     NULL},
    TERN_ARRAY_OPTIONS,
    {"group", 'g', TERN_TEXT, "G,..", "1,2,4,8,16,auto",
     "channels of a group; auto: in each layer the fewest that use the array well", NULL},
    {"target", 0, TERN_NUMBER, "S", "0.8",
     "--group auto: a layer takes the smallest group with this share of its best use of the array", "0..1"},
    {"most", 0, TERN_WHOLE, "G", "16", "--group auto: largest group", "1..65536"},
    {"width", 0, TERN_TEXT, "A..B", NULL,
     "widths of the net: a range, or numbers with commas between (default: the net's own)", NULL},
    {"width-step", 0, TERN_NUMBER, "S", "0.125", "--width A..B: from one width to the next", "0.001.."},
    {"match", 0, TERN_PICK, "WHAT", NULL,
     "of each group only the largest width that takes no more of this than the net as it is at the highest",
     "macs|cycles"},
    {"objectives", 0, TERN_TEXT, "O,..", "util,latency,accuracy",
     "what counts: util (cells in use), latency (waits included), cycles (operands at hand), macs, energy, "
     "parameters, "
     "accuracy",
     NULL},
    {"data", 'd', TERN_TEXT, "DATA", "fashion-mnist", "objective accuracy: data set to train and test on",
     NULL},
    {"train-width", 0, TERN_NUMBER, "S", "1", "nets are trained at this share of their width", "0.001..1"},
    {"epochs", 'e', TERN_WHOLE, "N", "4", "training: epochs", "1.."},
    {"batch", 'b', TERN_WHOLE, "N", "64", "training: samples of a batch", "1..65536"},
    {"rate", 0, TERN_NUMBER, "R", "0.05", "training: learning rate (sgd with momentum 0.9, cosine)", "0.."},
    {"limit", 0, TERN_WHOLE, "N", "10000", "training: use the first N samples only; 0: all", NULL},
    {"seeds", 0, TERN_WHOLE, "N", "1", "training: how many seeds are averaged, from --seed on", "1..100"},
    {"csv", 0, TERN_FLAG, NULL, NULL, "all points as comma-separated values, amounts in plain units", NULL},
    TERN_INPUT_OPTION,
    {0},
};

/* What counts; more is better or less. */
typedef struct objective {
    const char *name;
    bool largest;
    double (*of)(const tern_regroup_point *p);
} objective;

static double util_of(const tern_regroup_point *p)
{
    return p->convolutions;
}
static double latency_of(const tern_regroup_point *p)
{
    return p->simulation.seconds;
}
static double cycles_of(const tern_regroup_point *p)
{
    return p->simulation.array_cycles;
}
static double macs_of(const tern_regroup_point *p)
{
    return p->simulation.macs;
}
static double energy_of(const tern_regroup_point *p)
{
    return p->simulation.joules;
}
static double parameters_of(const tern_regroup_point *p)
{
    return p->parameters;
}
static double accuracy_of(const tern_regroup_point *p)
{
    return p->accuracy;
}

static const objective known[] = {
    {"util", true, util_of},         {"latency", false, latency_of}, {"cycles", false, cycles_of},
    {"macs", false, macs_of},        {"energy", false, energy_of},   {"parameters", false, parameters_of},
    {"accuracy", true, accuracy_of},
};

enum { MOST_GROUPS = 16, MOST_WIDTHS = 64 };

typedef struct tern_search_job {
    tern_cli *cli;
    tern_subject subject;
    tern_machine *machine;
    tern_dataset dataset;
    tern_regroup_search search;
    int groups[MOST_GROUPS], group_count; /* 0: auto */
    double widths[MOST_WIDTHS];
    int width_count;
    const objective *objectives[TERN_OBJECTIVES];
    int objective_count;
    bool trains;
    tern_regroup_point *points;
    int count;
    tern_pareto archive;
} tern_search_job;

/* ---- what is asked for -------------------------------------------------------------------------------------------- */

static tern_status parse_groups(tern_search_job *job)
{
    const char *text = tern_cli_text(job->cli, "group"), *at = text;
    while (job->group_count < MOST_GROUPS) {
        char *end = (char *)(uintptr_t)at;
        bool automatic = strncmp(at, "auto", 4) == 0;
        long group = automatic ? 0 : strtol(at, &end, 10);
        if (automatic) end += 4;
        if (end == at || (!automatic && (group < 1 || group > 65536)) || (*end && *end != ',')) break;
        job->groups[job->group_count++] = (int)group;
        if (!*end) return TERN_OK;
        at = end + 1;
    }
    return tern_fail(TERN_USAGE,
                     "--group is \"%s\", expected at most %d whole numbers or auto with commas between, for "
                     "example 1,2,4,auto",
                     text, MOST_GROUPS);
}

static tern_status bad_widths(const char *text)
{
    return tern_fail(
        TERN_USAGE,
        "--width is \"%s\", expected a range like 0.75..1 of at most %d steps, or numbers above 0 "
        "with commas between",
        text, MOST_WIDTHS);
}

/* The range from low to high, the higher end first. */
static tern_status width_range(tern_search_job *job, const char *text, double low, double high)
{
    double step = tern_cli_number(job->cli, "width-step");
    if (!(low > 0 && low <= high) || (high - low) / step > MOST_WIDTHS - 1) return bad_widths(text);
    for (int i = 0; high - i * step > low - 1e-9; i++) job->widths[job->width_count++] = high - i * step;
    return TERN_OK;
}

static tern_status parse_widths(tern_search_job *job)
{
    const char *text = tern_cli_text(job->cli, "width");
    if (!text) {
        job->widths[job->width_count++] = 1;
        return job->search.width ? tern_net_get(job->search.net, job->subject.parameters, job->search.width,
                                                &job->widths[0])
                                 : TERN_OK;
    }
    if (!job->search.width)
        return tern_fail(TERN_USAGE, "--width: net %s has no parameter \"alpha\" that scales its channels",
                         job->search.net->name);
    if (tern_cli_has(job->cli, job->search.width))
        return tern_fail(TERN_USAGE, "--width and --%s both say how wide the net is", job->search.width);
    char *end;
    double first = strtod(text, &end);
    const char *dots = strstr(text, "..");
    if (dots) { /* strtod reads "0.75." of 0.75..1 */
        double high = strtod(dots + 2, &end);
        return end == dots + 2 || *end ? bad_widths(text) : width_range(job, text, first, high);
    }
    for (const char *at = text; job->width_count < MOST_WIDTHS; at = end + 1) {
        double width = strtod(at, &end);
        if (end == at || !(width > 0) || !isfinite(width) || (*end && *end != ',')) break;
        job->widths[job->width_count++] = width;
        if (!*end) return TERN_OK;
    }
    return bad_widths(text);
}

static tern_status add_objective(tern_search_job *job, const char *name, size_t length)
{
    const char *names[TERN_COUNT(known)];
    char word[64];
    for (size_t i = 0; i < TERN_COUNT(known); i++) {
        names[i] = known[i].name;
        if (strlen(known[i].name) != length || strncmp(known[i].name, name, length) != 0) continue;
        for (int k = 0; k < job->objective_count; k++)
            if (job->objectives[k] == &known[i])
                return tern_fail(TERN_USAGE, "--objectives names %s twice", known[i].name);
        job->archive.largest[job->objective_count] = known[i].largest;
        job->objectives[job->objective_count++] = &known[i];
        job->trains |= known[i].of == accuracy_of;
        return TERN_OK;
    }
    snprintf(word, sizeof word, "%.*s", (int)length, name);
    return tern_unknown("objective", word, names, TERN_COUNT(known));
}

static tern_status parse_objectives(tern_search_job *job)
{
    for (const char *at = tern_cli_text(job->cli, "objectives");; at++) {
        size_t length = strcspn(at, ",");
        TERN_TRY(add_objective(job, at, length));
        at += length;
        if (!*at) break;
    }
    job->archive.objectives = job->objective_count;
    static const char *const of_training[] = {"data", "train-width", "epochs", "batch",
                                              "rate", "limit",       "seeds",  NULL};
    return job->trains ? TERN_OK : tern_cli_refuse(job->cli, of_training, "without the objective accuracy");
}

/* NET-regroup of the net that is named, with the net's parameters. */
static tern_status take_net(tern_search_job *job)
{
    const tern_subject *s = &job->subject;
    char name[64];
    void *parameters;
    double value;
    if (s->folder) return tern_fail(TERN_USAGE, "search needs a net, found the run folder %s", s->folder);
    snprintf(name, sizeof name, "%s-regroup", s->net->name);
    job->search.net = s->net->regroup ? s->net : tern_net_find(name);
    if (!job->search.net)
        return tern_fail(TERN_USAGE, "net %s cannot be regrouped; mobilenet can", s->net->name);
    TERN_TRY(tern_net_parameters(job->search.net, &parameters));
    job->search.parameters = parameters;
    for (const tern_option *o = s->net->options; o->name; o++) {
        TERN_TRY(tern_net_get(s->net, s->parameters, o->name, &value));
        TERN_TRY(tern_net_set(job->search.net, parameters, o->name, value));
        if (strcmp(o->name, "alpha") == 0) job->search.width = o->name;
    }
    return TERN_OK;
}

static tern_status prepare(tern_search_job *job)
{
    tern_cli *cli = job->cli;
    TERN_TRY(take_net(job));
    TERN_TRY(parse_groups(job));
    TERN_TRY(parse_widths(job));
    TERN_TRY(parse_objectives(job));
    TERN_TRY(tern_open_array(&job->machine, cli));
    job->search.input = job->subject.sample;
    job->search.machine = job->machine;
    job->search.most = tern_cli_whole(cli, "most");
    job->search.target = tern_cli_number(cli, "target");
    size_t most = (size_t)(job->group_count * job->width_count);
    job->points = tern_take_array(most, sizeof *job->points);
    if (!job->points) return tern_no_memory(most * sizeof *job->points, "a search");
    return TERN_OK;
}

/* ---- the search ------------------------------------------------------------------------------------------------- */

/* The net as it is, at its highest width: what --match holds to. */
static tern_status baseline(tern_search_job *job, tern_regroup_point *plain)
{
    *plain = (tern_regroup_point){.group = 1, .width = job->widths[0]};
    for (int i = 1; i < job->width_count; i++) plain->width = fmax(plain->width, job->widths[i]);
    return tern_regroup_measure(&job->search, plain);
}

static tern_status measure_matched(tern_search_job *job)
{
    tern_regroup_point plain;
    bool cycles = strcmp(tern_cli_text(job->cli, "match"), "cycles") == 0;
    double low = INFINITY;
    TERN_TRY(baseline(job, &plain));
    for (int i = 0; i < job->width_count; i++) low = fmin(low, job->widths[i]);
    for (int g = 0; g < job->group_count; g++) {
        tern_regroup_point *p = &job->points[job->count];
        *p = (tern_regroup_point){.group = job->groups[g]};
        double limit = cycles ? plain.simulation.array_cycles : plain.simulation.macs;
        tern_status status = tern_regroup_match(&job->search, cycles, limit, low, plain.width, p);
        if (status == TERN_NO_FIT && !job->cli->quiet)
            fprintf(stderr, "left out: %s\n", tern_message());
        else if (status != TERN_OK && status != TERN_NO_FIT)
            return status;
        job->count += status == TERN_OK;
    }
    return TERN_OK;
}

static tern_status measure(tern_search_job *job)
{
    if (tern_cli_has(job->cli, "match")) return measure_matched(job);
    for (int w = 0; w < job->width_count; w++)
        for (int g = 0; g < job->group_count; g++) {
            tern_regroup_point *p = &job->points[job->count++];
            *p = (tern_regroup_point){.group = job->groups[g], .width = job->widths[w]};
            TERN_TRY(tern_regroup_measure(&job->search, p));
        }
    return TERN_OK;
}

static const char *group_text(char out[16], int group)
{
    if (group)
        snprintf(out, 16, "%d", group);
    else
        snprintf(out, 16, "auto");
    return out;
}

static tern_status train(tern_search_job *job)
{
    tern_cli *cli = job->cli;
    char group[16];
    tern_dataset_options limits = {.train_limit = tern_cli_whole(cli, "limit")};
    TERN_TRY(tern_dataset_open(&job->dataset, tern_cli_text(cli, "data"), &limits));
    tern_samples train = tern_samples_of(&job->dataset, true), test = tern_samples_of(&job->dataset, false);
    tern_training t = {.recipe = tern_recipe_default(),
                       .train = &train,
                       .test = &test,
                       .quiet = true,
                       .net = job->search.net};
    t.recipe.optimiser = TERN_SGD;
    t.recipe.momentum = 0.9;
    t.recipe.schedule = TERN_COSINE_RATE;
    t.recipe.decay = 1e-4;
    t.recipe.smoothing = 0;
    t.recipe.rate = tern_cli_number(cli, "rate");
    t.recipe.epochs = tern_cli_whole(cli, "epochs");
    t.recipe.batch = tern_cli_whole(cli, "batch");
    t.recipe.seed = cli->seed;
    /* parameters are the job's own memory: classes are the data's from here on */
    TERN_TRY(tern_net_set(job->search.net, (void *)(uintptr_t)job->search.parameters, "classes",
                          job->dataset.classes));
    for (int i = 0; i < job->count; i++) {
        tern_regroup_point *p = &job->points[i];
        TERN_TRY(tern_regroup_train(&job->search, &t, tern_cli_whole(cli, "seeds"),
                                    tern_cli_number(cli, "train-width"), cli->pool, p));
        if (!cli->quiet)
            fprintf(stderr, "%d of %d: group %s, width %g: accuracy %.4f\n", i + 1, job->count,
                    group_text(group, p->group), p->width, p->accuracy);
    }
    return TERN_OK;
}

static tern_status collect(tern_search_job *job)
{
    for (int i = 0; i < job->count; i++) {
        double value[TERN_OBJECTIVES] = {0};
        for (int k = 0; k < job->objective_count; k++) value[k] = job->objectives[k]->of(&job->points[i]);
        TERN_TRY(tern_pareto_add(&job->archive, value, i));
    }
    return TERN_OK;
}

/* ---- what was found ----------------------------------------------------------------------------------------------- */

static json_t *point_json(const tern_search_job *job, int i)
{
    const tern_regroup_point *p = &job->points[i];
    const tern_simulation *s = &p->simulation;
    json_t *groups = json_array(), *o;
    for (int k = 0; k < p->layers; k++) {
        int own = k < TERN_REGROUP_LAYERS ? p->regroup.each[k] : 0;
        json_array_append_new(groups, json_integer(own ? own : p->regroup.group));
    }
    o = json_pack("{s:o,s:o,s:f,s:b,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "group",
                  p->group ? json_integer(p->group) : json_string("auto"), "groups", groups, "width",
                  p->width, "pareto", tern_pareto_has(&job->archive, i), "macs", s->macs, "array_cycles",
                  s->array_cycles, "cycles", s->cycles, "seconds", s->seconds, "joules", s->joules,
                  "far_bytes", s->far_bytes, "occupancy", p->convolutions, "occupancy_regrouped",
                  p->regrouped, "parameters", p->parameters);
    if (isfinite(p->accuracy)) {
        json_object_set_new(o, "accuracy", json_real(p->accuracy));
        json_object_set_new(o, "accuracy_lowest", json_real(p->lowest));
        json_object_set_new(o, "accuracy_highest", json_real(p->highest));
    }
    return o;
}

static tern_status print_json(const tern_search_job *job)
{
    json_t *points = json_array(), *objectives = json_array();
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)job->machine->hash);
    for (int i = 0; i < job->count; i++) json_array_append_new(points, point_json(job, i));
    for (int k = 0; k < job->objective_count; k++)
        json_array_append_new(objectives, json_string(job->objectives[k]->name));
    return tern_print_json(json_pack("{s:s,s:s,s:s,s:s,s:o,s:o}", "net", job->search.net->name, "pass",
                                     "regroup", "machine", job->machine->name, "machine_hash", hash,
                                     "objectives", objectives, "points", points));
}

static tern_status print_csv(const tern_search_job *job)
{
    char group[16];
    puts("group,width,pareto,macs,array_cycles,cycles,seconds,joules,occupancy,occupancy_regrouped,"
         "parameters,accuracy");
    for (int i = 0; i < job->count; i++) {
        const tern_regroup_point *p = &job->points[i];
        const tern_simulation *s = &p->simulation;
        printf("%s,%g,%d,%.0f,%.0f,%.10g,%.10g,%.10g,%.10g,%.10g,%.0f,", group_text(group, p->group),
               p->width, tern_pareto_has(&job->archive, i), s->macs, s->array_cycles, s->cycles, s->seconds,
               s->joules, p->convolutions, p->regrouped, p->parameters);
        if (isfinite(p->accuracy)) printf("%.6g", p->accuracy);
        putchar('\n');
    }
    return TERN_OK;
}

static void print_chosen(const tern_search_job *job)
{
    for (int i = 0; i < job->count; i++) {
        const tern_regroup_point *p = &job->points[i];
        if (p->group) continue;
        printf("auto at width %g:", p->width);
        for (int k = 0; k < p->layers && k < TERN_REGROUP_LAYERS; k++) printf(" %d", p->regroup.each[k]);
        putchar('\n');
    }
}

static tern_status print(const tern_search_job *job)
{
    tern_grid t = {0};
    char a[24], b[24], c[24], d[24], e[24], group[16], accuracy[32] = "";
    if (job->cli->json) return print_json(job);
    if (tern_cli_has(job->cli, "csv")) return print_csv(job);
    tern_grid_row(
        &t, "group|width|macs|array cycles|latency|energy|cells in use|of regrouped|parameters%s|Pareto",
        job->trains ? "|accuracy" : "");
    for (int i = 0; i < job->count; i++) {
        const tern_regroup_point *p = &job->points[i];
        if (job->trains) snprintf(accuracy, sizeof accuracy, "|%.4f", p->accuracy);
        tern_grid_row(&t, "%s|%g|%s|%s|%s|%s|%.1f %%|%.1f %%|%s%s|%s", group_text(group, p->group), p->width,
                      tern_human(a, p->simulation.macs, ""), tern_human(b, p->simulation.array_cycles, ""),
                      tern_human(c, p->simulation.seconds, "s"), tern_human(d, p->simulation.joules, "J"),
                      100 * p->convolutions, 100 * p->regrouped, tern_human(e, p->parameters, ""), accuracy,
                      tern_pareto_has(&job->archive, i) ? "yes" : "");
    }
    TERN_TRY(tern_grid_print(&t, stdout));
    print_chosen(job);
    printf("%s (%016llx): cells in use are the mean over convolutions, and over those that were depthwise; "
           "array cycles have operands at hand, latency and energy have waits and all other operators\n",
           job->machine->name, (unsigned long long)job->machine->hash);
    if (job->points[0].simulation.reason[0]) printf("%s\n", job->points[0].simulation.reason);
    return TERN_OK;
}

static const char *const of_families[] = {"rounds",      "population", "keep",    "mutations", "crossovers",
                                          "generations", "validation", "compare", "out",       NULL};

static tern_status run_search(tern_cli *cli)
{
    tern_search_job job = {.cli = cli};
    bool logic = tern_cli_pick(cli, "pass") == 2;
    if (tern_cli_has(cli, "space") && !logic) return tern_search_family(cli);
    TERN_TRY(tern_cli_refuse(cli, of_families, "without --space"));
    if (logic) return tern_search_logic(cli);
    if (tern_cli_pick(cli, "pass") == 1) return tern_search_update(cli);
    if (tern_cli_has(cli, "budget"))
        return tern_fail(TERN_USAGE,
                         "search: --budget has no effect without --pass sparse-update or --space");
    TERN_TRY(tern_subject_open(&job.subject, cli, cli->arguments[0]));
    tern_catch_interrupts();
    tern_status status = prepare(&job);
    if (status == TERN_OK) status = measure(&job);
    if (status == TERN_OK && job.count == 0)
        status = tern_fail(TERN_NO_FIT, "search: no point is left; widen --width");
    if (status == TERN_OK && job.trains) status = train(&job);
    if (status == TERN_OK) status = collect(&job);
    if (status == TERN_OK) status = print(&job);
    tern_pareto_free(&job.archive);
    tern_release(job.points);
    tern_dataset_close(&job.dataset);
    tern_machine_close(job.machine);
    tern_net_free((void *)(uintptr_t)job.search.parameters);
    tern_subject_close(&job.subject);
    return status;
}

static const tern_exclusion exclusions[] = {
    {"csv", "json", "both say how figures are written"},
    {0},
};

const tern_command tern_command_search = {
    .name = "search",
    .about = "compare forms of a net on a machine and on data; keep what nothing beats",
    .usage = "NET|RUN|NET.tflite",
    .more = "tern search mobilenet --width 1 --input 3x224x224 --objectives util,cycles\n"
            "tern search mobilenet --pass regroup --machine systolic-64x64-rs --group 1,2,4,8,16 --width "
            "0.75..1.0 --data fashion-mnist --objectives util,latency,accuracy\n"
            "tern search run/cnn-int8 --pass sparse-update --budget 8KiB --data mnist   # then: tern train "
            "--update\n"
            "tern search mcuformer --space D=32,48:depth=2,3:heads=1,2:m=2,4 --patch 8 --image 32 --budget "
            "sram=4KiB -o run/found\n"
            "tern search mobilenet --width 0.5..1 --match cycles --group 1,4,auto --objectives util,macs\n"
            "tern search cqmlp --pass logic --space bits=1,2,4:layers=1..3 --budget luts=20000,latency=2000 "
            "--data "
            "can-attack",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_search,
};
