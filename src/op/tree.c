/* Decision trees as flat arrays: one walk from a root to a leaf for each tree and row. */
#include "op/op.h"

typedef struct tern_tree_op {
    int depth; /* steps of the longest walk */
} tern_tree_op;
static const tern_arg tree_args[] = {
    TERN_ARG(tern_tree_op, depth, TERN_ARG_INT, "comparisons of the longest way to a leaf"),
    {0},
};

/* x [B,F]; of each node [N] the feature, the threshold, the nodes to the left and right (i16 or i32); roots i32 [T];
 * value [L,C] -> y [B,C], the sum over trees of the row of `value` that the walk ends in.
 * A walk goes left where x[feature] <= threshold (a number that is none goes right).  A leaf has feature -1 and its row of
 * `value` in left.  Children stand behind their parent: what says otherwise, or names a feature or row that is not there,
 * ends the walk without a value, so that any content ends.
 * Of codes, x, threshold and value are i16, and y is i32. */
enum { X, FEATURE, THRESHOLD, LEFT, RIGHT, ROOTS, VALUE, INPUTS };

static bool is_index(const tern_type *t)
{
    return t->dtype == TERN_I16 || t->dtype == TERN_I32;
}

static tern_status tree_infer(tern_infer *types)
{
    static const char *const names[] = {"x", "feature", "threshold", "left", "right", "roots", "value"};
    char a[96], b[96];
    TERN_TRY(tern_infer_inputs(types, INPUTS, INPUTS));
    const tern_type *const *in = types->in;
    if (in[X]->shape.rank != 2 || in[VALUE]->shape.rank != 2 || in[ROOTS]->shape.rank != 1)
        return tern_infer_fail(types,
                               "x is %s and the values of leaves %s: expected [B,F] and [L,C], roots [T]",
                               tern_shape_text(a, &in[X]->shape), tern_shape_text(b, &in[VALUE]->shape));
    for (int i = FEATURE; i <= RIGHT; i++)
        if (in[i]->shape.rank != 1 || in[i]->shape.dim[0] != in[FEATURE]->shape.dim[0])
            return tern_infer_fail(types, "%s is %s, expected [N], as many as there are nodes", names[i],
                                   tern_shape_text(a, &in[i]->shape));
    for (int i = FEATURE; i <= ROOTS; i++)
        if (i != THRESHOLD && !is_index(in[i]))
            return tern_infer_fail(types, "%s is %s, expected i16 or i32", names[i],
                                   tern_dtype_of(in[i]->dtype)->name);
    bool codes = in[X]->dtype == TERN_I16;
    if (codes != (in[THRESHOLD]->dtype == TERN_I16) || codes != (in[VALUE]->dtype == TERN_I16))
        return tern_infer_fail(types, "x is %s, thresholds %s and values %s: expected all i16 or none",
                               tern_dtype_of(in[X]->dtype)->name, tern_dtype_of(in[THRESHOLD]->dtype)->name,
                               tern_dtype_of(in[VALUE]->dtype)->name);
    tern_infer_out(types, codes ? TERN_I32 : TERN_F32,
                   TERN_SHAPE(in[X]->shape.dim[0], in[VALUE]->shape.dim[1]));
    return TERN_OK;
}

/* The leaf of one tree's walk, or -1; *compared grows by its comparisons. */
static int64_t walk(const tern_call *call, int64_t row, int64_t root, double *compared)
{
    const tern_tensor *in = call->in;
    int64_t features = in[X].shape.dim[1], nodes = in[FEATURE].shape.dim[0], leaves = in[VALUE].shape.dim[0];
    int64_t at = root, feature;
    if (at < 0 || at >= nodes) return -1;
    while ((feature = (int64_t)tern_get(&in[FEATURE], at)) >= 0) {
        if (feature >= features) return -1;
        bool left = (float)tern_get(&in[X], row * features + feature) <= (float)tern_get(&in[THRESHOLD], at);
        int64_t next = (int64_t)tern_get(&in[left ? LEFT : RIGHT], at);
        *compared += 1;
        if (next <= at || next >= nodes) return -1;
        at = next;
    }
    int64_t leaf = (int64_t)tern_get(&in[LEFT], at);
    return leaf >= 0 && leaf < leaves ? leaf : -1;
}

static void tree_row(const tern_call *call, int64_t row, double *compared)
{
    const tern_tensor *y = &call->out[0], *value = &call->in[VALUE];
    int64_t classes = value->shape.dim[1], trees = call->in[ROOTS].shape.dim[0];
    for (int64_t c = 0; c < classes; c++) tern_set(y, row * classes + c, 0);
    for (int64_t t = 0; t < trees; t++) {
        int64_t leaf = walk(call, row, (int64_t)tern_get(&call->in[ROOTS], t), compared);
        for (int64_t c = 0; leaf >= 0 && c < classes; c++) {
            double before = tern_get(y, row * classes + c), more = tern_get(value, leaf * classes + c);
            tern_set(y, row * classes + c, before + more); /* a sum of two floats is rounded once */
        }
    }
}

static void count(const tern_call *call, double compared, tern_work *work)
{
    const tern_shape *value = &call->in[VALUE].shape;
    double walks = (double)call->in[X].shape.dim[0] * (double)call->in[ROOTS].shape.dim[0];
    work->elementwise += compared + walks * (double)value->dim[1];
}

static void tree_run(const tern_call *call)
{
    double compared = 0;
    for (int64_t b = 0; b < call->in[X].shape.dim[0]; b++) tree_row(call, b, &compared);
    if (call->counter) count(call, compared, call->counter);
}

/* The walks are counted where there are data, else each is as long as the longest. */
static void tree_work(const tern_call *call, tern_work *work)
{
    int64_t rows = call->in[X].shape.dim[0], trees = call->in[ROOTS].shape.dim[0];
    double compared = 0;
    for (int64_t i = 0; call->in[X].data && i < rows * trees; i++)
        walk(call, i / trees, (int64_t)tern_get(&call->in[ROOTS], i % trees), &compared);
    if (!call->in[X].data) compared = (double)rows * (double)trees * TERN_ARGS(tern_tree_op, call)->depth;
    count(call, compared, work);
}

/* ---- the fast kernel: rows on several threads, arrays read as they are --------------------------------------------- */

static bool tree_matches(const tern_call *call)
{
    const tern_tensor *in = call->in;
    return in[X].dtype == TERN_F32 && in[THRESHOLD].dtype == TERN_F32 && in[VALUE].dtype == TERN_F32 &&
           in[ROOTS].dtype == TERN_I32 && in[FEATURE].dtype == in[LEFT].dtype &&
           in[LEFT].dtype == in[RIGHT].dtype;
}

#define WALK(name, index_type)                                                                               \
    static int64_t name(const tern_call *call, const float *x, int64_t at)                                   \
    {                                                                                                        \
        const index_type *feature = call->in[FEATURE].data;                                                  \
        const index_type *child[] = {call->in[RIGHT].data, call->in[LEFT].data};                             \
        const float *threshold = call->in[THRESHOLD].data;                                                   \
        int64_t features = call->in[X].shape.dim[1], nodes = call->in[FEATURE].shape.dim[0];                 \
        if (at < 0 || at >= nodes) return -1;                                                                \
        while (feature[at] >= 0) {                                                                           \
            if (feature[at] >= features) return -1;                                                          \
            int64_t next = child[x[feature[at]] <= threshold[at]][at];                                       \
            if (next <= at || next >= nodes) return -1;                                                      \
            at = next;                                                                                       \
        }                                                                                                    \
        return child[1][at] < call->in[VALUE].shape.dim[0] ? child[1][at] : -1;                              \
    }
WALK(walk_i16, int16_t)
WALK(walk_i32, int32_t)

static void tree_task(void *context, int64_t row, int thread)
{
    const tern_call *call = context;
    int64_t classes = call->in[VALUE].shape.dim[1], trees = call->in[ROOTS].shape.dim[0];
    const float *x = (const float *)call->in[X].data + row * call->in[X].shape.dim[1];
    const int32_t *roots = call->in[ROOTS].data;
    float *y = (float *)call->out[0].data + row * classes;
    bool narrow = call->in[FEATURE].dtype == TERN_I16;
    (void)thread;
    for (int64_t c = 0; c < classes; c++) y[c] = 0;
    for (int64_t t = 0; t < trees; t++) {
        int64_t leaf = narrow ? walk_i16(call, x, roots[t]) : walk_i32(call, x, roots[t]);
        const float *value = (const float *)call->in[VALUE].data + leaf * classes;
        for (int64_t c = 0; leaf >= 0 && c < classes; c++) y[c] += value[c];
    }
}

static void tree_fast(const tern_call *call)
{
    tern_pool_run(call->pool, call->in[X].shape.dim[0], tree_task, (void *)(uintptr_t)call);
}

static const tern_fast tree_kernels[] = {{"rows", tree_matches, NULL, tree_fast}, {0}};

/* Where each walk ends: [row][tree]. */
static size_t leaves_bytes(const tern_call *call)
{
    return (size_t)(call->in[X].shape.dim[0] * call->in[ROOTS].shape.dim[0]) * sizeof(int32_t);
}

/* Cores walk through trees of their own; then each adds classes of its own, in the order of the trees. */
static tern_status tree_emit(const tern_call *call, tern_emit *to)
{
    const tern_tensor *in = call->in;
    long long features = in[X].shape.dim[1], nodes = in[FEATURE].shape.dim[0],
              classes = in[VALUE].shape.dim[1], trees = in[ROOTS].shape.dim[0],
              walks = in[X].shape.dim[0] * trees, sums = in[X].shape.dim[0] * classes;
    bool codes = in[X].dtype == TERN_I16;
    for (int i = X; i < INPUTS; i++)
        if ((i == X || i == THRESHOLD || i == VALUE) && in[i].dtype != (codes ? TERN_I16 : TERN_F32))
            return tern_fail(TERN_USAGE, "tree_walk of %s cannot be written as C yet; expected f32 or i16",
                             tern_dtype_of(in[i].dtype)->name);
    tern_text_format(to->text,
                     "    int32_t *leaves = scratch; /* [row][tree]; -1: none */\n\f"
                     "    for (int i = FIRST(%lld); i < LAST(%lld); i++) {\n"
                     "        const %s *x = in0 + i / %lld * %lld;\n"
                     "        int at = in5[i %% %lld], next = at;\n"
                     "        leaves[i] = -1;\n"
                     "        if (at < 0 || at >= %lld) continue;\n",
                     walks, walks, codes ? "int16_t" : "float", trees, features, trees, nodes);
    tern_text_format(to->text,
                     "        while (in1[at] >= 0 && in1[at] < %lld) {\n"
                     "            next = x[in1[at]] <= in2[at] ? in3[at] : in4[at];\n"
                     "            if (next <= at || next >= %lld) break;\n"
                     "            at = next;\n"
                     "        }\n"
                     "        if (in1[at] < 0 && in3[at] >= 0 && in3[at] < %lld) leaves[i] = in3[at];\n"
                     "    }\n\f",
                     features, nodes, (long long)in[VALUE].shape.dim[0]);
    tern_text_format(to->text,
                     "    for (int i = FIRST(%lld); i < LAST(%lld); i++) {\n"
                     "        const int32_t *leaf = leaves + i / %lld * %lld;\n"
                     "        %s sum = 0;\n"
                     "        for (int t = 0; t < %lld; t++)\n"
                     "            if (leaf[t] >= 0) sum += in6[leaf[t] * %lld + i %% %lld];\n"
                     "        out0[i] = sum;\n"
                     "    }\n\f",
                     sums, sums, classes, trees, codes ? "int32_t" : "float", trees, classes, classes);
    return TERN_OK;
}

const tern_op tern_op_tree_walk = {
    .name = "tree_walk",
    .doc = "sum of the leaves' values that a row reaches in decision trees",
    .args = tree_args,
    .args_size = sizeof(tern_tree_op),
    .flags = TERN_OP_ROWWISE,
    .infer = tree_infer,
    .work = tree_work,
    .run = tree_run,
    .scratch = leaves_bytes,
    .fast = tree_kernels,
    .emit = tree_emit,
};

tern_value tern_tree_walk(tern_graph *graph, tern_value x, tern_trees trees, int depth)
{
    tern_value in[] = {x, trees.feature, trees.threshold, trees.left, trees.right, trees.roots, trees.value};
    return tern_apply(graph, &tern_op_tree_walk, &(tern_tree_op){depth}, in, INPUTS, NULL);
}
