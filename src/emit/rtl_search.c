/* The best folding within a budget.  What a chain of blocks takes is a sum over blocks, each of which depends on its own folding and on
 * how its successor reads; so from the last block to the first, for each way to read, only those ways on are kept that no
 * other beats in everything the budget limits (dynamic programming).  The interval is the largest of all blocks: it is found by
 * bisection over the intervals that blocks can have. */
#include "emit/rtl_fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LUTS, BRAM18, DSP, LATENCY, COSTS };

/* A folding of a block and of all behind it. */
typedef struct way {
    double cost[COSTS];
    int pe, simd;
    const struct way *next; /* NULL: the last block */
} way;

/* The ways of a block that reads `simd` operands at once. */
typedef struct front {
    int simd, count, capacity;
    way **ways;
} front;

typedef struct stage {
    front *fronts;
    int count;
} stage;

typedef struct search {
    tern_rtl *rtl;
    double limit[COSTS]; /* infinite: none */
    bool counts[COSTS];  /* what ways are compared by */
    int64_t interval;
    tern_arena arena;
    stage *stages; /* [layer] */
} search;

static bool beats(const search *s, const way *a, const way *b)
{
    for (int c = 0; c < COSTS; c++)
        if (s->counts[c] && a->cost[c] > b->cost[c]) return false;
    return true;
}

static tern_status keep(search *s, front *f, const way *candidate)
{
    int kept = 0;
    for (int c = 0; c < COSTS; c++)
        if (candidate->cost[c] > s->limit[c]) return TERN_OK;
    for (int i = 0; i < f->count; i++)
        if (beats(s, f->ways[i], candidate)) return TERN_OK;
    for (int i = 0; i < f->count; i++)
        if (!beats(s, candidate, f->ways[i])) f->ways[kept++] = f->ways[i];
    f->count = kept;
    if (f->count == f->capacity) {
        int capacity = f->capacity ? 2 * f->capacity : 8;
        way **ways = tern_arena_take(&s->arena, (size_t)capacity * sizeof(way *));
        if (!ways) return tern_no_memory((size_t)capacity * sizeof(way *), "foldings");
        if (f->count) memcpy(ways, f->ways, (size_t)f->count * sizeof(way *));
        f->ways = ways;
        f->capacity = capacity;
    }
    way *copy = tern_arena_take(&s->arena, sizeof *copy);
    if (!copy) return tern_no_memory(sizeof *copy, "a folding");
    *copy = *candidate;
    f->ways[f->count++] = copy;
    return TERN_OK;
}

/* Block i as it is folded now, in front of those ways that read as its successor does now. */
static tern_status extend(search *s, int i, front *to, const front *behind)
{
    const tern_rtl_layer *l = &s->rtl->layers[i];
    tern_rtl_cost c = tern_rtl_cost_of(l);
    way w = {.pe = l->pe, .simd = l->simd};
    const double own[] = {c.luts, c.bram18, c.dsp, (double)tern_rtl_delay(s->rtl, i)};
    if (tern_rtl_cycles(s->rtl, i) > s->interval) return TERN_OK;
    for (int k = 0; k < (behind ? behind->count : 1); k++) {
        w.next = behind ? behind->ways[k] : NULL;
        for (int d = 0; d < COSTS; d++) w.cost[d] = own[d] + (w.next ? w.next->cost[d] : 0);
        TERN_TRY(keep(s, to, &w));
    }
    return TERN_OK;
}

/* All ways of block i that reads f->simd operands at once. */
static tern_status fill_front(search *s, int i, front *f)
{
    tern_rtl_layer *l = &s->rtl->layers[i];
    bool last = i + 1 == s->rtl->count;
    l->simd = f->simd;
    for (int pe = 1; pe <= l->out_c; pe++) {
        if (l->out_c % pe || pe > TERN_RTL_CODES || (l->kind == TERN_RTL_POOL && pe != f->simd)) continue;
        l->pe = pe;
        if (last) TERN_TRY(extend(s, i, f, NULL));
        for (int n = 0; !last && n < s->stages[i + 1].count; n++) {
            const front *behind = &s->stages[i + 1].fronts[n];
            s->rtl->layers[i + 1].simd = behind->simd;
            if (tern_rtl_joins(pe, behind->simd)) TERN_TRY(extend(s, i, f, behind));
        }
    }
    return TERN_OK;
}

/* The ways of the net within the limits and the interval: NULL, or the one with the fewest look-up tables. */
static tern_status find(search *s, int64_t interval, const way **best)
{
    tern_rtl *rtl = s->rtl;
    *best = NULL;
    s->interval = interval;
    tern_arena_free(&s->arena);
    s->stages = tern_arena_take(&s->arena, (size_t)rtl->count * sizeof *s->stages);
    if (!s->stages) return tern_no_memory((size_t)rtl->count * sizeof *s->stages, "foldings");
    for (int i = rtl->count - 1; i >= 0; i--) {
        int most = rtl->layers[i].in_c;
        stage *at = &s->stages[i];
        *at = (stage){.fronts = tern_arena_take(&s->arena, (size_t)most * sizeof(front))};
        if (!at->fronts) return tern_no_memory((size_t)most * sizeof(front), "foldings");
        for (int simd = 1; simd <= most; simd++) {
            if (most % simd || simd > TERN_RTL_CODES) continue;
            front *f = &at->fronts[at->count];
            *f = (front){.simd = simd};
            TERN_TRY(fill_front(s, i, f));
            at->count += f->count > 0;
        }
        if (!at->count) return TERN_OK;
    }
    for (int n = 0; n < s->stages[0].count; n++) {
        const front *f = &s->stages[0].fronts[n];
        rtl->layers[0].simd = f->simd;
        double words = (double)tern_rtl_words(rtl);
        for (int k = 0; k < f->count && words <= (double)interval; k++) {
            const way *w = f->ways[k];
            bool fits = w->cost[LATENCY] + words <= s->limit[LATENCY];
            if (fits && (!*best || w->cost[LUTS] < (*best)->cost[LUTS])) *best = w;
        }
    }
    return TERN_OK;
}

/* ---- intervals ------------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int divisors(int of)
{
    int count = 0;
    for (int d = 1; d <= of; d++) count += of % d == 0;
    return count;
}

/* All intervals that a net can have, in order: cycles of its blocks and words of its sample. */
static tern_status intervals_of(tern_rtl *rtl, int64_t **list, int *count)
{
    int room = 0, n = 0;
    for (int i = 0; i < rtl->count; i++)
        room += (divisors(rtl->layers[i].in_c) + 1) * (divisors(rtl->layers[i].out_c) + 1);
    int64_t *all = tern_take_array((size_t)room, sizeof *all);
    if (!all) return tern_no_memory((size_t)room * sizeof *all, "intervals");
    for (int i = 0; i < rtl->count; i++) {
        tern_rtl_layer *l = &rtl->layers[i];
        for (l->simd = 1; l->simd <= l->in_c; l->simd++) {
            if (l->in_c % l->simd) continue;
            if (i == 0) all[n++] = tern_rtl_words(rtl);
            for (l->pe = 1; l->pe <= l->out_c; l->pe++)
                if (l->out_c % l->pe == 0) all[n++] = tern_rtl_own_cycles(l);
        }
        for (int split = 1; i + 1 < rtl->count && split <= l->out_c; split++) /* words leave one by one */
            if (l->out_c % split == 0) all[n++] = (int64_t)l->out_h * l->out_w * split;
    }
    qsort(all, (size_t)n, sizeof *all, by_size);
    *list = all;
    *count = n;
    return TERN_OK;
}

/* For people: what the net takes with one product a block and cycle. */
static const char *folded_most(tern_rtl *rtl, char text[160])
{
    double luts = 0, bram18 = 0, dsp = 0;
    for (int i = 0; i < rtl->count; i++) {
        rtl->layers[i].pe = rtl->layers[i].simd = 1;
        tern_rtl_cost c = tern_rtl_cost_of(&rtl->layers[i]);
        luts += c.luts;
        bram18 += c.bram18;
        dsp += c.dsp;
    }
    snprintf(text, 160, "%.0f luts, %.0f bram18, %.0f dsp, an interval of %lld and a latency of %lld cycles",
             luts, bram18, dsp, (long long)tern_rtl_interval(rtl), (long long)tern_rtl_latency(rtl));
    return text;
}

static void take(tern_rtl *rtl, const way *w)
{
    for (int i = 0; w && i < rtl->count; i++, w = w->next) {
        rtl->layers[i].pe = w->pe;
        rtl->layers[i].simd = w->simd;
    }
}

/* The least interval of those listed that fits. */
static tern_status bisect(search *s, const int64_t *list, int count, const way **best)
{
    int low = 0, high = count - 1; /* the last fits */
    while (low < high) {
        int middle = (low + high) / 2;
        TERN_TRY(find(s, list[middle], best));
        if (*best)
            high = middle;
        else
            low = middle + 1;
    }
    return find(s, list[low], best);
}

static tern_status best_of(search *s, const tern_rtl_budget *budget, const way **best)
{
    int64_t *list = NULL;
    int count = 0;
    TERN_TRY(intervals_of(s->rtl, &list, &count));
    bool given = isfinite(budget->interval);
    tern_status status = find(s, given ? (int64_t)fmin(budget->interval, 9e18) : list[count - 1], best);
    if (status == TERN_OK && *best && !given) status = bisect(s, list, count, best);
    tern_release(list);
    return status;
}

tern_status tern_rtl_fold_best(tern_rtl *rtl, const tern_rtl_budget *budget)
{
    search s = {.rtl = rtl, .limit = {budget->luts, budget->bram18, budget->dsp, budget->latency}};
    const way *best = NULL;
    for (int c = 0; c < COSTS; c++) s.counts[c] = c == LUTS || isfinite(s.limit[c]);
    tern_status status = best_of(&s, budget, &best);
    if (status == TERN_OK && best) take(rtl, best);
    tern_arena_free(&s.arena);
    if (status == TERN_OK && !best)
        return tern_fail(TERN_NO_FIT, "no folding of the net keeps the budget; folded most it takes %s",
                         folded_most(rtl, (char[160]){0}));
    return status;
}

tern_status tern_rtl_parse_budget(const char *text, tern_rtl_budget *budget)
{
    static const struct {
        const char *name;
        size_t field;
    } known[] = {{"luts", offsetof(tern_rtl_budget, luts)},
                 {"bram18", offsetof(tern_rtl_budget, bram18)},
                 {"dsp", offsetof(tern_rtl_budget, dsp)},
                 {"interval", offsetof(tern_rtl_budget, interval)},
                 {"latency", offsetof(tern_rtl_budget, latency)}};
    *budget = (tern_rtl_budget){INFINITY, INFINITY, INFINITY, INFINITY, INFINITY};
    for (const char *at = text; at; at = strchr(at, ','), at += at != NULL) {
        size_t i = 0, n = strcspn(at, "=,");
        char *end = NULL;
        while (i < TERN_COUNT(known) && (strlen(known[i].name) != n || strncmp(at, known[i].name, n) != 0))
            i++;
        double value = at[n] == '=' ? strtod(at + n + 1, &end) : -1;
        if (i == TERN_COUNT(known) || !(value >= 0) || !end || end == at + n + 1 || (*end && *end != ','))
            return tern_fail(TERN_USAGE,
                             "--budget %s: at \"%s\": expected luts, bram18, dsp, interval or latency and a "
                             "number, such as luts=20000,interval=1024",
                             text, at);
        *(double *)(void *)((char *)budget + known[i].field) = value;
    }
    return TERN_OK;
}
