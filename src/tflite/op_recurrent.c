/* TFLite operators that remember: long short-term memory over bytes. */
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

static tern_status check_operands(const tern_tflite_call *call, int64_t inputs, int64_t cells)
{
    const tern_tflite_tensor *h = tern_tflite_in(call, H_STATE), *c = tern_tflite_in(call, C_STATE),
                             *y = tern_tflite_out(call, 0);
    for (int g = 0; g < 4; g++) {
        const tern_tflite_tensor *b = tern_tflite_in(call, biases[g]);
        TERN_TRY(check_weights(call, x_weights[g], cells, inputs));
        TERN_TRY(check_weights(call, h_weights[g], cells, cells));
        if (!b || !b->bytes.count || b->type != TERN_TFLITE_I32 || tern_elements(&b->shape) != cells)
            return tern_tflite_fail(call, "bias %d is no constant of %lld words", biases[g],
                                    (long long)cells);
    }
    int power;
    bool whole = c->scale > 0 && frexp(c->scale, &power) == 0.5 && power > -16 && power < 4;
    if (h->type == TERN_TFLITE_I8 && c->type == TERN_TFLITE_I16 && whole && h->scale == y->scale &&
        h->zero == y->zero)
        return TERN_OK;
    return tern_tflite_fail(
        call,
        "states of types %d and %d: expected bytes (9) like the output, and 16 bits (7) whose "
        "scale is a power of two",
        h->type, c->type);
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
    if (words) p.kind = TERN_TFLITE_STACK_BIAS;
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
    bool bytes;
    TERN_TRY(tern_tflite_kind_of(call, &bytes));
    if (!bytes) return tern_tflite_fail(call, "over floats is not read");
    TERN_TRY(check_variant(call));
    if (s.rank != 3 || y.rank != 3) return tern_tflite_fail(call, "inputs of %d axes, expected 3", s.rank);
    TERN_TRY(check_operands(call, s.dim[2], y.dim[2]));
    const tern_tflite_tensor *x = tern_tflite_in(call, INPUT), *h = tern_tflite_in(call, H_STATE);
    tern_shape cells = TERN_SHAPE(s.dim[0], y.dim[2]);
    tern_value in[] = {tern_tflite_plain(call, INPUT),
                       state(call, "h", TERN_I8, cells, h->zero),
                       state(call, "c", TERN_I16, cells, 0),
                       stack(call, "weight", x_weights, NULL, y.dim[2], s.dim[2], 0),
                       stack(call, "recurrent", h_weights, NULL, y.dim[2], y.dim[2], 0),
                       stack(call, "bias", x_weights, biases, y.dim[2], 0, x->zero),
                       stack(call, "bias_recurrent", h_weights, NULL, y.dim[2], 0, h->zero),
                       constants_of(call),
                       tern_tflite_words(call, 256, tern_logistic_steps)};
    tern_value out[TERN_MAX_OUT];
    tern_apply(g, &tern_op_lstm_int8, NULL, in, (int)TERN_COUNT(in), out);
    if (g->status != TERN_OK) return tern_tflite_fail(call, "%s", tern_message());
    tern_next(g, in[1], out[1]);
    tern_next(g, in[2], out[2]);
    return tern_tflite_give(call, 0, out[0]);
}

const tern_tflite_row tern_tflite_recurrent_rows[] = {
    {44, "UNIDIRECTIONAL_SEQUENCE_LSTM", "lstm", lstm, 1, INPUTS},
    {0},
};
