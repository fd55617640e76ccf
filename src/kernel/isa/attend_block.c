/* Many queries that read the same keys and values: one a lane, so that nothing is summed across lanes.  Rows are taken 32 at a time
 * from multiples of 32 on, whatever queries stand side by side; otherwise as in attend.c. */
#include "kernel/attend.h"

#include "kernel/isa/math.h"

#include "tensor/tensor.h"

enum { ROWS = 32, WIDTH = TERN_ATTENTION_WIDTH, HIDDEN = -1000000000 };

typedef struct block_of_queries {
    _Alignas(64) float q[WIDTH * TERN_LANES], y[WIDTH * TERN_LANES]; /* [width][lane] */
    float rows[ROWS * WIDTH]; /* of keys or values, where they are halves */
    float weights[ROWS * TERN_LANES];
    vi first, last; /* row that each lane sees; last < first: none */
    vf most, sum;
} block_of_queries;

/* n rows from row c on as floats, and the step from one to the next. */
TERN_INLINE const float *floats_of(const tern_attention *a, const void *cache, int64_t c, int64_t group,
                                   int n, float *buffer, int64_t *step)
{
    int64_t pitch = a->groups * a->width, at = c * pitch + group * a->width;
    *step = a->format == TERN_F16 ? a->width : pitch;
    if (a->format == TERN_F32) return (const float *)cache + at;
    for (int j = 0; j < n; j++) {
        const uint16_t *from = (const uint16_t *)cache + at + j * pitch;
        float *to = buffer + j * a->width;
        int64_t i = 0;
#if defined(__F16C__)
        for (; i + 8 <= a->width; i += 8)
            _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
#endif
        for (; i < a->width; i++) to[i] = tern_f16_to_f32(from[i]);
    }
    return buffer;
}

/* *p in all lanes, by one load. */
TERN_INLINE vf spread(const float *p)
{
#if defined(__AVX512F__)
    return (vf)_mm512_set1_ps(*p);
#elif defined(__AVX2__)
    return (vf)_mm256_set1_ps(*p);
#else
    return tern_all(*p);
#endif
}

/* s[i] = the products of all queries with `count` rows, count <= 8 */
TERN_INLINE void dots(const block_of_queries *b, const float *row, int64_t step, int64_t width,
                      const int count, vf s[8])
{
    TERN_UNROLL for (int i = 0; i < count; i++) s[i] = tern_all(0);
    for (int64_t d = 0; d < width; d++) {
        vf q = tern_load(b->q + d * TERN_LANES);
        TERN_UNROLL for (int i = 0; i < count; i++) s[i] = tern_fma(q, spread(row + i * step + d), s[i]);
    }
}

/* Scaled scores of rows c .. c + n - 1, and the largest so far in each lane. */
TERN_INLINE vf score_rows(const tern_attention *a, block_of_queries *b, const float *rows, int64_t step,
                          int64_t c, int n)
{
    vf most = b->most;
    for (int j = 0; j < n; j += 8) {
        int count = n - j < 8 ? n - j : 8;
        vf s[8];
        if (count == 8)
            dots(b, rows + j * step, step, a->width, 8, s);
        else
            for (int i = 0; i < count; i++) dots(b, rows + (j + i) * step, step, a->width, 1, s + i);
        for (int i = 0; i < count; i++) {
            vf score = s[i] * tern_all(a->scale);
            if (a->cap > 0) score = tern_all(a->cap) * tern_tanh_of(score * tern_all(1 / a->cap));
            vi row = (vi){0} + (int32_t)(c + j + i);
            score = tern_choose((row < b->first) | (row > b->last), tern_all(HIDDEN), score);
            tern_store(b->weights + (j + i) * TERN_LANES, score);
            most = tern_choose(score > most, score, most);
        }
    }
    return most;
}

/* Columns d .. d + count - 1 of y = y keep + the sum of weights times rows of values */
TERN_INLINE void add_columns(block_of_queries *b, const float *rows, int64_t step, int64_t d, const int count,
                             int n, vf keep)
{
    vf y[8];
    TERN_UNROLL for (int i = 0; i < count; i++) y[i] = tern_load(b->y + (d + i) * TERN_LANES) * keep;
    for (int j = 0; j < n; j++) {
        vf w = tern_load(b->weights + j * TERN_LANES);
        TERN_UNROLL for (int i = 0; i < count; i++) y[i] = tern_fma(w, spread(rows + j * step + d + i), y[i]);
    }
    TERN_UNROLL for (int i = 0; i < count; i++) tern_store(b->y + (d + i) * TERN_LANES, y[i]);
}

static void take_rows(const tern_attention *a, block_of_queries *b, int64_t group, int64_t c, int n)
{
    int64_t step, d = 0;
    const float *rows = floats_of(a, a->k, c, group, n, b->rows, &step);
    vf most = score_rows(a, b, rows, step, c, n), keep = tern_exp_of(b->most - most), part = tern_all(0);
    for (int j = 0; j < n; j++) {
        vf e = tern_exp_of(tern_load(b->weights + j * TERN_LANES) - most);
        tern_store(b->weights + j * TERN_LANES, e);
        part += e;
    }
    b->sum = b->sum * keep + part;
    b->most = most;
    rows = floats_of(a, a->v, c, group, n, b->rows, &step);
    for (; d + 8 <= a->width; d += 8) add_columns(b, rows, step, d, 8, n, keep);
    for (; d < a->width; d++) add_columns(b, rows, step, d, 1, n, keep);
}

void TERN_FOR_ISA(tern_attention_block)(const tern_attention *a, int64_t group, int64_t block)
{
    block_of_queries b;
    int64_t per = a->heads / a->groups, all = a->queries * per, from = block * TERN_LANES, low = a->rows,
            high = -1;
    int count = all - from < TERN_LANES ? (int)(all - from) : TERN_LANES;
    for (int l = 0; l < TERN_LANES; l++) {
        int64_t query = (from + l) / per, head = group * per + (from + l) % per;
        int64_t last = l >= count ? -1 : a->positions[query] < a->rows ? a->positions[query] : a->rows - 1;
        int64_t first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
        for (int64_t d = 0; d < a->width; d++) {
            b.q[d * TERN_LANES + l] = l < count ? a->q[(query * a->heads + head) * a->width + d] : 0;
            b.y[d * TERN_LANES + l] = 0;
        }
        b.first[l] = (int32_t)first;
        b.last[l] = (int32_t)last;
        if (last >= 0 && first < low) low = first;
        if (last > high) high = last;
    }
    b.most = tern_all(HIDDEN);
    b.sum = tern_all(0);
    /* Rows that a lane does not see weigh 0 or, before the first that it sees, are forgotten with the factor 0. */
    for (int64_t c = low / ROWS * ROWS; c <= high; c += ROWS)
        take_rows(a, &b, group, c, high - c + 1 < ROWS ? (int)(high - c + 1) : ROWS);
    for (int l = 0; l < count; l++) {
        int64_t query = (from + l) / per, head = group * per + (from + l) % per;
        bool none = b.last[l] < b.first[l];
        float share = 1 / b.sum[l];
        for (int64_t d = 0; d < a->width; d++)
            a->y[(query * a->heads + head) * a->width + d] = none ? 0 : b.y[d * TERN_LANES + l] * share;
    }
}
