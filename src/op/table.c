/* The operators as an array, and what the families share. */
#include "op/op.h"

#include <string.h>

#define TERN_LIST_OP(name) &tern_op_##name,
const tern_op *const tern_operators[] = {TERN_OPERATORS(TERN_LIST_OP) NULL};

const tern_op *tern_operator_find(const char *name)
{
    for (int i = 0; tern_operators[i]; i++)
        if (strcmp(tern_operators[i]->name, name) == 0) return tern_operators[i];
    return NULL;
}

bool tern_broadcast(const tern_shape *a, const tern_shape *b, tern_shape *out)
{
    int rank = a->rank > b->rank ? a->rank : b->rank;
    tern_shape s = {.rank = rank};
    for (int i = 1; i <= rank; i++) {
        int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
        int64_t db = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (da != db && da != 1 && db != 1) return false;
        s.dim[rank - i] = da == 1 ? db : da;
    }
    *out = s;
    return true;
}

int64_t tern_broadcast_index(const tern_shape *to, const tern_shape *from, int64_t i)
{
    int64_t index = 0, stride = 1;
    for (int k = 1; k <= to->rank; k++) {
        int64_t at = i % to->dim[to->rank - k];
        i /= to->dim[to->rank - k];
        if (k > from->rank) continue;
        int64_t dim = from->dim[from->rank - k];
        if (dim != 1) index += at * stride;
        stride *= dim;
    }
    return index;
}

tern_value tern_apply1(tern_graph *graph, const tern_op *op, tern_value x)
{
    return tern_apply(graph, op, NULL, &x, 1, NULL);
}

tern_value tern_apply2(tern_graph *graph, const tern_op *op, tern_value a, tern_value b)
{
    return tern_apply(graph, op, NULL, (tern_value[]){a, b}, 2, NULL);
}

void tern_no_work(const tern_call *call, tern_work *work)
{
    (void)call;
    (void)work;
}

void tern_work_outputs(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->out[0].shape);
}

void tern_work_inputs(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[0].shape);
}

void tern_special_inputs(const tern_call *call, tern_work *work)
{
    work->specials += (double)tern_elements(&call->in[0].shape);
}

bool tern_all_f32(const tern_call *call)
{
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != TERN_F32) return false;
    return true;
}

void tern_work_product(const tern_call *call, int operand, double elements, double fan_out, tern_work *work)
{
    const tern_tensor *x = &call->in[operand];
    double density = call->density ? call->density[operand] : 1;
    int levels = operand == 0 ? call->levels : 0;
    if (x->dtype != TERN_BIT && levels == 0)
        work->macs += elements * fan_out;
    else if (!x->data)
        work->accumulates += density * elements * fan_out * (levels ? levels : 1);
    else if (x->dtype == TERN_BIT)
        work->accumulates += (double)tern_count_bits(x) * fan_out;
    else
        for (int64_t i = 0; i < tern_elements(&x->shape); i++)
            work->accumulates += tern_spikes_of(levels, tern_get(x, i)) * fan_out;
}

static tern_value add_gradients(tern_graph *graph, tern_value a, tern_value b)
{
    return tern_apply2(graph, &tern_op_add, a, b);
}

const tern_gradient_ops tern_default_gradient_ops = {.add = add_gradients};

tern_status tern_gradients(tern_graph *graph, tern_value loss, const tern_value *wrt, int count,
                           tern_value *grads)
{
    TERN_TRY(tern_graph_status(graph));
    tern_shape shape = tern_shape_of(graph, loss);
    if (tern_elements(&shape) != 1) {
        char text[96];
        return tern_fail(TERN_FAILED,
                         "gradients: the loss must be one number, found %s; take its mean or sum",
                         tern_shape_text(text, &shape));
    }
    tern_value one = tern_scalar(graph, 1.0);
    if (shape.rank != 1) one = tern_reshape(graph, one, shape);
    return tern_gradients_seeded(graph, &loss, &one, 1, wrt, count, grads, &tern_default_gradient_ops);
}
