/* Normalising steps: from a text to the text that is split. */
#define _GNU_SOURCE
#include "llm/tokenizer_parts.h"

#include <string.h>

/* Calls with each character of UTF-8. */
#define FOR_EACH_CODE(text, code)                                                                            \
    for (size_t at_ = 0, step_ = 0; at_ < (text)->size; at_ += step_)                                        \
        for (bool once_ = (step_ = decode_at(text, at_, &(code)), true); once_; once_ = false)

static size_t decode_at(const tern_text *text, size_t at, uint32_t *code)
{
    bool valid;
    return tern_utf8_decode(text->data + at, text->size - at, code, &valid);
}

static void lower(const tern_text *in, tern_text *out)
{
    uint32_t code;
    FOR_EACH_CODE(in, code) tern_put_lower(out, code);
}

static void strip_accents(const tern_text *in, tern_text *out)
{
    uint32_t code;
    FOR_EACH_CODE(in, code)
    if (tern_category_of(code) != TERN_MN) tern_utf8_put(out, code);
}

/* BERT: control characters and U+FFFD out, but not what is unassigned; all white space a space (tab and line ends are no
 * control characters here). */
static void clean(const tern_text *in, tern_text *out)
{
    uint32_t code;
    FOR_EACH_CODE(in, code)
    {
        bool space = tern_is_space(code);
        bool line = code == '\t' || code == '\n' || code == '\r';
        tern_category c = tern_category_of(code);
        if (code == 0 || code == TERN_REPLACEMENT || (c >= TERN_CC && c != TERN_CN && !line)) continue;
        tern_utf8_put(out, space ? ' ' : code);
    }
}

static bool is_chinese(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static void space_chinese(const tern_text *in, tern_text *out)
{
    uint32_t code;
    FOR_EACH_CODE(in, code)
    {
        bool chinese = is_chinese(code);
        if (chinese) tern_text_put(out, " ");
        tern_utf8_put(out, code);
        if (chinese) tern_text_put(out, " ");
    }
}

static tern_status replace(const tern_regex *regex, tern_encoding *e, const tern_text_step *s,
                           const tern_text *in, tern_text *out)
{
    size_t from = 0, begin = 0, end = 0;
    while (from < in->size) {
        bool found;
        if (regex) {
            TERN_TRY(tern_regex_next(regex, &e->match, in->data, in->size, from, &begin, &end, &found));
        } else {
            const char *at = s->size ? memmem(in->data + from, in->size - from, s->text, s->size) : NULL;
            found = at != NULL;
            begin = at ? (size_t)(at - in->data) : 0;
            end = begin + s->size;
        }
        if (!found || end == begin) break;
        tern_text_add(out, in->data + from, begin - from);
        tern_text_add(out, s->by, s->by_size);
        from = end;
    }
    tern_text_add(out, in->data + from, in->size - from);
    return TERN_OK;
}

static void strip(const tern_text_step *s, const tern_text *in, tern_text *out)
{
    size_t begin = 0, end = in->size, length;
    uint32_t code;
    while (s->left && begin < end) {
        length = decode_at(in, begin, &code);
        if (!tern_is_space(code)) break;
        begin += length;
    }
    while (s->right && end > begin) {
        size_t at = end - 1;
        while (at > begin && ((uint8_t)in->data[at] & 0xC0) == 0x80) at--;
        decode_at(in, at, &code);
        if (!tern_is_space(code)) break;
        end = at;
    }
    tern_text_add(out, in->data + begin, end - begin);
}

/* ---- SentencePiece ------------------------------------------------------------------------------------------ */

/* A precompiled map: bytes of a trie, the trie (Darts, a double array of 32-bit units), then NUL-ended texts. */
typedef struct tern_charsmap {
    const uint8_t *units;
    uint32_t count; /* units */
    const char *texts;
    size_t texts_size;
} tern_charsmap;

static uint32_t little(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static tern_charsmap charsmap(const tern_text_step *s)
{
    tern_charsmap map = {0};
    if (s->size < 4) return map;
    uint32_t trie = little((const uint8_t *)s->text);
    if (trie > s->size - 4 || s->text[s->size] != 0) return map; /* readers put a NUL behind */
    map.units = (const uint8_t *)s->text + 4;
    map.count = trie / 4;
    map.texts = s->text + 4 + trie;
    map.texts_size = s->size - 4 - trie;
    return map;
}

/* The longest beginning of the text that the map knows: its bytes (0: none) and what it becomes. */
static size_t map_longest(const tern_charsmap *map, const char *text, size_t left, const char **becomes)
{
    if (!map->count) return 0;
    size_t best = 0;
    uint32_t unit = little(map->units), node = 0;
    node ^= (unit >> 10) << ((unit & (1u << 9)) >> 6);
    for (size_t i = 0; i < left; i++) {
        uint8_t byte = (uint8_t)text[i];
        node ^= byte;
        if (byte == 0 || node >= map->count) break;
        unit = little(map->units + (size_t)node * 4);
        if ((unit & ((1u << 31) | 0xFF)) != byte) break;
        node ^= (unit >> 10) << ((unit & (1u << 9)) >> 6);
        if (((unit >> 8) & 1) && node < map->count) {
            uint32_t value = little(map->units + (size_t)node * 4) & ((1u << 31) - 1);
            if (value >= map->texts_size) break;
            best = i + 1;
            *becomes = map->texts + value;
        }
    }
    return best;
}

/* One unit of SentencePiece's normalisation: bytes taken from the text, and what they become. */
static size_t next_unit(const tern_tokenizer *t, const tern_charsmap *map, const char *text, size_t left,
                        const char **out, size_t *out_size)
{
    const tern_span *user = tern_prefixes_longest(&t->user, text, left);
    uint32_t code;
    bool valid;
    *out = text;
    if (user) return *out_size = user->size;
    size_t taken = map_longest(map, text, left, out);
    if (taken) {
        *out_size = strlen(*out);
        return taken;
    }
    taken = tern_utf8_decode(text, left, &code, &valid);
    *out = valid ? text : "\xEF\xBF\xBD";
    *out_size = valid ? taken : 3;
    return valid ? taken : 1;
}

static void put_escaped(tern_text *out, const char *text, size_t size, bool escape)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ' && escape)
            tern_text_put(out, "\xE2\x96\x81");
        else
            tern_text_add(out, text + i, 1);
    }
}

static void sentencepiece(const tern_tokenizer *t, const tern_text_step *s, const tern_text *in,
                          tern_text *out)
{
    tern_charsmap map = charsmap(s);
    const char *space = s->escape ? "\xE2\x96\x81" : " ", *unit;
    size_t space_size = strlen(space), size, at = 0, begin = out->size;
    while (s->remove_extra && at < in->size) { /* spaces before the text */
        size_t taken = next_unit(t, &map, in->data + at, in->size - at, &unit, &size);
        if (size != 1 || unit[0] != ' ') break;
        at += taken;
    }
    if (at == in->size) return;
    if (s->add_prefix) tern_text_add(out, space, space_size);
    bool after_space = s->remove_extra;
    while (at < in->size) {
        at += next_unit(t, &map, in->data + at, in->size - at, &unit, &size);
        while (after_space && size && unit[0] == ' ') unit++, size--;
        if (size) {
            put_escaped(out, unit, size, s->escape);
            after_space = s->remove_extra && unit[size - 1] == ' ';
        }
    }
    while (s->remove_extra && out->size - begin >= space_size &&
           memcmp(out->data + out->size - space_size, space, space_size) == 0)
        out->size -= space_size;
}

/* Hugging Face's use of the map alone: grapheme by grapheme there, which comes to the longest matches here. */
static void map_only(const tern_tokenizer *t, const tern_text_step *s, const tern_text *in, tern_text *out)
{
    tern_charsmap map = charsmap(s);
    const char *unit;
    size_t size;
    for (size_t at = 0; at < in->size;) {
        at += next_unit(t, &map, in->data + at, in->size - at, &unit, &size);
        tern_text_add(out, unit, size);
    }
}

static tern_status apply(const tern_tokenizer *t, tern_encoding *e, int i, const tern_text *in,
                         tern_text *out)
{
    const tern_text_step *s = &t->v.normalise[i];
    switch (s->kind) {
    case TERN_STEP_NFC:
        tern_normalise_canonical(out, in->data, in->size, true);
        break;
    case TERN_STEP_NFD:
        tern_normalise_canonical(out, in->data, in->size, false);
        break;
    case TERN_STEP_LOWER:
        lower(in, out);
        break;
    case TERN_STEP_STRIP_ACCENTS:
        strip_accents(in, out);
        break;
    case TERN_STEP_REPLACE:
        return replace(t->regex[0][i], e, s, in, out);
    case TERN_STEP_PREPEND:
        tern_text_add(out, s->text, s->size);
        tern_text_add(out, in->data, in->size);
        break;
    case TERN_STEP_STRIP:
        strip(s, in, out);
        break;
    case TERN_STEP_CLEAN:
        clean(in, out);
        break;
    case TERN_STEP_CHINESE:
        space_chinese(in, out);
        break;
    case TERN_STEP_CHARSMAP:
        map_only(t, s, in, out);
        break;
    case TERN_STEP_SENTENCEPIECE:
        sentencepiece(t, s, in, out);
        break;
    default:
        tern_text_add(out, in->data, in->size);
        break;
    }
    return TERN_OK;
}

tern_status tern_normalise(const tern_tokenizer *t, tern_encoding *e)
{
    for (int i = 0; i < t->v.normalise_count && e->a.size; i++) {
        e->b.size = 0;
        TERN_TRY(apply(t, e, i, &e->a, &e->b));
        TERN_TRY(tern_text_status(&e->b));
        tern_text swap = e->a;
        e->a = e->b;
        e->b = swap;
    }
    return TERN_OK;
}
