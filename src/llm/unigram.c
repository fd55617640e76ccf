/* Unigram models: of all ways to cut a text into tokens, the one of the highest sum of log-probabilities, by dynamic
 * programming over the text (Viterbi; Kudo, ACL 2018).  What no token covers costs 10 more than the rarest token. */
#include "llm/tokenizer_parts.h"

#define UNKNOWN_PENALTY 10

/* A way of this score to position `to`, over token `id` from `from`, if it is better. */
static void reach(const tern_tokenizer *t, tern_best *best, double score, size_t from, size_t to, int32_t id)
{
    if (t->v.sentencepiece) score = (float)score;
    if (best[to].from < 0 || score > best[to].score) best[to] = (tern_best){score, (int32_t)from, id};
}

static double score_of(const tern_tokenizer *t, const tern_span *span)
{
    const tern_token *token = &t->v.tokens[span->id];
    if (token->kind == TERN_TOKEN_USER && t->v.sentencepiece)
        return (float)span->size * (float)t->most_score - 0.1;
    return token->score;
}

static void forward(const tern_tokenizer *t, tern_best *best, const char *text, size_t size)
{
    double unknown = t->least_score - UNKNOWN_PENALTY;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code;
        bool valid, single = false;
        length = tern_utf8_decode(text + at, size - at, &code, &valid);
        double here = best[at].score;
        tern_walk walk = tern_prefixes_root(&t->pieces);
        for (size_t i = at; i < size && tern_prefixes_step(&t->pieces, &walk, (uint8_t)text[i]); i++) {
            const tern_span *span = tern_prefixes_here(&t->pieces, &walk);
            if (!span) continue;
            reach(t, best, score_of(t, span) + here, at, i + 1, span->id);
            if (span->size == length) single = true;
        }
        if (!single) reach(t, best, unknown + here, at, at + length, -1);
    }
}

tern_status tern_unigram(const tern_tokenizer *t, tern_encoding *e, const char *text, size_t size,
                         tern_tokens *out)
{
    TERN_TRY(tern_grow(&e->best, &e->best_capacity, size + 1, sizeof *e->best));
    for (size_t i = 0; i <= size; i++) e->best[i] = (tern_best){0, i ? -1 : 0, -1};
    forward(t, e->best, text, size);
    /* Backwards: from then on `from` is where the token that begins here ends. */
    for (int32_t at = (int32_t)size, end = -1; at >= 0;) {
        int32_t from = at ? e->best[at].from : -1;
        e->best[at].from = end;
        end = at;
        at = from;
    }
    bool unknown = false;
    for (int32_t at = 0; at < (int32_t)size; at = e->best[at].from) {
        int32_t end = e->best[at].from, id = e->best[end].id;
        if (id < 0) {
            TERN_TRY(tern_put_unknown(t, text + at, (size_t)(end - at), &unknown, out));
            continue;
        }
        unknown = false;
        TERN_TRY(tern_tokens_add(out, id));
    }
    return TERN_OK;
}
