/* Families of nets: choices, members, and what those need and reach. */
#include "search/family.h"

#include "plan/ram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- choices ------------------------------------------------------------------------------------------------------------ */

static const char vit_t[] = "D=168,192,216:depth=12,13,14:heads=3,4:m=3.5,4";

static tern_status bad_space(const char *space, const char *why)
{
    return tern_fail(
        TERN_USAGE,
        "--space is \"%s\": %s; expected vit-t, or choices with : between, such as "
        "D=32,48:depth=2,3:heads=1,2:m=2,3.5 (at most %d of each, depth at most %d, heads below 10, "
        "m in halves below 5)",
        space, why, TERN_FAMILY_CHOICES, TERN_FAMILY_BLOCKS);
}

/* Numbers with commas between, up to a : or the end; *at is moved behind them. */
static bool take_numbers(const char **at, tern_choices *c)
{
    *c = (tern_choices){.count = 0};
    while (c->count < TERN_FAMILY_CHOICES) {
        char *end;
        double value = strtod(*at, &end);
        bool rises = c->count == 0 || value > c->of[c->count - 1];
        if (end == *at || !(value > 0) || !rises) return false;
        c->of[c->count++] = value;
        *at = end;
        if (*end != ',') return *end == ':' || !*end;
        ++*at;
    }
    return false;
}

static bool all_whole(const tern_choices *c, double factor, double most)
{
    for (int i = 0; i < c->count; i++)
        if (factor * c->of[i] != floor(factor * c->of[i]) || c->of[i] > most) return false;
    return true;
}

static tern_status parse(tern_family *f, const char *space)
{
    tern_choices *const choices[] = {&f->D, &f->depth, &f->heads, &f->m};
    static const char *const names[] = {"D=", "depth=", "heads=", "m="};
    for (const char *at = strcmp(space, "vit-t") == 0 ? vit_t : space; *at; at += *at == ':') {
        size_t i = 0;
        while (i < TERN_COUNT(names) && strncmp(at, names[i], strlen(names[i])) != 0) i++;
        if (i == TERN_COUNT(names))
            return bad_space(space, "there is something else than D, depth, heads and m");
        at += strlen(names[i]);
        if (!take_numbers(&at, choices[i])) return bad_space(space, "numbers must rise");
    }
    if (!all_whole(&f->D, 1, 4096) || !all_whole(&f->depth, 1, TERN_FAMILY_BLOCKS) ||
        !all_whole(&f->heads, 1, 9) || !all_whole(&f->m, 2, 4.5))
        return bad_space(space, "a number is out of range");
    return TERN_OK;
}

tern_status tern_family_open(tern_family *f, const tern_net *net, const void *parameters, tern_shape sample,
                             const char *space)
{
    char name[64];
    static const char *const own[] = {"D", "depth", "heads", "m"};
    *f = (tern_family){.net = net, .parameters = parameters, .sample = sample};
    snprintf(name, sizeof name, "%.50s-int8", net->name);
    f->bytes = tern_net_find(name);
    bool shares = false;
    for (const tern_option *o = net->options; o->name; o++) shares |= strcmp(o->name, "super-D") == 0;
    if (!f->bytes || !shares)
        return tern_fail(TERN_USAGE, "net %s is no family of nets that share weights; mcuformer is",
                         net->name);
    tern_choices *const choices[] = {&f->D, &f->depth, &f->heads, &f->m};
    for (size_t i = 0; i < TERN_COUNT(own); i++) {
        choices[i]->count = 1;
        TERN_TRY(tern_net_get(net, parameters, own[i], &choices[i]->of[0]));
    }
    return parse(f, space);
}

/* ---- members -------------------------------------------------------------------------------------------------------------- */

static double largest(const tern_choices *c)
{
    return c->of[c->count - 1];
}

static double drawn_of(const tern_choices *c, tern_rng rng, uint64_t *drawn)
{
    return c->of[tern_rng_below(rng, (*drawn)++, (uint64_t)c->count)];
}

void tern_family_largest(const tern_family *f, tern_member *m)
{
    *m = (tern_member){.D = (int)largest(&f->D), .depth = (int)largest(&f->depth)};
    for (int i = 0; i < m->depth; i++) {
        m->heads[i] = (int)largest(&f->heads);
        m->halves[i] = (int)(2 * largest(&f->m));
    }
}

void tern_family_draw(const tern_family *f, tern_rng rng, uint64_t *drawn, tern_member *m)
{
    *m = (tern_member){.D = (int)drawn_of(&f->D, rng, drawn), .depth = (int)drawn_of(&f->depth, rng, drawn)};
    for (int i = 0; i < m->depth; i++) {
        m->heads[i] = (int)drawn_of(&f->heads, rng, drawn);
        m->halves[i] = (int)(2 * drawn_of(&f->m, rng, drawn));
    }
}

bool tern_member_equal(const tern_member *a, const tern_member *b)
{
    return a->D == b->D && a->depth == b->depth && memcmp(a->heads, b->heads, sizeof a->heads) == 0 &&
           memcmp(a->halves, b->halves, sizeof a->halves) == 0;
}

void tern_member_print(const tern_member *m, tern_text *text)
{
    tern_text_format(text, "D=%d heads=", m->D);
    for (int i = 0; i < m->depth; i++) tern_text_format(text, "%s%d", i ? "," : "", m->heads[i]);
    tern_text_put(text, " m=");
    for (int i = 0; i < m->depth; i++) tern_text_format(text, "%s%g", i ? "," : "", m->halves[i] / 2.0);
}

static double digits(const int *of, int count)
{
    double number = 0;
    for (int i = 0; i < count; i++) number = 10 * number + of[i];
    return number;
}

/* `net`: floats or bytes, which have the same parameters and more. */
static tern_status parameters_of(const tern_family *f, const tern_net *net, const tern_member *m,
                                 void **parameters)
{
    const tern_named_number own[] = {{"D", m->D},
                                     {"depth", m->depth},
                                     {"block-heads", digits(m->heads, m->depth)},
                                     {"block-m", digits(m->halves, m->depth)},
                                     {"super-D", largest(&f->D)},
                                     {"super-heads", largest(&f->heads)},
                                     {"super-m", largest(&f->m)},
                                     {"heads", f->heads.of[0]},
                                     {"m", f->m.of[0]}};
    double value;
    TERN_TRY(tern_net_parameters(net, parameters));
    tern_status status = TERN_OK;
    for (const tern_option *o = f->net->options; status == TERN_OK && o->name; o++) {
        status = tern_net_get(f->net, f->parameters, o->name, &value);
        if (status == TERN_OK) status = tern_net_set(net, *parameters, o->name, value);
    }
    for (size_t i = 0; status == TERN_OK && i < TERN_COUNT(own); i++)
        status = tern_net_set(net, *parameters, own[i].name, own[i].value);
    if (status != TERN_OK) tern_net_free(*parameters);
    return status;
}

tern_status tern_family_parameters(const tern_family *f, const tern_member *m, void **parameters)
{
    return parameters_of(f, f->net, m, parameters);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------- */

/* Of one block with the most heads and the largest m: every other works in the same memory. */
static tern_status plan_ram(const tern_family *f, const tern_member *m, double *bytes)
{
    tern_graph *g = NULL, *blocks = NULL;
    tern_program *program = NULL;
    void *parameters;
    tern_ram ram;
    TERN_TRY(parameters_of(f, f->bytes, m, &parameters));
    tern_status status = tern_model_graph(&g, f->bytes, parameters, &f->sample, 1, 0);
    if (status == TERN_OK) status = tern_int8_take_bytes(&g);
    if (status == TERN_OK)
        status =
            tern_pass_int8_blocks(g, &(tern_int8_blocks){.fuse = true, .stream = true, .tokens = 1}, &blocks);
    if (status == TERN_OK)
        status = tern_plan(&program, blocks, &(tern_plan_options){.reference = true, .compact = true});
    if (status == TERN_OK) tern_program_ram(program, &ram);
    if (status == TERN_OK) *bytes = (double)ram.all;
    tern_program_close(program);
    tern_graph_close(blocks);
    tern_graph_close(g);
    tern_net_free(parameters);
    return status;
}

tern_status tern_family_ram(tern_family *f, const tern_member *m, double *bytes)
{
    tern_member one = {.D = m->D, .depth = 1};
    for (int i = 0; i < m->depth; i++) {
        one.heads[0] = m->heads[i] > one.heads[0] ? m->heads[i] : one.heads[0];
        one.halves[0] = m->halves[i] > one.halves[0] ? m->halves[i] : one.halves[0];
    }
    for (int i = 0; i < f->known_count; i++) {
        const double *k = f->known[i];
        *bytes = k[3];
        if (k[0] == one.D && k[1] == one.heads[0] && k[2] == one.halves[0]) return TERN_OK;
    }
    TERN_TRY(plan_ram(f, &one, bytes));
    if (f->known_count == TERN_FAMILY_SIZES) return TERN_OK;
    const double found[] = {one.D, one.heads[0], one.halves[0], *bytes};
    memcpy(f->known[f->known_count++], found, sizeof found);
    return TERN_OK;
}

tern_status tern_family_share(tern_family *f, double budget, int count, uint64_t seed, double *share)
{
    tern_rng rng = {seed, 401};
    uint64_t drawn = 0;
    int fit = 0;
    for (int i = 0; i < count; i++) {
        tern_member m;
        double bytes;
        tern_family_draw(f, rng, &drawn, &m);
        TERN_TRY(tern_family_ram(f, &m, &bytes));
        fit += bytes <= budget;
    }
    *share = count > 0 ? (double)fit / count : 0;
    return TERN_OK;
}

/* ---- training ---------------------------------------------------------------------------------------------------------------- */

/* One update of a member: of the weights that it shares, those that it reads have gradients. */
static tern_status update(const tern_family *f, const tern_training *t, const tern_member *m,
                          const tern_batch *b, float rate, uint64_t step, tern_store *store, tern_pool *pool)
{
    void *parameters;
    tern_model model;
    tern_tensor loss;
    float count = (float)(step + 1);
    TERN_TRY(tern_family_parameters(f, m, &parameters));
    tern_status status =
        tern_model_open(&model, f->net, parameters, &f->sample, t->recipe.batch, &t->recipe, store, pool);
    if (status == TERN_OK) {
        status = tern_session_bind(model.session, "image", b->images);
        if (status == TERN_OK) status = tern_session_bind(model.session, "labels", b->labels);
        if (status == TERN_OK) status = tern_session_bind(model.session, "rate", &rate);
        if (status == TERN_OK && t->recipe.optimiser != TERN_SGD)
            status = tern_session_bind(model.session, "step", &count);
        if (status == TERN_OK) status = tern_session_run(model.session, step);
        if (status == TERN_OK) status = tern_session_output(model.session, "loss", &loss);
        if (status == TERN_OK && !isfinite(tern_get(&loss, 0)))
            status = tern_fail(TERN_FAILED, "training diverged at step %llu; lower --rate (now %g)",
                               (unsigned long long)step + 1, t->recipe.rate);
        tern_model_close(&model);
    }
    tern_net_free(parameters);
    return status;
}

/* All parameters of the family, as its largest member has them. */
static tern_status make_parameters(const tern_family *f, const tern_recipe *recipe, tern_store *store)
{
    tern_member all;
    void *parameters;
    tern_graph *g = NULL;
    int index;
    tern_family_largest(f, &all);
    TERN_TRY(tern_family_parameters(f, &all, &parameters));
    tern_status status = tern_model_training_graph(&g, f->net, parameters, &f->sample, recipe->batch, recipe);
    for (int i = 1; status == TERN_OK && i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind == TERN_VALUE_PARAM)
            status = tern_store_need(store, v->name, &v->type, v->init, recipe->seed, &index);
    }
    tern_graph_close(g);
    tern_net_free(parameters);
    return status;
}

static tern_status train(const tern_family *f, const tern_training *t, tern_loader *loader, tern_store *store,
                         tern_pool *pool)
{
    tern_rng rng = {t->recipe.seed, 402};
    uint64_t drawn = 0, step = 0;
    double batches = tern_loader_batches(loader);
    for (int epoch = 0; epoch < t->recipe.epochs; epoch++) {
        tern_progress bar;
        char title[32];
        int done = 0;
        const tern_batch *b;
        snprintf(title, sizeof title, "epoch %d/%d", epoch + 1, t->recipe.epochs);
        tern_progress_open(&bar, title, t->quiet);
        tern_loader_begin(loader, epoch, 0);
        while ((b = tern_loader_next(loader)) != NULL) {
            tern_member m;
            double rate = tern_recipe_rate(&t->recipe, epoch + (done + 1) / batches);
            tern_family_draw(f, rng, &drawn, &m);
            TERN_TRY(update(f, t, &m, b, (float)rate, step++, store, pool));
            tern_progress_show(&bar, ++done / batches, "of the family");
            if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted in epoch %d", epoch + 1);
        }
    }
    return TERN_OK;
}

tern_status tern_family_train(const tern_family *f, const tern_training *t, tern_store *store,
                              tern_pool *pool)
{
    const tern_recipe *r = &t->recipe;
    tern_loader *loader = NULL;
    tern_loader_options options = {.batch = r->batch,
                                   .shuffle = true,
                                   .flip = r->flip,
                                   .crop = r->crop,
                                   .drop_last = true,
                                   .seed = r->seed};
    if (t->train->images.shape.dim[0] < r->batch)
        return tern_fail(TERN_USAGE, "data: %lld training samples are fewer than one batch of %d",
                         (long long)t->train->images.shape.dim[0], r->batch);
    TERN_TRY(make_parameters(f, r, store));
    TERN_TRY(tern_loader_open(&loader, t->train, &options));
    tern_status status = train(f, t, loader, store, pool);
    tern_loader_close(loader);
    return status;
}

tern_status tern_family_accuracy(const tern_family *f, const tern_member *m, const tern_samples *samples,
                                 tern_store *store, tern_pool *pool, double *accuracy)
{
    void *parameters;
    tern_evaluation e;
    TERN_TRY(tern_family_parameters(f, m, &parameters));
    tern_status status = tern_evaluate(&e, f->net, parameters, samples, 64, 0, store, pool);
    if (status == TERN_OK) {
        *accuracy = e.accuracy;
        tern_evaluation_free(&e);
    }
    tern_net_free(parameters);
    return status;
}

tern_status tern_family_mean(tern_family *f, double budget, int count, uint64_t seed,
                             const tern_samples *samples, tern_store *store, tern_pool *pool, double *mean)
{
    enum { TRIES = 2000 };
    tern_rng rng = {seed, 405};
    uint64_t drawn = 0;
    double sum = 0;
    int found = 0;
    for (int i = 0; i < TRIES && found < count; i++) {
        tern_member m;
        double bytes, accuracy;
        tern_family_draw(f, rng, &drawn, &m);
        TERN_TRY(tern_family_ram(f, &m, &bytes));
        if (bytes > budget) continue;
        TERN_TRY(tern_family_accuracy(f, &m, samples, store, pool, &accuracy));
        sum += accuracy;
        found++;
    }
    if (found == 0)
        return tern_fail(TERN_NO_FIT, "of %d nets that were drawn none keeps to %.0f bytes", TRIES, budget);
    *mean = sum / found;
    return TERN_OK;
}
