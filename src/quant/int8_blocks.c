/* Blocks of transformers in a graph of bytes, found by what they are made of, become one operator each (op/int8_block.h). */
#include "op/int8_block.h"
#include "quant/quant.h"

#include <string.h>

typedef struct finder {
    const tern_graph *from;
    tern_rewrite rewrite;
    const tern_int8_blocks *how;
    int *readers; /* [value], outputs among them */
    bool *taken;  /* [node]: is part of a block */
} finder;

/* A block while it is looked for, from its end to its beginning: operands from the last to the first. */
enum { MOST_OPERANDS = 2 * TERN_BLOCK_MOST * TERN_BLOCK_LAYER + 16, MOST_NODES = 2 * TERN_BLOCK_MOST + 16 };
typedef struct found {
    tern_value operands[MOST_OPERANDS];
    int operand_count;
    int nodes[MOST_NODES];
    int node_count;
} found;

/* ---- looking back ----------------------------------------------------------------------------------------------------- */

/* The node that makes a value, if that is read `readers` times (0: however often) and its operator is `op`; it becomes part of
 * the block.  NULL: it is no such node. */
static const tern_node *maker(const finder *f, found *b, int value, const tern_op *op, int readers)
{
    const tern_value_info *v = &f->from->values[value];
    if (v->kind != TERN_VALUE_NODE || (readers && f->readers[value] != readers)) return NULL;
    const tern_node *node = f->from->nodes[v->node];
    if (node->op != op || f->taken[v->node] || b->node_count == MOST_NODES) return NULL;
    b->nodes[b->node_count++] = v->node;
    return node;
}

/* Steps over reshapes, each read once. */
static int behind_reshapes(const finder *f, found *b, int value)
{
    const tern_node *node;
    while ((node = maker(f, b, value, &tern_op_reshape, 1)) != NULL) value = node->in[0].id;
    return value;
}

static void put(found *b, tern_value operand)
{
    if (b->operand_count < MOST_OPERANDS) b->operands[b->operand_count++] = operand;
}

/* Linear layers one behind the other that end in `value`, each read once: returns how many, and what goes in. */
static int layers(const finder *f, found *b, int *value)
{
    int count = 0;
    const tern_node *node;
    while (count < TERN_BLOCK_MOST && (node = maker(f, b, *value, &tern_op_linear_int8, 1)) != NULL) {
        for (int i = TERN_PRODUCT_OPERANDS - 1; i >= TERN_IN_W; i--) put(b, node->in[i]);
        *value = node->in[TERN_IN_X].id;
        count++;
    }
    return count;
}

/* A norm of x: what every block begins with. */
static bool norm_of(const finder *f, found *b, int value, tern_value x)
{
    const tern_node *node = maker(f, b, value, &tern_op_layer_norm_int8, 1);
    if (!node || node->in[0].id != x.id) return false;
    for (int i = 3; i >= 1; i--) put(b, node->in[i]);
    put(b, x);
    return true;
}

static bool permutes(const tern_node *node, tern_shape order)
{
    const tern_shape *found_order = (const void *)((const char *)node->args + node->op->args[0].offset);
    return tern_shape_equal(found_order, &order);
}

/* ---- the blocks --------------------------------------------------------------------------------------------------------- */

static bool is_mlp(const finder *f, const tern_node *sum, found *b, tern_int8_block_op *args)
{
    int value = sum->in[1].id;
    put(b, sum->in[2]);
    args->after = layers(f, b, &value);
    const tern_node *table = args->after ? maker(f, b, value, &tern_op_table_int8, 1) : NULL;
    if (!table) return false;
    put(b, table->in[1]);
    value = table->in[0].id;
    args->before = layers(f, b, &value);
    return args->before && norm_of(f, b, value, sum->in[0]);
}

/* Queries, keys or values: part `which` of what one layer makes, with the heads in front of the tokens. */
static const tern_node *part_of(const finder *f, found *b, int value, int which)
{
    const tern_node *slice = maker(f, b, behind_reshapes(f, b, value), &tern_op_slice, 1);
    if (!slice || tern_int_argument(slice, "axis") != 0 || tern_int_argument(slice, "first") != which ||
        tern_int_argument(slice, "count") != 1)
        return NULL;
    const tern_value_info *v = &f->from->values[slice->in[0].id];
    const tern_node *permute = v->kind == TERN_VALUE_NODE ? f->from->nodes[v->node] : NULL;
    bool fits = permute && permute->op == &tern_op_permute && f->readers[slice->in[0].id] == 3 &&
                permutes(permute, TERN_SHAPE(2, 0, 3, 1, 4));
    return fits ? permute : NULL;
}

static bool is_attention(const finder *f, const tern_node *sum, found *b, tern_int8_block_op *args)
{
    int value = sum->in[1].id;
    put(b, sum->in[2]);
    args->after = layers(f, b, &value);
    const tern_node *permute =
        args->after ? maker(f, b, behind_reshapes(f, b, value), &tern_op_permute, 1) : NULL;
    if (!permute || !permutes(permute, TERN_SHAPE(0, 2, 1, 3))) return false;
    const tern_node *attention =
        maker(f, b, behind_reshapes(f, b, permute->in[0].id), &tern_op_attention_int8, 1);
    if (!attention) return false;
    const tern_node *parts[3];
    for (int i = 0; i < 3; i++) parts[i] = part_of(f, b, attention->in[i].id, i);
    if (!parts[0] || parts[1] != parts[0] || parts[2] != parts[0]) return false;
    put(b, attention->in[4]);
    put(b, attention->in[3]);
    maker(f, b, parts[0]->out[0].id, &tern_op_permute, 3);
    args->heads = (int)tern_shape_of(f->from, attention->in[0]).dim[1];
    value = behind_reshapes(f, b, parts[0]->in[0].id);
    args->before = layers(f, b, &value);
    return args->before && tern_shape_of(f->from, attention->in[0]).rank == 4 &&
           norm_of(f, b, value, sum->in[0]);
}

/* Places added to a first token and the patches of an image.  Operands here are in their order. */
static bool is_patches(const finder *f, const tern_node *sum, found *b, tern_int8_patches_op *args)
{
    const tern_node *concat = maker(f, b, sum->in[0].id, &tern_op_concat, 1);
    if (!concat || concat->nin != 2 || tern_int_argument(concat, "axis") != 1) return false;
    const tern_node *permute = maker(f, b, concat->in[1].id, &tern_op_permute, 1);
    if (!permute || !permutes(permute, TERN_SHAPE(0, 2, 1))) return false;
    const tern_node *conv = maker(f, b, behind_reshapes(f, b, permute->in[0].id), &tern_op_conv2d_int8, 1);
    if (!conv) return false;
    tern_shape w = tern_shape_of(f->from, conv->in[TERN_IN_W]);
    const tern_conv_op *a = conv->args;
    bool whole = a->stride == w.dim[2] && w.dim[2] == w.dim[3] && a->groups == 1 && a->dilation == 1 &&
                 !a->top && !a->left && !a->bottom && !a->right;
    if (!whole) return false;
    tern_value image = conv->in[TERN_IN_X], first = concat->in[0];
    const tern_node *quantise = maker(f, b, image.id, &tern_op_quantise_int8, 1),
                    *expand = maker(f, b, first.id, &tern_op_expand, 0);
    args->pad = a->pad;
    args->stream = f->how->stream && tern_shape_of(f->from, image).dim[0] == 1;
    for (int i = 0; i < 3; i++) put(b, quantise ? quantise->in[i] : i ? (tern_value){0} : image);
    for (int i = TERN_IN_W; i < TERN_PRODUCT_OPERANDS; i++) put(b, conv->in[i]);
    put(b, expand ? expand->in[0] : first);
    put(b, sum->in[1]);
    put(b, sum->in[2]);
    return tern_value_of(f->from, b->operands[0])->kind == TERN_VALUE_INPUT;
}

/* ---- the new graph --------------------------------------------------------------------------------------------------------- */

/* The block in place of its last node. */
static void replace(finder *f, const tern_node *last, const found *b, const tern_op *op, const void *args,
                    bool backwards)
{
    tern_graph *to = f->rewrite.to;
    tern_value operands[MOST_OPERANDS];
    for (int i = 0; i < b->operand_count; i++)
        operands[i] = f->rewrite.map[b->operands[backwards ? b->operand_count - 1 - i : i].id];
    tern_graph_enter(to, f->from->nodes[b->nodes[b->node_count - 1]]);
    f->rewrite.map[last->out[0].id] = tern_apply(to, op, args, operands, b->operand_count, NULL);
}

/* Whether a sum ends a block.  Nodes are marked from the end of the graph, before any is copied. */
typedef enum kind { NONE, MLP, ATTENTION, PATCHES } kind;
typedef struct ending {
    kind kind;
    found parts;
    tern_int8_block_op block;
    tern_int8_patches_op patches;
} ending;

static void look(finder *f, const tern_node *sum, ending *e)
{
    bool (*const blocks[])(const finder *, const tern_node *, found *, tern_int8_block_op *) = {is_mlp,
                                                                                                is_attention};
    *e = (ending){.kind = NONE};
    tern_shape x = tern_shape_of(f->from, sum->in[0]), y = tern_shape_of(f->from, sum->out[0]);
    if (!tern_shape_equal(&x, &y)) return;
    for (int i = 0; f->how->fuse && !e->kind && i < 2; i++) {
        *e = (ending){.block = {.tokens = f->how->tokens}};
        if (blocks[i](f, sum, &e->parts, &e->block)) e->kind = i ? ATTENTION : MLP;
    }
    if (e->kind || !(f->how->fuse || f->how->stream)) return;
    e->parts = (found){0};
    if (is_patches(f, sum, &e->parts, &e->patches)) e->kind = PATCHES;
}

static void copy_nodes(finder *f, const ending *endings)
{
    for (int n = 0; n < f->from->node_count; n++) {
        const tern_node *node = f->from->nodes[n];
        const ending *e = &endings[n];
        if (e->kind == PATCHES)
            replace(f, node, &e->parts, &tern_op_patches_int8, &e->patches, false);
        else if (e->kind)
            replace(f, node, &e->parts, e->kind == MLP ? &tern_op_mlp_int8 : &tern_op_attention_block_int8,
                    &e->block, true);
        else if (!f->taken[n])
            tern_rewrite_node(&f->rewrite, node);
    }
}

tern_status tern_pass_int8_blocks(const tern_graph *from, const tern_int8_blocks *how, tern_graph **to)
{
    size_t nodes = (size_t)from->node_count, values = (size_t)from->value_count;
    finder f = {.from = from, .how = how};
    tern_status status = TERN_OK;
    ending *endings = tern_take_array(nodes + 1, sizeof *endings);
    f.readers = tern_take_array(values, sizeof *f.readers);
    f.taken = tern_take_array(nodes + 1, sizeof *f.taken);
    if (!endings || !f.readers || !f.taken) status = tern_no_memory(nodes * sizeof *endings, "a graph pass");
    if (status == TERN_OK) status = tern_rewrite_open(&f.rewrite, from);
    if (status == TERN_OK) {
        for (int n = 0; n < from->node_count; n++)
            for (int i = 0; i < from->nodes[n]->nin; i++) f.readers[from->nodes[n]->in[i].id]++;
        for (int i = 0; i < from->output_count; i++) f.readers[from->outputs[i].value.id]++;
        for (int n = from->node_count - 1; n >= 0; n--) {
            if (f.taken[n] || from->nodes[n]->op != &tern_op_add_int8) continue;
            look(&f, from->nodes[n], &endings[n]);
            for (int i = 0; endings[n].kind && i < endings[n].parts.node_count; i++)
                f.taken[endings[n].parts.nodes[i]] = true;
        }
        copy_nodes(&f, endings);
        status = tern_rewrite_close(&f.rewrite, to);
    }
    tern_release(endings);
    tern_release(f.readers);
    tern_release(f.taken);
    return status;
}

bool tern_int8_streams(const tern_op *op, const void *args)
{
    return op == &tern_op_patches_int8 && ((const tern_int8_patches_op *)args)->stream;
}

bool tern_int8_is_streamed(const tern_graph *graph, tern_value input)
{
    bool streamed = false;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n]->nin; i++)
            if (graph->nodes[n]->in[i].id == input.id) {
                if (!tern_int8_streams(graph->nodes[n]->op, graph->nodes[n]->args)) return false;
                streamed = true;
            }
    return streamed;
}
