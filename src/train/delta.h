/* Inference by changes: a net with delta activation layers sees a clip frame by frame, and multiplies what has changed. */
#ifndef TERN_TRAIN_DELTA_H
#define TERN_TRAIN_DELTA_H

#include "quant/quant.h"
#include "train/train.h"

/* What one product did, summed over frames and over the clips of a batch. */
typedef struct tern_delta_layer {
    const char *layer, *delta; /* labels of the product and of the delta layer that it reads */
    double neurons;            /* that it reads, of one frame */
    double levels;             /* of them not zero: spatial density is levels / (neurons frames) */
    double changes;            /* that have changed; in the first frame of a clip, that are not zero */
    double dense, spatial,
        needed;             /* multiplications of all, of values not zero, of changes: sums of fan-out */
    double multiplications; /* that the kernel executed */
    double state_bytes;     /* levels and sums, of one clip */
} tern_delta_layer;

typedef struct tern_delta_net tern_delta_net;
typedef struct tern_delta_net_options {
    int batch; /* clips side by side */
    tern_delta_form form;
    int resync;   /* begin anew every so many frames: drift of float sums ends there; 0: never */
    bool measure; /* count what is sparse; costs a pass over the states */
} tern_delta_net_options;

/* Plans a net for frames [C,H,W].  The store must outlive it; pool may be NULL. */
tern_status tern_delta_open(tern_delta_net **delta, const tern_net *net, const void *parameters,
                            const tern_shape *frame, const tern_delta_net_options *options, tern_store *store,
                            tern_pool *pool);
void tern_delta_close(tern_delta_net *delta);

void tern_delta_restart(tern_delta_net *delta); /* the next frame begins a clip */
/* The next frame of each clip, [batch,C,H,W] -> logits [batch,*classes], the net's own, valid until the next call. */
tern_status tern_delta_frame(tern_delta_net *delta, const float *frame, const float **logits, int *classes);

/* Layers in the order of the graph, and frames (times batch) seen so far.  Counts stay 0 without `measure`, but for
 * multiplications. */
const tern_delta_layer *tern_delta_layers(const tern_delta_net *delta, int *count, double *frames);
void tern_delta_clear(tern_delta_net *delta); /* of all counts */
const tern_program *tern_delta_program(const tern_delta_net *delta);
tern_session *tern_delta_session(tern_delta_net *delta);

/* The graph alone, for cost and plan; the caller closes it. */
tern_status tern_delta_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                             const tern_shape *frame, int batch, const tern_delta_form *form);

/* ---- whole clips --------------------------------------------------------------------------------------------------- */

/* The largest batch up to 16 that divides a number of samples. */
int tern_delta_batch(int64_t samples);
/* Images [N,C,H,W] or clips [N,T,C,H,W] frame by frame, as many as a multiple of the batch; a clip's class is that of the
 * highest mean softmax over its frames. */
tern_status tern_delta_evaluate(tern_delta_net *delta, const tern_samples *samples, double *accuracy);
/* Pixels first.. of one frame [C,H,W] of `images` as the net takes them: u8 as x/255, less the mean, over the deviation. */
void tern_normalise_frame(const tern_tensor *images, int64_t first, const tern_samples *like, float *out);
void tern_add_softmax(const float *logits, int classes, double *sums); /* sums += softmax(logits) */

#endif
