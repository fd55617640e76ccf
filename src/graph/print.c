/* The printed form of a graph: one line a node, in the order of execution. */
#include "graph/graph.h"

#include <string.h>

void tern_args_print(const tern_op *op, const void *args, tern_text *text)
{
    const char *bytes = args;
    bool first = true;
    for (const tern_arg *a = op->args; a && a->name; a++) {
        const void *field = bytes + a->offset;
        tern_text_format(text, "%s%s=", first ? "" : " ", a->name);
        first = false;
        char shape[96];
        switch (a->kind) {
        case TERN_ARG_INT:
            tern_text_format(text, "%d", *(const int *)field);
            break;
        case TERN_ARG_REAL:
            tern_text_format(text, "%g", *(const double *)field);
            break;
        case TERN_ARG_BOOL:
            tern_text_put(text, *(const bool *)field ? "true" : "false");
            break;
        case TERN_ARG_CHOICE:
            tern_text_put(text, a->choices[*(const int *)field]);
            break;
        case TERN_ARG_DIMS:
            tern_text_put(text, tern_shape_text(shape, field));
            break;
        case TERN_ARG_GRAPH:
            tern_text_put(text, "{body}");
            break;
        }
    }
    if (op->print) {
        if (!first) tern_text_put(text, " ");
        op->print(args, text);
    }
}

static void print_value(const tern_graph *g, tern_value v, tern_text *text)
{
    const tern_value_info *info = tern_value_of(g, v);
    if (!info)
        tern_text_put(text, "-");
    else if (info->name)
        tern_text_put(text, info->name);
    else
        tern_text_format(text, "%%%d", v.id);
}

void tern_graph_print(const tern_graph *graph, tern_text *text)
{
    char shape[96];
    for (int i = 1; i < graph->value_count; i++) {
        static const char *const kinds[] = {"", "input", "parameter", "state", "constant"};
        const tern_value_info *v = &graph->values[i];
        if (v->kind == TERN_VALUE_NODE) continue;
        tern_text_format(text, "%s ", kinds[v->kind]);
        print_value(graph, (tern_value){i}, text);
        tern_text_format(text, " %s%s\n", tern_dtype_of(v->type.dtype)->name,
                         tern_shape_text(shape, &v->type.shape));
    }
    for (int n = 0; n < graph->node_count; n++) {
        const tern_node *node = graph->nodes[n];
        for (int i = 0; i < node->nout; i++) {
            const tern_type *t = &graph->values[node->out[i].id].type;
            tern_text_format(text, "%s%%%d %s%s", i ? ", " : "", node->out[i].id,
                             tern_dtype_of(t->dtype)->name, tern_shape_text(shape, &t->shape));
        }
        tern_text_format(text, " = %s(", node->op->name);
        for (int i = 0; i < node->nin; i++) {
            if (i) tern_text_put(text, ", ");
            print_value(graph, node->in[i], text);
        }
        tern_text_put(text, ") ");
        tern_args_print(node->op, node->args, text);
        tern_text_format(text, "  # %s\n", node->layer);
    }
    for (int i = 0; i < graph->output_count; i++) {
        tern_text_format(text, "output %s = ", graph->outputs[i].name);
        print_value(graph, graph->outputs[i].value, text);
        tern_text_put(text, "\n");
    }
}
