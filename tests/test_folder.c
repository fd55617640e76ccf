/* Folders of Hugging Face as texts see them: chat templates, first tokens and ends against what transformers makes of the same files
 * (golden/language/folder.py); prompts and replies from a folder; damaged files. */
#define _DEFAULT_SOURCE
#include "test.h"

#if __has_include(<jansson.h>)
#include "llm/folder.h"
#include "llm/saying.h"

#include "llm/conversation.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"tokenizer.json",         "tokenizer_config.json", "chat_template.jinja",
                                    "generation_config.json", "config.json",           "model.safetensors"};
static char folder[64];

static const char *inside(const char *file)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static void put(const char *file, const char *text, size_t size)
{
    FILE *out = fopen(inside(file), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, size, out), size);
    fclose(out);
}

static void put_text(const char *file, const char *text)
{
    put(file, text, strlen(text));
}

static void clear(void)
{
    for (size_t i = 0; i < TERN_COUNT(names); i++) unlink(inside(names[i]));
}

static void copy(const char *name)
{
    char path[512], *bytes;
    size_t size;
    snprintf(path, sizeof path, TERN_TESTS "/golden/language/llama/%s", name);
    assert_ok(tern_read_file(path, &bytes, &size));
    put(name, bytes, size);
    tern_release(bytes);
}

static json_t *golden(void)
{
    json_error_t error;
    json_t *all = json_load_file(TERN_TESTS "/golden/language/folder.json", 0, &error);
    assert_non_null(all);
    return all;
}

/* The model of golden/language/llama with the files of a case. */
static void fill(json_t *all, json_t *c)
{
    const char *file;
    json_t *text, *tokenizer = json_object_get(all, "tokenizer");
    clear();
    copy("config.json");
    copy("model.safetensors");
    put("tokenizer.json", json_string_value(tokenizer), json_string_length(tokenizer));
    json_object_foreach(json_object_get(c, "files"), file, text)
        put(file, json_string_value(text), json_string_length(text));
}

static const char *role_of(const char *role)
{
    return strcmp(role, "user") == 0 ? "user" : "assistant";
}

static void check_case(json_t *all, json_t *c)
{
    tern_weights w;
    tern_words words = {0};
    tern_template *t;
    tern_conversation talk = {0};
    tern_text text = {0};
    tern_tokens ids = {0};
    json_t *m, *id, *wanted = json_object_get(c, "ids"), *ends = json_object_get(c, "ends");
    size_t i;
    fill(all, c);
    assert_ok(tern_weights_open(&w, folder));
    assert_ok(tern_words_open(&words, folder, &w));
    assert_ok(tern_template_of(&t, &w, folder));
    assert_non_null(t);
    json_array_foreach(json_object_get(all, "messages"), i, m)
    {
        json_t *content = json_object_get(m, "content");
        assert_ok(tern_conversation_add(&talk, role_of(json_string_value(json_object_get(m, "role"))),
                                        json_string_value(content), json_string_length(content)));
    }
    assert_ok(tern_conversation_render(&talk, t, tern_tokenizer_vocabulary(words.tokenizer), &text));
    assert_string_equal(text.data, json_string_value(json_object_get(c, "text")));
    assert_ok(tern_words_encode(&words, text.data, text.size, &ids));
    assert_int_equal(ids.count, json_array_size(wanted));
    json_array_foreach(wanted, i, id) assert_int_equal(ids.ids[i], json_integer_value(id));
    assert_int_equal(words.end_count, json_array_size(ends));
    json_array_foreach(ends, i, id)
    {
        bool found = false;
        for (int e = 0; e < words.end_count; e++) found |= words.ends[e] == json_integer_value(id);
        assert_true(found);
    }
    tern_tokens_free(&ids);
    tern_text_free(&text);
    tern_conversation_free(&talk);
    tern_template_close(t);
    tern_words_close(&words);
    tern_weights_close(&w);
}

static void test_transformers(void **state)
{
    (void)state;
    json_t *all = golden(), *c;
    size_t i;
    json_array_foreach(json_object_get(all, "cases"), i, c) check_case(all, c);
    assert_true(i == 6);
    json_decref(all);
}

/* add_bos_token over what tokenizer.json does not say. */
static void test_first_token(void **state)
{
    (void)state;
    static const char *const configs[] = {"{\"bos_token\":\"<s>\"}",
                                          "{\"bos_token\":\"<s>\",\"add_bos_token\":true}",
                                          "{\"bos_token\":\"<s>\",\"add_bos_token\":false}"};
    json_t *all = golden();
    fill(all, json_array_get(json_object_get(all, "cases"), 0));
    for (int i = 0; i < 3; i++) {
        tern_tokenizer *t;
        put_text("tokenizer_config.json", configs[i]);
        assert_ok(tern_tokenizer_read(&t, folder));
        assert_int_equal(tern_tokenizer_vocabulary(t)->prefix_count, i == 1);
        assert_int_equal(tern_tokenizer_vocabulary(t)->bos, 1);
        tern_tokenizer_close(t);
    }
    json_decref(all);
}

/* A reply, from the folder alone. */
static void test_speaks(void **state)
{
    (void)state;
    tern_speaker *s;
    tern_tokens prompt = {0};
    tern_reply reply = {0};
    json_t *all = golden();
    fill(all, json_array_get(json_object_get(all, "cases"), 0));
    assert_ok(tern_speaker_open(&s, folder, &(tern_llm_options){0}, 0));
    assert_ok(tern_speaker_encode(s, "hello", 5, &prompt));
    assert_int_equal(prompt.count, 5);
    assert_ok(
        tern_speak(s, &prompt, &(tern_request){.most = 8, .past_end = true, .alternatives = -1}, &reply));
    assert_int_equal(reply.tokens.count, 8);
    tern_reply_free(&reply);
    tern_tokens_free(&prompt);
    tern_speaker_close(s);
    json_decref(all);
}

static void test_damaged(void **state)
{
    (void)state;
    tern_tokenizer *t;
    char *source;
    size_t size;
    int32_t ids[4];
    int count;
    json_t *all = golden();
    fill(all, json_array_get(json_object_get(all, "cases"), 0));
    put_text("tokenizer_config.json", "{\"bos_token\":");
    assert_error(tern_tokenizer_read(&t, folder), TERN_FAILED,
                 "tokenizer_config.json: no valid JSON at line 1");
    assert_error(tern_folder_template(folder, &source, &size), TERN_FAILED, "no valid JSON");
    put_text("tokenizer_config.json", "[1]");
    assert_error(tern_tokenizer_read(&t, folder), TERN_FAILED, "is not a JSON object");
    put_text("tokenizer_config.json", "{\"chat_template\":{\"a\":1},\"bos_token\":7,\"eos_token\":\"none\"}");
    assert_ok(tern_folder_template(folder, &source, &size));
    assert_null(source);
    assert_ok(tern_tokenizer_read(&t, folder));
    assert_int_equal(tern_tokenizer_vocabulary(t)->eos, -1);
    tern_tokenizer_close(t);
    put_text("generation_config.json", "{\"eos_token_id\":[-1,\"x\",99999999999,2,2,5,6,7]}");
    assert_ok(tern_folder_ends(folder, ids, 4, &count));
    assert_int_equal(count, 4); /* 2, 5, 6, 7 */
    assert_int_equal(ids[0], 2);
    unlink(inside("tokenizer.json"));
    assert_error(tern_tokenizer_read(&t, folder), TERN_FAILED, "neither tokenizer.json nor tokenizer.model");
    json_decref(all);
}

static tern_status memory_job(void)
{
    tern_speaker *s;
    char *source;
    size_t size;
    TERN_TRY(tern_folder_template(folder, &source, &size));
    tern_release(source);
    TERN_TRY(tern_speaker_open(&s, folder, &(tern_llm_options){0}, 0));
    tern_speaker_close(s);
    return TERN_OK;
}

static void test_memory(void **state)
{
    (void)state;
    json_t *all = golden();
    fill(all, json_array_get(json_object_get(all, "cases"), 5));
    assert_survives_out_of_memory(memory_job());
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transformers), cmocka_unit_test(test_first_token),
        cmocka_unit_test(test_speaks),       cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_memory),
    };
    strcpy(folder, "/tmp/tern-folder-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clear();
    rmdir(folder);
    return failed;
}
#else
int main(void)
{
    return 0; /* folders need jansson */
}
#endif
