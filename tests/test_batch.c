/* batch: replies that are made together against a speaker's, one at a time: the same tokens with prompts of all lengths, in small
 * chunks, with shared beginnings, with too few pages; pages by what they hold; packed caches; memory that fails. */
#include "test.h"

#include "kernel/attend.h"
#include "kernel/kernel.h"
#include "llm/batch.h"
#include "llm/pages.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

enum { REPLIES = 9, MADE = 30, CONTEXT = 64 };

static const char *const model = TERN_TESTS "/golden/decoder/chat.gguf";
static const char *const prompts[REPLIES] = {"hello",
                                             "abcabcabc",
                                             "one two one two one",
                                             "9.8.7.9.8.",
                                             "abcabcabcabcabcabcabcabcdef",
                                             "abcabcabcabcabcabcabcabcxyz",
                                             "h",
                                             "<user>hi<bot>",
                                             "abcabcabcabcabcabcabcabcdef"};

/* Greedy ones, and ones that draw. */
static tern_sampling sampling_of(int i)
{
    tern_sampling s = tern_sampling_standard();
    s.temperature = i % 3 ? 0 : 1.2;
    s.repeat_penalty = i % 2 ? 1.3 : 1;
    s.seed = (uint64_t)i;
    return s;
}

static void alone(tern_dtype cache, tern_reply *replies)
{
    tern_speaker *s;
    assert_ok(tern_speaker_open(&s, model, &(tern_llm_options){.cache = cache, .context = CONTEXT}, 0));
    for (int i = 0; i < REPLIES; i++) {
        tern_tokens tokens = {0};
        tern_sampling sampling = sampling_of(i);
        tern_request request = {
            .most = MADE, .sampling = &sampling, .past_end = i % 4 == 1, .alternatives = 2};
        assert_ok(tern_speaker_encode(s, prompts[i], strlen(prompts[i]), &tokens));
        assert_ok(tern_speak(s, &tokens, &request, &replies[i]));
        tern_tokens_free(&tokens);
    }
    tern_speaker_close(s);
}

static void assert_same(const tern_reply *a, const tern_reply *b)
{
    assert_int_equal(a->tokens.count, b->tokens.count);
    assert_memory_equal(a->tokens.ids, b->tokens.ids, a->tokens.count * sizeof *a->tokens.ids);
    assert_string_equal(a->text.data, b->text.data);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->prompt, b->prompt);
    for (size_t i = 0; i < a->tokens.count; i++)
        assert_true(fabs(a->log_probabilities[i] - b->log_probabilities[i]) < 1e-4);
}

/* Request i is added before step i * apart. */
static tern_batch_state together(const tern_batch_options *options, int apart, tern_reply *replies)
{
    tern_batch *b;
    tern_sequence *sequences[REPLIES];
    tern_tokens tokens[REPLIES] = {{0}};
    tern_sampling sampling[REPLIES];
    tern_request requests[REPLIES];
    const char *message;
    tern_status status;
    int added = 0, over = 0;
    assert_ok(tern_batch_open(&b, model, options));
    for (int step = 0; over < REPLIES; step++) {
        for (; added < REPLIES && added * apart <= step; added++) {
            int i = added;
            sampling[i] = sampling_of(i);
            requests[i] = (tern_request){
                .most = MADE, .sampling = &sampling[i], .past_end = i % 4 == 1, .alternatives = 2};
            assert_ok(tern_words_encode(tern_batch_words(b), prompts[i], strlen(prompts[i]), &tokens[i]));
            assert_ok(tern_batch_add(b, &tokens[i], &requests[i], &replies[i], &sequences[i]));
        }
        assert_ok(tern_batch_step(b));
        over = 0;
        for (int i = 0; i < added; i++) over += tern_sequence_over(sequences[i], &status, &message);
        assert_true(step < 2000);
    }
    for (int i = 0; i < REPLIES; i++) {
        assert_true(tern_sequence_over(sequences[i], &status, &message));
        assert_int_equal(status, TERN_OK);
        tern_batch_remove(b, sequences[i]);
        tern_tokens_free(&tokens[i]);
    }
    tern_batch_state state = tern_batch_look(b);
    assert_int_equal(state.used, 0);
    assert_int_equal(state.running + state.waiting, 0);
    tern_batch_close(b);
    return state;
}

static void test_same_tokens(void **unused)
{
    (void)unused;
    tern_dtype formats[] = {TERN_F32, TERN_F16};
    for (size_t f = 0; f < TERN_COUNT(formats); f++) {
        tern_reply expected[REPLIES];
        memset(expected, 0, sizeof expected);
        alone(formats[f], expected);
        for (int round = 0; round < 8; round++) {
            tern_batch_options o = {.cache = formats[f],
                                    .context = CONTEXT,
                                    .sequences = (const int[]){1, 2, 4, 16}[round % 4],
                                    .chunk = (const int[]){1, 5, 64, 17}[round / 2],
                                    .cache_tokens = round % 2 ? CONTEXT : 20 * CONTEXT};
            tern_reply found[REPLIES];
            memset(found, 0, sizeof found);
            tern_batch_state state = together(&o, round % 3, found);
            for (int i = 0; i < REPLIES; i++) assert_same(&expected[i], &found[i]);
            assert_true(state.steps > 0 && state.rows >= state.steps);
            if (o.cache_tokens > CONTEXT) assert_int_equal(state.again, 0);
            if (round == 3) assert_true(state.again > 0); /* four at once in the pages of one */
            if (o.cache_tokens > CONTEXT && round % 3)    /* prompts 4, 5 and 8 begin alike */
                assert_true(found[5].reused + found[8].reused >= TERN_PAGE);
            for (int i = 0; i < REPLIES; i++) tern_reply_free(&found[i]);
        }
        for (int i = 0; i < REPLIES; i++) tern_reply_free(&expected[i]);
    }
}

static tern_status refuse(void *context, const char *text, size_t size)
{
    (void)context, (void)text, (void)size;
    return tern_fail(TERN_INTERRUPTED, "not wanted");
}

/* Whole contexts, prompts alone, failures of one reply, replies that are given up. */
static void test_ends(void **unused)
{
    (void)unused;
    tern_batch *b;
    tern_sequence *s[4];
    tern_reply r[4];
    tern_tokens tokens = {0}, longer = {0};
    tern_status status;
    const char *message;
    assert_ok(tern_batch_open(&b, model, &(tern_batch_options){.context = CONTEXT, .sequences = 4}));
    assert_ok(tern_words_encode(tern_batch_words(b), "ab", 2, &tokens));
    memset(r, 0, sizeof r);
    tern_request all = {.most = 1000, .past_end = true, .alternatives = -1}, none = {.alternatives = -1},
                 refused = {.most = 9, .on_text = refuse, .alternatives = -1};
    assert_ok(tern_batch_add(b, &tokens, &all, &r[0], &s[0]));
    assert_ok(tern_batch_add(b, &tokens, &none, &r[1], &s[1]));
    assert_ok(tern_batch_add(b, &tokens, &refused, &r[2], &s[2]));
    assert_ok(tern_batch_add(b, &tokens, &all, &r[3], &s[3]));
    for (int i = 0; i < 10; i++) assert_ok(tern_batch_step(b));
    assert_int_equal(tern_batch_look(b).running, 2);
    tern_batch_remove(b, s[3]);
    for (int i = 0; i < CONTEXT; i++) assert_ok(tern_batch_step(b));
    assert_true(tern_sequence_over(s[0], &status, &message));
    assert_int_equal(status, TERN_OK);
    assert_int_equal(r[0].finish, TERN_FINISH_CONTEXT);
    assert_int_equal(r[0].tokens.count, CONTEXT - tokens.count + 1); /* the last one needs no row */
    assert_true(tern_sequence_over(s[1], &status, &message));
    assert_int_equal(r[1].tokens.count, 0);
    assert_int_equal(r[1].finish, TERN_FINISH_LENGTH);
    assert_true(tern_sequence_over(s[2], &status, &message));
    assert_int_equal(status, TERN_INTERRUPTED);
    assert_non_null(strstr(message, "not wanted"));
    for (int i = 0; i <= CONTEXT; i++) assert_ok(tern_tokens_add(&longer, 4));
    assert_error(tern_batch_add(b, &longer, &all, &r[3], &s[3]), TERN_NO_FIT, "exceed the context of 64");
    assert_error(tern_batch_add(b, &(tern_tokens){0}, &all, &r[3], &s[3]), TERN_USAGE, "no token");
    tern_batch_close(b); /* with sequences in it */
    assert_error(tern_batch_open(&b, model, &(tern_batch_options){.context = CONTEXT, .cache_tokens = 32}),
                 TERN_USAGE, "does not hold one sequence of 64");
    for (int i = 0; i < 4; i++) tern_reply_free(&r[i]);
    tern_tokens_free(&tokens);
    tern_tokens_free(&longer);
}

/* ---- beam searches beside replies --------------------------------------------------------------------------------- */

static const tern_beam_options beam = {
    .beams = 3, .most = 30, .length_penalty = 1, .ends = (const int32_t[]){2}, .end_count = 1};

static tern_tokens encoded(tern_batch *b, const char *text)
{
    tern_tokens tokens = {0};
    assert_ok(tern_words_encode(tern_batch_words(b), text, strlen(text), &tokens));
    return tokens;
}

/* By themselves, in a cache of their own. */
static void search_alone(const char *prompt, tern_beams *out)
{
    tern_llm *llm;
    tern_words words = {0};
    tern_tokens tokens = {0};
    assert_ok(
        tern_llm_open(&llm, model, &(tern_llm_options){.context = CONTEXT, .sequences = 3, .own = CONTEXT}));
    assert_ok(tern_words_open(&words, model, tern_llm_weights(llm)));
    assert_ok(tern_words_encode(&words, prompt, strlen(prompt), &tokens));
    assert_ok(tern_beam_search(llm, &tokens, &beam, out));
    tern_tokens_free(&tokens);
    tern_words_close(&words);
    tern_llm_close(llm);
}

static void assert_same_beams(const tern_beams *a, const tern_beams *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_int_equal(a->list[i].tokens.count, b->list[i].tokens.count);
        assert_memory_equal(a->list[i].tokens.ids, b->list[i].tokens.ids,
                            a->list[i].tokens.count * sizeof *a->list[i].tokens.ids);
        assert_true(fabs(a->list[i].log_probability - b->list[i].log_probability) < 1e-4);
        assert_int_equal(a->list[i].ended, b->list[i].ended);
    }
}

/* Until all of them are over. */
static void run_all(tern_batch *b, tern_sequence *const *s, int count)
{
    tern_status status;
    const char *message;
    for (int step = 0, over = 0; over < count; step++) {
        assert_ok(tern_batch_step(b));
        over = 0;
        for (int i = 0; i < count; i++) over += tern_sequence_over(s[i], &status, &message);
        assert_true(step < 2000);
    }
    for (int i = 0; i < count; i++) {
        tern_sequence_over(s[i], &status, &message);
        if (status != TERN_OK) fail_msg("%d: %s", i, message);
        tern_batch_remove(b, s[i]);
    }
}

/* Two searches behind three replies. */
static tern_batch_state beside(int64_t cache_tokens, tern_reply replies[3], tern_beams beams[2])
{
    tern_batch *b;
    tern_sequence *s[5];
    tern_tokens tokens[5];
    tern_sampling sampling[3] = {sampling_of(0), sampling_of(1), sampling_of(2)};
    tern_request requests[3];
    assert_ok(
        tern_batch_open(&b, model,
                        &(tern_batch_options){
                            .context = CONTEXT, .sequences = 8, .chunk = 16, .cache_tokens = cache_tokens}));
    for (int i = 0; i < 3; i++) {
        requests[i] =
            (tern_request){.most = MADE, .sampling = &sampling[i], .past_end = i % 4 == 1, .alternatives = 2};
        tokens[i] = encoded(b, prompts[i]);
        assert_ok(tern_batch_add(b, &tokens[i], &requests[i], &replies[i], &s[i]));
    }
    for (int i = 0; i < 2; i++) {
        tokens[3 + i] = encoded(b, prompts[2 + 3 * i]);
        assert_ok(tern_batch_search(b, &tokens[3 + i], &beam, &beams[i], &s[3 + i]));
    }
    assert_int_equal(tern_batch_look(b).waiting, 3 + 2 * 3);
    run_all(b, s, 5);
    for (int i = 0; i < 5; i++) tern_tokens_free(&tokens[i]);
    tern_batch_state state = tern_batch_look(b);
    tern_batch_close(b);
    return state;
}

/* Each has what it has alone, with room for all and with so few pages that replies give theirs up. */
static void test_searches(void **unused)
{
    (void)unused;
    tern_reply expected[REPLIES];
    tern_beams alone_beams[2];
    memset(expected, 0, sizeof expected);
    alone(TERN_F32, expected);
    for (int i = 0; i < 2; i++) search_alone(prompts[2 + 3 * i], &alone_beams[i]);
    for (int tight = 0; tight < 2; tight++) {
        tern_beams beams[2] = {{0}};
        tern_reply found[3];
        memset(found, 0, sizeof found);
        tern_batch_state state = beside((tight ? 3 : 20) * CONTEXT, found, beams);
        assert_int_equal(state.used, 0);
        assert_int_equal(state.again > 0, tight);
        for (int i = 0; i < 3; i++) assert_same(&expected[i], &found[i]);
        for (int i = 0; i < 2; i++) assert_same_beams(&alone_beams[i], &beams[i]);
        for (int i = 0; i < 3; i++) tern_reply_free(&found[i]);
        for (int i = 0; i < 2; i++) tern_beams_free(&beams[i]);
    }
    for (int i = 0; i < 2; i++) tern_beams_free(&alone_beams[i]);
    for (int i = 0; i < REPLIES; i++) tern_reply_free(&expected[i]);
}

/* More beams than places, a search that is given up, a cache that never holds it. */
static void test_search_ends(void **unused)
{
    (void)unused;
    tern_batch *b;
    tern_sequence *s;
    tern_beams beams = {0};
    tern_status status;
    const char *message;
    assert_ok(tern_batch_open(&b, model, &(tern_batch_options){.context = CONTEXT, .sequences = 4}));
    tern_tokens tokens = encoded(b, prompts[4]); /* 29 */
    tern_beam_options more = beam;
    more.beams = 5;
    assert_error(tern_batch_search(b, &tokens, &more, &beams, &s), TERN_USAGE, "5 beams, expected 1 to 4");
    more = beam;
    more.most = 0;
    assert_error(tern_batch_search(b, &tokens, &more, &beams, &s), TERN_USAGE, "beams of 0 tokens");
    assert_ok(tern_batch_search(b, &tokens, &beam, &beams, &s));
    for (int i = 0; i < 2; i++) assert_ok(tern_batch_step(b));
    assert_int_equal(tern_batch_look(b).running, 3);
    assert_true(tern_batch_look(b).used > 0);
    tern_batch_remove(b, s);
    assert_int_equal(tern_batch_look(b).used, 0);
    tern_beams_free(&beams);
    tern_batch_close(b);
    assert_ok(tern_batch_open(
        &b, model, &(tern_batch_options){.context = CONTEXT, .sequences = 4, .cache_tokens = CONTEXT}));
    assert_ok(tern_batch_search(b, &tokens, &beam, &beams, &s));
    for (int i = 0; i < 2; i++) assert_ok(tern_batch_step(b));
    assert_true(tern_sequence_over(s, &status, &message));
    assert_int_equal(status, TERN_NO_FIT);
    assert_non_null(strstr(message, "which do not hold 3 beams"));
    tern_batch_close(b);
    tern_beams_free(&beams);
    tern_tokens_free(&tokens);
}

static tern_status search_job(void)
{
    tern_batch *b;
    tern_sequence *s;
    tern_beams beams = {0};
    tern_tokens tokens = {0};
    const char *message;
    TERN_TRY(
        tern_batch_open(&b, model, &(tern_batch_options){.context = CONTEXT, .sequences = 4, .chunk = 4}));
    tern_status status = tern_words_encode(tern_batch_words(b), "ab", 2, &tokens);
    if (status == TERN_OK) status = tern_batch_search(b, &tokens, &beam, &beams, &s);
    bool over = status != TERN_OK;
    while (!over && status == TERN_OK) {
        status = tern_batch_step(b);
        if (status == TERN_OK) over = tern_sequence_over(s, &status, &message);
    }
    tern_batch_close(b);
    tern_beams_free(&beams);
    tern_tokens_free(&tokens);
    return status;
}

static void test_search_memory(void **unused)
{
    (void)unused;
    assert_survives_out_of_memory(search_job());
}

static void test_pages(void **unused)
{
    (void)unused;
    tern_pages p = {0};
    int32_t a[TERN_PAGE] = {1}, b[TERN_PAGE] = {2};
    assert_ok(tern_pages_open(&p, 3));
    int x = tern_pages_take(&p), y = tern_pages_take(&p), z = tern_pages_take(&p);
    assert_int_equal(tern_pages_take(&p), -1);
    uint64_t first = tern_pages_know(&p, x, 0, a), second = tern_pages_know(&p, y, first, b);
    assert_true(first && second && first != second);
    assert_int_equal(tern_pages_know(&p, z, 0, a), first); /* x is known for it */
    assert_int_equal(tern_pages_find(&p, 0, b), -1);
    assert_int_equal(tern_pages_find(&p, second, b), -1);
    assert_int_equal(tern_pages_find(&p, first, b), y);
    tern_pages_drop(&p, y); /* twice used */
    assert_int_equal(p.unused, 0);
    tern_pages_drop(&p, y);
    tern_pages_drop(&p, x);
    tern_pages_drop(&p, z);
    assert_int_equal(p.unused, 3);
    assert_int_equal(p.kept, 2);
    assert_int_equal(tern_pages_take(&p), z); /* holds nothing that anybody knows of */
    assert_int_equal(tern_pages_find(&p, 0, a), x);
    assert_int_equal(tern_pages_take(&p), y); /* and is forgotten */
    assert_int_equal(tern_pages_find(&p, first, b), -1);
    assert_int_equal(tern_pages_take(&p), -1);
    tern_pages_close(&p);
}

/* Attention to a packed cache is that to the floats that it means, in pages and without. */
static void test_formats(void **unused)
{
    (void)unused;
    enum { QUERIES = 5, HEADS = 4, GROUPS = 2, ROWS = 320, MOST_WIDTH = 96, PAGE = 16, PAGES = 7 };
    static float q[QUERIES * HEADS * MOST_WIDTH], y[2][QUERIES * HEADS * MOST_WIDTH],
        floats[2][ROWS * GROUPS * MOST_WIDTH];
    static uint8_t packed[2][sizeof floats[0]];
    const int32_t positions[QUERIES] = {99, 0, 63, -1, 40}, owners[QUERIES] = {0, 1, 2, 0, 3},
                  table[3 * PAGES] = {4, 2, 0, 11, 9, 1, 7, 4, 2, 0, 11, 9, 1, 7, 8, 19, 3, 5, 6, 10, 12};
    tern_rng rng = {1, 1};
    for (int64_t i = 0; i < QUERIES * HEADS * MOST_WIDTH; i++)
        q[i] = (float)tern_rng_normal(rng, (uint64_t)i);
    for (int width = 32; width <= MOST_WIDTH; width += 32) {
        for (int format = TERN_F32; format <= TERN_Q8_0; format++) {
            if (format != TERN_F16 && format != TERN_Q8_0) continue;
            int64_t elements = ROWS * GROUPS * (int64_t)width;
            for (int side = 0; side < 2; side++)
                for (int64_t i = 0; i < elements; i += 32) {
                    double some[32];
                    for (int k = 0; k < 32; k++)
                        some[k] = tern_rng_normal(rng, (uint64_t)(i + k + side * 100000));
                    tern_dtype_of((tern_dtype)format)->encode(packed[side], i, 32, some);
                    tern_dtype_of((tern_dtype)format)->decode(packed[side], i, 32, some);
                    for (int k = 0; k < 32; k++) floats[side][i + k] = (float)some[k];
                }
            for (int paged = 0; paged < 2; paged++) {
                tern_attention a = {.queries = QUERIES,
                                    .heads = HEADS,
                                    .width = width,
                                    .rows = ROWS,
                                    .groups = GROUPS,
                                    .format = (tern_dtype)format,
                                    .scale = 0.2f,
                                    .window = paged ? 0 : 50,
                                    .q = q,
                                    .k = packed[0],
                                    .v = packed[1],
                                    .positions = positions,
                                    .owners = owners,
                                    .table = table,
                                    .page = paged * PAGE,
                                    .sequences = 3,
                                    .sequence_pages = PAGES,
                                    .y = y[0]};
                tern_attention_run(NULL, &a);
                a.format = TERN_F32;
                a.k = floats[0];
                a.v = floats[1];
                a.y = y[1];
                tern_attention_run(NULL, &a);
                for (int i = 0; i < QUERIES * HEADS * width; i++)
                    assert_true(fabsf(y[0][i] - y[1][i]) < 1e-5f);
                assert_true(fabsf(y[0][0]) > 0 && y[0][3 * HEADS * width] == 0); /* position -1 */
                if (paged) assert_true(y[0][4 * HEADS * width] == 0);            /* no such sequence */
            }
        }
    }
}

/* One reply of a batch: the failure is the batch's or the reply's own. */
static tern_status memory_job(void)
{
    tern_reply reply = {0};
    tern_batch *b;
    tern_tokens tokens = {0};
    tern_sequence *s = NULL;
    tern_request request = {.most = 20, .alternatives = 1};
    tern_status own = TERN_OK;
    const char *message = "";
    tern_batch_options o = {.context = CONTEXT, .sequences = 2, .chunk = 8};
    TERN_TRY(tern_batch_open(&b, model, &o));
    tern_status status = tern_words_encode(tern_batch_words(b), prompts[4], strlen(prompts[4]), &tokens);
    if (status == TERN_OK) status = tern_batch_add(b, &tokens, &request, &reply, &s);
    for (int i = 0; status == TERN_OK && i < 40; i++) status = tern_batch_step(b);
    if (status == TERN_OK) assert_true(tern_sequence_over(s, &own, &message));
    if (own != TERN_OK) status = tern_fail(own, "%s", message);
    tern_batch_close(b);
    tern_tokens_free(&tokens);
    tern_reply_free(&reply);
    return status;
}

static void test_memory(void **unused)
{
    (void)unused;
    assert_survives_out_of_memory(memory_job());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_tokens),   cmocka_unit_test(test_ends),
        cmocka_unit_test(test_searches),      cmocka_unit_test(test_search_ends),
        cmocka_unit_test(test_search_memory), cmocka_unit_test(test_pages),
        cmocka_unit_test(test_formats),       cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
