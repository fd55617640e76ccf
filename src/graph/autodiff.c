/* Reverse-mode differentiation from graph to graph: the gradient is more nodes, planned and costed like the rest. */
#include "graph/gradient.h"
#include "graph/graph.h"

#include <string.h>

/* Which values lie on a path from some `wrt` value to `loss`: only those need a gradient. */
typedef struct tern_paths {
    bool *from_wrt; /* depends on a wrt value */
    tern_value *gradient;
    int count;
} tern_paths;

static bool any_input(const tern_node *node, const bool *flag)
{
    for (int i = 0; i < node->nin; i++)
        if (node->in[i].id && flag[node->in[i].id]) return true;
    return false;
}

static void mark(const tern_graph *g, int node_count, const tern_value *wrt, int count, bool *from_wrt)
{
    for (int i = 0; i < count; i++) from_wrt[wrt[i].id] = wrt[i].id != 0;
    for (int n = 0; n < node_count; n++) {
        const tern_node *node = g->nodes[n];
        if (!any_input(node, from_wrt)) continue;
        for (int i = 0; i < node->nout; i++) from_wrt[node->out[i].id] = true;
    }
}

/* Gradient nodes of one node; contributions to a value that has one already are added. */
static tern_status differentiate(tern_graph *g, const tern_node *node, tern_paths *paths,
                                 const tern_gradient_ops *ops)
{
    tern_value *dout = tern_take_array((size_t)node->nout, sizeof *dout);
    tern_value *din = tern_take_array((size_t)node->nin + 1, sizeof *din);
    bool *need = tern_take_array((size_t)node->nin + 1, sizeof *need);
    tern_status status = TERN_OK;
    bool flows = false, wanted = false;
    if (!dout || !din || !need) {
        status = tern_no_memory((size_t)node->nin * sizeof *din, "gradients");
        goto done;
    }
    for (int i = 0; i < node->nout; i++) flows |= (dout[i] = paths->gradient[node->out[i].id]).id != 0;
    for (int i = 0; i < node->nin; i++) wanted |= need[i] = node->in[i].id && paths->from_wrt[node->in[i].id];
    if (!flows || !wanted) goto done;
    if (!node->op->grad) {
        status = tern_fail(TERN_FAILED,
                           "layer %s: operator %s has no gradient; detach its input or train without it",
                           node->layer, node->op->name);
        goto done;
    }
    g->layer = node->layer;
    TERN_GOTO(done, node->op->grad(&(tern_grad){g, node, dout, need, din}));
    for (int i = 0; i < node->nin; i++) {
        if (!din[i].id || !need[i]) continue;
        tern_value *sum = &paths->gradient[node->in[i].id];
        *sum = sum->id ? ops->add(g, *sum, din[i]) : din[i];
    }
    status = tern_graph_status(g);
done:
    tern_release(dout);
    tern_release(din);
    tern_release(need);
    return status;
}

tern_status tern_gradients_seeded(tern_graph *g, const tern_value *roots, const tern_value *seeds,
                                  int root_count, const tern_value *wrt, int count, tern_value *grads,
                                  const tern_gradient_ops *ops)
{
    TERN_TRY(tern_graph_status(g));
    int nodes = g->node_count; /* nodes added from here on are gradients */
    tern_paths paths = {.count = g->value_count};
    const char *layer = g->layer;
    tern_phase phase = g->phase;
    tern_status status = TERN_OK;
    paths.from_wrt = tern_take_array((size_t)paths.count, sizeof *paths.from_wrt);
    paths.gradient = tern_take_array((size_t)paths.count, sizeof *paths.gradient);
    if (!paths.from_wrt || !paths.gradient) {
        status = tern_no_memory((size_t)paths.count * sizeof *paths.gradient, "gradients");
        goto done;
    }
    mark(g, nodes, wrt, count, paths.from_wrt);
    g->phase = TERN_BACKWARD;
    for (int i = 0; i < root_count; i++) {
        tern_value *sum = &paths.gradient[roots[i].id];
        if (seeds[i].id) *sum = sum->id ? ops->add(g, *sum, seeds[i]) : seeds[i];
    }
    for (int n = nodes - 1; n >= 0; n--) TERN_GOTO(done, differentiate(g, g->nodes[n], &paths, ops));
    for (int i = 0; i < count; i++) grads[i] = paths.gradient[wrt[i].id];
done:
    g->layer = layer;
    g->phase = phase;
    tern_release(paths.from_wrt);
    tern_release(paths.gradient);
    return status;
}
