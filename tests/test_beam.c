/* beams: against a plain statement that keeps no cache, on a model with pages that fill, and against what transformers makes with small models of
 * several architectures; one beam is greedy; pages that do not suffice; memory that fails. */
#include "test.h"

#include "llm/beam.h"
#include "llm/sampler.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 40, WIDE = 8, VOCABULARY = 48 };

static const char *const tiny = TERN_TESTS "/golden/decoder/llama.gguf";

static tern_llm *open_for(const char *path, int beams, int own)
{
    tern_llm *llm;
    assert_ok(tern_llm_open(&llm, path,
                            &(tern_llm_options){.context = 64, .chunk = 16, .sequences = beams, .own = own}));
    return llm;
}

/* ---- the plain statement ----------------------------------------------------------------------------------------- */

typedef struct text {
    int32_t ids[MOST];
    int count, length; /* length: with the end */
    double sum;
    bool ended;
} text;

static double score(const text *t, double penalty)
{
    return t->sum / pow(t->length, penalty);
}

static int by_sum(const void *a, const void *b)
{
    const text *x = a, *y = b;
    return (x->sum < y->sum) - (x->sum > y->sum);
}

/* Every beginning with every token, computed from its first token on; all of them sorted. */
static int expand(tern_llm *llm, const tern_tokens *prompt, const text *now, int count, text *all,
                  const tern_beam_options *o)
{
    int made = 0;
    for (int b = 0; b < count; b++) {
        const float *logits;
        double sum = 0;
        tern_llm_rewind(llm, 0);
        assert_ok(tern_llm_feed(llm, prompt->ids, (int)prompt->count, &logits));
        if (now[b].count) assert_ok(tern_llm_feed(llm, now[b].ids, now[b].count, &logits));
        for (int i = 0; i < VOCABULARY; i++) sum += exp((double)logits[i]);
        for (int i = 0; i < VOCABULARY; i++) {
            text *t = &all[made++];
            *t = now[b];
            t->sum += (double)logits[i] - log(sum);
            t->length++;
            for (int e = 0; e < o->end_count; e++) t->ended |= o->ends[e] == i;
            if (!t->ended) t->ids[t->count++] = i;
        }
    }
    qsort(all, (size_t)made, sizeof *all, by_sum);
    return made;
}

static void keep_best(text *list, int *count, const text *t, const tern_beam_options *o)
{
    int at = *count;
    while (at > 0 && score(&list[at - 1], o->length_penalty) < score(t, o->length_penalty)) at--;
    if (at == o->beams) return;
    int last = *count < o->beams ? *count : o->beams - 1;
    memmove(list + at + 1, list + at, (size_t)(last - at) * sizeof *list);
    list[at] = *t;
    *count = last + 1;
}

static int state_search(tern_llm *llm, const tern_tokens *prompt, const tern_beam_options *o, text *list)
{
    text *all = tern_take_array(WIDE * VOCABULARY, sizeof *all), now[WIDE] = {{{0}, 0, 0, 0, false}};
    int count = 1, found = 0;
    bool done = false;
    for (int step = 1; step <= o->most && !done; step++) {
        int made = expand(llm, prompt, now, count, all, o);
        count = 0;
        for (int i = 0; i < made && count < o->beams; i++) {
            if (!all[i].ended) now[count++] = all[i];
            if (all[i].ended && i < o->beams) keep_best(list, &found, &all[i], o);
        }
        done = found == o->beams &&
               (o->early || o->beams == 1 ||
                score(&list[found - 1], o->length_penalty) >= score(&now[0], o->length_penalty));
    }
    for (int i = 0; i < count && !done; i++) keep_best(list, &found, &now[i], o);
    tern_release(all);
    return found;
}

/* Long enough that beams part inside of pages and at their ends; random settings. */
static void test_definition(void **state)
{
    (void)state;
    tern_llm *plain;
    assert_ok(tern_llm_open(&plain, tiny, &(tern_llm_options){.context = 64}));
    tern_rng rng = {.seed = 12};
    uint64_t drawn = 0;
    int ended = 0;
    for (int round = 0; round < 24; round++) {
        int32_t ids[24], ends[3];
        tern_tokens prompt = {.ids = ids, .count = 1 + (size_t)tern_rng_below(rng, drawn++, 24)};
        for (size_t i = 0; i < prompt.count; i++) ids[i] = (int32_t)tern_rng_below(rng, drawn++, VOCABULARY);
        for (int i = 0; i < 3; i++) ends[i] = (int32_t)tern_rng_below(rng, drawn++, VOCABULARY);
        tern_beam_options o = {.beams = 1 + round % WIDE,
                               .most = round % 4 ? 5 + round : 39,
                               .length_penalty = (const double[]){1, 0, 2, -0.5}[round / 2 % 4],
                               .early = round % 3 == 0,
                               .ends = ends,
                               .end_count = round % 4};
        text *list = tern_take_array(WIDE + 1, sizeof *list);
        int found = state_search(plain, &prompt, &o, list);
        tern_llm *llm = open_for(tiny, o.beams, o.most);
        tern_beams beams;
        assert_ok(tern_beam_search(llm, &prompt, &o, &beams));
        assert_int_equal(beams.count, found);
        for (int i = 0; i < found; i++) {
            assert_int_equal(beams.list[i].tokens.count, list[i].count);
            assert_memory_equal(beams.list[i].tokens.ids, list[i].ids,
                                (size_t)list[i].count * sizeof(int32_t));
            assert_true(fabs(beams.list[i].log_probability - list[i].sum) < 1e-3);
            assert_true(fabs(beams.list[i].score - score(&list[i], o.length_penalty)) < 1e-2);
            assert_int_equal(beams.list[i].ended, list[i].ended);
            ended += list[i].ended;
        }
        tern_beams_free(&beams);
        tern_llm_close(llm);
        tern_release(list);
    }
    assert_true(ended > 5);
    tern_llm_close(plain);
}

/* ---- transformers ------------------------------------------------------------------------------------------------ */

static int ids_of(json_t *list, int32_t *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return (int)json_array_size(list);
}

static void run_case(json_t *c)
{
    char path[512];
    int32_t ids[64], ends[8], want[64];
    tern_beams beams;
    tern_tokens prompt = {.ids = ids, .count = (size_t)ids_of(json_object_get(c, "prompt"), ids)};
    tern_beam_options o = {.beams = (int)json_integer_value(json_object_get(c, "beams")),
                           .most = (int)json_integer_value(json_object_get(c, "most")),
                           .length_penalty = json_number_value(json_object_get(c, "penalty")),
                           .early = json_is_true(json_object_get(c, "early")),
                           .ends = ends,
                           .end_count = ids_of(json_object_get(c, "ends"), ends)};
    snprintf(path, sizeof path, TERN_TESTS "/golden/language/%s",
             json_string_value(json_object_get(c, "model")));
    tern_llm *llm = open_for(path, o.beams, o.most);
    assert_ok(tern_beam_search(llm, &prompt, &o, &beams));
    json_t *texts = json_object_get(c, "texts");
    assert_int_equal(beams.count, json_array_size(texts));
    for (int i = 0; i < beams.count; i++) {
        json_t *t = json_array_get(texts, (size_t)i), *told = json_object_get(t, "score");
        int count = ids_of(json_object_get(t, "tokens"), want);
        const tern_beam *b = &beams.list[i];
        bool same = (int)b->tokens.count == count &&
                    (count == 0 || memcmp(b->tokens.ids, want, (size_t)count * sizeof *want) == 0);
        if (!same || b->ended != json_is_true(json_object_get(t, "ended")) ||
            (json_is_real(told) && fabs(b->score - json_real_value(told)) > 2e-4 * fmax(1, fabs(b->score)))) {
            char *text = json_dumps(c, JSON_COMPACT);
            fail_msg("text %d has %zu tokens and the score %.6f, unlike in %s", i, b->tokens.count, b->score,
                     text);
        }
    }
    tern_beams_free(&beams);
    tern_llm_close(llm);
}

static void test_transformers(void **state)
{
    (void)state;
    json_error_t error;
    json_t *cases = json_load_file(TERN_TESTS "/golden/language/beams.json", 0, &error), *c;
    size_t i;
    assert_int_equal(json_array_size(cases), 84);
    json_array_foreach(cases, i, c) run_case(c);
    json_decref(cases);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static void test_limits(void **state)
{
    (void)state;
    int32_t ids[64] = {3, 17};
    tern_tokens prompt = {.ids = ids, .count = 2};
    tern_beam_options o = {.beams = 4, .most = 60, .length_penalty = 1};
    tern_beams beams;
    tern_llm *llm = open_for(tiny, 3, 60);
    assert_error(tern_beam_search(llm, &prompt, &o, &beams), TERN_USAGE, "4 beams, expected 1 to 3");
    tern_beams_free(&beams);
    o.beams = 3;
    prompt.count = 0;
    assert_error(tern_beam_search(llm, &prompt, &o, &beams), TERN_USAGE, "the prompt is empty");
    tern_beams_free(&beams);
    prompt.count = 60;
    assert_ok(tern_beam_search(llm, &prompt, &o, &beams)); /* the context ends it */
    assert_int_equal(beams.list[0].tokens.count, 5);
    assert_false(beams.list[0].ended);
    tern_beams_free(&beams);
    tern_llm_close(llm);
    assert_ok(tern_llm_open(&llm, tiny, &(tern_llm_options){.context = 64, .sequences = 3, .pages = 4}));
    prompt.count = 40;
    o.most = 24;
    assert_error(tern_beam_search(llm, &prompt, &o, &beams), TERN_NO_FIT, "which do not hold 3 beams");
    tern_beams_free(&beams);
    tern_llm_close(llm);
    assert_ok(tern_llm_open(&llm, tiny, &(tern_llm_options){.context = 64}));
    assert_error(tern_beam_search(llm, &prompt, &o, &beams), TERN_USAGE, "3 beams, expected 1 to 0");
    tern_beams_free(&beams);
    tern_llm_close(llm);
}

static tern_status memory_job(void)
{
    static int32_t ids[3] = {3, 17, 5};
    tern_tokens prompt = {.ids = ids, .count = 3};
    tern_beams beams = {0};
    tern_llm *llm;
    TERN_TRY(
        tern_llm_open(&llm, tiny, &(tern_llm_options){.context = 32, .chunk = 4, .sequences = 2, .own = 20}));
    tern_status status = tern_beam_search(
        llm, &prompt, &(tern_beam_options){.beams = 2, .most = 16, .ends = ids, .end_count = 1}, &beams);
    tern_beams_free(&beams);
    tern_llm_close(llm);
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
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_transformers),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
