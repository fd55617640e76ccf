/* train: from a net and data to a trained net.  Losses and updates are part of the graph; what is here decides what is
 * fed to it, when, and what is kept. */
#ifndef TERN_TRAIN_H
#define TERN_TRAIN_H

#include "io/io.h"
#include "quant/quant.h"
#include "run/pager.h"

/* ---- what is trained on ------------------------------------------------------------------------------------- */

/* One split of a data set.  Images u8 or f32 [N,C,H,W] (any rank from 2 on), labels i32 [N]; not owned.
 * A u8 pixel x becomes (x/255 - mean[c]) / std[c], an f32 pixel (x - mean[c]) / std[c]; c is axis 1. */
typedef struct tern_samples {
    tern_tensor images, labels;
    int classes;
    double mean[8], std[8]; /* of channels; std 0 means 1 */
    tern_tensor targets;    /* f32 [N,K]: regression, labels are not looked at; no data: classes */
    tern_tensor units;      /* f32 [K]: an error of each that counts as 1 */
    tern_tensor places;     /* f32 [N,2]: where the first targets stand; no data: nowhere */
} tern_samples;
/* The training split of a data set, or its test split, as a view of it. */
tern_samples tern_samples_of(const tern_dataset *dataset, bool train);
/* Targets of a sample; 0: classes. */
int tern_target_count(const tern_samples *samples);

/* Batches in a reproducible random order with augmentation, prepared by a thread of its own while the caller computes. */
typedef struct tern_loader tern_loader;
typedef struct tern_loader_options {
    int batch;
    bool shuffle, flip; /* flip: mirror left-right with probability 1/2 */
    int crop;           /* pad by this many pixels, then cut at a random place; 0: none */
    bool time_first;    /* samples are clips [T,..]: the batch is [T,batch,..] */
    bool drop_last;     /* leave out the last, smaller batch; else it is filled with label -1 */
    uint64_t seed;
} tern_loader_options;
typedef struct tern_batch {
    float *images;   /* [batch,C,H,W]; time_first: [T,batch,C,H,W] */
    int32_t *labels; /* [batch]; -1 behind the last sample */
    float *targets;  /* [batch,K], as they are; NULL: there are none */
    uint32_t *index; /* [batch]: which samples */
    int count;       /* samples that are real */
} tern_batch;
tern_status tern_loader_open(tern_loader **loader, const tern_samples *samples,
                             const tern_loader_options *options);
void tern_loader_close(tern_loader *loader);
int tern_loader_batches(const tern_loader *loader);
/* Begin an epoch: its order and augmentation depend on (seed, epoch) only; `first` batches are skipped. */
void tern_loader_begin(tern_loader *loader, int epoch, int first);
/* The next batch, valid until the next call; NULL at the end of the epoch. */
const tern_batch *tern_loader_next(tern_loader *loader);

/* ---- a net, ready to run ---------------------------------------------------------------------------------------- */

typedef enum tern_optimiser { TERN_SGD, TERN_ADAM, TERN_ADAMW, TERN_AMSGRAD } tern_optimiser;
typedef enum tern_schedule {
    TERN_CONSTANT_RATE,
    TERN_STEP_RATE,
    TERN_COSINE_RATE,
    TERN_MILESTONE_RATE
} tern_schedule;

#define TERN_MILESTONES 8

/* How a spiking net learns through time: all steps at once, or each as soon as it has run (rule.h). */
typedef enum tern_rule { TERN_BPTT, TERN_SLTT, TERN_SLTT_K } tern_rule;

/* What regression makes smaller: the mean of ((y - target) / unit)^2; each of them times the larger of y and target, so that large
 * ones count (below 0: nothing); or how far the first targets, shares that stand at places, are moved (error.h). */
typedef enum tern_error { TERN_SQUARED_ERROR, TERN_WEIGHED_ERROR, TERN_TRANSPORT_ERROR } tern_error;

typedef struct tern_recipe {
    tern_rule rule;
    int chosen;    /* SLTT_K: steps of a batch that learn */
    double square; /* SLTT, SLTT_K: share of the squared distance of the logits to 1 in the loss */
    tern_optimiser optimiser;
    bool nesterov;                /* of sgd: look ahead along the velocity */
    double rate, momentum, decay; /* decay acts on weights of rank >= 2 only, not on biases and norms */
    tern_schedule schedule;
    double warmup;      /* epochs of linear growth from 0 */
    int step_epochs;    /* STEP_RATE: every so many epochs .. */
    double step_factor; /* .. the rate is multiplied by this; MILESTONE_RATE: at each milestone */
    double milestones[TERN_MILESTONES]; /* shares of all epochs, rising; 0 ends */
    double smoothing;
    int epochs, batch;
    bool flip;
    int crop;
    double delta_rate;  /* of the penalty on what delta layers let change over time; .. */
    double delta_until; /* .. after so many epochs (0: never) .. */
    double delta_later; /* .. it is this */
    bool delta_values;  /* the penalty is on their values instead (L1): the baseline */
    int targets;        /* K of regression, whose loss is an error of y and targets; 0: cross-entropy */
    tern_error error;
    const tern_tensor *places; /* TERN_TRANSPORT_ERROR: where the first targets stand, f32 [N,2] */
    int norm_samples; /* after each epoch norms take their statistics anew from so many samples; 0: running ones */
    int patience; /* stop after so many epochs without a better test accuracy; 0: never */
    uint64_t seed;
} tern_recipe;

/* Defaults that suit the zoo. */
tern_recipe tern_recipe_default(void);
/* The same for a net, where there is no choice: nets of 16 bits learn by plain gradient descent, a sample at a time. */
tern_recipe tern_recipe_of(const tern_net *net);
/* Learning rate at a point of training, in epochs (fractions count). */
double tern_recipe_rate(const tern_recipe *recipe, double epoch);
/* Whether there is a penalty of delta layers at any time, and its weight in the step that ends at a point of training. */
bool tern_recipe_penalises(const tern_recipe *recipe);
double tern_recipe_penalty(const tern_recipe *recipe, double epoch);

/* A net planned for one batch size, to train or to infer.  Input "image" [B,..], output "logits" [B,K]; to train, also
 * input "labels" [B] (regression: "targets" [B,K] and, but for transport, "weights" [K], 1 / unit) and output "loss" [1].  To train with a rule of one step at a time, clips are laid out [T,B,..], and
 * SLTT-K has the input "mask" [T].  A recipe that penalises has the input "penalty" [1], its weight.  The store must outlive the model. */
typedef struct tern_model {
    const tern_net *net;
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    int batch;
} tern_model;
tern_status tern_model_open(tern_model *model, const tern_net *net, const void *parameters,
                            const tern_shape *sample, int batch, const tern_recipe *recipe, tern_store *store,
                            tern_pool *pool);
/* To infer, with norms that take the statistics of the batch and leave those in the store as the running ones. */
tern_status tern_model_open_statistics(tern_model *model, const tern_net *net, const void *parameters,
                                       const tern_shape *sample, int batch, tern_store *store,
                                       tern_pool *pool);
/* The same by other options of planning. */
tern_status tern_model_open_planned(tern_model *model, const tern_net *net, const void *parameters,
                                    const tern_shape *sample, int batch, const tern_recipe *recipe,
                                    const tern_plan_options *options, tern_store *store, tern_pool *pool);
void tern_model_close(tern_model *model);
/* Frames of a clip [T,C,H,W] that a net of images takes one by one; 1 for what it takes whole. */
int tern_model_frames(const tern_net *net, const tern_shape *sample);
/* The inference graph alone, with passes applied: for cost and show.  The caller closes it. */
tern_status tern_model_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                             const tern_shape *sample, int batch, uint64_t seed);

/* The same with element-wise operators one by one, as passes expect them. */
tern_status tern_model_plain_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                                   const tern_shape *sample, int batch, uint64_t seed);

/* One time step of it: frame [B,..] in, membranes kept as states, logits of this step out. */
tern_status tern_model_step_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                                  const tern_shape *frame, int batch, uint64_t seed);

/* Steps T of a spiking net; 0: it has none.  And whether samples of this shape are clips [T,..] of its frames. */
int tern_net_steps(const tern_net *net, const void *parameters);
bool tern_net_sees_clip(const tern_net *net, const tern_shape *sample);

/* The same for one training step: loss, gradients and updates. */
tern_status tern_model_training_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                                      const tern_shape *sample, int batch, const tern_recipe *recipe);

/* ---- evaluation ---------------------------------------------------------------------------------------------------- */

/* What one spiking layer did, per sample. */
typedef struct tern_layer_activity {
    const char *layer; /* label; belongs to the evaluation */
    double neurons;    /* B excluded */
    double spikes;     /* per neuron, all T steps together */
    double density;    /* spikes per neuron and step */
} tern_layer_activity;

/* What one layer computed, per sample: measured, not assumed. */
typedef struct tern_layer_work {
    const char *layer;
    tern_work work;
    double seconds; /* measured here */
} tern_layer_work;

/* Of one target: root of the mean squared error and mean error, in its own measure, and the unit that both are judged by. */
typedef struct tern_target_error {
    double rms, mean, unit;
} tern_target_error;

/* accuracy: of regression the share of the targets' variance that is explained. */
typedef struct tern_evaluation {
    double accuracy, loss, seconds;
    tern_target_error *targets; /* [classes] of regression; else NULL */
    int samples, classes;
    int64_t *confusion; /* [classes, classes]: row true, column predicted */
    int32_t *predicted; /* [samples] */
    float *logits;      /* [samples, classes] */
    tern_layer_activity *activity;
    int activity_count;
    tern_layer_work *layers;
    int layer_count;
    double spikes_per_neuron; /* mean over all spiking neurons */
    tern_work work;           /* per sample, the sum of layers */
    tern_arena arena;         /* names */
} tern_evaluation;

/* Run a net over a split; work is counted over the first `counted` samples (0: not).  Free with tern_evaluation_free. */
tern_status tern_evaluate(tern_evaluation *evaluation, const tern_net *net, const void *parameters,
                          const tern_samples *samples, int batch, int counted, tern_store *store,
                          tern_pool *pool);
void tern_evaluation_free(tern_evaluation *evaluation);

/* What the next stage of a training begins with: every tensor of a store but the moments of its optimiser. */
tern_status tern_hand_over(const tern_store *from, tern_store *to);

/* What a net with depthwise convolutions learned, as the store of NET-regroup (`net`): new taps are 0, so that it computes
 * the same (by the operators' definitions bit by bit; fast kernels sum in another order) and learns from there. */
tern_status tern_regroup_store(const tern_store *from, const tern_net *net, const void *parameters,
                               const tern_shape *sample, tern_store *to);

/* ---- conversion to spikes -------------------------------------------------------------------------------------------- */

/* Value number 1 + round(percentile/100 (n - 1)) of n >= 1 values in rising order, halves to even; moves them about. */
float tern_percentile(float *values, int64_t n, double percentile);

/* Sets the threshold of each layer of neurons, in their order, to the percentile of the currents into it: over all its
 * neurons and `images` samples, the highest of `steps` time steps, with the thresholds before it set already; 0.1 where
 * that is 0. */
typedef struct tern_calibration {
    const tern_net *net;
    const void *parameters; /* of more than one time step */
    const tern_shape *sample;
    const float *batch; /* [images, sample..] */
    int images, steps;
    double percentile;
} tern_calibration;
tern_status tern_calibrate_thresholds(const tern_calibration *calibration, tern_store *store,
                                      tern_pool *pool);

/* A trained net of ReLUs (store `from`) becomes its spiking form (an empty store `to`): norms are part of the weights,
 * thresholds are calibrated, leaks are 1.  The two forms are one net of the zoo under two sets of parameters, with equal
 * names of layers. */
typedef struct tern_conversion {
    const tern_net *net;
    const void *parameters, *spiking; /* of the two forms; the spiking one of more than one time step */
    const tern_samples *samples;      /* calibration takes `images` of them */
    int images, steps;
    double percentile;
    uint64_t seed;
} tern_conversion;
tern_status tern_convert(const tern_conversion *conversion, tern_store *from, tern_store *to,
                         tern_pool *pool);

/* ---- conversion to bytes ---------------------------------------------------------------------------------------------- */

/* What a trained net NET or NET-qat (store `from`) becomes in bytes: the store of NET-int8 (`to`, empty).  Ranges of activations are those of
 * `images` samples in a random order.  formats, unless NULL, is called for each activation that has one. */
typedef struct tern_int8_conversion {
    const tern_net *net, *int8;
    const void *parameters, *int8_parameters; /* of either */
    const tern_samples *samples;
    int images;
    uint64_t seed;
    tern_calibrator calibrator;
    double percentile; /* of TERN_PERCENTILE */
    void (*formats)(void *context, const char *layer, const tern_range *range,
                    const tern_int8_format *format);
    void *context;
} tern_int8_conversion;
tern_status tern_convert_int8(const tern_int8_conversion *conversion, tern_store *from, tern_store *to,
                              tern_pool *pool);

/* ---- learning in bytes -------------------------------------------------------------------------------------------------- */

/* One training step of a net in bytes (tern_pass_int8_learn), planned as a board runs it, by the operators' definitions.  The
 * store must outlive it; weights in it change by whole numbers. */
typedef struct tern_int8_stepper {
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    tern_store *store;
    float rate;
    int32_t step;
} tern_int8_stepper;
tern_status tern_int8_stepper_open(tern_int8_stepper *stepper, const tern_net *net, const void *parameters,
                                   const tern_shape *sample, int batch, const tern_int8_update_plan *update,
                                   tern_store *store, tern_pool *pool);
/* images [batch,..] f32, labels [batch]; outputs "logits" and "loss" of the session are valid until the next step.  With rate
 * 0 nothing changes. */
tern_status tern_int8_step(tern_int8_stepper *stepper, const float *images, const int32_t *labels,
                           double rate);
void tern_int8_stepper_close(tern_int8_stepper *stepper);
/* The same graph and program without a store: for plans. */
tern_status tern_int8_step_program(tern_graph **graph, tern_program **program, const tern_net *net,
                                   const void *parameters, const tern_shape *sample, int batch,
                                   const tern_int8_update_plan *update);

/* The parameters of a trained net of floats, norms folded in, rounded into those of its form in 16 bits. */
tern_status tern_convert_half(const tern_net *net, const void *parameters, const tern_half_parameters *how,
                              const tern_shape *sample, tern_store *from, tern_store *to, tern_pool *pool);

/* Steps of gradient descent over epochs, with a cosine rate behind a tenth of linear growth; then the test split, if there is
 * one.  Bits depend on the seed, not on threads. */
typedef struct tern_int8_learning {
    const tern_net *net; /* in bytes */
    const void *parameters;
    tern_int8_update_plan update;
    const tern_samples *train, *test;
    double rate;
    int epochs, batch;
    uint64_t seed;
    bool quiet;
} tern_int8_learning;
typedef struct tern_int8_learned {
    double first_loss, last_loss; /* means over the first and the last epoch */
    double test_loss, test_accuracy;
    uint64_t steps;
} tern_int8_learned;
tern_status tern_int8_learn(const tern_int8_learning *learning, tern_store *store, tern_pool *pool,
                            tern_int8_learned *learned);

/* ---- training -------------------------------------------------------------------------------------------------------- */

/* What is known after an epoch. */
typedef struct tern_epoch {
    int epoch; /* from 1 */
    double train_loss, train_accuracy, test_loss, test_accuracy;
    double images_per_second, spikes_per_neuron, seconds, rate;
} tern_epoch;

/* Where training stands; with the store, all that a resumed run needs to continue bit by bit. */
typedef struct tern_progress_state {
    int epoch, batch; /* next batch of which epoch (from 0) */
    uint64_t steps;   /* updates done */
    double best;      /* best test accuracy so far */
    int since_best;   /* epochs since then */
    double loss_sum;  /* of the running epoch */
    int64_t correct, seen;
    double seconds; /* of training so far */
} tern_progress_state;

/* Called after each epoch (epoch != NULL) and every few seconds in between (epoch NULL): save, draw, decide to stop by
 * returning something else than TERN_OK (TERN_INTERRUPTED ends training cleanly). */
typedef tern_status tern_train_hook(void *context, const tern_progress_state *state, const tern_epoch *epoch);

/* Training in windows of layers: parameters, and what the optimiser keeps beside them, come from the store and go back to it. */
typedef struct tern_training_window {
    int window,
        moved; /* layers that are in fast memory, and how many come at once (run/pager.h); 0: by `memory` */
    bool slack;
    double memory; /* bytes of fast memory: arena, layers, and what is in no layer; 0: no limit */
} tern_training_window;

/* What it took. */
typedef struct tern_training_memory {
    tern_pager_report layers; /* .layers 0: there were no windows */
    double arena, rest;       /* bytes; rest: of the store, in no layer */
} tern_training_memory;

typedef struct tern_training {
    const tern_net *net;
    const void *parameters;
    tern_recipe recipe;
    const tern_samples *train, *test; /* test may be NULL */
    tern_training_window window;
    tern_training_memory *memory; /* where it is told what that took; NULL: nowhere */
    double max_seconds;           /* stop after the epoch or batch in which this is passed; 0: never */
    bool quiet;
    tern_train_hook *hook;
    void *context;
} tern_training;

/* Train from `state` (zero: from the start) on; parameters and moments are in the store. */
tern_status tern_train(const tern_training *training, tern_progress_state *state, tern_store *store,
                       tern_pool *pool);

/* The cosine between the gradients of SLTT and BPTT of each weight tensor (rank 2 and more; not a number where one of them
 * is zero), and the mean of those, for the first batch of `training` with the parameters of `store`, which stays as it is.
 * The net must spike.  Free with tern_cosines_free. */
typedef struct tern_cosine {
    const char *weight;
    double cosine;
} tern_cosine;
typedef struct tern_cosines {
    tern_cosine *items;
    int count;
    double mean;
    tern_arena arena;
} tern_cosines;
tern_status tern_gradient_cosines(tern_cosines *cosines, const tern_training *training,
                                  const tern_store *store, tern_pool *pool);
void tern_cosines_free(tern_cosines *cosines);

#endif
