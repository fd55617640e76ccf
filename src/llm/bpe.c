/* Byte-pair encoding: neighbours join, the best pair first, until none can.  With merges the best is the one that was
 * learnt first (Sennrich et al., ACL 2016); without, the one that makes the token of the highest score (SentencePiece).
 * Candidates wait in a heap, so that a piece of n symbols takes O(n log n) whatever it is. */
#include "llm/tokenizer_parts.h"

#include <string.h>

/* Smaller comes first: floats in reverse order as whole numbers. */
static uint32_t order_of_score(double score)
{
    float f = -(float)score;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static const tern_pair *find_pair(const tern_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t slot = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32) & t->pair_mask;
    while (t->pairs[slot].rank >= 0) {
        if (t->pairs[slot].key == key) return &t->pairs[slot];
        slot = (slot + 1) & t->pair_mask;
    }
    return NULL;
}

/* ---- the heap ------------------------------------------------------------------------------------------------ */

static tern_status push(tern_encoding *e, tern_join join)
{
    TERN_TRY(tern_grow(&e->heap, &e->heap_capacity, e->heap_count + 1, sizeof *e->heap));
    size_t at = e->heap_count++;
    for (size_t up; at && e->heap[up = (at - 1) / 2].order > join.order; at = up) e->heap[at] = e->heap[up];
    e->heap[at] = join;
    return TERN_OK;
}

static tern_join pop(tern_encoding *e)
{
    tern_join best = e->heap[0], last = e->heap[--e->heap_count];
    size_t at = 0;
    for (size_t down; (down = 2 * at + 1) < e->heap_count; at = down) {
        if (down + 1 < e->heap_count && e->heap[down + 1].order < e->heap[down].order) down++;
        if (e->heap[down].order >= last.order) break;
        e->heap[at] = e->heap[down];
    }
    e->heap[at] = last;
    return best;
}

/* ---- joining ------------------------------------------------------------------------------------------------- */

/* A candidate for symbols left and right, when they go together. */
static tern_status consider(const tern_tokenizer *t, tern_encoding *e, const char *text, int32_t left,
                            int32_t right)
{
    const tern_symbol *a = &e->symbols[left], *b = &e->symbols[right];
    uint32_t rank, size = a->size + b->size;
    int32_t id;
    if (a->fixed || b->fixed) return TERN_OK;
    if (t->v.merges) {
        if (a->id < 0 || b->id < 0) return TERN_OK;
        const tern_pair *pair = find_pair(t, a->id, b->id);
        if (!pair) return TERN_OK;
        rank = (uint32_t)pair->rank;
        id = pair->id;
    } else {
        id = size <= t->longest ? tern_plain_find(t, text + a->begin, size) : -1;
        if (id < 0) return TERN_OK;
        rank = order_of_score(t->v.tokens[id].score);
    }
    return push(e, (tern_join){(uint64_t)rank << 32 | (uint32_t)left, right, id, size});
}

static tern_status join_all(const tern_tokenizer *t, tern_encoding *e, const char *text, int32_t count)
{
    e->heap_count = 0;
    for (int32_t i = 0; i + 1 < count; i++) TERN_TRY(consider(t, e, text, i, i + 1));
    while (e->heap_count) {
        tern_join join = pop(e);
        int32_t left = (int32_t)(uint32_t)join.order;
        tern_symbol *a = &e->symbols[left], *b = &e->symbols[join.right];
        if (!a->size || !b->size || a->after != join.right || a->size + b->size != join.size)
            continue; /* outdated */
        a->id = join.id;
        a->size = join.size;
        a->after = b->after;
        b->size = 0;
        if (a->after >= 0) {
            e->symbols[a->after].before = left;
            TERN_TRY(consider(t, e, text, left, a->after));
        }
        if (a->before >= 0) TERN_TRY(consider(t, e, text, a->before, left));
    }
    return TERN_OK;
}

/* ---- first symbols --------------------------------------------------------------------------------------------- */

static tern_status add_symbol(tern_encoding *e, int32_t *count, int32_t id, size_t begin, size_t size,
                              bool fixed)
{
    TERN_TRY(tern_grow(&e->symbols, &e->symbol_capacity, (size_t)*count + 1, sizeof *e->symbols));
    e->symbols[*count] = (tern_symbol){id, (uint32_t)begin, (uint32_t)size, *count - 1, *count + 1, fixed};
    ++*count;
    return TERN_OK;
}

/* A character that is no token: its bytes, the unknown token, or a symbol that may still join (by score). */
static tern_status add_other(const tern_tokenizer *t, tern_encoding *e, const char *text, size_t begin,
                             size_t size, int32_t *count)
{
    if (!t->v.merges) return add_symbol(e, count, -1, begin, size, false);
    bool bytes = t->v.byte_fallback;
    for (size_t i = 0; i < size && bytes; i++) bytes = t->byte_token[(uint8_t)text[begin + i]] >= 0;
    for (size_t i = 0; i < size && bytes; i++)
        TERN_TRY(add_symbol(e, count, t->byte_token[(uint8_t)text[begin + i]], begin + i, 1, false));
    if (bytes || t->v.unknown < 0) return TERN_OK;
    if (t->v.fuse_unknown && *count && e->symbols[*count - 1].id == t->v.unknown) {
        e->symbols[*count - 1].size += (uint32_t)size;
        return TERN_OK;
    }
    return add_symbol(e, count, t->v.unknown, begin, size, false);
}

static tern_status first_symbols(const tern_tokenizer *t, tern_encoding *e, const char *text, size_t size,
                                 int32_t *count)
{
    for (size_t at = 0; at < size;) {
        const tern_span *user =
            t->v.sentencepiece ? tern_prefixes_longest(&t->user, text + at, size - at) : NULL;
        uint32_t code;
        bool valid;
        size_t length = user ? user->size : 1;
        if (!user && !t->v.byte_level) length = tern_utf8_decode(text + at, size - at, &code, &valid);
        int32_t id = user              ? user->id
                     : t->v.byte_level ? t->byte_token[(uint8_t)text[at]]
                                       : tern_plain_find(t, text + at, length);
        if (id >= 0)
            TERN_TRY(add_symbol(e, count, id, at, length, user != NULL));
        else
            TERN_TRY(add_other(t, e, text, at, length, count));
        at += length;
    }
    return TERN_OK;
}

tern_status tern_put_unknown(const tern_tokenizer *t, const char *text, size_t size, bool *unknown_before,
                             tern_tokens *out)
{
    bool bytes = t->v.byte_fallback;
    for (size_t i = 0; i < size && bytes; i++) bytes = t->byte_token[(uint8_t)text[i]] >= 0;
    for (size_t i = 0; i < size && bytes; i++)
        TERN_TRY(tern_tokens_add(out, t->byte_token[(uint8_t)text[i]]));
    if (bytes || t->v.unknown < 0) return TERN_OK;
    if (!*unknown_before || !t->v.fuse_unknown) TERN_TRY(tern_tokens_add(out, t->v.unknown));
    *unknown_before = true;
    return TERN_OK;
}

tern_status tern_bpe(const tern_tokenizer *t, tern_encoding *e, const char *text, size_t size,
                     tern_tokens *out)
{
    int32_t whole = t->v.whole_first && size <= t->longest ? tern_plain_find(t, text, size) : -1, count = 0;
    if (whole >= 0) return tern_tokens_add(out, whole);
    TERN_TRY(first_symbols(t, e, text, size, &count));
    if (count) e->symbols[count - 1].after = -1;
    TERN_TRY(join_all(t, e, text, count));
    bool unknown = false;
    for (int32_t i = count ? 0 : -1; i >= 0; i = e->symbols[i].after) {
        const tern_symbol *s = &e->symbols[i];
        if (s->id < 0) {
            TERN_TRY(tern_put_unknown(t, text + s->begin, s->size, &unknown, out));
            continue;
        }
        unknown = false;
        TERN_TRY(tern_tokens_add(out, s->id));
    }
    return TERN_OK;
}
