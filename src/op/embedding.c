/* Rows of a table by index, and its gradient. */
#include "kernel/move.h"
#include "op/op.h"

/* ---- embedding: rows of a table [V,D] by index [..] i32 -> [..,D]; an index outside gives zeros ---------------------- */

static tern_status embedding_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 2, 2));
    const tern_type *index = types->in[0], *table = types->in[1];
    char text[96];
    if (index->dtype != TERN_I32 || table->shape.rank != 2 || index->shape.rank >= TERN_MAX_RANK)
        return tern_infer_fail(types, "expected an index of i32 and a table [V,D], found %s and %s",
                               tern_dtype_of(index->dtype)->name, tern_shape_text(text, &table->shape));
    tern_shape y = index->shape;
    y.dim[y.rank++] = table->shape.dim[1];
    tern_infer_out(types, tern_dtype_of(table->dtype)->unpack ? TERN_F32 : table->dtype, y);
    return TERN_OK;
}

/* Piece by piece: packed tables have no single elements. */
static void embedding_run(const tern_call *call)
{
    enum { PIECE = 256 };
    const tern_tensor *table = &call->in[1], *y = &call->out[0];
    int64_t rows = table->shape.dim[0], width = table->shape.dim[1], n = tern_elements(&call->in[0].shape);
    double piece[PIECE];
    for (int64_t i = 0; i < n; i++) {
        int64_t row = (int64_t)tern_get(&call->in[0], i);
        bool known = row >= 0 && row < rows;
        for (int64_t k = 0; k < width; k += PIECE) {
            int64_t count = width - k < PIECE ? width - k : PIECE;
            if (known) tern_dtype_of(table->dtype)->decode(table->data, row * width + k, count, piece);
            for (int64_t j = 0; !known && j < count; j++) piece[j] = 0;
            tern_dtype_of(y->dtype)->encode(y->data, i * width + k, count, piece);
        }
    }
}

/* A row for each index that is one; without data for each. */
static void embedding_touched(const tern_call *call, double *in, double *out)
{
    (void)out;
    int64_t n = tern_elements(&call->in[0].shape), rows = 0;
    for (int64_t i = 0; call->in[0].data && i < n; i++) {
        int64_t row = (int64_t)tern_get(&call->in[0], i);
        rows += row >= 0 && row < call->in[1].shape.dim[0];
    }
    in[1] = (double)(call->in[0].data ? rows : n) *
            (double)tern_bytes_of(call->in[1].dtype, call->in[1].shape.dim[1]);
}

static bool embedding_matches(const tern_call *call)
{
    return tern_dtype_of(call->in[1].dtype)->block == 1;
}

static void embedding_fast(const tern_call *call)
{
    const tern_tensor *table = &call->in[1];
    tern_pick_rows(
        call->pool, tern_elements(&call->in[0].shape), call->in[0].data, table->data, table->shape.dim[0],
        tern_elements_from(&table->shape, 1) * tern_dtype_of(table->dtype)->bytes, call->out[0].data);
}

static const tern_fast embedding_kernels[] = {{"rows", embedding_matches, NULL, embedding_fast}, {0}};

static tern_status embedding_grad(tern_grad *c)
{
    tern_value in[] = {c->node->in[0], c->node->in[1], c->dout[0]};
    if (c->need[1]) c->din[1] = tern_apply(c->graph, &tern_op_embedding_grad, NULL, in, 3, NULL);
    return TERN_OK;
}

const tern_op tern_op_embedding = {
    .name = "embedding",
    .doc = "rows of a table by index",
    .infer = embedding_infer,
    .grad = embedding_grad,
    .work = tern_no_work,
    .touched = embedding_touched,
    .run = embedding_run,
    .fast = embedding_kernels,
};

/* index, table (for its shape), dy -> dtable: rows of dy added where they came from */
static tern_status embedding_grad_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    tern_shape dy = types->in[0]->shape;
    char text[96];
    if (types->in[0]->dtype != TERN_I32 || types->in[1]->shape.rank != 2 || dy.rank >= TERN_MAX_RANK)
        return tern_infer_fail(types, "expected an index of i32 and a table [V,D], found %s and %s",
                               tern_dtype_of(types->in[0]->dtype)->name,
                               tern_shape_text(text, &types->in[1]->shape));
    dy.dim[dy.rank++] = types->in[1]->shape.dim[1];
    TERN_TRY(tern_infer_like(types, 2, 2, dy));
    tern_infer_out(types, types->in[2]->dtype, types->in[1]->shape);
    return TERN_OK;
}

static void embedding_grad_run(const tern_call *call)
{
    const tern_tensor *dw = &call->out[0];
    int64_t rows = dw->shape.dim[0], width = dw->shape.dim[1], n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < rows * width; i++) tern_set(dw, i, 0);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = (int64_t)tern_get(&call->in[0], i);
        for (int64_t k = 0; k < width; k++) {
            if (call->counter) call->counter->elementwise++;
            if (row < 0 || row >= rows) continue;
            tern_set(dw, row * width + k,
                     tern_get(dw, row * width + k) + tern_get(&call->in[2], i * width + k));
        }
    }
}

static void embedding_grad_work(const tern_call *call, tern_work *work)
{
    work->elementwise += (double)tern_elements(&call->in[2].shape);
}

const tern_op tern_op_embedding_grad = {
    .name = "embedding_grad",
    .doc = "gradient of embedding to the table",
    .infer = embedding_grad_infer,
    .work = embedding_grad_work,
    .run = embedding_grad_run,
};

tern_value tern_embedding(tern_graph *graph, tern_value index, tern_value table)
{
    return tern_apply2(graph, &tern_op_embedding, index, table);
}
