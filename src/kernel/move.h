/* move: elements in other places, in runs of bytes. */
#ifndef TERN_KERNEL_MOVE_H
#define TERN_KERNEL_MOVE_H

#include "kernel/kernel.h"

/* `rows` runs of `bytes`, from_step and to_step bytes apart. */
void tern_copy_rows(tern_pool *pool, int64_t rows, int64_t bytes, const void *from, int64_t from_step,
                    void *to, int64_t to_step);

/* y[i] = row index[i] of a table of `count` rows of `bytes`, zeros where there is none. */
void tern_pick_rows(tern_pool *pool, int64_t n, const int32_t *index, const void *table, int64_t count,
                    int64_t bytes, void *y);

/* y [planes, columns, rows] = x [planes, rows, columns], f32. */
void tern_transpose(tern_pool *pool, int64_t planes, int64_t rows, int64_t columns, const float *x, float *y);

#endif
