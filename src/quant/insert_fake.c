/* Products and sums whose operands are rounded as they will be in bytes, so that training gets used to it. */
#include "op/element.h"
#include "op/fake_quantise.h"
#include "quant/quant.h"

static tern_value rounded(tern_graph *g, tern_value x, int bits, bool weight)
{
    tern_fake_quantise_op args = {.bits = bits, .rows = weight, .whole = !weight};
    return tern_apply(g, &tern_op_fake_quantise, &args, &x, 1, NULL);
}

/* Weights have a scale for each output: those of transposed convolutions are [C,O,KH,KW]. */
static tern_value rounded_weight(tern_graph *g, tern_value w, int bits, bool transposed)
{
    if (!transposed) return rounded(g, w, bits, true);
    w = rounded(g, tern_permute(g, w, TERN_SHAPE(1, 0, 2, 3)), bits, true);
    return tern_permute(g, w, TERN_SHAPE(1, 0, 2, 3));
}

static bool is_product(const tern_op *op)
{
    return op == &tern_op_conv2d || op == &tern_op_conv2d_transposed || op == &tern_op_linear;
}

tern_status tern_pass_insert_fake(const tern_graph *from, const tern_qat_parameters *how, tern_graph **to)
{
    tern_rewrite r;
    if (how->activations != 8 && how->activations != 16)
        return tern_fail(TERN_USAGE, "act-bits %d: expected 8 or 16", how->activations);
    TERN_TRY(tern_rewrite_open(&r, from));
    tern_value *fake =
        tern_take_array((size_t)from->value_count, sizeof *fake); /* [old id]: rounded already */
    if (!fake) tern_graph_no_memory(r.to);
    for (int n = 0; fake && n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        bool weights = is_product(node->op), rounds = weights || node->op == &tern_op_add;
        tern_value kept[2] = {{0}};
        for (int i = 0; rounds && i < 2; i++) {
            int id = node->in[i].id;
            tern_value x = kept[i] = r.map[id];
            if (tern_dtype_of_value(r.to, x) != TERN_F32) continue; /* spikes have one bit */
            tern_graph_enter(r.to, node);
            bool weight = weights && i == 1;
            if (!weight && how->activations == 16) continue;
            if (!fake[id].id)
                fake[id] = weight ? rounded_weight(r.to, x, how->bits, node->op == &tern_op_conv2d_transposed)
                                  : rounded(r.to, x, 8, false);
            r.map[id] = fake[id];
        }
        tern_rewrite_node(&r, node);
        for (int i = 0; rounds && i < 2; i++) r.map[node->in[i].id] = kept[i];
    }
    tern_release(fake);
    return tern_rewrite_close(&r, to);
}
