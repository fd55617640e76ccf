/* Attention of many queries to a cache in halves, by every instruction set, against its definition in double; and a query has the same
 * bits whatever queries stand beside it. */
#include "test.h"

#include "kernel/attend.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

enum {
    QUERIES = 150,
    HEADS = 6,
    ROWS = 480,
    PAGE = 16,
    PAGES = 12,
    SEQUENCES = 4,
    MOST = QUERIES * HEADS * 256
};

static float q[MOST], y[MOST], again[MOST];
static uint16_t k[ROWS * HEADS * 256], v[ROWS * HEADS * 256];
static int32_t positions[QUERIES], owners[QUERIES], table[SEQUENCES * PAGES];

/* The row of the cache that holds row c of a query's sequence, or -1. */
static int64_t row_of(const tern_attention *a, int64_t query, int64_t c)
{
    if (!a->page) return c < a->rows ? c : -1;
    if (a->owners[query] < 0 || a->owners[query] >= a->sequences || c >= a->page * a->sequence_pages)
        return -1;
    int64_t page = a->table[a->owners[query] * a->sequence_pages + c / a->page];
    return page < 0 ? -1 : page * a->page + c % a->page;
}

static double half(const uint16_t *p, int64_t row, int64_t column, const tern_attention *a, int64_t head)
{
    int64_t group = head / (a->heads / a->groups);
    return (double)tern_f16_to_f32(p[(row * a->groups + group) * a->width + column]);
}

/* The furthest that a->y of one query and head is from what it should be. */
static double error_of(const tern_attention *a, int64_t query, int64_t head)
{
    int64_t from = (query * a->heads + head) * a->width, last = a->positions[query];
    double weight[ROWS], most = -INFINITY, sum = 0, worst = 0;
    int64_t row[ROWS], n = 0;
    for (int64_t c = a->window && last >= a->window ? last - a->window + 1 : 0; c <= last; c++) {
        int64_t r = row_of(a, query, c);
        if (r < 0) continue;
        double score = 0;
        for (int64_t d = 0; d < a->width; d++) score += (double)a->q[from + d] * half(a->k, r, d, a, head);
        score *= (double)a->scale;
        if (a->cap > 0) score = (double)a->cap * tanh(score / (double)a->cap);
        most = fmax(most, score);
        weight[n] = score;
        row[n++] = r;
    }
    for (int64_t i = 0; i < n; i++) sum += weight[i] = exp(weight[i] - most);
    for (int64_t d = 0; d < a->width; d++) {
        double want = 0;
        for (int64_t i = 0; i < n; i++) want += weight[i] / sum * half(a->v, row[i], d, a, head);
        worst = fmax(worst, fabs(want - (double)a->y[from + d]));
    }
    return worst;
}

static void fill(void)
{
    const tern_rng rng = {7, 0};
    for (int64_t i = 0; i < MOST; i++) q[i] = (float)tern_rng_normal(rng, (uint64_t)i);
    for (int64_t i = 0; i < ROWS * HEADS * 256; i++) {
        k[i] = tern_f32_to_f16((float)tern_rng_normal(rng, (uint64_t)(i + MOST)));
        v[i] = tern_f32_to_f16((float)tern_rng_normal(rng, (uint64_t)(i + 4 * MOST)));
    }
}

/* Sequences one behind the other, some tokens of each; some positions and pages are none. */
static void place(bool paged)
{
    for (int32_t i = 0; i < QUERIES; i++) {
        owners[i] = i * SEQUENCES / QUERIES;
        positions[i] = paged ? 60 + i * 7 % 100 : i + 20;
        if (i % 31 == 5) positions[i] = -1;
    }
    for (int32_t i = 0; i < SEQUENCES * PAGES; i++) table[i] = i % 11 == 3 ? -1 : i * 17 % (ROWS / PAGE);
    owners[QUERIES - 1] = SEQUENCES;
}

static void check(int width, int groups, bool paged)
{
    tern_attention a = {.queries = QUERIES,
                        .heads = HEADS,
                        .width = width,
                        .rows = ROWS,
                        .groups = groups,
                        .format = TERN_F16,
                        .scale = 1 / sqrtf((float)width),
                        .cap = width % 3 ? 0 : 5,
                        .window = width % 5 ? 0 : 37,
                        .q = q,
                        .k = k,
                        .v = v,
                        .positions = positions,
                        .owners = owners,
                        .table = table,
                        .page = paged ? PAGE : 0,
                        .sequences = SEQUENCES,
                        .sequence_pages = PAGES,
                        .y = y};
    place(paged);
    memset(y, 0xff, sizeof y);
    tern_attention_run(NULL, &a);
    for (int64_t query = 0; query < QUERIES; query += 13)
        for (int64_t head = 0; head < HEADS; head++) assert_true(error_of(&a, query, head) < 2e-6);
    for (int i = 0; i < HEADS * width; i++) assert_true(y[5 * HEADS * width + i] == 0); /* sees no row */
    /* The last queries alone, which stand in other places then. */
    int64_t left = 71, from = (QUERIES - left) * HEADS * width;
    tern_attention rest = a;
    rest.queries = left;
    rest.q = q + from;
    rest.positions = positions + QUERIES - left;
    rest.owners = owners + QUERIES - left;
    rest.y = again;
    tern_attention_run(NULL, &rest);
    assert_memory_equal(y + from, again, (size_t)(left * HEADS * width) * sizeof *y);
}

static void test_many_queries(void **unused)
{
    static const int widths[] = {8, 32, 40, 64, 75, 96, 256};
    const char *name;
    bool usable;
    (void)unused;
    fill();
    for (int i = 0; (name = tern_isa_known(i, &usable)) != NULL; i++) {
        if (!usable) continue;
        assert_int_equal(tern_isa_select(name), TERN_OK);
        for (size_t w = 0; w < TERN_COUNT(widths); w++)
            for (int paged = 0; paged < 2; paged++) check(widths[w], w % 2 ? 2 : HEADS, paged);
    }
    assert_int_equal(tern_isa_select(NULL), TERN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
