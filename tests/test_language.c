/* Language models of Hugging Face's folders: small random ones of each architecture against what transformers makes of them, token by
 * token, in chunks and by the definitions; encoders; folders that lack something; the real MiniLM where it is. */
#define _DEFAULT_SOURCE
#include "damage.h"

#include "io/weights.h"
#include "llm/convert.h"
#include "llm/hugging_face.h"
#include "llm/model.h"
#include "llm/models.h"
#include "llm/tokenizer.h"
#include "llm/window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS = 12, VOCABULARY = 48 };
static const int32_t tokens[TOKENS] = {3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30};
static const char *const decoders[] = {"llama", "mistral", "mixtral", "qwen2", "qwen3",
                                       "phi3",  "gemma2",  "gemma3",  "gpt2"};

static const char *folder_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, TERN_TESTS "/golden/language/%s", name);
    return path;
}

static float *golden(const char *name, size_t count)
{
    char path[640], *bytes;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder_of(""), name);
    assert_ok(tern_read_file(path, &bytes, &size));
    assert_int_equal(size, count * sizeof(float));
    return (float *)(void *)bytes;
}

static void assert_near(const char *name, const float *got, const float *want, int count)
{
    for (int i = 0; i < count; i++)
        if (!(fabs((double)(got[i] - want[i])) < 2e-5 * fmax(1, fabs((double)want[i]))))
            fail_msg("%s: element %d is %.7g, expected %.7g", name, i, (double)got[i], (double)want[i]);
}

static void test_decoders(void **state)
{
    (void)state;
    for (size_t m = 0; m < TERN_COUNT(decoders); m++) {
        char name[64];
        snprintf(name, sizeof name, "%s/logits.f32", decoders[m]);
        float *want = golden(name, TOKENS * VOCABULARY);
        for (int way = 0; way < 3; way++) {
            tern_llm *llm;
            const float *logits;
            assert_ok(tern_llm_open(&llm, folder_of(decoders[m]),
                                    &(tern_llm_options){.chunk = 5, .reference = way == 2}));
            for (int t = 0; way == 0 && t < TOKENS; t++) {
                assert_ok(tern_llm_feed(llm, tokens + t, 1, &logits));
                assert_near(name, logits, want + t * VOCABULARY, VOCABULARY);
            }
            if (way > 0) {
                assert_ok(tern_llm_feed(llm, tokens, TOKENS, &logits));
                assert_near(name, logits, want + (TOKENS - 1) * VOCABULARY, VOCABULARY);
            }
            tern_llm_close(llm);
        }
        tern_release(want);
    }
}

/* As GGUF, with rotary pairs where that wants them: the same logits. */
static void test_converted(void **state)
{
    (void)state;
    for (size_t m = 0; m < TERN_COUNT(decoders); m++) {
        char name[64];
        tern_weights w;
        tern_model_changes changes;
        tern_model_format f = {.dtype = TERN_F32};
        tern_llm *llm;
        const float *logits;
        assert_ok(tern_weights_open(&w, folder_of(decoders[m])));
        assert_ok(tern_import_hugging_face(&w));
        assert_error(tern_model_convert(&w, &f, "l.gguf", NULL, &changes), TERN_USAGE, "tokenizer");
        f.lossy = true;
        assert_ok(tern_model_convert(&w, &f, "l.gguf", NULL, &changes));
        tern_model_changes_free(&changes);
        tern_weights_close(&w);
        assert_ok(tern_weights_open(&w, "l.gguf"));
        assert_null(tern_weights_meta(&w, "tern.rope_halves"));
        assert_null(tern_weights_meta(&w, "config.model_type"));
        tern_weights_close(&w);
        snprintf(name, sizeof name, "%s/logits.f32", decoders[m]);
        float *want = golden(name, TOKENS * VOCABULARY);
        assert_ok(tern_llm_open(&llm, "l.gguf", &(tern_llm_options){0}));
        assert_ok(tern_llm_feed(llm, tokens, TOKENS, &logits));
        assert_near(name, logits, want + (TOKENS - 1) * VOCABULARY, VOCABULARY);
        tern_llm_close(llm);
        tern_release(want);
    }
    unlink("l.gguf");
}

static void test_encoder(void **state)
{
    (void)state;
    tern_weights w;
    tern_transformer t;
    tern_text_window *window;
    tern_llm *llm;
    const float *rows;
    float vector[16], first[16];
    double sum = 0;
    int64_t count = 0;
    float *want = golden("bert/logits.f32", TOKENS * 16);
    assert_ok(tern_weights_open(&w, folder_of("bert")));
    assert_ok(tern_import_hugging_face(&w));
    assert_ok(tern_transformer_read(&t, &w));
    assert_ok(tern_window_open(&window, &t, TOKENS, NULL));
    assert_ok(tern_window_run(window, tokens, &rows));
    assert_near("bert", rows, want, TOKENS * 16);
    assert_error(tern_window_loss(window, tokens, 1, &sum, &count), TERN_USAGE, "bert is an encoder");
    tern_window_close(window);
    assert_ok(tern_embed_text(&t, tokens, TOKENS, TERN_POOL_MEAN, false, NULL, vector));
    for (int i = 0; i < 16; i++) {
        double mean = 0;
        for (int s = 0; s < TOKENS; s++) mean += (double)want[s * 16 + i] / TOKENS;
        assert_true(fabs((double)vector[i] - mean) < 1e-4);
    }
    assert_ok(tern_embed_text(&t, tokens, TOKENS, TERN_POOL_FIRST, true, NULL, first));
    for (int i = 0; i < 16; i++) sum += (double)first[i] * (double)first[i];
    assert_true(fabs(sum - 1) < 1e-5 && (first[0] > 0) == (want[0] > 0));
    assert_error(tern_embed_text(&t, tokens, 65, TERN_POOL_MEAN, false, NULL, vector), TERN_USAGE,
                 "expected 1 to 64");
    tern_weights_close(&w);
    tern_release(want);
    assert_error(tern_llm_open(&llm, folder_of("bert"), &(tern_llm_options){0}), TERN_USAGE,
                 "it makes embeddings");
}

/* all-MiniLM-L6-v2, where it is, on each line of minilm.txt, against PyTorch. */
static void test_minilm(void **state)
{
    (void)state;
    enum { WIDTH = 384, LINES = 20 };
    char path[4096], inside[4200], *text;
    size_t size;
    tern_weights w;
    tern_transformer t;
    tern_tokenizer *tokenizer;
    if (tern_model_find(path, "minilm") != TERN_OK) skip();
    float *want = golden("minilm.f32", LINES * WIDTH), vector[WIDTH];
    snprintf(inside, sizeof inside, "%s/tokenizer.json", path);
    assert_ok(tern_tokenizer_read(&tokenizer, inside));
    assert_ok(tern_weights_open(&w, path));
    assert_ok(tern_import_hugging_face(&w));
    assert_ok(tern_transformer_read(&t, &w));
    assert_ok(tern_read_file(folder_of("minilm.txt"), &text, &size));
    int lines = 0;
    for (const char *line = text, *end; line < text + size; line = end + 1, lines++) {
        tern_tokens ids = {0};
        double cosine = 0, squares = 0;
        end = memchr(line, '\n', (size_t)(text + size - line));
        assert_true(end && lines < LINES);
        const float *other = want + (size_t)lines * WIDTH;
        assert_ok(tern_encode(tokenizer, line, (size_t)(end - line), TERN_ENCODE_ENDS, &ids));
        assert_ok(tern_embed_text(&t, ids.ids, (int)ids.count, TERN_POOL_MEAN, true, NULL, vector));
        for (int i = 0; i < WIDTH; i++) {
            cosine += (double)vector[i] * (double)other[i];
            squares += (double)other[i] * (double)other[i];
        }
        if (!(cosine > 0.9999 && fabs(squares - 1) < 1e-5))
            fail_msg("line %d, %zu tokens: cosine %.8f", lines + 1, ids.count, cosine);
        tern_tokens_free(&ids);
    }
    assert_int_equal(lines, LINES);
    tern_weights_close(&w);
    tern_tokenizer_close(tokenizer);
    tern_release(want);
    tern_release(text);
}

/* A folder with this config.json and no tensor. */
static tern_status open_config(const char *config)
{
    tern_llm *llm;
    tern_bundle none = {0};
    assert_ok(tern_make_folder("folder"));
    assert_ok(tern_safetensors_write("folder/model.safetensors", &none));
    assert_ok(tern_write_file("folder/config.json", config, strlen(config)));
    tern_status status = tern_llm_open(&llm, "folder", &(tern_llm_options){0});
    unlink("folder/model.safetensors");
    unlink("folder/config.json");
    rmdir("folder");
    return status;
}

static void test_lacking(void **state)
{
    (void)state;
    assert_error(open_config("{\"model_type\": \"bloom\"}"), TERN_FAILED,
                 "model_type is \"bloom\"; those that can be run are llama,");
    assert_error(open_config("{\"model_type\": 3}"), TERN_FAILED, "does not say \"general.architecture\"");
    assert_error(open_config("{\"model_type\": \"llama\"}"), TERN_FAILED, "does not say llama.block_count");
    assert_error(open_config("{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"ntk\"}}"),
                 TERN_FAILED, "rope scaling \"ntk\"");
    assert_error(open_config("{\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\"}}"),
                 TERN_FAILED, "lacks a number");
    assert_error(
        open_config("{\"model_type\": \"mixtral\", \"num_local_experts\": 2, \"num_hidden_layers\": 1}"),
        TERN_FAILED, "experts.0.w1.weight\" is missing");
}

/* ---- damaged configurations ----------------------------------------------------------------------------------------- */

static const void *tensors; /* of the folder whose configuration is damaged */
static size_t tensor_bytes;

static tern_status read_weights(tern_weights *w, const void *config, size_t size)
{
    tern_transformer about;
    tern_llm_program program;
    TERN_TRY(tern_safetensors_view(tensors, tensor_bytes, "model", w));
    TERN_TRY(tern_weights_config(w, config, size, "config"));
    TERN_TRY(tern_import_hugging_face(w));
    TERN_TRY(tern_transformer_read(&about, w));
    TERN_TRY(tern_llm_program_open(&program, &about, &(tern_llm_options){.context = 16}, 2, 1, false));
    tern_llm_program_close(&program);
    return TERN_OK;
}

/* A configuration with the tensors of its model, up to the planned program. */
static tern_status read_config(const void *config, size_t size)
{
    tern_weights w = {0};
    tern_status status = read_weights(&w, config, size);
    tern_weights_close(&w);
    return status;
}

/* Each line `"key": value,` with another value, one after the other. */
static int damage_values(const char *config)
{
    static const char *const values[] = {"0",    "-1",    "1",    "7",  "1000000000", "1e300",
                                         "0.01", "\"x\"", "null", "[]", "{\"a\": 1}", "true"};
    int taken = 0;
    for (const char *line = config; *line; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n'), *value = strstr(line, "\": ");
        if (!value || value > end || end[-1] == '{' || end[-1] == '[') continue;
        for (size_t i = 0; i < TERN_COUNT(values); i++) {
            tern_text text = {0};
            tern_text_add(&text, config, (size_t)(value + 3 - config));
            tern_text_put(&text, values[i]);
            tern_text_put(&text, end[-1] == ',' ? "," : "");
            tern_text_put(&text, end);
            taken += damage_attempt(read_config, text.data, text.size);
            tern_text_free(&text);
        }
    }
    return taken;
}

static void test_damaged(void **state)
{
    (void)state;
    for (size_t m = 0; m < TERN_COUNT(decoders); m++) {
        char path[640], *config;
        size_t size;
        snprintf(path, sizeof path, "%s/model.safetensors", folder_of(decoders[m]));
        assert_ok(tern_map_file(path, &tensors, &tensor_bytes));
        snprintf(path, sizeof path, "%s/config.json", folder_of(decoders[m]));
        assert_ok(tern_read_file(path, &config, &size));
        assert_true(damage_attempt(read_config, config, size));
        assert_int_equal(damage_cut(read_config, config, size - 2), 0);
        int taken = damage_values(config);
        assert_in_range(taken, 50, 600); /* what the net does not depend on may be anything */
        damage_flip(read_config, config, size, 100);
        tern_release(config);
        tern_unmap_file(tensors, tensor_bytes);
    }
}

static tern_status memory_job(void)
{
    tern_llm *llm;
    const float *logits;
    static const char *const names[] = {"mixtral", "gpt2"};
    for (int i = 0; i < 2; i++) {
        TERN_TRY(tern_llm_open(&llm, folder_of(names[i]), &(tern_llm_options){.chunk = 4}));
        tern_status status = tern_llm_feed(llm, tokens, 5, &logits);
        tern_llm_close(llm);
        TERN_TRY(status);
    }
    return TERN_OK;
}

static void test_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(memory_job());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoders), cmocka_unit_test(test_converted), cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_minilm),   cmocka_unit_test(test_lacking),   cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("language", tests, NULL, NULL);
}
