/* llm: tokenizers against the reference libraries' answers (golden/llm/generate.py), damage, memory that fails, time. */
#define _DEFAULT_SOURCE
#include "damage.h"
#include "token_strings.h"

#include "llm/tokenizer.h"

#include <time.h>
#include <unistd.h>

#if __has_include(<jansson.h>)
#include <jansson.h>
#define HAVE_JANSSON

#define GOLDEN TERN_TESTS "/golden/llm/"

static token_pieces pieces;

static void open_named(tern_tokenizer **t, const char *folder, const char *name)
{
    char path[512];
    tern_status status = TERN_FAILED;
    static const char *const ends[] = {".json", ".model"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s%s%s", folder, name, ends[i]);
        if (access(path, R_OK) != 0) continue;
        assert_ok(status = tern_tokenizer_read(t, path));
    }
    if (status != TERN_OK) fail_msg("no tokenizer %s in %s", name, folder);
}

static uint64_t hash_on(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

#define HASH_BEGIN 0xcbf29ce484222325u

static void decode_all(const tern_tokenizer *t, const tern_tokens *ids, tern_text *out)
{
    tern_decoder d = {.specials = true};
    out->size = 0;
    tern_text_put(out, "");
    for (size_t i = 0; i < ids->count; i++) assert_ok(tern_decode(t, &d, ids->ids[i], out));
    assert_ok(tern_decode_end(&d, out));
}

static uint64_t golden_hash(json_t *answers, const char *key, int block)
{
    return strtoull(json_string_value(json_array_get(json_object_get(answers, key), (size_t)block)), NULL,
                    16);
}

/* The first cases in full: they say what differs. */
static void check_cases(const tern_tokenizer *t, json_t *answers, const char *name, unsigned flags)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answers, "cases"), i, item)
    {
        const char *hex = json_string_value(json_array_get(item, 0));
        json_t *expected = json_array_get(item, 1);
        size_t size = strlen(hex) / 2;
        char *text = malloc(size + 1);
        tern_tokens ids = {0};
        for (size_t k = 0; k < size; k++) {
            char digits[3] = {hex[2 * k], hex[2 * k + 1], 0};
            text[k] = (char)strtol(digits, NULL, 16);
        }
        assert_ok(tern_encode(t, text, size, flags, &ids));
        for (size_t k = 0; k < ids.count || k < json_array_size(expected); k++) {
            int e = (int)json_integer_value(json_array_get(expected, k));
            if (k >= ids.count || k >= json_array_size(expected) || ids.ids[k] != e)
                fail_msg("%s case %zu \"%.*s\": token %zu is %d, expected %d (%zu of %zu tokens)", name, i,
                         (int)size, text, k, k < ids.count ? ids.ids[k] : -1, e, ids.count,
                         json_array_size(expected));
        }
        tern_tokens_free(&ids);
        free(text);
    }
}

static int check_blocks(const tern_tokenizer *t, json_t *answers, const char *name, unsigned flags)
{
    int blocks = (int)json_integer_value(json_object_get(answers, "blocks")), bad = 0;
    int block = (int)json_integer_value(json_object_get(answers, "block"));
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(answers, "seed"));
    tern_text text = {0}, decoded = {0};
    tern_tokens ids = {0};
    const int32_t mark = -1;
    for (int b = 0; b < blocks; b++) {
        uint64_t all = HASH_BEGIN, plain = HASH_BEGIN, back = HASH_BEGIN;
        for (int i = 0; i < block; i++) {
            token_string(&pieces, seed + (uint64_t)(b * block + i), &text);
            ids.count = 0;
            assert_ok(tern_encode(t, text.data, text.size, flags, &ids));
            all = hash_on(hash_on(all, ids.ids, ids.count * 4), &mark, 4);
            ids.count = 0;
            assert_ok(tern_encode(t, text.data, text.size, 0, &ids));
            plain = hash_on(hash_on(plain, ids.ids, ids.count * 4), &mark, 4);
            decode_all(t, &ids, &decoded);
            back = hash_on(back, decoded.data, decoded.size + 1);
        }
        const uint64_t found[3] = {all, plain, back};
        static const char *const keys[3] = {"all", "plain", "decoded"};
        for (int k = 0; k < 3; k++) {
            if (found[k] == golden_hash(answers, keys[k], b)) continue;
            if (bad++ < 4) print_message("%s: block %d differs: %s\n", name, b, keys[k]);
        }
    }
    tern_text_free(&text);
    tern_text_free(&decoded);
    tern_tokens_free(&ids);
    return bad;
}

static void check_tokenizer(const char *folder, const char *name, const char *answers_name)
{
    char path[512];
    json_error_t error;
    tern_tokenizer *t = NULL;
    open_named(&t, folder, name);
    snprintf(path, sizeof path, GOLDEN "%s.answers.json", answers_name);
    json_t *answers = json_load_file(path, 0, &error);
    if (!answers) fail_msg("%s: %s", path, error.text);
    bool sentencepiece = tern_tokenizer_vocabulary(t)->sentencepiece; /* that library adds no ends */
    unsigned flags = sentencepiece ? 0 : TERN_ENCODE_ENDS | TERN_ENCODE_SPECIAL;
    check_cases(t, answers, name, flags);
    assert_int_equal(check_blocks(t, answers, name, flags), 0);
    json_decref(answers);
    tern_tokenizer_close(t);
}

#define GOLDEN_TEST(function, name)                                                                          \
    static void function(void **state)                                                                       \
    {                                                                                                        \
        (void)state;                                                                                         \
        check_tokenizer(GOLDEN, name, name);                                                                 \
    }
GOLDEN_TEST(test_gpt2, "bpe-gpt2")
GOLDEN_TEST(test_llama3, "bpe-llama3")
GOLDEN_TEST(test_qwen2, "bpe-qwen2")
GOLDEN_TEST(test_smollm, "bpe-smollm")
GOLDEN_TEST(test_deepseek, "bpe-deepseek")
GOLDEN_TEST(test_llama2, "bpe-llama2")
GOLDEN_TEST(test_gemma, "bpe-gemma")
GOLDEN_TEST(test_unigram, "unigram")
GOLDEN_TEST(test_wordpiece, "wordpiece")
GOLDEN_TEST(test_sp_unigram, "sp-unigram")
GOLDEN_TEST(test_sp_bpe, "sp-bpe")

/* ---- the same tokenizers out of GGUF ---------------------------------------------------------------------------------- */

static void put_meta_text(tern_text *out, const char *text, size_t size)
{
    uint64_t length = size;
    tern_text_add(out, (const char *)&length, 8);
    tern_text_add(out, text, size);
}

static tern_meta meta_of(const char *key, tern_meta_kind kind, bool array, int64_t count,
                         const tern_text *data)
{
    return (tern_meta){key, kind, array, count, (const uint8_t *)data->data, data->size};
}

/* Writes entries as converters to GGUF do: tokens, types and scores, and of byte-level models the merges. */
static void write_gguf(const char *path, const char *model, const char *pre, const tern_text *tokens,
                       const tern_text *types, const tern_text *scores, const tern_text *merges,
                       int64_t merge_count)
{
    tern_text name = {0}, split = {0}, no = {0}, yes = {0};
    int64_t count = (int64_t)types->size / 4;
    put_meta_text(&name, model, strlen(model));
    put_meta_text(&split, pre, strlen(pre));
    tern_text_add(&no, "\0", 1);
    tern_text_add(&yes, "\1", 1);
    const tern_meta metas[] = {
        meta_of("tokenizer.ggml.model", TERN_META_TEXT, false, 1, &name),
        meta_of("tokenizer.ggml.pre", TERN_META_TEXT, false, 1, &split),
        meta_of("tokenizer.ggml.tokens", TERN_META_TEXT, true, count, tokens),
        meta_of("tokenizer.ggml.token_type", TERN_META_I32, true, count, types),
        meta_of("tokenizer.ggml.add_bos_token", TERN_META_BOOL, false, 1, &no),
        meta_of("tokenizer.ggml.add_space_prefix", TERN_META_BOOL, false, 1, merges->data ? &no : &yes),
        meta_of("tokenizer.ggml.scores", TERN_META_F32, true, count, scores),
        meta_of("tokenizer.ggml.merges", TERN_META_TEXT, true, merge_count, merges),
    };
    assert_ok(
        tern_gguf_write(path, &(tern_gguf_content){.metas = metas, .meta_count = merges->data ? 8 : 7}));
    tern_text_free(&name);
    tern_text_free(&split);
    tern_text_free(&no);
    tern_text_free(&yes);
}

static void compare_gguf(const char *path, const char *name, unsigned flags)
{
    tern_tokenizer *a = NULL, *b;
    tern_text text = {0};
    tern_tokens x = {0}, y = {0};
    open_named(&a, GOLDEN, name);
    assert_ok(tern_tokenizer_read(&b, path));
    for (uint64_t i = 0; i < 2000; i++) {
        token_string(&pieces, 555 + i, &text);
        x.count = y.count = 0;
        assert_ok(tern_encode(a, text.data, text.size, flags, &x));
        assert_ok(tern_encode(b, text.data, text.size, flags, &y));
        assert_int_equal(x.count, y.count);
        assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
    }
    tern_tokens_free(&x);
    tern_tokens_free(&y);
    tern_text_free(&text);
    tern_tokenizer_close(a);
    tern_tokenizer_close(b);
    unlink(path);
}

/* Runs of spaces are user-defined pieces of SentencePiece (Gemma), which GGUF spells with plain spaces: the longest one counts. */
static void test_gguf_spaces(void **state)
{
    (void)state;
    static const char *const spelled[] = {"<unk>",
                                          "\xE2\x96\x81",
                                          "a",
                                          "b",
                                          ("\xE2\x96\x81"
                                           "a"),
                                          "  ",
                                          "   ",
                                          "\n\n"};
    static const int32_t wanted[] = {4, 6, 3, 5, 2, 6, 5, 2, 7, 3, 1}; /* " a   b  a     a\n\nb " */
    tern_text tokens = {0}, types = {0}, scores = {0}, merges = {0}, out = {0};
    tern_tokens ids = {0};
    tern_decoder decoder = {0};
    tern_tokenizer *t;
    for (int i = 0; i < 8; i++) {
        int32_t type = i == 0 ? 2 : i < 5 ? 1 : 4;
        float score = i < 5 ? (float)-i : -1000;
        put_meta_text(&tokens, spelled[i], strlen(spelled[i]));
        tern_text_add(&types, (const char *)&type, 4);
        tern_text_add(&scores, (const char *)&score, 4);
    }
    write_gguf("spaces.gguf", "llama", "default", &tokens, &types, &scores, &merges, 0);
    assert_ok(tern_tokenizer_read(&t, "spaces.gguf"));
    assert_ok(tern_encode(t, "a   b  a     a\n\nb ", 18, 0, &ids));
    assert_int_equal(ids.count, TERN_COUNT(wanted));
    for (size_t i = 0; i < ids.count; i++) assert_int_equal(ids.ids[i], wanted[i]);
    for (size_t i = 0; i < ids.count; i++) assert_ok(tern_decode(t, &decoder, ids.ids[i], &out));
    assert_string_equal(out.data, "a   b  a     a\n\nb ");
    unlink("spaces.gguf");
    tern_tokenizer_close(t);
    tern_tokens_free(&ids);
    tern_text_free(&out);
    tern_text_free(&tokens);
    tern_text_free(&types);
    tern_text_free(&scores);
}

static void test_gguf_byte_level(void **state)
{
    (void)state;
    json_t *root = json_load_file(GOLDEN "bpe-smollm.json", 0, NULL), *model = json_object_get(root, "model"),
           *id, *merge;
    json_t *vocabulary = json_object_get(model, "vocab");
    const char *key;
    size_t i, count = json_object_size(vocabulary);
    const char **spelled = calloc(count, sizeof *spelled);
    tern_text tokens = {0}, types = {0}, scores = {0}, merges = {0};
    json_object_foreach(vocabulary, key, id) spelled[json_integer_value(id)] = key;
    for (i = 0; i < count; i++) {
        int32_t type = i < 2 ? 3 : 1; /* <s> and </s> are control tokens */
        float score = 0;
        put_meta_text(&tokens, spelled[i], strlen(spelled[i]));
        tern_text_add(&types, (const char *)&type, 4);
        tern_text_add(&scores, (const char *)&score, 4);
    }
    json_array_foreach(json_object_get(model, "merges"), i, merge)
    {
        char both[256];
        int size = snprintf(both, sizeof both, "%s %s", json_string_value(json_array_get(merge, 0)),
                            json_string_value(json_array_get(merge, 1)));
        put_meta_text(&merges, both, (size_t)size);
    }
    write_gguf("byte-level.gguf", "gpt2", "smollm", &tokens, &types, &scores, &merges, (int64_t)i);
    compare_gguf("byte-level.gguf", "bpe-smollm", TERN_ENCODE_SPECIAL);
    write_gguf("byte-level.gguf", "gpt2", "smoll", &tokens, &types, &scores, &merges, (int64_t)i);
    tern_tokenizer *t;
    assert_error(tern_tokenizer_read(&t, "byte-level.gguf"), TERN_FAILED,
                 "splits text by \"smoll\", which is not known");
    unlink("byte-level.gguf");
    write_gguf("byte-level.gguf", "rwkv", "", &tokens, &types, &scores, &merges, (int64_t)i);
    assert_error(tern_tokenizer_read(&t, "byte-level.gguf"), TERN_FAILED,
                 "tokenizer.ggml.model is \"rwkv\", expected gpt2");
    unlink("byte-level.gguf");
    tern_text_free(&tokens);
    tern_text_free(&types);
    tern_text_free(&scores);
    tern_text_free(&merges);
    free(spelled);
    json_decref(root);
}

static void test_gguf_sentencepiece(void **state)
{
    (void)state;
    tern_tokenizer *t = NULL;
    tern_text tokens = {0}, types = {0}, scores = {0}, none = {0};
    open_named(&t, GOLDEN, "sp-bpe");
    const tern_vocabulary *v = tern_tokenizer_vocabulary(t);
    for (int32_t i = 0; i < v->count; i++) {
        int32_t type = v->tokens[i].kind;
        float score = (float)v->tokens[i].score;
        put_meta_text(&tokens, v->tokens[i].text, v->tokens[i].size);
        tern_text_add(&types, (const char *)&type, 4);
        tern_text_add(&scores, (const char *)&score, 4);
    }
    tern_tokenizer_close(t);
    write_gguf("pieces.gguf", "llama", "default", &tokens, &types, &scores, &none, 0);
    compare_gguf("pieces.gguf", "sp-bpe", 0);
    tern_text_free(&tokens);
    tern_text_free(&types);
    tern_text_free(&scores);
}

/* ---- damage, memory, time, small cases -------------------------------------------------------------------------- */

static const char sample[] =
    "Hello  world, I'll say \xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80 42 </s> @user\xFF\n";

static tern_status open_and_encode(tern_vocabulary *v)
{
    tern_tokenizer *t;
    tern_tokens ids = {0};
    tern_text text = {0};
    tern_decoder d = {0};
    TERN_TRY(tern_tokenizer_open(&t, v));
    tern_status status =
        tern_encode(t, sample, sizeof sample - 1, TERN_ENCODE_ENDS | TERN_ENCODE_SPECIAL, &ids);
    for (size_t i = 0; i < ids.count && status == TERN_OK; i++)
        status = tern_decode(t, &d, ids.ids[i], &text);
    if (status == TERN_OK) status = tern_decode_end(&d, &text);
    tern_tokens_free(&ids);
    tern_text_free(&text);
    tern_tokenizer_close(t);
    return status;
}

static tern_status read_json_bytes(const void *bytes, size_t count)
{
    tern_vocabulary v;
    TERN_TRY(tern_vocabulary_json(&v, bytes, count, "file"));
    return open_and_encode(&v);
}

static tern_status read_model_bytes(const void *bytes, size_t count)
{
    tern_vocabulary v;
    TERN_TRY(tern_vocabulary_model(&v, bytes, count, "file"));
    return open_and_encode(&v);
}

static void test_damage(void **state)
{
    (void)state;
    static const char *const files[] = {"bpe-llama3.json", "bpe-gemma.json", "unigram.json", "wordpiece.json",
                                        "sp-bpe.model"};
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        char path[512], *bytes;
        size_t count;
        bool json = strstr(files[i], ".json") != NULL;
        snprintf(path, sizeof path, GOLDEN "%s", files[i]);
        assert_ok(tern_read_file(path, &bytes, &count));
        damage_flip(json ? read_json_bytes : read_model_bytes, bytes, count, 100);
        if (json) /* no beginning of a JSON text is one, but for the line's end */
            assert_true(damage_cut(read_json_bytes, bytes, count < 3000 ? count : 3000) == 0);
        else
            damage_cut(read_model_bytes, bytes, 3000);
        tern_release(bytes);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static const char *const files[] = {"bpe-llama3.json", "bpe-gemma.json", "unigram.json", "wordpiece.json",
                                        "sp-bpe.model"};
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        char path[512], *bytes;
        size_t count;
        snprintf(path, sizeof path, GOLDEN "%s", files[i]);
        assert_ok(tern_read_file(path, &bytes, &count));
        bool json = strstr(files[i], ".json") != NULL;
        assert_survives_out_of_memory(json ? read_json_bytes(bytes, count) : read_model_bytes(bytes, count));
        tern_release(bytes);
    }
}

static double seconds_of(const tern_tokenizer *t, const char *unit, size_t bytes)
{
    tern_text text = {0};
    tern_tokens ids = {0};
    while (text.size < bytes) tern_text_put(&text, unit);
    assert_ok(tern_text_status(&text));
    clock_t start = clock();
    assert_ok(tern_encode(t, text.data, text.size, 0, &ids));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    tern_tokens_free(&ids);
    tern_text_free(&text);
    return seconds;
}

/* Eight times the text takes about eight times as long, not 64 times, whatever the text. */
static void test_long_words(void **state)
{
    (void)state;
    static const char *const names[] = {"bpe-llama3", "bpe-gemma", "bpe-deepseek", "unigram",
                                        "wordpiece",  "sp-bpe",    "sp-unigram"};
    static const char *const units[] = {"a", "abcdefgh", " ",   "\n ", "\xCC\x81\xCC\xA3", "\xE4\xBD\xA0",
                                        "!", "1",        "\xFF"};
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        tern_tokenizer *t = NULL;
        open_named(&t, GOLDEN, names[i]);
        for (size_t k = 0; k < TERN_COUNT(units); k++) {
            double one = seconds_of(t, units[k], 10000), eight = seconds_of(t, units[k], 80000);
            if (eight > 24 * one + 0.05)
                fail_msg("%s on \"%s\" repeated: %g s for 10 kB, %g s for 80 kB", names[i], units[k], one,
                         eight);
        }
        tern_tokenizer_close(t);
    }
}

/* Text that comes in the middle of a character waits; broken text ends in U+FFFD. */
static void test_streaming(void **state)
{
    (void)state;
    tern_tokenizer *t = NULL;
    tern_tokens ids = {0};
    tern_text out = {0};
    tern_decoder d = {0};
    open_named(&t, GOLDEN, "bpe-gpt2");
    assert_ok(
        tern_encode(t, "a\xF0\x9F\xA6\xA9z", 6, 0, &ids)); /* a flamingo, which the training text lacks */
    size_t before = 0;
    for (size_t i = 0; i < ids.count; i++) {
        assert_ok(tern_decode(t, &d, ids.ids[i], &out));
        assert_int_equal(tern_utf8_unfinished(out.data, out.size), 0);
        if (out.size == before) assert_true(d.waiting_size > 0);
        before = out.size;
    }
    assert_true(ids.count > 3);
    assert_string_equal(out.data, "a\xF0\x9F\xA6\xA9z");
    assert_ok(tern_decode(t, &d, ids.ids[1], &out)); /* only its beginning */
    assert_ok(tern_decode_end(&d, &out));
    assert_string_equal(out.data, "a\xF0\x9F\xA6\xA9z\xEF\xBF\xBD");
    assert_error(tern_decode(t, &d, 1 << 20, &out), TERN_USAGE, "expected 0 to");
    tern_tokens_free(&ids);
    tern_text_free(&out);
    tern_tokenizer_close(t);
}

/* Special tokens in a user's text are text unless they are asked for. */
static void test_specials(void **state)
{
    (void)state;
    tern_tokenizer *t = NULL;
    tern_tokens ids = {0};
    open_named(&t, GOLDEN, "bpe-gpt2");
    int32_t end = tern_token_find(t, "</s>", 4);
    assert_true(end >= 0 && tern_token_is_control(t, end));
    assert_ok(tern_encode(t, "x</s>", 5, TERN_ENCODE_SPECIAL, &ids));
    assert_int_equal(ids.ids[ids.count - 1], end);
    ids.count = 0;
    assert_ok(tern_encode(t, "x</s>", 5, 0, &ids));
    for (size_t i = 0; i < ids.count; i++) assert_int_not_equal(ids.ids[i], end);
    tern_tokens_free(&ids);
    tern_tokenizer_close(t);
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"[]", "expected a JSON object"},
        {"{\"model\":", "no valid JSON at line 1"},
        {"{\"model\":{\"type\":\"Markov\"}}", "the model \"Markov\" is not one that Tern has"},
        {"{\"model\":{\"type\":\"BPE\"}}", "no vocabulary of its kind"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}", "a token's id is -1"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999}}}", "a token's id is 99999"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "no list of merges"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0 joins \"b\""},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}",
         "makes \"aa\", which is no token"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", "has no tokens"},
        {"{\"normalizer\":{\"type\":\"Rot13\"},\"model\":{\"type\":\"BPE\",\"vocab\":{}}}",
         "normalizer \"Rot13\""},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"},"
         "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}",
         "is not understood at byte"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++)
        assert_error(read_json_bytes(cases[i].json, strlen(cases[i].json)), TERN_FAILED, cases[i].message);
    tern_vocabulary v = {0};
    assert_error(tern_vocabulary_presplit(&v, "qwen3000"), TERN_FAILED, "known are gpt-2");
    assert_error(read_model_bytes("\x0a\xff", 2), TERN_FAILED, "no SentencePiece model");
    /* A pattern that would take for ever ends. */
    static const char slow[] =
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(l|ll|[lo])+[xy]\"},"
        "\"behavior\":\"Isolated\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"l\":0},\"merges\":[]}}";
    tern_tokenizer *t;
    tern_tokens ids = {0};
    char text[60];
    memset(text, 'l', sizeof text);
    assert_ok(tern_vocabulary_json(&v, slow, sizeof slow - 1, "file"));
    assert_ok(tern_tokenizer_open(&t, &v));
    assert_error(tern_encode(t, text, sizeof text, 0, &ids), TERN_FAILED, "takes too long");
    tern_tokens_free(&ids);
    tern_tokenizer_close(t);
}

static int pieces_open(void **state)
{
    (void)state;
    token_pieces_open(&pieces);
    return 0;
}

static int pieces_close(void **state)
{
    (void)state;
    tern_release(pieces.bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_smollm),
        cmocka_unit_test(test_deepseek),
        cmocka_unit_test(test_llama2),
        cmocka_unit_test(test_gemma),
        cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_wordpiece),
        cmocka_unit_test(test_sp_unigram),
        cmocka_unit_test(test_sp_bpe),
        cmocka_unit_test(test_gguf_spaces),
        cmocka_unit_test(test_gguf_byte_level),
        cmocka_unit_test(test_gguf_sentencepiece),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_streaming),
        cmocka_unit_test(test_specials),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, pieces_open, pieces_close);
}
#else
int main(void)
{
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#endif
