/* Contribution analysis: what training each layer is worth and takes, and the best of it within a budget. */
#include "search/search.h"

#include <stdlib.h>
#include <string.h>

static const double shares[TERN_UPDATE_SHARES] = {0.125, 0.25, 0.5, 1};

/* ---- analysis ----------------------------------------------------------------------------------------------------------- */

typedef struct analysis_run {
    const tern_int8_learning *learning;
    const tern_store *store;
    tern_pool *pool;
    const tern_graph *graph; /* of inference */
    tern_update_analysis *a;
    void (*done)(void *context, int trained, int all);
    void *context;
    int trained;
} analysis_run;

static void add_layer(tern_int8_update_plan *plan, const char *name, double share)
{
    tern_int8_layer *layer = &plan->layers[plan->count++];
    snprintf(layer->name, sizeof layer->name, "%s", name);
    layer->share = share;
}

/* The head, the biases from layer `from` on, and a share of that layer's weights (0: none). */
static tern_int8_update_plan plan_of(const analysis_run *r, int from, double share)
{
    tern_int8_update_plan plan = r->learning->update;
    plan.all_weights = false;
    plan.count = 0;
    plan.biases = r->a->count - from;
    add_layer(&plan, r->a->layers[r->a->count - 1].name, 1);
    if (share > 0) add_layer(&plan, r->a->layers[from].name, share);
    return plan;
}

/* The accuracy after training a copy of the store, and the bytes of the formula. */
static tern_status train(analysis_run *r, int from, double share, double *accuracy, double *bytes)
{
    tern_int8_learning l = *r->learning;
    tern_int8_learned learned = {0};
    tern_store own = {0};
    l.update = plan_of(r, from, share);
    TERN_TRY(tern_int8_update_bytes(r->graph, &l.update, bytes));
    tern_status status = tern_hand_over(r->store, &own);
    if (status == TERN_OK) status = tern_int8_learn(&l, &own, r->pool, &learned);
    tern_store_close(&own);
    TERN_TRY(status);
    *accuracy = learned.test_accuracy;
    r->trained++;
    if (r->done) r->done(r->context, r->trained, r->a->count + TERN_UPDATE_SHARES * (r->a->count - 1));
    return TERN_OK;
}

static tern_status analyse_layer(analysis_run *r, int i)
{
    tern_update_layer *layer = &r->a->layers[i];
    double bytes, later = 0;
    TERN_TRY(train(r, i, 0, &layer->bias, &bytes));
    for (int k = i + 1; k < r->a->count - 1; k++) later += r->a->layers[k].bias_bytes;
    layer->bias_bytes = bytes - later - r->a->head_bytes;
    for (int s = 0; s < TERN_UPDATE_SHARES; s++) {
        double accuracy, whole;
        TERN_TRY(train(r, i, shares[s], &accuracy, &whole));
        layer->weight[s] = accuracy - layer->bias;
        layer->weight_bytes[s] = whole - bytes;
    }
    layer->bias -= r->a->head;
    return TERN_OK;
}

static tern_status find_layers(const tern_graph *g, tern_update_analysis *a)
{
    for (int n = 0; n < g->node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (strcmp(node->op->name, "conv2d_int8") != 0 && strcmp(node->op->name, "linear_int8") != 0)
            continue;
        if (a->count == TERN_UPDATE_LAYERS)
            return tern_fail(TERN_USAGE, "search: the net has more than %d layers with weights",
                             TERN_UPDATE_LAYERS);
        snprintf(a->layers[a->count++].name, sizeof a->layers->name, "%s", node->layer);
    }
    return a->count ? TERN_OK : tern_fail(TERN_USAGE, "search: the net has no layers with weights of bytes");
}

tern_status tern_update_analyse(const tern_int8_learning *learning, const tern_store *store, tern_pool *pool,
                                tern_update_analysis *analysis,
                                void (*done)(void *context, int trained, int all), void *context)
{
    tern_graph *g = NULL;
    tern_shape sample = learning->train->images.shape;
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    *analysis = (tern_update_analysis){0};
    if (!learning->test)
        return tern_fail(TERN_USAGE, "search: contribution is measured on test samples; there are none");
    TERN_TRY(tern_model_plain_graph(&g, learning->net, learning->parameters, &sample, 1, 0));
    analysis_run r = {learning, store, pool, g, analysis, done, context, 0};
    tern_status status = find_layers(g, analysis);
    if (status == TERN_OK) status = train(&r, analysis->count - 1, 0, &analysis->head, &analysis->head_bytes);
    for (int i = analysis->count - 2; i >= 0 && status == TERN_OK; i--) status = analyse_layer(&r, i);
    tern_graph_close(g);
    return status;
}

/* ---- a choice as genes: biases of the last so many layers, and a share of each (0: none) ------------------------------------ */

typedef struct genes {
    int biases; /* the head's among them: 1 and more */
    unsigned char share[TERN_UPDATE_LAYERS];
    double gain, bytes;
} genes;

static void weigh(const tern_update_analysis *a, genes *g)
{
    int first = a->count - g->biases;
    g->gain = g->biases > 1 ? a->layers[first].bias : 0;
    g->bytes = a->head_bytes;
    for (int i = 0; i < a->count - 1; i++) {
        if (i < first) g->share[i] = 0;
        if (i >= first) g->bytes += a->layers[i].bias_bytes;
        if (!g->share[i]) continue;
        g->gain += a->layers[i].weight[g->share[i] - 1];
        g->bytes += a->layers[i].weight_bytes[g->share[i] - 1];
    }
}

static void express(const tern_update_analysis *a, const genes *g, tern_update_choice *choice)
{
    *choice = (tern_update_choice){.plan = {.biases = g->biases}, .gain = g->gain, .bytes = g->bytes};
    for (int i = 0; i < a->count - 1; i++)
        if (g->share[i]) add_layer(&choice->plan, a->layers[i].name, shares[g->share[i] - 1]);
    add_layer(&choice->plan, a->layers[a->count - 1].name, 1);
}

static tern_status check_budget(const tern_update_analysis *a, double budget)
{
    if (a->head_bytes <= budget) return TERN_OK;
    return tern_fail(TERN_NO_FIT, "does not fit: the head alone takes %.0f bytes, the budget is %.0f",
                     a->head_bytes, budget);
}

/* ---- exactly -------------------------------------------------------------------------------------------------------------------- */

/* Choices of which none has more gain for no more bytes, in the order of bytes. */
typedef struct frontier {
    genes *items;
    int count;
} frontier;

static int by_bytes(const void *x, const void *y)
{
    const genes *a = x, *b = y;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return a->gain > b->gain ? -1 : a->gain < b->gain;
}

static void prune(frontier *f, double budget)
{
    int kept = 0;
    qsort(f->items, (size_t)f->count, sizeof *f->items, by_bytes);
    for (int i = 0; i < f->count; i++) {
        if (f->items[i].bytes > budget || (kept && f->items[i].gain <= f->items[kept - 1].gain)) continue;
        f->items[kept++] = f->items[i];
    }
    f->count = kept;
}

/* Every way to add layer i. */
static tern_status extend(frontier *f, const tern_update_layer *layer, int i, double budget)
{
    frontier next = {.items = tern_take_array((size_t)f->count * (TERN_UPDATE_SHARES + 1), sizeof(genes))};
    if (!next.items) return tern_no_memory((size_t)f->count * sizeof(genes), "a search");
    for (int k = 0; k < f->count; k++)
        for (int s = 0; s <= TERN_UPDATE_SHARES; s++) {
            genes g = f->items[k];
            g.share[i] = (unsigned char)s;
            if (s) g.gain += layer->weight[s - 1];
            if (s) g.bytes += layer->weight_bytes[s - 1];
            next.items[next.count++] = g;
        }
    prune(&next, budget);
    tern_release(f->items);
    *f = next;
    return TERN_OK;
}

tern_status tern_update_choose(const tern_update_analysis *a, double budget, tern_update_choice *choice)
{
    genes best = {.biases = 1};
    TERN_TRY(check_budget(a, budget));
    weigh(a, &best);
    for (int biases = 1; biases <= a->count; biases++) {
        frontier f = {.items = tern_take_array(1, sizeof(genes)), .count = 1};
        if (!f.items) return tern_no_memory(sizeof(genes), "a search");
        f.items[0].biases = biases;
        weigh(a, &f.items[0]);
        prune(&f, budget);
        tern_status status = TERN_OK;
        for (int i = a->count - biases; i < a->count - 1 && status == TERN_OK && f.count; i++)
            status = extend(&f, &a->layers[i], i, budget);
        if (status == TERN_OK && f.count && f.items[f.count - 1].gain > best.gain)
            best = f.items[f.count - 1];
        tern_release(f.items);
        TERN_TRY(status);
    }
    express(a, &best, choice);
    return TERN_OK;
}

/* ---- by evolution --------------------------------------------------------------------------------------------------------------- */

enum { POPULATION = 64, PARENTS = 16, GENERATIONS = 60 };

static int by_gain(const void *x, const void *y)
{
    const genes *a = x, *b = y;
    if (a->gain != b->gain) return a->gain > b->gain ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

typedef struct dice {
    tern_rng rng;
    uint64_t drawn;
} dice;

static int below(dice *d, int bound)
{
    return (int)tern_rng_below(d->rng, d->drawn++, (uint64_t)bound);
}

/* What is too large loses shares at random, then biases, until it fits. */
static void repair(const tern_update_analysis *a, double budget, dice *d, genes *g)
{
    weigh(a, g);
    while (g->bytes > budget) {
        int some[TERN_UPDATE_LAYERS], count = 0;
        for (int i = 0; i < a->count - 1; i++)
            if (g->share[i]) some[count++] = i;
        if (count)
            g->share[some[below(d, count)]]--;
        else
            g->biases--;
        weigh(a, g);
    }
}

/* A child of two: each gene from either, some changed. */
static genes child_of(const tern_update_analysis *a, dice *d, const genes *x, const genes *y)
{
    genes g = {.biases = below(d, 2) ? x->biases : y->biases};
    if (below(d, 4) == 0) g.biases = 1 + below(d, a->count);
    for (int i = 0; i < a->count - 1; i++) {
        g.share[i] = below(d, 2) ? x->share[i] : y->share[i];
        if (below(d, 6) == 0) g.share[i] = (unsigned char)below(d, TERN_UPDATE_SHARES + 1);
    }
    return g;
}

tern_status tern_update_evolve(const tern_update_analysis *a, double budget, uint64_t seed,
                               tern_update_choice *choice)
{
    dice d = {.rng = {.seed = seed, .stream = 5}};
    TERN_TRY(check_budget(a, budget));
    genes *all = tern_take_array(POPULATION, sizeof *all);
    if (!all) return tern_no_memory(POPULATION * sizeof *all, "a search");
    for (int i = 0; i < POPULATION; i++) {
        all[i].biases = i ? 1 + below(&d, a->count) : 1;
        for (int k = 0; i && k < a->count - 1; k++)
            all[i].share[k] = (unsigned char)below(&d, TERN_UPDATE_SHARES + 1);
        repair(a, budget, &d, &all[i]);
    }
    for (int round = 0; round < GENERATIONS; round++) {
        qsort(all, POPULATION, sizeof *all, by_gain);
        for (int i = PARENTS; i < POPULATION; i++) {
            all[i] = child_of(a, &d, &all[below(&d, PARENTS)], &all[below(&d, PARENTS)]);
            repair(a, budget, &d, &all[i]);
        }
    }
    qsort(all, POPULATION, sizeof *all, by_gain);
    express(a, &all[0], choice);
    tern_release(all);
    return TERN_OK;
}
