/* What operators that work element by element share. */
#include "op/element.h"

tern_status tern_element_infer(tern_infer *types)
{
    int inputs = types->op->inputs;
    TERN_TRY(tern_infer_inputs(types, inputs, inputs));
    tern_shape shape = types->in[0]->shape;
    tern_dtype dtype = TERN_F32;
    char a[96], b[96];
    for (int i = 0; i < inputs; i++) {
        const tern_type *x = types->in[i];
        if (!tern_broadcast(&shape, &x->shape, &shape))
            return tern_infer_fail(types, "shapes %s and %s do not broadcast: dimensions must be equal or 1",
                                   tern_shape_text(a, &shape), tern_shape_text(b, &x->shape));
        if (x->dtype == TERN_F64) dtype = TERN_F64;
    }
    tern_infer_out(types, dtype, shape);
    return TERN_OK;
}

void tern_element_define(const tern_call *call, tern_element_definition *f)
{
    const tern_tensor *y = &call->out[0];
    int64_t n = tern_elements(&y->shape);
    for (int64_t i = 0; i < n; i++) {
        double x[3];
        for (int k = 0; k < call->nin; k++)
            x[k] = tern_get(&call->in[k], tern_broadcast_index(&y->shape, &call->in[k].shape, i));
        tern_set(y, i, f(x, call->args));
        if (call->counter) call->counter->elementwise++;
    }
}

bool tern_element_matches(const tern_call *call)
{
    for (int i = 0; i < call->nin; i++)
        if (call->in[i].dtype != TERN_F32 && call->in[i].dtype != TERN_BIT) return false;
    return true;
}

tern_element_operand tern_element_operand_of(const tern_tensor *x, const tern_shape *to)
{
    tern_element_operand o = {.data = x->data, .bits = x->dtype == TERN_BIT};
    int64_t stride = 1;
    for (int k = 1; k <= x->shape.rank; k++) {
        int64_t dim = x->shape.dim[x->shape.rank - k];
        o.stride[to->rank - k] = dim == 1 ? 0 : stride;
        stride *= dim;
    }
    return o;
}

void tern_element_fast(const tern_call *call)
{
    const tern_shape *shape = &call->out[0].shape;
    tern_element_pass pass = {.rank = shape->rank, .inputs = call->nin, .steps = 1};
    for (int i = 0; i < shape->rank; i++) pass.dim[i] = shape->dim[i];
    tern_element_step *step = &pass.step[0];
    step->kind = call->op->element;
    step->out = call->out[0].data;
    for (int i = 0; i < call->nin; i++) {
        pass.in[i] = tern_element_operand_of(&call->in[i], shape);
        step->in[i] = i;
    }
    const tern_element_args *a = call->args;
    if (call->op->args_size) {
        step->constants[0] = (float)a->p;
        step->constants[1] = (float)a->q;
    }
    tern_element_run(call->pool, &pass);
}

const tern_fast tern_element_kernels[] = {{"element", tern_element_matches, NULL, tern_element_fast}, {0}};
