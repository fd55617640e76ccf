/* Statistics of batch norms over one large batch. */
#include "train/norms.h"

#include "op/norm.h"
#include "op/op.h"

#include <string.h>

static tern_status check_norms(const tern_model *model)
{
    const tern_graph *g = model->graph;
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i]->op == &tern_op_batch_norm) return TERN_OK;
    return tern_fail(TERN_USAGE, "net %s has no batch norms whose statistics could be taken anew",
                     model->net->name);
}

static tern_status run(tern_model *model, tern_loader *loader, int epoch)
{
    tern_loader_begin(loader, epoch, 0);
    const tern_batch *b = tern_loader_next(loader);
    TERN_TRY(tern_session_bind(model->session, "image", b->images));
    tern_session_reset(model->session);
    return tern_session_run(model->session, 0);
}

tern_status tern_norms_settle(const tern_net *net, const void *parameters, const tern_samples *samples,
                              const tern_recipe *recipe, int epoch, tern_store *store, tern_pool *pool)
{
    tern_model model = {0};
    tern_loader *loader = NULL;
    tern_shape sample = samples->images.shape;
    int64_t count = sample.dim[0] < recipe->norm_samples ? sample.dim[0] : recipe->norm_samples;
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_loader_options options = {.batch = (int)count,
                                   .shuffle = true,
                                   .flip = recipe->flip,
                                   .crop = recipe->crop,
                                   .drop_last = true,
                                   .seed = recipe->seed};
    tern_status status =
        tern_model_open_statistics(&model, net, parameters, &sample, (int)count, store, pool);
    if (status == TERN_OK) status = check_norms(&model);
    if (status == TERN_OK) status = tern_loader_open(&loader, samples, &options);
    if (status == TERN_OK) status = run(&model, loader, epoch);
    tern_loader_close(loader);
    tern_model_close(&model);
    return status;
}
