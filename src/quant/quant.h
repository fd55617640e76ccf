/* quant: quantisers as passes over graphs. */
#ifndef TERN_QUANT_H
#define TERN_QUANT_H

#include "graph/graph.h"

/* A delta activation layer (tern_delta) before each convolution and linear layer of a net without spikes, on what it reads;
 * other readers behind it see the quantised values too. */
tern_status tern_pass_insert_delta(const tern_graph *from, const tern_delta_args *layer, tern_graph **to);

/* Sum over the delta layers of a graph, [1], of fan-out times mean |y_t - y_(t-1)| (values: |y|); axis 0 of activations is
 * [steps] or [steps B].  Fan-out: the weights that a neuron meets away from borders, 9 before a depthwise 3x3 convolution.
 * The empty value when the graph has no delta layer. */
tern_value tern_delta_penalty(tern_graph *graph, int steps, bool values);

/* An inference graph of one frame, axis 0 a batch of clips, whose products that read a delta layer multiply changes only
 * (op/delta_infer.c).  It has one more input "fresh" (i32 [1]): not 0 where a clip begins.  Each delta layer L has a state
 * "<L>.levels", each product P a state "<P>.sums" and an output "<P>.multiplications" (f64 [1]). */
typedef struct tern_delta_form {
    bool integer; /* weights of 8 bits, sums of 32: exact for ever; else floats, which drift */
    bool dense;   /* multiply all operands, zeros too: what is saved is measured against this */
} tern_delta_form;
tern_status tern_pass_delta_form(const tern_graph *from, const tern_delta_form *form, tern_graph **to);

/* ---- nets of bytes (Jacob et al., CVPR 2018, arXiv 1712.05877) --------------------------------------------------- */

/* A byte q stands for scale (q - zero). */
typedef struct tern_int8_format {
    double scale;
    int zero;
} tern_int8_format;

/* A node of bytes whose operands follow from calibration, and where they come from: values of the graph of floats.  Its
 * parameters are called "<name>.weight" and so on. */
typedef struct tern_int8_site {
    const tern_op
        *op; /* NULL: no node, but the parameter "<name>.bytes", which has the content of `weight` */
    const tern_node *node; /* of floats; NULL where numbers become bytes or bytes numbers */
    const char *name;
    int in[3], out;   /* activations */
    int weight, bias; /* values that follow from parameters; 0: none */
    double low, high; /* limits of the result: those of a ReLU behind it, say */
    double factor;    /* of scores before softmax, of sums where the result is a mean; epsilon of a norm */
    bool wide;        /* the result (where bytes become numbers: the operand) has 16 bits */
} tern_int8_site;

/* How a graph of floats becomes one of bytes: what its structure alone decides. */
typedef struct tern_int8_plan {
    tern_int8_site *sites;
    int count, values;
    int *
        root; /* [values]: the activation that decides the format of this one, since they share it; 0: is not in bytes */
    tern_arena arena;
} tern_int8_plan;
void tern_int8_plan_free(tern_int8_plan *plan);

/* An inference graph of floats, norms folded, as one that computes in bytes from its input to its outputs, which are
 * floats.  Fails with the layer whose operator has no form in bytes.  plan may be
 * NULL; it holds nodes of `from`. */
tern_status tern_pass_int8(const tern_graph *from, const tern_int8_parameters *how, tern_graph **to,
                           tern_int8_plan *plan);
/* Whether a site is a product, whose weights and bias tern_int8_fill takes; of transposed convolutions the weights are those of
 * the graph of floats, [C,O,KH,KW]. */
bool tern_int8_has_weights(const tern_int8_site *site);
bool tern_int8_is_short(const tern_int8_site *site); /* a product of activations of 16 bits */

/* Weights of products rounded by output and, where activations have 8 bits, what products and sums read (fake_quantise): for
 * training. */
tern_status tern_pass_insert_fake(const tern_graph *from, const tern_qat_parameters *how, tern_graph **to);

/* The same graph whose input are the bytes that it made of numbers: the caller makes them. */
tern_status tern_int8_take_bytes(tern_graph **graph);

/* Blocks of transformers of bytes (a norm, linear layers, a table or attention, a sum with what went in) as one operator each, which
 * takes some tokens at a time through all of it; and patches of the image as one that takes it by bands of rows.  The same bits
 * (op/int8_block.h).  What is no such block stays. */
typedef struct tern_int8_blocks {
    bool fuse;   /* blocks and patches become one operator each */
    bool stream; /* in C, the image is asked for by rows, and is never whole in memory */
    int tokens;  /* at a time */
} tern_int8_blocks;
tern_status tern_pass_int8_blocks(const tern_graph *from, const tern_int8_blocks *how, tern_graph **to);
/* Whether a node asks for its image by rows, and whether an input is asked for that way only. */
bool tern_int8_streams(const tern_op *op, const void *args);
bool tern_int8_is_streamed(const tern_graph *graph, tern_value input);

/* multiplier and shift of tern_requantise for a factor: multiplier 2^(shift - 31), multiplier from 2^30 to 2^31 - 1. */
void tern_int8_multiplier(double factor, int32_t *multiplier, int *shift);

/* What softmax_int8 reads: e^(-scale d) in units of 2^-31 for differences d of 0 .. 255. */
void tern_int8_exponentials(double scale, int32_t table[256]);

/* Contents of the parameters of a site, from formats by value and, where it has some, weights [O,..] and bias [O] (or NULL).
 * What they are called is asked of `get`: the tensor to be written. */
typedef struct tern_int8_target {
    tern_tensor *(*get)(void *context, const char *name); /* NULL: there is none, which has been said */
    void *context;
} tern_int8_target;
tern_status tern_int8_fill(const tern_int8_site *site, const tern_int8_parameters *how,
                           const tern_int8_format *formats, const tern_tensor *weight,
                           const tern_tensor *bias, const tern_int8_target *to);

/* ---- nets of bytes that learn on the device (Lin et al., NeurIPS 2022, arXiv 2206.15472) -------------------------- */

/* What a training step changes. */
enum { TERN_UPDATE_LAYERS = 64 };
typedef struct tern_int8_layer {
    char name[48]; /* label of a product */
    double
        share; /* of its input channels (depthwise: of its channels), those with the largest weights; 0 .. 1 */
} tern_int8_layer;
typedef struct tern_int8_update_plan {
    int biases;                                 /* of the last so many products, or -1: of all */
    bool all_weights;                           /* .. and of those the whole weights, too */
    bool head;                                  /* all of the last product */
    tern_int8_layer layers[TERN_UPDATE_LAYERS]; /* whose weights are updated, too */
    int count;
    bool unscaled;   /* no quantisation-aware scaling: gradients as they are */
    bool stochastic; /* round up with the probability of the fraction; else to the nearest */
    bool late;       /* updates behind all gradients, as without reordering */
    bool bytes;      /* samples come as bytes */
} tern_int8_update_plan;

/* From parts with commas between: all, bias=K, last=K (biases and weights of the last K products), head (the last one),
 * LAYER or LAYER=SHARE, stochastic, unscaled.  TERN_USAGE says which part is wrong. */
tern_status tern_int8_update_parse(const char *text, tern_int8_update_plan *plan);
/* The same as text again. */
void tern_int8_update_print(const tern_int8_update_plan *plan, tern_text *text);

/* An inference graph of bytes (tern_pass_int8) with one output as a training step: inputs "labels" i32 [B], "rate" f32 [1] and
 * (stochastic) "step" i32 [1] come to it, the output "loss" f32 [1] too, and chosen weights and biases have a next value.  Its
 * new parameters are filled by tern_int8_learn_fill.  Fails where a layer is named that is no product, or where a gradient
 * must pass an operator without one. */
tern_status tern_pass_int8_learn(const tern_graph *from, const tern_int8_update_plan *plan, tern_graph **to);

/* Parameters of a training step that follow from those of the net: factors of gradients, scales of updates, channels.  `get`
 * is asked for both, and for "<layer>.scales" f32 [2], those of input and output, which a conversion keeps beside them. */
tern_status tern_int8_learn_fill(const tern_graph *graph, bool unscaled, const tern_int8_target *parameters);

/* Weights of which some input channels learn are divided: "<layer>.learned" changes, "<layer>.rest" does not.  After steps: what was
 * learned, back into "<layer>.weight". */
tern_status tern_int8_learn_keep(const tern_graph *graph, const tern_int8_target *parameters);

/* Bytes that learning takes by the paper's formula: over the products whose bias is updated a mask of a bit an output and 4
 * bytes an output channel; over those whose weights are, the saved channels and a byte a weight that is updated; and the
 * input of the last product. */
tern_status tern_int8_update_bytes(const tern_graph *from, const tern_int8_update_plan *plan, double *bytes);

/* ---- nets of 16 bits that learn on the device (Nadalini et al., FGCS 2023, arXiv 2305.19167) ---------------------- */

/* Which parameter of a net of 16 bits follows from which value of the graph of floats. */
typedef struct tern_half_site {
    int value;
    const char *name;
} tern_half_site;
typedef struct tern_half_plan {
    tern_half_site *sites;
    int count;
    tern_arena arena;
} tern_half_plan;
void tern_half_plan_free(tern_half_plan *plan);

/* An inference graph of floats, norms folded, as one whose values are f16, bf16 or f32 and whose sums are rounded behind every
 * term (op/half.h); inputs and outputs are f32.  plan may be NULL.  Fails with the layer whose operator has no such form. */
tern_status tern_pass_half(const tern_graph *from, const tern_half_parameters *how, tern_graph **to,
                           tern_half_plan *plan);
/* Such a graph becomes a training step: inputs "labels" i32 [B] and "rate" f32 [1] come to it, the output "loss" f32 [1] too
 * (cross-entropy, in f32), and every parameter has a next value, by gradient descent without momentum. */
tern_status tern_half_learn(tern_graph *graph, const tern_half_parameters *how);

/* ---- calibration: which range an activation should have ------------------------------------------------------------ */

typedef enum tern_calibrator {
    TERN_MIN_MAX,
    TERN_PERCENTILE,
    TERN_LEAST_SQUARES,
    TERN_ENTROPY
} tern_calibrator;
enum { TERN_RANGE_BINS = 2048 };

/* First pass: the range; second: how often.  A zeroed record has seen nothing. */
typedef struct tern_range {
    double low, high;
    int64_t seen; /* elements, finite ones */
    int64_t bins[TERN_RANGE_BINS];
} tern_range;
void tern_range_widen(tern_range *range, const float *x, int64_t n);
void tern_range_count(tern_range *range, const float *x, int64_t n);
/* The union of what two have seen in the first pass. */
void tern_range_join(tern_range *range, const tern_range *other);

/* The format of bytes for it: of the whole range; of all but (100 - percentile) % of the elements; or of the share of the
 * range with the least squared error, or the least Kullback-Leibler divergence from what was counted. */
tern_int8_format tern_range_format(const tern_range *range, tern_calibrator calibrator, double percentile);

/* Fixed-point casts put into a graph (tern_fixed_parameters says where and how); convolutions sum exactly.  Before other
 * passes and gradients. */
tern_status tern_pass_insert_fixed(const tern_graph *from, const tern_fixed_parameters *how, tern_graph **to);

/* An inference graph with fixed-point casts, or with layers of few bits, in integers: codes, products summed in 32 bits, shifts
 * and thresholds, all of which follow from the same parameters.  What has no form in integers stays, fed with exact floats. */
tern_status tern_pass_fixed_form(const tern_graph *from, tern_graph **to);

#endif
