/* family: nets that share weights, trained as one, and the best of them within the RAM of a board (MCUFormer, arXiv 2310.16898;
 * AutoFormer, arXiv 2107.00651). */
#ifndef TERN_SEARCH_FAMILY_H
#define TERN_SEARCH_FAMILY_H

#include "train/train.h"

enum { TERN_FAMILY_CHOICES = 8, TERN_FAMILY_BLOCKS = 15, TERN_FAMILY_SIZES = 64 };

typedef struct tern_choices {
    double of[TERN_FAMILY_CHOICES]; /* rising */
    int count;
} tern_choices;

/* What nets of the family differ in: D and depth, and block by block heads and m (a multiple of 1/2 below 5). */
typedef struct tern_family {
    const tern_net *net, *bytes; /* mcuformer, and the same in bytes */
    const void *parameters;      /* what all have in common: rank, patch, image, classes */
    tern_shape sample;
    tern_choices D, depth, heads, m;
    double known[TERN_FAMILY_SIZES][4]; /* RAM that was planned already: D, heads, m, bytes */
    int known_count;
} tern_family;

typedef struct tern_member {
    int D, depth;
    int heads[TERN_FAMILY_BLOCKS], halves[TERN_FAMILY_BLOCKS]; /* of m */
} tern_member;

/* "vit-t", or choices "D=32,48:depth=2,3:heads=1,2:m=2,3.5"; those that are left out are what the net has. */
tern_status tern_family_open(tern_family *family, const tern_net *net, const void *parameters,
                             tern_shape sample, const char *space);
/* The parameters of a member as a net of the zoo; released with tern_net_free. */
tern_status tern_family_parameters(const tern_family *family, const tern_member *member, void **parameters);
void tern_family_largest(const tern_family *family, tern_member *member);
void tern_family_draw(const tern_family *family, tern_rng rng, uint64_t *drawn, tern_member *member);
/* "D=48 heads=12 m=3.5,2" */
void tern_member_print(const tern_member *member, tern_text *text);
bool tern_member_equal(const tern_member *a, const tern_member *b);

/* RAM of the member in bytes on a board (plan/ram.h), with blocks in place and an image that comes by rows; planned once for each D,
 * most heads and largest m. */
tern_status tern_family_ram(tern_family *family, const tern_member *member, double *bytes);
/* Share of `count` members that are drawn, which keep to `budget` bytes. */
tern_status tern_family_share(tern_family *family, double budget, int count, uint64_t seed, double *share);

/* Trains all of them: another member at each step. */
tern_status tern_family_train(const tern_family *family, const tern_training *training, tern_store *store,
                              tern_pool *pool);
tern_status tern_family_accuracy(const tern_family *family, const tern_member *member,
                                 const tern_samples *samples, tern_store *store, tern_pool *pool,
                                 double *accuracy);

/* The mean accuracy of `count` members that are drawn and keep to the budget; TERN_NO_FIT where hardly any does. */
tern_status tern_family_mean(tern_family *family, double budget, int count, uint64_t seed,
                             const tern_samples *samples, tern_store *store, tern_pool *pool, double *mean);

/* Evolution: `population` members are drawn that keep to the budget; of all that were seen the best `keep` have `mutations`
 * (choices change with probability 0.2, D and depth 0.4) and `crossovers`, the rest of a generation is drawn. */
typedef struct tern_family_search {
    const tern_samples *samples; /* by which members are judged */
    double budget;               /* bytes of RAM */
    int population, keep, mutations, crossovers, generations;
    uint64_t seed;
    void (*done)(void *context, int generation, double best); /* or NULL */
    void *context;
} tern_family_search;
typedef struct tern_found_member {
    tern_member member;
    double accuracy, bytes;
} tern_found_member;
/* TERN_NO_FIT where hardly any member keeps to the budget. */
tern_status tern_family_evolve(tern_family *family, const tern_family_search *search, tern_store *store,
                               tern_pool *pool, tern_found_member *best, int *judged);

#endif
