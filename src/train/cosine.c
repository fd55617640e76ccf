/* How near the gradient of spatial learning (SLTT) is to that of the whole net through time (BPTT). */
#include "train/rule.h"

#include <math.h>
#include <string.h>

/* Loss and gradients of one batch under one of the two. */
typedef struct tern_side {
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    tern_store store; /* a copy: running statistics move */
    tern_learned learned;
} tern_side;

static void close_side(tern_side *s)
{
    tern_session_close(s->session);
    tern_program_close(s->program);
    tern_graph_close(s->graph);
    tern_store_close(&s->store);
}

static tern_status run_side(tern_side *s, const tern_training *t, const tern_shape *sample,
                            const tern_batch *b, bool through_time, const tern_store *store, tern_pool *pool)
{
    tern_recipe recipe = t->recipe;
    recipe.rule = TERN_SLTT;
    TERN_TRY(tern_graph_open(&s->graph, &(tern_graph_options){.training = true, .seed = recipe.seed}));
    TERN_TRY(tern_rule_net(s->graph, t->net, t->parameters, sample, recipe.batch, &recipe, through_time,
                           &s->learned));
    for (int i = 0; i < s->learned.count; i++)
        if (s->learned.grads[i].id)
            tern_output(s->graph, tern_value_of(s->graph, s->learned.params[i])->name, s->learned.grads[i]);
    TERN_TRY(tern_graph_status(s->graph));
    TERN_TRY(tern_hand_over(store, &s->store));
    TERN_TRY(tern_plan(&s->program, s->graph, NULL));
    TERN_TRY(tern_session_open(&s->session, s->program, &s->store, pool));
    TERN_TRY(tern_session_bind(s->session, "image", b->images));
    TERN_TRY(tern_session_bind(s->session, "labels", b->labels));
    return tern_session_run(s->session, 0);
}

/* a b / (|a| |b|); not a number when one of them is 0. */
static double cosine(const tern_tensor *a, const tern_tensor *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t e = 0; e < tern_elements(&a->shape); e++) {
        double x = tern_get(a, e), y = tern_get(b, e);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}

/* For each weight that has a gradient on both sides. */
static tern_status compare(tern_cosines *out, const tern_side *one, const tern_side *other)
{
    size_t count = (size_t)one->graph->output_count;
    int defined = 0;
    out->items = tern_arena_take(&out->arena, (count + 1) * sizeof *out->items);
    if (!out->items) return tern_no_memory(count * sizeof *out->items, "cosines");
    for (size_t i = 0; i < count; i++) {
        const char *name = one->graph->outputs[i].name;
        tern_tensor a, b;
        if (!tern_find_output(other->graph, name).id) continue;
        TERN_TRY(tern_session_output(one->session, name, &a));
        TERN_TRY(tern_session_output(other->session, name, &b));
        if (a.shape.rank < 2) continue;
        tern_cosine *c = &out->items[out->count++];
        *c = (tern_cosine){tern_arena_string(&out->arena, name), cosine(&a, &b)};
        if (!c->weight) return tern_no_memory(strlen(name), "cosines");
        if (isnan(c->cosine)) continue;
        out->mean += c->cosine;
        defined++;
    }
    out->mean /= defined;
    return TERN_OK;
}

tern_status tern_gradient_cosines(tern_cosines *cosines, const tern_training *t, const tern_store *store,
                                  tern_pool *pool)
{
    *cosines = (tern_cosines){0};
    tern_shape sample = t->train->images.shape;
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_loader *loader = NULL;
    tern_loader_options options = {.batch = t->recipe.batch,
                                   .shuffle = true,
                                   .time_first = tern_net_sees_clip(t->net, &sample),
                                   .seed = t->recipe.seed};
    tern_side sltt = {0}, bptt = {0};
    tern_status status = tern_loader_open(&loader, t->train, &options);
    if (status == TERN_OK) {
        tern_loader_begin(loader, 0, 0);
        const tern_batch *b = tern_loader_next(loader);
        status = run_side(&sltt, t, &sample, b, false, store, pool);
        if (status == TERN_OK) status = run_side(&bptt, t, &sample, b, true, store, pool);
    }
    if (status == TERN_OK) status = compare(cosines, &sltt, &bptt);
    close_side(&sltt);
    close_side(&bptt);
    tern_loader_close(loader);
    if (status != TERN_OK) tern_cosines_free(cosines);
    return status;
}

void tern_cosines_free(tern_cosines *cosines)
{
    tern_arena_free(&cosines->arena);
    *cosines = (tern_cosines){0};
}
