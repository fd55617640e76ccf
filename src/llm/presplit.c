/* Splitting steps: from a normalised text to the pieces that the model sees one by one. */
#define _GNU_SOURCE
#include "llm/tokenizer_parts.h"

#include <string.h>

static tern_status add_piece(tern_pieces *pieces, size_t begin, size_t end)
{
    if (begin == end) return TERN_OK;
    TERN_TRY(tern_grow(&pieces->items, &pieces->capacity, pieces->count + 1, sizeof *pieces->items));
    pieces->items[pieces->count++] = (tern_piece){(uint32_t)begin, (uint32_t)end};
    return TERN_OK;
}

/* How one piece is being cut: what matches and what does not, in order, goes through cut(). */
typedef struct tern_cutter {
    tern_pieces *out;
    tern_split_kind kind;
    bool invert;
    size_t floor; /* pieces of this text begin here in `out` */
    bool before;  /* what came last was a match */
    bool any;
} tern_cutter;

static tern_status cut(tern_cutter *c, size_t begin, size_t end, bool match)
{
    match = match != c->invert;
    if (begin == end) return TERN_OK; /* nothing, which has no neighbours either */
    bool join = false;
    bool have = c->out->count > c->floor;
    if (c->kind == TERN_SPLIT_REMOVED && match) return TERN_OK;
    if (c->kind == TERN_SPLIT_WITH_PREVIOUS) join = match && have && !c->before;
    if (c->kind == TERN_SPLIT_WITH_NEXT) join = !match && have && c->before;
    if (c->kind == TERN_SPLIT_CONTIGUOUS) join = have && c->any && match == c->before;
    c->before = match;
    c->any = true;
    if (!join) return add_piece(c->out, begin, end);
    c->out->items[c->out->count - 1].end = (uint32_t)end;
    return TERN_OK;
}

static tern_status split_by_text(const tern_text_step *s, const char *text, tern_piece p, tern_cutter *c)
{
    size_t from = p.begin;
    while (from < p.end) {
        const char *at = s->size ? memmem(text + from, p.end - from, s->text, s->size) : NULL;
        if (!at) break;
        size_t begin = (size_t)(at - text);
        TERN_TRY(cut(c, from, begin, false));
        TERN_TRY(cut(c, begin, begin + s->size, true));
        from = begin + s->size;
    }
    return cut(c, from, p.end, false);
}

static tern_status split_by_regex(const tern_regex *regex, tern_regex_match *match, const char *text,
                                  tern_piece p, tern_cutter *c)
{
    size_t done = 0, from = 0, size = p.end - p.begin; /* each piece is a text of its own, for \S and $ */
    const char *own = text + p.begin;
    while (from < size) {
        size_t begin, end;
        bool found;
        TERN_TRY(tern_regex_next(regex, match, own, size, from, &begin, &end, &found));
        if (!found) break;
        if (end == begin) { /* an empty match: go on behind the next character */
            uint32_t code;
            bool valid;
            if (begin >= size) break;
            from = begin + tern_utf8_decode(own + begin, size - begin, &code, &valid);
            continue;
        }
        TERN_TRY(cut(c, p.begin + done, p.begin + begin, false));
        TERN_TRY(cut(c, p.begin + begin, p.begin + end, true));
        done = from = end;
    }
    return cut(c, p.begin + done, p.end, false);
}

/* 0: dropped, 1: by itself, 2 and 3: runs of such. */
static int class_of(const tern_text_step *s, uint32_t code)
{
    switch (s->kind) {
    case TERN_STEP_SPACES:
        return tern_is_space(code) ? 0 : 2;
    case TERN_STEP_PUNCTUATION:
        return tern_is_punctuation(code) ? 1 : 2;
    case TERN_STEP_DIGITS:
        return !tern_is_number(code) ? 2 : s->split == TERN_SPLIT_CONTIGUOUS ? 3 : 1;
    default:
        return tern_is_space(code) ? 0 : tern_is_word(code) ? 2 : 3;
    }
}

static tern_status split_by_class(const tern_text_step *s, const char *text, tern_piece p, tern_pieces *out)
{
    size_t begin = p.begin;
    int before = 0;
    for (size_t at = p.begin; at < p.end;) {
        uint32_t code;
        bool valid;
        size_t length = tern_utf8_decode(text + at, p.end - at, &code, &valid);
        int class = class_of(s, code);
        if (class != before || class == 1) {
            if (before) TERN_TRY(add_piece(out, begin, at));
            begin = at;
        }
        before = class;
        at += length;
    }
    return before ? add_piece(out, begin, p.end) : TERN_OK;
}

/* Text before each piece that does not begin with it: the text is written anew. */
static tern_status prefix(const tern_text_step *s, tern_encoding *e)
{
    e->b.size = 0;
    for (size_t i = 0; i < e->pieces.count; i++) {
        const tern_piece *p = &e->pieces.items[i];
        size_t begin = e->b.size, size = p->end - p->begin;
        bool has = size >= s->size && memcmp(e->a.data + p->begin, s->text, s->size) == 0;
        bool wanted = !has && (!s->first || (e->first && i == 0));
        if (wanted) tern_text_add(&e->b, s->text, s->size);
        tern_text_add(&e->b, e->a.data + p->begin, size);
        TERN_TRY(tern_text_status(&e->b));
        TERN_TRY(add_piece(&e->other, begin, e->b.size));
    }
    tern_text swap = e->a;
    e->a = e->b;
    e->b = swap;
    return TERN_OK;
}

static tern_status split(const tern_tokenizer *t, tern_encoding *e, int i)
{
    const tern_text_step *s = &t->v.split[i];
    e->other.count = 0;
    if (s->kind == TERN_STEP_PREFIX) {
        TERN_TRY(prefix(s, e));
    } else {
        for (size_t k = 0; k < e->pieces.count; k++) {
            tern_piece p = e->pieces.items[k];
            tern_cutter c = {
                .out = &e->other, .kind = s->split, .invert = s->invert, .floor = e->other.count};
            if (s->kind != TERN_STEP_SPLIT)
                TERN_TRY(split_by_class(s, e->a.data, p, &e->other));
            else if (s->regex)
                TERN_TRY(split_by_regex(t->regex[1][i], &e->match, e->a.data, p, &c));
            else
                TERN_TRY(split_by_text(s, e->a.data, p, &c));
        }
    }
    tern_pieces swap = e->pieces;
    e->pieces = e->other;
    e->other = swap;
    return TERN_OK;
}

tern_status tern_presplit(const tern_tokenizer *t, tern_encoding *e)
{
    e->pieces.count = 0;
    TERN_TRY(add_piece(&e->pieces, 0, e->a.size));
    for (int i = 0; i < t->v.split_count; i++) TERN_TRY(split(t, e, i));
    return TERN_OK;
}

/* ---- patterns by name ----------------------------------------------------------------------------------------- */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(digits)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits                               \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3_MARKS                                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"                              \
    "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(tail, digits)                                                                                  \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" tail "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" tail     \
    "|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

/* What each model's published tokenizer splits by.  Later patterns split what earlier ones left, matched or not. */
static const struct {
    const char *names; /* separated by spaces */
    bool whole_first;
    const char *patterns[6];
} known[] = {
    {"gpt-2 gpt2 phi-2 mpt olmo jais jina-es jina-de modern-bert roberta-bpe exaone4", false, {GPT2}},
    {"llama-bpe llama3 llama-v3 pixtral falcon3 lfm2", true, {LLAMA3("{1,3}")}},
    {"dbrx smaug-bpe chatglm-bpe", false, {LLAMA3("{1,3}")}},
    {"glm4", true, {LLAMA3("{1,3}")}},
    {"qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan", false, {LLAMA3("")}},
    {"qwen35", false, {LLAMA3_MARKS}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b", false, {"\\p{N}", GPT2}},
    {"falcon", false, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"tekken", true, {CASED("", "")}},
    {"gpt-4o llama4", false, {CASED(CONTRACTION, "{1,3}")}},
    {"deepseek-v3 hunyuan-dense",
     false,
     {"\\p{N}{1,3}", "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
      "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
      "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"deepseek-coder",
     false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
      "\\p{N}"}},
};

static bool in_list(const char *names, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = names; (at = strstr(at, name)) != NULL; at++)
        if ((at == names || at[-1] == ' ') && (at[size] == ' ' || at[size] == 0) && size) return true;
    return false;
}

tern_status tern_vocabulary_presplit(tern_vocabulary *v, const char *name)
{
    for (size_t i = 0; i < TERN_COUNT(known); i++) {
        if (!in_list(known[i].names, name)) continue;
        v->whole_first = known[i].whole_first;
        for (int k = 0; k < 6 && known[i].patterns[k] && v->split_count < TERN_MOST_STEPS; k++)
            v->split[v->split_count++] = (tern_text_step){.kind = TERN_STEP_SPLIT,
                                                          .text = known[i].patterns[k],
                                                          .size = strlen(known[i].patterns[k]),
                                                          .regex = true};
        return TERN_OK;
    }
    tern_text names = {0};
    for (size_t i = 0; i < TERN_COUNT(known); i++) tern_text_format(&names, " %s", known[i].names);
    tern_status status = tern_text_status(&names);
    if (status == TERN_OK)
        status =
            tern_fail(TERN_FAILED, "the tokenizer splits text by \"%s\", which is not known; known are%s",
                      name, names.data);
    tern_text_free(&names);
    return status;
}
