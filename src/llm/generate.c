/* Text from a language model, token by token or several guessed at once. */
#include "llm/saying.h"

#include "kernel/attend.h"

#include <string.h>

enum { LONGEST_MATCH = 8, LEAST_MATCH = 2, MOST_GUESSES = TERN_ALIKE - 1 };

struct tern_speaker {
    tern_llm *llm;
    tern_words words;
    tern_tokens held; /* whose keys and values the cache has */
    /* The logits at hand, a row for each of the tokens fed last: held[fed] and the `guesses` behind it.  Row r holds when
     * the first r guesses were right. */
    const float *logits;
    size_t fed;
    int row, guesses;
    int chunk, guess; /* tokens that go through at once; most guesses */
    int least;        /* tokens that must have occurred before for a guess: more where guesses were wrong */
    bool looked;      /* the guesses at hand were looked up */
    tern_llm *draft;  /* or NULL */
    tern_tokens drafted; /* what its cache holds */
    int most_drafted;
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static tern_status open_speaker(tern_speaker *s, const char *path, const tern_llm_options *options)
{
    tern_llm_options o = *options;
    s->chunk = o.chunk ? o.chunk : 256;
    if (s->guess) o.each = s->guess + 1;
    TERN_TRY(tern_llm_open(&s->llm, path, &o));
    return tern_words_open(&s->words, path, tern_llm_weights(s->llm));
}

tern_status tern_speaker_open(tern_speaker **speaker, const char *path, const tern_llm_options *options,
                              int guess)
{
    if (guess < 0 || guess > MOST_GUESSES)
        return tern_fail(TERN_USAGE, "%d guesses at once, expected 0 to %d", guess, MOST_GUESSES);
    tern_speaker *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a language model");
    s->guess = guess;
    s->least = LEAST_MATCH;
    tern_status status = open_speaker(s, path, options);
    if (status != TERN_OK) {
        tern_speaker_close(s);
        return status;
    }
    *speaker = s;
    return TERN_OK;
}

/* Whether both models mean the same by each number. */
static bool same_vocabulary(const tern_tokenizer *a, const tern_tokenizer *b)
{
    int32_t count = tern_tokenizer_vocabulary(a)->count;
    if (tern_tokenizer_vocabulary(b)->count != count) return false;
    for (int32_t id = 0; id < count; id++) {
        size_t n, m;
        const char *p = tern_token_bytes(a, id, &n), *q = tern_token_bytes(b, id, &m);
        if (n != m || memcmp(p, q, n) != 0) return false;
    }
    return true;
}

tern_status tern_speaker_draft(tern_speaker *s, const char *path, const tern_llm_options *options, int most)
{
    tern_tokenizer *tokenizer;
    tern_llm_options o = *options;
    if (most < 1 || most > s->guess)
        return tern_fail(TERN_USAGE, "%d tokens to draft at once, expected 1 to %d", most, s->guess);
    TERN_TRY(tern_tokenizer_read(&tokenizer, path));
    bool same = same_vocabulary(s->words.tokenizer, tokenizer);
    tern_tokenizer_close(tokenizer);
    if (!same)
        return tern_fail(TERN_USAGE, "%s has another vocabulary than the model that it is to guess for",
                         path);
    o.context = tern_llm_rows(s->llm);
    o.each = 0;
    s->most_drafted = most;
    return tern_llm_open(&s->draft, path, &o);
}

void tern_speaker_close(tern_speaker *s)
{
    if (!s) return;
    tern_llm_close(s->draft);
    tern_tokens_free(&s->drafted);
    tern_words_close(&s->words);
    tern_llm_close(s->llm);
    tern_tokens_free(&s->held);
    tern_release(s);
}

tern_llm *tern_speaker_model(const tern_speaker *speaker)
{
    return speaker->llm;
}

const tern_tokenizer *tern_speaker_tokenizer(const tern_speaker *speaker)
{
    return speaker->words.tokenizer;
}

const int32_t *tern_speaker_ends(const tern_speaker *speaker, int *count)
{
    *count = speaker->words.end_count;
    return speaker->words.ends;
}

const float *tern_speaker_logits(const tern_speaker *speaker)
{
    return speaker->logits;
}

tern_status tern_speaker_encode(const tern_speaker *s, const char *text, size_t size, tern_tokens *out)
{
    return tern_words_encode(&s->words, text, size, out);
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

/* Keep the first `count` tokens in the cache. */
static void keep(tern_speaker *s, size_t count)
{
    tern_llm_rewind(s->llm, (int)count);
    s->held.count = count;
}

static tern_status hold(tern_speaker *s, const int32_t *tokens, int count)
{
    for (int i = 0; i < count; i++) TERN_TRY(tern_tokens_add(&s->held, tokens[i]));
    return TERN_OK;
}

/* All of the prompt into the cache but what it has of it; the logits behind its last token. */
static tern_status feed_prompt(tern_speaker *s, const tern_tokens *prompt, tern_reply *reply)
{
    size_t same = 0, room = (size_t)tern_llm_rows(s->llm);
    if (prompt->count > room)
        return tern_fail(TERN_NO_FIT,
                         "the prompt has %zu tokens, which exceed the context of %zu: ask for a larger one",
                         prompt->count, room);
    while (same < prompt->count && same < s->held.count && prompt->ids[same] == s->held.ids[same]) same++;
    if (same == prompt->count) same--; /* the last one, for its logits */
    keep(s, same);
    reply->prompt = (int)prompt->count;
    reply->reused = (int)same;
    s->row = s->guesses = 0;
    while (s->held.count < prompt->count) {
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
        const int32_t *next = prompt->ids + s->held.count;
        size_t left = prompt->count - s->held.count;
        int part = left < (size_t)s->chunk ? (int)left : s->chunk;
        TERN_TRY(tern_llm_feed(s->llm, next, part, &s->logits));
        TERN_TRY(hold(s, next, part));
    }
    s->fed = s->held.count - 1;
    return TERN_OK;
}

int tern_lookup(const int32_t *tokens, size_t count, int least, int most, int32_t *out)
{
    size_t best = 0, length = 0; /* the end repeats `length` tokens that end before tokens[best] */
    for (size_t at = count - 1; at >= 1 && at < count && length < LONGEST_MATCH; at--) {
        size_t n = 0;
        while (n < at && n < LONGEST_MATCH && tokens[at - 1 - n] == tokens[count - 1 - n]) n++;
        if (n > length) {
            length = n;
            best = at;
        }
    }
    int have = 0;
    while (length >= (size_t)least && have < most && best + (size_t)have < count) {
        out[have] = tokens[best + (size_t)have];
        have++;
    }
    return have;
}

/* The draft's likeliest tokens behind what the cache holds, `most` of them at most. */
static tern_status draft(tern_speaker *s, int most, int32_t *out)
{
    size_t same = 0;
    const float *logits;
    int vocabulary = tern_llm_about(s->draft)->vocabulary;
    while (same < s->drafted.count && same + 1 < s->held.count && s->drafted.ids[same] == s->held.ids[same])
        same++;
    tern_llm_rewind(s->draft, (int)same);
    s->drafted.count = same;
    TERN_TRY(tern_llm_feed(s->draft, s->held.ids + same, (int)(s->held.count - same), &logits));
    for (; same < s->held.count; same++) TERN_TRY(tern_tokens_add(&s->drafted, s->held.ids[same]));
    for (s->guesses = 0; s->guesses < most; s->guesses++) {
        int32_t best = 0;
        if (s->guesses) {
            TERN_TRY(tern_llm_feed(s->draft, &out[s->guesses - 1], 1, &logits));
            TERN_TRY(tern_tokens_add(&s->drafted, out[s->guesses - 1]));
        }
        for (int i = 1; i < vocabulary; i++)
            if (logits[i] > logits[best]) best = i;
        out[s->guesses] = best;
    }
    return TERN_OK;
}

/* The logits behind `token`, which was picked from those at hand: they are here when the guess was right; else it is fed,
 * with guesses behind it where the request has them. */
static tern_status advance(tern_speaker *s, int32_t token, const tern_request *request, int left,
                           tern_reply *reply)
{
    int32_t batch[1 + MOST_GUESSES];
    size_t next = s->fed + 1 + (size_t)s->row;
    if (s->row < s->guesses && s->held.ids[next] == token) {
        s->row++;
        reply->right++;
        return TERN_OK;
    }
    /* Several rows cost about what two or three single ones do. */
    if (s->looked && s->row < 2 && s->least < LONGEST_MATCH) s->least++;
    if (s->looked && s->row == s->guesses) s->least = LEAST_MATCH;
    keep(s, next);
    batch[0] = token;
    TERN_TRY(hold(s, batch, 1));
    s->fed = next;
    s->row = s->guesses = 0;
    int room = tern_llm_rows(s->llm) - (int)s->held.count, most = s->guess;
    most = most < room ? most : room;
    most = most < left ? most : left;
    if (request->guess && most > 0)
        s->guesses = tern_lookup(s->held.ids, s->held.count, s->least, most, batch + 1);
    s->looked = s->guesses > 0;
    if (s->draft && !s->looked && most > 0)
        TERN_TRY(draft(s, most < s->most_drafted ? most : s->most_drafted, batch + 1));
    if (!s->guesses) return tern_llm_feed(s->llm, &token, 1, &s->logits);
    reply->guessed += s->guesses;
    TERN_TRY(tern_llm_feed_each(s->llm, batch, 1 + s->guesses, &s->logits));
    return hold(s, batch + 1, s->guesses);
}

/* ---- a reply ----------------------------------------------------------------------------------------------------- */

/* Tokens until something ends it. */
static tern_status say(tern_speaker *s, tern_saying *a)
{
    tern_reply *r = a->reply;
    int32_t id = 0;
    bool over;
    for (int left = a->request->most; left > 0; left--) {
        const float *logits = s->logits + (size_t)s->row * (size_t)a->vocabulary;
        r->finish = TERN_FINISH_INTERRUPTED;
        if (tern_interrupted()) return TERN_OK;
        TERN_TRY(tern_saying_next(a, logits, &id, &over));
        if (over) return TERN_OK;
        r->finish = TERN_FINISH_CONTEXT;
        if (s->fed + 1 + (size_t)s->row >= (size_t)tern_llm_rows(s->llm)) return TERN_OK;
        TERN_TRY(advance(s, id, a->request, left - 2, r));
    }
    return TERN_OK;
}

/* The prompt, then the reply; the cache keeps what was right. */
static tern_status speak(tern_speaker *s, tern_saying *a, const tern_tokens *prompt)
{
    TERN_TRY(feed_prompt(s, prompt, a->reply));
    a->reply->prompt_seconds = tern_now() - a->begun;
    tern_status status = say(s, a);
    a->reply->made_seconds = tern_now() - a->begun - a->reply->prompt_seconds;
    keep(s, s->fed + 1 + (size_t)s->row);
    TERN_TRY(status);
    return tern_saying_end(a);
}

tern_status tern_speak(tern_speaker *speaker, const tern_tokens *prompt, const tern_request *request,
                       tern_reply *reply)
{
    tern_saying a;
    tern_status status = tern_saying_open(&a, &speaker->words, request, prompt,
                                          tern_llm_about(speaker->llm)->vocabulary, reply);
    if (status == TERN_OK) status = speak(speaker, &a, prompt);
    tern_saying_close(&a);
    if (status != TERN_OK && speaker->held.count > (size_t)tern_llm_position(speaker->llm))
        speaker->held.count = (size_t)tern_llm_position(speaker->llm); /* fed in part */
    return status;
}
