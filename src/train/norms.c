/* Statistics of batch norms, over many batches with the same weights. */
#include "train/norms.h"

#include "op/norm.h"
#include "op/op.h"

#include <string.h>

/* One norm: where its running statistics stand, and what was gathered of each channel: the sums of means and variances,
 * and of the squared distances of means from their mean so far. */
typedef struct norm_sums {
    int mean, variance; /* index in the store */
    int64_t channels;
    double *means, *spread, *variances; /* [channels] each */
} norm_sums;

typedef struct settling {
    tern_model model;
    tern_store *store;
    tern_arena arena;
    norm_sums *norms;
    int count, batches;
} settling;

static tern_status add_norm(settling *s, const tern_node *node)
{
    const tern_value_info *mean = tern_value_of(s->model.graph, node->in[3]),
                          *variance = tern_value_of(s->model.graph, node->in[4]);
    norm_sums *n = &s->norms[s->count++];
    n->mean = tern_store_find(s->store, mean->name);
    n->variance = tern_store_find(s->store, variance->name);
    n->channels = tern_elements(&mean->type.shape);
    n->means = tern_arena_take(&s->arena, 3 * (size_t)n->channels * sizeof *n->means);
    if (!n->means) return tern_no_memory(3 * (size_t)n->channels * sizeof *n->means, "statistics of norms");
    n->spread = n->means + n->channels;
    n->variances = n->spread + n->channels;
    return TERN_OK;
}

static tern_status find_norms(settling *s)
{
    const tern_graph *g = s->model.graph;
    s->norms = tern_arena_take(&s->arena, ((size_t)g->node_count + 1) * sizeof *s->norms);
    if (!s->norms) return tern_no_memory((size_t)g->node_count * sizeof *s->norms, "statistics of norms");
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i]->op == &tern_op_batch_norm) TERN_TRY(add_norm(s, g->nodes[i]));
    if (s->count) return TERN_OK;
    return tern_fail(TERN_USAGE, "net %s has no batch norms whose statistics could be taken anew",
                     s->model.net->name);
}

/* The statistics of one more batch, which a run has left in the store. */
static void gather(settling *s)
{
    s->batches++;
    for (int i = 0; i < s->count; i++) {
        norm_sums *n = &s->norms[i];
        const float *mean = s->store->tensors[n->mean].data, *variance = s->store->tensors[n->variance].data;
        for (int64_t c = 0; c < n->channels; c++) {
            double away = (double)mean[c] - n->means[c];
            n->means[c] += away / s->batches;
            n->spread[c] += away * ((double)mean[c] - n->means[c]);
            n->variances[c] += (double)variance[c];
        }
    }
}

static void write_back(settling *s)
{
    for (int i = 0; i < s->count; i++) {
        norm_sums *n = &s->norms[i];
        float *mean = s->store->tensors[n->mean].data, *variance = s->store->tensors[n->variance].data;
        for (int64_t c = 0; c < n->channels; c++) {
            mean[c] = (float)n->means[c];
            variance[c] = (float)((n->variances[c] + n->spread[c]) / s->batches);
        }
    }
    s->store->version++;
}

static tern_status gather_batches(settling *s, tern_loader *loader, int epoch, int most)
{
    const tern_batch *b;
    tern_loader_begin(loader, epoch, 0);
    while (s->batches < most && (b = tern_loader_next(loader)) != NULL) {
        TERN_TRY(tern_session_bind(s->model.session, "image", b->images));
        tern_session_reset(s->model.session);
        TERN_TRY(tern_session_run(s->model.session, 0));
        gather(s);
    }
    write_back(s);
    return TERN_OK;
}

tern_status tern_norms_settle(const tern_net *net, const void *parameters, const tern_samples *samples,
                              const tern_recipe *recipe, int epoch, tern_store *store, tern_pool *pool)
{
    settling s = {.store = store};
    tern_loader *loader = NULL;
    tern_shape sample = samples->images.shape;
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_loader_options options = {.batch = recipe->batch,
                                   .shuffle = true,
                                   .flip = recipe->flip,
                                   .crop = recipe->crop,
                                   .drop_last = true,
                                   .seed = recipe->seed};
    tern_status status =
        tern_model_open_statistics(&s.model, net, parameters, &sample, recipe->batch, store, pool);
    if (status == TERN_OK) status = find_norms(&s);
    if (status == TERN_OK) status = tern_loader_open(&loader, samples, &options);
    if (status == TERN_OK) status = gather_batches(&s, loader, epoch, recipe->norm_batches);
    tern_loader_close(loader);
    tern_model_close(&s.model);
    tern_arena_free(&s.arena);
    return status;
}
