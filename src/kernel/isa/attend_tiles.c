/* Many queries of a prompt and the same keys and values on tiles (AMX): queries stand side by side, sixteen in a tile, and a block of
 * keys and values, once it is in the form of tiles, meets 128 of them.
 *
 * Factors are sums of bf16: a half is one of two, a float one of three.  Products of parts that are 2^-26 of the whole are left out.
 * The softmax is in f32.  Blocks begin at multiples of 64 rows, and a row that a query does not see weighs 0:
 * a query has the same bits whatever queries stand beside it.  Largest scores and sums are carried along as in attend.c. */
#include "kernel/attend.h"

#include "kernel/isa/bf16.h"
#include "kernel/isa/math.h"

#include <string.h>

#if defined(TERN_AMX)

enum {
    TILE = TERN_BF16_TILE,
    LANES = 16,               /* queries of a tile */
    BLOCKS = 128 / LANES,     /* tiles of queries in a task */
    ROWS = 64,                /* keys at once */
    KEY_TILES = ROWS / LANES, /* 16 keys each */
    VALUE_STEPS = ROWS / 32,  /* products of 32 keys */
    WIDTH = TERN_ATTENTION_WIDTH,
    MOST_STEPS = WIDTH / 32, /* products of 32 columns */
    FOURS = WIDTH / 64,      /* four tiles of 16 columns each */
    PARTS = 3,               /* of a float, the largest first */
    HIDDEN = -1000000000,
};

/* Sixteen queries, each a head of a token. */
typedef struct sixteen {
    _Alignas(64) uint16_t q[PARTS][MOST_STEPS][TILE]; /* [16 pairs of columns][query][2] */
    float y[WIDTH][LANES];
    vi first, last; /* rows that each sees; last < first: none */
    vf most, sum;
    int64_t begin, end;         /* of the rows that one of them sees, from a multiple of ROWS on */
    int64_t common, common_end; /* of those that all see */
} sixteen;

typedef struct rows_of_cache {
    _Alignas(64) uint16_t k[2][KEY_TILES][MOST_STEPS][TILE]; /* [16 keys][32 columns] */
    uint16_t v[2][4 * FOURS][VALUE_STEPS][TILE];             /* [16 columns][32 keys] */
    int64_t at[ROWS];                                        /* first element of a row; -1: there is none */
    bool all;                                                /* each is one */
} rows_of_cache;

typedef struct weights {
    _Alignas(64) float f32[ROWS][LANES];
    uint16_t at[PARTS][VALUE_STEPS][TILE]; /* [16 pairs of keys][query][2] */
} weights;

static int steps_of(const tern_attention *a)
{
    return (int)((a->width + 31) / 32);
}

/* Tiles of columns of values, in fours. */
static int value_tiles(const tern_attention *a)
{
    return (int)((a->width + 63) / 64 * 4);
}

/* ---- factors -------------------------------------------------------------------------------------------------------- */

TERN_INLINE __m512i halves_at(const void *cache, int64_t at, uint32_t known)
{
    return at < 0 ? _mm512_setzero_si512() : _mm512_maskz_loadu_epi16(known, (const uint16_t *)cache + at);
}

static void take_keys(const tern_attention *a, rows_of_cache *r)
{
    for (int j = 0; j < ROWS; j++)
        for (int s = 0; s < steps_of(a); s++) {
            __m512i halves =
                halves_at(a->k, r->at[j] < 0 ? -1 : r->at[j] + s * 32, first_bits(a->width - s * 32));
            __m512 low = _mm512_cvtph_ps(_mm512_castsi512_si256(halves)),
                   high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
            int to = j % LANES * 32;
            _mm512_store_si512(r->k[0][j / LANES][s] + to, take_bf16(&low, &high));
            _mm512_store_si512(r->k[1][j / LANES][s] + to, to_bf16(low, high));
        }
}

static void take_values(const tern_attention *a, rows_of_cache *r)
{
    for (int t = 0; t < value_tiles(a); t++)
        for (int s = 0; s < VALUE_STEPS; s++) {
            vf high[LANES], low[LANES];
            uint32_t known = a->width > t * 16 ? first_bits(a->width - t * 16) & 0xffff : 0;
            for (int i = 0; i < LANES; i++) {
                const int64_t *at = r->at + s * 32 + 2 * i;
                __m512i even = halves_at(a->v, at[0] < 0 ? -1 : at[0] + t * 16, known),
                        odd = halves_at(a->v, at[1] < 0 ? -1 : at[1] + t * 16, known);
                __m512 x = _mm512_cvtph_ps(_mm512_castsi512_si256(even)),
                       y = _mm512_cvtph_ps(_mm512_castsi512_si256(odd));
                high[i] = (vf)take_pairs(&x, &y);
                low[i] = (vf)take_pairs(&x, &y);
            }
            turn_pairs(high, r->v[0][t][s]);
            turn_pairs(low, r->v[1][t][s]);
        }
}

/* Queries from the first on, of `count` that read the group. */
static void take_queries(const tern_attention *a, int64_t group, int64_t from, int64_t count, sixteen *b)
{
    int64_t per = a->heads / a->groups;
    for (int s = 0; s < steps_of(a); s++) {
        vf parts[PARTS][LANES];
        uint32_t known = first_bits(a->width - s * 32);
        for (int l = 0; l < LANES; l++) {
            int64_t i = from + l < count ? from + l : from;
            const float *q = a->q + ((i / per) * a->heads + group * per + i % per) * a->width + s * 32;
            __m512 x = _mm512_maskz_loadu_ps((__mmask16)known, q),
                   y = _mm512_maskz_loadu_ps((__mmask16)(known >> 16), q + 16);
            parts[0][l] = (vf)take_bf16(&x, &y);
            parts[1][l] = (vf)take_bf16(&x, &y);
            parts[2][l] = (vf)to_bf16(x, y);
        }
        for (int i = 0; i < PARTS; i++) turn_pairs(parts[i], b->q[i][s]);
    }
    memset(b->y, 0, (size_t)value_tiles(a) * 16 * sizeof b->y[0]);
    b->most = tern_all(HIDDEN);
    b->sum = tern_all(0);
}

/* ---- one block of rows, sixteen queries ------------------------------------------------------------------------------ */

/* weights = K Q^T */
static void multiply_keys(const rows_of_cache *r, const sixteen *b, int steps, weights *w)
{
    __asm__ volatile("" : : : "memory"); /* tiles are loaded behind the compiler's back */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
#define KEYS(tile)                                                                                           \
    do {                                                                                                     \
        _tile_loadd(4, r->k[0][tile][s], 64);                                                                \
        _tile_dpbf16ps(tile, 4, 6);                                                                          \
    } while (0)
#define MORE_KEYS(tile)                                                                                      \
    do {                                                                                                     \
        _tile_loadd(4, r->k[0][tile][s], 64);                                                                \
        _tile_loadd(5, r->k[1][tile][s], 64);                                                                \
        _tile_dpbf16ps(tile, 5, 7);                                                                          \
        _tile_dpbf16ps(tile, 4, 7);                                                                          \
        _tile_dpbf16ps(tile, 5, 6);                                                                          \
        _tile_dpbf16ps(tile, 4, 6);                                                                          \
    } while (0)
    for (int s = 0; s < steps; s++) {
        _tile_loadd(6, b->q[2][s], 64);
        KEYS(0);
        KEYS(1);
        KEYS(2);
        KEYS(3);
    }
    for (int s = 0; s < steps; s++) {
        _tile_loadd(6, b->q[0][s], 64);
        _tile_loadd(7, b->q[1][s], 64);
        MORE_KEYS(0);
        MORE_KEYS(1);
        MORE_KEYS(2);
        MORE_KEYS(3);
    }
    _tile_stored(0, w->f32[0], 64);
    _tile_stored(1, w->f32[16], 64);
    _tile_stored(2, w->f32[32], 64);
    _tile_stored(3, w->f32[48], 64);
    __asm__ volatile("" : : : "memory");
}

/* y += V^T weights */
static void multiply_values(const rows_of_cache *r, const weights *w, int tiles, sixteen *b)
{
    __asm__ volatile("" : : : "memory");
#define VALUES(tile)                                                                                         \
    do {                                                                                                     \
        _tile_loadd(4, r->v[0][t + (tile)][s], 64);                                                          \
        _tile_dpbf16ps(tile, 4, 6);                                                                          \
    } while (0)
#define MORE_VALUES(tile)                                                                                    \
    do {                                                                                                     \
        _tile_loadd(4, r->v[0][t + (tile)][s], 64);                                                          \
        _tile_loadd(5, r->v[1][t + (tile)][s], 64);                                                          \
        _tile_dpbf16ps(tile, 5, 7);                                                                          \
        _tile_dpbf16ps(tile, 4, 7);                                                                          \
        _tile_dpbf16ps(tile, 5, 6);                                                                          \
        _tile_dpbf16ps(tile, 4, 6);                                                                          \
    } while (0)
    for (int t = 0; t < tiles; t += 4) {
        _tile_loadd(0, b->y[t * 16], 64);
        _tile_loadd(1, b->y[t * 16 + 16], 64);
        _tile_loadd(2, b->y[t * 16 + 32], 64);
        _tile_loadd(3, b->y[t * 16 + 48], 64);
        for (int s = 0; s < VALUE_STEPS; s++) {
            _tile_loadd(6, w->at[2][s], 64);
            VALUES(0);
            VALUES(1);
            VALUES(2);
            VALUES(3);
            _tile_loadd(6, w->at[0][s], 64);
            _tile_loadd(7, w->at[1][s], 64);
            MORE_VALUES(0);
            MORE_VALUES(1);
            MORE_VALUES(2);
            MORE_VALUES(3);
        }
        _tile_stored(0, b->y[t * 16], 64);
        _tile_stored(1, b->y[t * 16 + 16], 64);
        _tile_stored(2, b->y[t * 16 + 32], 64);
        _tile_stored(3, b->y[t * 16 + 48], 64);
    }
    __asm__ volatile("" : : : "memory");
}

/* Scaled scores of rows c ..; returns the largest so far in each lane.  all: every query sees every row. */
TERN_INLINE vf scale_scores(const tern_attention *a, const rows_of_cache *r, const sixteen *b, int64_t c,
                            const bool all, weights *w)
{
    vf most = b->most;
    for (int j = 0; j < ROWS; j++) {
        vf score = tern_load(w->f32[j]) * tern_all(a->scale);
        if (a->cap > 0) score = tern_all(a->cap) * tern_tanh_of(score * tern_all(1 / a->cap));
        vi row = (vi){0} + (int32_t)(c + j);
        if (!all) score = tern_choose((row < b->first) | (row > b->last), tern_all(HIDDEN), score);
        if (!all && r->at[j] < 0) score = tern_all(HIDDEN);
        tern_store(w->f32[j], score);
        most = tern_choose(score > most, score, most);
    }
    return most;
}

/* exp(x) for x <= 0; 0 where it is so small that a sum of at least 1 does not change, and parts of it would not be normal numbers,
 * with which processors are slow. */
TERN_INLINE vf weight_of(vf x)
{
    vi counts = x > tern_all(-50);
    return tern_choose(counts, tern_exp_of(tern_choose(counts, x, tern_all(-50))), tern_all(0));
}

/* Weights in parts, and their sum. */
static vf weigh(weights *w, vf most)
{
    vf sum = tern_all(0);
    for (int j = 0; j < ROWS; j += 2) {
        vf even = weight_of(tern_load(w->f32[j]) - most), odd = weight_of(tern_load(w->f32[j + 1]) - most);
        __m512 x = (__m512)even, y = (__m512)odd;
        int to = j % 32 / 2 * 32;
        sum += even;
        sum += odd;
        for (int i = 0; i < PARTS; i++) _mm512_store_si512(w->at[i][j / 32] + to, take_pairs(&x, &y));
    }
    return sum;
}

/* Scores become weights, and what has been summed is scaled down where a larger one has come. */
static void soften(const tern_attention *a, const rows_of_cache *r, int64_t c, sixteen *b, weights *w)
{
    bool all = r->all && c >= b->common && c + ROWS <= b->common_end;
    vf most = all ? scale_scores(a, r, b, c, true, w) : scale_scores(a, r, b, c, false, w);
    vf keep = weight_of(b->most - most);
    b->sum = b->sum * keep + weigh(w, most);
    b->most = most;
    if (_mm512_cmp_ps_mask((__m512)keep, _mm512_set1_ps(1), _CMP_NEQ_OQ))
        for (int64_t d = 0; d < a->width; d++) tern_store(b->y[d], tern_load(b->y[d]) * keep);
}

/* All queries and a block of rows, step by step: what one step has just stored a tile would wait for. */
static void meet(const tern_attention *a, const rows_of_cache *r, int64_t c, sixteen b[BLOCKS])
{
    weights w[BLOCKS];
    int which[BLOCKS], n = 0;
    for (int i = 0; i < BLOCKS; i++)
        if (c >= b[i].begin && c < b[i].end) which[n++] = i;
    for (int i = 0; i < n; i++) multiply_keys(r, &b[which[i]], steps_of(a), &w[i]);
    for (int i = 0; i < n; i++) soften(a, r, c, &b[which[i]], &w[i]);
    for (int i = 0; i < n; i++) multiply_values(r, &w[i], value_tiles(a), &b[which[i]]);
}

/* ---- a task ---------------------------------------------------------------------------------------------------------- */

/* Whose queries they are, from `query` on: their sequence, and how many. */
static int64_t same_owner(const tern_attention *a, int64_t query, int64_t end)
{
    int64_t i = query;
    while (i < end && (!a->page || a->owners[i] == a->owners[query])) i++;
    return i;
}

/* What each of the queries sees of the sequence of tokens from .. to - 1, which has so many rows; none where it is of another. */
static void see(const tern_attention *a, int64_t at, int64_t from, int64_t to, int64_t rows, sixteen *b)
{
    int64_t per = a->heads / a->groups;
    b->begin = b->common_end = rows;
    b->end = b->common = 0;
    for (int l = 0; l < LANES; l++) {
        int64_t query = (at + l) / per, last = -1;
        if (query >= from && query < to) last = a->positions[query] < rows ? a->positions[query] : rows - 1;
        int64_t first = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
        b->first[l] = (int32_t)first;
        b->last[l] = (int32_t)last;
        if (last >= b->end) b->end = last + 1;
        if (last >= first && first < b->begin) b->begin = first / ROWS * ROWS;
        if (first > b->common) b->common = first;
        if (last < b->common_end) b->common_end = last + 1;
    }
}

/* Rows c .. of a sequence, those before `end`. */
static void find_rows(const tern_attention *a, int64_t owner, int64_t group, int64_t c, int64_t end,
                      rows_of_cache *r)
{
    const int32_t *pages = a->page ? a->table + owner * a->sequence_pages : NULL;
    r->all = true;
    for (int j = 0; j < ROWS; j++, c++) {
        int64_t row = c;
        if (pages && c < end) row = pages[c / a->page] < 0 ? -1 : pages[c / a->page] * a->page + c % a->page;
        if (c >= end) row = -1;
        r->at[j] = row >= 0 && row < a->rows ? (row * a->groups + group) * a->width : -1;
        r->all &= r->at[j] >= 0;
    }
}

/* Tokens from .. to - 1, all of one sequence, among `count` queries from `at` on. */
static void meet_sequence(const tern_attention *a, int64_t group, int64_t at, int64_t from, int64_t to,
                          sixteen b[BLOCKS])
{
    rows_of_cache r;
    int64_t owner = a->page ? a->owners[from] : 0, rows = a->page ? a->sequence_pages * a->page : a->rows;
    int64_t begin = rows, end = 0;
    if (a->page && (owner < 0 || owner >= a->sequences)) return;
    for (int i = 0; i < BLOCKS; i++) {
        see(a, at + i * LANES, from, to, rows, &b[i]);
        if (b[i].begin < begin) begin = b[i].begin;
        if (b[i].end > end) end = b[i].end;
    }
    for (int64_t c = begin; c < end; c += ROWS) {
        find_rows(a, owner, group, c, end, &r);
        take_keys(a, &r);
        take_values(a, &r);
        meet(a, &r, c, b);
    }
}

static void put(const tern_attention *a, int64_t group, int64_t from, int64_t count, sixteen *b)
{
    int64_t per = a->heads / a->groups;
    vi seen = b->most > tern_all(HIDDEN);
    for (int64_t d = 0; d < a->width; d += LANES) {
        vf y[LANES];
        __mmask16 known = (__mmask16)first_bits(a->width - d < LANES ? a->width - d : LANES);
        for (int i = 0; i < LANES; i++)
            y[i] = tern_choose(seen, tern_load(b->y[d + i]) / b->sum, tern_all(0));
        tern_transpose(y);
        for (int l = 0; l < LANES && from + l < count; l++) {
            int64_t i = from + l;
            _mm512_mask_storeu_ps(a->y + ((i / per) * a->heads + group * per + i % per) * a->width + d, known,
                                  (__m512)y[l]);
        }
    }
}

void tern_attention_on_tiles(const tern_attention *a, int64_t group, int64_t block)
{
    sixteen b[BLOCKS];
    int64_t per = a->heads / a->groups, count = a->queries * per, at = block * BLOCKS * LANES;
    int64_t left = count - at < BLOCKS * LANES ? count - at : BLOCKS * LANES;
    int64_t end = (at + left + per - 1) / per;
    shape_tiles(64);
    for (int i = 0; i < BLOCKS; i++)
        take_queries(a, group, at + i * LANES < count ? at + i * LANES : at, count, &b[i]);
    for (int64_t token = at / per, next; token < end; token = next) {
        next = same_owner(a, token, end);
        meet_sequence(a, group, at, token, next, b);
    }
    for (int i = 0; i < BLOCKS; i++) put(a, group, at + i * LANES, count, &b[i]);
    _tile_release();
}

#endif
