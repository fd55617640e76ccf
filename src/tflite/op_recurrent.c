/* TFLite operators that remember: long short-term memory over bytes or 16 bits, filters over time. */
#include "tflite/import.h"

#include "kernel/exponent.h"
#include "quant/quant.h"

#include <math.h>
#include <string.h>

/* Inputs, by their numbers in the schema; gates in Tern's order: forget, input, cell, output. */
enum {
    INPUT,
    FIRST_ABSENT = 9,
    LAST_ABSENT = 11,
    FIRST_PROJECTION = 16,
    H_STATE = 18,
    C_STATE,
    FIRST_NORM,
    INPUTS = 24
};
static const int x_weights[] = {2, 1, 3, 4}, h_weights[] = {6, 5, 7, 8}, biases[] = {13, 12, 14, 15};
enum { TANH_ACTIVATION = 4 };

static tern_status check_variant(const tern_tflite_call *call)
{
    bool plain = tern_tflite_byte(call, 0) == TANH_ACTIVATION && !tern_tflite_byte(call, 3);
    for (int i = FIRST_ABSENT; i < call->op->input_count; i++) {
        bool absent =
            i <= LAST_ABSENT || i == FIRST_PROJECTION || i == FIRST_PROJECTION + 1 || i >= FIRST_NORM;
        plain = plain && (absent == (tern_tflite_in(call, i) == NULL));
    }
    if (plain && call->op->input_count >= FIRST_NORM) return TERN_OK;
    return tern_tflite_fail(call,
                            "a variant of it: expected tanh, samples first, neither peepholes, projection "
                            "nor norms");
}

/* Constant weights [rows, columns] of bytes with one scale, zero 0. */
static tern_status check_weights(const tern_tflite_call *call, int input, int64_t rows, int64_t columns)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, input);
    char text[96];
    bool good = w && w->bytes.count && w->type == TERN_TFLITE_I8 && w->shape.rank == 2 &&
                w->shape.dim[0] == rows && w->shape.dim[1] == columns && w->scales.count == 1 && w->zero == 0;
    if (good) return TERN_OK;
    return tern_tflite_fail(
        call, "weights %d are %s: expected constant bytes [%lld,%lld] with one scale and zero 0", input,
        w ? tern_shape_text(text, &w->shape) : "missing", (long long)rows, (long long)columns);
}

/* Biases are words, over 16 bits numbers of 64 bits. */
static tern_status check_bias(const tern_tflite_call *call, int input, bool wide, int64_t cells)
{
    const tern_tflite_tensor *b = tern_tflite_in(call, input);
    bool good = b && b->bytes.count && b->type == (wide ? TERN_TFLITE_I64 : TERN_TFLITE_I32) &&
                tern_elements(&b->shape) == cells;
    for (int64_t i = 0; wide && good && i < cells; i++) good = fabs(tern_tflite_number(b, i)) < 0x1p46;
    if (good) return TERN_OK;
    return tern_tflite_fail(call, "bias %d is no constant of %lld %s", input, (long long)cells,
                            wide ? "numbers of 64 bits below 2^46" : "words");
}

static tern_status check_operands(const tern_tflite_call *call, bool wide, int64_t inputs, int64_t cells)
{
    const tern_tflite_tensor *h = tern_tflite_in(call, H_STATE), *c = tern_tflite_in(call, C_STATE),
                             *y = tern_tflite_out(call, 0);
    for (int g = 0; g < 4; g++) {
        TERN_TRY(check_weights(call, x_weights[g], cells, inputs));
        TERN_TRY(check_weights(call, h_weights[g], cells, cells));
        TERN_TRY(check_bias(call, biases[g], wide, cells));
    }
    int power;
    bool whole = c->scale > 0 && frexp(c->scale, &power) == 0.5 && power > -16 && power < 4;
    if (h->type == y->type && c->type == TERN_TFLITE_I16 && whole && h->scale == y->scale &&
        h->zero == y->zero)
        return TERN_OK;
    return tern_tflite_fail(call,
                            "states of types %d and %d: expected %d like the output, and 16 bits (7) whose "
                            "scale is a power of two",
                            h->type, c->type, y->type);
}

static void put(int32_t *constants, int at, double factor)
{
    int shift;
    tern_int8_multiplier(factor, &constants[at], &shift);
    constants[at + 1] = shift;
}

/* What lstm_int8 is told beside its weights: int8.h. */
static tern_value constants_of(tern_tflite_call *call)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, INPUT), *h = tern_tflite_in(call, H_STATE),
                             *c = tern_tflite_in(call, C_STATE);
    const double unit = 1 / 32768.0, gate = 1 / 4096.0;
    int32_t q[TERN_LSTM_CONSTANTS] = {0};
    for (int g = 0; g < 4; g++) {
        const tern_tflite_tensor *w = tern_tflite_in(call, x_weights[g]),
                                 *u = tern_tflite_in(call, h_weights[g]);
        put(q, 4 * g, (double)((float)x->scale * (float)w->scale) / gate);
        put(q, 4 * g + 2, (double)((float)h->scale * (float)u->scale) / gate);
    }
    put(q, 16, unit * c->scale / c->scale);
    put(q, 18, unit * unit / c->scale);
    put(q, 20, unit * unit / h->scale);
    q[22] = h->zero;
    q[23] = (int32_t)fmin(fmax(tern_flat_real(&call->op->options, 1, 0) / c->scale, 0), INT16_MAX);
    int power, shift;
    frexp(c->scale, &power);
    shift = 15 + (power - 1) - 3;
    q[24] = shift < 0 ? 3 : 3 << shift;
    q[25] = shift < 0 ? -shift : 0;
    return tern_tflite_words(call, TERN_LSTM_CONSTANTS, q);
}

static tern_value state(tern_tflite_call *call, const char *what, tern_dtype dtype, tern_shape shape,
                        int zero)
{
    const char *name = tern_layer_name(call->graph, what);
    tern_init init = {.kind = TERN_INIT_CONSTANT, .scale = zero};
    if (!name) return tern_graph_no_memory(call->graph);
    return tern_state(call->graph, name, dtype, shape, init, false);
}

/* Weights of the four gates one below the other, or their biases with zeros taken off. */
static tern_value stack(tern_tflite_call *call, const char *what, const int *inputs, const int *bias,
                        int64_t cells, int64_t columns, int zero)
{
    tern_tflite_parameter p = {.dtype = bias || zero ? TERN_I32 : TERN_I8,
                               .shape = TERN_SHAPE(4 * cells, columns),
                               .kind = TERN_TFLITE_STACK,
                               .zero = zero};
    bool words = strncmp(what, "bias", 4) == 0;
    p.dtype = words ? TERN_I32 : TERN_I8;
    if (words) p.shape = TERN_SHAPE(4 * cells);
    if (words) p.kind = strcmp(what, "bias_upper") == 0 ? TERN_TFLITE_STACK_UPPER : TERN_TFLITE_STACK_BIAS;
    for (int g = 0; g < 4; g++) {
        p.stack[g] = call->op->inputs[inputs[g]];
        p.stack_bias[g] = bias ? call->op->inputs[bias[g]] : -1;
    }
    return tern_tflite_parameter_of(call, what, p);
}

static tern_status lstm(tern_tflite_call *call)
{
    tern_shape s = tern_tflite_shape(call, INPUT), y = tern_tflite_out(call, 0)->shape;
    tern_graph *g = call->graph;
    tern_tflite_form form;
    TERN_TRY(tern_tflite_form_of(call, &form));
    if (form == TERN_TFLITE_FLOATS) return tern_tflite_fail(call, "over floats is not read");
    bool wide = form == TERN_TFLITE_SHORTS;
    TERN_TRY(check_variant(call));
    if (s.rank != 3 || y.rank != 3) return tern_tflite_fail(call, "inputs of %d axes, expected 3", s.rank);
    TERN_TRY(check_operands(call, wide, s.dim[2], y.dim[2]));
    const tern_tflite_tensor *x = tern_tflite_in(call, INPUT), *h = tern_tflite_in(call, H_STATE);
    tern_shape cells = TERN_SHAPE(s.dim[0], y.dim[2]);
    tern_value in[] = {tern_tflite_plain(call, INPUT),
                       state(call, "h", wide ? TERN_I16 : TERN_I8, cells, h->zero),
                       state(call, "c", TERN_I16, cells, 0),
                       stack(call, "weight", x_weights, NULL, y.dim[2], s.dim[2], 0),
                       stack(call, "recurrent", h_weights, NULL, y.dim[2], y.dim[2], 0),
                       stack(call, "bias", x_weights, biases, y.dim[2], 0, x->zero),
                       stack(call, "bias_recurrent", h_weights, NULL, y.dim[2], 0, h->zero),
                       constants_of(call),
                       tern_tflite_words(call, 256, tern_logistic_steps),
                       wide ? stack(call, "bias_upper", x_weights, biases, y.dim[2], 0, 0) : (tern_value){0}};
    tern_value out[TERN_MAX_OUT];
    tern_apply(g, wide ? &tern_op_lstm_int16x8 : &tern_op_lstm_int8, NULL, in, (int)TERN_COUNT(in) - !wide,
               out);
    if (g->status != TERN_OK) return tern_tflite_fail(call, "%s", tern_message());
    tern_next(g, in[1], out[1]);
    tern_next(g, in[2], out[2]);
    return tern_tflite_give(call, 0, out[0]);
}

/* ---- SVDF ------------------------------------------------------------------------------------------------------------- */

/* Its inputs, and sizes: `rank` filters a unit, each with `memory` places. */
enum { FILTER_INPUT, FEATURES, TIMES, FILTER_BIAS, FILTER_STATE };
typedef struct filters {
    int64_t batch, inputs, count, memory, rank, units;
    int activation;
} filters;

static tern_status open_filters(const tern_tflite_call *call, bool bytes, filters *f)
{
    const tern_tflite_tensor *w = tern_tflite_in(call, FEATURES), *t = tern_tflite_in(call, TIMES),
                             *b = tern_tflite_in(call, FILTER_BIAS), *s = tern_tflite_in(call, FILTER_STATE);
    tern_shape x = tern_tflite_shape(call, FILTER_INPUT);
    int64_t rank = tern_tflite_whole(call, 0, 0);
    bool shapes = w->shape.rank == 2 && t->shape.rank == 2 && x.rank == 2 && w->bytes.count &&
                  t->bytes.count && w->shape.dim[1] == x.dim[1] && w->shape.dim[0] == t->shape.dim[0] &&
                  t->shape.dim[1] > 0 && rank > 0 && w->shape.dim[0] > 0 && w->shape.dim[0] % rank == 0;
    if (!shapes)
        return tern_tflite_fail(call, "rank %lld and weights whose shapes do not go together",
                                (long long)rank);
    *f = (filters){x.dim[0],
                   x.dim[1],
                   w->shape.dim[0],
                   t->shape.dim[1],
                   rank,
                   w->shape.dim[0] / rank,
                   tern_tflite_byte(call, 1)};
    if (b && (!b->bytes.count || tern_elements(&b->shape) != f->units ||
              b->type != (bytes ? TERN_TFLITE_I32 : TERN_TFLITE_F32)))
        return tern_tflite_fail(call, "its bias is no constant of %lld elements", (long long)f->units);
    int kind = bytes ? TERN_TFLITE_I8 : TERN_TFLITE_F32, wide = bytes ? TERN_TFLITE_I16 : TERN_TFLITE_F32;
    bool zeros = w->zero == 0 && t->zero == 0 && s->zero == 0,
         scaled = !bytes || (w->scales.count == 1 && t->scales.count == 1 && s->scale > 0 && zeros);
    if (w->type == kind && t->type == wide && s->type == wide && scaled) return TERN_OK;
    return tern_tflite_fail(
        call,
        "weights of types %d and %d, a memory of %d: expected floats (0), or bytes (9), 16 "
        "bits (7) and 16 bits, each with one scale and the zero 0",
        w->type, t->type, s->type);
}

static tern_value filter_parameter(tern_tflite_call *call, const char *what, int input, tern_dtype dtype,
                                   tern_shape shape)
{
    return tern_tflite_parameter_of(
        call, what,
        (tern_tflite_parameter){
            .dtype = dtype, .shape = shape, .tensor = call->op->inputs[input], .kind = TERN_TFLITE_PLAIN});
}

/* Activations behind it: the reference limits results to bytes only. */
static tern_status filter_bytes(tern_tflite_call *call, const filters *f)
{
    const tern_tflite_tensor *x = tern_tflite_in(call, FILTER_INPUT), *y = tern_tflite_out(call, 0),
                             *w = tern_tflite_in(call, FEATURES), *t = tern_tflite_in(call, TIMES),
                             *s = tern_tflite_in(call, FILTER_STATE);
    int32_t q[TERN_SVDF_CONSTANTS] = {[4] = y->zero};
    put(q, 0, (double)((float)x->scale * (float)w->scale / (float)s->scale));
    put(q, 2, (double)((float)s->scale * (float)t->scale / (float)y->scale));
    tern_tflite_parameter zeros = {.dtype = TERN_I32,
                                   .shape = TERN_SHAPE(f->count),
                                   .tensor = call->op->inputs[FEATURES],
                                   .bias = -1,
                                   .kind = TERN_TFLITE_BIAS,
                                   .zero = x->zero};
    bool biased = tern_tflite_in(call, FILTER_BIAS) != NULL;
    int32_t *none = biased ? NULL : tern_take_array((size_t)f->units, sizeof *none);
    if (!biased && !none) return tern_no_memory((size_t)f->units * sizeof *none, "a bias");
    tern_value in[] = {tern_tflite_plain(call, FILTER_INPUT),
                       state(call, "memory", TERN_I16, TERN_SHAPE(f->batch, f->count, f->memory), 0),
                       filter_parameter(call, "weight", FEATURES, TERN_I8, TERN_SHAPE(f->count, f->inputs)),
                       tern_tflite_parameter_of(call, "weight_bias", zeros),
                       filter_parameter(call, "time", TIMES, TERN_I16, TERN_SHAPE(f->count, f->memory)),
                       biased ? filter_parameter(call, "bias", FILTER_BIAS, TERN_I32, TERN_SHAPE(f->units))
                              : tern_tflite_words(call, (int)f->units, none),
                       tern_tflite_words(call, TERN_SVDF_CONSTANTS, q)};
    tern_release(none);
    tern_value out[TERN_MAX_OUT];
    tern_apply(call->graph, &tern_op_svdf_int8, NULL, in, (int)TERN_COUNT(in), out);
    if (call->graph->status != TERN_OK) return tern_tflite_fail(call, "%s", tern_message());
    tern_next(call->graph, in[1], out[1]);
    return tern_tflite_give(call, 0, out[0]);
}

static tern_status filter_floats(tern_tflite_call *call, const filters *f)
{
    tern_graph *g = call->graph;
    tern_value old = state(call, "memory", TERN_F32, TERN_SHAPE(f->batch, f->count, f->memory), 0);
    tern_value product[] = {
        tern_tflite_plain(call, FILTER_INPUT),
        filter_parameter(call, "weight", FEATURES, TERN_F32, TERN_SHAPE(f->count, f->inputs))};
    tern_value now = tern_apply(g, &tern_op_linear, NULL, product, 2, NULL);
    now = tern_reshape(g, now, TERN_SHAPE(f->batch, f->count, 1));
    if (f->memory > 1) {
        tern_value parts[] = {tern_slice(g, old, 2, 1, (int)f->memory - 1), now};
        now = tern_concat(g, parts, 2, 2);
    }
    tern_next(g, old, now);
    tern_value times = filter_parameter(call, "time", TIMES, TERN_F32, TERN_SHAPE(f->count, f->memory));
    tern_value y =
        tern_reshape(g, tern_multiply(g, now, times), TERN_SHAPE(f->batch, f->units, f->rank * f->memory));
    y = tern_sum(g, y, .axis = 2, .axes = 1);
    if (tern_tflite_in(call, FILTER_BIAS))
        y = tern_add(g, y, filter_parameter(call, "bias", FILTER_BIAS, TERN_F32, TERN_SHAPE(f->units)));
    return tern_tflite_give(call, 0, tern_tflite_activate(call, f->activation, y));
}

static tern_status svdf(tern_tflite_call *call)
{
    filters f = {0};
    bool bytes;
    TERN_TRY(tern_tflite_kind_of(call, &bytes));
    TERN_TRY(open_filters(call, bytes, &f));
    return bytes ? filter_bytes(call, &f) : filter_floats(call, &f);
}

const tern_tflite_row tern_tflite_recurrent_rows[] = {
    {27, "SVDF", "svdf", svdf, 5, 5},
    {44, "UNIDIRECTIONAL_SEQUENCE_LSTM", "lstm", lstm, 1, INPUTS},
    {0},
};
