/* TFLite files that learn: the form for it, the same file again, and what was learned in it. */
#include "test.h"

#include "io/io.h"
#include "tflite/tflite.h"
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const char written[] = "test-tflite-learn.tflite";

typedef struct net {
    tern_tflite *file;
    void *parameters;
    tern_store store;
} net;

static const char *path_of(const char *name, const char *ending)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/golden/tflite/%s%s", TERN_TESTS, name, ending);
    return path;
}

static void open_learner(net *n, const char *path)
{
    tern_store lent = {0};
    *n = (net){0};
    assert_ok(tern_tflite_open(&n->file, path));
    assert_ok(tern_tflite_learn(n->file));
    assert_ok(tern_tflite_parameters(n->file, &n->parameters));
    assert_ok(tern_tflite_weights(n->file, &lent));
    assert_ok(tern_hand_over(&lent, &n->store));
    tern_store_close(&lent);
}

static void close_learner(net *n)
{
    tern_store_close(&n->store);
    tern_net_free(n->parameters);
    tern_tflite_close(n->file);
}

static void same_files(const char *a, const char *b, bool same)
{
    char *x, *y;
    size_t nx, ny;
    assert_ok(tern_read_file(a, &x, &nx));
    assert_ok(tern_read_file(b, &y, &ny));
    assert_int_equal(nx, ny);
    assert_int_equal(memcmp(x, y, nx) == 0, same);
    tern_release(x);
    tern_release(y);
}

/* Filters, planes, flattened images and biases without zeros, there and back. */
static void test_what_has_not_learned_is_the_same_file(void **state)
{
    (void)state;
    net n;
    open_learner(&n, path_of("classifier-bytes", ".tflite"));
    assert_ok(tern_tflite_write(n.file, &n.store, written));
    same_files(path_of("classifier-bytes", ".tflite"), written, true);
    close_learner(&n);
    unlink(written);
}

/* The golden image, channels first: the softmax of the logits is what the file says. */
static void test_logits_are_those_before_the_softmax(void **state)
{
    (void)state;
    net n;
    tern_bundle golden = {0};
    assert_ok(tern_safetensors_read(path_of("classifier-bytes", ".safetensors"), &golden));
    const tern_tensor *x = tern_bundle_find(&golden, "x"), *want = tern_bundle_find(&golden, "y0");
    open_learner(&n, path_of("classifier-bytes", ".tflite"));
    const tern_net *record = tern_tflite_net(n.file);
    tern_tflite_about about = tern_tflite_about_of(n.file);
    tern_model model;
    assert_true(tern_shape_equal(&record->sample, &TERN_SHAPE(3, 13, 11)));
    float image[3 * 13 * 11];
    for (int p = 0; p < 13 * 11; p++)
        for (int c = 0; c < 3; c++)
            image[c * 143 + p] = (float)about.scale * (float)(tern_get(x, p * 3 + c) - about.zero);
    assert_ok(tern_model_open(&model, record, n.parameters, &record->sample, 1, NULL, &n.store, NULL));
    assert_ok(tern_session_bind(model.session, "image", image));
    assert_ok(tern_session_run(model.session, 0));
    tern_tensor logits;
    double sum = 0;
    assert_ok(tern_session_output(model.session, "logits", &logits));
    for (int i = 0; i < 7; i++) sum += exp(tern_get(&logits, i));
    for (int i = 0; i < 7; i++) {
        double y = (tern_get(want, i) + 128) / 256;
        assert_true(fabs(exp(tern_get(&logits, i)) / sum - y) <= 1.0 / 256);
    }
    tern_model_close(&model);
    tern_bundle_free(&golden);
    close_learner(&n);
}

/* Steps on two images of two classes; the last logits of each. */
static void learn(net *n, const char *update, int steps, double rate, float *logits, double *first,
                  double *last)
{
    enum { SIZE = 3 * 13 * 11 };
    float images[2][SIZE];
    tern_int8_stepper s;
    tern_int8_update_plan plan;
    const tern_net *record = tern_tflite_net(n->file);
    for (int i = 0; i < 2 * SIZE; i++)
        images[i / SIZE][i % SIZE] = (float)((i * 37 + i / SIZE * 11) % 255 - 128) / 20;
    assert_ok(tern_int8_update_parse(update, &plan));
    assert_ok(tern_int8_stepper_open(&s, record, n->parameters, &record->sample, 1, &plan, &n->store, NULL));
    for (int k = 0; k < steps + 2; k++) {
        tern_tensor out;
        int32_t label = k % 2 ? 5 : 1;
        assert_ok(tern_int8_step(&s, images[k % 2], &label, k < steps ? rate : 0));
        assert_ok(tern_session_output(s.session, "loss", &out));
        if (k < 2) *first += tern_get(&out, 0) / 2;
        if (k >= steps) *last += tern_get(&out, 0) / 2;
        assert_ok(tern_session_output(s.session, "logits", &out));
        for (int i = 0; i < 7 && k >= steps; i++) logits[(k - steps) * 7 + i] = (float)tern_get(&out, i);
    }
    tern_int8_stepper_close(&s);
}

static void test_what_was_learned_is_in_the_file(void **state)
{
    (void)state;
    net n, again;
    float logits[14], same[14];
    double first = 0, last = 0, zero[2] = {0, 0};
    open_learner(&n, path_of("classifier-bytes", ".tflite"));
    learn(&n, "last=2,stochastic", 60, 0.3, logits, &first, &last);
    assert_true(last < 0.8 * first);
    assert_ok(tern_tflite_write(n.file, &n.store, written));
    same_files(path_of("classifier-bytes", ".tflite"), written, false);
    open_learner(&again, written);
    learn(&again, "last=1,stochastic", 0, 0, same, &zero[0], &zero[1]);
    assert_memory_equal(logits, same, sizeof logits);
    close_learner(&again);
    close_learner(&n);
    unlink(written);
}

enum { SEEN = 12 };

static void fill(tern_samples *s, float *images, int32_t *labels)
{
    for (int i = 0; i < SEEN * 3 * 13 * 11; i++) images[i] = (float)(i * 53 % 255 - 128) / 20;
    for (int i = 0; i < SEEN; i++) labels[i] = i * 5 % 7;
    *s = (tern_samples){.images = {TERN_F32, TERN_SHAPE(SEEN, 3, 13, 11), images},
                        .labels = {TERN_I32, TERN_SHAPE(SEEN), labels},
                        .classes = 7};
    for (int c = 0; c < 8; c++) s->std[c] = 1;
}

/* tern_int8_learn takes kernels of this computer: the same steps one by one, by definitions, leave the same bytes. */
static void test_kernels_of_this_computer_learn_the_same_bytes(void **state)
{
    (void)state;
    static float images[SEEN * 3 * 13 * 11];
    int32_t labels[SEEN];
    net fast, slow;
    tern_samples seen;
    tern_int8_learned learned;
    tern_int8_stepper s;
    tern_loader *loader;
    const tern_batch *b;
    fill(&seen, images, labels);
    open_learner(&fast, path_of("classifier-bytes", ".tflite"));
    open_learner(&slow, path_of("classifier-bytes", ".tflite"));
    tern_int8_learning l = {.net = tern_tflite_net(fast.file),
                            .parameters = fast.parameters,
                            .train = &seen,
                            .rate = 0.2,
                            .epochs = 1,
                            .batch = 1,
                            .seed = 4,
                            .quiet = true};
    tern_recipe recipe = {.rate = 0.2, .schedule = TERN_COSINE_RATE, .epochs = 1, .warmup = 0.1};
    assert_ok(tern_int8_update_parse("last=2,stochastic", &l.update));
    assert_ok(tern_int8_learn(&l, &fast.store, NULL, &learned));
    assert_ok(tern_int8_stepper_open(&s, tern_tflite_net(slow.file), slow.parameters, &l.net->sample, 1,
                                     &l.update, &slow.store, NULL));
    assert_ok(
        tern_loader_open(&loader, &seen, &(tern_loader_options){.batch = 1, .shuffle = true, .seed = 4}));
    tern_loader_begin(loader, 0, 0);
    for (int k = 0; (b = tern_loader_next(loader)) != NULL; k++)
        assert_ok(tern_int8_step(&s, b->images, b->labels, tern_recipe_rate(&recipe, k / (double)SEEN)));
    tern_loader_close(loader);
    tern_int8_stepper_close(&s);
    int compared = 0;
    for (int i = 0; i < slow.store.count; i++) {
        const tern_tensor *a = &slow.store.tensors[i];
        int at = tern_store_find(&fast.store, slow.store.names[i]);
        assert_true(at >= 0);
        assert_memory_equal(a->data, fast.store.tensors[at].data,
                            tern_bytes_of(a->dtype, tern_elements(&a->shape)));
        compared++;
    }
    assert_true(compared > 10);
    close_learner(&fast);
    close_learner(&slow);
}

static void refused(const char *name, const char *text)
{
    tern_tflite *file;
    assert_ok(tern_tflite_open(&file, path_of(name, ".tflite")));
    assert_int_equal(tern_tflite_learn(file), TERN_USAGE);
    if (!strstr(tern_message(), text)) fail_msg("\"%s\" lacks \"%s\"", tern_message(), text);
    tern_clear();
    tern_tflite_close(file);
}

static void test_what_cannot_learn(void **state)
{
    (void)state;
    refused("classifier-floats", "does not become bytes");
    refused("elements-bytes", "outputs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_has_not_learned_is_the_same_file),
        cmocka_unit_test(test_logits_are_those_before_the_softmax),
        cmocka_unit_test(test_what_was_learned_is_in_the_file),
        cmocka_unit_test(test_kernels_of_this_computer_learn_the_same_bytes),
        cmocka_unit_test(test_what_cannot_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
