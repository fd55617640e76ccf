/* tern simulate of a net of 16 bits on cores that share floating-point units: multiply-accumulates a cycle, and what bounds each
 * operator. */
#include "cli/simulate.h"

#include "machine/cluster.h"
#include "op/half.h"

#include <string.h>

bool tern_simulate_is_cluster(const tern_program *p)
{
    for (int i = 0; i < p->step_count; i++)
        if (p->steps[i].node->op == &tern_op_half_product) return true;
    return false;
}

static double bytes_of(const tern_graph *g, const tern_node *node)
{
    double bytes = 0;
    for (int i = 0; i < node->nin + node->nout; i++) {
        const tern_value_info *v = tern_value_of(g, i < node->nin ? node->in[i] : node->out[i - node->nin]);
        if (v) bytes += (double)tern_bytes_of(v->type.dtype, tern_elements(&v->type.shape));
    }
    return bytes;
}

static bool is_product(const tern_node *node)
{
    return node->op == &tern_op_half_product || node->op == &tern_op_half_grad_input ||
           node->op == &tern_op_half_grad_weight;
}

static tern_status run_step(const tern_cluster *c, const tern_graph *g, const tern_node *node,
                            tern_cluster_run *run)
{
    tern_tensor tensors[8];
    double bytes = bytes_of(g, node);
    int lanes = tern_dtype_of_value(g, node->out[0]) == TERN_F32 ? 1 : 2;
    if (!is_product(node)) {
        tern_shape shape = tern_shape_of(g, node->in[0]), out = tern_shape_of(g, node->out[0]);
        int64_t n = tern_elements(&shape), m = tern_elements(&out);
        tern_cluster_elements(c, (double)(n > m ? n : m), bytes, lanes, run);
        return TERN_OK;
    }
    tern_call call = tern_call_of(g, node, tensors, tensors + node->nin);
    tern_half_geometry h = tern_half_geometry_of(&call);
    const tern_conv *v = &h.conv;
    bool back = h.kind == TERN_HALF_OF_INPUT;
    tern_cluster_task task = {.times = h.times * h.groups,
                              .n = h.n,
                              .k = h.k,
                              .m = h.m,
                              .windows = !h.plain && !h.flat,
                              .turned = back && !h.flat,
                              .depthwise = h.groups > 1 && h.n == 1 && v->in_channels == h.groups,
                              .forward = h.kind == TERN_HALF_FORWARD,
                              .back = back,
                              .padded = v->pad_y > 0 || v->pad_x > 0,
                              .channels = (back ? v->out_channels : v->in_channels) / h.groups,
                              .bytes = bytes,
                              .lanes = lanes};
    tern_status status = tern_cluster_product(c, &task, run);
    return status == TERN_OK ? TERN_OK : tern_in(status, "layer %s", node->layer);
}

static json_t *run_json(const tern_cluster_run *r, double clock)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s}", "cycles", r->cycles, "macs", r->macs,
                     "macs_per_cycle", r->cycles > 0 ? r->macs / r->cycles : 0, "seconds", r->cycles / clock,
                     "core_cycles", r->cores, "fpu_cycles", r->units, "l1_cycles", r->words, "dma_cycles",
                     r->dma, "bound", r->bound ? r->bound : "nothing");
}

static void add_run(tern_cluster_run *total, const tern_cluster_run *r)
{
    total->cycles += r->cycles, total->macs += r->macs;
    total->cores += r->cores, total->units += r->units, total->words += r->words, total->dma += r->dma;
}

static const char *bound_of(const tern_cluster_run *t)
{
    const double times[] = {t->cores, t->units, t->words, t->dma};
    static const char *const names[] = {"cores", "FPU", "L1", "DMA"};
    int most = 0;
    for (int i = 1; i < 4; i++)
        if (times[i] > times[most]) most = i;
    return names[most];
}

static void show_run(const tern_node *node, const tern_cluster_run *r, bool csv, tern_grid *t)
{
    const char *split = r->by_columns ? "columns" : "rows";
    if (csv)
        printf("%s,%s,%s,%s,%.10g,%.10g,%.10g,%.10g,%.10g,%.10g,%s\n", node->layer, node->op->name, r->kernel,
               split, r->macs, r->cycles, r->cores, r->units, r->words, r->dma, r->bound);
    else
        tern_grid_row(t, "%s|%s|%s|%s|%.0f|%.0f|%.2f|%s", node->layer, node->op->name, r->kernel,
                      r->macs > 0 ? split : "", r->macs, r->cycles, r->macs / r->cycles, r->bound);
}

static tern_status simulate(const tern_simulate_ask *ask, const tern_cluster *c, tern_grid *t, json_t *layers,
                            tern_cluster_run *total)
{
    const tern_program *p = ask->program;
    bool csv = tern_cli_has(ask->cli, "csv"), all = tern_cli_pick(ask->cli, "report") == 0 && !ask->total;
    if (csv && all)
        printf("layer,operator,kernel,split,macs,cycles,core_cycles,fpu_cycles,l1_cycles,dma_cycles,bound\n");
    tern_grid_row(t, "layer|operator|kernel|split|MACs|cycles|MAC/cycle|bound by");
    for (int i = p->prepare_count; i < p->step_count; i++) {
        const tern_node *node = p->steps[i].node;
        tern_cluster_run r;
        if (node->op->flags & TERN_OP_VIEW) continue;
        TERN_TRY(run_step(c, p->graph, node, &r));
        add_run(total, &r);
        json_t *o = run_json(&r, c->clock);
        json_object_set_new(o, "layer", json_string(node->layer));
        json_object_set_new(o, "operator", json_string(node->op->name));
        json_object_set_new(o, "kernel", json_string(r.kernel));
        json_array_append_new(layers, o);
        if (all && !ask->cli->json) show_run(node, &r, csv, t);
    }
    total->bound = bound_of(total);
    return TERN_OK;
}

tern_status tern_simulate_cluster(const tern_simulate_ask *ask)
{
    tern_cluster c;
    tern_grid t = {0};
    tern_cluster_run total = {0};
    json_t *layers = json_array();
    tern_status status = tern_cluster_of(ask->machine, &c);
    if (status == TERN_OK) status = simulate(ask, &c, &t, layers, &total);
    json_t *sum = run_json(&total, c.clock);
    json_object_set_new(sum, "machine", json_string(ask->machine->name));
    bool table = status == TERN_OK && !ask->total && !ask->cli->json && !tern_cli_has(ask->cli, "csv");
    if (status == TERN_OK && ask->total) {
        *ask->total = json_incref(sum);
    } else if (status == TERN_OK && ask->cli->json) {
        json_object_set(sum, "layers", layers);
        status = tern_print_json(json_incref(sum));
    }
    if (table && tern_cli_pick(ask->cli, "report") == 0)
        status = tern_grid_print(&t, stdout);
    else
        tern_grid_free(&t);
    if (table && status == TERN_OK)
        printf("%s, modelled: %.0f cycles, %.2f MAC/cycle, %.3g ms; of cores, FPU, L1, DMA alone %.0f, %.0f, "
               "%.0f, "
               "%.0f: bound by %s\n",
               ask->machine->name, total.cycles, total.macs / total.cycles, 1e3 * total.cycles / c.clock,
               total.cores, total.units, total.words, total.dma, total.bound);
    json_decref(sum);
    json_decref(layers);
    return status;
}
