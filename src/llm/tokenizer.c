/* A tokenizer from its description, and a text through it. */
#include "llm/folder.h"
#include "llm/tokenizer_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- memory ----------------------------------------------------------------------------------------------------- */

tern_status tern_grow(void *items, size_t *capacity, size_t wanted, size_t size)
{
    if (wanted <= *capacity) return TERN_OK;
    void *old;
    size_t room = *capacity ? *capacity * 2 : 64;
    if (room < wanted) room = wanted;
    memcpy(&old, items, sizeof old); /* whatever they are, a pointer to them */
    void *fresh = tern_resize(old, *capacity * size, room * size);
    if (!fresh) return tern_no_memory(room * size, "tokens");
    memcpy(items, &fresh, sizeof fresh);
    *capacity = room;
    return TERN_OK;
}

tern_status tern_tokens_add(tern_tokens *tokens, int32_t id)
{
    TERN_TRY(tern_grow(&tokens->ids, &tokens->capacity, tokens->count + 1, sizeof *tokens->ids));
    tokens->ids[tokens->count++] = id;
    return TERN_OK;
}

void tern_tokens_free(tern_tokens *tokens)
{
    tern_release(tokens->ids);
    *tokens = (tern_tokens){0};
}

void tern_vocabulary_free(tern_vocabulary *v)
{
    tern_arena_free(&v->arena);
    *v = (tern_vocabulary){0};
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* Tokens that plain text can become. */
static bool is_plain(const tern_token *token)
{
    return token->size && token->kind != TERN_TOKEN_CONTROL && token->kind != TERN_TOKEN_UNKNOWN &&
           token->kind != TERN_TOKEN_BYTE && token->kind != TERN_TOKEN_NONE;
}

static uint32_t power_of_two(size_t count)
{
    uint32_t size = 64;
    while (size < count * 2) size *= 2;
    return size;
}

static uint32_t hash_of(const char *text, size_t size)
{
    uint64_t hash = tern_hash(text, size);
    return (uint32_t)(hash ^ hash >> 32);
}

tern_status tern_text_index_open(tern_text_index *index, const tern_token *tokens, int32_t count)
{
    uint32_t size = power_of_two((size_t)count);
    *index = (tern_text_index){
        .slots = tern_take_array(size, sizeof *index->slots), .mask = size - 1, .tokens = tokens};
    if (!index->slots) return tern_no_memory(size * sizeof *index->slots, "a tokenizer");
    memset(index->slots, 0xFF, size * sizeof *index->slots);
    for (int32_t id = 0; id < count; id++) {
        if (!tokens[id].size) continue;
        uint32_t slot = hash_of(tokens[id].text, tokens[id].size) & index->mask;
        while (index->slots[slot] >= 0) slot = (slot + 1) & index->mask;
        index->slots[slot] = id;
    }
    return TERN_OK;
}

void tern_text_index_close(tern_text_index *index)
{
    tern_release(index->slots);
    *index = (tern_text_index){0};
}

static int32_t find(const tern_text_index *index, const char *text, size_t size, bool plain)
{
    uint32_t slot = hash_of(text, size) & index->mask;
    for (; index->slots[slot] >= 0; slot = (slot + 1) & index->mask) {
        const tern_token *token = &index->tokens[index->slots[slot]];
        if (token->size == size && memcmp(token->text, text, size) == 0 && (!plain || is_plain(token)))
            return index->slots[slot];
    }
    return -1;
}

int32_t tern_text_find(const tern_text_index *index, const char *text, size_t size)
{
    return find(index, text, size, false);
}

int32_t tern_token_find(const tern_tokenizer *t, const char *text, size_t size)
{
    return find(&t->texts, text, size, false);
}

int32_t tern_plain_find(const tern_tokenizer *t, const char *text, size_t size)
{
    return find(&t->texts, text, size, true);
}

/* The value of "<0x0A>", or -1. */
static int byte_of(const tern_token *token)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *high, *low;
    if (token->size != 6 || memcmp(token->text, "<0x", 3) != 0 || token->text[5] != '>') return -1;
    high = memchr(digits, token->text[3], 16);
    low = memchr(digits, token->text[4], 16);
    return high && low ? (int)((high - digits) * 16 + (low - digits)) : -1;
}

static void index_bytes(tern_tokenizer *t)
{
    memset(t->byte_token, 0xFF, sizeof t->byte_token);
    for (int32_t id = 0; id < t->v.count; id++) {
        const tern_token *token = &t->v.tokens[id];
        int byte = -1;
        if (t->v.byte_level && token->size == 1 && is_plain(token)) byte = (uint8_t)token->text[0];
        if (!t->v.byte_level && token->kind == TERN_TOKEN_BYTE) byte = byte_of(token);
        if (byte >= 0 && t->byte_token[byte] < 0) t->byte_token[byte] = id;
    }
}

static tern_status index_merges(tern_tokenizer *t)
{
    uint32_t size = power_of_two((size_t)t->v.merge_count);
    char text[512];
    t->pairs = tern_take_array(size, sizeof *t->pairs);
    if (!t->pairs) return tern_no_memory(size * sizeof *t->pairs, "a tokenizer");
    for (uint32_t i = 0; i < size; i++) t->pairs[i].rank = -1;
    t->pair_mask = size - 1;
    for (int32_t rank = 0; rank < t->v.merge_count; rank++) {
        const int32_t *m = t->v.merges + (size_t)rank * 2;
        if (m[0] < 0 || m[1] < 0 || m[0] >= t->v.count || m[1] >= t->v.count)
            return tern_fail(TERN_FAILED, "merge %d joins tokens %d and %d, expected ids below %d", rank,
                             m[0], m[1], t->v.count);
        const tern_token *a = &t->v.tokens[m[0]], *b = &t->v.tokens[m[1]];
        int32_t id = -1;
        if ((size_t)a->size + b->size <= sizeof text) {
            memcpy(text, a->text, a->size);
            memcpy(text + a->size, b->text, b->size);
            id = tern_plain_find(t, text, (size_t)a->size + b->size);
        }
        if (id < 0)
            return tern_fail(TERN_FAILED,
                             "merge %d makes \"%.*s%.*s\", which is no token: the vocabulary is damaged",
                             rank, (int)a->size, a->text, (int)b->size, b->text);
        uint64_t key = (uint64_t)(uint32_t)m[0] << 32 | (uint32_t)m[1];
        uint32_t slot = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32) & t->pair_mask;
        while (t->pairs[slot].rank >= 0 && t->pairs[slot].key != key) slot = (slot + 1) & t->pair_mask;
        t->pairs[slot] =
            (tern_pair){key, rank, id}; /* of equal pairs the last counts, as in the readers of others */
    }
    return TERN_OK;
}

typedef bool tern_choice(const tern_tokenizer *t, const tern_token *token, size_t *skip);

static bool any_plain(const tern_tokenizer *t, const tern_token *token, size_t *skip)
{
    (void)t, *skip = 0;
    return is_plain(token) && token->kind != TERN_TOKEN_UNUSED;
}

static bool any_user(const tern_tokenizer *t, const tern_token *token, size_t *skip)
{
    (void)t, *skip = 0;
    return token->kind == TERN_TOKEN_USER;
}

static bool any_inside(const tern_tokenizer *t, const tern_token *token, size_t *skip)
{
    *skip = strlen(t->v.continuing);
    return is_plain(token) && token->size > *skip && memcmp(token->text, t->v.continuing, *skip) == 0;
}

static tern_status index_prefixes(tern_tokenizer *t, tern_prefixes *set, tern_choice *choose)
{
    size_t count = 0, skip;
    tern_span *spans = tern_take_array((size_t)t->v.count + 1, sizeof *spans);
    if (!spans) return tern_no_memory((size_t)t->v.count * sizeof *spans, "a tokenizer");
    for (int32_t id = 0; id < t->v.count; id++) {
        const tern_token *token = &t->v.tokens[id];
        if (choose(t, token, &skip))
            spans[count++] = (tern_span){token->text + skip, token->size - (uint32_t)skip, id};
    }
    return tern_prefixes_open(set, spans, count);
}

/* Texts of added tokens; those that are found behind normalising are normalised themselves. */
static tern_status index_added(tern_tokenizer *t, int normalised)
{
    tern_encoding e = {.first = true};
    tern_status status = TERN_OK;
    size_t count = 0;
    tern_span *spans = tern_take_array((size_t)t->v.added_count + 1, sizeof *spans);
    if (!spans) return tern_no_memory((size_t)t->v.added_count * sizeof *spans, "a tokenizer");
    for (int32_t i = 0; status == TERN_OK && i < t->v.added_count; i++) {
        const tern_added *a = &t->v.added[i];
        if (a->normalised != normalised || !a->size) continue;
        spans[count++] = (tern_span){a->text, a->size, i};
        if (!normalised) continue;
        e.a.size = 0;
        tern_text_add(&e.a, a->text, a->size);
        status = tern_text_status(&e.a);
        if (status == TERN_OK) status = tern_normalise(t, &e);
        char *copy = status == TERN_OK ? tern_arena_take(&t->v.arena, e.a.size + 1) : NULL;
        if (status == TERN_OK && !copy) status = tern_no_memory(e.a.size, "an added token");
        if (!copy) break;
        if (e.a.size) memcpy(copy, e.a.data, e.a.size);
        spans[count - 1] = (tern_span){copy, (uint32_t)e.a.size, i};
    }
    tern_text_free(&e.a);
    tern_text_free(&e.b);
    tern_regex_match_free(&e.match);
    if (status != TERN_OK) {
        tern_release(spans);
        return status;
    }
    return tern_prefixes_open(&t->added[normalised], spans, count);
}

static tern_status open_patterns(tern_tokenizer *t)
{
    for (int i = 0; i < t->v.normalise_count; i++)
        if (t->v.normalise[i].regex)
            TERN_TRY(tern_regex_open(&t->regex[0][i], t->v.normalise[i].text, t->v.normalise[i].size));
    for (int i = 0; i < t->v.split_count; i++)
        if (t->v.split[i].regex)
            TERN_TRY(tern_regex_open(&t->regex[1][i], t->v.split[i].text, t->v.split[i].size));
    return TERN_OK;
}

static void score_range(tern_tokenizer *t)
{
    bool any = false;
    for (int32_t id = 0; id < t->v.count; id++) {
        const tern_token *token = &t->v.tokens[id];
        if (token->kind != TERN_TOKEN_NORMAL) continue;
        if (!any || token->score < t->least_score) t->least_score = token->score;
        if (!any || token->score > t->most_score) t->most_score = token->score;
        any = true;
    }
}

static tern_status check_ids(const tern_vocabulary *v)
{
    const int32_t *lists[] = {v->prefix, v->suffix, &v->unknown, &v->bos, &v->eos, &v->pad};
    const int counts[] = {v->prefix_count, v->suffix_count, 1, 1, 1, 1};
    if (v->count < 1) return tern_fail(TERN_FAILED, "the tokenizer has no tokens");
    for (size_t l = 0; l < TERN_COUNT(lists); l++)
        for (int i = 0; i < counts[l]; i++)
            if (lists[l][i] >= v->count || lists[l][i] < (l < 2 ? 0 : -1))
                return tern_fail(TERN_FAILED, "a special token has id %d, expected one below %d", lists[l][i],
                                 v->count);
    for (int32_t i = 0; i < v->added_count; i++)
        if (v->added[i].id < 0 || v->added[i].id >= v->count)
            return tern_fail(TERN_FAILED, "added token %d has id %d, expected one below %d", i,
                             v->added[i].id, v->count);
    return TERN_OK;
}

static tern_status prepare(tern_tokenizer *t)
{
    TERN_TRY(check_ids(&t->v));
    TERN_TRY(tern_text_index_open(&t->texts, t->v.tokens, t->v.count));
    for (int32_t id = 0; id < t->v.count; id++)
        if (t->v.tokens[id].size > t->longest) t->longest = t->v.tokens[id].size;
    index_bytes(t);
    score_range(t);
    if (t->v.merges) TERN_TRY(index_merges(t));
    if (t->v.model != TERN_MODEL_BPE) TERN_TRY(index_prefixes(t, &t->pieces, any_plain));
    if (t->v.model == TERN_MODEL_WORDPIECE) TERN_TRY(index_prefixes(t, &t->inside, any_inside));
    if (t->v.sentencepiece) TERN_TRY(index_prefixes(t, &t->user, any_user));
    TERN_TRY(open_patterns(t));
    TERN_TRY(index_added(t, 0));
    TERN_TRY(index_added(t, 1));
    return tern_spell_tokens(t);
}

tern_status tern_tokenizer_open(tern_tokenizer **tokenizer, tern_vocabulary *vocabulary)
{
    tern_tokenizer *t = tern_take(sizeof *t);
    if (!t) {
        tern_vocabulary_free(vocabulary);
        return tern_no_memory(sizeof *t, "a tokenizer");
    }
    t->v = *vocabulary;
    *vocabulary = (tern_vocabulary){0};
    tern_status status = prepare(t);
    if (status != TERN_OK)
        tern_tokenizer_close(t);
    else
        *tokenizer = t;
    return status;
}

void tern_tokenizer_close(tern_tokenizer *t)
{
    if (!t) return;
    for (int i = 0; i < TERN_MOST_STEPS; i++) {
        tern_regex_close(t->regex[0][i]);
        tern_regex_close(t->regex[1][i]);
    }
    tern_prefixes *const sets[] = {&t->pieces, &t->inside, &t->user, &t->added[0], &t->added[1]};
    for (size_t i = 0; i < TERN_COUNT(sets); i++) tern_prefixes_close(sets[i]);
    tern_text_index_close(&t->texts);
    tern_release(t->pairs);
    tern_release(t->spelled);
    tern_release(t->spelled_at);
    tern_vocabulary_free(&t->v);
    tern_release(t);
}

const tern_vocabulary *tern_tokenizer_vocabulary(const tern_tokenizer *t)
{
    return &t->v;
}

static bool is_gguf(const char *bytes, size_t count)
{
    return count >= 4 && memcmp(bytes, "GGUF", 4) == 0;
}

static tern_status read_bytes(tern_vocabulary *v, const char *path)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    bool json = tern_ends_with(path, ".json");
    tern_status status =
        json ? tern_vocabulary_json(v, bytes, count, path) : tern_vocabulary_model(v, bytes, count, path);
    tern_release(bytes);
    return status;
}

static tern_status read_weights(tern_vocabulary *v, const char *path)
{
    tern_weights weights = {0};
    TERN_TRY(tern_weights_open(&weights, path));
    tern_status status = tern_vocabulary_gguf(v, &weights, path);
    tern_weights_close(&weights);
    return status;
}

/* What a file that is no folder holds. */
static tern_status read_file(tern_vocabulary *v, const char *path)
{
    char begin[4] = "";
    FILE *file = fopen(path, "rb");
    if (!file) return tern_fail(TERN_FAILED, "cannot open %s: %s", path, strerror(errno));
    size_t count = fread(begin, 1, sizeof begin, file);
    fclose(file);
    return is_gguf(begin, count) ? read_weights(v, path) : read_bytes(v, path);
}

tern_status tern_tokenizer_read(tern_tokenizer **tokenizer, const char *path)
{
    tern_vocabulary v = {0};
    TERN_TRY(tern_is_folder(path) ? tern_folder_vocabulary(&v, path) : read_file(&v, path));
    tern_status status = tern_tokenizer_open(tokenizer, &v);
    return status == TERN_OK ? status : tern_in(status, "%s", path);
}
