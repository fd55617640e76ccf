/* The machine that reads texts by a grammar.  A way is an element to come and a parent to go on with; equal ways are one
 * object, so that a set of them is known again, and what lies behind a way is found once.  A rule at an alternative's end
 * leaves no parent behind: repetitions do not make stacks grow. */
#include "llm/grammar_parts.h"
#include "llm/tokenizer_parts.h"

#include <string.h>

#define MOST_WAYS ((size_t)1 << 20) /* of a text, and looked at for one character */

tern_status tern_grammar_machine_open(tern_grammar_machine *m, const tern_grammar *g)
{
    *m = (tern_grammar_machine){.g = g, .hash_mask = 1023};
    m->hash = tern_take_array(m->hash_mask + 1, sizeof(tern_way *));
    return m->hash ? TERN_OK : tern_no_memory(8192, "a grammar");
}

void tern_grammar_machine_close(tern_grammar_machine *m)
{
    tern_arena_free(&m->arena);
    tern_release(m->hash);
    tern_release(m->found);
    tern_release(m->steps);
    *m = (tern_grammar_machine){0};
}

static size_t hash_of(const tern_grammar_machine *m, const tern_element *at, const tern_way *parent)
{
    uint64_t key =
        (uint64_t)(uintptr_t)at * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)parent * 0xC2B2AE3D27D4EB4Fu;
    return (size_t)(key >> 20) & m->hash_mask;
}

static tern_status grow_hash(tern_grammar_machine *m)
{
    size_t size = (m->hash_mask + 1) * 4;
    tern_way **old = m->hash, **bigger = tern_take_array(size, sizeof *bigger);
    size_t count = m->hash_mask + 1;
    if (!bigger) return tern_no_memory(size * sizeof *bigger, "a grammar");
    m->hash = bigger;
    m->hash_mask = size - 1;
    for (size_t i = 0; i < count; i++)
        for (tern_way *w = old[i], *next; w; w = next) {
            size_t slot = hash_of(m, w->at, w->parent);
            next = w->next_of_hash;
            w->next_of_hash = bigger[slot];
            bigger[slot] = w;
        }
    tern_release(old);
    return TERN_OK;
}

static tern_status too_many(void)
{
    return tern_fail(TERN_FAILED,
                     "the grammar is too ambiguous or nests too deep: more than %zu ways to go on",
                     MOST_WAYS);
}

static tern_status way_of(tern_grammar_machine *m, const tern_element *at, tern_way *parent, tern_way **out)
{
    size_t slot = hash_of(m, at, parent);
    for (tern_way *w = m->hash[slot]; w; w = w->next_of_hash)
        if (w->at == at && w->parent == parent) {
            *out = w;
            return TERN_OK;
        }
    if (m->way_count >= MOST_WAYS) return too_many();
    if (m->way_count > m->hash_mask) {
        TERN_TRY(grow_hash(m));
        slot = hash_of(m, at, parent);
    }
    tern_way *w = tern_arena_take(&m->arena, sizeof *w);
    if (!w) return tern_no_memory(m->arena.used, "a grammar");
    *w = (tern_way){.at = at, .parent = parent, .next_of_hash = m->hash[slot]};
    m->hash[slot] = w;
    m->way_count++;
    *out = w;
    return TERN_OK;
}

static tern_status put_step(tern_grammar_machine *m, const tern_element *at, tern_way *parent)
{
    tern_way *w;
    while (at && at->kind == TERN_ELEMENT_END) { /* on with what the parent has to come */
        at = parent ? parent->at : NULL;
        parent = parent ? parent->parent : NULL;
    }
    TERN_TRY(way_of(m, at, parent, &w));
    if (w->marked) return TERN_OK;
    w->marked = true;
    TERN_TRY(tern_grow(&m->steps, &m->step_capacity, m->step_count + 1, sizeof(tern_way *)));
    m->steps[m->step_count++] = w;
    return TERN_OK;
}

/* From the steps to all ways that begin with a class, or end: rules are replaced by their alternatives. */
static tern_status expand(tern_grammar_machine *m)
{
    for (size_t i = 0; i < m->step_count; i++) {
        tern_way *w = m->steps[i], *parent = w->parent;
        if (!w->at || w->at->kind == TERN_ELEMENT_CLASS) {
            TERN_TRY(tern_grow(&m->found, &m->found_capacity, m->found_count + 1, sizeof(tern_way *)));
            m->found[m->found_count++] = w;
            continue;
        }
        const tern_element *behind = w->at + 1;
        if (behind->kind != TERN_ELEMENT_END) TERN_TRY(way_of(m, behind, w->parent, &parent));
        const tern_rule *r = &m->g->rules[w->at->first];
        for (size_t a = 0; a < r->count; a++)
            TERN_TRY(put_step(m, &m->g->elements[r->alternatives[a]], parent));
    }
    return TERN_OK;
}

static tern_status finish(tern_grammar_machine *m, tern_status status, const tern_ways **out)
{
    for (size_t i = 0; i < m->step_count; i++) m->steps[i]->marked = false;
    size_t count = m->found_count;
    m->step_count = m->found_count = 0;
    TERN_TRY(status);
    tern_ways *set = tern_arena_take(&m->arena, sizeof *set + count * sizeof(tern_way *));
    if (!set) return tern_no_memory(m->arena.used, "a grammar");
    set->count = count;
    if (count) memcpy(set->items, m->found, count * sizeof(tern_way *));
    *out = set;
    return TERN_OK;
}

tern_status tern_grammar_begin(tern_grammar_machine *m, tern_place *place)
{
    const tern_rule *root = &m->g->rules[m->g->root];
    tern_status status = TERN_OK;
    *place = (tern_place){0};
    for (size_t a = 0; a < root->count && status == TERN_OK; a++)
        status = put_step(m, &m->g->elements[root->alternatives[a]], NULL);
    if (status == TERN_OK) status = expand(m);
    return finish(m, status, &place->ways);
}

static tern_status after(tern_grammar_machine *m, tern_way *w)
{
    if (w->after) return TERN_OK;
    tern_status status = put_step(m, w->at + 1, w->parent);
    if (status == TERN_OK) status = expand(m);
    return finish(m, status, &w->after);
}

/* Does the class have a character of low..high? */
static bool meets(const tern_grammar *g, const tern_element *e, uint32_t low, uint32_t high)
{
    uint32_t free = low; /* negated: the least that no range covers */
    for (uint32_t i = 0; i < e->count; i++) {
        const tern_range *r = &g->ranges[e->first + i];
        if (!e->negated && r->low <= high && low <= r->high) return true;
        if (e->negated && r->low <= free && free <= r->high) {
            free = r->high + 1;
            i = UINT32_MAX; /* ranges are in no order: from the first again */
        }
    }
    return e->negated && free <= high;
}

static const tern_ways nowhere;

/* The ways behind one character. */
static tern_status read_code(tern_grammar_machine *m, tern_place *place, uint32_t code)
{
    const tern_ways *before = place->ways, *only = &nowhere;
    size_t hits = 0;
    for (size_t i = 0; i < before->count; i++) {
        tern_way *w = before->items[i];
        if (!w->at || !meets(m->g, w->at, code, code)) continue;
        TERN_TRY(after(m, w));
        only = w->after;
        hits++;
    }
    place->ways = only;
    if (hits < 2) return TERN_OK;
    tern_status status = TERN_OK; /* several: all that lies behind them, once each */
    size_t looked = 0;
    for (size_t i = 0; i < before->count && status == TERN_OK; i++) {
        const tern_way *w = before->items[i];
        if (!w->at || !meets(m->g, w->at, code, code)) continue;
        if ((looked += w->after->count) > MOST_WAYS) status = too_many();
        for (size_t k = 0; k < w->after->count && status == TERN_OK; k++)
            status = put_step(m, w->after->items[k]->at, w->after->items[k]->parent);
    }
    if (status == TERN_OK) status = expand(m);
    return finish(m, status, &place->ways);
}

/* Can the unfinished character become one that some way begins with? */
static bool can_become(const tern_grammar_machine *m, const tern_place *p)
{
    uint32_t low = p->code << (6 * p->missing), high = low | ((1u << (6 * p->missing)) - 1);
    if (low < p->low) low = p->low;
    if (high > 0x10FFFF) high = 0x10FFFF;
    if (low >= 0xD800 && high <= 0xDFFF) return false; /* surrogates are no characters */
    for (size_t i = 0; i < p->ways->count && low <= high; i++)
        if (p->ways->items[i]->at && meets(m->g, p->ways->items[i]->at, low, high)) return true;
    return false;
}

tern_status tern_grammar_step(tern_grammar_machine *m, tern_place *p, uint8_t byte)
{
    if (p->missing) {
        p->code = p->code << 6 | (byte & 0x3F);
        p->missing--;
        bool bad = (byte & 0xC0) != 0x80 || (!p->missing && (p->code < p->low || p->code > 0x10FFFF ||
                                                             (p->code >= 0xD800 && p->code < 0xE000)));
        if (!bad && !p->missing) return read_code(m, p, p->code);
        if (bad || !can_become(m, p)) *p = (tern_place){.ways = &nowhere};
        return TERN_OK;
    }
    if (byte < 0x80) return read_code(m, p, byte);
    p->missing = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
    p->low = byte >= 0xF0 ? 0x10000 : byte >= 0xE0 ? 0x800 : 0x80;
    p->code = byte & (0x3Fu >> p->missing);
    if (byte < 0xC2 || byte > 0xF4 || !can_become(m, p)) *p = (tern_place){.ways = &nowhere};
    return TERN_OK;
}

bool tern_grammar_may_end(const tern_place *p)
{
    for (size_t i = 0; i < p->ways->count && !p->missing; i++)
        if (!p->ways->items[i]->at) return true;
    return false;
}

tern_status tern_grammar_match(const tern_grammar *g, const char *text, size_t size, bool *begins,
                               bool *whole)
{
    tern_grammar_machine m;
    tern_place p;
    tern_status status = tern_grammar_machine_open(&m, g);
    if (status == TERN_OK) status = tern_grammar_begin(&m, &p);
    for (size_t i = 0; i < size && status == TERN_OK && p.ways->count; i++)
        status = tern_grammar_step(&m, &p, (uint8_t)text[i]);
    if (status == TERN_OK) {
        *begins = p.ways->count != 0;
        *whole = tern_grammar_may_end(&p);
    }
    tern_grammar_machine_close(&m);
    return status;
}
