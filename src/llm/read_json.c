/* Hugging Face's tokenizer.json: each part of its pipeline becomes steps of a tern_vocabulary; what Tern does not have is
 * named and refused, since a tokenizer that is nearly right is wrong. */
#include "llm/tokenizer_parts.h"

#include <string.h>

bool tern_unspell_bytes(const char *spelled, size_t size, char *out, size_t *out_size)
{
    *out_size = 0;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        bool valid;
        at += tern_utf8_decode(spelled + at, size - at, &c, &valid);
        bool self = (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255);
        if (!self && (c < 256 || c > 323)) return false;
        if (!self)
            c = c <= 288 ? c - 256 : c <= 322 ? c - 289 + 127 : 173; /* the others, in order, from 256 on */
        out[(*out_size)++] = (char)c;
    }
    return true;
}

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

typedef struct tern_json_reader {
    tern_vocabulary *v;
    const char *name;
    json_t *vocab; /* of the model, when it is an object */
} tern_json_reader;

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool flag_of(json_t *object, const char *key, bool standard)
{
    json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : standard;
}

static tern_status unsupported(const tern_json_reader *r, const char *part, const char *type)
{
    return tern_fail(TERN_FAILED, "%s: the %s \"%s\" is not one that Tern has", r->name, part, type);
}

static tern_status copy_bytes(tern_json_reader *r, const char *bytes, size_t size, const char **out)
{
    char *copy = tern_arena_take(&r->v->arena, size + 1);
    if (!copy) return tern_no_memory(size, r->name);
    if (size) memcpy(copy, bytes, size);
    *out = copy;
    return TERN_OK;
}

static tern_status copy_text(tern_json_reader *r, json_t *value, const char **out, size_t *size)
{
    *size = json_string_length(value);
    return copy_bytes(r, json_is_string(value) ? json_string_value(value) : "", *size, out);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static tern_status add_step(tern_json_reader *r, bool splitting, tern_text_step step)
{
    int *count = splitting ? &r->v->split_count : &r->v->normalise_count;
    if (*count == TERN_MOST_STEPS)
        return tern_fail(TERN_FAILED, "%s: more than %d steps before the model", r->name, TERN_MOST_STEPS);
    (splitting ? r->v->split : r->v->normalise)[(*count)++] = step;
    return TERN_OK;
}

/* {"Regex": ".."} or {"String": ".."} */
static tern_status pattern_of(tern_json_reader *r, json_t *object, tern_text_step *step)
{
    json_t *pattern = json_object_get(object, "pattern"), *regex = json_object_get(pattern, "Regex");
    json_t *string = json_object_get(pattern, "String");
    if (!json_is_string(regex) && !json_is_string(string))
        return tern_fail(TERN_FAILED, "%s: a pattern is neither a Regex nor a String", r->name);
    step->regex = regex != NULL;
    return copy_text(r, regex ? regex : string, &step->text, &step->size);
}

static tern_status each_part(tern_json_reader *r, json_t *list,
                             tern_status (*read)(tern_json_reader *, json_t *, int), int depth)
{
    size_t i;
    json_t *part;
    if (depth > 8) return tern_fail(TERN_FAILED, "%s: sequences nest deeper than 8", r->name);
    json_array_foreach(list, i, part) TERN_TRY(read(r, part, depth + 1));
    return TERN_OK;
}

static int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static tern_status charsmap(tern_json_reader *r, json_t *text)
{
    size_t size = json_string_length(text), out = 0;
    const char *in = json_string_value(text);
    char *bytes = tern_arena_take(&r->v->arena, size / 4 * 3 + 4);
    uint32_t bits = 0;
    int have = 0;
    if (!bytes) return tern_no_memory(size, r->name);
    for (size_t i = 0; i < size && in[i] != '='; i++) {
        int value = base64_value(in[i]);
        if (value < 0)
            return tern_fail(TERN_FAILED, "%s: precompiled_charsmap is not base64 at character %zu", r->name,
                             i);
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) bytes[out++] = (char)(bits >> (have -= 8));
    }
    bytes[out] = 0;
    return add_step(r, false, (tern_text_step){.kind = TERN_STEP_CHARSMAP, .text = bytes, .size = out});
}

static tern_status bert_normaliser(tern_json_reader *r, json_t *n)
{
    bool lower = flag_of(n, "lowercase", true);
    if (flag_of(n, "clean_text", true))
        TERN_TRY(add_step(r, false, (tern_text_step){.kind = TERN_STEP_CLEAN}));
    if (flag_of(n, "handle_chinese_chars", true))
        TERN_TRY(add_step(r, false, (tern_text_step){.kind = TERN_STEP_CHINESE}));
    if (flag_of(n, "strip_accents", lower)) {
        TERN_TRY(add_step(r, false, (tern_text_step){.kind = TERN_STEP_NFD}));
        TERN_TRY(add_step(r, false, (tern_text_step){.kind = TERN_STEP_STRIP_ACCENTS}));
    }
    return lower ? add_step(r, false, (tern_text_step){.kind = TERN_STEP_LOWER}) : TERN_OK;
}

static tern_status normaliser(tern_json_reader *r, json_t *n, int depth)
{
    static const struct {
        const char *type;
        tern_step_kind kind;
    } plain[] = {{"NFC", TERN_STEP_NFC},
                 {"NFD", TERN_STEP_NFD},
                 {"Lowercase", TERN_STEP_LOWER},
                 {"StripAccents", TERN_STEP_STRIP_ACCENTS}};
    const char *type = text_of(n, "type");
    tern_text_step step = {0};
    if (!n || json_is_null(n)) return TERN_OK;
    for (size_t i = 0; i < TERN_COUNT(plain); i++)
        if (strcmp(type, plain[i].type) == 0)
            return add_step(r, false, (tern_text_step){.kind = plain[i].kind});
    if (strcmp(type, "Sequence") == 0)
        return each_part(r, json_object_get(n, "normalizers"), normaliser, depth);
    if (strcmp(type, "BertNormalizer") == 0) return bert_normaliser(r, n);
    if (strcmp(type, "Precompiled") == 0) return charsmap(r, json_object_get(n, "precompiled_charsmap"));
    if (strcmp(type, "ByteLevel") == 0) {
        r->v->byte_level = true;
        return TERN_OK;
    }
    if (strcmp(type, "Strip") == 0)
        return add_step(r, false,
                        (tern_text_step){.kind = TERN_STEP_STRIP,
                                         .left = flag_of(n, "strip_left", true),
                                         .right = flag_of(n, "strip_right", true)});
    if (strcmp(type, "Prepend") == 0) {
        step.kind = TERN_STEP_PREPEND;
        TERN_TRY(copy_text(r, json_object_get(n, "prepend"), &step.text, &step.size));
        return add_step(r, false, step);
    }
    if (strcmp(type, "Replace") != 0) return unsupported(r, "normalizer", type);
    step.kind = TERN_STEP_REPLACE;
    TERN_TRY(pattern_of(r, n, &step));
    TERN_TRY(copy_text(r, json_object_get(n, "content"), &step.by, &step.by_size));
    return add_step(r, false, step);
}

/* Spaces become U+2581, a text begins with one, and each begins a piece. */
static tern_status metaspace(tern_json_reader *r, json_t *p)
{
    tern_text_step step = {.kind = TERN_STEP_PREFIX};
    const char *scheme = text_of(p, "prepend_scheme");
    bool always = strcmp(scheme, "always") == 0 || (!scheme[0] && flag_of(p, "add_prefix_space", true));
    bool apart = false;
    TERN_TRY(copy_text(r, json_object_get(p, "replacement"), &step.text, &step.size));
    for (int i = 0; i < r->v->split_count; i++) apart = apart || r->v->split[i].kind == TERN_STEP_SPACES;
    if (r->v->split_count && !apart) return unsupported(r, "order of pre-tokenizers with", "Metaspace");
    if (!apart) /* the first step: spaces may as well be replaced before it */
        TERN_TRY(add_step(
            r, false,
            (tern_text_step){
                .kind = TERN_STEP_REPLACE, .text = " ", .size = 1, .by = step.text, .by_size = step.size}));
    step.first = strcmp(scheme, "first") == 0;
    if (always || step.first) TERN_TRY(add_step(r, true, step));
    if (!flag_of(p, "split", true)) return TERN_OK;
    return add_step(
        r, true,
        (tern_text_step){
            .kind = TERN_STEP_SPLIT, .text = step.text, .size = step.size, .split = TERN_SPLIT_WITH_NEXT});
}

static tern_status split_step(tern_json_reader *r, json_t *p)
{
    static const char *const behaviours[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                             "Contiguous"};
    tern_text_step step = {.kind = TERN_STEP_SPLIT, .invert = flag_of(p, "invert", false)};
    const char *behaviour = text_of(p, "behavior");
    size_t i = 0;
    while (i < TERN_COUNT(behaviours) && strcmp(behaviours[i], behaviour) != 0) i++;
    if (i == TERN_COUNT(behaviours)) return unsupported(r, "behavior of a split", behaviour);
    step.split = (tern_split_kind)i;
    TERN_TRY(pattern_of(r, p, &step));
    return add_step(r, true, step);
}

static tern_status presplitter(tern_json_reader *r, json_t *p, int depth)
{
    const char *type = text_of(p, "type");
    if (!p || json_is_null(p)) return TERN_OK;
    if (strcmp(type, "Sequence") == 0)
        return each_part(r, json_object_get(p, "pretokenizers"), presplitter, depth);
    if (strcmp(type, "Split") == 0) return split_step(r, p);
    if (strcmp(type, "Metaspace") == 0) return metaspace(r, p);
    if (strcmp(type, "ByteLevel") == 0) {
        r->v->byte_level = true;
        if (flag_of(p, "add_prefix_space", true))
            TERN_TRY(add_step(r, true, (tern_text_step){.kind = TERN_STEP_PREFIX, .text = " ", .size = 1}));
        return flag_of(p, "use_regex", true) ? tern_vocabulary_presplit(r->v, "gpt-2") : TERN_OK;
    }
    if (strcmp(type, "Digits") == 0)
        return add_step(r, true,
                        (tern_text_step){.kind = TERN_STEP_DIGITS,
                                         .split = flag_of(p, "individual_digits", false)
                                                      ? TERN_SPLIT_ISOLATED
                                                      : TERN_SPLIT_CONTIGUOUS});
    if (strcmp(type, "Whitespace") == 0) return add_step(r, true, (tern_text_step){.kind = TERN_STEP_WORDS});
    if (strcmp(type, "WhitespaceSplit") == 0)
        return add_step(r, true, (tern_text_step){.kind = TERN_STEP_SPACES});
    if (strcmp(type, "BertPreTokenizer") == 0) {
        TERN_TRY(add_step(r, true, (tern_text_step){.kind = TERN_STEP_SPACES}));
        return add_step(r, true, (tern_text_step){.kind = TERN_STEP_PUNCTUATION});
    }
    if (strcmp(type, "Punctuation") == 0 && strcmp(text_of(p, "behavior"), "Isolated") == 0)
        return add_step(r, true, (tern_text_step){.kind = TERN_STEP_PUNCTUATION});
    return unsupported(r, "pre_tokenizer", type);
}

/* ---- ends and decoding ------------------------------------------------------------------------------------------- */

static tern_status add_end(tern_json_reader *r, bool behind, json_t *id)
{
    int *count = behind ? &r->v->suffix_count : &r->v->prefix_count;
    json_int_t value = json_integer_value(id);
    if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
        return tern_fail(TERN_FAILED, "%s: the post_processor names a token without a valid id", r->name);
    if (*count == TERN_MOST_ENDS)
        return tern_fail(TERN_FAILED, "%s: more than %d special tokens around a text", r->name,
                         TERN_MOST_ENDS);
    (behind ? r->v->suffix : r->v->prefix)[(*count)++] = (int32_t)value;
    return TERN_OK;
}

static tern_status template(tern_json_reader *r, json_t *p)
{
    size_t i, k;
    json_t *part, *id;
    bool behind = false;
    json_array_foreach(json_object_get(p, "single"), i, part)
    {
        json_t *special = json_object_get(part, "SpecialToken");
        if (!special) {
            behind = true;
            continue;
        }
        json_t *known = json_object_get(json_object_get(p, "special_tokens"), text_of(special, "id"));
        json_t *ids = json_object_get(known, "ids");
        if (!json_array_size(ids)) return add_end(r, behind, NULL);
        json_array_foreach(ids, k, id) TERN_TRY(add_end(r, behind, id));
    }
    return TERN_OK;
}

static tern_status postprocessor(tern_json_reader *r, json_t *p, int depth)
{
    const char *type = text_of(p, "type");
    if (!p || json_is_null(p) || strcmp(type, "ByteLevel") == 0) return TERN_OK;
    if (strcmp(type, "Sequence") == 0)
        return each_part(r, json_object_get(p, "processors"), postprocessor, depth);
    if (strcmp(type, "TemplateProcessing") == 0) return template(r, p);
    if (strcmp(type, "BertProcessing") != 0 && strcmp(type, "RobertaProcessing") != 0)
        return unsupported(r, "post_processor", type);
    TERN_TRY(add_end(r, false, json_array_get(json_object_get(p, "cls"), 1)));
    return add_end(r, true, json_array_get(json_object_get(p, "sep"), 1));
}

static tern_status decoder(tern_json_reader *r, json_t *d, int depth)
{
    const char *type = text_of(d, "type");
    if (!d || json_is_null(d)) return TERN_OK;
    if (strcmp(type, "Sequence") == 0) return each_part(r, json_object_get(d, "decoders"), decoder, depth);
    if (strcmp(type, "ByteLevel") == 0 || strcmp(type, "ByteFallback") == 0 || strcmp(type, "Fuse") == 0)
        return TERN_OK;
    if (strcmp(type, "WordPiece") == 0) {
        r->v->tidy = flag_of(d, "cleanup", true);
        return TERN_OK;
    }
    if (strcmp(type, "Metaspace") == 0) {
        r->v->spaces_escaped = true;
        r->v->strip_first =
            strcmp(text_of(d, "prepend_scheme"), "never") != 0 && flag_of(d, "add_prefix_space", true);
        return TERN_OK;
    }
    if (strcmp(type, "Replace") == 0 &&
        strcmp(text_of(json_object_get(d, "pattern"), "String"), "\xE2\x96\x81") == 0 &&
        strcmp(text_of(d, "content"), " ") == 0) {
        r->v->spaces_escaped = true;
        return TERN_OK;
    }
    if (strcmp(type, "Strip") == 0 && strcmp(text_of(d, "content"), " ") == 0 &&
        json_integer_value(json_object_get(d, "start")) == 1 &&
        json_integer_value(json_object_get(d, "stop")) == 0) {
        r->v->strip_first = true;
        return TERN_OK;
    }
    return unsupported(r, "decoder", type);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

static tern_status check_id(const tern_json_reader *r, json_t *id, int32_t most)
{
    if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < most) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: a token's id is %lld, expected a whole number from 0 to %d", r->name,
                     (long long)json_integer_value(id), most - 1);
}

static tern_status set_token(tern_json_reader *r, int32_t id, const char *text, size_t size,
                             tern_token_kind kind)
{
    tern_token *token = &r->v->tokens[id];
    char *copy = tern_arena_take(&r->v->arena, size + 1);
    size_t bytes = size;
    if (!copy) return tern_no_memory(size, r->name);
    if (!r->v->byte_level || kind != TERN_TOKEN_NORMAL || !tern_unspell_bytes(text, size, copy, &bytes)) {
        bytes = size;
        memcpy(copy, text, size);
    }
    if (kind == TERN_TOKEN_NORMAL && r->v->byte_fallback && size == 6 && memcmp(text, "<0x", 3) == 0)
        kind = TERN_TOKEN_BYTE;
    *token = (tern_token){copy, (uint32_t)bytes, kind, token->score};
    if (id >= r->v->count) r->v->count = id + 1;
    return TERN_OK;
}

static tern_status tokens_object(tern_json_reader *r, int32_t most)
{
    const char *key;
    json_t *id;
    for (void *at = json_object_iter(r->vocab); at; at = json_object_iter_next(r->vocab, at)) {
        key = json_object_iter_key(at);
        id = json_object_iter_value(at);
        TERN_TRY(check_id(r, id, most));
        TERN_TRY(set_token(r, (int32_t)json_integer_value(id), key, json_object_iter_key_len(at),
                           TERN_TOKEN_NORMAL));
    }
    return TERN_OK;
}

/* [["piece", -3.5], ..] */
static tern_status tokens_list(tern_json_reader *r, json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        json_t *text = json_array_get(item, 0), *score = json_array_get(item, 1);
        if (!json_is_string(text) || !json_is_number(score))
            return tern_fail(TERN_FAILED, "%s: token %zu is not a pair of text and score", r->name, i);
        r->v->tokens[i].score = json_number_value(score);
        TERN_TRY(
            set_token(r, (int32_t)i, json_string_value(text), json_string_length(text), TERN_TOKEN_NORMAL));
    }
    return TERN_OK;
}

static tern_status added_tokens(tern_json_reader *r, json_t *list, int32_t most)
{
    size_t i;
    json_t *item;
    r->v->added = tern_arena_take(&r->v->arena, (json_array_size(list) + 1) * sizeof *r->v->added);
    if (!r->v->added) return tern_no_memory(json_array_size(list), r->name);
    json_array_foreach(list, i, item)
    {
        json_t *id = json_object_get(item, "id");
        tern_added *a = &r->v->added[r->v->added_count];
        size_t size;
        TERN_TRY(check_id(r, id, most));
        *a = (tern_added){.id = (int32_t)json_integer_value(id),
                          .special = flag_of(item, "special", false),
                          .normalised = flag_of(item, "normalized", true),
                          .single_word = flag_of(item, "single_word", false),
                          .strip_left = flag_of(item, "lstrip", false),
                          .strip_right = flag_of(item, "rstrip", false)};
        TERN_TRY(copy_text(r, json_object_get(item, "content"), &a->text, &size));
        a->size = (uint32_t)size;
        TERN_TRY(set_token(r, a->id, a->text, size, a->special ? TERN_TOKEN_CONTROL : TERN_TOKEN_USER));
        r->v->added_count++;
    }
    return TERN_OK;
}

static tern_status merge_part(tern_json_reader *r, const char *text, size_t size, size_t index, int32_t *id)
{
    json_t *value = json_object_getn(r->vocab, text, size);
    if (!json_is_integer(value))
        return tern_fail(TERN_FAILED, "%s: merge %zu joins \"%.*s\", which is no token", r->name, index,
                         (int)size, text);
    *id = (int32_t)json_integer_value(value);
    return TERN_OK;
}

/* ["a b", ..] or [["a", "b"], ..] */
static tern_status merges(tern_json_reader *r, json_t *list)
{
    size_t i, count = json_array_size(list);
    json_t *item;
    if (!json_is_array(list) || count > INT32_MAX / 4)
        return tern_fail(TERN_FAILED, "%s: the model has no list of merges", r->name);
    r->v->merges = tern_arena_take(&r->v->arena, (count + 1) * 2 * sizeof(int32_t));
    if (!r->v->merges) return tern_no_memory(count * 8, r->name);
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item), *middle = text ? strchr(text, ' ') : NULL;
        json_t *a = json_array_get(item, 0), *b = json_array_get(item, 1);
        int32_t *pair = r->v->merges + i * 2;
        if (middle) {
            TERN_TRY(merge_part(r, text, (size_t)(middle - text), i, pair));
            TERN_TRY(merge_part(r, middle + 1, json_string_length(item) - (size_t)(middle + 1 - text), i,
                                pair + 1));
        } else if (json_is_string(a) && json_is_string(b)) {
            TERN_TRY(merge_part(r, json_string_value(a), json_string_length(a), i, pair));
            TERN_TRY(merge_part(r, json_string_value(b), json_string_length(b), i, pair + 1));
        } else {
            return tern_fail(TERN_FAILED, "%s: merge %zu is not a pair of tokens", r->name, i);
        }
    }
    r->v->merge_count = (int32_t)count;
    return TERN_OK;
}

static tern_status unknown_token(tern_json_reader *r, json_t *model)
{
    json_t *unknown = json_object_get(model, "unk_token"), *id = json_object_get(model, "unk_id");
    if (json_is_string(unknown)) id = json_object_get(r->vocab, json_string_value(unknown));
    if (!json_is_integer(id)) return TERN_OK;
    TERN_TRY(check_id(r, id, r->v->count));
    r->v->unknown = (int32_t)json_integer_value(id);
    if (r->v->tokens[r->v->unknown].kind == TERN_TOKEN_NORMAL)
        r->v->tokens[r->v->unknown].kind = TERN_TOKEN_UNKNOWN;
    return TERN_OK;
}

static tern_status model_kind(tern_json_reader *r, json_t *model)
{
    const char *type = text_of(model, "type");
    tern_vocabulary *v = r->v;
    if (text_of(model, "end_of_word_suffix")[0])
        return unsupported(r, "model's setting", "end_of_word_suffix");
    v->byte_fallback = flag_of(model, "byte_fallback", false);
    v->fuse_unknown = flag_of(model, "fuse_unk", false);
    v->whole_first = flag_of(model, "ignore_merges", false);
    if (strcmp(type, "BPE") == 0 || (!type[0] && json_object_get(model, "merges"))) {
        if (text_of(model, "continuing_subword_prefix")[0])
            return unsupported(r, "model's setting", "continuing_subword_prefix");
        v->model = TERN_MODEL_BPE;
    } else if (strcmp(type, "Unigram") == 0) {
        v->model = TERN_MODEL_UNIGRAM;
        v->fuse_unknown = true;
    } else if (strcmp(type, "WordPiece") == 0) {
        json_t *most = json_object_get(model, "max_input_chars_per_word");
        size_t size;
        v->model = TERN_MODEL_WORDPIECE;
        v->most_word =
            json_is_integer(most) && json_integer_value(most) < 10000 ? (int)json_integer_value(most) : 100;
        return copy_text(r, json_object_get(model, "continuing_subword_prefix"), &v->continuing, &size);
    } else {
        return unsupported(r, "model", type);
    }
    return TERN_OK;
}

static tern_status read_all(tern_json_reader *r, json_t *root)
{
    json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens");
    json_t *vocab = json_object_get(model, "vocab");
    bool whole_first;
    TERN_TRY(model_kind(r, model));
    whole_first = r->v->whole_first;
    if (json_is_object(vocab)) r->vocab = vocab;
    if (!r->vocab != (r->v->model == TERN_MODEL_UNIGRAM) || (!r->vocab && !json_is_array(vocab)))
        return tern_fail(TERN_FAILED, "%s: the model has no vocabulary of its kind", r->name);
    TERN_TRY(normaliser(r, json_object_get(root, "normalizer"), 0));
    TERN_TRY(presplitter(r, json_object_get(root, "pre_tokenizer"), 0));
    TERN_TRY(postprocessor(r, json_object_get(root, "post_processor"), 0));
    TERN_TRY(decoder(r, json_object_get(root, "decoder"), 0));
    r->v->whole_first = whole_first;
    /* Ids may have holes, but not so many that a small file asks for much memory. */
    size_t known = (r->vocab ? json_object_size(vocab) : json_array_size(vocab)) + json_array_size(added);
    if (known > 16 << 20)
        return tern_fail(TERN_FAILED, "%s: %zu tokens, expected at most 16 million", r->name, known);
    int32_t most = (int32_t)known * 2 + 4096;
    r->v->tokens = tern_arena_take(&r->v->arena, (size_t)most * sizeof *r->v->tokens);
    if (!r->v->tokens) return tern_no_memory((size_t)most * sizeof *r->v->tokens, r->name);
    TERN_TRY(r->vocab ? tokens_object(r, most) : tokens_list(r, vocab));
    TERN_TRY(unknown_token(r, model));
    TERN_TRY(added_tokens(r, added, most));
    if (r->v->prefix_count) r->v->bos = r->v->prefix[0];
    return r->v->model == TERN_MODEL_BPE ? merges(r, json_object_get(model, "merges")) : TERN_OK;
}

tern_status tern_vocabulary_json(tern_vocabulary *v, const char *bytes, size_t count, const char *name)
{
    json_error_t error;
    *v = (tern_vocabulary){
        .unknown = -1, .bos = -1, .eos = -1, .pad = -1, .most_word = 100, .continuing = "##"};
    json_t *root = json_loadb(bytes, count, JSON_ALLOW_NUL, &error);
    if (!root)
        return tern_fail(TERN_FAILED, "%s: no valid JSON at line %d column %d: %s", name, error.line,
                         error.column, error.text);
    tern_json_reader r = {.v = v, .name = name};
    tern_status status =
        json_is_object(root)
            ? read_all(&r, root)
            : tern_fail(TERN_FAILED, "%s: expected a JSON object, as tokenizer.json is", name);
    json_decref(root);
    if (status != TERN_OK) tern_vocabulary_free(v);
    return status;
}
#else
tern_status tern_vocabulary_json(tern_vocabulary *v, const char *bytes, size_t count, const char *name)
{
    (void)v, (void)bytes, (void)count;
    return tern_fail(
        TERN_FAILED,
        "%s: this build of Tern has no jansson and cannot read tokenizer.json: install jansson's headers "
        "and build again",
        name);
}
#endif
