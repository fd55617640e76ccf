/* Language models before they are loaded: the bytes that are told against those that a loaded one holds, tokens as they would be
 * fed, and what does not work. */
#define _DEFAULT_SOURCE
#include "test.h"

#include "llm/account.h"
#include "llm/generate.h"
#include "llm/models.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY TERN_TESTS "/golden/decoder/llama.gguf"

/* ---- a file of some size ------------------------------------------------------------------------------------------ */

static tern_status zeros(void *context, int i, const void **bytes)
{
    (void)i;
    *bytes = context;
    return TERN_OK;
}

static tern_meta whole(const char *key, const uint32_t *value)
{
    return (tern_meta){key, TERN_META_U32, false, 1, (const uint8_t *)value, 4};
}

/* A Llama of 4 layers with the table of tokens at both ends, all zeros in q8_0: 62 MB. */
static void write_model(const char *path)
{
    static const uint32_t layers = 4, width = 1024, hidden = 2816, heads = 16, groups = 4;
    static const float epsilon = 1e-5f;
    static const uint8_t name[] = {5, 0, 0, 0, 0, 0, 0, 0, 'l', 'l', 'a', 'm', 'a'};
    const tern_meta metas[] = {
        {"general.architecture", TERN_META_TEXT, false, 1, name, sizeof name},
        whole("llama.block_count", &layers),
        whole("llama.embedding_length", &width),
        whole("llama.feed_forward_length", &hidden),
        whole("llama.attention.head_count", &heads),
        whole("llama.attention.head_count_kv", &groups),
        {"llama.attention.layer_norm_rms_epsilon", TERN_META_F32, false, 1, (const uint8_t *)&epsilon, 4}};
    void *parameters;
    tern_transformer t;
    tern_weights shapes;
    const tern_net *net = tern_net_find("llama2-7b");
    assert_ok(tern_net_parameters(net, &parameters));
    assert_ok(tern_net_set(net, parameters, "layers", layers));
    assert_ok(tern_net_set(net, parameters, "width", width));
    assert_ok(tern_net_set(net, parameters, "hidden", hidden));
    assert_ok(tern_net_set(net, parameters, "heads", heads));
    assert_ok(tern_net_set(net, parameters, "groups", groups));
    assert_ok(tern_net_set(net, parameters, "vocabulary", 4096));
    assert_ok(tern_net_set(net, parameters, "untied", 0));
    assert_ok(tern_transformer_of(&t, &shapes, net, parameters));
    for (int i = 0; i < shapes.count; i++)
        shapes.tensors[i].dtype = shapes.tensors[i].shape.rank > 1 ? TERN_Q8_0 : TERN_F32;
    char *nothing = tern_take((size_t)8 << 20);
    assert_non_null(nothing);
    assert_ok(tern_gguf_write(path, &(tern_gguf_content){.metas = metas,
                                                         .meta_count = TERN_COUNT(metas),
                                                         .tensors = shapes.tensors,
                                                         .names = shapes.names,
                                                         .count = shapes.count,
                                                         .content = zeros,
                                                         .context = nothing}));
    tern_release(nothing);
    tern_weights_close(&shapes);
    tern_net_free(parameters);
}

typedef double tern_measure(const char *path, const tern_llm_options *o, bool speaks);

/* What a process holds behind a prompt of 70 tokens: all of it, code and stacks too. */
static double held(const char *path, const tern_llm_options *o, bool speaks)
{
    const float *logits;
    int32_t prompt[70] = {0};
    tern_speaker *speaker = NULL;
    tern_llm *llm = NULL;
    tern_status status = speaks ? tern_speaker_open(&speaker, path, o, 0) : tern_llm_open(&llm, path, o);
    if (status == TERN_OK)
        status = tern_llm_feed(speaks ? tern_speaker_model(speaker) : llm, prompt, 70, &logits);
    return status == TERN_OK ? tern_resident_bytes() : -1;
}

static double told(const char *path, const tern_llm_options *o, bool speaks)
{
    tern_llm_account *a;
    if (tern_llm_account_open(&a, path, NULL, o) != TERN_OK) return -1;
    const tern_llm_need *n = &a->need;
    bool whole = n->weights > 0 && n->cache > 0 && n->scratch > 0 && n->process > 0;
    return whole && (n->tokenizer > 0) == speaks ? tern_llm_need_total(n) : -1;
}

/* In a process of its own, which holds nothing else. */
static double in_child(tern_measure *measure, const char *path, const tern_llm_options *o, bool speaks)
{
    int ends[2], gone;
    double bytes = 0;
    assert_int_equal(pipe(ends), 0);
    malloc_trim(0); /* what earlier tests gave back is none of the child's */
    pid_t child = fork();
    if (child == 0) {
        bytes = measure(path, o, speaks);
        _exit(write(ends[1], &bytes, sizeof bytes) != sizeof bytes);
    }
    assert_int_equal(read(ends[0], &bytes, sizeof bytes), sizeof bytes);
    assert_int_equal(waitpid(child, &gone, 0), child);
    close(ends[0]);
    close(ends[1]);
    return bytes;
}

static void compare(const char *path, const tern_llm_options *o, bool speaks)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their own memory is held too */
#endif
    double is = in_child(held, path, o, speaks), was = in_child(told, path, o, speaks);
    if (!(fabs(was - is) < 0.03 * is)) fail_msg("%s: %.2f MB told, %.2f MB held", path, was / 1e6, is / 1e6);
}

static void test_bytes(void **state)
{
    (void)state;
    char path[] = "/tmp/tern-account-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    write_model(path);
    compare(path, &(tern_llm_options){.context = 256}, false);
    compare(path, &(tern_llm_options){.context = 6144}, false);
    compare(path, &(tern_llm_options){.context = 4096, .cache = TERN_F16, .chunk = 32}, false);
    unlink(path);
}

/* With a tokenizer, where the model is. */
static void test_real_bytes(void **state)
{
    (void)state;
    char path[4096];
    if (tern_model_find(path, "smollm2") != TERN_OK) skip();
    compare(path, &(tern_llm_options){.context = 256}, true);
    compare(path, &(tern_llm_options){.context = 2048}, true);
    compare(path, &(tern_llm_options){.context = 8192, .cache = TERN_F16}, true);
}

/* ---- tokens ---------------------------------------------------------------------------------------------------------- */

static const char machine_text[] = "name: even\nsource: s\nunits:\n  - {name: c, kind: simd, mac: {f32: 1 "
                                   "Gmac/s, i8: 4 Gmac/s}, source: s}\n"
                                   "memories:\n  - {name: ram, size: 1 GB, bandwidth: 1 GB/s, source: s}\n";

/* A prompt costs what its passes cost: whole chunks, then one of what is left or single tokens; rows of the cache that are not there
 * yet cost nothing. */
static void test_passes(void **state)
{
    (void)state;
    tern_llm_account *a;
    tern_machine *m;
    tern_cost sum, part, total = {0};
    tern_llm_effort effort, all = {0};
    tern_llm_share shares[TERN_LLM_SHARES];
    assert_ok(tern_machine_parse(&m, machine_text, strlen(machine_text), "even"));
    assert_ok(tern_llm_account_open(&a, TINY, NULL, &(tern_llm_options){.context = 64, .chunk = 16}));
    assert_ok(tern_llm_account_cost(a, &m, 1, 0, 35, &sum, &effort, shares));
    assert_true(effort.passes == 3); /* 16, 16, 3 of 16 */
    static const int parts[] = {16, 16, 3};
    for (int i = 0, at = 0; i < 3; at += parts[i++]) {
        assert_ok(tern_llm_account_cost(a, &m, 1, at, parts[i], &part, &effort, NULL));
        total.seconds += part.seconds;
        tern_work_add(&all.work, &effort.work);
        all.bytes += effort.bytes;
    }
    assert_true(sum.fits && fabs(total.seconds - sum.seconds) < 1e-12);
    assert_ok(tern_llm_account_cost(a, &m, 1, 0, 35, &sum, &effort, shares));
    assert_true(effort.work.macs == all.work.macs && effort.bytes == all.bytes);
    double macs = 0, seconds = 0;
    for (const tern_llm_share *s = shares; s->name; s++) {
        macs += s->work.macs;
        seconds += s->seconds;
    }
    assert_true(macs == effort.work.macs && fabs(seconds - sum.seconds) < 1e-12);
    assert_ok(tern_llm_account_cost(a, &m, 1, 32, 2, &sum, &effort, NULL));
    assert_true(effort.passes == 2); /* an eighth of a chunk: one by one */
    tern_llm_effort early, late;
    assert_ok(tern_llm_account_cost(a, &m, 1, 0, 1, &sum, &early, NULL));
    assert_ok(tern_llm_account_cost(a, &m, 1, 63, 1, &part, &late, NULL));
    double row = a->need.cache / 64;
    assert_true(late.bytes - early.bytes == 63 * row && part.seconds > sum.seconds);
    assert_error(tern_llm_account_cost(a, &m, 1, 60, 5, &sum, &effort, NULL), TERN_NO_FIT, "context of 64");
    tern_llm_account_close(a);
    tern_machine_close(m);
}

/* ---- what does not work ------------------------------------------------------------------------------------------------ */

static tern_status open_and_cost(void)
{
    tern_llm_account *a;
    tern_cost cost;
    tern_llm_effort effort;
    TERN_TRY(tern_llm_account_open(&a, TINY, NULL, &(tern_llm_options){.context = 32}));
    tern_status status = tern_llm_account_cost(a, NULL, 0, 0, 9, &cost, &effort, NULL);
    tern_llm_account_close(a);
    return status;
}

static void test_errors(void **state)
{
    (void)state;
    tern_llm_account *a;
    const tern_llm_options o = {0};
    assert_error(tern_llm_account_open(&a, TERN_TESTS "/test.h", NULL, &o), TERN_FAILED, "test.h");
    assert_ok(tern_llm_account_open(&a, TERN_TESTS "/golden/language/mixtral", NULL, &o));
    assert_true(a->need.weights > 0 && a->need.tokenizer == 0);
    tern_llm_account_close(a);
    assert_error(tern_llm_account_open(&a, TERN_TESTS "/golden/language/bert", NULL, &o), TERN_USAGE,
                 "encoder");
    assert_error(tern_llm_account_shapes(&a, tern_net_find("mlp"), NULL, NULL, &o), TERN_USAGE,
                 "no language model");
    assert_survives_out_of_memory(open_and_cost());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_real_bytes),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
