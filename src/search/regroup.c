/* How many channels should see each other in what were depthwise convolutions: what it costs on a systolic array, and what it
 * does to accuracy.  The size of a group is the same in all layers, or the smallest that uses the array of each well enough. */
#include "search/search.h"

#include <math.h>
#include <string.h>

/* A net on the machine, step by step. */
typedef struct walk {
    tern_graph *graph;
    tern_program *program;
    tern_bill bill;
    tern_task_simulation *results;
} walk;

static void close_walk(walk *w)
{
    tern_bill_close(&w->bill);
    tern_release(w->results);
    tern_program_close(w->program);
    tern_graph_close(w->graph);
}

static tern_status simulate(walk *w, const tern_machine *m, tern_simulation *total)
{
    size_t count = (size_t)w->program->step_count + 1;
    w->results = tern_take_array(count, sizeof *w->results);
    if (!w->results) return tern_no_memory(count * sizeof *w->results, "a simulation");
    TERN_TRY(tern_bill_open(&w->bill, w->program, 1));
    return tern_machine_simulate(m, &w->bill.query, total, w->results);
}

static tern_status open_walk(walk *w, const tern_regroup_search *s, const void *parameters,
                             tern_simulation *total)
{
    *w = (walk){0};
    TERN_TRY(tern_model_graph(&w->graph, s->net, parameters, &s->input, 1, 0));
    tern_status status = tern_plan(&w->program, w->graph, &(tern_plan_options){.reference = true});
    if (status == TERN_OK) status = simulate(w, s->machine, total);
    if (status != TERN_OK) close_walk(w);
    return status;
}

/* The parameters of the net with this width; the caller frees them. */
static tern_status parameters_of(const tern_regroup_search *s, double width, void **parameters)
{
    TERN_TRY(tern_net_parameters(s->net, parameters));
    memcpy(*parameters, s->parameters, s->net->size);
    tern_status status = s->width ? tern_net_set(s->net, *parameters, s->width, width) : TERN_OK;
    if (status != TERN_OK) tern_net_free(*parameters);
    return status;
}

static tern_regroup *regroup_in(const tern_net *net, void *parameters)
{
    return (void *)((char *)parameters + net->regroup);
}

/* The smallest group that uses the array to `target` of what the best one does; a layer of C channels takes divisors of C. */
static int reuse_aware(const tern_regroup_search *s, const tern_unit *array,
                       const tern_product_shape *depthwise)
{
    double best = 0;
    for (int round = 0; round < 2; round++) {
        for (int g = 1; g <= s->most && g <= depthwise->count; g++) {
            if (depthwise->count % g) continue;
            tern_product_shape p = *depthwise;
            p.count /= g;
            p.n *= g;
            p.k *= g;
            double used = tern_array_product(array->rows, array->columns, array->dataflow, &p).utilisation;
            if (round == 0)
                best = fmax(best, used);
            else if (used >= s->target * best)
                return g;
        }
    }
    return 1;
}

static bool is_depthwise(const tern_product_shape *p)
{
    return p->images > 0 && p->count > 1 && p->n == 1;
}

/* Walks the net as it is, and in it chooses the groups. */
static tern_status choose(const tern_regroup_search *s, void *parameters, walk *plain,
                          tern_regroup_point *point)
{
    tern_simulation total;
    regroup_in(s->net, parameters)->group = 1;
    TERN_TRY(open_walk(plain, s, parameters, &total));
    point->regroup = (tern_regroup){.group = point->group ? point->group : 1};
    point->layers = 0;
    for (int i = 0; i < plain->program->step_count; i++) {
        const tern_product_shape *p = &plain->bill.tasks[i].product;
        if (!is_depthwise(p)) continue;
        if (point->group == 0 && point->layers < TERN_REGROUP_LAYERS)
            point->regroup.each[point->layers] = reuse_aware(s, tern_machine_array(s->machine), p);
        point->layers++;
    }
    return TERN_OK;
}

static bool was_depthwise(const walk *plain, const char *label)
{
    for (int i = 0; i < plain->program->step_count; i++)
        if (is_depthwise(&plain->bill.tasks[i].product) && strcmp(plain->bill.tasks[i].label, label) == 0)
            return true;
    return false;
}

static void average(const walk *w, const walk *plain, tern_regroup_point *point)
{
    int all = 0, regrouped = 0;
    point->convolutions = point->regrouped = 0;
    for (int i = 0; i < w->program->step_count; i++) {
        if (w->bill.tasks[i].product.images == 0) continue;
        point->convolutions += w->results[i].occupancy;
        all++;
        if (!was_depthwise(plain, w->bill.tasks[i].label)) continue;
        point->regrouped += w->results[i].occupancy;
        regrouped++;
    }
    if (all) point->convolutions /= all;
    if (regrouped) point->regrouped /= regrouped;
}

tern_status tern_regroup_measure(const tern_regroup_search *search, tern_regroup_point *point)
{
    void *parameters;
    walk plain, w;
    TERN_TRY(parameters_of(search, point->width, &parameters));
    tern_status status = choose(search, parameters, &plain, point);
    if (status == TERN_OK) {
        *regroup_in(search->net, parameters) = point->regroup;
        status = open_walk(&w, search, parameters, &point->simulation);
        if (status == TERN_OK) {
            average(&w, &plain, point);
            point->parameters = (double)tern_parameter_count(w.graph);
            close_walk(&w);
        }
        close_walk(&plain);
    }
    tern_net_free(parameters);
    point->accuracy = point->lowest = point->highest = NAN;
    return status;
}

tern_status tern_regroup_match(const tern_regroup_search *search, bool cycles, double limit, double low,
                               double high, tern_regroup_point *point)
{
    for (int step = 0;; step++) {
        point->width = high - step / 64.0;
        if (point->width < low) break;
        TERN_TRY(tern_regroup_measure(search, point));
        if ((cycles ? point->simulation.array_cycles : point->simulation.macs) <= limit) return TERN_OK;
    }
    return tern_fail(TERN_NO_FIT, "groups of %d: even width %g takes more %s than the net as it is",
                     point->group, low, cycles ? "cycles" : "multiply-accumulates");
}

static tern_status train_once(const tern_training *t, tern_pool *pool, double *accuracy)
{
    tern_store store = {0};
    tern_progress_state state = {0};
    tern_evaluation e;
    tern_training blind = *t; /* the test images are looked at once, at the end */
    blind.test = NULL;
    tern_status status = tern_train(&blind, &state, &store, pool);
    if (status == TERN_OK)
        status = tern_evaluate(&e, t->net, t->parameters, t->test, t->recipe.batch, 0, &store, pool);
    if (status == TERN_OK) {
        *accuracy = e.accuracy;
        tern_evaluation_free(&e);
    }
    tern_store_close(&store);
    return status;
}

tern_status tern_regroup_train(const tern_regroup_search *search, const tern_training *training, int seeds,
                               double share, tern_pool *pool, tern_regroup_point *point)
{
    void *parameters;
    tern_training t = *training;
    double sum = 0;
    TERN_TRY(parameters_of(search, point->width * share, &parameters));
    *regroup_in(search->net, parameters) = point->regroup;
    t.net = search->net;
    t.parameters = parameters;
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < seeds; i++) {
        double accuracy = 0;
        t.recipe.seed = training->recipe.seed + (uint64_t)i;
        status = train_once(&t, pool, &accuracy);
        sum += accuracy;
        point->lowest = i == 0 ? accuracy : fmin(point->lowest, accuracy);
        point->highest = i == 0 ? accuracy : fmax(point->highest, accuracy);
    }
    if (status == TERN_OK) point->accuracy = sum / seeds;
    tern_net_free(parameters);
    return status;
}
