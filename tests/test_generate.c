/* generate: what a speaker says against tokens picked one by one from a model's own logits; guesses that change nothing; a cache
 * that is used again; ends, stop texts, full contexts, memory that fails. */
#include "test.h"

#include "llm/generate.h"

#include <math.h>
#include <string.h>

enum { MADE = 40, VOCABULARY = 48 };

static const char *const model = TERN_TESTS "/golden/decoder/chat.gguf";
static const char *const prompts[] = {"hello", "abcabcabc", "one two one two one", "9.8.7.9.8.",
                                      "<user>hi<bot>"};

static tern_speaker *open_speaker(int guess)
{
    tern_speaker *s;
    assert_ok(tern_speaker_open(&s, model, &(tern_llm_options){0}, guess));
    return s;
}

static void say(tern_speaker *s, const char *prompt, const tern_request *request, tern_reply *reply)
{
    tern_tokens tokens = {0};
    tern_reply_free(reply);
    assert_ok(tern_speaker_encode(s, prompt, strlen(prompt), &tokens));
    assert_ok(tern_speak(s, &tokens, request, reply));
    tern_tokens_free(&tokens);
}

static void assert_same(const tern_reply *a, const tern_reply *b)
{
    assert_int_equal(a->tokens.count, b->tokens.count);
    assert_memory_equal(a->tokens.ids, b->tokens.ids, a->tokens.count * sizeof *a->tokens.ids);
    assert_string_equal(a->text.data, b->text.data);
}

/* The likeliest token each time, and its log-probability, without a speaker. */
static void by_hand(const char *prompt, int32_t *made, double *log_probability)
{
    tern_speaker *s = open_speaker(0);
    tern_llm *llm;
    const float *logits;
    tern_tokens tokens = {0};
    assert_ok(tern_speaker_encode(s, prompt, strlen(prompt), &tokens));
    assert_ok(tern_llm_open(&llm, model, &(tern_llm_options){.chunk = 1}));
    assert_ok(tern_llm_feed(llm, tokens.ids, (int)tokens.count, &logits));
    for (int i = 0; i < MADE; i++) {
        double sum = 0;
        made[i] = 0;
        for (int k = 0; k < VOCABULARY; k++) {
            if (logits[k] > logits[made[i]]) made[i] = k;
            sum += exp((double)logits[k]);
        }
        log_probability[i] = (double)logits[made[i]] - log(sum);
        assert_ok(tern_llm_feed(llm, &made[i], 1, &logits));
    }
    tern_tokens_free(&tokens);
    tern_llm_close(llm);
    tern_speaker_close(s);
}

static void test_greedy(void **state)
{
    (void)state;
    tern_request request = {.most = MADE, .past_end = true, .alternatives = 1};
    for (size_t i = 0; i < TERN_COUNT(prompts); i++) {
        int32_t made[MADE];
        double expected[MADE];
        tern_reply r = {0};
        tern_speaker *s = open_speaker(0);
        by_hand(prompts[i], made, expected);
        say(s, prompts[i], &request, &r);
        assert_int_equal(r.finish, TERN_FINISH_LENGTH);
        assert_int_equal(r.tokens.count, MADE);
        assert_memory_equal(r.tokens.ids, made, sizeof made);
        for (int k = 0; k < MADE; k++) {
            assert_true(fabs(r.log_probabilities[k] - expected[k]) < 1e-4);
            assert_int_equal(r.likeliest[k].id, made[k]);
        }
        tern_reply_free(&r);
        tern_speaker_close(s);
    }
}

/* Guesses from what was said change nothing, be they right or wrong; nor does a cache from before.  With a grammar that
 * wants repetition they are right. */
static void compare_guesses(const char *gbnf, int *guesses, int *right)
{
    tern_reply plain = {0}, guessed = {0};
    tern_request request = {.most = MADE, .past_end = true, .guess = true, .alternatives = -1};
    for (int n = 1; n <= 7; n += 3) {
        tern_speaker *a = open_speaker(0), *b = open_speaker(n);
        tern_grammar *grammar = NULL;
        int ends;
        const int32_t *end = tern_speaker_ends(a, &ends);
        if (gbnf) {
            assert_ok(tern_grammar_open(&grammar, gbnf, strlen(gbnf)));
            assert_ok(
                tern_constraint_open(&request.constraint, grammar, tern_speaker_tokenizer(a), end, ends));
        }
        for (size_t i = 0; i < TERN_COUNT(prompts); i++) {
            say(a, prompts[i], &request, &plain);
            say(b, prompts[i], &request, &guessed);
            assert_same(&plain, &guessed);
            assert_int_equal(plain.guessed, 0);
            *guesses += guessed.guessed;
            *right += guessed.right;
        }
        tern_constraint_close(request.constraint);
        request.constraint = NULL;
        tern_grammar_close(grammar);
        tern_speaker_close(a);
        tern_speaker_close(b);
    }
    tern_reply_free(&plain);
    tern_reply_free(&guessed);
}

static void test_guesses(void **state)
{
    (void)state;
    int guesses = 0, right = 0;
    compare_guesses(NULL, &guesses, &right);
    assert_true(guesses > right);
    compare_guesses("root ::= (\"abc\" | \"one two \")+", &guesses, &right);
    assert_true(guesses > right && right > 20);
}

/* What the model without its adapter guesses is what the model with it says, or it does not count. */
static void test_draft(void **state)
{
    (void)state;
    static const char *const adapter = TERN_TESTS "/golden/decoder/lora.gguf";
    static const double weights[] = {0, 0.05, 1};
    tern_request request = {.most = MADE, .past_end = true, .alternatives = -1};
    tern_reply plain = {0}, drafted = {0};
    int guessed = 0, right = 0;
    for (size_t w = 0; w < TERN_COUNT(weights); w++) {
        tern_speaker *a, *b;
        tern_llm_options o = {.loras = &adapter, .lora_weights = &weights[w], .lora_count = 1};
        assert_ok(tern_speaker_open(&a, model, &o, 0));
        assert_ok(tern_speaker_open(&b, model, &o, 4));
        assert_error(tern_speaker_draft(b, model, &(tern_llm_options){0}, 5), TERN_USAGE, "expected 1 to 4");
        assert_ok(tern_speaker_draft(b, model, &(tern_llm_options){0}, 3));
        for (size_t i = 0; i < TERN_COUNT(prompts); i++) {
            request.guess = i % 2; /* with what is looked up, and alone */
            say(a, prompts[i], &request, &plain);
            say(b, prompts[i], &request, &drafted);
            assert_same(&plain, &drafted);
            guessed += drafted.guessed;
            right += drafted.right;
            if (w == 0 && !request.guess) assert_true(drafted.right >= drafted.guessed - 3);
        }
        tern_speaker_close(a);
        tern_speaker_close(b);
    }
    assert_true(right > 0 && right < guessed);
    tern_reply_free(&plain);
    tern_reply_free(&drafted);
}

static void test_reuse(void **state)
{
    (void)state;
    tern_speaker *s = open_speaker(0), *fresh = open_speaker(0);
    tern_reply first = {0}, again = {0};
    tern_request request = {.most = 6, .past_end = true, .alternatives = -1};
    say(s, "<user>tell me<bot>", &request, &first);
    assert_int_equal(first.reused, 0);
    say(s, "<user>tell me<bot>", &request, &again);
    assert_int_equal(again.reused, again.prompt - 1);
    assert_same(&first, &again);
    say(s, "<user>tell us<bot>", &request, &again);
    assert_in_range(again.reused, 6, again.prompt - 3);
    say(fresh, "<user>tell us<bot>", &request, &first);
    assert_same(&first, &again);
    tern_reply_free(&first);
    tern_reply_free(&again);
    tern_speaker_close(s);
    tern_speaker_close(fresh);
}

typedef struct heard {
    char text[256];
    size_t size;
} heard;

static tern_status hear(void *context, const char *text, size_t size)
{
    heard *h = context;
    assert_true(h->size + size < sizeof h->text);
    memcpy(h->text + h->size, text, size);
    h->size += size;
    return TERN_OK;
}

/* A text ends before each of its own parts; what was handed out is the text, no byte of the stop. */
static void test_stops(void **state)
{
    (void)state;
    tern_speaker *s = open_speaker(0);
    tern_reply whole = {0}, cut = {0};
    say(s, "hello", &(tern_request){.most = 20, .past_end = true, .alternatives = -1}, &whole);
    assert_true(whole.text.size > 8);
    for (size_t at = 0; at + 3 <= whole.text.size; at++) {
        char stop[4] = "";
        const char *stops[] = {"##", stop};
        heard h = {0};
        memcpy(stop, whole.text.data + at, 3);
        size_t expected = (size_t)(strstr(whole.text.data, stop) - whole.text.data);
        say(s, "hello",
            &(tern_request){.most = 20,
                            .past_end = true,
                            .alternatives = -1,
                            .stops = stops,
                            .stop_count = 2,
                            .on_text = hear,
                            .context = &h},
            &cut);
        assert_int_equal(cut.finish, TERN_FINISH_STOP);
        assert_int_equal(cut.text.size, expected);
        assert_memory_equal(cut.text.data, whole.text.data, expected);
        assert_int_equal(h.size, expected);
        assert_memory_equal(h.text, whole.text.data, expected);
    }
    tern_reply_free(&whole);
    tern_reply_free(&cut);
    tern_speaker_close(s);
}

static void test_limits(void **state)
{
    (void)state;
    tern_speaker *s;
    tern_reply r = {0};
    tern_tokens tokens = {0};
    assert_error(tern_speaker_open(&s, model, &(tern_llm_options){0}, 33), TERN_USAGE, "expected 0 to 32");
    assert_error(tern_speaker_open(&s, TERN_TESTS "/golden/decoder/llama.gguf", &(tern_llm_options){0}, 0),
                 TERN_FAILED, "no_vocab");
    assert_ok(tern_speaker_open(&s, model, &(tern_llm_options){.context = 12}, 4));
    say(s, "hello", &(tern_request){.most = MADE, .past_end = true, .guess = true, .alternatives = -1}, &r);
    assert_int_equal(r.finish, TERN_FINISH_CONTEXT);
    assert_int_equal(r.prompt + (int)r.tokens.count, 13); /* the last one needs no row */
    assert_ok(tern_speaker_encode(s, "hello hello hello", 17, &tokens));
    assert_error(tern_speak(s, &tokens, &(tern_request){.most = 1, .alternatives = -1}, &r), TERN_NO_FIT,
                 "exceed the context of 12");
    tokens.count = 0;
    assert_error(tern_speak(s, &tokens, &(tern_request){.most = 1, .alternatives = -1}, &r), TERN_USAGE,
                 "no token");
    tern_tokens_free(&tokens);
    tern_reply_free(&r);
    tern_speaker_close(s);
}

static tern_status memory_job(void)
{
    tern_speaker *s = NULL;
    tern_tokens tokens = {0};
    tern_reply r = {0};
    tern_request request = {.most = 12, .past_end = true, .guess = true, .alternatives = 2};
    tern_status status = tern_speaker_open(&s, model, &(tern_llm_options){.context = 32}, 3);
    if (status == TERN_OK) status = tern_speaker_encode(s, "abab", 4, &tokens);
    if (status == TERN_OK) status = tern_speak(s, &tokens, &request, &r);
    tern_reply_free(&r);
    tern_tokens_free(&tokens);
    tern_speaker_close(s);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(memory_job());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy), cmocka_unit_test(test_guesses), cmocka_unit_test(test_draft),
        cmocka_unit_test(test_reuse),  cmocka_unit_test(test_stops),   cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
