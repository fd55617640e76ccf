/* A trained net of depthwise convolutions goes on as one of group convolutions that computes the same: new taps begin at 0. */
#include "train/train.h"

#include "op/op.h"

#include <string.h>

/* One parameter or kept state of the new net from the tensor that has its name. */
static tern_status take_over(const tern_tensor *old, const tern_value_info *v, uint64_t seed, tern_store *to)
{
    int index;
    TERN_TRY(tern_store_need(to, v->name, &v->type, v->init, seed, &index));
    tern_tensor *fresh = &to->tensors[index];
    bool same = tern_elements(&old->shape) == tern_elements(&fresh->shape);
    bool widened = old->shape.rank == 4 && fresh->shape.rank == 4 && old->shape.dim[1] == 1 &&
                   old->shape.dim[0] == fresh->shape.dim[0] && old->shape.dim[2] == fresh->shape.dim[2] &&
                   old->shape.dim[3] == fresh->shape.dim[3];
    if (same && old->dtype == fresh->dtype)
        memcpy(fresh->data, old->data, tern_bytes_of(old->dtype, tern_elements(&old->shape)));
    else if (widened)
        tern_regroup_weight(old, fresh);
    else
        return tern_fail(TERN_FAILED, "\"%s\" belongs to another net: its shape does not lead to the new one",
                         v->name);
    return TERN_OK;
}

tern_status tern_regroup_store(const tern_store *from, const tern_net *net, const void *parameters,
                               const tern_shape *sample, tern_store *to)
{
    tern_graph *g = NULL;
    TERN_TRY(tern_model_graph(&g, net, parameters, sample, 1, 0));
    tern_status status = TERN_OK;
    for (int i = 1; status == TERN_OK && i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        bool stored = v->kind == TERN_VALUE_PARAM || (v->kind == TERN_VALUE_STATE && v->kept);
        int old = stored ? tern_store_find(from, v->name) : 0;
        if (stored && old < 0)
            status = tern_fail(TERN_FAILED, "the trained net has no \"%s\"", v->name);
        else if (stored)
            status = take_over(&from->tensors[old], v, 0, to);
    }
    tern_graph_close(g);
    return status;
}
