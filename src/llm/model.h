/* Language models: a transformer built from what its file says, run over tokens with a cache. */
#ifndef TERN_LLM_MODEL_H
#define TERN_LLM_MODEL_H

#include "llm/transformer.h"
#include "run/pager.h"

#define TERN_LLM_SETTLED 2147483648.0

typedef struct tern_llm_options {
    int context;      /* rows of the cache; 0: 2048, or what the model was trained for, if less */
    int chunk;        /* tokens that go through at once; 0: 256 */
    int each;         /* most tokens of tern_llm_feed_each; 0: it is not used */
    tern_dtype cache; /* TERN_F32 (the default), TERN_F16 or TERN_Q8_0 (heads of whole blocks of 32) */
    int sequences;    /* above 0: so many at once, in pages, by tern_llm_step alone */
    int pages; /* that they share, of TERN_PAGE rows; 0: as many as two of them need, or as `own` says */
    int own;   /* tokens that each sequence has of its own, behind a beginning that all share; 0: not said */
    bool reference; /* reference kernels only */
    bool
        copied; /* weights go to large pages when the model is opened, see io/settle.h; else, without a window, those of up to
                  * TERN_LLM_SETTLED bytes and a quarter of the machine's memory go there while tokens are made, some with each */
    const char *const
        *loras; /* adapters: files or folders, which must outlive the model, and their weights */
    const double *lora_weights;
    int lora_count;
    int window,
        moved; /* layers of weights in memory, and how many of them change places at once; 0: all weights stay
                        * mapped */
    bool slack;      /* `moved` layers more */
    double governor; /* bytes per second that weights are read with at most; 0: as fast as it goes */
    tern_pool *pool;
} tern_llm_options;

enum { TERN_PAGE = 16 }; /* rows of a page */

/* A decoder planned for `tokens` tokens at a time with logits of `asked` of them: inputs tokens, positions [tokens] and wanted
 * [asked], in pages slots, owners [tokens] and table [sequences, pages of one] too; output logits.  The transformer must outlive
 * it.  A prompt's program may take kernels for many rows, which round otherwise than those that make replies. */
typedef struct tern_llm_program {
    int tokens, asked;
    tern_graph *graph;
    tern_program *program;
} tern_llm_program;
tern_status tern_llm_program_open(tern_llm_program *p, const tern_transformer *t,
                                  const tern_llm_options *options, int tokens, int asked, bool prompt);
void tern_llm_program_close(tern_llm_program *p);
/* What the options mean for this model. */
int tern_llm_context(const tern_transformer *t, const tern_llm_options *options);
int tern_llm_chunk(const tern_transformer *t, const tern_llm_options *options);
int tern_llm_sequence_pages(const tern_transformer *t, const tern_llm_options *options);
int tern_llm_pages(const tern_transformer *t, const tern_llm_options *options);
/* A prompt's last tokens, where they are few, go through a program for a part of a chunk (0: there is none), or one by one: a
 * program costs what its length costs, filled or not. */
static inline int tern_llm_part(int chunk)
{
    return chunk >= 64 ? chunk / 4 : 0;
}
typedef enum tern_llm_way { TERN_LLM_ONE, TERN_LLM_PART, TERN_LLM_CHUNK } tern_llm_way;
static inline tern_llm_way tern_llm_way_of(int left, int chunk)
{
    int part = tern_llm_part(chunk);
    if (left <= (part ? part : chunk) / 8) return TERN_LLM_ONE;
    return left <= part ? TERN_LLM_PART : TERN_LLM_CHUNK;
}

typedef struct tern_llm tern_llm;
/* Reads the file or folder at `path` and plans its net; close it with tern_llm_close, which allows NULL.  What the two others return
 * lives as long as the model. */
tern_status tern_llm_open(tern_llm **llm, const char *path, const tern_llm_options *options);
void tern_llm_close(tern_llm *llm);
const tern_transformer *tern_llm_about(const tern_llm *llm);
const tern_weights *tern_llm_weights(const tern_llm *llm);

/* Go on with `count` tokens behind those so far; *logits [vocabulary] of the last one, valid until the next call.
 * TERN_NO_FIT when the context is full. */
tern_status tern_llm_feed(tern_llm *llm, const int32_t *tokens, int count, const float **logits);
/* The same for up to `each` tokens (of the options), with the logits [count,vocabulary] behind each of them. */
tern_status tern_llm_feed_each(tern_llm *llm, const int32_t *tokens, int count, const float **logits);
int tern_llm_position(const tern_llm *llm);
int tern_llm_rows(const tern_llm *llm); /* tokens that a sequence has room for */
/* Forget what stands behind the first `position` tokens. */
void tern_llm_rewind(tern_llm *llm, int position);
/* What brings the weights; NULL: they are all mapped. */
const tern_pager *tern_llm_pager(const tern_llm *llm);

/* ---- many sequences in one step ---------------------------------------------------------------------------------- */

/* Tokens of any sequences, several of some: token i is token positions[i] of sequence owners[i], and its keys and values go to
 * row slots[i] of the cache.  Tokens of a sequence see those before them, of earlier steps or of this one.
 *
 * Tokens of prompts and of replies come in steps of their own where tern_llm_apart(): what is computed from a token depends then
 * on which of the two it is, and on nothing beside it. */
typedef struct tern_llm_packed {
    bool prompt;
    int count;                                          /* at most tern_llm_step_tokens() */
    const int32_t *tokens, *positions, *slots, *owners; /* [count] */
    const int32_t *wanted; /* [wanted_count]: tokens whose logits are asked for */
    int wanted_count;      /* at most `sequences` */
} tern_llm_packed;

/* One step; *logits [wanted_count,vocabulary], valid until the next. */
tern_status tern_llm_step(tern_llm *llm, const tern_llm_packed *packed, const float **logits);
/* The pages of a sequence, for the caller to fill in: [tern_llm_sequence_pages()], page p has its rows p TERN_PAGE and on. */
int32_t *tern_llm_table(tern_llm *llm, int sequence);
int tern_llm_step_tokens(const tern_llm *llm);
bool tern_llm_apart(const tern_llm *llm);
/* The sequences and pages of the cache, and the pages that a sequence has at most; 0: the model was not opened for pages. */
void tern_llm_paged(const tern_llm *llm, int *sequences, int *pages, int *sequence_pages);
/* The keys and values of a page, of all layers, into another page. */
tern_status tern_llm_copy_page(tern_llm *llm, int from, int to);

/* Bytes: of the mapped weights, of the cache, of the arenas. */
void tern_llm_memory(const tern_llm *llm, double *weights, double *cache, double *arena);

#endif
