/* Texts behind contexts: the context goes through the cache once, the texts one by one behind it. */
#include "llm/choices.h"

#include "llm/saying.h"

#include <string.h>

enum { EACH = 16 }; /* tokens of a text whose logits are computed at once */

struct tern_scorer {
    tern_llm *llm;
    tern_words words;
    tern_tokens seen; /* what the cache holds */
};

void tern_scorer_close(tern_scorer *s)
{
    if (!s) return;
    tern_llm_close(s->llm);
    tern_words_close(&s->words);
    tern_tokens_free(&s->seen);
    tern_release(s);
}

tern_status tern_scorer_open(tern_scorer **scorer, const char *path, const tern_llm_options *options)
{
    tern_llm_options o = *options;
    tern_scorer *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a scorer");
    *s = (tern_scorer){0};
    o.each = EACH;
    tern_status status = tern_llm_open(&s->llm, path, &o);
    if (status == TERN_OK) status = tern_words_open(&s->words, path, tern_llm_weights(s->llm));
    if (status == TERN_OK)
        *scorer = s;
    else
        tern_scorer_close(s);
    return status;
}

/* The tokens of context and text as one, and how many of them are the context's. */
static tern_status encode(const tern_scorer *s, const char *context, const char *text, tern_tokens *all,
                          int *before)
{
    tern_text whole = {0};
    tern_tokens alone = {0};
    size_t size = strlen(context);
    while (size > 0 && context[size - 1] == ' ') size--;
    if (size == 0 && tern_tokenizer_vocabulary(s->words.tokenizer)->prefix_count == 0)
        return tern_fail(TERN_USAGE,
                         "nothing stands before \"%s\", and this model has no token that begins a text: "
                         "its first token has no probability",
                         text);
    tern_text_put(&whole, context);
    tern_text_put(&whole, text);
    tern_status status = tern_text_status(&whole);
    if (status == TERN_OK) status = tern_words_encode(&s->words, whole.data, whole.size, all);
    if (status == TERN_OK) status = tern_words_encode(&s->words, context, size, &alone);
    *before = (int)alone.count;
    if (status == TERN_OK && all->count <= alone.count)
        status = tern_fail(TERN_USAGE, "\"%s\" has no tokens of its own behind what it answers", text);
    tern_tokens_free(&alone);
    tern_text_free(&whole);
    return status;
}

/* Brings `count` tokens into the cache, where they are not there. */
static tern_status see(tern_scorer *s, const tern_tokens *all, int count)
{
    const float *logits;
    if (count > 0 && (int)s->seen.count == count &&
        memcmp(s->seen.ids, all->ids, (size_t)count * sizeof *all->ids) == 0) {
        tern_llm_rewind(s->llm, count);
        return TERN_OK;
    }
    s->seen.count = 0;
    tern_llm_rewind(s->llm, 0);
    if (count == 0) return TERN_OK;
    TERN_TRY(tern_llm_feed(s->llm, all->ids, count, &logits));
    for (int i = 0; i < count; i++) TERN_TRY(tern_tokens_add(&s->seen, all->ids[i]));
    return TERN_OK;
}

static tern_status sum_up(tern_scorer *s, const tern_tokens *all, int before, double *sum)
{
    int vocabulary = tern_llm_about(s->llm)->vocabulary, last = (int)all->count - 1;
    TERN_TRY(see(s, all, before - 1));
    for (int at = before - 1; at < last; at += EACH) {
        const float *logits;
        int count = last - at < EACH ? last - at : EACH;
        TERN_TRY(tern_llm_feed_each(s->llm, all->ids + at, count, &logits));
        for (int i = 0; i < count; i++)
            *sum +=
                tern_log_probability_of(logits + (int64_t)i * vocabulary, vocabulary, all->ids[at + i + 1]);
    }
    return TERN_OK;
}

tern_status tern_scorer_score(tern_scorer *s, const char *context, const char *text, double *sum, int *tokens)
{
    tern_tokens all = {0};
    int before = 0;
    *sum = 0;
    tern_status status = encode(s, context, text, &all, &before);
    if (status == TERN_OK) status = sum_up(s, &all, before, sum);
    *tokens = (int)all.count - before;
    tern_tokens_free(&all);
    return status;
}
