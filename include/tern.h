/* tern.h: the public interface of libtern, neural networks under a budget.
 *
 * A net is built as a graph of operators, the graph is planned into a program, and the program is run, costed,
 * simulated or emitted.  Functions return a tern_status; on failure tern_message() says what went wrong, where,
 * what was expected and what to do.  No function exits or prints unless its comment says so. */
#ifndef TERN_H
#define TERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_VERSION "0.1.0"

/* ---- status ------------------------------------------------------------------------------------------ */

typedef enum tern_status {
    TERN_OK = 0,
    TERN_FAILED = 1,        /* bad file, bad data, a system call that failed */
    TERN_USAGE = 2,         /* wrong flag, unknown name, contradictory options */
    TERN_NO_FIT = 3,        /* does not fit the budget */
    TERN_NO_MEMORY = 4,     /* an allocation failed; exit status 1 */
    TERN_INTERRUPTED = 130, /* stopped by the user */
} tern_status;

/* Message of the last failure on this thread ("" when there was none).  Valid until the next failure. */
const char *tern_message(void);

/* ---- tensors ----------------------------------------------------------------------------------------- */

typedef enum tern_dtype {
    TERN_F32,
    TERN_F16,
    TERN_BF16,
    TERN_F64,
    TERN_I32,
    TERN_I16,
    TERN_I8,
    TERN_U8,
    TERN_BIT, /* packed spikes, one bit an element */
    /* packed blocks that share scales, in the layouts of GGUF: bits an element, with _K two levels of scales */
    TERN_Q4_0,
    TERN_Q4_1,
    TERN_Q5_0,
    TERN_Q5_1,
    TERN_Q8_0,
    TERN_Q2_K,
    TERN_Q3_K,
    TERN_Q4_K,
    TERN_Q5_K,
    TERN_Q6_K,
    TERN_TERNARY, /* -1, 0, 1 times a scale; tq2_0 in GGUF */
    TERN_NF4,     /* levels of a normal distribution (QLoRA), blocks of 64 */
    TERN_NF4X2,   /* the same with 8-bit scales */
    TERN_DTYPES
} tern_dtype;

#define TERN_MAX_RANK 6

typedef struct tern_shape {
    int rank;
    int64_t dim[TERN_MAX_RANK];
} tern_shape;

/* TERN_SHAPE(128, 784): a shape from its dimensions. */
#define TERN_SHAPE(...)                                                                                      \
    ((tern_shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .dim = {__VA_ARGS__}})

/* A view of memory: format, shape and where the elements are (contiguous, row-major). */
typedef struct tern_tensor {
    tern_dtype dtype;
    tern_shape shape;
    void *data;
} tern_tensor;

/* ---- work -------------------------------------------------------------------------------------------- */

/* What a piece of a program computes, whatever the machine.  Counts are exact up to 2^53. */
typedef struct tern_work {
    double macs;        /* multiply-accumulates (real x real) */
    double accumulates; /* additions of a weight because of a spike */
    double specials;    /* exponentials, roots, divisions */
    double elementwise; /* other operations on single elements; a neuron's update is one */
} tern_work;

/* The product of matrices at the heart of an operator, as hardware that is built for products sees it: `count` times
 * C[m,n] = A[m,k] B[k,n], one behind the other.  Of a convolution m are the pixels of all images, n the output channels
 * and k the inputs of a group; then kernel_height and so on say how it came about, else they are 0. */
typedef struct tern_product_shape {
    int64_t count, m, n, k; /* count 0: the operator is none */
    int64_t images, kernel_height, kernel_width, out_height, out_width;
    int64_t stride; /* of the window; the larger of both ways */
    bool halves;    /* the left factor has 16 bits, which an array of bytes takes by halves */
} tern_product_shape;

/* ---- graphs ------------------------------------------------------------------------------------------ */

/* A net while it is being built and transformed: nodes apply operators to values, in topological order, and no
 * value is ever overwritten.  Building calls never fail at once: the first error is kept, later calls return the
 * empty value, and tern_graph_status() hands the error out, so that a net reads like the figure in its paper. */
typedef struct tern_graph tern_graph;
typedef struct tern_value {
    int id; /* 0: no value */
} tern_value;

typedef struct tern_graph_options {
    bool training;         /* batch statistics in norms, dropout on */
    bool batch_statistics; /* norms take the statistics of the batch, and keep those as the running ones */
    bool stepping; /* one time step a run: neurons keep their membranes as states; else all T steps at once */
    uint64_t seed; /* initial parameters and random operators */
} tern_graph_options;

tern_status tern_graph_open(tern_graph **graph, const tern_graph_options *options);
void tern_graph_close(tern_graph *graph);
tern_status tern_graph_status(const tern_graph *graph); /* first error of building; its message is restored */

typedef enum tern_init_kind {
    TERN_INIT_ZERO,
    TERN_INIT_CONSTANT, /* scale */
    TERN_INIT_UNIFORM,  /* -scale .. scale */
    TERN_INIT_NORMAL,   /* standard deviation scale */
} tern_init_kind;
typedef struct tern_init {
    tern_init_kind kind;
    double scale;
} tern_init;

/* Values that come from outside the graph.  Names are unique in a graph; parameters and kept states are bound by
 * name to the tensors of a store, so that a training and an inference graph of a net share them.
 * tern_state: what a run leaves for the next one (set by tern_next).  kept: survives a new sequence (running
 * statistics, optimiser moments); otherwise (membranes) it is set back to its initial value by tern_session_reset. */
tern_value tern_input(tern_graph *graph, const char *name, tern_dtype dtype, tern_shape shape);
tern_value tern_param(tern_graph *graph, const char *name, tern_shape shape, tern_init init);
/* A parameter in a format of the caller's, f16 or packed say: it is read from a file, and not trained. */
tern_value tern_weight(tern_graph *graph, const char *name, tern_dtype dtype, tern_shape shape);
tern_value tern_state(tern_graph *graph, const char *name, tern_dtype dtype, tern_shape shape, tern_init init,
                      bool kept);
tern_value tern_constant(tern_graph *graph, const tern_tensor *content); /* copied */
tern_value tern_scalar(tern_graph *graph, double value);                 /* f32 [1] */
void tern_next(tern_graph *graph, tern_value state, tern_value next); /* parameter or state becomes `next` */
void tern_output(tern_graph *graph, const char *name, tern_value value);

tern_shape tern_shape_of(const tern_graph *graph, tern_value value);
tern_dtype tern_dtype_of_value(const tern_graph *graph, tern_value value);

/* Gradients of the scalar `loss` with respect to `wrt[count]`, as new nodes of the same graph (reverse mode).
 * grads[i] is the empty value where loss does not depend on wrt[i]. */
tern_status tern_gradients(tern_graph *graph, tern_value loss, const tern_value *wrt, int count,
                           tern_value *grads);

/* ---- operators and layers ---------------------------------------------------------------------------- */

/* Layers take named arguments with defaults, e.g. tern_linear(g, x, .out = 10, .bias = false): a later initialiser
 * overrides the default, which is what we want it for.  Each is a pair of macros: the first adds a comma, so that
 * there may be no named argument at all. */
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

/* y = x W^T + b.  x [..,K] -> [..,out]; parameters <name>.weight [out,K], <name>.bias [out], both uniform in +-1/sqrt(K) (the default
 * of PyTorch); deviation > 0: weights normal with that standard deviation, biases 0.  of_out, of_in > 0: parameters of a layer
 * [of_out,of_in] that nets of a family share, of which this one reads leading rows (of each of `parts` equal parts) and columns. */
typedef struct tern_linear_args {
    int out, of_out, of_in, parts;
    bool bias;
    double deviation;
    const char *name;
} tern_linear_args;
tern_value tern_linear_with(tern_graph *graph, tern_value x, tern_linear_args args);
#define tern_linear(...)        TERN_LINEAR_(__VA_ARGS__, )
#define TERN_LINEAR_(g, x, ...) tern_linear_with(g, x, (tern_linear_args){.bias = true, __VA_ARGS__})

/* The same with the caller's weight [out,K] and bias [out] (or the empty value). */
tern_value tern_multiply_weight(tern_graph *graph, tern_value x, tern_value weight, tern_value bias);

/* y = W * x + b over images.  x [..,C,H,W] -> [..,out,OH,OW]; parameters <name>.weight [out,C/groups,K,K] (K along H is 1
 * where H is 1), <name>.bias [out], uniform in +-1/sqrt(fan-in); deviation > 0: weights normal with that standard
 * deviation.  of_out > 0: parameters have so many outputs, of which the leading ones are read. */
typedef struct tern_conv2d_args {
    int out, kernel, stride, pad, dilation, groups, of_out;
    bool bias;
    double deviation;
    const char *name;
} tern_conv2d_args;
tern_value tern_conv2d_with(tern_graph *graph, tern_value x, tern_conv2d_args args);
#define tern_conv2d(...) TERN_CONV2D_(__VA_ARGS__, )
#define TERN_CONV2D_(g, x, ...)                                                                              \
    tern_conv2d_with(                                                                                        \
        g, x,                                                                                                \
        (tern_conv2d_args){.kernel = 3, .stride = 1, .dilation = 1, .groups = 1, .bias = true, __VA_ARGS__})

/* Highest value or mean of each kernel x kernel window.  stride 0: the kernel.  pad: how far windows lie over the edges; only
 * what is in the image takes part.  The maximum of spikes is spikes. */
typedef struct tern_pool2d_args {
    int kernel, stride, pad;
} tern_pool2d_args;
tern_value tern_max_pool2d_with(tern_graph *graph, tern_value x, tern_pool2d_args args);
tern_value tern_avg_pool2d_with(tern_graph *graph, tern_value x, tern_pool2d_args args);
#define tern_max_pool2d(...)        TERN_MAX_POOL2D_(__VA_ARGS__, )
#define TERN_MAX_POOL2D_(g, x, ...) tern_max_pool2d_with(g, x, (tern_pool2d_args){.kernel = 2, __VA_ARGS__})
#define tern_avg_pool2d(...)        TERN_AVG_POOL2D_(__VA_ARGS__, )
#define TERN_AVG_POOL2D_(g, x, ...) tern_avg_pool2d_with(g, x, (tern_pool2d_args){.kernel = 2, __VA_ARGS__})

/* The same over sequences: x [..,C,L] -> [..,out,OL], kernels, strides and padding along L; weight [out,C/groups,1,K]. */
tern_value tern_conv1d_with(tern_graph *graph, tern_value x, tern_conv2d_args args);
tern_value tern_max_pool1d_with(tern_graph *graph, tern_value x, tern_pool2d_args args);
tern_value tern_avg_pool1d_with(tern_graph *graph, tern_value x, tern_pool2d_args args);
#define tern_conv1d(...) TERN_CONV1D_(__VA_ARGS__, )
#define TERN_CONV1D_(g, x, ...)                                                                              \
    tern_conv1d_with(                                                                                        \
        g, x,                                                                                                \
        (tern_conv2d_args){.kernel = 3, .stride = 1, .dilation = 1, .groups = 1, .bias = true, __VA_ARGS__})
#define tern_max_pool1d(...)        TERN_MAX_POOL1D_(__VA_ARGS__, )
#define TERN_MAX_POOL1D_(g, x, ...) tern_max_pool1d_with(g, x, (tern_pool2d_args){.kernel = 2, __VA_ARGS__})
#define tern_avg_pool1d(...)        TERN_AVG_POOL1D_(__VA_ARGS__, )
#define TERN_AVG_POOL1D_(g, x, ...) tern_avg_pool1d_with(g, x, (tern_pool2d_args){.kernel = 2, __VA_ARGS__})

/* Means of windows that divide the image into size x size: [..,C,H,W] -> [..,C,size,size].  Size 1 takes any image, others
 * square windows. */
typedef struct tern_adaptive_pool_args {
    int size;
} tern_adaptive_pool_args;
tern_value tern_adaptive_avg_pool2d_with(tern_graph *graph, tern_value x, tern_adaptive_pool_args args);
#define tern_adaptive_avg_pool2d(...) TERN_ADAPTIVE_AVG_POOL2D_(__VA_ARGS__, )
#define TERN_ADAPTIVE_AVG_POOL2D_(g, x, ...)                                                                 \
    tern_adaptive_avg_pool2d_with(g, x, (tern_adaptive_pool_args){.size = 1, __VA_ARGS__})

/* Each pixel factor x factor times: [..,H,W] -> [..,factor H,factor W]. */
typedef struct tern_upsample_args {
    int factor;
} tern_upsample_args;
tern_value tern_upsample2d_with(tern_graph *graph, tern_value x, tern_upsample_args args);
#define tern_upsample2d(...)        TERN_UPSAMPLE2D_(__VA_ARGS__, )
#define TERN_UPSAMPLE2D_(g, x, ...) tern_upsample2d_with(g, x, (tern_upsample_args){.factor = 2, __VA_ARGS__})

/* An image of another size: [..,H,W] -> [..,height,width], each pixel the nearest of x, or a sum of the 4 (linear) or 16 (cubic)
 * around the place where it lies, edges being repeated.  Names and equations are those of ONNX's Resize; scale 0: as the sizes say. */
typedef enum tern_resize_mode { TERN_RESIZE_NEAREST, TERN_RESIZE_LINEAR, TERN_RESIZE_CUBIC } tern_resize_mode;
typedef enum tern_resize_places {
    TERN_AT_HALF_PIXEL,      /* (o + 1/2) / scale - 1/2 */
    TERN_AT_CORNERS,         /* o (in - 1) / (out - 1) */
    TERN_AT_ORIGIN,          /* o / scale */
    TERN_AT_HALF_PIXEL_OR_0, /* as half pixel; 0 where there is one place only */
} tern_resize_places;
typedef enum tern_resize_rounding {
    TERN_NEAREST_FLOOR_HALF, /* the lower of two that are as near */
    TERN_NEAREST_CEIL_HALF,
    TERN_NEAREST_FLOOR,
    TERN_NEAREST_CEIL,
} tern_resize_rounding;
typedef struct tern_resize2d_args {
    int height, width;
    tern_resize_mode mode;
    tern_resize_places places;
    tern_resize_rounding rounding;
    double scale_y, scale_x, cubic;
} tern_resize2d_args;
tern_value tern_resize2d_with(tern_graph *graph, tern_value x, tern_resize2d_args args);
#define tern_resize2d(...) TERN_RESIZE2D_(__VA_ARGS__, )
#define TERN_RESIZE2D_(g, x, ...)                                                                            \
    tern_resize2d_with(g, x, (tern_resize2d_args){.mode = TERN_RESIZE_LINEAR, .cubic = -0.75, __VA_ARGS__})

/* Transposed convolution: x [..,C,H,W] -> [..,out,OH,OW], OH = (H - 1) stride - 2 pad + dilation (K - 1) + 1 + out_pad;
 * parameters <name>.weight [C,out/groups,K,K], <name>.bias [out], uniform in +-1/sqrt(out/groups K^2) (as PyTorch). 1d: x [..,C,L]. */
typedef struct tern_conv_transpose2d_args {
    int out, kernel, stride, pad, out_pad, dilation, groups;
    bool bias, flat; /* flat: along W alone, of images of height 1; weight [C,out/groups,1,K] */
    const char *name;
} tern_conv_transpose2d_args;
tern_value tern_conv_transpose2d_with(tern_graph *graph, tern_value x, tern_conv_transpose2d_args args);
#define TERN_TRANSPOSED_(...)                                                                                \
    ((tern_conv_transpose2d_args){                                                                           \
        .kernel = 2, .stride = 2, .dilation = 1, .groups = 1, .bias = true, __VA_ARGS__})
#define tern_conv_transpose2d(...)        TERN_CONV_TRANSPOSE2D_(__VA_ARGS__, )
#define TERN_CONV_TRANSPOSE2D_(g, x, ...) tern_conv_transpose2d_with(g, x, TERN_TRANSPOSED_(__VA_ARGS__))
tern_value tern_conv_transpose1d_with(tern_graph *graph, tern_value x, tern_conv_transpose2d_args args);
#define tern_conv_transpose1d(...)        TERN_CONV_TRANSPOSE1D_(__VA_ARGS__, )
#define TERN_CONV_TRANSPOSE1D_(g, x, ...) tern_conv_transpose1d_with(g, x, TERN_TRANSPOSED_(__VA_ARGS__))

/* Channels (axis C of [..,C,H,W], or the last of fewer axes) to mean 0 and variance 1, scaled and shifted.  Parameters
 * <name>.weight, <name>.bias [C], kept states <name>.running_mean, <name>.running_var.  per_step: axis 0 is time, and each
 * step has statistics of its own. */
typedef struct tern_batch_norm_args {
    double epsilon, momentum;
    bool per_step;
    const char *name;
} tern_batch_norm_args;
tern_value tern_batch_norm_with(tern_graph *graph, tern_value x, tern_batch_norm_args args);
#define tern_batch_norm(...) TERN_BATCH_NORM_(__VA_ARGS__, )
#define TERN_BATCH_NORM_(g, x, ...)                                                                          \
    tern_batch_norm_with(g, x, (tern_batch_norm_args){.epsilon = 1e-5, .momentum = 0.1, __VA_ARGS__})

/* Functions without parameters of their own: arithmetic, curves, reductions, products, attention, other places. */
#include "tern_functions.h"

/* In a training graph a share `rate` of the elements becomes 0 and the rest grows by 1/(1 - rate); else x itself.
 * over_time: the slices along axis 0 (time steps) lose the same elements. */
typedef struct tern_dropout_args {
    double rate;
    bool over_time;
    const char *name;
} tern_dropout_args;
tern_value tern_dropout_with(tern_graph *graph, tern_value x, tern_dropout_args args);
#define tern_dropout(...)        TERN_DROPOUT_(__VA_ARGS__, )
#define TERN_DROPOUT_(g, x, ...) tern_dropout_with(g, x, (tern_dropout_args){.rate = 0.5, __VA_ARGS__})

/* Rows along the last axis to mean 0 and variance 1 (layer), to root mean square 1 (rms), or groups of channels of
 * [..,C,H,W] (group); then weight and bias (rms: weight) of the last axis, or of channels. */
typedef struct tern_row_norm_args {
    double epsilon;
    int groups; /* group norm only */
    int of;     /* layer and RMS norm: parameters are [of], of which the leading ones are read; 0: as x */
    const char *name;
} tern_row_norm_args;
tern_value tern_layer_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args);
tern_value tern_rms_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args);
tern_value tern_group_norm_with(tern_graph *graph, tern_value x, tern_row_norm_args args);
#define tern_layer_norm(...) TERN_LAYER_NORM_(__VA_ARGS__, )
#define TERN_LAYER_NORM_(g, x, ...)                                                                          \
    tern_layer_norm_with(g, x, (tern_row_norm_args){.epsilon = 1e-5, __VA_ARGS__})
#define tern_rms_norm(...)        TERN_RMS_NORM_(__VA_ARGS__, )
#define TERN_RMS_NORM_(g, x, ...) tern_rms_norm_with(g, x, (tern_row_norm_args){.epsilon = 1e-5, __VA_ARGS__})
#define tern_group_norm(...)      TERN_GROUP_NORM_(__VA_ARGS__, )
#define TERN_GROUP_NORM_(g, x, ...)                                                                          \
    tern_group_norm_with(g, x, (tern_row_norm_args){.epsilon = 1e-5, .groups = 1, __VA_ARGS__})

/* Direct encoding: the same x at each of `timesteps` steps, [..] -> [T,..]. */
typedef struct tern_direct_args {
    int timesteps;
} tern_direct_args;
tern_value tern_direct_with(tern_graph *graph, tern_value x, tern_direct_args args);
#define tern_direct(...)        TERN_DIRECT_(__VA_ARGS__, )
#define TERN_DIRECT_(g, x, ...) tern_direct_with(g, x, (tern_direct_args){.timesteps = 4, __VA_ARGS__})

/* What a spiking net for images sees over time: an image [B,C,H,W] (or rows [B,K]) at each of T steps, as direct does, or
 * the frames of a clip [B,T,C,H,W] in their order -> [T,B,C,H,W].  Fails when the clip has another number of frames. */
tern_value tern_frames_with(tern_graph *graph, tern_value x, tern_direct_args args);
#define tern_frames(...)        TERN_FRAMES_(__VA_ARGS__, )
#define TERN_FRAMES_(g, x, ...) tern_frames_with(g, x, (tern_direct_args){.timesteps = 4, __VA_ARGS__})

/* ---- neurons ------------------------------------------------------------------------------------------- */

/* Stand-ins for the derivative of the step function, as functions of z (distance to threshold); a = alpha. */
typedef enum tern_surrogate {
    TERN_ARCTAN,       /* a/2 / (1 + (pi/2 a z)^2) */
    TERN_SIGMOID,      /* a s(az) (1 - s(az)), s the logistic function */
    TERN_RECTANGLE,    /* 1/a where |z| <= a/2 */
    TERN_TRIANGLE,     /* max(0, a - a^2 |z|) */
    TERN_FAST_SIGMOID, /* 1 / (1 + a|z|)^2 */
    TERN_LINEAR_DECAY, /* a max(0, 1 - |z|) */
} tern_surrogate;

typedef enum tern_reset {
    TERN_RESET_SOFT, /* v = u - threshold * s */
    TERN_RESET_HARD, /* v = s ? v_reset : u */
    TERN_RESET_NONE, /* v = u */
} tern_reset;

/* Leaky integrate-and-fire over the leading axis T of x [T,B,..] -> spikes [T,B,..] (bit):
 *     u_t = v_reset + (1 - 1/tau) (v_{t-1} - v_reset) + gain x_t,  gain = 1/tau with decay_input, else 1
 *     s_t = u_t >= threshold (> with strict),   v_t by the reset rule.
 * tau 0: no leak (IF).  leak >= 0 says what stays of the membrane instead of 1 - 1/tau; gain is 1 then.
 * learn_tau: 1/tau is sigmoid(<name>.w), w learned, one per layer (PLIF; Fang et al., ICCV 2021).
 * learn_leak, learn_threshold: <name>.leak, <name>.threshold, learned as they are, one per layer (DIET-SNN);
 * an update keeps the leak at 1 or below.
 * normalised: the surrogate is taken at u / threshold - 1 instead of u - threshold.
 * detach_reset: the reset carries no gradient.  truncate k: the gradient through time is cut every k steps (0: never;
 * 1: spatial learning only).  In a stepping graph T is 1 and v is a state of the layer.
 * memoryless: a sequence is one step.  Nothing is carried from step to step, so leak and reset have no effect, and there
 * is no membrane to keep. */
typedef struct tern_lif_args {
    double tau, leak, threshold, v_reset;
    tern_reset reset;
    bool decay_input, detach_reset, strict, normalised;
    bool learn_tau, learn_leak, learn_threshold, memoryless;
    tern_surrogate surrogate;
    double alpha;
    int truncate;
    const char *name;
} tern_lif_args;
tern_value tern_lif_with(tern_graph *graph, tern_value x, tern_lif_args args);
#define tern_lif(...) TERN_LIF_(__VA_ARGS__, )
#define TERN_LIF_(g, x, ...)                                                                                 \
    tern_lif_with(g, x,                                                                                      \
                  (tern_lif_args){.tau = 2,                                                                  \
                                  .leak = -1,                                                                \
                                  .threshold = 1,                                                            \
                                  .reset = TERN_RESET_HARD,                                                  \
                                  .decay_input = true,                                                       \
                                  .detach_reset = true,                                                      \
                                  .surrogate = TERN_ARCTAN,                                                  \
                                  .alpha = 2,                                                                \
                                  __VA_ARGS__})
#define tern_integrate_and_fire(...)        TERN_INTEGRATE_AND_FIRE_(__VA_ARGS__, )
#define TERN_INTEGRATE_AND_FIRE_(g, x, ...) tern_lif(g, x, .tau = 0, .decay_input = false, __VA_ARGS__)

/* Adaptive integrate-and-fire: as lif, with the threshold raised by beta a_t, a_{t+1} = (1 - 1/tau_adaptation) a_t + s_t. */
typedef struct tern_alif_args {
    double tau, threshold, v_reset, tau_adaptation, beta;
    tern_reset reset;
    bool decay_input, detach_reset;
    tern_surrogate surrogate;
    double alpha;
    int truncate;
    const char *name;
} tern_alif_args;
tern_value tern_alif_with(tern_graph *graph, tern_value x, tern_alif_args args);
#define tern_alif(...) TERN_ALIF_(__VA_ARGS__, )
#define TERN_ALIF_(g, x, ...)                                                                                \
    tern_alif_with(g, x,                                                                                     \
                   (tern_alif_args){.tau = 2,                                                                \
                                    .threshold = 1,                                                          \
                                    .tau_adaptation = 20,                                                    \
                                    .beta = 0.2,                                                             \
                                    .reset = TERN_RESET_SOFT,                                                \
                                    .detach_reset = true,                                                    \
                                    .surrogate = TERN_ARCTAN,                                                \
                                    .alpha = 2,                                                              \
                                    __VA_ARGS__})

/* Leaky integration over time, y_t = decay y_{t-1} + x_t: x [T,B,..] -> y [T,B,..].  Before lif: a synaptic current
 * (current-based neurons); behind it: a trace.  learn: decay is a parameter <name>.decay, one per layer. */
typedef struct tern_leak_args {
    double decay;
    bool learn;
    const char *name;
} tern_leak_args;
tern_value tern_leak_with(tern_graph *graph, tern_value x, tern_leak_args args);
#define tern_leak(...)        TERN_LEAK_(__VA_ARGS__, )
#define TERN_LEAK_(g, x, ...) tern_leak_with(g, x, (tern_leak_args){.decay = 0.5, __VA_ARGS__})

/* Multi-level spikes without memory: y = floor(min(max(D x, 0), D) + 1/2) / D; with counts y is the integer
 * floor(min(max(x, 0), D) + 1/2).  The gradient passes where x is inside the range. */
typedef struct tern_levels_args {
    int levels; /* D */
    bool counts;
} tern_levels_args;
tern_value tern_levels_with(tern_graph *graph, tern_value x, tern_levels_args args);
#define tern_levels(...)        TERN_LEVELS_(__VA_ARGS__, )
#define TERN_LEVELS_(g, x, ...) tern_levels_with(g, x, (tern_levels_args){.levels = 4, __VA_ARGS__})

/* ---- temporal sparsity ------------------------------------------------------------------------------------ */

/* Delta activation layer (arXiv 2107.07305): y = round(x / q) q, halves to even, with a learned step q = |<name>.step| by
 * channel (axis C of [..,C,H,W], the last of fewer axes), neuron or layer.  The gradient passes to x unchanged; the step's
 * has its sign reversed, so that a penalty on changes makes steps coarser.  Inference by changes multiplies what changes. */
typedef enum tern_step_per { TERN_STEP_CHANNEL, TERN_STEP_NEURON, TERN_STEP_LAYER } tern_step_per;
typedef struct tern_delta_args {
    tern_step_per per;
    double start; /* q at the beginning */
    bool plain;   /* the step's gradient keeps its true sign: to see that sparsity stalls then */
    const char *name;
} tern_delta_args;
tern_value tern_delta_with(tern_graph *graph, tern_value x, tern_delta_args args);
#define tern_delta(...)        TERN_DELTA_(__VA_ARGS__, )
#define TERN_DELTA_(g, x, ...) tern_delta_with(g, x, (tern_delta_args){.start = 0.1, __VA_ARGS__})

#include "tern_fixed.h"

/* ---- encoders -------------------------------------------------------------------------------------------- */

/* x [..] -> bits [T,..]: at each step a spike with probability x, drawn anew in each run.  In a stepping graph T is 1. */
typedef struct tern_poisson_args {
    int timesteps;
    int stream; /* encoders of equal stream draw the same numbers; 0: one of its own */
} tern_poisson_args;
tern_value tern_poisson_with(tern_graph *graph, tern_value x, tern_poisson_args args);
#define tern_poisson(...)        TERN_POISSON_(__VA_ARGS__, )
#define TERN_POISSON_(g, x, ...) tern_poisson_with(g, x, (tern_poisson_args){.timesteps = 4, __VA_ARGS__})

/* x [..] in 0..1 -> bits [T,..]: one spike at step round((1 - x)(T - 1)). */
typedef struct tern_latency_args {
    int timesteps;
} tern_latency_args;
tern_value tern_latency_with(tern_graph *graph, tern_value x, tern_latency_args args);
#define tern_latency(...)        TERN_LATENCY_(__VA_ARGS__, )
#define TERN_LATENCY_(g, x, ...) tern_latency_with(g, x, (tern_latency_args){.timesteps = 4, __VA_ARGS__})

/* x [T,B,C,..] -> bits [T,B,2C,..]: on channels fire where x has grown by more than the threshold since the pixel's last
 * spike (or its first value), off channels where it has shrunk. */
typedef struct tern_change_args {
    double threshold;
} tern_change_args;
tern_value tern_change_with(tern_graph *graph, tern_value x, tern_change_args args);
#define tern_change(...)        TERN_CHANGE_(__VA_ARGS__, )
#define TERN_CHANGE_(g, x, ...) tern_change_with(g, x, (tern_change_args){.threshold = 0.1, __VA_ARGS__})

/* ---- losses and parameter updates ---------------------------------------------------------------------- */

/* Mean over rows of the cross-entropy of softmax(logits [B,C]) against labels [B] (i32); smoothing e: the target is
 * (1-e) one-hot + e/C.  Label < 0: the row is left out. */
typedef struct tern_cross_entropy_args {
    double smoothing;
} tern_cross_entropy_args;
tern_value tern_cross_entropy_with(tern_graph *graph, tern_value logits, tern_value labels,
                                   tern_cross_entropy_args args);
#define tern_cross_entropy(...) TERN_CROSS_ENTROPY_(__VA_ARGS__, )
#define TERN_CROSS_ENTROPY_(g, logits, labels, ...)                                                          \
    tern_cross_entropy_with(g, logits, labels, (tern_cross_entropy_args){.smoothing = 0, __VA_ARGS__})

/* ---- nets -------------------------------------------------------------------------------------------- */

/* A parameter of a net: an int or double field of its parameter struct. */
typedef struct tern_option {
    const char *name; /* NULL ends a list */
    bool real;        /* double, else int */
    size_t offset;
    double standard; /* default */
    const char *doc;
} tern_option;

/* A net of the zoo: parameters with defaults and the function that builds it.
 * build: image [B,C,H,W] (or what `sample` says, behind B) -> logits [B,classes]. */
typedef struct tern_net {
    const char *name, *doc;
    size_t size; /* bytes of the parameter struct */
    const tern_option *options;
    tern_shape sample; /* shape of one input sample, e.g. [1,28,28]; data may bring another */
    bool spiking;
    tern_value (*build)(tern_graph *graph, const void *parameters, tern_value image);
    /* Where in the parameter struct a tern_delta_parameters begins, or 0: what is built gets a delta activation layer before
     * each product. */
    size_t delta;
    size_t regroup; /* the same for a tern_regroup: depthwise convolutions become group convolutions */
    size_t int8;    /* the same for a tern_int8_parameters: the net computes in bytes */
    bool bytes;     /* what is built is of bytes as it is, and can learn: of a file (tern_tflite_learn) */
    size_t qat; /* the same for a tern_qat_parameters: floats that are rounded as the net in bytes will be */
    size_t fixed;  /* the same for a tern_fixed_parameters */
    bool integers; /* what is inferred, is inferred in integers (NET-fixed) */
    size_t half;   /* the same for a tern_half_parameters: the net computes, and learns, in 16 bits */
    bool decoder;  /* a language model: tokens [1,S] in, logits of the last one out */
    bool classic;  /* a classic learner: features in, scores of classes out; fitted, not trained */
} tern_net;

/* Parameters of inserted delta activation layers. */
typedef struct tern_delta_parameters {
    int per; /* a tern_step_per */
    double start;
} tern_delta_parameters;

/* Channels of a group in the convolutions that were depthwise: a layer takes the largest divisor of its channels that is not
 * above `group`, or, where each[i] > 0, above that for the i-th of them. */
#define TERN_REGROUP_LAYERS 64
typedef struct tern_regroup {
    int group; /* 1: as they are */
    int each[TERN_REGROUP_LAYERS];
} tern_regroup;

/* Of nets of bytes: weights are whole numbers times a scale, from -127 to 127, or with fewer bits from 1 - 2^(bits-1) on. */
typedef struct tern_int8_parameters {
    int per;             /* a scale for each 0 output channel, 1 layer */
    int bits;            /* of weights, 2 to 8; each takes a byte all the same */
    int out, multiplier; /* bits of last results, 8 or 16, and of what scales sums, 32 or 16 */
    int activations;     /* bits of what goes from layer to layer, 8, or 16 with the zero 0 */
} tern_int8_parameters;

/* Of nets that are trained for it. */
typedef struct tern_qat_parameters {
    int bits;        /* of weights */
    int activations; /* bits of theirs: 8, or 16, which are not rounded in training */
} tern_qat_parameters;

/* Of nets of 16 bits: every value has them, and sums are rounded behind every term. */
typedef struct tern_half_parameters {
    int format;   /* 0 f16, 1 bf16, 2 f32: the same, to compare with */
    int lanes;    /* sums of an output of a linear layer, which are added at its end: 1, 2, 4 or 8 */
    int wide;     /* 1: sums are f32 and rounded once */
    double scale; /* that the loss is multiplied by in training */
} tern_half_parameters;

/* NULL when there is none of that name.  NET-delta is the net NET, of any that has no spikes, with delta activation layers;
 * NET-regroup is NET with group convolutions for depthwise ones; NET-int8, of a net without spikes, is NET in bytes,
 * NET-qat NET as it is trained to become that, NET-half NET in 16 bits; NET-fixed16 is a classic learner in fixed point. */
const tern_net *tern_net_find(const char *name);
const tern_net *tern_net_at(int index);     /* NULL behind the last */
const tern_net *tern_decoder_at(int index); /* language models, which are known by their shapes only */
const tern_net *tern_classic_at(int index); /* classic learners */
/* Parameter structs: tern_take-n by open, set by name (fails with the known names), released by tern_net_free. */
tern_status tern_net_parameters(const tern_net *net, void **parameters);
tern_status tern_net_set(const tern_net *net, void *parameters, const char *name, double value);
tern_status tern_net_get(const tern_net *net, const void *parameters, const char *name, double *value);
void tern_net_free(void *parameters);

#include "tern_trained.h"

#ifdef __cplusplus
}
#endif
#endif
