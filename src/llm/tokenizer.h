/* tokenizer: text to tokens and back, as a model's file says.
 *
 * A reader fills a tern_vocabulary, a plain description; tern_tokenizer_open makes of it what encodes.  Text goes
 * through: added tokens cut out, normalising steps, splitting steps, the model on each piece, then the ids that a
 * whole text begins and ends with.  An open tokenizer never changes: any number of threads may use it. */
#ifndef TERN_LLM_TOKENIZER_H
#define TERN_LLM_TOKENIZER_H

#include "base/base.h"
#include "io/io.h"

/* ---- the description ------------------------------------------------------------------------------------------ */

typedef enum tern_token_kind { /* numbered as in GGUF's tokenizer.ggml.token_type and SentencePiece's models */
                               TERN_TOKEN_NONE = 0, /* an id that no token has */
                               TERN_TOKEN_NORMAL = 1,
                               TERN_TOKEN_UNKNOWN = 2,
                               TERN_TOKEN_CONTROL = 3, /* <s>, <|im_end|>: never made from plain text */
                               TERN_TOKEN_USER = 4,    /* cut out of the text before anything else */
                               TERN_TOKEN_UNUSED = 5,
                               TERN_TOKEN_BYTE = 6, /* spelled <0x0A>, means that byte */
} tern_token_kind;

typedef struct tern_token {
    const char *text; /* the bytes that it stands for (byte-level models), or its spelling */
    uint32_t size;
    tern_token_kind kind;
    double score; /* log-probability (unigram) or priority (BPE by score) */
} tern_token;

/* A token that is found in the text itself, before it is normalised, or (normalised) after. */
typedef struct tern_added {
    int32_t id;
    const char *text;
    uint32_t size;
    bool special, normalised, single_word, strip_left, strip_right;
} tern_added;

typedef enum tern_step_kind {
    /* normalising */
    TERN_STEP_NFC,
    TERN_STEP_NFD,
    TERN_STEP_LOWER,
    TERN_STEP_STRIP_ACCENTS, /* drop non-spacing marks */
    TERN_STEP_REPLACE,       /* each `text` (or match of it, regex) by `by` */
    TERN_STEP_PREPEND,       /* `text` before a text that is not empty */
    TERN_STEP_STRIP,         /* white space, at the left and right */
    TERN_STEP_CLEAN,         /* BERT: drop control characters, any white space becomes a space */
    TERN_STEP_CHINESE,       /* BERT: spaces around CJK characters */
    TERN_STEP_CHARSMAP,      /* SentencePiece's precompiled map: `text` is the map */
    TERN_STEP_SENTENCEPIECE, /* that map, then a space before, spaces to U+2581, extra ones out */
    /* splitting: what a piece is */
    TERN_STEP_SPLIT,  /* by `text`, a regular expression or (not regex) a string */
    TERN_STEP_PREFIX, /* `text` before each piece that lacks it; first: of the first piece of a text only */
    TERN_STEP_SPACES, /* white space is dropped */
    TERN_STEP_PUNCTUATION, /* each punctuation character by itself */
    TERN_STEP_DIGITS,      /* each number character by itself, or (contiguous) runs of them */
    TERN_STEP_WORDS,       /* runs of word characters, runs of others, white space dropped */
} tern_step_kind;

typedef enum tern_split_kind {
    TERN_SPLIT_ISOLATED,
    TERN_SPLIT_REMOVED,
    TERN_SPLIT_WITH_PREVIOUS,
    TERN_SPLIT_WITH_NEXT,
    TERN_SPLIT_CONTIGUOUS,
} tern_split_kind;

typedef struct tern_text_step {
    tern_step_kind kind;
    const char *text, *by;
    size_t size, by_size;
    tern_split_kind split;
    bool regex, invert, first, left, right, add_prefix, remove_extra, escape;
} tern_text_step;

#define TERN_MOST_STEPS 16
#define TERN_MOST_ENDS  8

typedef enum tern_model_kind {
    TERN_MODEL_BPE,
    TERN_MODEL_UNIGRAM,
    TERN_MODEL_WORDPIECE,
} tern_model_kind;

typedef struct tern_vocabulary {
    tern_arena arena; /* holds all that pointers point to */
    tern_model_kind model;
    tern_token *tokens; /* [count], by id */
    int32_t count;
    tern_added *added;
    int32_t added_count;
    int32_t *
        merges; /* BPE: pairs of ids, first wins; NULL: two pieces join when the whole is a token, best score first */
    int32_t merge_count;
    tern_text_step normalise[TERN_MOST_STEPS], split[TERN_MOST_STEPS];
    int normalise_count, split_count;
    int32_t prefix[TERN_MOST_ENDS], suffix[TERN_MOST_ENDS]; /* ids before and behind a text */
    int prefix_count, suffix_count;
    int32_t unknown, bos, eos, pad; /* -1: none */
    const char *continuing;         /* WordPiece: what the pieces inside a word begin with, "##" */
    int most_word;                  /* WordPiece: longer words, in characters, are unknown */
    bool byte_level;                /* the model sees bytes, not characters */
    bool byte_fallback;             /* what no token covers becomes TERN_TOKEN_BYTE tokens */
    bool fuse_unknown;              /* neighbours that are unknown become one token */
    bool whole_first;               /* BPE: a piece that is a token is that token, whatever the merges say */
    bool
        sentencepiece; /* exactly as that library: single precision, one U+FFFD for each bad byte, user symbols stay */
    bool spaces_escaped; /* decoding: U+2581 is a space */
    bool strip_first;    /* decoding: the first space of a text was not in it */
    bool tidy;           /* decoding: no space before punctuation and English contractions */
} tern_vocabulary;

void tern_vocabulary_free(tern_vocabulary *vocabulary);

/* The splitting steps of a byte-level model by the name that GGUF's tokenizer.ggml.pre gives (docs of each model:
 * "gpt-2", "llama-bpe", "qwen2", "smollm", "deepseek-v3", ..).  Fails with the known names. */
tern_status tern_vocabulary_presplit(tern_vocabulary *vocabulary, const char *name);

/* Hugging Face's tokenizer.json, and SentencePiece's tokenizer.model.  `name` is for messages. */
tern_status tern_vocabulary_json(tern_vocabulary *vocabulary, const char *bytes, size_t count,
                                 const char *name);
tern_status tern_vocabulary_model(tern_vocabulary *vocabulary, const char *bytes, size_t count,
                                  const char *name);

/* The tokenizer.ggml.* entries of a GGUF file; nothing of `weights` is kept. */
tern_status tern_vocabulary_gguf(tern_vocabulary *vocabulary, const tern_weights *weights, const char *name);

/* GPT-2's spelling of bytes as printable characters, undone: UTF-8 in, bytes out (at most `size`).  False when a
 * character is not of that alphabet. */
bool tern_unspell_bytes(const char *spelled, size_t size, char *out, size_t *out_size);

/* ---- use -------------------------------------------------------------------------------------------------------- */

typedef struct tern_tokenizer tern_tokenizer;

/* Takes the vocabulary over, also when this fails. */
tern_status tern_tokenizer_open(tern_tokenizer **tokenizer, tern_vocabulary *vocabulary);
/* From a file: GGUF, *.json, or a SentencePiece model; of a folder, see llm/folder.h. */
tern_status tern_tokenizer_read(tern_tokenizer **tokenizer, const char *path);
void tern_tokenizer_close(tern_tokenizer *tokenizer);
const tern_vocabulary *tern_tokenizer_vocabulary(const tern_tokenizer *tokenizer);

/* Zero-initialise; release with tern_tokens_free. */
typedef struct tern_tokens {
    int32_t *ids;
    size_t count, capacity;
} tern_tokens;
tern_status tern_tokens_add(tern_tokens *tokens, int32_t id);
void tern_tokens_free(tern_tokens *tokens);

enum {
    TERN_ENCODE_ENDS = 1, /* the ids that a whole text begins and ends with (<s>, [CLS] ..) */
    TERN_ENCODE_SPECIAL =
        2, /* special tokens that are spelled in the text are those tokens; else they are plain text */
};
/* Adds the tokens of `text` [size bytes], which may be any bytes: what is no UTF-8 counts as U+FFFD. */
tern_status tern_encode(const tern_tokenizer *tokenizer, const char *text, size_t size, unsigned flags,
                        tern_tokens *out);

/* The id whose spelling is exactly `text`, or -1. */
int32_t tern_token_find(const tern_tokenizer *tokenizer, const char *text, size_t size);

/* The bytes that a token adds to a text (a beginning of a character may be among them); "" for one that adds none.
 * Control tokens add their spelling. */
const char *tern_token_bytes(const tern_tokenizer *tokenizer, int32_t id, size_t *size);
bool tern_token_is_control(const tern_tokenizer *tokenizer, int32_t id);

/* Tokens to UTF-8, one by one: what is no finished character waits for the next token.  Zero-initialise it. */
typedef struct tern_decoder {
    bool started, specials; /* specials: control tokens are written out */
    char waiting[8];
    size_t waiting_size;
} tern_decoder;
/* Adds the text that token `id` completes; bytes that never become a character come out as U+FFFD. */
tern_status tern_decode(const tern_tokenizer *tokenizer, tern_decoder *decoder, int32_t id, tern_text *out);
tern_status tern_decode_end(tern_decoder *decoder, tern_text *out); /* what still waits, as U+FFFD */
tern_status tern_decode_all(const tern_tokenizer *tokenizer, const tern_tokens *tokens,
                            tern_text *out); /* both, for all of them */

#endif
