/* Attention of queries to a cache of keys and values. */
#ifndef TERN_KERNEL_ATTEND_H
#define TERN_KERNEL_ATTEND_H

#include "kernel/kernel.h"

/* q, y [queries, heads, width] f32; k, v [rows, groups, width] in `format`: f32, f16, or q8_0 with a width of whole blocks; head h
 * reads group h / (heads / groups).  Query s sees the rows up to positions[s], of those the last `window` (0: all); one that
 * sees none gets zeros.  cap above 0: scores become cap tanh(score / cap).
 *
 * With pages (page above 0) the rows belong to many sequences: row c of sequence n is row c % page of page
 * table[n, c / page], where pages are `page` rows one behind the other; query s is of sequence owners[s].  A query of no
 * sequence, and rows of pages that are none, are left out. */
typedef struct tern_attention {
    int64_t queries, heads, width, rows, groups;
    tern_dtype format;
    float scale, cap;
    int64_t window;
    const float *q;
    const void *k, *v;
    const int32_t *positions, *owners, *table; /* [queries], [queries], [sequences, sequence_pages] */
    int64_t page, sequences, sequence_pages;
    float *y;
} tern_attention;
void tern_attention_run(tern_pool *pool, const tern_attention *attention);

/* The loops of an instruction set: one query of one head; or, for rows of at most TERN_ATTENTION_WIDTH, the block-th so many of
 * the queries that read one group, head after head for each. */
typedef void tern_attention_head(const tern_attention *attention, int64_t query, int64_t head);
typedef void tern_attention_block(const tern_attention *attention, int64_t group, int64_t block);
enum { TERN_ATTENTION_WIDTH = 256, TERN_ATTENTION_TILES = 128 };
/* Up to so many tokens of a step have the bits that each has in a step of its own, so that guesses can be checked together; with more,
 * queries stand side by side, and halves of weights go through tiles. */
enum { TERN_ALIKE = 33 };

#endif
