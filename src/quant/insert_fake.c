/* Products whose operands are rounded as they will be in bytes, so that training gets used to it. */
#include "op/fake_quantise.h"
#include "quant/quant.h"

/* rows: a scale for each index of the first axis, which of transposed convolutions are inputs. */
static tern_value rounded(tern_graph *g, tern_value x, int bits, bool weight, bool rows)
{
    tern_fake_quantise_op args = {.bits = bits, .rows = rows, .whole = !weight};
    return tern_apply(g, &tern_op_fake_quantise, &args, &x, 1, NULL);
}

tern_status tern_pass_insert_fake(const tern_graph *from, int bits, tern_graph **to)
{
    tern_rewrite r;
    TERN_TRY(tern_rewrite_open(&r, from));
    tern_value *fake =
        tern_take_array((size_t)from->value_count, sizeof *fake); /* [old id]: rounded already */
    if (!fake) tern_graph_no_memory(r.to);
    for (int n = 0; fake && n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        bool product = node->op == &tern_op_conv2d || node->op == &tern_op_conv2d_transposed ||
                       node->op == &tern_op_linear;
        tern_value kept[2] = {{0}};
        for (int i = 0; product && i < 2; i++) {
            int id = node->in[i].id;
            tern_value x = kept[i] = r.map[id];
            const char *layer = tern_arena_string(&r.to->arena, node->layer);
            if (tern_dtype_of_value(r.to, x) == TERN_BIT) continue; /* spikes have one bit */
            r.to->layer = layer ? layer : "";
            r.to->phase = node->phase;
            if (!fake[id].id)
                fake[id] =
                    rounded(r.to, x, i ? bits : 8, i == 1, i == 1 && node->op != &tern_op_conv2d_transposed);
            r.map[id] = fake[id];
        }
        tern_rewrite_node(&r, node);
        for (int i = 0; product && i < 2; i++) r.map[node->in[i].id] = kept[i];
    }
    tern_release(fake);
    return tern_rewrite_close(&r, to);
}
