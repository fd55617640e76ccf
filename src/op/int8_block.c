/* Blocks of transformers of bytes, a few tokens at a time: see int8_block.h.  Results have the bits of the layers one by one. */
#include "op/int8_block.h"

#include <stdio.h>

static const tern_arg block_args[] = {
    TERN_ARG(tern_int8_block_op, before, TERN_ARG_INT, "linear layers before the middle"),
    TERN_ARG(tern_int8_block_op, after, TERN_ARG_INT, "and behind it"),
    TERN_ARG(tern_int8_block_op, heads, TERN_ARG_INT, "of attention"),
    TERN_ARG(tern_int8_block_op, tokens, TERN_ARG_INT, "at a time"),
    {0},
};

/* Where operands are, and how wide what is between the layers. */
typedef struct block {
    const tern_int8_block_op *args;
    int64_t images, tokens, width, tile;
    int64_t before[TERN_BLOCK_MOST + 1], after[TERN_BLOCK_MOST + 1]; /* widths, what goes in first */
    int middle, behind, sum;                                         /* first operands of those parts */
    int64_t even, odd;     /* widest of what alternating layers make */
    int64_t queries, head; /* widths of attention */
} block;

/* Of operand w of a layer. */
static int64_t outputs_of(const tern_call *call, int layer)
{
    return call->in[layer].shape.dim[0];
}

static void widen(block *b, int64_t width, int i)
{
    int64_t *most = i % 2 ? &b->odd : &b->even;
    *most = width > *most ? width : *most;
}

static block block_of(const tern_call *call)
{
    block b = {.args = call->args};
    const tern_shape *x = &call->in[0].shape;
    bool attends = b.args->heads > 0;
    b.width = x->dim[x->rank - 1];
    b.tokens = x->dim[x->rank - 2];
    b.images = tern_elements_upto(x, x->rank - 2);
    b.tile = b.args->tokens < b.tokens ? b.args->tokens : b.tokens;
    b.middle = TERN_BLOCK_LAYERS + b.args->before * TERN_BLOCK_LAYER;
    b.behind = b.middle + (attends ? 2 : 1);
    b.sum = b.behind + b.args->after * TERN_BLOCK_LAYER;
    b.before[0] = b.width;
    for (int i = 0; i < b.args->before; i++)
        b.before[i + 1] = outputs_of(call, TERN_BLOCK_LAYERS + i * TERN_BLOCK_LAYER);
    b.queries = attends ? b.before[b.args->before] / 3 : 0;
    b.head = attends ? b.queries / b.args->heads : 0;
    b.after[0] = attends ? b.queries : b.before[b.args->before];
    for (int i = 0; i < b.args->after; i++)
        b.after[i + 1] = outputs_of(call, b.behind + i * TERN_BLOCK_LAYER);
    for (int i = 0; i <= b.args->before - attends; i++) widen(&b, b.before[i], i);
    int from =
        attends ? 0 : b.args->before; /* the last buffer goes on; attention has one of its own in front */
    for (int i = 1; i <= b.args->after; i++) widen(&b, b.after[i], from + i);
    return b;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

tern_status tern_int8_check_layer(const tern_infer *types, int first, int64_t inputs, int64_t outputs)
{
    static const tern_dtype expected[] = {TERN_I8, TERN_I32, TERN_I32, TERN_I8, TERN_I32};
    for (int i = 0; i < TERN_BLOCK_LAYER; i++)
        if (types->in[first + i]->dtype != expected[i])
            return tern_infer_fail(types, "operand %d is %s, expected %s", first + i,
                                   tern_dtype_of(types->in[first + i]->dtype)->name,
                                   tern_dtype_of(expected[i])->name);
    int64_t scales = tern_elements(&types->in[first + 2]->shape);
    if (tern_elements(&types->in[first]->shape) != inputs * outputs || (scales != 1 && scales != outputs))
        return tern_infer_fail(types, "the layer of operand %d is not [%lld,%lld] with as many scales or one",
                               first, (long long)outputs, (long long)inputs);
    TERN_TRY(tern_infer_like(types, first + 1, first + 1, TERN_SHAPE(outputs)));
    TERN_TRY(tern_infer_like(types, first + 3, first + 3, TERN_SHAPE(scales)));
    return tern_infer_like(types, first + 4, first + 4, TERN_SHAPE(TERN_PRODUCT_CONSTANTS));
}

static tern_status check_layers(const tern_infer *types, int first, int count, int64_t *width)
{
    for (int i = 0; i < count; i++, first += TERN_BLOCK_LAYER) {
        const tern_shape *w = &types->in[first]->shape;
        if (w->rank != 2) return tern_infer_fail(types, "operand %d is no matrix of weights", first);
        TERN_TRY(tern_int8_check_layer(types, first, *width, w->dim[0]));
        *width = w->dim[0];
    }
    return TERN_OK;
}

static tern_status block_infer(tern_infer *types, bool attends)
{
    const tern_int8_block_op *a = types->args;
    bool good = a->before >= 1 && a->before <= TERN_BLOCK_MOST && a->after >= 1 &&
                a->after <= TERN_BLOCK_MOST && a->tokens >= 1 && (a->heads > 0) == attends;
    int operands = TERN_BLOCK_LAYERS + (a->before + a->after) * TERN_BLOCK_LAYER + (attends ? 3 : 2);
    if (!good)
        return tern_infer_fail(types, "%d layers before and %d behind the middle, expected 1 to %d each",
                               a->before, a->after, TERN_BLOCK_MOST);
    TERN_TRY(tern_infer_inputs(types, operands, operands));
    const tern_shape *x = &types->in[0]->shape;
    if (types->in[0]->dtype != TERN_I8 || x->rank < 2)
        return tern_infer_fail(types, "x is %s, expected bytes [..,N,D]",
                               tern_dtype_of(types->in[0]->dtype)->name);
    int64_t width = x->dim[x->rank - 1], thirds = width;
    int middle = TERN_BLOCK_LAYERS + a->before * TERN_BLOCK_LAYER;
    TERN_TRY(tern_infer_like(types, TERN_BLOCK_NORM, TERN_BLOCK_NORM + 1, TERN_SHAPE(width)));
    TERN_TRY(check_layers(types, TERN_BLOCK_LAYERS, a->before, &thirds));
    if (attends && (thirds % (3 * a->heads) || x->dim[x->rank - 2] > TERN_ATTEND_KEYS))
        return tern_infer_fail(types, "%lld are no queries, keys and values of %d heads of at most %d tokens",
                               (long long)thirds, a->heads, TERN_ATTEND_KEYS);
    if (attends) thirds /= 3;
    TERN_TRY(tern_infer_like(types, middle, middle, TERN_SHAPE(attends ? TERN_ATTEND_CONSTANTS : 256)));
    TERN_TRY(check_layers(types, middle + 1 + attends, a->after, &thirds));
    if (thirds != width)
        return tern_infer_fail(types, "the block makes %lld of %lld numbers of a token", (long long)thirds,
                               (long long)width);
    TERN_TRY(tern_infer_like(types, operands - 1, operands - 1, TERN_SHAPE(TERN_ADD_CONSTANTS)));
    tern_infer_out(types, TERN_I8, *x);
    return TERN_OK;
}

static tern_status mlp_infer(tern_infer *types)
{
    return block_infer(types, false);
}

static tern_status attention_infer(tern_infer *types)
{
    return block_infer(types, true);
}

/* ---- what it does ---------------------------------------------------------------------------------------------------- */

tern_int8_scale tern_int8_layer_scale(const tern_call *call, int first)
{
    const int32_t *q = call->in[first + 4].data;
    return (tern_int8_scale){.bias = call->in[first + 1].data,
                             .multiplier = call->in[first + 2].data,
                             .shift = call->in[first + 3].data,
                             .each = tern_elements(&call->in[first + 2].shape) > 1,
                             .in_zero = q[TERN_X_ZERO],
                             .zero = q[TERN_Y_ZERO],
                             .low = q[TERN_Y_LOW],
                             .high = q[TERN_Y_HIGH]};
}

/* Memory of a tile, one part behind the other; 32-bit numbers come first. */
typedef struct tile {
    int32_t *scores;
    int8_t *keys, *values, *query, *attended, *buffer[2];
} tile;

static size_t whole_words(int64_t bytes)
{
    return (size_t)(bytes + 7) / 8 * 8;
}

/* Offsets of the parts, and behind them the end. */
enum { PARTS = 7 };
static void parts_of(const block *b, size_t at[PARTS + 1])
{
    int64_t some = b->tile * b->queries, all = b->tokens * b->queries;
    const int64_t bytes[PARTS] = {b->queries ? 4 * (b->tokens + b->head) : 0,
                                  all,
                                  all,
                                  some,
                                  some,
                                  b->tile * b->even,
                                  b->tile * b->odd};
    at[0] = 0;
    for (size_t i = 0; i < PARTS; i++) at[i + 1] = at[i] + whole_words(bytes[i]);
}

static tile tile_of(const block *b, void *memory)
{
    size_t at[PARTS + 1];
    int8_t *m = memory;
    parts_of(b, at);
    return (tile){memory, m + at[1], m + at[2], m + at[3], m + at[4], {m + at[5], m + at[6]}};
}

static size_t block_scratch(const tern_call *call)
{
    block b = block_of(call);
    size_t at[PARTS + 1];
    parts_of(&b, at);
    return at[PARTS];
}

/* Part of the outputs of a layer: `count` from `from` on. */
static void some_outputs(const tern_call *call, int layer, int64_t rows, int64_t inputs, int64_t from,
                         int64_t count, const int8_t *x, int8_t *y)
{
    tern_int8_scale s = tern_int8_layer_scale(call, layer);
    s.bias += from;
    s.multiplier += s.each * from;
    s.shift += s.each * from;
    tern_int8_linear_rows(rows, inputs, count, x, (const int8_t *)call->in[layer].data + from * inputs, &s,
                          y);
}

/* A norm and the first `count` layers behind it; *at is the buffer where they leave their rows. */
static void begin(const tern_call *call, const block *b, const tile *t, const int8_t *x, int64_t rows,
                  int count, int *at)
{
    for (int64_t r = 0; r < rows; r++)
        tern_int8_norm_row(b->width, x + r * b->width, call->in[TERN_BLOCK_NORM].data,
                           call->in[TERN_BLOCK_NORM + 1].data, call->in[TERN_BLOCK_NORM + 2].data,
                           t->buffer[0] + r * b->width);
    for (*at = 0; *at < count; ++*at)
        some_outputs(call, TERN_BLOCK_LAYERS + *at * TERN_BLOCK_LAYER, rows, b->before[*at], 0,
                     b->before[*at + 1], t->buffer[*at % 2], t->buffer[(*at + 1) % 2]);
}

/* The layers behind the middle, and their sum with x. */
static void end(const tern_call *call, const block *b, const tile *t, const int8_t *from, int at,
                int64_t rows, const int8_t *x, int8_t *y)
{
    for (int i = 0; i < b->args->after; i++, from = t->buffer[at % 2]) {
        at++;
        some_outputs(call, b->behind + i * TERN_BLOCK_LAYER, rows, b->after[i], 0, b->after[i + 1], from,
                     t->buffer[at % 2]);
    }
    for (int64_t i = 0; i < rows * b->width; i++) y[i] = tern_int8_sum(x[i], from[i], call->in[b->sum].data);
}

static int64_t rows_at(const block *b, int64_t first)
{
    return b->tokens - first < b->tile ? b->tokens - first : b->tile;
}

static void block_work(const tern_call *call, tern_work *work)
{
    block b = block_of(call);
    bool attends = b.queries > 0;
    double macs = 0, rows = (double)(b.images * b.tokens), between = (double)b.width;
    for (int i = 0; i < b.args->before; i++) { /* keys and values are made before queries, which begin anew */
        bool twice = attends && i < b.args->before - 1;
        macs += (double)(b.before[i] * b.before[i + 1]) * (twice ? 2 : 1);
        between += (double)b.before[i + 1];
    }
    for (int i = 0; i < b.args->after; i++) {
        macs += (double)(b.after[i] * b.after[i + 1]);
        between += (double)b.after[i + 1];
    }
    work->macs += rows * (macs + 2 * (double)(b.queries * b.tokens));
    work->elementwise += rows * (between + (double)b.width);
    work->specials += rows * (1 + (double)(b.args->heads * b.tokens));
}

static void mlp_run(const tern_call *call)
{
    block b = block_of(call);
    tile t = tile_of(&b, call->scratch);
    const int8_t *table = call->in[b.middle].data;
    for (int64_t image = 0; image < b.images; image++)
        for (int64_t first = 0; first < b.tokens; first += b.tile) {
            int64_t rows = rows_at(&b, first), offset = (image * b.tokens + first) * b.width;
            const int8_t *x = (const int8_t *)call->in[0].data + offset;
            int at;
            begin(call, &b, &t, x, rows, b.args->before, &at);
            int8_t *hidden = t.buffer[at % 2];
            for (int64_t i = 0; i < rows * b.after[0]; i++) hidden[i] = table[hidden[i] + 128];
            end(call, &b, &t, hidden, at, rows, x, (int8_t *)call->out[0].data + offset);
        }
    if (call->counter) block_work(call, call->counter);
}

/* Keys and values of all tokens, from x as it was. */
static void remember(const tern_call *call, const block *b, const tile *t, const int8_t *x)
{
    int last = b->args->before - 1, layer = TERN_BLOCK_LAYERS + last * TERN_BLOCK_LAYER, at;
    for (int64_t first = 0; first < b->tokens; first += b->tile) {
        int64_t rows = rows_at(b, first), q = b->queries;
        begin(call, b, t, x + first * b->width, rows, last, &at);
        some_outputs(call, layer, rows, b->before[last], q, q, t->buffer[at % 2], t->keys + first * q);
        some_outputs(call, layer, rows, b->before[last], 2 * q, q, t->buffer[at % 2], t->values + first * q);
    }
}

static void attend(const tern_call *call, const block *b, const tile *t, int64_t rows)
{
    for (int64_t i = 0; i < rows * b->args->heads; i++) {
        int64_t row = i / b->args->heads, column = i % b->args->heads * b->head;
        tern_int8_attention a = {b->tokens,
                                 b->head,
                                 b->head,
                                 t->keys + column,
                                 t->values + column,
                                 b->queries,
                                 b->queries,
                                 call->in[b->middle].data,
                                 call->in[b->middle + 1].data};
        tern_int8_attend_row(&a, t->query + row * b->queries + column, t->scores,
                             t->attended + row * b->queries + column);
    }
}

static void attention_run(const tern_call *call)
{
    block b = block_of(call);
    tile t = tile_of(&b, call->scratch);
    int last = b.args->before - 1, at;
    for (int64_t image = 0; image < b.images; image++) {
        const int8_t *x = (const int8_t *)call->in[0].data + image * b.tokens * b.width;
        int8_t *y = (int8_t *)call->out[0].data + image * b.tokens * b.width;
        remember(call, &b, &t, x);
        for (int64_t first = 0; first < b.tokens; first += b.tile) {
            int64_t rows = rows_at(&b, first), offset = first * b.width;
            begin(call, &b, &t, x + offset, rows, last, &at);
            some_outputs(call, TERN_BLOCK_LAYERS + last * TERN_BLOCK_LAYER, rows, b.before[last], 0,
                         b.queries, t.buffer[at % 2], t.query);
            attend(call, &b, &t, rows);
            end(call, &b, &t, t.attended, 0, rows, x + offset, y + offset);
        }
    }
    if (call->counter) block_work(call, call->counter);
}

/* ---- as C ------------------------------------------------------------------------------------------------------------ */

/* "linear_rows(rows, ..);" of outputs from .. from + count - 1 of a layer. */
static void write_layer(const tern_call *call, tern_text *t, int layer, int64_t inputs, int64_t from,
                        int64_t count, const char *x, const char *y)
{
    int each = tern_elements(&call->in[layer + 2].shape) > 1;
    long long first = from, scale = each * from;
    tern_text_format(t, "        linear_rows(rows, %lld, %lld, %s, in%d + %lld, in%d + %lld, in%d + %lld, ",
                     (long long)inputs, (long long)count, x, layer, first * (long long)inputs, layer + 1,
                     first, layer + 2, scale);
    tern_text_format(t, "in%d + %lld, %d, in%d, %s);\n", layer + 3, scale, each, layer + 4, y);
}

static const char *const buffers[] = {"even", "odd"};

static void write_begin(const tern_call *call, const block *b, tern_text *t, int count)
{
    tern_text_format(t, "    for (int first = 0; first < %lld; first += %lld) {\n", (long long)b->tokens,
                     (long long)b->tile);
    tern_text_format(t,
                     "        const int rows = %lld - first < %lld ? %lld - first : %lld;\n"
                     "        for (int r = 0; r < rows; r++)\n"
                     "            norm_row(%lld, x + (first + r) * %lld, in1, in2, in3, even + r * %lld);\n",
                     (long long)b->tokens, (long long)b->tile, (long long)b->tokens, (long long)b->tile,
                     (long long)b->width, (long long)b->width, (long long)b->width);
    for (int i = 0; i < count; i++)
        write_layer(call, t, TERN_BLOCK_LAYERS + i * TERN_BLOCK_LAYER, b->before[i], 0, b->before[i + 1],
                    buffers[i % 2], buffers[(i + 1) % 2]);
}

static void write_end(const tern_call *call, const block *b, tern_text *t, const char *from, int at)
{
    for (int i = 0; i < b->args->after; i++, from = buffers[at % 2]) {
        at++;
        write_layer(call, t, b->behind + i * TERN_BLOCK_LAYER, b->after[i], 0, b->after[i + 1], from,
                    buffers[at % 2]);
    }
    tern_text_format(t,
                     "        add_rows(rows * %lld, x + first * %lld, %s, in%d, y + first * %lld);\n"
                     "    }\n    }\n",
                     (long long)b->width, (long long)b->width, from, b->sum, (long long)b->width);
}

/* The parts of the scratch memory by name, and the loop over images. */
static void write_parts(const block *b, tern_text *t)
{
    static const char *const names[] = {"scores", "keys", "values", "query", "attended", "even", "odd"};
    size_t at[PARTS + 1];
    parts_of(b, at);
    for (size_t i = 0; i < PARTS; i++)
        if (at[i + 1] > at[i])
            tern_text_format(t, "    %s *const %s = (void *)((uint8_t *)scratch + %zu);\n",
                             i ? "int8_t" : "int32_t", names[i], at[i]);
    tern_text_format(t,
                     "    for (int image = 0; image < %lld; image++) {\n"
                     "    const int8_t *x = in0 + image * %lld;\n"
                     "    int8_t *y = out0 + image * %lld;\n",
                     (long long)b->images, (long long)(b->tokens * b->width),
                     (long long)(b->tokens * b->width));
}

static tern_status mlp_emit(const tern_call *call, tern_emit *to)
{
    block b = block_of(call);
    int middle = b.args->before;
    write_parts(&b, to->text);
    write_begin(call, &b, to->text, middle);
    tern_text_format(to->text, "        for (int i = 0; i < rows * %lld; i++) %s[i] = in%d[%s[i] + 128];\n",
                     (long long)b.after[0], buffers[middle % 2], b.middle, buffers[middle % 2]);
    write_end(call, &b, to->text, buffers[middle % 2], middle);
    return TERN_OK;
}

static tern_status attention_emit(const tern_call *call, tern_emit *to)
{
    block b = block_of(call);
    int last = b.args->before - 1, layer = TERN_BLOCK_LAYERS + last * TERN_BLOCK_LAYER;
    long long q = b.queries, head = b.head;
    char keys[64], values[64];
    snprintf(keys, sizeof keys, "keys + first * %lld", q);
    snprintf(values, sizeof values, "values + first * %lld", q);
    write_parts(&b, to->text);
    write_begin(call, &b, to->text, last);
    write_layer(call, to->text, layer, b.before[last], q, q, buffers[last % 2], keys);
    write_layer(call, to->text, layer, b.before[last], 2 * q, q, buffers[last % 2], values);
    tern_text_put(to->text, "    }\n");
    write_begin(call, &b, to->text, last);
    write_layer(call, to->text, layer, b.before[last], 0, q, buffers[last % 2], "query");
    tern_text_format(
        to->text,
        "        for (int r = 0; r < rows; r++)\n"
        "        for (int h = 0; h < %lld; h += %lld)\n"
        "            attend_row(%lld, %lld, %lld, query + r * %lld + h, keys + h, %lld, values + h, "
        "%lld, in%d, in%d, scores, attended + r * %lld + h);\n",
        q, head, (long long)b.tokens, head, head, q, q, q, b.middle, b.middle + 1, q);
    write_end(call, &b, to->text, "attended", 0);
    return TERN_OK;
}

const tern_op tern_op_mlp_int8 = {
    .name = "mlp_int8",
    .doc = "x + the layers behind a norm of x, a table between them, some tokens at a time",
    .args = block_args,
    .args_size = sizeof(tern_int8_block_op),
    .inplace = {1},
    .infer = mlp_infer,
    .work = block_work,
    .run = mlp_run,
    .scratch = block_scratch,
    .emit = mlp_emit,
};

const tern_op tern_op_attention_block_int8 = {
    .name = "attention_block_int8",
    .doc = "x + attention behind a norm of x, some queries at a time",
    .args = block_args,
    .args_size = sizeof(tern_int8_block_op),
    .inplace = {1},
    .infer = attention_infer,
    .work = block_work,
    .run = attention_run,
    .scratch = block_scratch,
    .emit = attention_emit,
};
