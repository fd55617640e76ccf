/* Parameters of nets of bytes from formats of activations and from weights. */
#include "kernel/exponent.h"
#include "kernel/int8_rows.h"
#include "op/int16.h"
#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void tern_int8_multiplier(double factor, int32_t *multiplier, int *shift)
{
    double part = frexp(factor, shift);
    int64_t whole = (int64_t)floor(part * 2147483648.0 + 0.5);
    if (whole == 1LL << 31) {
        whole /= 2;
        ++*shift;
    }
    if (factor <= 0 || *shift < -31) whole = *shift = 0;
    if (*shift > 30) {
        whole = INT32_MAX;
        *shift = 30;
    }
    *multiplier = (int32_t)whole;
}

/* Differences are in units of 2^-26; those of 31 and more count as nothing. */
void tern_int8_exponentials(double scale, int32_t table[256])
{
    int32_t multiplier;
    int shift;
    tern_int8_multiplier(fmin(scale * 67108864.0, 2147483647.0), &multiplier, &shift);
    double most = floor(ldexp(31.0 * 67108864.0, -shift));
    for (int d = 0; d < 256; d++)
        table[d] = d <= most ? tern_exp_negative(tern_requantise(-d, multiplier, shift), 5) : 0;
}

/* One site that is being filled. */
typedef struct filling {
    const tern_int8_site *site;
    const tern_int8_parameters *how;
    double most;                         /* of weights as whole numbers */
    tern_int8_format x, other, third, y; /* of its operands and its result */
    const tern_int8_target *to;
} filling;

static tern_tensor *parameter(const filling *f, const char *what)
{
    char name[160];
    snprintf(name, sizeof name, "%.120s.%s", f->site->name, what);
    return f->to->get(f->to->context, name);
}

/* multiplier and shift of a factor, with as few bits as was asked for: then the lower 16 of 32 are 0. */
static void factor_of(const filling *f, double factor, int32_t *multiplier, int *shift)
{
    tern_int8_multiplier(factor, multiplier, shift);
    if (f->how->multiplier == 32) return;
    int64_t short_one = ((int64_t)*multiplier + 32768) >> 16;
    if (short_one == 32768) {
        short_one /= 2;
        ++*shift;
    }
    *multiplier = (int32_t)(short_one << 16);
}

static int32_t whole(double x, double low, double high)
{
    x = x >= 0 ? floor(x + 0.5) : ceil(x - 0.5); /* halves away from 0 */
    return (int32_t)fmin(fmax(x, low), high);
}

/* The format of 16 bits that reaches as far as this one of bytes. */
static tern_int8_format widened(const tern_int8_format *format)
{
    return (tern_int8_format){format->scale / 256, format->zero * 256};
}

/* Limits of a result in its format. */
static int32_t limit_of(const filling *f, double real)
{
    double ends = f->site->wide || f->how->activations == 16 ? 32768 : 128;
    return whole(fmin(fmax(real / f->y.scale, -1e6), 1e6) + f->y.zero, -ends, ends - 1);
}

static int32_t byte_of(double real, const tern_int8_format *format)
{
    return whole(fmin(fmax(real / format->scale, -1e6), 1e6) + format->zero, INT8_MIN, INT8_MAX);
}

/* ---- products -------------------------------------------------------------------------------------------------------- */

/* The scale of rows first .. last - 1: the largest weight at the most, and so that biases keep to a quarter of 32 bits. */
static double weight_scale(const filling *f, const tern_tensor *weight, const tern_tensor *bias,
                           int64_t first, int64_t last)
{
    int64_t row = tern_elements_from(&weight->shape, 1);
    double most = 0, scale;
    for (int64_t i = first * row; i < last * row; i++) most = fmax(most, fabs(tern_get(weight, i)));
    scale = most / f->most;
    for (int64_t o = first; bias && o < last; o++)
        scale = fmax(scale, fabs(tern_get(bias, o)) / (f->x.scale * 536870912.0));
    return scale > 0 ? scale : 1;
}

/* What a sum of output o begins with: its bias, less what the zero of x adds; of transposed convolutions in each phase, whose
 * taps are those with k = phase (mod stride). */
static void fill_bias(const filling *f, const tern_tensor *w, const tern_tensor *b, int64_t o, int32_t start)
{
    int64_t outputs = w->shape.dim[0], row = tern_elements_from(&w->shape, 1), phases = 1, across = 1;
    if (f->site->op == &tern_op_conv2d_transposed_int8) {
        across = ((const tern_conv_op *)f->site->node->args)->stride;
        phases = tern_elements(&b->shape) / outputs;
    }
    for (int64_t p = 0; p < phases; p++) {
        int64_t sum = 0, down = phases / across;
        for (int64_t i = 0; i < row; i++) {
            int64_t kx = phases > 1 ? i % w->shape.dim[3] : 0,
                    ky = phases > 1 ? i / w->shape.dim[3] % w->shape.dim[2] : 0;
            if (kx % across == p % across && ky % down == p / across)
                sum += (int64_t)tern_get(w, o * row + i);
        }
        tern_set(b, p * outputs + o, (double)start - (double)(f->x.zero * sum));
    }
}

static tern_status fill_product(const filling *f, const tern_tensor *weight, const tern_tensor *bias)
{
    tern_tensor *w = parameter(f, "weight"), *b = parameter(f, "bias"), *m = parameter(f, "multiplier"),
                *s = parameter(f, "shift"),
                *constants = parameter(f, tern_int8_is_short(f->site) ? "limits" : "constants");
    if (!w || !b || !m || !s || !constants) return TERN_FAILED;
    int64_t outputs = weight->shape.dim[0], row = tern_elements_from(&weight->shape, 1);
    bool together = tern_elements(&m->shape) == 1;
    for (int64_t o = 0; o < outputs; o++) {
        double scale =
            together ? weight_scale(f, weight, bias, 0, outputs) : weight_scale(f, weight, bias, o, o + 1);
        int32_t multiplier;
        int shift;
        for (int64_t i = o * row; i < (o + 1) * row; i++)
            tern_set(w, i, whole(tern_get(weight, i) / scale, -f->most, f->most));
        double start = bias ? tern_get(bias, o) / (f->x.scale * scale) : 0;
        fill_bias(f, w, b, o, whole(start, -1073741824.0, 1073741824.0));
        factor_of(f, f->x.scale * scale / f->y.scale, &multiplier, &shift);
        if (together && o > 0) continue;
        tern_set(m, o, multiplier);
        tern_set(s, o, shift);
    }
    if (tern_int8_is_short(f->site)) {
        tern_set(constants, 0, limit_of(f, f->site->low));
        tern_set(constants, 1, limit_of(f, f->site->high));
        return TERN_OK;
    }
    tern_set(constants, TERN_X_ZERO, f->x.zero);
    tern_set(constants, TERN_Y_ZERO, f->y.zero);
    tern_set(constants, TERN_Y_LOW, limit_of(f, f->site->low));
    tern_set(constants, TERN_Y_HIGH, limit_of(f, f->site->high));
    return TERN_OK;
}

/* ---- sums and tables -------------------------------------------------------------------------------------------------- */

static void fill_factor(const filling *f, tern_tensor *constants, int at, int zero, double factor)
{
    int32_t multiplier;
    int shift;
    factor_of(f, factor, &multiplier, &shift);
    tern_set(constants, at, zero);
    tern_set(constants, at + 1, multiplier);
    tern_set(constants, at + 2, shift);
}

/* Both operands at twice the larger scale, so that 20 bits to the left (of 16 bits: 15) their sum fits. */
static tern_status fill_sum(const filling *f)
{
    tern_tensor *constants = parameter(f, "constants");
    double twice = 2 * fmax(f->x.scale, f->other.scale);
    if (!constants) return TERN_FAILED;
    fill_factor(f, constants, TERN_ADD_A, f->x.zero, f->x.scale / twice);
    fill_factor(f, constants, TERN_ADD_B, f->other.zero, f->other.scale / twice);
    double left = f->how->activations == 16 ? 32768.0 : 1048576.0;
    fill_factor(f, constants, TERN_ADD_Y, f->y.zero, twice / (left * f->y.scale));
    tern_set(constants, TERN_ADD_LOW, limit_of(f, f->site->low));
    tern_set(constants, TERN_ADD_HIGH, limit_of(f, f->site->high));
    return TERN_OK;
}

/* The function of the node at each of the 256 numbers that bytes stand for, rounded once. */
static tern_status fill_table(const filling *f)
{
    tern_tensor *table = parameter(f, "table");
    const tern_node *node = f->site->node;
    double x, y;
    tern_tensor in = {TERN_F64, TERN_SHAPE(1), &x}, out = {TERN_F64, TERN_SHAPE(1), &y};
    if (!table || !node) return TERN_FAILED;
    tern_call call = {.op = node->op, .args = node->args, .nin = 1, .nout = 1, .in = &in, .out = &out};
    for (int q = 0; q < 256; q++) {
        x = f->x.scale * (q - 128 - f->x.zero);
        call.op->run(&call);
        tern_set(table, q, byte_of(y, &f->y));
    }
    return TERN_OK;
}

static tern_status fill_exponentials(const filling *f)
{
    tern_tensor *table = parameter(f, "table");
    if (!table) return TERN_FAILED;
    tern_int8_exponentials(f->x.scale, table->data);
    return TERN_OK;
}

/* ---- what transformers need --------------------------------------------------------------------------------------------- */

/* Element i of a parameter of floats; where there is none, what leaves rows as they are. */
static double real_of(const tern_tensor *t, int64_t i, double otherwise)
{
    return t ? tern_get(t, i) : otherwise;
}

/* Weights over the scale of the result have 15 bits, biases are in units of 1/256 of a byte. */
static tern_status fill_norm(const filling *f, const tern_tensor *weight, const tern_tensor *bias)
{
    tern_tensor *w = parameter(f, "weight"), *b = parameter(f, "bias"), *q = parameter(f, "constants");
    if (!w || !b || !q) return TERN_FAILED;
    int64_t n = tern_elements(&w->shape);
    double most = 0, size = (double)n;
    int exponent;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(real_of(weight, i, 1)));
    frexp(most / f->y.scale, &exponent);
    int shift = (int)fmin(fmax(15 - exponent, 0), 30);
    for (int64_t i = 0; i < n; i++) {
        tern_set(w, i, whole(ldexp(real_of(weight, i, 1) / f->y.scale, shift), -2147483647.0, 2147483647.0));
        tern_set(b, i, whole(256 * real_of(bias, i, 0) / f->y.scale, -2147483647.0, 2147483647.0));
    }
    tern_set(q, TERN_NORM_EPSILON,
             whole(16 * f->site->factor * size * size / (f->x.scale * f->x.scale), 1, 2147483647.0));
    tern_set(q, TERN_NORM_SHIFT, shift);
    tern_set(q, TERN_NORM_ZERO, f->y.zero);
    return TERN_OK;
}

static void fill_multiplier(tern_tensor *constants, int at, double factor)
{
    int32_t multiplier;
    int shift;
    tern_int8_multiplier(factor, &multiplier, &shift);
    tern_set(constants, at, multiplier);
    tern_set(constants, at + 1, shift);
}

static tern_status fill_attention(const filling *f)
{
    tern_tensor *q = parameter(f, "constants"), *table = parameter(f, "table");
    if (!q || !table) return TERN_FAILED;
    double position = f->x.scale * f->other.scale * f->site->factor * TERN_ATTEND_STEPS * 256;
    tern_set(q, TERN_ATTEND_QUERY, f->x.zero);
    tern_set(q, TERN_ATTEND_VALUE, f->third.zero);
    fill_multiplier(q, TERN_ATTEND_MULTIPLIER, position);
    tern_set(q, TERN_ATTEND_MOST, whole(floor(65500 / position), 0, 2147483647.0));
    fill_multiplier(q, TERN_ATTEND_Y_MULTIPLIER, f->third.scale / (65536 * f->y.scale));
    tern_set(q, TERN_ATTEND_Y_ZERO, f->y.zero);
    for (int i = 0; i < TERN_ATTEND_TABLE; i++)
        tern_set(table, i, i < 256 ? whole(32767 * exp(-(double)i / TERN_ATTEND_STEPS), 0, 32767) : 0);
    return TERN_OK;
}

static tern_status fill_mean(const filling *f)
{
    tern_tensor *q = parameter(f, "constants");
    if (!q) return TERN_FAILED;
    tern_set(q, 0, f->x.zero);
    fill_multiplier(q, 1, f->site->factor * f->x.scale / f->y.scale);
    tern_set(q, 3, f->y.zero);
    return TERN_OK;
}

static tern_status fill_bytes(const filling *f, const tern_tensor *content)
{
    tern_tensor *bytes = parameter(f, "bytes");
    if (!bytes) return TERN_FAILED;
    for (int64_t i = 0; i < tern_elements(&bytes->shape); i++)
        tern_set(bytes, i, byte_of(tern_get(content, i), &f->y));
    return TERN_OK;
}

static tern_status fill_end(const filling *f)
{
    tern_tensor *scale = parameter(f, "scale"), *zero = parameter(f, "zero");
    if (!scale || !zero) return TERN_FAILED;
    tern_set(scale, 0, f->x.scale);
    tern_set(zero, 0, f->x.zero);
    return TERN_OK;
}

/* [C,O,KH,KW] -> [O,C,KH,KW], as products of bytes have it. */
static tern_status outputs_first(const tern_tensor *weight, tern_tensor *turned)
{
    const int64_t *d = weight->shape.dim;
    int64_t taps = d[2] * d[3];
    TERN_TRY(tern_tensor_new(turned, TERN_F32, &TERN_SHAPE(d[1], d[0], d[2], d[3])));
    for (int64_t c = 0; c < d[0]; c++)
        for (int64_t o = 0; o < d[1]; o++)
            for (int64_t k = 0; k < taps; k++)
                tern_set(turned, (o * d[0] + c) * taps + k, tern_get(weight, (c * d[1] + o) * taps + k));
    return TERN_OK;
}

tern_status tern_int8_fill(const tern_int8_site *site, const tern_int8_parameters *how,
                           const tern_int8_format *formats, const tern_tensor *weight,
                           const tern_tensor *bias, const tern_int8_target *to)
{
    filling f = {.site = site,
                 .how = how,
                 .most = ldexp(1, how->bits - 1) - 1,
                 .x = formats[site->in[0]],
                 .y = formats[site->out],
                 .to = to};
    if (site->in[1]) f.other = formats[site->in[1]];
    if (site->in[2]) f.third = formats[site->in[2]];
    if (!site->op) return fill_bytes(&f, weight);
    if (site->op == &tern_op_layer_norm_int8) return fill_norm(&f, weight, bias);
    if (site->op == &tern_op_attention_int8) return fill_attention(&f);
    if (site->op == &tern_op_mean_int8) return fill_mean(&f);
    if (site->wide) *(site->node ? &f.y : &f.x) = widened(site->node ? &f.y : &f.x);
    if (site->op == &tern_op_conv2d_transposed_int8 || site->op == &tern_op_conv2d_transposed_int16x8) {
        tern_tensor turned = {0};
        TERN_TRY(outputs_first(weight, &turned));
        tern_status status = fill_product(&f, &turned, bias);
        tern_tensor_free(&turned);
        return status;
    }
    if (tern_int8_has_weights(site)) return fill_product(&f, weight, bias);
    if (site->op == &tern_op_add_int8 || site->op == &tern_op_add_int16) return fill_sum(&f);
    if (site->op == &tern_op_table_int8) return fill_table(&f);
    if (site->op == &tern_op_softmax_int8) return fill_exponentials(&f);
    return fill_end(&f);
}
