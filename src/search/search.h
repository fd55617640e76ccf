/* search: nets compared by several objectives at once, on a machine and on data. */
#ifndef TERN_SEARCH_H
#define TERN_SEARCH_H

#include "train/train.h"

/* ---- Pareto archive --------------------------------------------------------------------------------------------- */

#define TERN_OBJECTIVES 8

/* What is known of one candidate. */
typedef struct tern_pareto_point {
    double value[TERN_OBJECTIVES];
    int item; /* the caller's number for it */
} tern_pareto_point;

/* Points of which none is dominated by another that was added; equal ones are kept. */
typedef struct tern_pareto {
    int objectives;
    bool largest[TERN_OBJECTIVES]; /* whether more is better */
    tern_pareto_point *points;     /* in the order of adding */
    int count, capacity;
} tern_pareto;

/* Whether a is at least as good as b in every objective and better in one. */
bool tern_dominates(const tern_pareto *archive, const double *a, const double *b);
/* Adds a point unless one dominates it, and drops those that it dominates.  A value that is no number is dominated by all. */
tern_status tern_pareto_add(tern_pareto *archive, const double *value, int item);
bool tern_pareto_has(const tern_pareto *archive, int item);
void tern_pareto_free(tern_pareto *archive);

/* ---- sizes of groups for depthwise convolutions (DRACO, arXiv 2006.15103) ------------------------------------------- */

typedef struct tern_regroup_search {
    const tern_net *net;    /* NET-regroup */
    const void *parameters; /* of that; group and width are set for each point, on a copy */
    const char *width;      /* the parameter that scales its channels; NULL: it has none */
    tern_shape input;       /* sample on the machine */
    const tern_machine *machine;
    int most;      /* reuse-aware choice: largest group that is considered */
    double target; /* .. the smallest group with this share of the best utilisation is taken */
} tern_regroup_search;

typedef struct tern_regroup_point {
    int group;    /* 0: reuse-aware, chosen layer by layer */
    double width; /* value of the width parameter */
    tern_regroup regroup;
    int layers; /* that were depthwise */
    tern_simulation simulation;
    double convolutions; /* mean occupancy of the array over all convolutions */
    double regrouped;    /* and over those that were depthwise */
    double parameters;   /* weights, biases and norms */
    double accuracy;     /* mean over seeds; not a number: not trained */
    double lowest, highest;
} tern_regroup_point;

/* What point->group at point->width costs on the machine, reference kernels, one sample. */
tern_status tern_regroup_measure(const tern_regroup_search *search, tern_regroup_point *point);

/* The largest width in low .. high, in steps of 1/64, at which the group's multiply-accumulates (cycles: cycles of the array) are
 * at most `limit`; TERN_NO_FIT when `low` is too wide already. */
tern_status tern_regroup_match(const tern_regroup_search *search, bool cycles, double limit, double low,
                               double high, tern_regroup_point *point);

/* Trains the point from scratch with the recipe, once for each of `seeds` seeds from the recipe's on, at `share` of its width,
 * and tests it. */
tern_status tern_regroup_train(const tern_regroup_search *search, const tern_training *training, int seeds,
                               double share, tern_pool *pool, tern_regroup_point *point);

/* ---- what of a net in bytes learns on a device (Lin et al., NeurIPS 2022, arXiv 2206.15472) --------------------------- */

enum { TERN_UPDATE_SHARES = 4 }; /* 1/8, 1/4, 1/2 and all of the input channels */

/* What training a layer with weights is worth, accuracy on the test split of the learning. */
typedef struct tern_update_layer {
    char name[48];
    double bias;                       /* with the biases from this layer on, and the head, .. */
    double weight[TERN_UPDATE_SHARES]; /* .. and how much more with a share of its weights, too */
    double bias_bytes, weight_bytes[TERN_UPDATE_SHARES]; /* by the paper's formula */
} tern_update_layer;

typedef struct tern_update_analysis {
    tern_update_layer layers
        [TERN_UPDATE_LAYERS]; /* in the order of the net; the last one is the head, which always learns */
    int count;
    double head;       /* accuracy where the head alone learns */
    double head_bytes; /* of it, by the formula */
} tern_update_analysis;

/* A choice: gain over the head alone, as the analysis predicts it by adding up, and its bytes. */
typedef struct tern_update_choice {
    tern_int8_update_plan plan;
    double gain, bytes;
} tern_update_choice;

/* Contribution analysis: trains a copy of the store for the head alone, for the biases from each layer on, and for each share of
 * each layer's weights.  `done` is called after each training (or NULL); learning->update says how to round. */
tern_status tern_update_analyse(const tern_int8_learning *learning, const tern_store *store, tern_pool *pool,
                                tern_update_analysis *analysis,
                                void (*done)(void *context, int trained, int all), void *context);

/* The choice with the largest gain within a budget of bytes: exactly, a knapsack with one choice a layer, or by evolution as in
 * the paper.  TERN_NO_FIT where the head alone is too large. */
tern_status tern_update_choose(const tern_update_analysis *analysis, double budget,
                               tern_update_choice *choice);
tern_status tern_update_evolve(const tern_update_analysis *analysis, double budget, uint64_t seed,
                               tern_update_choice *choice);

#endif
