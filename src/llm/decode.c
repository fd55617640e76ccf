/* Tokens back to text. */
#include "llm/tokenizer_parts.h"

#include <string.h>

/* "##x" inside a word is "x"; another word has a space before it, but (tidy) for punctuation and contractions. */
static void spell_word(const tern_vocabulary *v, const tern_token *token, tern_text *out)
{
    static const char *const close[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    size_t skip = strlen(v->continuing);
    if (!token->size) return;
    if (token->size >= skip && memcmp(token->text, v->continuing, skip) == 0) {
        tern_text_add(out, token->text + skip, token->size - skip);
        return;
    }
    bool space = true;
    for (size_t i = 0; v->tidy && i < TERN_COUNT(close); i++) {
        size_t size = strlen(close[i]);
        if (token->size >= size && memcmp(token->text, close[i], size) == 0) space = false;
    }
    if (space) tern_text_put(out, " ");
    tern_text_add(out, token->text, token->size);
}

static void spell(const tern_tokenizer *t, int32_t id, tern_text *out)
{
    const tern_token *token = &t->v.tokens[id];
    if (t->v.model == TERN_MODEL_WORDPIECE) {
        spell_word(&t->v, token, out);
        return;
    }
    if (token->kind == TERN_TOKEN_BYTE && token->size == 6) {
        for (int b = 0; b < 256; b++)
            if (t->byte_token[b] == id) tern_text_add(out, (char[]){(char)b}, 1);
        return;
    }
    if (token->kind == TERN_TOKEN_UNKNOWN && t->v.sentencepiece) { /* as that library shows it */
        tern_text_put(out, " \xE2\x81\x87 ");
        return;
    }
    for (size_t i = 0; i < token->size; i++) {
        bool space =
            t->v.spaces_escaped && i + 3 <= token->size && memcmp(token->text + i, "\xE2\x96\x81", 3) == 0;
        tern_text_add(out, space ? " " : token->text + i, 1);
        if (space) i += 2;
    }
}

tern_status tern_spell_tokens(tern_tokenizer *t)
{
    tern_text all = {0};
    t->spelled_at = tern_take_array((size_t)t->v.count + 1, sizeof *t->spelled_at);
    if (!t->spelled_at) return tern_no_memory((size_t)t->v.count * sizeof *t->spelled_at, "a tokenizer");
    for (int32_t id = 0; id < t->v.count && all.size < UINT32_MAX / 2; id++) {
        spell(t, id, &all);
        t->spelled_at[id + 1] = (uint32_t)all.size;
    }
    tern_status status = tern_text_status(&all);
    if (status != TERN_OK)
        tern_text_free(&all);
    else
        t->spelled = all.data;
    return status;
}

const char *tern_token_bytes(const tern_tokenizer *t, int32_t id, size_t *size)
{
    *size = 0;
    if (id < 0 || id >= t->v.count || !t->spelled) return "";
    *size = t->spelled_at[id + 1] - t->spelled_at[id];
    return t->spelled + t->spelled_at[id];
}

bool tern_token_is_control(const tern_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->v.count && t->v.tokens[id].kind == TERN_TOKEN_CONTROL;
}

/* Whole characters of waiting and new bytes go out; the beginning of one waits on. */
static void put_characters(tern_decoder *d, const char *bytes, size_t size, bool each_byte, tern_text *out)
{
    tern_text all = {0};
    if (d->waiting_size) {
        tern_text_add(&all, d->waiting, d->waiting_size);
        tern_text_add(&all, bytes, size);
        if (all.failed) out->failed = true;
        bytes = all.data;
        size = all.failed ? 0 : all.size;
    }
    size_t keep = tern_utf8_unfinished(bytes, size);
    tern_utf8_mend(out, bytes, size - keep, each_byte);
    if (keep) memcpy(d->waiting, bytes + size - keep, keep);
    d->waiting_size = keep;
    tern_text_free(&all);
}

tern_status tern_decode(const tern_tokenizer *t, tern_decoder *d, int32_t id, tern_text *out)
{
    size_t size;
    const char *bytes = tern_token_bytes(t, id, &size);
    if (id < 0 || id >= t->v.count)
        return tern_fail(TERN_USAGE, "token %d: expected 0 to %d", id, t->v.count - 1);
    if (tern_token_is_control(t, id) && !d->specials) return TERN_OK;
    if (!d->started && t->v.model == TERN_MODEL_WORDPIECE) {
        bytes = t->v.tokens[id].text;
        size = t->v.tokens[id].size;
    } else if (!d->started && t->v.strip_first && size && bytes[0] == ' ' && id != t->v.unknown) {
        bytes++, size--;
    }
    d->started = true;
    put_characters(d, bytes, size, t->v.sentencepiece || t->v.byte_fallback, out);
    return tern_text_status(out);
}

tern_status tern_decode_end(tern_decoder *d, tern_text *out)
{
    tern_utf8_mend(out, d->waiting, d->waiting_size, false);
    *d = (tern_decoder){.specials = d->specials};
    return tern_text_status(out);
}

tern_status tern_decode_all(const tern_tokenizer *t, const tern_tokens *tokens, tern_text *out)
{
    tern_decoder decoder = {0};
    tern_text_put(out, "");
    for (size_t i = 0; i < tokens->count; i++) TERN_TRY(tern_decode(t, &decoder, tokens->ids[i], out));
    return tern_decode_end(&decoder, out);
}
