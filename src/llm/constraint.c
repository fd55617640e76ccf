/* A grammar over tokens: which can come next.  Tokens lie in the order of their bytes, so that those with a common beginning
 * are walked through the grammar together and dropped together; masks of places that come again are kept. */
#include "llm/grammar_parts.h"
#include "llm/tokenizer_parts.h"

#include <string.h>

#define MASKS       32
#define MOST_LENGTH 256 /* longer tokens are never allowed */
#define MOST_ARENA  ((size_t)64 << 20)

typedef struct tern_mask {
    tern_place place;
    uint64_t used; /* when */
    uint64_t *bits;
} tern_mask;

struct tern_constraint {
    const tern_tokenizer *t;
    tern_grammar_machine m;
    tern_place place;
    tern_prefixes tokens; /* by what they add to the text; equal ones: see `same` */
    int32_t *same;        /* [count]: the next token of the same bytes, -1 at the end */
    int32_t *ends;
    int end_count;
    bool ended;
    size_t words;
    uint64_t clock;
    tern_mask masks[MASKS];
    tern_text text; /* accepted so far, to begin anew with less memory */
};

/* Tokens by bytes; those of equal bytes are chained. */
static tern_status index_tokens(tern_constraint *c)
{
    int32_t count = tern_tokenizer_vocabulary(c->t)->count;
    tern_span *spans = tern_take_array((size_t)count + 1, sizeof *spans);
    size_t used = 0;
    c->same = tern_take_array((size_t)count, sizeof *c->same);
    if (!spans || !c->same) {
        tern_release(spans);
        return tern_no_memory((size_t)count * sizeof *spans, "a constraint");
    }
    for (int32_t id = 0; id < count; id++) {
        size_t size;
        const char *bytes = tern_token_bytes(c->t, id, &size);
        if (size && size <= MOST_LENGTH && !tern_token_is_control(c->t, id))
            spans[used++] = (tern_span){bytes, (uint32_t)size, id};
        c->same[id] = -1;
    }
    return tern_prefixes_open(&c->tokens, spans, used);
}

/* Those that the set left out because others have the same bytes. */
static void chain_same(tern_constraint *c)
{
    for (int32_t id = tern_tokenizer_vocabulary(c->t)->count; id--;) {
        size_t size;
        const char *bytes = tern_token_bytes(c->t, id, &size);
        const tern_span *span = size && size <= MOST_LENGTH && !tern_token_is_control(c->t, id)
                                    ? tern_prefixes_longest(&c->tokens, bytes, size)
                                    : NULL;
        if (!span || span->id == id) continue;
        c->same[id] = c->same[span->id];
        c->same[span->id] = id;
    }
}

static tern_status prepare(tern_constraint *c, const int32_t *ends, int end_count)
{
    int32_t count = tern_tokenizer_vocabulary(c->t)->count;
    for (int i = 0; i < end_count; i++)
        if (ends[i] < 0 || ends[i] >= count)
            return tern_fail(TERN_USAGE, "end token %d: expected 0 to %d", ends[i], count - 1);
    c->words = ((size_t)count + 63) / 64;
    c->ends = tern_take_array((size_t)end_count + 1, sizeof *c->ends);
    if (!c->ends) return tern_no_memory((size_t)end_count * sizeof *c->ends, "a constraint");
    if (end_count) memcpy(c->ends, ends, (size_t)end_count * sizeof *ends);
    c->end_count = end_count;
    TERN_TRY(index_tokens(c));
    chain_same(c);
    return tern_grammar_begin(&c->m, &c->place);
}

tern_status tern_constraint_open(tern_constraint **constraint, const tern_grammar *grammar,
                                 const tern_tokenizer *tokenizer, const int32_t *ends, int end_count)
{
    tern_constraint *c = tern_take(sizeof *c);
    if (!c) return tern_no_memory(sizeof *c, "a constraint");
    c->t = tokenizer;
    tern_status status = tern_grammar_machine_open(&c->m, grammar);
    if (status == TERN_OK) status = prepare(c, ends, end_count);
    if (status != TERN_OK)
        tern_constraint_close(c);
    else
        *constraint = c;
    return status;
}

static void forget_masks(tern_constraint *c)
{
    for (int i = 0; i < MASKS; i++) c->masks[i].place.ways = NULL;
}

void tern_constraint_close(tern_constraint *c)
{
    if (!c) return;
    for (int i = 0; i < MASKS; i++) tern_release(c->masks[i].bits);
    tern_prefixes_close(&c->tokens);
    tern_grammar_machine_close(&c->m);
    tern_release(c->same);
    tern_release(c->ends);
    tern_text_free(&c->text);
    tern_release(c);
}

tern_status tern_constraint_reset(tern_constraint *c)
{
    c->text.size = 0;
    c->ended = false;
    return tern_grammar_begin(&c->m, &c->place);
}

/* A long text leaves many ways behind that never come again: begin anew and read it once more. */
static tern_status tidy(tern_constraint *c)
{
    const tern_grammar *g = c->m.g;
    if (c->m.arena.used < MOST_ARENA) return TERN_OK;
    forget_masks(c);
    tern_grammar_machine_close(&c->m);
    TERN_TRY(tern_grammar_machine_open(&c->m, g));
    TERN_TRY(tern_grammar_begin(&c->m, &c->place));
    for (size_t i = 0; i < c->text.size; i++)
        TERN_TRY(tern_grammar_step(&c->m, &c->place, (uint8_t)c->text.data[i]));
    return TERN_OK;
}

/* Marks all tokens of spans[low, high), which share `depth` bytes that have led to `place`. */
static tern_status walk(tern_constraint *c, uint32_t low, uint32_t high, uint32_t depth,
                        const tern_place *place, uint64_t *bits)
{
    const tern_span *spans = c->tokens.spans;
    if (low < high && spans[low].size == depth) {
        for (int32_t id = spans[low].id; id >= 0; id = c->same[id]) bits[id / 64] |= (uint64_t)1 << (id % 64);
        low++;
    }
    while (low < high) {
        uint8_t byte = (uint8_t)spans[low].text[depth];
        uint32_t end = low + 1, above = high; /* the first whose byte is another */
        while (end < above) {
            uint32_t middle = end + (above - end) / 2;
            if ((uint8_t)spans[middle].text[depth] == byte)
                end = middle + 1;
            else
                above = middle;
        }
        tern_place next = *place;
        TERN_TRY(tern_grammar_step(&c->m, &next, byte));
        if (next.ways->count) TERN_TRY(walk(c, low, end, depth + 1, &next, bits));
        low = end;
    }
    return TERN_OK;
}

static bool same_place(const tern_place *a, const tern_place *b)
{
    if (!a->ways || a->missing != b->missing || (a->missing && (a->code != b->code || a->low != b->low)))
        return false;
    return a->ways == b->ways ||
           (a->ways->count == b->ways->count &&
            memcmp(a->ways->items, b->ways->items, a->ways->count * sizeof(tern_way *)) == 0);
}

tern_status tern_constraint_mask(tern_constraint *c, const uint64_t **allowed)
{
    tern_mask *oldest = &c->masks[0];
    TERN_TRY(tidy(c));
    for (int i = 0; i < MASKS; i++) {
        tern_mask *k = &c->masks[i];
        if (k->used < oldest->used) oldest = k;
        if (c->ended || !same_place(&k->place, &c->place)) continue;
        k->used = ++c->clock;
        *allowed = k->bits;
        return TERN_OK;
    }
    if (!oldest->bits) oldest->bits = tern_take_array(c->words, sizeof *oldest->bits);
    if (!oldest->bits) return tern_no_memory(c->words * 8, "a mask of tokens");
    memset(oldest->bits, 0, c->words * sizeof *oldest->bits);
    oldest->place.ways = NULL; /* until it is whole */
    oldest->used = ++c->clock;
    if (!c->ended) TERN_TRY(walk(c, 0, c->tokens.count, 0, &c->place, oldest->bits));
    for (int i = 0; i < c->end_count && (c->ended || tern_grammar_may_end(&c->place)); i++)
        oldest->bits[c->ends[i] / 64] |= (uint64_t)1 << (c->ends[i] % 64);
    if (!c->ended) oldest->place = c->place;
    *allowed = oldest->bits;
    return TERN_OK;
}

tern_status tern_constraint_accept(tern_constraint *c, int32_t id)
{
    size_t size;
    const char *bytes = tern_token_bytes(c->t, id, &size);
    tern_place place = c->place;
    for (int i = 0; i < c->end_count; i++)
        if (c->ends[i] == id && (c->ended || tern_grammar_may_end(&c->place))) {
            c->ended = true;
            return TERN_OK;
        }
    bool possible = size && !c->ended && !tern_token_is_control(c->t, id);
    for (size_t i = 0; i < size && possible && place.ways->count; i++)
        TERN_TRY(tern_grammar_step(&c->m, &place, (uint8_t)bytes[i]));
    if (!possible || !place.ways->count)
        return tern_fail(TERN_FAILED, "token %d \"%.*s\" is not what the grammar allows here", id,
                         (int)(size < 40 ? size : 40), bytes);
    tern_text_add(&c->text, bytes, size);
    TERN_TRY(tern_text_status(&c->text));
    c->place = place;
    return TERN_OK;
}

bool tern_constraint_may_end(const tern_constraint *c)
{
    return c->ended || tern_grammar_may_end(&c->place);
}
