/* Patches of an image as tokens of bytes, band by band: see int8_block.h.  The whole image need not be in memory. */
#include "op/int8_block.h"

#include <stdio.h>
#include <string.h>

static const tern_arg patches_args[] = {
    TERN_ARG(tern_int8_patches_op, pad, TERN_ARG_INT, "zeros around the image"),
    TERN_ARG(tern_int8_patches_op, stream, TERN_ARG_BOOL, "the image is asked for by rows"),
    {0},
};

int tern_int8_bands(const tern_shape *image, int patch, int pad)
{
    return ((int)image->dim[2] + 2 * pad - patch) / patch + 1;
}

tern_int8_band tern_int8_band_of(const tern_shape *image, int patch, int pad, int band)
{
    int top = band * patch - pad, height = (int)image->dim[2], end = top + patch;
    tern_int8_band rows = {.first = top < 0 ? 0 : top};
    end = end < height ? end : height;
    rows.count = end > rows.first ? end - rows.first : 0;
    return rows;
}

typedef struct patches {
    const tern_int8_patches_op *args;
    int64_t images, channels, height, width, side, outputs, taps, across, bands, tokens;
    size_t element; /* bytes of a pixel */
} patches;

static patches patches_of(const tern_call *call)
{
    const tern_shape *x = &call->in[0].shape, *w = &call->in[TERN_PATCHES_LAYER].shape;
    patches p = {.args = call->args,
                 .images = x->dim[0],
                 .channels = x->dim[1],
                 .height = x->dim[2],
                 .width = x->dim[3],
                 .side = w->dim[2],
                 .outputs = w->dim[0],
                 .element = call->in[0].dtype == TERN_F32 ? sizeof(float) : 1};
    p.taps = p.channels * p.side * p.side;
    p.bands = tern_int8_bands(x, (int)p.side, p.args->pad);
    p.across = (p.width + 2 * p.args->pad - p.side) / p.side + 1;
    p.tokens = p.bands * p.across + 1;
    return p;
}

static tern_status check_image(const tern_infer *types)
{
    const tern_type *x = types->in[TERN_PATCHES_IMAGE], *w = types->in[TERN_PATCHES_LAYER];
    const tern_int8_patches_op *a = types->args;
    char tx[96], tw[96];
    bool good = x->shape.rank == 4 && w->shape.rank == 4 && w->shape.dim[1] == x->shape.dim[1] &&
                w->shape.dim[2] == w->shape.dim[3] && a->pad >= 0 &&
                x->shape.dim[2] + 2 * a->pad >= w->shape.dim[2] &&
                x->shape.dim[3] + 2 * a->pad >= w->shape.dim[2];
    if (!good)
        return tern_infer_fail(types, "x %s and W %s do not match: expected [B,C,H,W] and [O,C,P,P]",
                               tern_shape_text(tx, &x->shape), tern_shape_text(tw, &w->shape));
    if (a->stream && x->shape.dim[0] != 1)
        return tern_infer_fail(types, "%lld images are asked for by rows, expected one",
                               (long long)x->shape.dim[0]);
    bool floats = x->dtype == TERN_F32;
    if (!floats && x->dtype != TERN_I8)
        return tern_infer_fail(types, "an image of %s, expected i8 or f32", tern_dtype_of(x->dtype)->name);
    for (int i = TERN_PATCHES_SCALE; i <= TERN_PATCHES_ZERO; i++)
        if ((types->in[i] != NULL) != floats)
            return tern_infer_fail(types, "images of floats, and no others, come with a scale and a zero");
    return TERN_OK;
}

static tern_status patches_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 1, TERN_PATCHES_OPERANDS));
    if (types->nin != TERN_PATCHES_OPERANDS)
        return tern_infer_fail(types, "%d operands, expected %d", types->nin, TERN_PATCHES_OPERANDS);
    TERN_TRY(check_image(types));
    const tern_shape *w = &types->in[TERN_PATCHES_LAYER]->shape, *x = &types->in[0]->shape;
    const tern_int8_patches_op *a = types->args;
    int64_t across = (x->dim[3] + 2 * a->pad - w->dim[2]) / w->dim[2] + 1, outputs = w->dim[0],
            tokens = tern_int8_bands(x, (int)w->dim[2], a->pad) * across + 1;
    TERN_TRY(tern_int8_check_layer(types, TERN_PATCHES_LAYER, tern_elements_from(w, 1), outputs));
    TERN_TRY(tern_infer_like(types, TERN_PATCHES_FIRST, TERN_PATCHES_FIRST, TERN_SHAPE(outputs)));
    TERN_TRY(tern_infer_like(types, TERN_PATCHES_PLACES, TERN_PATCHES_PLACES, TERN_SHAPE(tokens, outputs)));
    TERN_TRY(tern_infer_like(types, TERN_PATCHES_SUM, TERN_PATCHES_SUM, TERN_SHAPE(TERN_ADD_CONSTANTS)));
    tern_infer_out(types, TERN_I8, TERN_SHAPE(x->dim[0], tokens, outputs));
    return TERN_OK;
}

static void patches_work(const tern_call *call, tern_work *work)
{
    patches p = patches_of(call);
    double found = (double)(p.images * (p.tokens - 1));
    work->macs += found * (double)(p.taps * p.outputs);
    work->elementwise += found * (double)(p.outputs + p.taps) + (double)tern_elements(&call->out[0].shape);
}

/* ---- what it does ---------------------------------------------------------------------------------------------------- */

/* Scratch memory: a band where it is asked for, a patch, a token. */
typedef struct parts {
    size_t patch, token, end;
} parts;

static size_t whole_words(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static parts parts_of(const patches *p)
{
    size_t band = p->args->stream ? (size_t)(p->channels * p->side * p->width) * p->element : 0;
    parts s = {.patch = whole_words(band)};
    s.token = s.patch + whole_words((size_t)p->taps);
    s.end = s.token + whole_words((size_t)p->outputs);
    return s;
}

static size_t patches_scratch(const tern_call *call)
{
    patches p = patches_of(call);
    return parts_of(&p).end;
}

/* Where the pixels of a band are: row `first` of channel 0, and from channel to channel. */
typedef struct band {
    const char *pixels;
    int64_t channel;
    tern_int8_band rows;
} band;

static band take_band(const tern_call *call, const patches *p, int64_t image, int64_t number)
{
    size_t row = (size_t)p->width * p->element;
    band b = {.channel = p->height * p->width,
              .rows = tern_int8_band_of(&call->in[0].shape, (int)p->side, p->args->pad, (int)number)};
    const char *first = (const char *)call->in[0].data + (size_t)(image * p->channels * p->height) * row +
                        (size_t)b.rows.first * row;
    b.pixels = first;
    if (!p->args->stream) return b;
    size_t bytes = (size_t)b.rows.count * row;
    for (int64_t c = 0; c < p->channels; c++)
        memcpy((char *)call->scratch + (size_t)c * bytes, first + (size_t)(c * p->height) * row, bytes);
    b.pixels = call->scratch;
    b.channel = b.rows.count * p->width;
    return b;
}

static int8_t pixel(const tern_call *call, const band *b, int64_t at)
{
    if (call->in[0].dtype == TERN_I8) return ((const int8_t *)b->pixels)[at];
    return tern_float_to_byte(((const float *)(const void *)b->pixels)[at],
                              *(const float *)call->in[TERN_PATCHES_SCALE].data,
                              *(const int32_t *)call->in[TERN_PATCHES_ZERO].data);
}

/* The bytes that patch `column` of a band sees. */
static void take_patch(const tern_call *call, const patches *p, const band *b, int64_t number, int64_t column,
                       int8_t zero, int8_t *to)
{
    int64_t top = number * p->side - p->args->pad - b->rows.first, left = column * p->side - p->args->pad;
    for (int64_t c = 0; c < p->channels; c++)
        for (int64_t y = top; y < top + p->side; y++)
            for (int64_t x = left; x < left + p->side; x++) {
                bool inside = y >= 0 && y < b->rows.count && x >= 0 && x < p->width;
                *to++ = inside ? pixel(call, b, c * b->channel + y * p->width + x) : zero;
            }
}

static void put_token(const tern_call *call, const patches *p, const int8_t *token, int64_t n, int8_t *y)
{
    const int8_t *places = (const int8_t *)call->in[TERN_PATCHES_PLACES].data + n * p->outputs;
    for (int64_t i = 0; i < p->outputs; i++)
        y[n * p->outputs + i] = tern_int8_sum(token[i], places[i], call->in[TERN_PATCHES_SUM].data);
}

static void patches_run(const tern_call *call)
{
    patches p = patches_of(call);
    parts s = parts_of(&p);
    tern_int8_scale scale = tern_int8_layer_scale(call, TERN_PATCHES_LAYER);
    int8_t *patch = (int8_t *)call->scratch + s.patch, *token = (int8_t *)call->scratch + s.token;
    for (int64_t image = 0; image < p.images; image++) {
        int8_t *y = (int8_t *)call->out[0].data + image * p.tokens * p.outputs;
        put_token(call, &p, call->in[TERN_PATCHES_FIRST].data, 0, y);
        for (int64_t number = 0; number < p.bands; number++) {
            band b = take_band(call, &p, image, number);
            for (int64_t column = 0; column < p.across; column++) {
                take_patch(call, &p, &b, number, column, (int8_t)scale.in_zero, patch);
                tern_int8_linear_rows(1, p.taps, p.outputs, patch, call->in[TERN_PATCHES_LAYER].data, &scale,
                                      token);
                put_token(call, &p, token, 1 + number * p.across + column, y);
            }
        }
    }
    if (call->counter) patches_work(call, call->counter);
}

/* ---- as C ------------------------------------------------------------------------------------------------------------ */

/* The loops over the patches of a band, of whose pixels `at` is the index of (c, y, x). */
static void write_band(const tern_call *call, const patches *p, const char *pixels, const char *at,
                       tern_text *t)
{
    int layer = TERN_PATCHES_LAYER, each = tern_elements(&call->in[layer + 2].shape) > 1;
    bool floats = call->in[0].dtype == TERN_F32;
    tern_text_format(t,
                     "        for (int column = 0; column < %lld; column++, n++) {\n"
                     "            int8_t *to = patch;\n"
                     "            const int left = column * %lld - %d;\n"
                     "            for (int c = 0; c < %lld; c++)\n"
                     "            for (int y = top; y < top + %lld; y++)\n"
                     "            for (int x = left; x < left + %lld; x++)\n"
                     "                *to++ = y >= 0 && y < %lld && x >= 0 && x < %lld ? ",
                     (long long)p->across, (long long)p->side, p->args->pad, (long long)p->channels,
                     (long long)p->side, (long long)p->side, (long long)p->height, (long long)p->width);
    tern_text_format(t, floats ? "byte_of_float(%s[%s], in1[0], in2[0])" : "%s[%s]", pixels, at);
    tern_text_format(
        t,
        " : (int8_t)in%d[0];\n"
        "            linear_rows(1, %lld, %lld, patch, in%d, in%d, in%d, in%d, %d, in%d, token);\n"
        "            add_rows(%lld, token, in%d + n * %lld, in%d, out0 + n * %lld);\n"
        "        }\n",
        layer + 4, (long long)p->taps, (long long)p->outputs, layer, layer + 1, layer + 2, layer + 3, each,
        layer + 4, (long long)p->outputs, TERN_PATCHES_PLACES, (long long)p->outputs, TERN_PATCHES_SUM,
        (long long)p->outputs);
}

static tern_status patches_emit(const tern_call *call, tern_emit *to)
{
    patches p = patches_of(call);
    parts s = parts_of(&p);
    const char *type = call->in[0].dtype == TERN_F32 ? "float" : "int8_t";
    tern_text *t = to->text;
    char at[128];
    if (p.images != 1)
        return tern_fail(TERN_USAGE, "patches of %lld images are not emitted, expected one",
                         (long long)p.images);
    tern_text_format(t,
                     "    int8_t *const patch = (void *)((uint8_t *)scratch + %zu);\n"
                     "    int8_t *const token = (void *)((uint8_t *)scratch + %zu);\n"
                     "    int n = 1;\n"
                     "    add_rows(%lld, in%d, in%d, in%d, out0);\n"
                     "    for (int top = -%d; n < %lld; top += %lld) {\n",
                     s.patch, s.token, (long long)p.outputs, TERN_PATCHES_FIRST, TERN_PATCHES_PLACES,
                     TERN_PATCHES_SUM, p.args->pad, (long long)p.tokens, (long long)p.side);
    if (p.args->stream)
        tern_text_format(
            t,
            "        %s *const band = scratch;\n"
            "        const int first = top < 0 ? 0 : top, end = top + %lld < %lld ? top + %lld : %lld;\n"
            "        const int count = end > first ? end - first : 0;\n"
            "        if (count) in0->read(in0->context, first, count, band);\n",
            type, (long long)p.side, (long long)p.height, (long long)p.side, (long long)p.height);
    if (p.args->stream)
        snprintf(at, sizeof at, "(c * count + y - first) * %lld + x", (long long)p.width);
    else
        snprintf(at, sizeof at, "(c * %lld + y) * %lld + x", (long long)p.height, (long long)p.width);
    write_band(call, &p, p.args->stream ? "band" : "in0", at, t);
    tern_text_put(t, "    }\n");
    return TERN_OK;
}

const tern_op tern_op_patches_int8 = {
    .name = "patches_int8",
    .doc =
        "patches of an image as tokens of bytes, a first token before them, places added; by bands of rows",
    .args = patches_args,
    .args_size = sizeof(tern_int8_patches_op),
    .infer = patches_infer,
    .work = patches_work,
    .run = patches_run,
    .scratch = patches_scratch,
    .emit = patches_emit,
};
