/* A text of the data folder as tokens of a model, and the model's perplexity on it: for proofs about language models. */
#ifndef TERN_PROOF_TEXT_H
#define TERN_PROOF_TEXT_H

#include "llm/tokenizer.h"
#include "llm/window.h"
#include "proof.h"

#include <math.h>
#include <stdio.h>

/* Tokens of the first `bytes` of WikiText-2's test text ($TERN_DATA, else beside the project) by the tokenizer of the model at
 * `path`; false when the text is not there or has less than `least` of them.  The caller frees them. */
static inline bool proof_text(const char *path, size_t bytes, size_t least, tern_tokens *tokens)
{
    const char *data = getenv("TERN_DATA");
    char file[4096], *text;
    size_t size;
    tern_tokenizer *tokenizer;
    snprintf(file, sizeof file, "%s/text/wikitext2_test.txt", data ? data : "../shared/data");
    if (tern_read_file(file, &text, &size) != TERN_OK) return false;
    PROOF_OK(tern_tokenizer_read(&tokenizer, path));
    PROOF_OK(tern_encode(tokenizer, text, size < bytes ? size : bytes, 0, tokens));
    tern_tokenizer_close(tokenizer);
    tern_release(text);
    return tokens->count >= least;
}

/* exp of the mean loss of the first `windows` windows of `window` tokens; the first token of each has no guess. */
static inline double proof_perplexity(const tern_transformer *t, const tern_tokens *tokens, int window,
                                      int windows, tern_pool *pool)
{
    tern_text_window *w;
    double sum = 0;
    int64_t count = 0;
    PROOF_OK(tern_window_open(&w, t, window, pool));
    for (int i = 0; i < windows; i++)
        PROOF_OK(tern_window_loss(w, tokens->ids + (size_t)i * (size_t)window, 1, &sum, &count));
    tern_window_close(w);
    return exp(sum / (double)count);
}

#endif
