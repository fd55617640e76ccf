/* The tokenizer in a GGUF file's metadata, tokenizer.ggml.* (as ggml's documentation of the format and the files that
 * llama.cpp's converters write have it). */
#include "llm/tokenizer_parts.h"

#include <string.h>

typedef struct tern_gguf_reader {
    tern_vocabulary *v;
    const tern_weights *w;
    const char *name;
} tern_gguf_reader;

static const tern_meta *entry(const tern_gguf_reader *r, const char *key)
{
    char full[96];
    snprintf(full, sizeof full, "tokenizer.ggml.%s", key);
    return tern_weights_meta(r->w, full);
}

static bool flag_of(const tern_gguf_reader *r, const char *key, bool standard)
{
    const tern_meta *meta = entry(r, key);
    return meta && meta->count ? tern_meta_number(meta, 0) != 0 : standard;
}

static int32_t id_of(const tern_gguf_reader *r, const char *key, int32_t standard)
{
    const tern_meta *meta = entry(r, key);
    double id = meta && meta->count ? tern_meta_number(meta, 0) : standard;
    return id >= 0 && id < r->v->count ? (int32_t)id : -1;
}

/* The first text of an entry, NUL-ended. */
static tern_status text_of(const tern_gguf_reader *r, const char *key, const char **out)
{
    const tern_meta *meta = entry(r, key);
    const uint8_t *at = NULL;
    const char *text = "";
    size_t size = 0;
    if (meta) tern_meta_next(meta, &at, &text, &size);
    char *copy = tern_arena_take(&r->v->arena, size + 1);
    if (!copy) return tern_no_memory(size, r->name);
    if (size) memcpy(copy, text, size);
    *out = copy;
    return TERN_OK;
}

/* ---- tokens -------------------------------------------------------------------------------------------------------- */

/* A token's text as the model sees it: bytes instead of their spelling; WordPiece's marks instead of GGUF's U+2581; U+2581 instead of the
 * spaces that GGUF has in user-defined pieces of SentencePiece, runs of spaces above all. */
static tern_status set_text(const tern_gguf_reader *r, tern_token *token, const char *text, size_t size)
{
    bool plain = token->kind == TERN_TOKEN_NORMAL || token->kind == TERN_TOKEN_UNUSED;
    bool word = size >= 3 && memcmp(text, "\xE2\x96\x81", 3) == 0;
    bool user = r->v->sentencepiece && token->kind == TERN_TOKEN_USER;
    size_t out = size;
    char *copy = tern_arena_take(&r->v->arena, (user ? 3 : 1) * size + 3);
    if (!copy) return tern_no_memory(size, r->name);
    token->text = copy;
    if (user) {
        out = 0;
        for (size_t i = 0; i < size; i++) {
            memcpy(copy + out, text[i] == ' ' ? "\xE2\x96\x81" : text + i, text[i] == ' ' ? 3 : 1);
            out += text[i] == ' ' ? 3 : 1;
        }
    } else if (r->v->model == TERN_MODEL_WORDPIECE && plain) {
        out = word ? size - 3 : size + 2;
        if (!word) memcpy(copy, "##", 2);
        memcpy(copy + (word ? 0 : 2), text + (word ? 3 : 0), word ? size - 3 : size);
    } else if (!r->v->byte_level || !plain || !tern_unspell_bytes(text, size, copy, &out)) {
        out = size;
        memcpy(copy, text, size);
    }
    token->size = (uint32_t)out;
    return TERN_OK;
}

static tern_status read_tokens(tern_gguf_reader *r)
{
    const tern_meta *tokens = entry(r, "tokens"), *kinds = entry(r, "token_type"),
                    *scores = entry(r, "scores");
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    tern_vocabulary *v = r->v;
    if (!tokens || !tokens->array || tokens->kind != TERN_META_TEXT || tokens->count < 1 ||
        tokens->count > 16 << 20)
        return tern_fail(TERN_FAILED, "%s: tokenizer.ggml.tokens is missing or no list of texts", r->name);
    if ((kinds && kinds->count != tokens->count) || (scores && scores->count != tokens->count))
        return tern_fail(TERN_FAILED, "%s: %lld tokens, but %lld types and %lld scores", r->name,
                         (long long)tokens->count, (long long)(kinds ? kinds->count : 0),
                         (long long)(scores ? scores->count : 0));
    v->tokens = tern_arena_take(&v->arena, (size_t)tokens->count * sizeof *v->tokens);
    v->added = tern_arena_take(&v->arena, (size_t)tokens->count * sizeof *v->added);
    if (!v->tokens || !v->added) return tern_no_memory((size_t)tokens->count * sizeof *v->tokens, r->name);
    while (v->count < tokens->count && tern_meta_next(tokens, &at, &text, &size)) {
        tern_token *token = &v->tokens[v->count];
        double kind = kinds ? tern_meta_number(kinds, v->count) : TERN_TOKEN_NORMAL;
        token->kind = kind >= 1 && kind <= 6 ? (tern_token_kind)kind : TERN_TOKEN_NORMAL;
        token->score = scores ? tern_meta_number(scores, v->count) : 0;
        if (size > UINT32_MAX / 4)
            return tern_fail(TERN_FAILED, "%s: token %d has %zu bytes", r->name, v->count, size);
        TERN_TRY(set_text(r, token, text, size));
        if (token->kind == TERN_TOKEN_CONTROL || (token->kind == TERN_TOKEN_USER && !v->sentencepiece))
            v->added[v->added_count++] = (tern_added){.id = v->count,
                                                      .text = token->text,
                                                      .size = token->size,
                                                      .special = token->kind == TERN_TOKEN_CONTROL};
        v->count++;
    }
    return TERN_OK;
}

static int32_t merge_part(const tern_gguf_reader *r, const tern_text_index *index, const char *text,
                          size_t size)
{
    char bytes[512];
    size_t out;
    if (size > sizeof bytes) return -1;
    if (!r->v->byte_level || !tern_unspell_bytes(text, size, bytes, &out))
        return tern_text_find(index, text, size);
    return tern_text_find(index, bytes, out);
}

static tern_status read_merges(tern_gguf_reader *r)
{
    const tern_meta *merges = entry(r, "merges");
    const uint8_t *at = NULL;
    const char *text;
    size_t size;
    tern_text_index index = {0};
    if (!merges || !merges->array || merges->kind != TERN_META_TEXT || merges->count > 64 << 20)
        return tern_fail(TERN_FAILED, "%s: tokenizer.ggml.merges is missing or no list of texts", r->name);
    r->v->merges = tern_arena_take(&r->v->arena, (size_t)(merges->count + 1) * 2 * sizeof(int32_t));
    if (!r->v->merges) return tern_no_memory((size_t)merges->count * 8, r->name);
    tern_status status = tern_text_index_open(&index, r->v->tokens, r->v->count);
    while (status == TERN_OK && r->v->merge_count < merges->count &&
           tern_meta_next(merges, &at, &text, &size)) {
        const char *middle = size ? memchr(text + 1, ' ', size - 1) : NULL;
        int32_t *pair = r->v->merges + (size_t)r->v->merge_count * 2;
        if (middle) {
            pair[0] = merge_part(r, &index, text, (size_t)(middle - text));
            pair[1] = merge_part(r, &index, middle + 1, size - (size_t)(middle + 1 - text));
        }
        if (!middle || pair[0] < 0 || pair[1] < 0)
            status = tern_fail(TERN_FAILED, "%s: merge %d \"%.*s\" is not a pair of tokens", r->name,
                               r->v->merge_count, (int)(size < 200 ? size : 200), text);
        r->v->merge_count++;
    }
    tern_text_index_close(&index);
    return status;
}

/* ---- the four kinds ------------------------------------------------------------------------------------------------ */

static tern_status read_byte_level(tern_gguf_reader *r)
{
    const char *split;
    tern_vocabulary *v = r->v;
    v->model = TERN_MODEL_BPE;
    v->byte_level = true;
    TERN_TRY(text_of(r, "pre", &split));
    if (!split[0] || strcmp(split, "default") == 0) split = "gpt-2";
    if (strcmp(split, "qwen2") == 0 || strcmp(split, "qwen35") == 0)
        v->normalise[v->normalise_count++] = (tern_text_step){.kind = TERN_STEP_NFC};
    tern_status status = tern_vocabulary_presplit(v, split);
    if (status != TERN_OK) return tern_in(status, "%s", r->name);
    if (flag_of(r, "add_space_prefix", false))
        v->split[v->split_count++] =
            (tern_text_step){.kind = TERN_STEP_PREFIX, .text = " ", .size = 1, .first = true};
    TERN_TRY(read_tokens(r));
    return read_merges(r);
}

static tern_status read_sentencepiece(tern_gguf_reader *r, tern_model_kind model)
{
    const tern_meta *map = tern_weights_meta(r->w, "tokenizer.ggml.precompiled_charsmap");
    tern_vocabulary *v = r->v;
    tern_text_step step = {.kind = TERN_STEP_SENTENCEPIECE,
                           .text = "",
                           .add_prefix = flag_of(r, "add_space_prefix", true),
                           .remove_extra = flag_of(r, "remove_extra_whitespaces", false),
                           .escape = true};
    if (map && map->array && map->size == (size_t)map->count) { /* bytes */
        char *copy = tern_arena_take(&v->arena, map->size + 1);
        if (!copy) return tern_no_memory(map->size, r->name);
        memcpy(copy, map->data, map->size);
        step.text = copy;
        step.size = map->size;
    }
    v->model = model;
    v->sentencepiece = v->fuse_unknown = v->byte_fallback = v->spaces_escaped = true;
    v->strip_first = step.add_prefix;
    v->normalise[v->normalise_count++] = step;
    return read_tokens(r);
}

static tern_status read_wordpiece(tern_gguf_reader *r)
{
    static const tern_step_kind steps[] = {TERN_STEP_CLEAN, TERN_STEP_CHINESE, TERN_STEP_NFD,
                                           TERN_STEP_STRIP_ACCENTS, TERN_STEP_LOWER};
    tern_vocabulary *v = r->v;
    v->model = TERN_MODEL_WORDPIECE;
    v->tidy = true;
    for (size_t i = 0; i < TERN_COUNT(steps); i++)
        v->normalise[v->normalise_count++] = (tern_text_step){.kind = steps[i]};
    v->split[v->split_count++] = (tern_text_step){.kind = TERN_STEP_SPACES};
    v->split[v->split_count++] = (tern_text_step){.kind = TERN_STEP_PUNCTUATION};
    return read_tokens(r);
}

static void read_ends(tern_gguf_reader *r, const char *model)
{
    tern_vocabulary *v = r->v;
    bool bert = strcmp(model, "bert") == 0, t5 = strcmp(model, "t5") == 0;
    bool first =
        bert || strcmp(model, "llama") == 0 || (v->byte_level && v->whole_first); /* llama.cpp's defaults */
    v->bos = id_of(r, "bos_token_id", bert ? 101 : -1);
    v->eos = id_of(r, "eos_token_id", -1);
    v->pad = id_of(r, "padding_token_id", -1);
    v->unknown = id_of(r, "unknown_token_id", bert ? 100 : -1);
    if (bert) v->bos = id_of(r, "cls_token_id", v->bos);
    int32_t last = bert ? id_of(r, "seperator_token_id", 102) : v->eos; /* GGUF spells it so */
    if (v->bos >= 0 && flag_of(r, "add_bos_token", first)) v->prefix[v->prefix_count++] = v->bos;
    if (last >= 0 && flag_of(r, "add_eos_token", bert || t5)) v->suffix[v->suffix_count++] = last;
}

tern_status tern_vocabulary_gguf(tern_vocabulary *v, const tern_weights *weights, const char *name)
{
    const char *model = "";
    tern_gguf_reader r = {.v = v, .w = weights, .name = name};
    *v = (tern_vocabulary){
        .unknown = -1, .bos = -1, .eos = -1, .pad = -1, .most_word = 100, .continuing = "##"};
    tern_status status = text_of(&r, "model", &model);
    if (status == TERN_OK) {
        if (strcmp(model, "gpt2") == 0)
            status = read_byte_level(&r);
        else if (strcmp(model, "llama") == 0)
            status = read_sentencepiece(&r, TERN_MODEL_BPE);
        else if (strcmp(model, "t5") == 0)
            status = read_sentencepiece(&r, TERN_MODEL_UNIGRAM);
        else if (strcmp(model, "bert") == 0)
            status = read_wordpiece(&r);
        else
            status = tern_fail(
                TERN_FAILED,
                "%s: tokenizer.ggml.model is \"%s\", expected gpt2, llama, t5 or bert: the file has no "
                "tokenizer, or one that is not known",
                name, model);
    }
    if (status == TERN_OK) read_ends(&r, model);
    if (status != TERN_OK) tern_vocabulary_free(v);
    return status;
}
