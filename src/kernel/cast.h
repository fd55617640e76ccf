/* cast: between f32 and the other formats, many elements at a time. */
#ifndef TERN_KERNEL_CAST_H
#define TERN_KERNEL_CAST_H

#include "kernel/kernel.h"

/* Whether there is a loop from one format to the other: f32 to and from f16, bf16, i32, i16, i8, u8 and bit. */
bool tern_cast_has_loop(tern_dtype from, tern_dtype to);

/* n elements.  Rounds to nearest even; integers saturate and NaN becomes 0; bits are 1 where x is not 0. */
void tern_cast_loop(tern_pool *pool, int64_t n, tern_dtype from, const void *x, tern_dtype to, void *y);

/* The inner loops: [format that is not f32]. */
typedef void tern_cast_piece(int64_t n, const void *x, void *y);
typedef struct tern_casts {
    tern_cast_piece *to_f32[TERN_DTYPES], *from_f32[TERN_DTYPES];
} tern_casts;

#endif
