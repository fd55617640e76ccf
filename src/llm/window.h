/* window: a transformer over windows of tokens, each on its own: what perplexity and statistics are made with. */
#ifndef TERN_LLM_WINDOW_H
#define TERN_LLM_WINDOW_H

#include "llm/transformer.h"
#include "run/run.h"

typedef struct tern_text_window tern_text_window;

/* For `tokens` tokens at a time.  The transformer and its weights must outlive the window. */
tern_status tern_window_open(tern_text_window **window, const tern_transformer *transformer, int tokens,
                             tern_pool *pool);
void tern_window_close(tern_text_window *window);
/* One window.  *logits [tokens,vocabulary], behind each token (of an encoder its rows [tokens,width]), valid until the next run. */
tern_status tern_window_run(tern_text_window *window, const int32_t *tokens, const float **logits);
/* What a product read (transformer->watch): "blk.0.attn_q.weight.in", [tokens,..] in f32. */
tern_status tern_window_output(const tern_text_window *window, const char *name, tern_tensor *out);

/* Sum of -ln p over the tokens of a window from `first` (1 or more: the first token has no context); adds their number to
 * *count. */
tern_status tern_window_loss(tern_text_window *window, const int32_t *tokens, int first, double *sum,
                             int64_t *count);

/* ---- embeddings ------------------------------------------------------------------------------------------------------ */

typedef enum tern_pooling { TERN_POOL_MEAN, TERN_POOL_FIRST } tern_pooling;

/* One vector out[width] of a text's tokens by an encoder: the mean of their rows or the first one; `unit`: of length 1. */
tern_status tern_embed_text(const tern_transformer *transformer, const int32_t *tokens, int count,
                            tern_pooling pooling, bool unit, tern_pool *pool, float *out);

/* ---- outliers (LLM.int8(), arXiv 2208.07339) ------------------------------------------------------------------------ */

/* A column of what the products of blocks read. */
typedef struct tern_outlier_column {
    const char *input; /* of the first such product, in the weights; NULL: of all that read normed rows */
    int column;
    double layers;    /* share of those inputs in which a position has an outlier */
    double positions; /* share of all positions that have one */
    double magnitude; /* largest */
} tern_outlier_column;

typedef struct tern_outlier_report {
    tern_outlier_column *list; /* emergent ones: outliers in a quarter of the layers and 6 % of positions */
    int count, inputs;
    int64_t positions;
    double threshold, apart; /* share of all elements read that are in columns with an outlier, by window */
} tern_outlier_report;

/* Over `count` windows of `tokens` tokens each, one behind the other. */
tern_status tern_outliers_find(tern_outlier_report *report, const tern_transformer *transformer,
                               const int32_t *ids, int tokens, int count, tern_pool *pool);
void tern_outliers_free(tern_outlier_report *report);

#endif
