/* What the files of the tokenizer share. */
#ifndef TERN_LLM_TOKENIZER_PARTS_H
#define TERN_LLM_TOKENIZER_PARTS_H

#include "llm/tokenizer.h"
#include "llm/unicode.h"

/* ---- sets of strings ---------------------------------------------------------------------------------------- */

typedef struct tern_span {
    const char *text;
    uint32_t size;
    int32_t id;
} tern_span;

/* Strings in order: a walk along a text narrows the range of those that begin with it, byte by byte. */
typedef struct tern_prefixes {
    tern_span *spans;
    uint32_t count, first[257];
} tern_prefixes;
typedef struct tern_walk {
    uint32_t low, high, depth;
} tern_walk;

tern_status tern_prefixes_open(tern_prefixes *set, tern_span *spans, size_t count); /* takes spans over */
void tern_prefixes_close(tern_prefixes *set);
static inline tern_walk tern_prefixes_root(const tern_prefixes *set)
{
    return (tern_walk){0, set->count, 0};
}
bool tern_prefixes_step(const tern_prefixes *set, tern_walk *walk, uint8_t byte); /* false: none goes on so */
/* The one that ends here, or NULL. */
static inline const tern_span *tern_prefixes_here(const tern_prefixes *set, const tern_walk *walk)
{
    return set->spans && set->spans[walk->low].size == walk->depth ? &set->spans[walk->low] : NULL;
}
/* The longest that the text begins with, or NULL. */
const tern_span *tern_prefixes_longest(const tern_prefixes *set, const char *text, size_t left);

/* Texts of tokens by hash; of equal ones the first is found first. */
typedef struct tern_text_index {
    int32_t *slots; /* ids, -1 empty */
    uint32_t mask;
    const tern_token *tokens;
} tern_text_index;
tern_status tern_text_index_open(tern_text_index *index, const tern_token *tokens, int32_t count);
void tern_text_index_close(tern_text_index *index);
int32_t tern_text_find(const tern_text_index *index, const char *text, size_t size); /* -1: none */

/* ---- regular expressions ------------------------------------------------------------------------------------ */

typedef struct tern_regex tern_regex;
tern_status tern_regex_open(tern_regex **regex, const char *pattern, size_t size);
void tern_regex_close(tern_regex *regex);
/* Memory of matches: zero-initialise it. */
typedef struct tern_regex_match {
    void *data;
} tern_regex_match;
void tern_regex_match_free(tern_regex_match *state);
/* The first match in text[from, size): *begin, *end; false when there is none.  A pattern that takes too long fails. */
tern_status tern_regex_next(const tern_regex *regex, tern_regex_match *state, const char *text, size_t size,
                            size_t from, size_t *begin, size_t *end, bool *found);

/* ---- the open tokenizer ------------------------------------------------------------------------------------- */

typedef struct tern_pair {
    uint64_t key; /* left id, right id */
    int32_t rank, id;
} tern_pair;

struct tern_tokenizer {
    tern_vocabulary v;
    tern_text_index texts;
    uint32_t longest; /* text of a token */
    tern_pair *pairs; /* hash table: merges; rank -1 empty */
    uint32_t pair_mask;
    int32_t byte_token[256];
    tern_prefixes pieces;   /* unigram: all; WordPiece: beginnings of words */
    tern_prefixes inside;   /* WordPiece: behind the beginning */
    tern_prefixes user;     /* SentencePiece's user symbols */
    tern_prefixes added[2]; /* raw, normalised: id is the index in v.added */
    tern_regex *regex[2][TERN_MOST_STEPS];
    tern_text normalised_added;     /* texts of added[1] */
    double least_score, most_score; /* of normal tokens */
    char *spelled;                  /* what tokens decode to, one behind the other */
    uint32_t *spelled_at;           /* [count + 1] */
};

typedef struct tern_piece {
    uint32_t begin, end;
} tern_piece;
typedef struct tern_pieces {
    tern_piece *items;
    size_t count, capacity;
} tern_pieces;

typedef struct tern_symbol {
    int32_t id; /* -1: no token */
    uint32_t begin, size;
    int32_t before, after; /* -1: none */
    bool fixed;
} tern_symbol;

typedef struct tern_join {
    uint64_t order; /* rank or score, then position: the least is next */
    int32_t right, id;
    uint32_t size;
} tern_join;

typedef struct tern_best { /* the best way to a position */
    double score;
    int32_t from, id;
} tern_best;

/* Memory that one call of tern_encode works in. */
typedef struct tern_encoding {
    tern_text a, b; /* a: the text of the segment at hand */
    tern_pieces pieces, other;
    tern_symbol *symbols;
    size_t symbol_capacity;
    tern_join *heap;
    size_t heap_count, heap_capacity;
    tern_best *best;
    size_t best_capacity;
    tern_regex_match match;
    bool first; /* the segment at hand begins the text */
} tern_encoding;

/* Room for `wanted` items of `size` bytes. */
tern_status tern_grow(void *items, size_t *capacity, size_t wanted, size_t size);

/* As tern_token_find, among the tokens that plain text can become. */
int32_t tern_plain_find(const tern_tokenizer *t, const char *text, size_t size);
/* decode.c: what each token decodes to. */
tern_status tern_spell_tokens(tern_tokenizer *t);
/* normalise.c: e->a through the normalising steps. */
tern_status tern_normalise(const tern_tokenizer *t, tern_encoding *e);
/* presplit.c: e->a (which steps may change) into e->pieces. */
tern_status tern_presplit(const tern_tokenizer *t, tern_encoding *e);
/* The models: one piece. */
tern_status tern_bpe(const tern_tokenizer *t, tern_encoding *e, const char *text, size_t size,
                     tern_tokens *out);
tern_status tern_unigram(const tern_tokenizer *t, tern_encoding *e, const char *text, size_t size,
                         tern_tokens *out);
tern_status tern_wordpiece(const tern_tokenizer *t, const char *text, size_t size, tern_tokens *out);

/* What no token covers: bytes, the unknown token (one for neighbours when fused: *unknown_before), or nothing. */
tern_status tern_put_unknown(const tern_tokenizer *t, const char *text, size_t size, bool *unknown_before,
                             tern_tokens *out);

#endif
