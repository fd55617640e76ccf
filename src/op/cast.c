/* The same numbers in another format. */
#include "op/op.h"

#include "kernel/cast.h"

typedef struct tern_cast_op {
    tern_dtype dtype;
} tern_cast_op;
static const char *const dtype_names[] = {"f32", "f16", "bf16", "f64", "i32", "i16", "i8", "u8", "bit", NULL};
static const tern_arg cast_args[] = {{.name = "dtype",
                                      .kind = TERN_ARG_CHOICE,
                                      .offset = offsetof(tern_cast_op, dtype),
                                      .doc = "format of the result",
                                      .choices = dtype_names},
                                     {0}};
_Static_assert(TERN_COUNT(dtype_names) == TERN_BIT + 2, "a name for each format of single elements");

static tern_status cast_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, 1));
    tern_dtype dtype = ((const tern_cast_op *)types->args)->dtype;
    if ((int)dtype < 0 || dtype > TERN_BIT || types->in[0]->dtype > TERN_BIT)
        return tern_infer_fail(
            types,
            "formats are %d and %d, expected two of f32 to bit (numbers 0 to %d): blocks are "
            "packed and unpacked as a whole",
            (int)types->in[0]->dtype, (int)dtype, TERN_BIT);
    tern_infer_out(types, dtype, types->in[0]->shape);
    return TERN_OK;
}

static void cast_run(const tern_call *call)
{
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < n; i++) {
        tern_set(&call->out[0], i, tern_get(&call->in[0], i));
        if (call->counter) call->counter->elementwise++;
    }
}

static bool is_real(tern_dtype dtype)
{
    return dtype == TERN_F32 || dtype == TERN_F16 || dtype == TERN_BF16 || dtype == TERN_F64;
}

/* A real result passes the gradient on, in the format of x where that is real; a rounded one is flat. */
static tern_status cast_grad(tern_grad *c)
{
    tern_dtype from = tern_dtype_of_value(c->graph, c->node->in[0]);
    if (is_real(((const tern_cast_op *)c->node->args)->dtype))
        c->din[0] = tern_cast(c->graph, c->dout[0], is_real(from) ? from : TERN_F32);
    return TERN_OK;
}

/* One operand f32, the other a format with loops of its own. */
static bool cast_matches(const tern_call *call)
{
    return tern_cast_has_loop(call->in[0].dtype, TERN_ARGS(tern_cast_op, call)->dtype);
}

static void cast_fast(const tern_call *call)
{
    tern_cast_loop(call->pool, tern_elements(&call->in[0].shape), call->in[0].dtype, call->in[0].data,
                   call->out[0].dtype, call->out[0].data);
}

/* Between floats and halves. */
static tern_status cast_emit(const tern_call *call, tern_emit *to)
{
    tern_dtype from = call->in[0].dtype, into = call->out[0].dtype;
    bool halves = from == TERN_F16 || from == TERN_BF16, makes = into == TERN_F16 || into == TERN_BF16;
    if (!(from == TERN_F32 && makes) && !(into == TERN_F32 && halves))
        return tern_fail(TERN_USAGE, "a cast from %s to %s is not written as C, only between f32 and halves",
                         tern_dtype_of(from)->name, tern_dtype_of(into)->name);
    tern_text_format(to->text, "    for (int i = 0; i < %lld; i++) out0[i] = %s_%s_float(in0[i]);\n",
                     (long long)tern_elements(&call->in[0].shape), tern_dtype_of(halves ? from : into)->name,
                     halves ? "to" : "of");
    return TERN_OK;
}

static const tern_fast cast_kernels[] = {{"loop", cast_matches, NULL, cast_fast}, {0}};

const tern_op tern_op_cast = {
    .name = "cast",
    .doc = "another format: rounds to nearest even, integers saturate, bits are 1 where x is not 0",
    .args = cast_args,
    .args_size = sizeof(tern_cast_op),
    .infer = cast_infer,
    .grad = cast_grad,
    .work = tern_work_inputs,
    .run = cast_run,
    .emit = cast_emit,
    .fast = cast_kernels,
};

tern_value tern_cast(tern_graph *graph, tern_value x, tern_dtype dtype)
{
    if (graph->status == TERN_OK && tern_dtype_of_value(graph, x) == dtype) return x;
    return tern_apply(graph, &tern_op_cast, &(tern_cast_op){dtype}, &x, 1, NULL);
}
