/* A text through a tokenizer: added tokens cut out, what is between normalised, split and encoded. */
#include "llm/tokenizer_parts.h"

#include <string.h>

typedef struct tern_run { /* one call */
    const tern_tokenizer *t;
    tern_encoding e;
    unsigned flags;
    tern_tokens *out;
} tern_run;

/* What is left of an added token's match when its conditions are met. */
static bool widen(const tern_added *a, const char *text, size_t size, size_t floor, size_t *begin,
                  size_t *end)
{
    uint32_t code;
    bool valid;
    if (a->single_word) {
        size_t before = *begin;
        while (before && ((uint8_t)text[--before] & 0xC0) == 0x80) {
        }
        if (*begin) {
            tern_utf8_decode(text + before, *begin - before, &code, &valid);
            if (tern_is_word(code)) return false;
        }
        if (*end < size) {
            tern_utf8_decode(text + *end, size - *end, &code, &valid);
            if (tern_is_word(code)) return false;
        }
    }
    while (a->strip_left && *begin > floor) {
        size_t before = *begin - 1;
        while (before > floor && ((uint8_t)text[before] & 0xC0) == 0x80) before--;
        tern_utf8_decode(text + before, *begin - before, &code, &valid);
        if (!tern_is_space(code)) break;
        *begin = before;
    }
    while (a->strip_right && *end < size) {
        size_t length = tern_utf8_decode(text + *end, size - *end, &code, &valid);
        if (!tern_is_space(code)) break;
        *end += length;
    }
    return true;
}

/* The next added token at or behind `from`: its place and id; false when there is none. */
static bool next_added(const tern_run *r, int normalised, const char *text, size_t size, size_t from,
                       size_t *begin, size_t *end, int32_t *id)
{
    const tern_prefixes *set = &r->t->added[normalised];
    if (!set->count) return false;
    for (size_t at = from; at < size;) {
        if (set->first[(uint8_t)text[at]] == set->first[(uint8_t)text[at] + 1]) {
            at++;
            continue;
        }
        const tern_span *span = tern_prefixes_longest(set, text + at, size - at);
        const tern_added *a = span ? &r->t->v.added[span->id] : NULL;
        *begin = at;
        *end = at + (span ? span->size : 1);
        if (a && (!a->special || (r->flags & TERN_ENCODE_SPECIAL)) &&
            widen(a, text, size, from, begin, end)) {
            *id = a->id;
            return true;
        }
        at = *end;
    }
    return false;
}

static tern_status encode_piece(tern_run *r, const char *text, size_t size)
{
    switch (r->t->v.model) {
    case TERN_MODEL_UNIGRAM:
        return tern_unigram(r->t, &r->e, text, size, r->out);
    case TERN_MODEL_WORDPIECE:
        return tern_wordpiece(r->t, text, size, r->out);
    default:
        return tern_bpe(r->t, &r->e, text, size, r->out);
    }
}

/* The normalised text e->a, which has no added tokens. */
static tern_status encode_segment(tern_run *r)
{
    tern_encoding *e = &r->e;
    if (!e->a.size) return TERN_OK;
    TERN_TRY(tern_presplit(r->t, e));
    for (size_t i = 0; i < e->pieces.count; i++) {
        tern_piece p = e->pieces.items[i];
        TERN_TRY(encode_piece(r, e->a.data + p.begin, p.end - p.begin));
    }
    e->first = false;
    return TERN_OK;
}

static tern_status set_segment(tern_run *r, const char *text, size_t size)
{
    r->e.a.size = 0;
    if (size) tern_text_add(&r->e.a, text, size);
    return tern_text_status(&r->e.a);
}

static tern_status encode_normalised(tern_run *r, const tern_text *text)
{
    size_t from = 0, begin, end;
    int32_t id;
    while (next_added(r, 1, text->data, text->size, from, &begin, &end, &id)) {
        TERN_TRY(set_segment(r, text->data + from, begin - from));
        TERN_TRY(encode_segment(r));
        TERN_TRY(tern_tokens_add(r->out, id));
        r->e.first = false;
        from = end;
    }
    TERN_TRY(set_segment(r, text->data + from, text->size - from));
    return encode_segment(r);
}

/* A part of the text without raw added tokens. */
static tern_status encode_raw(tern_run *r, const char *text, size_t size)
{
    TERN_TRY(set_segment(r, text, size));
    TERN_TRY(tern_normalise(r->t, &r->e));
    if (!r->t->added[1].count || !r->e.a.size) return encode_segment(r);
    tern_text normal = r->e.a;
    r->e.a = (tern_text){0};
    tern_status status = encode_normalised(r, &normal);
    tern_text_free(&normal);
    return status;
}

static tern_status encode_all(tern_run *r, const char *text, size_t size)
{
    const tern_vocabulary *v = &r->t->v;
    size_t from = 0, begin, end;
    int32_t id;
    for (int i = 0; (r->flags & TERN_ENCODE_ENDS) && i < v->prefix_count; i++)
        TERN_TRY(tern_tokens_add(r->out, v->prefix[i]));
    while (next_added(r, 0, text, size, from, &begin, &end, &id)) {
        TERN_TRY(encode_raw(r, text + from, begin - from));
        TERN_TRY(tern_tokens_add(r->out, id));
        r->e.first = false;
        from = end;
    }
    TERN_TRY(encode_raw(r, text + from, size - from));
    for (int i = 0; (r->flags & TERN_ENCODE_ENDS) && i < v->suffix_count; i++)
        TERN_TRY(tern_tokens_add(r->out, v->suffix[i]));
    return TERN_OK;
}

tern_status tern_encode(const tern_tokenizer *t, const char *text, size_t size, unsigned flags,
                        tern_tokens *out)
{
    tern_run r = {.t = t, .e = {.first = true}, .flags = flags, .out = out};
    tern_text mended = {0};
    if (size > INT32_MAX / 8)
        return tern_fail(TERN_USAGE,
                         "a text of %zu bytes is too long to be encoded at once: expected at most %d", size,
                         INT32_MAX / 8);
    /* SentencePiece's step mends what it meets itself: a U+FFFD that stands for a bad byte is not mapped, one in the text is. */
    bool later = t->v.normalise_count && t->v.normalise[0].kind == TERN_STEP_SENTENCEPIECE;
    if (!later) tern_utf8_mend(&mended, text, size, false);
    tern_status status = tern_text_status(&mended);
    size_t before = out->count;
    if (status == TERN_OK) status = encode_all(&r, later ? text : mended.data, later ? size : mended.size);
    if (status != TERN_OK) out->count = before;
    tern_text_free(&mended);
    tern_text_free(&r.e.a);
    tern_text_free(&r.e.b);
    tern_release(r.e.pieces.items);
    tern_release(r.e.other.items);
    tern_release(r.e.symbols);
    tern_release(r.e.heap);
    tern_release(r.e.best);
    tern_regex_match_free(&r.e.match);
    return status;
}
