/* Text from logits: what a model's file says about its words, and replies as they grow. */
#include "llm/saying.h"

#include "llm/folder.h"

#include <string.h>

const char *const tern_finish_names[] = {"end", "stop", "length", "context", "interrupted"};

/* ---- words ------------------------------------------------------------------------------------------------------- */

static void add_end(tern_words *w, int32_t id)
{
    for (int i = 0; i < w->end_count; i++)
        if (w->ends[i] == id) return;
    if (id >= 0 && w->end_count < TERN_MOST_WORD_ENDS) w->ends[w->end_count++] = id;
}

/* The tokens that end a text: those that the file or folder names, and control tokens of well-known spellings. */
static tern_status find_ends(tern_words *words, const tern_weights *w, const char *path)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    static const char *const spelled[] = {"<|im_end|>",    "<|eot_id|>",      "<|end|>",    "<end_of_turn>",
                                          "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "</s>"};
    for (size_t i = 0; i < TERN_COUNT(keys); i++) {
        const tern_meta *m = tern_weights_meta(w, keys[i]);
        if (m && !m->array && m->kind != TERN_META_TEXT) add_end(words, (int32_t)tern_meta_number(m, 0));
    }
    for (size_t i = 0; i < TERN_COUNT(spelled); i++) {
        int32_t id = tern_token_find(words->tokenizer, spelled[i], strlen(spelled[i]));
        if (id >= 0 && tern_token_is_control(words->tokenizer, id)) add_end(words, id);
    }
    int32_t named[TERN_MOST_WORD_ENDS];
    int count = 0;
    if (tern_is_folder(path)) {
        add_end(words, tern_tokenizer_vocabulary(words->tokenizer)->eos);
        TERN_TRY(tern_folder_ends(path, named, TERN_MOST_WORD_ENDS, &count));
    }
    for (int i = 0; i < count; i++) add_end(words, named[i]);
    return TERN_OK;
}

tern_status tern_words_open(tern_words *words, const char *path, const tern_weights *weights)
{
    TERN_TRY(tern_tokenizer_read(&words->tokenizer, path));
    return find_ends(words, weights, path);
}

void tern_words_close(tern_words *words)
{
    tern_tokenizer_close(words->tokenizer);
    words->tokenizer = NULL;
}

tern_status tern_words_encode(const tern_words *s, const char *text, size_t size, tern_tokens *out)
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
    if (n == r->recorded) {
        int room = n ? 2 * n : 64;
        TERN_TRY(grow((void **)&r->seconds, n, room, sizeof *r->seconds));
        TERN_TRY(grow((void **)&r->log_probabilities, n, room, sizeof *r->log_probabilities));
        if (likeliest > 0)
            TERN_TRY(grow((void **)&r->likeliest, n * likeliest, room * likeliest, sizeof *r->likeliest));
        r->recorded = room;
    }
    r->seconds[n] = tern_now() - a->begun;
    if (likeliest >= 0) r->log_probabilities[n] = tern_log_probability_of(logits, a->vocabulary, id);
    if (likeliest > 0)
        tern_log_probabilities(logits, a->vocabulary, r->likeliest + (size_t)n * (size_t)likeliest,
                               likeliest);
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
    for (int i = 0; !a->request->past_end && i < a->words->end_count; i++)
        if (a->words->ends[i] == id) return true;
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

tern_status tern_saying_open(tern_saying *a, const tern_words *words, const tern_request *request,
                             const tern_tokens *prompt, int vocabulary, tern_reply *reply)
{
    tern_sampling greedy = tern_sampling_standard();
    int32_t known = tern_tokenizer_vocabulary(words->tokenizer)->count;
    greedy.temperature = 0;
    *a = (tern_saying){
        .words = words, .request = request, .reply = reply, .vocabulary = vocabulary, .begun = tern_now()};
    if (!prompt->count) return tern_fail(TERN_USAGE, "the prompt is empty: it has no token");
    tern_text_put(&reply->text, "");
    reply->finish = TERN_FINISH_LENGTH;
    if (request->constraint && known < vocabulary)
        return tern_fail(TERN_FAILED,
                         "the tokenizer has %d tokens and the model %d: no grammar can be held to", known,
                         vocabulary);
    TERN_TRY(tern_sampler_open(&a->sampler, request->sampling ? request->sampling : &greedy, vocabulary));
    if (request->constraint) TERN_TRY(tern_constraint_reset(request->constraint));
    for (size_t i = 0; i < prompt->count; i++) TERN_TRY(tern_sampler_accept(a->sampler, prompt->ids[i]));
    return TERN_OK;
}

tern_status tern_saying_next(tern_saying *a, const float *logits, int32_t *id, bool *over)
{
    tern_reply *r = a->reply;
    double begun = tern_now();
    *over = true;
    TERN_TRY(pick(a, logits, id));
    r->sampler_seconds += tern_now() - begun;
    r->finish = TERN_FINISH_END;
    if (ends(a, *id)) return TERN_OK;
    TERN_TRY(record(a, logits, *id));
    begun = tern_now();
    TERN_TRY(tern_decode(a->words->tokenizer, &a->decoder, *id, &r->text));
    TERN_TRY(show(a, false));
    r->text_seconds += tern_now() - begun;
    r->finish = TERN_FINISH_STOP;
    if (a->stopped) return TERN_OK;
    r->finish = TERN_FINISH_LENGTH;
    *over = (int)r->tokens.count >= a->request->most;
    return TERN_OK;
}

tern_status tern_saying_end(tern_saying *a)
{
    if (!a->stopped) TERN_TRY(tern_decode_end(&a->decoder, &a->reply->text));
    return show(a, true);
}

void tern_saying_close(tern_saying *a)
{
    tern_sampler_close(a->sampler);
    a->sampler = NULL;
}
