/* Evolution of members of a family within a budget. */
#include "search/family.h"

#include <string.h>

enum { TRIES = 2000 }; /* members that are drawn until one is new and keeps to the budget */

typedef struct evolution {
    tern_family *family;
    const tern_family_search *search;
    tern_store *store;
    tern_pool *pool;
    tern_rng rng;
    uint64_t drawn;
    tern_found_member *seen; /* all that were judged, the best first */
    int count, capacity;
} evolution;

static double choose(evolution *e, const tern_choices *c)
{
    return c->of[tern_rng_below(e->rng, e->drawn++, (uint64_t)c->count)];
}

static bool chance(evolution *e, double probability)
{
    return tern_rng_uniform(e->rng, e->drawn++) < probability;
}

static const tern_member *parent(evolution *e)
{
    int best = e->count < e->search->keep ? e->count : e->search->keep;
    return &e->seen[tern_rng_below(e->rng, e->drawn++, (uint64_t)best)].member;
}

/* Blocks that come with a greater depth are drawn. */
static void set_depth(evolution *e, tern_member *m, int depth)
{
    for (int i = 0; i < TERN_FAMILY_BLOCKS; i++) {
        bool is_new = i >= m->depth && i < depth;
        if (is_new) m->heads[i] = (int)choose(e, &e->family->heads);
        if (is_new) m->halves[i] = (int)(2 * choose(e, &e->family->m));
        if (i >= depth) m->heads[i] = m->halves[i] = 0;
    }
    m->depth = depth;
}

static void mutate(evolution *e, tern_member *m)
{
    *m = *parent(e);
    if (chance(e, 0.4)) set_depth(e, m, (int)choose(e, &e->family->depth));
    for (int i = 0; i < m->depth; i++) {
        if (chance(e, 0.2)) m->halves[i] = (int)(2 * choose(e, &e->family->m));
        if (chance(e, 0.2)) m->heads[i] = (int)choose(e, &e->family->heads);
    }
    if (chance(e, 0.4)) m->D = (int)choose(e, &e->family->D);
}

/* Each choice from one of two parents, of equal depth where such are found. */
static void cross(evolution *e, tern_member *m)
{
    const tern_member *a = parent(e), *b = parent(e);
    for (int i = 0; i < 50 && a->depth != b->depth; i++) {
        a = parent(e);
        b = parent(e);
    }
    *m = *a;
    if (a->depth != b->depth) return;
    if (chance(e, 0.5)) m->D = b->D;
    for (int i = 0; i < m->depth; i++) {
        if (chance(e, 0.5)) m->heads[i] = b->heads[i];
        if (chance(e, 0.5)) m->halves[i] = b->halves[i];
    }
}

static void draw(evolution *e, tern_member *m)
{
    tern_family_draw(e->family, e->rng, &e->drawn, m);
}

static bool was_seen(const evolution *e, const tern_member *m)
{
    for (int i = 0; i < e->count; i++)
        if (tern_member_equal(&e->seen[i].member, m)) return true;
    return false;
}

/* Judged, and put in its place; of equal ones the earlier is better. */
static tern_status judge(evolution *e, const tern_member *m, double bytes)
{
    tern_found_member found = {.member = *m, .bytes = bytes};
    TERN_TRY(tern_family_accuracy(e->family, m, e->search->samples, e->store, e->pool, &found.accuracy));
    int at = e->count++;
    for (; at > 0 && e->seen[at - 1].accuracy < found.accuracy; at--) e->seen[at] = e->seen[at - 1];
    e->seen[at] = found;
    return tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : TERN_OK;
}

/* Up to `count` more members, new ones that keep to the budget; returns with fewer where hardly any is left. */
static tern_status add(evolution *e, void (*make)(evolution *, tern_member *), int count)
{
    for (int tries = 0; count > 0 && tries < TRIES && e->count < e->capacity; tries++) {
        tern_member m;
        double bytes;
        make(e, &m);
        if (was_seen(e, &m)) continue;
        TERN_TRY(tern_family_ram(e->family, &m, &bytes));
        if (bytes > e->search->budget) continue;
        TERN_TRY(judge(e, &m, bytes));
        tries = 0;
        count--;
    }
    return TERN_OK;
}

static tern_status evolve(evolution *e)
{
    const tern_family_search *s = e->search;
    TERN_TRY(add(e, draw, s->population));
    if (e->count == 0)
        return tern_fail(TERN_NO_FIT, "of %d nets that were drawn none keeps to %.0f bytes", TRIES,
                         s->budget);
    for (int g = 0; g < s->generations; g++) {
        int before = e->count;
        if (s->done) s->done(s->context, g, e->seen[0].accuracy);
        TERN_TRY(add(e, mutate, s->mutations));
        TERN_TRY(add(e, cross, s->crossovers));
        TERN_TRY(add(e, draw, s->population - (e->count - before)));
    }
    if (s->done) s->done(s->context, s->generations, e->seen[0].accuracy);
    return TERN_OK;
}

tern_status tern_family_evolve(tern_family *family, const tern_family_search *search, tern_store *store,
                               tern_pool *pool, tern_found_member *best, int *judged)
{
    evolution e = {.family = family,
                   .search = search,
                   .store = store,
                   .pool = pool,
                   .rng = {search->seed, 403},
                   .capacity = search->population * (search->generations + 1)};
    e.seen = tern_take_array((size_t)e.capacity + 1, sizeof *e.seen);
    if (!e.seen) return tern_no_memory((size_t)e.capacity * sizeof *e.seen, "a search");
    tern_status status = evolve(&e);
    if (status == TERN_OK) *best = e.seen[0];
    if (judged) *judged = e.count;
    tern_release(e.seen);
    return status;
}
