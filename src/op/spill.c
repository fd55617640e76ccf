/* A tensor leaves a small memory, or comes back: copies, whose places a plan chooses (plan/moved.c). */
#include "op/op.h"

#include <string.h>

static tern_status same_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    tern_infer_out(types, types->in[0]->dtype, types->in[0]->shape);
    tern_infer_levels(types, types->in[0]->levels);
    return TERN_OK;
}

static tern_status same_grad(tern_grad *c)
{
    c->din[0] = c->dout[0];
    return TERN_OK;
}

static void copy_run(const tern_call *call)
{
    memcpy(call->out[0].data, call->in[0].data,
           tern_bytes_of(call->in[0].dtype, tern_elements(&call->in[0].shape)));
}

static tern_status copy_emit(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text, "    memcpy(out0, in0, %zu);\n",
                     tern_bytes_of(call->in[0].dtype, tern_elements(&call->in[0].shape)));
    return tern_text_status(to->text);
}

const tern_op tern_op_spill = {
    .name = "spill",
    .doc = "a copy in host memory",
    .infer = same_infer,
    .grad = same_grad,
    .work = tern_no_work,
    .run = copy_run,
    .emit = copy_emit,
};

const tern_op tern_op_retrieve = {
    .name = "retrieve",
    .doc = "a copy that comes back from host memory",
    .flags = TERN_OP_RANDOM, /* a parameter comes when the plan says, not once for all runs */
    .infer = same_infer,
    .grad = same_grad,
    .work = tern_no_work,
    .run = copy_run,
    .emit = copy_emit,
};
