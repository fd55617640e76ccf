/* An inference graph turned into one that multiplies changes only. */
#include "op/delta.h"
#include "quant/quant.h"

#include <string.h>

typedef struct tern_former {
    tern_rewrite r;
    const tern_delta_form *form;
    tern_value fresh;
    tern_value *
        change; /* [old id]: changes of a value that is quantised, or of a view of one; else the empty value */
    tern_value *raw; /* [old id]: its steps, by the old graph's ids */
} tern_former;

/* "<label>.<what>" of the layer that is being written. */
static tern_value state_of(tern_graph *g, const char *what, tern_dtype dtype, tern_shape shape)
{
    return tern_state(g, tern_layer_name(g, what), dtype, shape, (tern_init){0}, false);
}

static void form_levels(tern_former *f, const tern_node *node)
{
    tern_graph *g = f->r.to;
    int id = node->out[0].id;
    tern_value a = f->r.map[node->in[0].id], out[3] = {{0}};
    tern_graph_enter(g, node);
    tern_value old = state_of(g, "levels", TERN_I16, tern_shape_of(g, a));
    tern_value in[] = {a, f->r.map[node->in[1].id], old, f->fresh};
    tern_apply(g, &tern_op_delta_levels, NULL, in, 4, out);
    tern_next(g, old, out[0]);
    f->change[id] = out[1];
    f->r.map[id] = out[2];
    f->raw[id] = node->in[1];
}

static void copy_int(const tern_node *node, const char *name, int *to)
{
    for (const tern_arg *a = node->op->args; a && a->name; a++)
        if (strcmp(a->name, name) == 0) *to = *(const int *)((const char *)node->args + a->offset);
}

/* Steps q [C] or fewer, shared by neighbours, as they can be folded into weights of `channels` inputs. */
static tern_value steps_of(tern_former *f, const tern_node *node, int64_t channels)
{
    tern_graph *g = f->r.to;
    tern_value raw = f->r.map[f->raw[node->in[0].id].id];
    tern_shape shape = tern_shape_of(g, raw);
    int64_t count = tern_elements(&shape);
    if (g->status == TERN_OK && (count > channels || channels % count))
        return tern_graph_fail(g,
                               "layer %s: steps of single neurons cannot be folded into the weights of a "
                               "convolution; train with "
                               "steps by channel or layer (--delta-per 0 or 2)",
                               node->layer);
    return tern_reshape(g, raw, TERN_SHAPE(count));
}

static tern_value bias_of(tern_former *f, const tern_node *node, int64_t outputs)
{
    tern_graph *g = f->r.to;
    if (node->nin > 2 && node->in[2].id) return f->r.map[node->in[2].id];
    float *zeros = tern_arena_take(&g->arena, (size_t)outputs * sizeof *zeros);
    if (!zeros) return tern_graph_no_memory(g);
    memset(zeros, 0, (size_t)outputs * sizeof *zeros);
    return tern_constant(g, &(tern_tensor){TERN_F32, TERN_SHAPE(outputs), zeros});
}

/* z and y of a product over changes [..,C,H,W]. */
static tern_value apply_product(tern_former *f, const tern_node *node, tern_delta_op op, tern_value change,
                                tern_value weight, tern_shape y)
{
    tern_graph *g = f->r.to;
    tern_shape w = tern_shape_of(g, weight), sums = y;
    tern_value packed[3] = {{0}}, out[3] = {{0}};
    tern_value in[] = {weight, bias_of(f, node, w.dim[0]), steps_of(f, node, w.dim[1] * op.groups)};
    tern_apply(g, &tern_op_delta_weight, &op, in, 3, packed);
    sums.dim[y.rank - 3] = y.dim[y.rank - 2];
    sums.dim[y.rank - 2] = y.dim[y.rank - 1];
    sums.dim[y.rank - 1] = y.dim[y.rank - 3];
    tern_value z = state_of(g, "sums", op.integer ? TERN_I32 : TERN_F32, sums);
    tern_value operands[] = {z, change, packed[0], packed[1], f->fresh, packed[2]};
    tern_apply(g, &tern_op_delta_product, &op, operands, op.integer ? 6 : 5, out);
    tern_next(g, z, out[0]);
    tern_output(g, tern_layer_name(g, "multiplications"), out[2]);
    return out[1];
}

static void form_product(tern_former *f, const tern_node *node)
{
    tern_graph *g = f->r.to;
    tern_delta_op op = {1, 0, 1, 1, f->form->integer, f->form->dense};
    tern_value change = f->change[node->in[0].id], weight = f->r.map[node->in[1].id];
    tern_shape y = tern_shape_of(f->r.from, node->out[0]), out = y;
    tern_graph_enter(g, node);
    if (node->op == &tern_op_linear) { /* rows become images of one pixel */
        tern_shape x = tern_shape_of(g, change), w = tern_shape_of(g, weight);
        int64_t inputs = x.dim[x.rank - 1], rows = inputs ? tern_elements(&x) / inputs : 0;
        change = tern_reshape(g, change, TERN_SHAPE(rows, inputs, 1, 1));
        weight = tern_reshape(g, weight, TERN_SHAPE(w.dim[0], inputs, 1, 1));
        out = TERN_SHAPE(rows, w.dim[0], 1, 1);
    } else {
        copy_int(node, "stride", &op.stride);
        copy_int(node, "pad", &op.pad);
        copy_int(node, "dilation", &op.dilation);
        copy_int(node, "groups", &op.groups);
    }
    f->r.map[node->out[0].id] = tern_reshape(g, apply_product(f, node, op, change, weight, out), y);
}

static void form_node(tern_former *f, const tern_node *node)
{
    int first = node->nin ? node->in[0].id : 0;
    bool changes = first && f->change[first].id;
    if (node->op == &tern_op_quantise) {
        form_levels(f, node);
    } else if (changes && (node->op == &tern_op_conv2d || node->op == &tern_op_linear)) {
        form_product(f, node);
    } else {
        tern_rewrite_node(&f->r, node);
        if (!changes || node->op != &tern_op_reshape) return;
        tern_shape shape = tern_shape_of(f->r.to, f->r.map[node->out[0].id]);
        f->change[node->out[0].id] = tern_reshape(f->r.to, f->change[first], shape);
        f->raw[node->out[0].id] = f->raw[first];
    }
}

tern_status tern_pass_delta_form(const tern_graph *from, const tern_delta_form *form, tern_graph **to)
{
    tern_former f = {.form = form};
    TERN_TRY(tern_rewrite_open(&f.r, from));
    f.change = tern_take_array(2 * (size_t)from->value_count, sizeof *f.change);
    f.fresh = tern_input(f.r.to, "fresh", TERN_I32, TERN_SHAPE(1));
    if (!f.change) {
        tern_graph_no_memory(f.r.to);
    } else {
        f.raw = f.change + from->value_count;
        for (int n = 0; n < from->node_count; n++) form_node(&f, from->nodes[n]);
    }
    tern_release(f.change);
    return tern_rewrite_close(&f.r, to);
}
