/* WordPiece: each word from the left by the longest token, inside a word by those that begin with "##" (Devlin et al.,
 * NAACL 2019).  A word that cannot be covered is one unknown token. */
#include "llm/tokenizer_parts.h"

static size_t characters(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += ((uint8_t)text[i] & 0xC0) != 0x80;
    return count;
}

tern_status tern_wordpiece(const tern_tokenizer *t, const char *text, size_t size, tern_tokens *out)
{
    size_t begin = out->count;
    bool known = characters(text, size) <= (size_t)t->v.most_word;
    for (size_t at = 0; at < size && known;) {
        const tern_span *span = tern_prefixes_longest(at ? &t->inside : &t->pieces, text + at, size - at);
        known = span != NULL;
        if (!known) break;
        TERN_TRY(tern_tokens_add(out, span->id));
        at += span->size;
    }
    if (known) return TERN_OK;
    out->count = begin;
    return t->v.unknown >= 0 ? tern_tokens_add(out, t->v.unknown) : TERN_OK;
}
