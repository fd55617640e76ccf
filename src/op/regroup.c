/* Depthwise convolutions become group convolutions with more channels a group (DRACO, arXiv 2006.15103): each activation then
 * meets group * k * k weights instead of k * k, which is what an array of multipliers needs to have work. */
#include "op/op.h"

#include <math.h>

static bool is_depthwise(const tern_graph *g, const tern_node *node)
{
    if (node->op != &tern_op_conv2d) return false;
    const tern_value_info *w = tern_value_of(g, node->in[1]);
    return w->kind == TERN_VALUE_PARAM && w->type.shape.dim[1] == 1 &&
           w->type.shape.dim[0] == ((const tern_conv_op *)node->args)->groups && w->type.shape.dim[0] > 1;
}

int tern_depthwise_layers(const tern_graph *graph)
{
    int count = 0;
    for (int n = 0; n < graph->node_count; n++) count += is_depthwise(graph, graph->nodes[n]);
    return count;
}

/* The largest divisor of `channels` that is not above `wanted`. */
static int group_of(int channels, int wanted)
{
    int group = wanted < channels ? wanted : channels;
    while (channels % group) group--;
    return group;
}

/* The layer's weight [O,1,k,k] becomes [O,group,k,k]; the variance of what comes out stays the same. */
static void widen(tern_rewrite *r, const tern_node *node, int wanted)
{
    tern_conv_op args = *(const tern_conv_op *)node->args;
    int group = group_of(args.groups, wanted);
    tern_value_info *w = &r->to->values[r->map[node->in[1].id].id];
    w->type.shape.dim[1] = group;
    w->init.scale /= sqrt(group);
    args.groups /= group;
    tern_value in[3] = {{0}};
    for (int i = 0; i < node->nin; i++) in[i] = r->map[node->in[i].id];
    const char *label = tern_arena_string(&r->to->arena, node->layer);
    r->to->layer = label ? label : "";
    r->to->phase = node->phase;
    r->map[node->out[0].id] = tern_apply(r->to, node->op, &args, in, node->nin, NULL);
}

tern_status tern_pass_regroup(const tern_graph *from, const tern_regroup *how, tern_graph **to)
{
    tern_rewrite r;
    int layer = 0;
    if (how->group < 1)
        return tern_fail(TERN_USAGE, "a group of %d channels: expected at least 1", how->group);
    TERN_TRY(tern_graph_status(from));
    if (tern_depthwise_layers(from) == 0)
        return tern_fail(TERN_USAGE, "there is no depthwise convolution to regroup; mobilenet has some");
    TERN_TRY(tern_rewrite_open(&r, from));
    for (int n = 0; n < from->node_count; n++) {
        const tern_node *node = from->nodes[n];
        if (!is_depthwise(from, node)) {
            tern_rewrite_node(&r, node);
            continue;
        }
        int own = layer < TERN_REGROUP_LAYERS ? how->each[layer] : 0;
        widen(&r, node, own > 0 ? own : how->group);
        layer++;
    }
    return tern_rewrite_close(&r, to);
}

void tern_regroup_weight(const tern_tensor *depthwise, const tern_tensor *grouped)
{
    const tern_shape *s = &grouped->shape;
    int64_t group = s->dim[1], taps = s->dim[2] * s->dim[3];
    for (int64_t i = 0; i < s->dim[0] * group * taps; i++) tern_set(grouped, i, 0);
    for (int64_t o = 0; o < s->dim[0]; o++)
        for (int64_t t = 0; t < taps; t++)
            tern_set(grouped, (o * group + o % group) * taps + t, tern_get(depthwise, o * taps + t));
}
