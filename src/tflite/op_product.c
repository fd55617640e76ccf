/* TFLite operators that multiply by weights: convolutions, depthwise ones, fully connected layers. */
#include "tflite/import.h"

#include "quant/quant.h"

#include <math.h>
#include <string.h>

enum { SAME, VALID };

/* ---- windows --------------------------------------------------------------------------------------------------------- */

typedef struct window {
    int64_t kernel[2];
    int stride, dilation, border[4]; /* top, left, bottom, right */
} window;

/* The border that "same" asks for: as many results as inputs over stride, the odd zero behind. */
static void border_of(const tern_shape *x, int padding, window *w)
{
    for (int d = 0; d < 2; d++) {
        int64_t in = x->dim[1 + d], out = (in + w->stride - 1) / w->stride;
        int64_t all = (out - 1) * w->stride + (w->kernel[d] - 1) * w->dilation + 1 - in;
        if (padding == VALID || all < 0) all = 0;
        w->border[d] = (int)(all / 2);
        w->border[2 + d] = (int)(all - all / 2);
    }
}

static tern_status open_window(const tern_tflite_call *call, const tern_shape *x, int first_dilation,
                               window *w)
{
    int padding = tern_tflite_byte(call, 0), across = tern_tflite_whole(call, 1, 0),
        down = tern_tflite_whole(call, 2, 0);
    int wide = tern_tflite_whole(call, first_dilation, 1),
        high = tern_tflite_whole(call, first_dilation + 1, 1);
    bool flat = x->dim[1] == 1 && w->kernel[0] == 1, column = x->dim[2] == 1 && w->kernel[1] == 1;
    if (flat) down = across, high = wide; /* nothing is left to step over */
    if (column) across = down, wide = high;
    if (across < 1 || down != across || wide < 1 || high != wide || across > 1 << 20 || wide > 1 << 20 ||
        padding < SAME || padding > VALID)
        return tern_tflite_fail(
            call,
            "strides of %d and %d, dilations of %d and %d, padding %d: expected the same along "
            "both axes",
            down, across, high, wide, padding);
    w->stride = across;
    w->dilation = wide;
    border_of(x, padding, w);
    return TERN_OK;
}

/* A border that an operator before it has put off becomes part of the window. */
static tern_value take_border(tern_tflite_call *call, window *w)
{
    tern_tflite_value *v = tern_tflite_value_of(call, 0);
    bool put_off = v->inner && !v->plain.id && !v->image.id;
    for (int i = 0; i < 4; i++) put_off = put_off && w->border[i] == 0;
    if (!put_off) return tern_tflite_image(call, 0);
    const int border[] = {v->top, v->left, v->bottom, v->right};
    memcpy(w->border, border, sizeof border);
    int inner = v->inner - 1;
    tern_tflite_operator source = {.inputs = &inner, .input_count = 1};
    tern_tflite_call of = *call;
    of.op = &source;
    return tern_tflite_image(&of, 0);
}

/* ---- scales and biases ----------------------------------------------------------------------------------------------- */

/* A layer that multiplies. */
typedef struct product {
    tern_tflite_form form;
    bool wide; /* sums of 16 bits times bytes have 64 bits */
    int activation;
    tern_tflite_parameter weights;
} product;

/* Sums of 16 bits are as wide as their bias, whose type without one is option `field`; field 0: the reference has 64 bits only. */
static tern_status find_width(const tern_tflite_call *call, int field, product *p)
{
    const tern_tflite_tensor *b = tern_tflite_in(call, 2);
    int type = b ? b->type : field ? tern_tflite_byte(call, field) : TERN_TFLITE_I64;
    p->wide = p->form == TERN_TFLITE_SHORTS && type != TERN_TFLITE_I32;
    if (!b || p->form == TERN_TFLITE_FLOATS) return TERN_OK;
    bool good = p->form == TERN_TFLITE_BYTES ? type == TERN_TFLITE_I32
                                             : type == TERN_TFLITE_I64 || (field && type == TERN_TFLITE_I32);
    if (!good)
        return tern_tflite_fail(call, "bias \"%.100s\" is of type %d, expected %s", b->name, type,
                                p->form == TERN_TFLITE_BYTES ? "words (2)"
                                : field                      ? "64 bits (4) or words (2)"
                                                             : "64 bits (4)");
    for (int64_t o = 0; p->wide && o < tern_elements(&b->shape); o++)
        if (fabs(tern_tflite_number(b, o)) >= 0x1p46)
            return tern_tflite_fail(
                call, "bias \"%.100s\" has %g, expected less than 2^46, so that sums fit 47 bits", b->name,
                tern_tflite_number(b, o));
    return TERN_OK;
}

static tern_status check_scales(const tern_tflite_call *call, int64_t outputs, int axis)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, 1);
    if (w->type != TERN_TFLITE_I8 || w->scale <= 0)
        return tern_tflite_fail(call, "weights \"%.100s\" are of type %d, expected bytes (9) with scales",
                                w->name, w->type);
    if (w->scales.count > 1 && ((int64_t)w->scales.count != outputs || w->axis != axis))
        return tern_tflite_fail(call, "%zu scales along axis %d for %lld outputs along axis %d",
                                w->scales.count, w->axis, (long long)outputs, axis);
    for (size_t i = 0; i < w->zeros.count; i++)
        if (tern_flat_int_at(&w->zeros, i) != 0)
            return tern_tflite_fail(call, "weights have the zero %lld, expected 0",
                                    (long long)tern_flat_int_at(&w->zeros, i));
    return TERN_OK;
}

/* Multipliers and shifts of the outputs.  Of a layer with one scale the reference multiplies the scales of input and weights
 * in single precision. */
static tern_status put_scales(tern_tflite_call *call, bool single, tern_value *operands)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *w = tern_tflite_in(call, 1),
                             *y = tern_tflite_out(call, 0);
    size_t count = w->scales.count;
    int32_t *multipliers = tern_take_array(count + 1, sizeof *multipliers);
    int8_t *shifts = tern_take_array(count + 1, sizeof *shifts);
    tern_status status = multipliers && shifts ? TERN_OK : tern_no_memory(count * 5, "scales");
    for (size_t i = 0; status == TERN_OK && i < count; i++) {
        double scale = tern_tflite_scale_at(w, (int64_t)i), product = x->scale * scale;
        int shift;
        if (single && count == 1) product = (double)((float)x->scale * (float)scale);
        tern_int8_multiplier(product / y->scale, &multipliers[i], &shift);
        shifts[i] = (int8_t)shift;
    }
    if (status == TERN_OK) {
        float scales[] = {(float)x->scale, (float)y->scale};
        operands[TERN_IN_MULTIPLIER] =
            tern_tflite_fixed(call, "multiplier", TERN_I32, (int)count, multipliers);
        operands[TERN_IN_SHIFT] = tern_tflite_fixed(call, "shift", TERN_I8, (int)count, shifts);
        tern_tflite_note(call, "scales", TERN_F32, 2, scales);
    }
    tern_release(multipliers);
    tern_release(shifts);
    return status;
}

/* Operands of a product of whole numbers behind x: weights, bias, scales, constants or limits; how many there are. */
static tern_status put_operands(tern_tflite_call *call, const product *p, bool single, tern_value *operands,
                                int *count)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    tern_tflite_parameter weights = p->weights;
    int32_t constants[TERN_PRODUCT_CONSTANTS] = {[TERN_X_ZERO] = x->zero, [TERN_Y_ZERO] = y->zero};
    TERN_TRY(tern_tflite_limits(call, p->activation, &constants[TERN_Y_LOW], &constants[TERN_Y_HIGH]));
    weights.dtype = TERN_I8;
    operands[TERN_IN_W] = tern_tflite_parameter_of(call, "weight", weights);
    tern_tflite_parameter bias = {.dtype = TERN_I32,
                                  .shape = TERN_SHAPE(weights.shape.dim[0]),
                                  .tensor = weights.tensor,
                                  .bias = tern_tflite_in(call, 2) ? call->op->inputs[2] : -1,
                                  .kind = TERN_TFLITE_BIAS,
                                  .zero = x->zero};
    operands[TERN_IN_BIAS] = tern_tflite_parameter_of(call, "bias", bias);
    TERN_TRY(put_scales(call, single, operands));
    *count = p->wide ? TERN_INT16_OPERANDS : TERN_PRODUCT_OPERANDS;
    if (p->form == TERN_TFLITE_BYTES)
        operands[TERN_IN_CONSTANTS] =
            tern_tflite_fixed(call, "constants", TERN_I32, TERN_PRODUCT_CONSTANTS, constants);
    else
        operands[TERN_IN_LIMITS] = tern_tflite_words(call, 2, constants + TERN_Y_LOW);
    bias.kind = TERN_TFLITE_UPPER;
    if (p->wide) operands[TERN_IN_UPPER] = tern_tflite_parameter_of(call, "bias_upper", bias);
    return TERN_OK;
}

/* Of floats: weights, and the bias where there is one. */
static int put_floats(tern_tflite_call *call, const product *p, tern_value *operands)
{
    tern_tflite_parameter weights = p->weights;
    weights.dtype = TERN_F32;
    operands[1] = tern_tflite_parameter_of(call, "weight", weights);
    if (!tern_tflite_in(call, 2)) return 2;
    tern_tflite_parameter bias = {.dtype = TERN_F32,
                                  .shape = TERN_SHAPE(weights.shape.dim[0]),
                                  .tensor = call->op->inputs[2],
                                  .kind = TERN_TFLITE_PLAIN};
    operands[2] = tern_tflite_parameter_of(call, "bias", bias);
    return 3;
}

/* Weights, and a bias that goes with them, are constants of the type of the layer. */
static tern_status check_weights(const tern_tflite_call *call, bool floats, int rank, int64_t outputs)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, 1), *b = tern_tflite_in(call, 2);
    char text[96];
    if (!w->bytes.count || w->shape.rank != rank)
        return tern_tflite_fail(call, "weights \"%.100s\" are %s%s, expected a constant of %d axes", w->name,
                                tern_shape_text(text, &w->shape), w->bytes.count ? "" : ", computed", rank);
    if (b && (!b->bytes.count || tern_elements(&b->shape) != outputs))
        return tern_tflite_fail(call, "bias \"%.100s\" is %s%s, expected a constant of %lld elements",
                                b->name, tern_shape_text(text, &b->shape), b->bytes.count ? "" : ", computed",
                                (long long)outputs);
    if (floats && (w->type != TERN_TFLITE_F32 || (b && b->type != TERN_TFLITE_F32)))
        return tern_tflite_fail(
            call, "weights of type %d with inputs of floats: expected floats, or bytes throughout", w->type);
    return TERN_OK;
}

/* What kind of layer it is, of weights of so many axes, whose outputs lie along one of them. */
static tern_status open_product(const tern_tflite_call *call, int rank, int axis, int bias_field, product *p)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, 1);
    int64_t outputs = w->shape.dim[axis];
    TERN_TRY(tern_tflite_form_of(call, &p->form));
    TERN_TRY(check_weights(call, p->form == TERN_TFLITE_FLOATS, rank, outputs));
    if (p->form != TERN_TFLITE_FLOATS) TERN_TRY(check_scales(call, outputs, axis));
    p->weights.tensor = call->op->inputs[1];
    return find_width(call, bias_field, p);
}

/* ---- convolutions ---------------------------------------------------------------------------------------------------- */

static tern_status add_conv(tern_tflite_call *call, const product *p, window *w, int groups)
{
    tern_graph *g = call->graph;
    tern_value operands[TERN_INT16_OPERANDS];
    operands[0] = take_border(call, w);
    tern_conv_op op = {.stride = w->stride, .dilation = w->dilation, .groups = groups};
    int count;
    if (p->form != TERN_TFLITE_FLOATS) {
        const tern_op *product =
            p->form == TERN_TFLITE_BYTES ? &tern_op_conv2d_int8 : &tern_op_conv2d_int16x8;
        op.top = w->border[0], op.left = w->border[1], op.bottom = w->border[2], op.right = w->border[3];
        TERN_TRY(put_operands(call, p, false, operands, &count));
        return tern_tflite_give_image(call, 0, tern_apply(g, product, &op, operands, count, NULL));
    }
    bool even = true;
    for (int i = 1; i < 4; i++) even = even && w->border[i] == w->border[0];
    if (even) op.pad = w->border[0];
    tern_shape s = tern_shape_of(g, operands[0]);
    for (int d = 0; d < 2 && !even && g->status == TERN_OK; d++)
        operands[0] = tern_pad(g, operands[0], 2 + d, w->border[d],
                               (int)s.dim[2 + d] + w->border[d] + w->border[2 + d]);
    count = put_floats(call, p, operands);
    tern_value y = tern_apply(g, &tern_op_conv2d, &op, operands, count, NULL);
    return tern_tflite_give_image(call, 0, tern_tflite_activate(call, p->activation, y));
}

static tern_status conv(tern_tflite_call *call)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, 1);
    tern_shape x = tern_tflite_shape(call, 0), f = w->shape;
    product p = {.activation = tern_tflite_byte(call, 3)};
    TERN_TRY(open_product(call, 4, 0, 6, &p));
    if (x.rank != 4 || f.dim[3] < 1 || x.dim[3] % f.dim[3])
        return tern_tflite_fail(call, "the input has %d axes and %lld channels, the weights %lld", x.rank,
                                (long long)x.dim[3], (long long)f.dim[3]);
    window win = {.kernel = {f.dim[1], f.dim[2]}};
    TERN_TRY(open_window(call, &x, 4, &win));
    p.weights.shape = TERN_SHAPE(f.dim[0], f.dim[3], f.dim[1], f.dim[2]);
    p.weights.kind = TERN_TFLITE_FILTERS;
    return add_conv(call, &p, &win, (int)(x.dim[3] / f.dim[3]));
}

static tern_status depthwise(tern_tflite_call *call)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, 1);
    tern_shape x = tern_tflite_shape(call, 0), f = w->shape;
    product p = {.activation = tern_tflite_byte(call, 4)};
    TERN_TRY(open_product(call, 4, 3, 0, &p));
    if (x.rank != 4 || x.dim[3] < 1 || f.dim[0] != 1 || f.dim[3] % x.dim[3])
        return tern_tflite_fail(call, "the input has %d axes and %lld channels, the weights %lld", x.rank,
                                (long long)x.dim[3], (long long)f.dim[3]);
    window win = {.kernel = {f.dim[1], f.dim[2]}};
    TERN_TRY(open_window(call, &x, 5, &win));
    p.weights.shape = TERN_SHAPE(f.dim[3], 1, f.dim[1], f.dim[2]);
    p.weights.kind = TERN_TFLITE_PLANES;
    return add_conv(call, &p, &win, (int)x.dim[3]);
}

/* ---- fully connected ------------------------------------------------------------------------------------------------- */

/* The input as rows of `width`.  An image that was flattened channels first stays so: the weights follow. */
static tern_value rows_of(tern_tflite_call *call, int64_t width, tern_tflite_parameter *weights)
{
    tern_tflite_value *v = tern_tflite_in(call, 0)->bytes.count ? NULL : tern_tflite_value_of(call, 0);
    tern_shape s = tern_tflite_shape(call, 0);
    if (v && v->flat.id && !v->plain.id && v->channels * v->places == width) {
        weights->kind = TERN_TFLITE_FLAT;
        weights->channels = v->channels;
        weights->places = v->places;
        return v->flat;
    }
    return tern_reshape(call->graph, tern_tflite_plain(call, 0),
                        TERN_SHAPE(tern_elements(&s) / width, width));
}

static tern_status fully_connected(tern_tflite_call *call)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, 1);
    tern_shape x = tern_tflite_shape(call, 0), y = tern_tflite_out(call, 0)->shape;
    tern_value operands[TERN_INT16_OPERANDS], result;
    product p = {.activation = tern_tflite_byte(call, 0)};
    int count;
    TERN_TRY(open_product(call, 2, 0, 4, &p));
    if (w->shape.dim[1] < 1 || w->shape.dim[0] < 1 || tern_elements(&x) % w->shape.dim[1])
        return tern_tflite_fail(call, "%lld inputs are no rows of %lld", (long long)tern_elements(&x),
                                (long long)w->shape.dim[1]);
    p.weights.shape = w->shape;
    p.weights.kind = TERN_TFLITE_PLAIN;
    operands[0] = rows_of(call, w->shape.dim[1], &p.weights);
    if (p.form != TERN_TFLITE_FLOATS) {
        const tern_op *product = p.form == TERN_TFLITE_BYTES ? &tern_op_linear_int8 : &tern_op_linear_int16x8;
        TERN_TRY(put_operands(call, &p, true, operands, &count));
        result = tern_apply(call->graph, product, NULL, operands, count, NULL);
    } else {
        count = put_floats(call, &p, operands);
        result = tern_apply(call->graph, &tern_op_linear, NULL, operands, count, NULL);
        result = tern_tflite_activate(call, p.activation, result);
    }
    if (y.rank > 2) { /* the axes before the last one are kept */
        y.dim[0] = tern_elements(&x) / w->shape.dim[1] / (tern_elements_from(&y, 1) / w->shape.dim[0]);
        result = tern_reshape(call->graph, result, y);
    }
    return tern_tflite_give(call, 0, result);
}

const tern_tflite_row tern_tflite_product_rows[] = {
    {3, "CONV_2D", "conv", conv, 2, 3},
    {4, "DEPTHWISE_CONV_2D", "depthwise", depthwise, 2, 3},
    {9, "FULLY_CONNECTED", "linear", fully_connected, 2, 3},
    {0},
};
