/* Element-wise operators in one pass: the steps of a node are records of the table, applied to each element one behind the
 * other, so that what one gives the next is not written to memory and read again.  tern_pass_fuse makes such nodes. */
#include "op/fuse.h"

#include <string.h>

/* ---- printed form: out0 = gelu(add(multiply(a, b), c)) ---------------------------------------------------------- */

static int readers_of(const tern_fused_op *f, int step)
{
    int count = 0;
    for (int s = 0; s < f->steps; s++)
        for (int i = 0; i < f->step[s].op->inputs; i++) count += f->step[s].in[i] == f->inputs + step;
    return count;
}

/* A step that others name: it is an output, or read more than once. */
static bool has_name(const tern_fused_op *f, int step)
{
    return f->step[step].out >= 0 || readers_of(f, step) > 1;
}

static void put_name(const tern_fused_op *f, int step, tern_text *text)
{
    if (f->step[step].out >= 0)
        tern_text_format(text, "out%d", f->step[step].out);
    else
        tern_text_format(text, "t%d", step);
}

static void put_step(const tern_fused_op *f, int step, tern_text *text)
{
    const tern_fused_step *s = &f->step[step];
    tern_text_format(text, "%s(", s->op->name);
    for (int i = 0; i < s->op->inputs; i++) {
        int in = s->in[i];
        if (i) tern_text_put(text, ", ");
        if (in < f->inputs)
            tern_text_format(text, "%c", 'a' + in);
        else if (has_name(f, in - f->inputs))
            put_name(f, in - f->inputs, text);
        else
            put_step(f, in - f->inputs, text);
    }
    for (const tern_arg *a = s->op->args; a && a->name; a++) {
        const double *value = (const double *)(const void *)((const char *)&s->constants + a->offset);
        tern_text_format(text, ", %s=%g", a->name, *value);
    }
    tern_text_put(text, ")");
}

static void print_steps(const void *args, tern_text *text)
{
    const tern_fused_op *f = args;
    const char *between = "";
    tern_text_put(text, "steps={");
    for (int s = 0; s < f->steps; s++) {
        if (!has_name(f, s)) continue;
        tern_text_put(text, between);
        put_name(f, s, text);
        tern_text_put(text, " = ");
        put_step(f, s, text);
        between = "; ";
    }
    tern_text_put(text, "}");
}

static const tern_arg fused_args[] = {
    TERN_ARG(tern_fused_op, shape, TERN_ARG_DIMS,
             "shape of the results; then the steps, a, b, .. being the inputs"),
    {0}};

/* ---- the record --------------------------------------------------------------------------------------------------- */

static int outputs_of(const tern_fused_op *f)
{
    int most = 0;
    for (int s = 0; s < f->steps; s++)
        if (f->step[s].out > most) most = f->step[s].out;
    return most + 1;
}

static tern_status fused_infer(tern_infer *types)
{
    const tern_fused_op *f = types->args;
    char a[96], b[96];
    if (f->steps < 1 || f->steps > TERN_ELEMENT_STEPS || f->inputs < 1 || f->inputs > TERN_ELEMENT_INPUTS)
        return tern_infer_fail(types, "%d steps over %d inputs, expected 1 to %d over 1 to %d", f->steps,
                               f->inputs, TERN_ELEMENT_STEPS, TERN_ELEMENT_INPUTS);
    TERN_TRY(tern_infer_inputs(types, f->inputs, f->inputs));
    tern_dtype dtype = TERN_F32;
    for (int i = 0; i < f->inputs; i++) {
        tern_shape shape;
        bool fits = tern_broadcast(&types->in[i]->shape, &f->shape, &shape);
        if (!fits || !tern_shape_equal(&shape, &f->shape))
            return tern_infer_fail(types, "input %d is %s, which does not broadcast to %s", i,
                                   tern_shape_text(a, &types->in[i]->shape), tern_shape_text(b, &f->shape));
        if (types->in[i]->dtype == TERN_F64) dtype = TERN_F64;
    }
    for (int i = 0; i < outputs_of(f); i++) tern_infer_out(types, dtype, f->shape);
    return TERN_OK;
}

/* One operation an element and step, as each operator says itself. */
static void fused_work(const tern_call *call, tern_work *work)
{
    const tern_fused_op *f = call->args;
    tern_tensor one = {.dtype = TERN_F32, .shape = f->shape};
    for (int s = 0; s < f->steps; s++) {
        tern_call step = {.op = f->step[s].op, .args = &f->step[s].constants, .out = &one, .nout = 1};
        f->step[s].op->work(&step, work);
    }
}

/* The definition: the definitions of the steps, element by element, with results rounded to the format of the outputs. */
static void fused_run(const tern_call *call)
{
    const tern_fused_op *f = call->args;
    tern_tensor element[TERN_ELEMENT_INPUTS + TERN_ELEMENT_STEPS];
    double memory[TERN_ELEMENT_INPUTS + TERN_ELEMENT_STEPS];
    for (int i = 0; i < f->inputs + f->steps; i++)
        element[i] = (tern_tensor){call->out[0].dtype, TERN_SHAPE(1), &memory[i]};
    int64_t n = tern_elements(&f->shape);
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < f->inputs; k++)
            tern_set(&element[k], 0,
                     tern_get(&call->in[k], tern_broadcast_index(&f->shape, &call->in[k].shape, i)));
        for (int s = 0; s < f->steps; s++) {
            const tern_fused_step *step = &f->step[s];
            tern_tensor in[3], *out = &element[f->inputs + s];
            for (int k = 0; k < step->op->inputs; k++) in[k] = element[step->in[k]];
            step->op->run(&(tern_call){.op = step->op,
                                       .args = &step->constants,
                                       .nin = step->op->inputs,
                                       .nout = 1,
                                       .in = in,
                                       .out = out,
                                       .counter = call->counter});
        }
        for (int s = 0; s < f->steps; s++) {
            int out = f->step[s].out;
            if (out >= 0 && call->out[out].data)
                tern_set(&call->out[out], i, tern_get(&element[f->inputs + s], 0));
        }
    }
}

/* t holds the inputs and results of one element; each step writes itself for a tensor of one element. */
static tern_status fused_emit(const tern_call *call, tern_emit *to)
{
    static char here;
    const tern_fused_op *f = call->args;
    tern_text *t = to->text;
    tern_tensor one = {TERN_F32, TERN_SHAPE(1), &here}, in[3] = {one, one, one};
    tern_write_loops(to, &f->shape);
    tern_text_format(t, "        float t[%d];\n", f->inputs + f->steps);
    for (int k = 0; k < f->inputs; k++) {
        tern_written at = tern_write_place(&call->in[k].shape, &f->shape);
        bool bits = call->in[k].dtype == TERN_BIT;
        tern_text_format(t, bits ? "        t[%d] = get_bit(in%d, %s);\n" : "        t[%d] = in%d[%s];\n", k,
                         k, at.text);
    }
    for (int s = 0; s < f->steps; s++) {
        const tern_fused_step *step = &f->step[s];
        tern_text_put(t, "        {\n");
        for (int k = 0; k < step->op->inputs; k++)
            tern_text_format(t, "        const float *in%d = t + %d;\n", k, step->in[k]);
        tern_text_format(t, "        float *out0 = t + %d;\n", f->inputs + s);
        TERN_TRY(step->op->emit(&(tern_call){.op = step->op,
                                             .args = &step->constants,
                                             .nin = step->op->inputs,
                                             .nout = 1,
                                             .in = in,
                                             .out = &one},
                                to));
        tern_text_put(t, "        }\n");
    }
    for (int s = 0; s < f->steps; s++)
        if (f->step[s].out >= 0 && call->out[f->step[s].out].data)
            tern_text_format(t, "        out%d[%s] = t[%d];\n", f->step[s].out,
                             tern_write_place(&f->shape, &f->shape).text, f->inputs + s);
    tern_write_end(to);
    return TERN_OK;
}

static void fused_fast(const tern_call *call)
{
    const tern_fused_op *f = call->args;
    tern_element_pass pass = {.rank = f->shape.rank, .inputs = f->inputs, .steps = f->steps};
    for (int i = 0; i < f->shape.rank; i++) pass.dim[i] = f->shape.dim[i];
    for (int i = 0; i < f->inputs; i++) pass.in[i] = tern_element_operand_of(&call->in[i], &f->shape);
    for (int s = 0; s < f->steps; s++) {
        const tern_fused_step *from = &f->step[s];
        pass.step[s] = (tern_element_step){
            .kind = from->op->element,
            .in = {from->in[0], from->in[1], from->in[2]},
            .constants = {(float)from->constants.p, (float)from->constants.q},
            .out = from->out >= 0 ? call->out[from->out].data : NULL,
        };
    }
    tern_element_run(call->pool, &pass);
}

static const tern_fast fused_kernels[] = {{"element", tern_element_matches, NULL, fused_fast}, {0}};

const tern_op tern_op_fused = {
    .name = "fused",
    .doc = "element-wise operators in one pass over memory",
    .args = fused_args,
    .args_size = sizeof(tern_fused_op),
    .print = print_steps,
    .inplace = {1},
    .infer = fused_infer,
    .work = fused_work,
    .run = fused_run,
    .emit = fused_emit,
    .fast = fused_kernels,
};
