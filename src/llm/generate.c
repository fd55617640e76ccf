/* Text from a language model, token by token or several guessed at once. */
#include "llm/generate.h"

#include <string.h>

enum { MOST_ENDS = 16, LONGEST_MATCH = 8, LEAST_MATCH = 2, MOST_GUESSES = 32 };

const char *const tern_finish_names[] = {"end", "stop", "length", "context", "interrupted"};

struct tern_speaker {
    tern_llm *llm;
    tern_tokenizer *tokenizer;
    int32_t ends[MOST_ENDS];
    int end_count;
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

static void add_end(tern_speaker *s, int32_t id)
{
    for (int i = 0; i < s->end_count; i++)
        if (s->ends[i] == id) return;
    if (id >= 0 && s->end_count < MOST_ENDS) s->ends[s->end_count++] = id;
}

/* The tokens that end a text: those that the file names, and control tokens of well-known spellings. */
static void find_ends(tern_speaker *s, const tern_weights *w)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    static const char *const spelled[] = {"<|im_end|>",    "<|eot_id|>",      "<|end|>",    "<end_of_turn>",
                                          "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "</s>"};
    for (size_t i = 0; i < TERN_COUNT(keys); i++) {
        const tern_meta *m = tern_weights_meta(w, keys[i]);
        if (m && !m->array && m->kind != TERN_META_TEXT) add_end(s, (int32_t)tern_meta_number(m, 0));
    }
    for (size_t i = 0; i < TERN_COUNT(spelled); i++) {
        int32_t id = tern_token_find(s->tokenizer, spelled[i], strlen(spelled[i]));
        if (id >= 0 && tern_token_is_control(s->tokenizer, id)) add_end(s, id);
    }
}

static tern_status open_speaker(tern_speaker *s, const char *path, const tern_llm_options *options)
{
    tern_llm_options o = *options;
    s->chunk = o.chunk ? o.chunk : 64;
    if (s->guess) o.each = s->guess + 1;
    TERN_TRY(tern_llm_open(&s->llm, path, &o));
    const tern_weights *w = tern_llm_weights(s->llm);
    TERN_TRY(tern_tokenizer_read(&s->tokenizer, path));
    find_ends(s, w);
    return TERN_OK;
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
    bool same = same_vocabulary(s->tokenizer, tokenizer);
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
    tern_tokenizer_close(s->tokenizer);
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
    return speaker->tokenizer;
}

const int32_t *tern_speaker_ends(const tern_speaker *speaker, int *count)
{
    *count = speaker->end_count;
    return speaker->ends;
}

const float *tern_speaker_logits(const tern_speaker *speaker)
{
    return speaker->logits;
}

tern_status tern_speaker_encode(const tern_speaker *s, const char *text, size_t size, tern_tokens *out)
{
    const tern_vocabulary *v = tern_tokenizer_vocabulary(s->tokenizer);
    size_t first = out->count;
    for (int i = 0; i < v->prefix_count; i++) TERN_TRY(tern_tokens_add(out, v->prefix[i]));
    size_t behind = out->count;
    TERN_TRY(tern_encode(s->tokenizer, text, size, TERN_ENCODE_SPECIAL, out));
    if (behind > first && out->count > behind && out->ids[behind] == out->ids[behind - 1]) {
        out->count--; /* the text spells it too */
        memmove(out->ids + behind, out->ids + behind + 1, (out->count - behind) * sizeof *out->ids);
    }
    return out->count > first ? TERN_OK : tern_fail(TERN_USAGE, "the prompt is empty: it has no token");
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

void tern_reply_free(tern_reply *reply)
{
    tern_tokens_free(&reply->tokens);
    tern_text_free(&reply->text);
    tern_release(reply->log_probabilities);
    tern_release(reply->likeliest);
    tern_release(reply->seconds);
    *reply = (tern_reply){0};
}

typedef struct tern_saying {
    tern_speaker *speaker;
    const tern_request *request;
    tern_reply *reply;
    tern_sampler *sampler;
    tern_decoder decoder;
    size_t shown; /* bytes of the text that were handed out */
    double begun;
    bool stopped;
} tern_saying;

static tern_status grow(void **array, int from, int to, size_t size)
{
    void *bigger = tern_resize(*array, (size_t)from * size, (size_t)to * size);
    if (!bigger) return tern_no_memory((size_t)to * size, "a reply");
    *array = bigger;
    return TERN_OK;
}

/* The token that was picked from `logits` becomes part of the reply. */
static tern_status record(tern_saying *a, const float *logits, int32_t id)
{
    tern_reply *r = a->reply;
    int n = (int)r->tokens.count, likeliest = a->request->alternatives;
    int vocabulary = tern_llm_about(a->speaker->llm)->vocabulary;
    if (n == r->recorded) {
        int room = n ? 2 * n : 64;
        TERN_TRY(grow((void **)&r->seconds, n, room, sizeof *r->seconds));
        TERN_TRY(grow((void **)&r->log_probabilities, n, room, sizeof *r->log_probabilities));
        if (likeliest > 0)
            TERN_TRY(grow((void **)&r->likeliest, n * likeliest, room * likeliest, sizeof *r->likeliest));
        r->recorded = room;
    }
    r->seconds[n] = tern_now() - a->begun;
    if (likeliest >= 0) r->log_probabilities[n] = tern_log_probability_of(logits, vocabulary, id);
    if (likeliest > 0)
        tern_log_probabilities(logits, vocabulary, r->likeliest + (size_t)n * (size_t)likeliest, likeliest);
    return tern_tokens_add(&r->tokens, id);
}

/* Bytes at the end of the text that may be the beginning of a stop text; a whole one cuts the text, and ends it. */
static size_t look_for_stops(tern_saying *a)
{
    tern_text *t = &a->reply->text;
    size_t wait = 0, cut = t->size;
    for (int i = 0; i < a->request->stop_count; i++) {
        const char *stop = a->request->stops[i];
        size_t length = strlen(stop);
        for (size_t at = a->shown; length && at < t->size; at++) {
            size_t left = t->size - at, n = left < length ? left : length;
            if (memcmp(t->data + at, stop, n) != 0) continue;
            if (n == length && at < cut) cut = at;
            if (n < length && left > wait) wait = left;
            break;
        }
    }
    a->stopped = cut < t->size;
    if (!a->stopped) return wait;
    t->size = cut;
    t->data[cut] = 0;
    return 0;
}

/* Hand out what has come and is certain. */
static tern_status show(tern_saying *a, bool last)
{
    tern_text *t = &a->reply->text;
    size_t wait = a->stopped ? 0 : look_for_stops(a), from = a->shown;
    if (last) wait = 0;
    if (t->size - wait <= from) return tern_text_status(t);
    a->shown = t->size - wait;
    TERN_TRY(tern_text_status(t));
    return a->request->on_text ? a->request->on_text(a->request->context, t->data + from, a->shown - from)
                               : TERN_OK;
}

static bool ends(const tern_saying *a, int32_t id)
{
    for (int i = 0; !a->request->past_end && i < a->speaker->end_count; i++)
        if (a->speaker->ends[i] == id) return true;
    return false;
}

static tern_status pick(tern_saying *a, const float *logits, int32_t *id)
{
    const uint64_t *allowed = NULL;
    if (a->request->constraint) TERN_TRY(tern_constraint_mask(a->request->constraint, &allowed));
    TERN_TRY(tern_sampler_pick(a->sampler, logits, allowed, id));
    if (a->request->constraint && !ends(a, *id))
        TERN_TRY(tern_constraint_accept(a->request->constraint, *id));
    return tern_sampler_accept(a->sampler, *id);
}

/* Tokens until something ends it. */
static tern_status say(tern_saying *a)
{
    tern_speaker *s = a->speaker;
    tern_reply *r = a->reply;
    int vocabulary = tern_llm_about(s->llm)->vocabulary;
    r->finish = TERN_FINISH_LENGTH;
    for (int left = a->request->most; left > 0; left--) {
        int32_t id = 0;
        const float *logits = s->logits + (size_t)s->row * (size_t)vocabulary;
        r->finish = TERN_FINISH_INTERRUPTED;
        if (tern_interrupted()) return TERN_OK;
        double begun = tern_now();
        TERN_TRY(pick(a, logits, &id));
        r->sampler_seconds += tern_now() - begun;
        r->finish = TERN_FINISH_END;
        if (ends(a, id)) return TERN_OK;
        TERN_TRY(record(a, logits, id));
        begun = tern_now();
        TERN_TRY(tern_decode(s->tokenizer, &a->decoder, id, &r->text));
        TERN_TRY(show(a, false));
        r->text_seconds += tern_now() - begun;
        r->finish = TERN_FINISH_STOP;
        if (a->stopped) return TERN_OK;
        r->finish = TERN_FINISH_LENGTH;
        if (left == 1) return TERN_OK;
        r->finish = TERN_FINISH_CONTEXT;
        if (s->fed + 1 + (size_t)s->row >= (size_t)tern_llm_rows(s->llm)) return TERN_OK;
        TERN_TRY(advance(s, id, a->request, left - 2, r));
    }
    return TERN_OK;
}

/* The sampler sees the prompt; then the reply is made, and the cache keeps what was right. */
static tern_status speak(tern_saying *a, const tern_tokens *prompt)
{
    tern_sampling greedy = tern_sampling_standard();
    tern_speaker *s = a->speaker;
    const tern_request *q = a->request;
    int vocabulary = tern_llm_about(s->llm)->vocabulary;
    int32_t known = tern_tokenizer_vocabulary(s->tokenizer)->count;
    greedy.temperature = 0;
    if (q->constraint && known < vocabulary)
        return tern_fail(TERN_FAILED,
                         "the tokenizer has %d tokens and the model %d: no grammar can be held to", known,
                         vocabulary);
    TERN_TRY(tern_sampler_open(&a->sampler, q->sampling ? q->sampling : &greedy, vocabulary));
    if (q->constraint) TERN_TRY(tern_constraint_reset(q->constraint));
    TERN_TRY(feed_prompt(s, prompt, a->reply));
    for (size_t i = 0; i < prompt->count; i++) TERN_TRY(tern_sampler_accept(a->sampler, prompt->ids[i]));
    a->reply->prompt_seconds = tern_now() - a->begun;
    tern_status status = say(a);
    a->reply->made_seconds = tern_now() - a->begun - a->reply->prompt_seconds;
    keep(s, s->fed + 1 + (size_t)s->row);
    TERN_TRY(status);
    if (!a->stopped) TERN_TRY(tern_decode_end(&a->decoder, &a->reply->text));
    return show(a, true);
}

tern_status tern_speak(tern_speaker *speaker, const tern_tokens *prompt, const tern_request *request,
                       tern_reply *reply)
{
    tern_saying a = {.speaker = speaker, .request = request, .reply = reply, .begun = tern_now()};
    if (!prompt->count) return tern_fail(TERN_USAGE, "the prompt is empty: it has no token");
    tern_text_put(&reply->text, "");
    tern_status status = speak(&a, prompt);
    tern_sampler_close(a.sampler);
    if (status != TERN_OK && speaker->held.count > (size_t)tern_llm_position(speaker->llm))
        speaker->held.count = (size_t)tern_llm_position(speaker->llm); /* fed in part */
    return status;
}
