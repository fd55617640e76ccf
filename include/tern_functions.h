/* tern_functions.h: operators that have no parameters of their own.  Part of tern.h, which includes it. */
#ifndef TERN_FUNCTIONS_H
#define TERN_FUNCTIONS_H

/* Element by element. */
tern_value tern_relu(tern_graph *graph, tern_value x);
tern_value tern_sigmoid(tern_graph *graph, tern_value x);
tern_value tern_tanh(tern_graph *graph, tern_value x);
tern_value tern_gelu(tern_graph *graph,
                     tern_value x); /* with the error function, not its tanh approximation */
tern_value tern_gelu_tanh(tern_graph *graph, tern_value x); /* that approximation: GPT-2, Gemma */
tern_value tern_silu(tern_graph *graph, tern_value x);
tern_value tern_erf(tern_graph *graph, tern_value x);
tern_value tern_softplus(tern_graph *graph, tern_value x);
tern_value tern_exp(tern_graph *graph, tern_value x);
tern_value tern_log(tern_graph *graph, tern_value x);
tern_value tern_sqrt(tern_graph *graph, tern_value x);
tern_value tern_square(tern_graph *graph, tern_value x);
tern_value tern_absolute(tern_graph *graph, tern_value x);
tern_value tern_clip(tern_graph *graph, tern_value x, double low, double high);
tern_value tern_negate(tern_graph *graph, tern_value x);
tern_value tern_power(tern_graph *graph, tern_value x, double exponent);
tern_value tern_elu(tern_graph *graph, tern_value x, double alpha); /* x above 0, alpha (e^x - 1) below */
tern_value tern_leaky_relu(tern_graph *graph, tern_value x, double slope);
tern_value tern_hard_sigmoid(tern_graph *graph, tern_value x); /* x/6 + 1/2 between 0 and 1 */
tern_value tern_hard_swish(tern_graph *graph, tern_value x);   /* x hard_sigmoid(x) */
/* Flat but for jumps, so no gradient flows through them.  heaviside: 1 where x >= 0; round: ties to even. */
tern_value tern_heaviside(tern_graph *graph, tern_value x);
tern_value tern_round(tern_graph *graph, tern_value x);
tern_value tern_floor(tern_graph *graph, tern_value x);

/* x [B,F], rows [N,F] -> [B,N], the sum over features of (x - row)^2, times weights [N,F] where those are not empty. */
tern_value tern_squared_distance(tern_graph *graph, tern_value x, tern_value rows, tern_value weights);

/* x [B,F], w [N,F], bias [N] or empty -> [B,N], x w^T + bias in sums of floats, which boards without doubles have. */
tern_value tern_row_product(tern_graph *graph, tern_value x, tern_value w, tern_value bias);

/* distances [B,N], labels i32 [N] -> [B,classes]: how many of the k nearest rows are of each class; of equal distances the
 * lower index is nearer. */
tern_value tern_vote(tern_graph *graph, tern_value distances, tern_value labels, int k, int classes);

/* Decision trees: of each node [N] the feature (i16 or i32; -1: a leaf), the threshold (f32) and its children (as feature),
 * which stand behind it; of a leaf, left is its row of value [L,C].  roots i32 [T]. */
typedef struct tern_trees {
    tern_value feature, threshold, left, right, roots, value;
} tern_trees;
/* x [B,F] -> [B,C], the sum over trees of the value of the leaf that x reaches: left where x[feature] <= threshold.
 * depth: comparisons of the longest walk, for costs. */
tern_value tern_tree_walk(tern_graph *graph, tern_value x, tern_trees trees, int depth);

/* e^x over its sum, along the last axis. */
tern_value tern_softmax(tern_graph *graph, tern_value x);

/* x less the logarithm of the sum of e^x, along the last axis. */
tern_value tern_log_softmax(tern_graph *graph, tern_value x);

/* a [..,M,K] times b [..,K,N], same leading axes -> [..,M,N].  transpose_a: a is [..,K,M]; transpose_b: b is [..,N,K]. */
typedef struct tern_matmul_args {
    bool transpose_a, transpose_b;
} tern_matmul_args;
tern_value tern_matmul_with(tern_graph *graph, tern_value a, tern_value b, tern_matmul_args args);
#define tern_matmul(...) TERN_MATMUL_(__VA_ARGS__, )
#define TERN_MATMUL_(g, a, b, ...)                                                                           \
    tern_matmul_with(g, a, b, (tern_matmul_args){.transpose_a = false, __VA_ARGS__})

/* softmax(q k^T scale + mask) v (reference form: the scores are in memory): q [..,heads,N,D], k [..,heads/g,M,D],
 * v [..,heads/g,M,E] -> [..,heads,N,E]; g query heads in a row share a head of keys and values (g = 1 where the leading axes
 * are equal).  scale 0: 1/sqrt(D); mask: added to the scores [..,heads,N,M], broadcast; causal: a position sees those before
 * it and itself, the last query all keys. */
typedef struct tern_attention_args {
    double scale;
    bool causal;
    tern_value mask;
    const char *name;
} tern_attention_args;
tern_value tern_attention_with(tern_graph *graph, tern_value q, tern_value k, tern_value v,
                               tern_attention_args args);
#define tern_attention(...) TERN_ATTENTION_(__VA_ARGS__, )
#define TERN_ATTENTION_(g, q, k, v, ...)                                                                     \
    tern_attention_with(g, q, k, v, (tern_attention_args){.scale = 0, __VA_ARGS__})

/* Broadcast to a shape. */
tern_value tern_expand(tern_graph *graph, tern_value x, tern_shape shape);
/* Axis d of the result is axis order[d] of x, e.g. TERN_SHAPE(0, 2, 1). */
tern_value tern_permute(tern_graph *graph, tern_value x, tern_shape order);
/* Elements first .. first + count - 1 of an axis; zeros around an axis until it has `length` elements; one behind the other. */
tern_value tern_slice(tern_graph *graph, tern_value x, int axis, int first, int count);
tern_value tern_pad(tern_graph *graph, tern_value x, int axis, int before, int length);
/* The same with `fill` around instead of zeros. */
tern_value tern_pad_with(tern_graph *graph, tern_value x, int axis, int before, int length, double fill);
tern_value tern_concat(tern_graph *graph, const tern_value *x, int count, int axis);
/* Rows of table [V,D] by index [..] (i32) -> [..,D]; an index outside gives zeros. */
tern_value tern_embedding(tern_graph *graph, tern_value index, tern_value table);

/* y[..,i,..] = x[..,index[..,i,..],..] along an axis: index (i32) agrees with x in the other axes; outside gives 0. */
tern_value tern_gather(tern_graph *graph, tern_value x, tern_value index, int axis);

/* x W^T of signed bytes in exact 32-bit sums: x [..,K], weight [N,K] (i8) -> [..,N] (i32).  No gradient. */
tern_value tern_linear_i8(tern_graph *graph, tern_value x, tern_value weight);

/* Mean of (x - target)^2 over everything -> [1]. */
tern_value tern_mean_squared_error(tern_graph *graph, tern_value x, tern_value target);

/* Element by element with numpy-style broadcasting. */
tern_value tern_add(tern_graph *graph, tern_value a, tern_value b);
tern_value tern_subtract(tern_graph *graph, tern_value a, tern_value b);
tern_value tern_multiply(tern_graph *graph, tern_value a, tern_value b);
tern_value tern_divide(tern_graph *graph, tern_value a, tern_value b);
tern_value tern_maximum(tern_graph *graph, tern_value a, tern_value b);
tern_value tern_minimum(tern_graph *graph, tern_value a, tern_value b);
/* a where condition (of any format) is not 0, else b. */
tern_value tern_where(tern_graph *graph, tern_value condition, tern_value a, tern_value b);

/* The same elements under another shape; one dimension may be -1 (what is left).  Costs nothing. */
tern_value tern_reshape(tern_graph *graph, tern_value x, tern_shape shape);
/* Axes from..last become one. */
typedef struct tern_flatten_args {
    int from;
} tern_flatten_args;
tern_value tern_flatten_with(tern_graph *graph, tern_value x, tern_flatten_args args);
#define tern_flatten(...)        TERN_FLATTEN_(__VA_ARGS__, )
#define TERN_FLATTEN_(g, x, ...) tern_flatten_with(g, x, (tern_flatten_args){.from = 1, __VA_ARGS__})

/* Sum or mean over `axes` axes from `axis` on; keep: they stay as 1. */
typedef struct tern_reduce_args {
    int axis, axes;
    bool keep;
} tern_reduce_args;
tern_value tern_sum_with(tern_graph *graph, tern_value x, tern_reduce_args args);
tern_value tern_mean_with(tern_graph *graph, tern_value x, tern_reduce_args args);
#define tern_sum(...)         TERN_SUM_(__VA_ARGS__, )
#define TERN_SUM_(g, x, ...)  tern_sum_with(g, x, (tern_reduce_args){.axes = 1, __VA_ARGS__})
#define tern_mean(...)        TERN_MEAN_(__VA_ARGS__, )
#define TERN_MEAN_(g, x, ...) tern_mean_with(g, x, (tern_reduce_args){.axes = 1, __VA_ARGS__})

/* Highest or lowest value over `axes` axes from `axis` on, and its first index (i32) among them. */
tern_value tern_max_with(tern_graph *graph, tern_value x, tern_reduce_args args);
tern_value tern_min_with(tern_graph *graph, tern_value x, tern_reduce_args args);
tern_value tern_argmax_with(tern_graph *graph, tern_value x, tern_reduce_args args);
tern_value tern_argmin_with(tern_graph *graph, tern_value x, tern_reduce_args args);
#define tern_max(...)           TERN_MAX_(__VA_ARGS__, )
#define TERN_MAX_(g, x, ...)    tern_max_with(g, x, (tern_reduce_args){.axes = 1, __VA_ARGS__})
#define tern_min(...)           TERN_MIN_(__VA_ARGS__, )
#define TERN_MIN_(g, x, ...)    tern_min_with(g, x, (tern_reduce_args){.axes = 1, __VA_ARGS__})
#define tern_argmax(...)        TERN_ARGMAX_(__VA_ARGS__, )
#define TERN_ARGMAX_(g, x, ...) tern_argmax_with(g, x, (tern_reduce_args){.axes = 1, __VA_ARGS__})
#define tern_argmin(...)        TERN_ARGMIN_(__VA_ARGS__, )
#define TERN_ARGMIN_(g, x, ...) tern_argmin_with(g, x, (tern_reduce_args){.axes = 1, __VA_ARGS__})

/* y[k] = x[0] + .. + x[k] along an axis; reverse: x[k] + .. to the last. */
typedef struct tern_cumulative_sum_args {
    int axis;
    bool reverse;
} tern_cumulative_sum_args;
tern_value tern_cumulative_sum_with(tern_graph *graph, tern_value x, tern_cumulative_sum_args args);
#define tern_cumulative_sum(...) TERN_CUMULATIVE_SUM_(__VA_ARGS__, )
#define TERN_CUMULATIVE_SUM_(g, x, ...)                                                                      \
    tern_cumulative_sum_with(g, x, (tern_cumulative_sum_args){.axis = 0, __VA_ARGS__})

/* The same numbers in another format: to nearest even, integers saturate, bits are 1 where x is not 0.  A real result
 * passes gradients on, a rounded one does not. */
tern_value tern_cast(tern_graph *graph, tern_value x, tern_dtype dtype);

#endif
