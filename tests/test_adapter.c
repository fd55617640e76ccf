/* adapter: LoRA adapters, of GGUF and of PEFT, against llama.cpp's logits; their weight; several at once; files that don't fit. */
#include "test.h"

#include "llm/model.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 12, VOCABULARY = 48 };
#define DECODER TERN_TESTS "/golden/decoder/"
static const int32_t tokens[TOKENS] = {3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30};

/* Largest distance of the logits from those of a file, token by token. */
static double away(const char *golden, const tern_llm_options *options)
{
    float *expected;
    const float *logits;
    size_t size;
    double worst = 0;
    tern_llm *llm;
    assert_ok(tern_read_file(golden, (char **)&expected, &size));
    assert_int_equal(size, TOKENS * VOCABULARY * sizeof(float));
    assert_ok(tern_llm_open(&llm, DECODER "llama.gguf", options));
    for (int t = 0; t < TOKENS; t++) {
        assert_ok(tern_llm_feed(llm, tokens + t, 1, &logits));
        for (int i = 0; i < VOCABULARY; i++)
            worst = fmax(worst, fabs((double)logits[i] - (double)expected[t * VOCABULARY + i]));
    }
    tern_llm_rewind(llm, 0);
    assert_ok(tern_llm_feed(llm, tokens, TOKENS, &logits)); /* in chunks */
    for (int i = 0; i < VOCABULARY; i++)
        worst = fmax(worst, fabs((double)logits[i] - (double)expected[(TOKENS - 1) * VOCABULARY + i]));
    tern_llm_close(llm);
    tern_release(expected);
    return worst;
}

static double away_with(const char *golden, const char *adapter, double weight)
{
    return away(golden,
                &(tern_llm_options){.chunk = 5, .loras = &adapter, .lora_weights = &weight, .lora_count = 1});
}

static void test_against_llama_cpp(void **state)
{
    (void)state;
    assert_true(away_with(DECODER "lora.f32", DECODER "lora.gguf", 1) < 1e-4);
    assert_true(away_with(DECODER "lora.f32", DECODER "lora", 1) < 1e-4);
    assert_true(away_with(DECODER "llama.f32", DECODER "lora.gguf", 1) > 0.1);
}

static void test_weights(void **state)
{
    (void)state;
    const char *both[] = {DECODER "lora.gguf", DECODER "lora"};
    double parts[] = {0.25, 0.75};
    assert_true(away_with(DECODER "llama.f32", DECODER "lora.gguf", 0) < 1e-4);
    assert_true(away(DECODER "lora.f32",
                     &(tern_llm_options){.chunk = 5, .loras = both, .lora_weights = parts, .lora_count = 2}) <
                1e-4);
}

static void test_misfits(void **state)
{
    (void)state;
    static const struct {
        const char *model, *adapter, *message;
    } misfits[] = {
        {DECODER "llama.gguf", DECODER "llama-yarn.gguf", "no LoRA adapter"},
        {DECODER "llama.gguf", DECODER "nowhere", "nowhere"},
        {DECODER "gemma3.gguf", DECODER "lora.gguf", "expected"},
        {DECODER "llama.gguf", TERN_TESTS "/golden/iir/two-layers.safetensors", "peft_type"},
    };
    for (size_t i = 0; i < TERN_COUNT(misfits); i++) {
        tern_llm *llm;
        double one = 1;
        tern_llm_options o = {.loras = &misfits[i].adapter, .lora_weights = &one, .lora_count = 1};
        assert_error(tern_llm_open(&llm, misfits[i].model, &o), TERN_FAILED, misfits[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_llama_cpp),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
