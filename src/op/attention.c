/* Attention in its reference form, made of products and softmax: the scores are in memory. */
#include "op/op.h"

#include <math.h>

/* 0 where query i of n may see key j of m, else -1e9: the last query sees all, one before it all but the last, and so on. */
static tern_value causal_mask(tern_graph *g, int64_t n, int64_t m)
{
    tern_tensor mask;
    tern_shape shape = TERN_SHAPE(n, m);
    if (tern_tensor_new(&mask, TERN_F32, &shape) != TERN_OK) return tern_graph_no_memory(g);
    for (int64_t i = 0; i < n * m; i++) tern_set(&mask, i, i % m > i / m + m - n ? -1e9 : 0);
    tern_value value = tern_constant(g, &mask);
    tern_tensor_free(&mask);
    return value;
}

/* Queries per head of keys and values, or 0 where the shapes do not go together. */
static int64_t grouping(const tern_shape *q, const tern_shape *k, const tern_shape *v)
{
    int r = q->rank;
    if (r < 2 || k->rank != r || v->rank != r || k->dim[r - 1] != q->dim[r - 1] ||
        v->dim[r - 2] != k->dim[r - 2])
        return 0;
    for (int d = 0; d < r - 2; d++)
        if (k->dim[d] != v->dim[d] || (d < r - 3 && k->dim[d] != q->dim[d])) return 0;
    if (r == 2) return 1;
    int64_t heads = q->dim[r - 3], shared = k->dim[r - 3];
    return shared > 0 && heads % shared == 0 ? heads / shared : 0;
}

tern_value tern_attention_with(tern_graph *graph, tern_value q, tern_value k, tern_value v,
                               tern_attention_args args)
{
    tern_shape s = tern_shape_of(graph, q), sk = tern_shape_of(graph, k), sv = tern_shape_of(graph, v);
    char a[96], b[96], c[96];
    tern_layer(graph, "attention", args.name);
    if (graph->status != TERN_OK) return (tern_value){0};
    int64_t group = grouping(&s, &sk, &sv);
    if (!group)
        return tern_graph_fail(
            graph, "layer %s: q %s, k %s, v %s: expected [..,heads,N,D], [..,heads/g,M,D], [..,heads/g,M,E]",
            graph->layer, tern_shape_text(a, &s), tern_shape_text(b, &sk), tern_shape_text(c, &sv));
    int r = s.rank;
    int64_t n = s.dim[r - 2], m = sk.dim[r - 2];
    /* The queries of a group's heads stand one behind the other, as rows of one product. */
    tern_shape grouped = s, scores_shape = s;
    if (r > 2) grouped.dim[r - 3] = sk.dim[r - 3];
    grouped.dim[r - 2] = group * n;
    scores_shape.dim[r - 1] = m;
    double scale = args.scale > 0 ? args.scale : 1 / sqrt((double)s.dim[r - 1]);
    tern_value scores = tern_matmul(graph, tern_reshape(graph, q, grouped), k, .transpose_b = true);
    scores = tern_reshape(graph, tern_multiply(graph, scores, tern_scalar(graph, scale)), scores_shape);
    if (args.mask.id) scores = tern_add(graph, scores, args.mask);
    if (args.causal) scores = tern_add(graph, scores, causal_mask(graph, n, m));
    grouped.dim[r - 1] = m;
    tern_value weights = tern_reshape(graph, tern_softmax(graph, scores), grouped);
    s.dim[r - 1] = sv.dim[r - 1];
    return tern_reshape(graph, tern_matmul(graph, weights, v), s);
}
