/* loops: what works element by element or row by row, at the speed of memory.  Functions here cut the work into tasks;
 * the inner loops are in isa/. */
#ifndef TERN_KERNEL_LOOPS_H
#define TERN_KERNEL_LOOPS_H

#include "kernel/kernel.h"

/* ---- integrate-and-fire neurons ------------------------------------------------------------------------ */

/* Integrate-and-fire neurons over time: the equations stand at the operator lif. */
typedef struct tern_neuron {
    int64_t steps, neurons;
    bool is_static; /* x has one step, read at each */
    float decay, gain, threshold, v_reset;
    tern_reset reset;
    tern_surrogate surrogate;
    float alpha;
    bool detach_reset, strict, normalised;
    int64_t truncate;
} tern_neuron;

/* x [steps,neurons] (or [neurons]) -> spikes (bits from bit 0), membranes u [steps,neurons] before firing, v_last
 * [neurons] after the last step.  v0, spikes, u and v_last may be NULL; u may be x. */
typedef struct tern_neuron_operands {
    const float *x, *v0;
    uint64_t *spikes;
    float *u, *v_last;
} tern_neuron_operands;
void tern_neuron_forward(tern_pool *pool, const tern_neuron *neuron, const tern_neuron_operands *operands);

/* All but u may be NULL; dx may be u.  sums[3]: gradients of decay, gain (0 without x) and threshold. */
typedef struct tern_neuron_gradients {
    const float *ds, *du, *dv_last, *u, *x, *v0;
    float *dx, *dv0;
    double *sums;
} tern_neuron_gradients;
size_t tern_neuron_backward_scratch(const tern_neuron *neuron);
void tern_neuron_backward(tern_pool *pool, const tern_neuron *neuron, const tern_neuron_gradients *gradients,
                          void *scratch);

/* ---- pooling ---------------------------------------------------------------------------------------------- */

/* Planes of the window's geometry (in_channels 1), f32.  max_grad: x f32 or bits, dy to the first maximum. */
void tern_max_pool(tern_pool *pool, const tern_conv *window, const float *x, float *y);
void tern_max_pool_grad(tern_pool *pool, const tern_conv *window, const void *x, bool bits, const float *dy,
                        float *dx);
void tern_avg_pool(tern_pool *pool, const tern_conv *window, const float *x, float *y);
void tern_avg_pool_grad(tern_pool *pool, const tern_conv *window, const float *dy, float *dx);

/* ---- batch norm -------------------------------------------------------------------------------------------- */

/* x [steps, rows, channels, inner]; statistics over rows and inner, for each step and channel. */
typedef struct tern_norm_view {
    int64_t steps, rows, channels, inner;
    double epsilon, momentum;
} tern_norm_view;

size_t tern_norm_scratch(const tern_norm_view *view); /* of each of the three */
/* mean, inverse [steps, channels], next_mean, next_var [channels]: each may be NULL; next_ may be the running ones. */
void tern_norm_train(tern_pool *pool, const tern_norm_view *view, const float *x, const float *gamma,
                     const float *beta, const float *running_mean, const float *running_var, float *y,
                     float *mean, float *inverse, float *next_mean, float *next_var, void *scratch);
void tern_norm_infer(tern_pool *pool, const tern_norm_view *view, const float *x, const float *gamma,
                     const float *beta, const float *running_mean, const float *running_var, float *y,
                     void *scratch);
/* dx (may be dy), dgamma, dbeta: each may be NULL. */
void tern_norm_backward(tern_pool *pool, const tern_norm_view *view, const float *x, const float *gamma,
                        const float *mean, const float *inverse, const float *dy, float *dx, float *dgamma,
                        float *dbeta, void *scratch);

/* ---- element by element -------------------------------------------------------------------------------------- */

/* y [outer, inner] = factor * the sum of x [outer, length, inner] over length, in its order. */
void tern_sum_loop(tern_pool *pool, int64_t outer, int64_t length, int64_t inner, const float *x,
                   float factor, float *y);
/* out[n] = the sum of the rows of x [rows, n], in tern_gemm's order: as if a column of ones stood on the other side. */
void tern_column_sums(tern_pool *pool, int64_t rows, int64_t n, const float *x, float *out);

typedef struct tern_adam_step {
    float rate, beta1, beta2, epsilon, decay;
    float correction1, correction2; /* 1/(1 - beta^step) */
    bool decoupled;
} tern_adam_step;
/* Parameter, gradient, mean, mean square and, for AMSGrad, the highest mean square so far (else NULL). */
typedef struct tern_adam_operands {
    const float *p, *g, *m, *v, *highest;
    float *p_out, *m_out, *v_out, *highest_out;
} tern_adam_operands;
void tern_adam_loop(tern_pool *pool, int64_t n, const tern_adam_step *step,
                    const tern_adam_operands *operands);
void tern_sgd_loop(tern_pool *pool, int64_t n, float rate, float momentum, float decay, bool nesterov,
                   const float *p, const float *g, const float *v, float *p_out, float *v_out);

/* ---- the inner loops, per instruction set ------------------------------------------------------------------ */

/* One step of a block of neurons, backwards.  h and static_dx are whole vectors long (padded with zeros), the others
 * `count`; h: dL/dv of this step, becomes carry * dL/du. */
typedef struct tern_neuron_row {
    int64_t count;
    const float *ds, *du, *u, *previous, *x, *v0; /* previous: u of the step before */
    float *h, *dx, *static_dx;
    double *sums;
    float carry;
} tern_neuron_row;

typedef struct tern_loops {
    /* One step of `count` neurons: v (whole vectors long) is read and overwritten, u may be NULL or x, spikes are whole
     * words.  And backwards. */
    void (*neuron_step)(const tern_neuron *n, int64_t count, const float *x, float *v, float *u,
                        uint64_t *spikes);
    void (*neuron_back)(const tern_neuron *n, const tern_neuron_row *row);

    /* a plane of n floats; sums grow */
    void (*plane_sums)(const float *x, int64_t n, float shift, double *sum, double *squares);
    void (*plane_products)(const float *x, const float *dy, int64_t n, float mean, double *sum,
                           double *product);
    void (*plane_affine)(const float *x, int64_t n, float scale, float shift, float *y);
    /* y = q times x / q rounded, halves to even, and kept within -most .. most (most <= 2^22); what is no number: -most */
    void (*plane_levels)(const float *x, int64_t n, float q, float most, float *y);
    /* sum dy[i] times that rounded x[i] / q; sum |x[i] - y[i]|; out[i] (+)= each times the sign of x[i] - y[i].  y NULL: zeros */
    double (*plane_level_products)(const float *x, const float *dy, int64_t n, float q, float most);
    double (*plane_distance)(const float *x, const float *y, int64_t n);
    void (*plane_signs)(const float *x, const float *y, int64_t n, float each, bool add, float *out);
    void (*plane_mix)(const float *x, const float *dy, int64_t n, float a, float b, float c, float *dx);
    /* `count` columns of a matrix with rows of `stride` floats */
    void (*column_sums)(const float *x, int64_t rows, int64_t stride, int64_t count, const float *shift,
                        double *sum, double *squares);
    void (*column_products)(const float *x, const float *dy, int64_t rows, int64_t stride, int64_t count,
                            const float *mean, double *sum, double *product);
    void (*column_affine)(const float *x, int64_t rows, int64_t stride, int64_t count, const float *scale,
                          const float *shift, float *y);
    void (*column_mix)(const float *x, const float *dy, int64_t rows, int64_t stride, int64_t count,
                       const float *a, const float *b, const float *shift, float *dx);

    void (*spike_pool_grad)(const uint64_t *x, int64_t at, int64_t width, const float *dy, float *dx);
    void (*adam)(int64_t first, int64_t last, const tern_adam_step *step, const tern_adam_operands *operands);
    void (*sgd)(int64_t n, float rate, float momentum, float decay, bool nesterov, const float *p,
                const float *g, const float *v, float *p_out, float *v_out);
    void (*accumulate)(int64_t n, const float *x, bool add, float *y);
} tern_loops;

const tern_loops *tern_loops_get(void);

#endif
