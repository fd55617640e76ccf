/* The recipe that the options of tern train describe. */
#include "cli/train_recipe.h"

#include <stdlib.h>
#include <string.h>

tern_status tern_cli_numbers(const tern_cli *cli, const char *name, double low, double high, double *out,
                             int most, int *count)
{
    const char *text = tern_cli_text(cli, name), *p = text;
    char *end = NULL;
    for (*count = 0; *count < most; p = end + 1) {
        double value = strtod(p, &end);
        if (end == p || !(value >= low && value <= high) || (*end && *end != ',')) break;
        out[(*count)++] = value;
        if (!*end) return TERN_OK;
    }
    return tern_fail(TERN_USAGE,
                     "--%s is \"%s\", expected at most %d numbers from %g to %g with commas between", name,
                     text, most, low, high);
}

static tern_status milestones_of(const tern_cli *cli, tern_recipe *r)
{
    int count = 0;
    TERN_TRY(tern_cli_numbers(cli, "milestones", 0, 100, r->milestones, TERN_MILESTONES, &count));
    for (int i = 0; i < TERN_MILESTONES; i++) r->milestones[i] = i < count ? r->milestones[i] / 100 : 0;
    return TERN_OK;
}

tern_status tern_recipe_read(const tern_cli *cli, const tern_dataset *d, tern_recipe *recipe)
{
    tern_recipe r = tern_recipe_default();
    bool staged = tern_cli_has(cli, "epochs-per-stage");
    r.epochs = tern_cli_whole(cli, staged ? "epochs-per-stage" : "epochs");
    r.batch = tern_cli_whole(cli, "batch");
    r.rule = (tern_rule)tern_cli_pick(cli, "rule");
    r.chosen = tern_cli_whole(cli, "K");
    r.square = tern_cli_number(cli, "square");
    r.optimiser = (tern_optimiser)tern_cli_pick(cli, "optimiser");
    r.rate = tern_cli_number(cli, "rate");
    r.schedule = (tern_schedule)tern_cli_pick(cli, "schedule");
    r.warmup = tern_cli_number(cli, "warmup");
    r.step_epochs = tern_cli_whole(cli, "step-epochs");
    r.step_factor = tern_cli_number(cli, "step-factor");
    r.momentum = tern_cli_number(cli, "momentum");
    r.nesterov = strcmp(tern_cli_text(cli, "nesterov"), "yes") == 0;
    r.decay = tern_cli_number(cli, "decay");
    r.error = (tern_error)tern_cli_pick(cli, "error");
    r.smoothing = tern_cli_number(cli, "smoothing");
    bool targets = d->train.targets.data != NULL; /* what is shifted or mirrored has others */
    r.crop = targets && !tern_cli_has(cli, "crop") ? 0 : tern_cli_whole(cli, "crop");
    int flip = tern_cli_pick(cli, "flip");
    r.flip = flip == 1 || (flip == 0 && d->sample.rank < 4 && !targets);
    r.delta_rate = tern_cli_number(cli, "delta-rate");
    r.delta_until = tern_cli_number(cli, "delta-until");
    r.delta_later = tern_cli_number(cli, "delta-later");
    r.delta_values = strcmp(tern_cli_text(cli, "delta-penalty"), "values") == 0;
    r.norm_samples = tern_cli_whole(cli, "norm-samples");
    r.patience = tern_cli_whole(cli, "patience");
    r.seed = cli->seed;
    *recipe = r;
    return milestones_of(cli, recipe);
}

/* Whether the word stands in "one|other". */
static bool is_one_of(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *w = words; w; w = strchr(w, '|')) {
        w += *w == '|';
        if (strncmp(w, word, length) == 0 && (w[length] == '|' || !w[length])) return true;
    }
    return false;
}

tern_status tern_recipe_check(const tern_cli *cli)
{
    static const struct {
        const char *option, *needs, *value;
    } pairs[] = {{"momentum", "optimiser", "sgd"},         {"nesterov", "optimiser", "sgd"},
                 {"step-epochs", "schedule", "step"},      {"step-factor", "schedule", "step|milestones"},
                 {"milestones", "schedule", "milestones"}, {"K", "rule", "sltt-k"},
                 {"square", "rule", "sltt|sltt-k"},        {"delta-rate", "rule", "bptt"},
                 {"delta-later", "rule", "bptt"}};
    for (size_t i = 0; i < TERN_COUNT(pairs); i++) {
        const char *found = tern_cli_text(cli, pairs[i].needs);
        if (!tern_cli_has(cli, pairs[i].option) || is_one_of(pairs[i].value, found)) continue;
        return tern_fail(TERN_USAGE, "--%s has no effect with --%s %s: it needs --%s %s", pairs[i].option,
                         pairs[i].needs, found, pairs[i].needs, pairs[i].value);
    }
    if (tern_cli_has(cli, "delta-later") && tern_cli_number(cli, "delta-until") == 0)
        return tern_fail(TERN_USAGE, "--delta-later has no effect without --delta-until");
    if (tern_cli_has(cli, "epochs-per-stage") && !tern_cli_has(cli, "timesteps-schedule"))
        return tern_fail(TERN_USAGE, "--epochs-per-stage has no effect without --timesteps-schedule");
    tern_recipe recipe;
    return milestones_of(cli, &recipe);
}

tern_status tern_recipe_plain(tern_cli *cli, const tern_net *net)
{
    static const char *const plain[][2] = {{"optimiser", "sgd"}, {"momentum", "0"}, {"decay", "0"},
                                           {"smoothing", "0"},   {"batch", "1"},    {"rate", "0.01"},
                                           {"crop", "0"},        {"flip", "no"}};
    for (size_t i = 0; net->half && i < TERN_COUNT(plain); i++)
        if (!tern_cli_has(cli, plain[i][0])) TERN_TRY(tern_cli_give(cli, plain[i][0], plain[i][1]));
    return TERN_OK;
}
