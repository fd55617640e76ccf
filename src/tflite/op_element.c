/* TFLite operators element by element, and softmax.  What bytes become by one operand alone is a table of 256, filled here with
 * the arithmetic of the reference kernels. */
#include "tflite/import.h"

#include "kernel/exponent.h"
#include "op/element.h"
#include "quant/quant.h"

#include <math.h>

/* ---- sums and products ----------------------------------------------------------------------------------------------- */

/* Both operands in one order: channels first where one is, with axes in front of one that has fewer. */
static bool take_pair(tern_tflite_call *call, tern_value *in)
{
    bool image = tern_tflite_is_image(call, 0) || tern_tflite_is_image(call, 1);
    tern_shape y = tern_tflite_out(call, 0)->shape;
    image = image && y.rank == 4;
    for (int i = 0; i < 2; i++) {
        tern_shape s = tern_tflite_shape(call, i);
        if (!image || s.rank == 4) {
            in[i] = image ? tern_tflite_image(call, i) : tern_tflite_plain(call, i);
            continue;
        }
        tern_shape four = TERN_SHAPE(1, 1, 1, 1); /* [..,H,W,C]: the last axis comes second */
        for (int d = 0; d < s.rank; d++) four.dim[4 - s.rank + d] = s.dim[d];
        tern_value x = tern_reshape(call->graph, tern_tflite_plain(call, i), four);
        in[i] = tern_permute(call->graph, x, TERN_SHAPE(0, 3, 1, 2));
    }
    return image;
}

static tern_status give_pair(tern_tflite_call *call, bool image, tern_value y)
{
    return image ? tern_tflite_give_image(call, 0, y) : tern_tflite_give(call, 0, y);
}

/* Inputs and output are of one form. */
static tern_status check_pair(const tern_tflite_call *call, tern_tflite_form *form)
{
    const tern_tflite_tensor *a = tern_tflite_in(call, 0), *b = tern_tflite_in(call, 1);
    TERN_TRY(tern_tflite_form_of(call, form));
    if (b->type == a->type && (*form == TERN_TFLITE_FLOATS || b->scale > 0)) return TERN_OK;
    return tern_tflite_fail(call, "inputs of types %d and %d", a->type, b->type);
}

static void put_factor(int32_t *constants, int at, int zero, double factor)
{
    int shift;
    constants[at] = zero;
    tern_int8_multiplier(factor, &constants[at + 1], &shift);
    constants[at + 2] = shift;
}

/* A sum or a difference: its operators, of bytes and of 16 bits. */
typedef struct summing {
    const tern_op *bytes, *shorts;
    tern_value (*floats)(tern_graph *, tern_value, tern_value);
} summing;

static tern_status sum_of(tern_tflite_call *call, const summing *s)
{
    const tern_tflite_tensor *a = tern_tflite_in(call, 0), *b = tern_tflite_in(call, 1),
                             *y = tern_tflite_out(call, 0);
    int32_t q[TERN_ADD_CONSTANTS];
    tern_value in[3];
    tern_tflite_form form;
    TERN_TRY(check_pair(call, &form));
    bool image = take_pair(call, in);
    if (form == TERN_TFLITE_FLOATS)
        return give_pair(
            call, image,
            tern_tflite_activate(call, tern_tflite_byte(call, 0), s->floats(call->graph, in[0], in[1])));
    double twice = 2 * fmax(a->scale, b->scale), unit = form == TERN_TFLITE_BYTES ? 0x1p20 : 0x1p15;
    put_factor(q, TERN_ADD_A, a->zero, a->scale / twice);
    put_factor(q, TERN_ADD_B, b->zero, b->scale / twice);
    put_factor(q, TERN_ADD_Y, y->zero, twice / (unit * y->scale));
    TERN_TRY(tern_tflite_limits(call, tern_tflite_byte(call, 0), &q[TERN_ADD_LOW], &q[TERN_ADD_HIGH]));
    in[2] = tern_tflite_fixed(call, "constants", TERN_I32, TERN_ADD_CONSTANTS, q);
    const tern_op *op = form == TERN_TFLITE_BYTES ? s->bytes : s->shorts;
    return give_pair(call, image, tern_apply(call->graph, op, NULL, in, 3, NULL));
}

static tern_status add(tern_tflite_call *call)
{
    static const summing s = {&tern_op_add_int8, &tern_op_add_int16, tern_add};
    return sum_of(call, &s);
}

static tern_status subtract(tern_tflite_call *call)
{
    static const summing s = {&tern_op_subtract_int8, &tern_op_subtract_int16, tern_subtract};
    return sum_of(call, &s);
}

static tern_status multiply(tern_tflite_call *call)
{
    const tern_tflite_tensor *a = tern_tflite_in(call, 0), *b = tern_tflite_in(call, 1),
                             *y = tern_tflite_out(call, 0);
    tern_value in[3];
    int shift;
    tern_tflite_form form;
    TERN_TRY(check_pair(call, &form));
    bool image = take_pair(call, in);
    if (form == TERN_TFLITE_FLOATS)
        return give_pair(
            call, image,
            tern_tflite_activate(call, tern_tflite_byte(call, 0), tern_multiply(call->graph, in[0], in[1])));
    int32_t q[TERN_MULTIPLY_CONSTANTS] = {a->zero, b->zero, y->zero};
    tern_int8_multiplier(a->scale * b->scale / y->scale, &q[3], &shift);
    q[4] = shift;
    TERN_TRY(tern_tflite_limits(call, tern_tflite_byte(call, 0), &q[5], &q[6]));
    in[2] = tern_tflite_words(call, TERN_MULTIPLY_CONSTANTS, q);
    const tern_op *op = form == TERN_TFLITE_BYTES ? &tern_op_multiply_int8 : &tern_op_multiply_int16;
    return give_pair(call, image, tern_apply(call->graph, op, NULL, in, 3, NULL));
}

/* ---- functions of one operand ---------------------------------------------------------------------------------------- */

/* Bytes of the input as numbers x, and what becomes of them. */
typedef struct curve {
    const tern_tflite_tensor *x, *y;
    int32_t multiplier, other; /* of x, and of what is below 0 */
    int shift, other_shift;
    int32_t least, most;
} curve;

typedef int32_t byte_function(const curve *c, int32_t x);

static tern_status fill_table(tern_tflite_call *call, const curve *c, byte_function *f)
{
    int8_t table[256];
    for (int q = 0; q < 256; q++) table[q] = tern_clamp_byte(f(c, q - 128), INT8_MIN, INT8_MAX);
    return tern_tflite_by_table(call, table);
}

/* The same of 16 bits: input 0 by the factors of the curve, limited to low and high, as 16 bits or as bytes. */
static tern_status rescale(tern_tflite_call *call, const curve *c)
{
    int32_t q[TERN_RESCALE_CONSTANTS] = {c->x->zero,     c->multiplier, c->shift, c->other,
                                         c->other_shift, c->y->zero,    c->least, c->most};
    tern_int16_rescale_op op = {.bytes = c->y->type == TERN_TFLITE_I8};
    bool image = tern_tflite_is_image(call, 0);
    tern_value in[] = {image ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0),
                       tern_tflite_words(call, TERN_RESCALE_CONSTANTS, q)};
    return give_pair(call, image, tern_apply(call->graph, &tern_op_rescale_int16, &op, in, 2, NULL));
}

/* The input in its own order through a function of floats. */
static tern_status by_floats(tern_tflite_call *call, tern_value f(tern_graph *graph, tern_value x))
{
    bool image = tern_tflite_is_image(call, 0);
    tern_value x = image ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0);
    return give_pair(call, image, f(call->graph, x));
}

/* The curve of input 0 whose multiplier stands for `factor`, within what the output holds. */
static curve curve_of(const tern_tflite_call *call, double factor)
{
    curve c = {.x = tern_tflite_in(call, 0), .y = tern_tflite_out(call, 0)};
    bool wide = c.y->type == TERN_TFLITE_I16;
    tern_int8_multiplier(factor, &c.multiplier, &c.shift);
    c.other = c.multiplier;
    c.other_shift = c.shift;
    c.least = wide ? INT16_MIN : INT8_MIN;
    c.most = wide ? INT16_MAX : INT8_MAX;
    return c;
}

/* q from its zero on, as far as 32 bits go: scales of a damaged file take q to their end. */
static int32_t from_zero(const curve *c, int32_t q)
{
    int64_t y = (int64_t)q + c->y->zero;
    return y < INT32_MIN ? INT32_MIN : y > INT32_MAX ? INT32_MAX : (int32_t)y;
}

static int32_t rescaled(const curve *c, int32_t x)
{
    int32_t y = from_zero(c, tern_requantise(x - c->x->zero, c->multiplier, c->shift));
    return y < c->least ? c->least : y > c->most ? c->most : y;
}

static int32_t limited(const curve *c, int32_t x)
{
    return x < c->least ? c->least : x > c->most ? c->most : x;
}

static int32_t leaked(const curve *c, int32_t x)
{
    int32_t d = x - c->x->zero;
    return from_zero(c, d >= 0 ? tern_requantise(d, c->multiplier, c->shift)
                               : tern_requantise(d, c->other, c->other_shift));
}

/* Beyond so many bytes on either side of its zero, x in units of 2^-27 would leave 16. */
static int32_t radius_of(const curve *c)
{
    return (int32_t)fmin(floor(ldexp(15.0 * 134217728.0, -c->shift)), 1 << 20);
}

static int32_t logistic_byte(const curve *c, int32_t x)
{
    int32_t d = x - c->x->zero, radius = radius_of(c);
    if (d <= -radius) return INT8_MIN;
    if (d >= radius) return INT8_MAX;
    return tern_shift_down(tern_fixed_logistic(tern_requantise(d, c->multiplier, c->shift)), 23) - 128;
}

static int32_t tanh_byte(const curve *c, int32_t x)
{
    int32_t d = x - c->x->zero, radius = radius_of(c);
    if (d <= -radius) return INT8_MIN;
    if (d >= radius) return INT8_MAX;
    return tern_shift_down(tern_fixed_tanh(tern_requantise(d, c->multiplier, c->shift)), 24);
}

static tern_status relu(tern_tflite_call *call)
{
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    if (form == TERN_TFLITE_FLOATS) return by_floats(call, tern_relu);
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    curve c = curve_of(call, x->scale / y->scale);
    c.least = y->zero;
    return form == TERN_TFLITE_SHORTS ? rescale(call, &c) : fill_table(call, &c, rescaled);
}

static tern_value relu6_of(tern_graph *graph, tern_value x)
{
    return tern_clip(graph, x, 0, 6);
}

/* The reference limits whole numbers to the zero and the six of the input. */
static tern_status relu6(tern_tflite_call *call)
{
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    if (form == TERN_TFLITE_FLOATS) return by_floats(call, relu6_of);
    curve c = curve_of(call, 1);
    c.least = c.x->zero;
    c.most = (int32_t)fminf(roundf(6 / (float)c.x->scale) + (float)c.x->zero, (float)c.most);
    return form == TERN_TFLITE_SHORTS ? rescale(call, &c) : fill_table(call, &c, limited);
}

static tern_status leaky_relu(tern_tflite_call *call)
{
    double slope = tern_flat_real(&call->op->options, 0, 0);
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    if (form == TERN_TFLITE_FLOATS) {
        bool image = tern_tflite_is_image(call, 0);
        tern_value x = image ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0);
        return give_pair(call, image, tern_leaky_relu(call->graph, x, slope));
    }
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    if (!(slope >= 0)) return tern_tflite_fail(call, "slope %g, expected at least 0", slope);
    curve c = curve_of(call, x->scale / y->scale);
    tern_int8_multiplier(x->scale * slope / y->scale, &c.other, &c.other_shift);
    return form == TERN_TFLITE_SHORTS ? rescale(call, &c) : fill_table(call, &c, leaked);
}

/* The power of two that a scale is, as the reference finds it: but for a thousandth of an octave. */
static bool is_power(double scale, int *power)
{
    double exact = log2(scale), nearest = round(exact);
    *power = (int)nearest;
    return fabs(exact - nearest) < 1e-3;
}

/* What brings 16 bits of a scale to a third of units of 2^-12: 3 for powers of two up to 2^`most` times that. */
static tern_status put_steps(const tern_tflite_call *call, double scale, int most, int32_t q[2])
{
    int power;
    bool whole = is_power(scale, &power) && power >= -12 && power <= most - 12;
    double multiplier = scale * 3 * 4096;
    if (whole) {
        q[0] = 3 << (power + 12);
        q[1] = 0;
        return TERN_OK;
    }
    for (q[1] = 0; multiplier <= 32767.0 / 2 && q[1] <= 30; q[1]++) multiplier *= 2;
    if (multiplier >= 32768)
        return tern_tflite_fail(call, "its input has scale %g, expected at most 2.66", scale);
    q[0] = (int32_t)multiplier;
    return TERN_OK;
}

/* A function by what it is of floats, of bytes and of 16 bits: bytes are in units of `scale` from `zero` on, 16 bits of 2^-15. */
typedef struct function {
    tern_value (*floats)(tern_graph *, tern_value);
    byte_function *bytes;
    double scale;
    int zero;
    const tern_op *shorts;
    int most; /* of put_steps */
} function;

static tern_status by_steps(tern_tflite_call *call, const function *f)
{
    int32_t q[2];
    int power;
    double scale = tern_tflite_out(call, 0)->scale;
    bool image = tern_tflite_is_image(call, 0);
    if (!is_power(scale, &power) || power != -15)
        return tern_tflite_fail(call, "its output has scale %g, expected 2^-15", scale);
    TERN_TRY(put_steps(call, tern_tflite_in(call, 0)->scale, f->most, q));
    tern_value in[] = {image ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0),
                       tern_tflite_words(call, 2, q), tern_tflite_words(call, 256, tern_logistic_steps)};
    return give_pair(call, image, tern_apply(call->graph, f->shorts, NULL, in, 3, NULL));
}

/* Fixed point gives outputs of these scales only. */
static tern_status by_curve(tern_tflite_call *call, const function *f)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    if (form == TERN_TFLITE_FLOATS) return by_floats(call, f->floats);
    if (form == TERN_TFLITE_SHORTS) return by_steps(call, f);
    if (y->scale != f->scale || y->zero != f->zero)
        return tern_tflite_fail(call, "its output has scale %g and zero %d, expected %g and %d", y->scale,
                                y->zero, f->scale, f->zero);
    curve c = curve_of(call, x->scale * 134217728.0);
    return fill_table(call, &c, f->bytes);
}

static tern_status logistic(tern_tflite_call *call)
{
    static const function f = {tern_sigmoid, logistic_byte, 1 / 256.0, -128, &tern_op_logistic_int16, 0};
    return by_curve(call, &f);
}

static tern_status hyperbolic(tern_tflite_call *call)
{
    static const function f = {tern_tanh, tanh_byte, 1 / 128.0, 0, &tern_op_tanh_int16, 1};
    return by_curve(call, &f);
}

/* ---- hard swish in 16 bits ------------------------------------------------------------------------------------------- */

static int16_t saturated(int32_t x)
{
    return (int16_t)(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
}

/* a b 2^-15, rounded to the nearest, away from 0 (the product is never -1 times -1). */
static int16_t high_short(int16_t a, int16_t b)
{
    int32_t product = a * b;
    return saturated((product + (product >= 0 ? 1 << 14 : 1 - (1 << 14))) / (1 << 15));
}

/* Multipliers of 32 bits as 16. */
static int16_t short_of(int32_t multiplier)
{
    return (int16_t)(multiplier >= INT32_MAX - (1 << 15) ? INT16_MAX : (multiplier + (1 << 15)) >> 16);
}

/* x times its place between -3 and 3: c holds what brings x to the scale of the output, and to units of 3 2^-15. */
static int32_t swish_byte(const curve *c, int32_t x)
{
    int16_t fine = (int16_t)((x - c->x->zero) * (1 << 7)), place = fine;
    int16_t out = high_short(fine, short_of(c->multiplier));
    if (c->other_shift > 0) place = saturated((int32_t)place * (1 << (c->other_shift - 1)));
    place = high_short(place, short_of(c->other));
    if (c->other_shift > 0) place = saturated(place * 2);
    if (c->other_shift < 0) place = (int16_t)tern_shift_down(place, -c->other_shift);
    place = (int16_t)((place + (1 << 15)) >> 1);
    return (int16_t)(tern_shift_down(place * out / (1 << 15), -c->shift) + c->y->zero);
}

static tern_status hard_swish(tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    bool bytes;
    TERN_TRY(tern_tflite_kind_of(call, &bytes));
    if (!bytes) return by_floats(call, tern_hard_swish);
    float fine = (1.0f / 128.0f) * (float)x->scale;
    curve c = curve_of(call, (double)(fine / (float)y->scale));
    tern_int8_multiplier((double)(fine / (3.0f / 32768.0f)), &c.other, &c.other_shift);
    if (c.shift > 0 || c.shift < -15 || c.other_shift > 16 || c.other_shift < -15)
        return tern_tflite_fail(call, "scales %g and %g are too far apart", x->scale, y->scale);
    return fill_table(call, &c, swish_byte);
}

/* ---- bytes and floats ------------------------------------------------------------------------------------------------ */

/* Input 0 through `op`, between floats and the bytes of t; names of the parameters that hold its scale and its zero. */
static tern_status by_scale(tern_tflite_call *call, const tern_op *op, const tern_tflite_tensor *t,
                            const char *scale_name, const char *zero_name)
{
    bool image = tern_tflite_is_image(call, 0);
    tern_tflite_parameter scale = {.dtype = TERN_F32,
                                   .shape = TERN_SHAPE(1),
                                   .kind = TERN_TFLITE_NUMBER,
                                   .number = t->scale},
                          zero = scale;
    zero.dtype = TERN_I32;
    zero.number = t->zero;
    tern_value in[] = {image ? tern_tflite_image(call, 0) : tern_tflite_plain(call, 0),
                       tern_tflite_parameter_of(call, scale_name, scale),
                       tern_tflite_parameter_of(call, zero_name, zero)};
    return give_pair(call, image, tern_apply(call->graph, op, NULL, in, 3, NULL));
}

static bool is_whole(const tern_tflite_tensor *t)
{
    return (t->type == TERN_TFLITE_I8 || t->type == TERN_TFLITE_I16) && t->scale > 0;
}

static tern_status quantise(tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    if (!is_whole(y))
        return tern_tflite_fail(
            call, "its output is of type %d, expected bytes (9) or 16 bits (7) with a scale", y->type);
    bool wide = y->type == TERN_TFLITE_I16;
    if (is_whole(x)) {
        curve c = curve_of(call, x->scale / y->scale);
        return wide || x->type == TERN_TFLITE_I16 ? rescale(call, &c) : fill_table(call, &c, rescaled);
    }
    if (x->type != TERN_TFLITE_F32)
        return tern_tflite_fail(
            call, "its input is of type %d, expected floats (0), or bytes (9) or 16 bits (7) with a scale",
            x->type);
    bool first = call->op->inputs[0] == call->model->input; /* what emit may leave to the caller */
    return by_scale(call, wide ? &tern_op_quantise_int16 : &tern_op_quantise_int8, y,
                    first ? "image.scale" : "scale", first ? "image.zero" : "zero");
}

static tern_status dequantise(tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    if (!is_whole(x) || y->type != TERN_TFLITE_F32)
        return tern_tflite_fail(
            call, "types %d and %d, expected bytes (9) or 16 bits (7) with a scale, and floats (0)", x->type,
            y->type);
    return by_scale(call, &tern_op_dequantise_int8, x, "scale", "zero");
}

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

/* Of 16 bits: e^-10 and below count as nothing. */
static tern_status softmax_shorts(tern_tflite_call *call, double beta)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    int16_t exps[TERN_SHORT_STEPS], reciprocals[TERN_SHORT_STEPS];
    int32_t q[2];
    int shift;
    if (fabs(y->scale * 32768 - 1) > 1e-3)
        return tern_tflite_fail(call, "its output has scale %g, expected 2^-15", y->scale);
    tern_short_exponentials(exps);
    tern_short_reciprocals(reciprocals);
    tern_int8_multiplier(x->scale * beta / (10.0 / 65535.0), &q[0], &shift);
    q[1] = shift;
    tern_value in[] = {tern_tflite_plain(call, 0), tern_tflite_shorts(call, TERN_SHORT_STEPS, exps),
                       tern_tflite_shorts(call, TERN_SHORT_STEPS, reciprocals),
                       tern_tflite_words(call, 2, q)};
    return tern_tflite_give(call, 0, tern_apply(call->graph, &tern_op_softmax_int16, NULL, in, 4, NULL));
}

static tern_status softmax(tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, 0), *y = tern_tflite_out(call, 0);
    double beta = tern_flat_real(&call->op->options, 0, 0);
    int32_t exps[256];
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    if (!(beta > 0 && beta < 1e6)) return tern_tflite_fail(call, "beta is %g", beta);
    if (form == TERN_TFLITE_SHORTS) return softmax_shorts(call, beta);
    tern_value in[2] = {tern_tflite_plain(call, 0)};
    if (form == TERN_TFLITE_FLOATS) {
        if (beta != 1) in[0] = tern_multiply(call->graph, in[0], tern_scalar(call->graph, beta));
        return tern_tflite_give(call, 0, tern_softmax(call->graph, in[0]));
    }
    if (y->scale != 1 / 256.0 || y->zero != -128)
        return tern_tflite_fail(call, "its output has scale %g and zero %d, expected 1/256 and -128",
                                y->scale, y->zero);
    tern_int8_exponentials(beta * x->scale, exps);
    in[1] = tern_tflite_words(call, 256, exps);
    return tern_tflite_give(call, 0, tern_apply(call->graph, &tern_op_softmax_int8, NULL, in, 2, NULL));
}

static tern_status log_softmax(tern_tflite_call *call)
{
    bool bytes;
    TERN_TRY(tern_tflite_kind_of(call, &bytes));
    if (bytes) return tern_tflite_fail(call, "of bytes is not read");
    return tern_tflite_give(call, 0, tern_log_softmax(call->graph, tern_tflite_plain(call, 0)));
}

const tern_tflite_row tern_tflite_element_rows[] = {
    {0, "ADD", "add", add, 2, 2},
    {6, "DEQUANTIZE", "dequantise", dequantise, 1, 1},
    {14, "LOGISTIC", "logistic", logistic, 1, 1},
    {18, "MUL", "multiply", multiply, 2, 2},
    {19, "RELU", "relu", relu, 1, 1},
    {21, "RELU6", "relu6", relu6, 1, 1},
    {25, "SOFTMAX", "softmax", softmax, 1, 1},
    {28, "TANH", "tanh", hyperbolic, 1, 1},
    {41, "SUB", "subtract", subtract, 2, 2},
    {50, "LOG_SOFTMAX", "log_softmax", log_softmax, 1, 1},
    {98, "LEAKY_RELU", "leaky_relu", leaky_relu, 1, 1},
    {114, "QUANTIZE", "quantise", quantise, 1, 1},
    {117, "HARD_SWISH", "hard_swish", hard_swish, 1, 1},
    {0},
};
