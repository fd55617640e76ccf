/* space: which family of vision transformers to train, found by small steps (MCUFormer, Liang et al., NeurIPS 2023,
 * arXiv 2310.16898): families differ in the rank of their layers and in the size of their patches. */
#ifndef TERN_SEARCH_SPACE_H
#define TERN_SEARCH_SPACE_H

#include "base/base.h"

/* A family that was tried. */
typedef struct tern_space_point {
    double rank, patch; /* share of D, pixels */
    double accuracy;    /* per cent: the mean of its largest net's and of an average one's */
    double share;       /* of its nets that keep to the memory, 0 .. 1 */
} tern_space_point;

/* Where ranks and patches may be, and how far apart; the paper's are 0.4 .. 0.95 by 0.05 and 16 .. 32 by 4. */
typedef struct tern_space_limits {
    double rank_low, rank_high, rank_step, patch_low, patch_high, patch_step;
} tern_space_limits;

/* Planes over rank and patch, constant first, and the step that follows from their slopes. */
typedef struct tern_space_step {
    double error[3];  /* 100 - accuracy */
    double memory[3]; /* 1 - share */
    double rank, patch;
} tern_space_step;

/* The step from (rank, patch): least-squares planes through the five nearest of points[count] (of equal distances the earlier),
 * of whose slopes a1, a2 of the error and b1, b2 of the memory the steps are (floor(a1/10) + floor(b1/0.2)) rank_step and
 * (floor(a2/20) + floor(b2/2)) patch_step, within the limits.  TERN_FAILED where fewer than three points, or points on a line,
 * determine no plane. */
tern_status tern_space_evolve(const tern_space_point *points, int count, const tern_space_limits *limits,
                              double rank, double patch, tern_space_step *step);

/* Bytes of a net by the authors' formula, which counts tokens, a hidden layer and a factor of one weight:
 * D [((image/patch)^2 + 1) (1 + m) + D m rank], m the largest of the blocks. */
double tern_space_bytes(double D, double m, double rank, double image, double patch);

#endif
