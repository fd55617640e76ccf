/* pager: nets whose parameters come in windows of layers give the bits of plain nets, hold what they may, and wait their turn. */
#include "test.h"

#include "llm/account.h"
#include "run/pager.h"
#include "train/train.h"

#include <string.h>

typedef struct subject {
    tern_graph *graph;
    tern_program *program;
    tern_store store;
    void *parameters;
    float *image, plain[10];
} subject;

static void run(subject *s, tern_session *session, float out[10])
{
    tern_tensor logits;
    assert_ok(tern_session_bind(session, "image", s->image));
    assert_ok(tern_session_run(session, 0));
    assert_ok(tern_session_output(session, "logits", &logits));
    memcpy(out, logits.data, 10 * sizeof *out);
}

static void open_subject(subject *s, const char *name)
{
    const tern_net *net = tern_net_find(name);
    tern_session *session;
    *s = (subject){0};
    assert_ok(tern_net_parameters(net, &s->parameters));
    assert_ok(tern_model_graph(&s->graph, net, s->parameters, &net->sample, 1, 0));
    assert_ok(tern_plan(&s->program, s->graph, NULL));
    size_t count = (size_t)tern_elements(&net->sample);
    s->image = tern_take_array(count, sizeof *s->image);
    for (size_t i = 0; i < count; i++) s->image[i] = (float)tern_rng_uniform((tern_rng){3, 0}, i);
    assert_ok(tern_session_open(&session, s->program, &s->store, NULL));
    run(s, session, s->plain);
    tern_session_close(session);
}

static void close_subject(subject *s)
{
    tern_release(s->image);
    tern_program_close(s->program);
    tern_graph_close(s->graph);
    tern_store_close(&s->store);
    tern_net_free(s->parameters);
}

/* Some runs, one behind the other. */
static void run_paged(subject *s, const tern_pager_options *options, tern_pager_report *report)
{
    tern_pager *pager;
    tern_session *session;
    float out[10];
    assert_ok(tern_pager_open(&pager, s->program, &s->store, options));
    assert_ok(tern_session_open(&session, s->program, &s->store, NULL));
    assert_ok(tern_session_page(session, pager));
    for (int i = 0; i < 3; i++) {
        run(s, session, out);
        assert_memory_equal(out, s->plain, sizeof out);
    }
    tern_pager_reports(pager, report);
    tern_session_close(session);
    tern_pager_close(pager);
}

static void test_windows(void **state)
{
    (void)state;
    static const char *const nets[] = {"lenet", "mobilenet", "spiking-cnn", "resnet"};
    for (size_t n = 0; n < TERN_COUNT(nets); n++) {
        subject s;
        tern_windows plan;
        open_subject(&s, nets[n]);
        assert_ok(tern_windows_of(s.program, &plan));
        int count = plan.count;
        const int windows[][2] = {{1, 1}, {2, 1}, {4, 1}, {4, 2}, {8, 8}, {count, 1}, {count + 5, 3}};
        for (size_t w = 0; w < 2 * TERN_COUNT(windows); w++) {
            tern_pager_options o = {.window = windows[w / 2][0], .moved = windows[w / 2][1], .slack = w % 2};
            tern_pager_report r;
            run_paged(&s, &o, &r);
            int frames = o.window + (o.slack ? o.moved : 0);
            tern_window_schedule schedule;
            assert_ok(tern_windows_schedule(&plan, frames, o.moved, &schedule));
            assert_int_equal(r.layers, count);
            if (frames >= count) {
                assert_true(r.most == r.all && r.copies == count);
            } else {
                assert_true(schedule.count <= count && schedule.count >= count - frames);
                assert_true(r.copies >= frames + 2 * schedule.count &&
                            r.copies <= frames + 3 * schedule.count);
                assert_true(r.most == (double)schedule.most);
            }
            tern_window_schedule_free(&schedule);
        }
        tern_windows_free(&plan);
        close_subject(&s);
    }
}

/* With a governor, copies take their time, and computing goes on beside them. */
static void test_trace(void **state)
{
    (void)state;
    subject s;
    tern_pager *pager;
    tern_session *session;
    float out[10];
    int count, copied = 0, computed = 0;
    open_subject(&s, "mobilenet");
    tern_pager_options o = {.window = 4, .moved = 2, .governor = 50e6, .trace = true};
    assert_ok(tern_pager_open(&pager, s.program, &s.store, &o));
    assert_ok(tern_session_open(&session, s.program, &s.store, NULL));
    assert_ok(tern_session_page(session, pager));
    run(&s, session, out);
    tern_pager_report r;
    tern_pager_reports(pager, &r);
    tern_session_close(session);
    const tern_page_event *e = tern_pager_events(pager, &count);
    for (int i = 0; i < count; i++) {
        assert_true(e[i].end >= e[i].begin);
        if (!e[i].copy) {
            bool there = false; /* its copy ended before it began */
            for (int k = 0; k < i; k++)
                there |= e[k].copy && e[k].layer == e[i].layer && e[k].end <= e[i].begin + 1e-6;
            assert_true(there);
        }
        copied += e[i].copy;
        computed += !e[i].copy;
    }
    assert_int_equal(computed, r.layers);
    assert_true(copied >= r.layers && r.waited > 0);
    assert_true(e[count - 1].end >= r.all / 50e6 * 0.9);
    tern_pager_close(pager);
    close_subject(&s);
}

/* A language model in windows, one token at a time and in chunks, says the same; what does not fit says why. */
static void test_language(void **state)
{
    (void)state;
    static const char *const path = TERN_TESTS "/golden/decoder/llama.gguf";
    static const int32_t tokens[] = {3, 17, 0, 47, 17, 21, 5, 5, 40, 2, 11, 30};
    float plain[48];
    for (int window = 0; window <= 3; window++) {
        tern_llm *llm;
        const float *logits;
        assert_ok(tern_llm_open(&llm, path, &(tern_llm_options){.chunk = 5, .window = window}));
        for (int i = 0; i < 4; i++) assert_ok(tern_llm_feed(llm, tokens + i, 1, &logits));
        assert_ok(tern_llm_feed(llm, tokens + 4, 8, &logits));
        if (!window) memcpy(plain, logits, sizeof plain);
        assert_memory_equal(plain, logits, sizeof plain);
        tern_llm_close(llm);
    }
    tern_llm_account *account;
    int chosen, moved;
    assert_ok(tern_llm_account_open(&account, path, NULL, &(tern_llm_options){.chunk = 5}));
    double all = tern_llm_need_total(&account->need);
    assert_ok(tern_llm_account_window(account, all, &chosen, &moved));
    assert_true(chosen == 0);
    assert_ok(tern_llm_account_window(account, all - 10000, &chosen, &moved));
    assert_true(chosen >= 1 && chosen <= 3 && moved >= 1);
    assert_error(tern_llm_account_window(account, 1000, &chosen, &moved), TERN_NO_FIT, "the largest layer");
    tern_llm_account_close(account);
}

static void test_limits(void **state)
{
    (void)state;
    subject s;
    tern_pager *pager;
    open_subject(&s, "lenet");
    assert_error(tern_pager_open(&pager, s.program, &s.store, &(tern_pager_options){.window = 2, .moved = 3}),
                 TERN_USAGE, "moved <= window");
    assert_error(tern_pager_open(&pager, s.program, &s.store, &(tern_pager_options){.window = 2}), TERN_USAGE,
                 "1 <= moved");
    tern_store empty = {0};
    assert_error(tern_pager_open(&pager, s.program, &empty, &(tern_pager_options){.window = 2, .moved = 1}),
                 TERN_FAILED, "there is no parameter");
    close_subject(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
