/* Nets in fixed point: binary points from data, and how wide sums become. */
#ifndef TERN_TRAIN_FIXED_H
#define TERN_TRAIN_FIXED_H

#include "quant/quant.h"
#include "train/train.h"

/* The binary points of NET-qfx from what its casts see when nothing is rounded: of weights and scales the largest magnitude
 * just fits, of activations the percentile (99.9) over the first `images` training samples.  The store has the net's other
 * parameters; its points are made or overwritten. */
typedef struct tern_fixed_calibration {
    const tern_net *net; /* with casts */
    const void *parameters;
    const tern_samples *samples;
    int images;
    double percentile;
    uint64_t seed;
} tern_fixed_calibration;
tern_status tern_fixed_calibrate(const tern_fixed_calibration *calibration, tern_store *store,
                                 tern_pool *pool);

/* Bits, with the sign, that the sums of a layer of NET-fixed can need, whatever it is shown: from its weights. */
typedef struct tern_fixed_width {
    const char *layer; /* belongs to the widths */
    int bits;
} tern_fixed_width;
typedef struct tern_fixed_widths {
    tern_fixed_width *layers;
    int count;
    tern_arena arena;
} tern_fixed_widths;
/* Fails where sums need more than 25 bits, which training in f32 has not added up exactly.  Free with the arena. */
enum { TERN_FIXED_EXACT_BITS = 25 };
tern_status tern_fixed_measure(tern_fixed_widths *widths, const tern_net *net, const void *parameters,
                               const tern_shape *sample, tern_store *store, tern_pool *pool);

#endif
