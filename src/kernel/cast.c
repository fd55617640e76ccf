/* Conversions in tasks of a fixed size. */
#include "kernel/cast.h"
#include "kernel/table.h"

#define PIECE 16384 /* elements of a task: whole words of bits */

static tern_cast_piece *piece_of(tern_dtype from, tern_dtype to)
{
    const tern_casts *casts = tern_kernels_get()->casts;
    if (to == TERN_F32) return casts->to_f32[from];
    return from == TERN_F32 ? casts->from_f32[to] : NULL;
}

bool tern_cast_has_loop(tern_dtype from, tern_dtype to)
{
    return piece_of(from, to) != NULL;
}

typedef struct cast_job {
    int64_t n, bits_in, bits_out; /* bits of an element */
    const char *x;
    char *y;
    tern_cast_piece *piece;
} cast_job;

static void cast_task(void *context, int64_t task, int thread)
{
    const cast_job *j = context;
    int64_t at = task * PIECE, count = j->n - at < PIECE ? j->n - at : PIECE;
    (void)thread;
    j->piece(count, j->x + at * j->bits_in / 8, j->y + at * j->bits_out / 8);
}

static int64_t bits_of(tern_dtype dtype)
{
    static const int64_t bits[TERN_DTYPES] = {
        [TERN_F32] = 32, [TERN_F16] = 16, [TERN_BF16] = 16, [TERN_F64] = 64, [TERN_I32] = 32,
        [TERN_I16] = 16, [TERN_I8] = 8,   [TERN_U8] = 8,    [TERN_BIT] = 1};
    return bits[dtype];
}

void tern_cast_loop(tern_pool *pool, int64_t n, tern_dtype from, const void *x, tern_dtype to, void *y)
{
    cast_job job = {n, bits_of(from), bits_of(to), x, y, piece_of(from, to)};
    tern_pool_run(pool, (n + PIECE - 1) / PIECE, cast_task, &job);
}
