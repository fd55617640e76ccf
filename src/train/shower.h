/* What becomes of showers that leave a detector in few bits: the distance between true and decoded charges, and the classical encoders
 * that a learned one is held against. */
#ifndef TERN_TRAIN_SHOWER_H
#define TERN_TRAIN_SHOWER_H

#include "io/shower.h"
#include "train/train.h"

/* The earth mover's distance of two distributions of charge on the trigger cells, in cells; neither is below 0, and each is scaled to
 * sum 1 (one without charge is uniform). */
double tern_shower_distance(const float *p, const float *q);

/* Encoders in a number of bits a crossing, the sum of charges left out, which all send apart.  A charge is a float of 7 bits.
 *   best-choice    the k largest cells, each with its number (6 bits); or a bit a cell and the charges, where that is shorter
 *   threshold      all cells above a threshold, each with its number and charge; the bits are a mean over crossings
 *   super-cell     sums of 2 x 2 cells, spread evenly, of as many bits as there are: floats of up to 9 */
typedef enum tern_shower_encoder {
    TERN_BEST_CHOICE,
    TERN_THRESHOLD,
    TERN_SUPER_CELL,
    TERN_SHOWER_ENCODERS
} tern_shower_encoder;
extern const char *const tern_shower_encoder_names[TERN_SHOWER_ENCODERS];

/* The threshold whose mean bits over `count` crossings [count,48] are at most `bits`. */
double tern_shower_threshold(const float *charges, int count, int bits);
/* Charges as they arrive; *spent: bits. */
void tern_shower_encode(tern_shower_encoder encoder, const float *charge, int bits, double threshold,
                        float *decoded, int *spent);

/* Distances of decoded crossings to true ones: the mean, the interval that holds the middle 68 %, and the means of the half whose crossings have
 * fewer cells with charge (at most the median) and of the other. */
typedef struct tern_shower_score {
    double mean, low, high, sparse, dense, bits; /* bits: sent of a crossing, in the mean */
} tern_shower_score;
tern_status tern_shower_judge(const float *charges, const float *decoded, int count, tern_pool *pool,
                              tern_shower_score *score);

/* The classical encoders at so many bits a crossing, on `count` test crossings; of the threshold, as few bits as that lets through. */
tern_status tern_shower_compare(const tern_shower_options *options, int count, int bits, tern_pool *pool,
                                tern_shower_score scores[TERN_SHOWER_ENCODERS]);

#endif
