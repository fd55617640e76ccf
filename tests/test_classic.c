/* Learners of scikit-learn: each reads into a net that computes what scikit-learn does, and documents that are damaged are
 * refused with their attribute. */
#include "damage.h"
#include "test.h"

#include "classic/classic.h"
#include "io/io.h"

#include <math.h>
#include <string.h>

#if __has_include(<jansson.h>)
#define HAVE_JANSSON
#endif

#define GOLDEN TERN_TESTS "/golden/classic/"

static tern_bundle expected;

static int open_expected(void **state)
{
    (void)state;
    return tern_safetensors_read(GOLDEN "expected.safetensors", &expected);
}

static int close_expected(void **state)
{
    (void)state;
    tern_bundle_free(&expected);
    return 0;
}

static const char *const cases[] = {"logistic",     "logistic-texts", "logistic-binary", "linear-svc",
                                    "svc",          "svc-binary",     "bayes",           "mixture-full",
                                    "mixture-tied", "mixture-diag",   "neighbours",      "mixture-spherical",
                                    "means",        "tree",           "forest",          "extra-trees"};

static void path_of(char out[256], const char *name)
{
    snprintf(out, 256, GOLDEN "%s.json", name);
}

/* Largest difference of the scores to scikit-learn's, relative to the largest score of the case. */
static double difference(tern_classic *learner, const tern_tensor *scores, tern_pool *pool)
{
    const tern_tensor *x = tern_bundle_find(&expected, "x");
    int batch = (int)x->shape.dim[0];
    tern_shape sample = TERN_SHAPE(learner->features);
    tern_model model;
    tern_tensor out;
    double worst = 0, largest = 1e-3;
    assert_ok(tern_model_open(&model, learner->net, learner->parameters, &sample, batch, NULL,
                              &learner->store, pool));
    assert_ok(tern_session_bind(model.session, "image", x->data));
    assert_ok(tern_session_run(model.session, 0));
    assert_ok(tern_session_output(model.session, "logits", &out));
    assert_int_equal(tern_elements(&out.shape), tern_elements(&scores->shape));
    for (int64_t i = 0; i < tern_elements(&out.shape); i++) {
        worst = fmax(worst, fabs(tern_get(&out, i) - tern_get(scores, i)));
        largest = fmax(largest, fabs(tern_get(scores, i)));
    }
    tern_model_close(&model);
    return worst / largest;
}

static void test_scores_are_those_of_scikit_learn(void **state)
{
    (void)state;
    tern_pool *pool;
    assert_ok(tern_pool_open(&pool, 2));
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        tern_classic learner = {0};
        char path[256];
        path_of(path, cases[i]);
        assert_ok(tern_scikit_read(path, &learner));
        double d = difference(&learner, tern_bundle_find(&expected, cases[i]), pool);
        if (!(d < 2e-6)) fail_msg("%s: scores differ by %g", cases[i], d);
        tern_classic_close(&learner);
    }
    tern_pool_close(pool);
}

static void test_names_of_classes(void **state)
{
    (void)state;
    tern_classic learner = {0};
    assert_ok(tern_scikit_read(GOLDEN "logistic-texts.json", &learner));
    assert_int_equal(learner.classes, 3);
    assert_string_equal(learner.class_names[2], "virginica");
    tern_classic_close(&learner);
}

/* ---- what is refused ---------------------------------------------------------------------------------------------- */

static tern_status read_document(const void *bytes, size_t count)
{
    tern_classic learner = {0};
    tern_status status = tern_scikit_parse(bytes, count, "damaged.json", &learner);
    tern_classic_close(&learner);
    return status;
}

/* The case with one text replaced by another. */
static tern_status with(const char *name, const char *from, const char *to)
{
    char path[256], *bytes;
    size_t count;
    tern_text text = {0};
    path_of(path, name);
    assert_ok(tern_read_file(path, &bytes, &count));
    char *at = strstr(bytes, from);
    if (!at) fail_msg("%s: no %s", name, from);
    tern_text_add(&text, bytes, (size_t)(at - bytes));
    tern_text_put(&text, to);
    tern_text_put(&text, at + strlen(from));
    tern_release(bytes);
    tern_status status = read_document(text.data, text.size);
    tern_text_free(&text);
    return status;
}

static void test_wrong_attributes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to, *message;
    } wrong[] = {
        {"logistic", "LogisticRegression", "LinearRegression",
         "\"estimator\" is \"LinearRegression\", expected one of LogisticRegression, LinearSVC"},
        {"logistic", "\"coef_\"", "\"coefs\"", "there is no attribute \"coef_\""},
        {"logistic", "\"n_features_in_\": 4", "\"n_features_in_\": 5",
         "\"coef_\": axis 1 has 4 elements, expected 5"},
        {"logistic", "\"n_features_in_\": 4", "\"n_features_in_\": 4.5",
         "\"n_features_in_\" is 4.5, expected a whole number"},
        {"logistic", "[0, 1, 2]", "[1, 2, 3]", "\"classes_\": element 0 is neither 0 nor a text"},
        {"logistic", "[0, 1, 2]", "[0]", "\"classes_\" has 1 elements"},
        {"logistic", "\"coef_\": [[", "\"coef_\": [[1e39, ", "\"coef_\": axis 1 has 5 elements"},
        {"logistic", "\"intercept_\": [", "\"intercept_\": [\"one\", ",
         "\"intercept_\": axis 0 has 4 elements"},
        {"logistic-binary", "\"intercept_\": [", "\"intercept_\": [1e39], \"b\": [",
         "scores.bias: element 1 is 1e+39"},
        {"logistic-binary", "\"intercept_\": [", "\"intercept_\": [{}], \"b\": [",
         "holds something that is no number"},
        {"neighbours", "euclidean", "manhattan",
         "\"effective_metric_\" is \"manhattan\", expected euclidean"},
        {"neighbours", "\"n_neighbors\": 5", "\"n_neighbors\": 151", "\"n_neighbors\" is 151"},
        {"neighbours", "\"_y\": [0", "\"_y\": [3", "\"_y\": element 0 is 3, expected 0 to 2"},
        {"svc", "\"n_support_\": [", "\"n_support_\": [1", "\"n_support_\" sums to"},
        {"svc", "rbf", "poly", "\"kernel\" is \"poly\", expected rbf"},
        {"mixture-full", "\"weights_\": [0", "\"weights_\": [-0", "\"weights_\": element 0 is -0."},
        {"bayes", "\"var_\": [[0", "\"var_\": [[-0", "the variance of class 0, feature 0"},
        {"tree", "\"children_left\": [1", "\"children_left\": [0", "node 0 of a tree has the children 0"},
        {"tree", "\"children_left\": [1", "\"children_left\": [99", "node 0 of a tree has the children 99"},
        {"tree", "\"feature\": [", "\"feature\": [9], \"f\": [", "\"threshold\": axis 0 has"},
        {"tree", "\"tree_\"", "\"trees\"", "there is no object \"tree_\""},
    };
    for (size_t i = 0; i < TERN_COUNT(wrong); i++)
        assert_error(with(wrong[i].name, wrong[i].from, wrong[i].to), TERN_FAILED, wrong[i].message);
    assert_error(read_document("[1]", 3), TERN_FAILED, "is not a JSON object");
    assert_error(read_document("{\"a\": NaN}", 10), TERN_FAILED, "line 1 column");
}

static void test_damage(void **state)
{
    (void)state;
    static const char *const some[] = {"logistic-binary", "tree", "mixture-tied", "svc-binary"};
    for (size_t i = 0; i < TERN_COUNT(some); i++) {
        char path[256], *bytes;
        size_t count;
        path_of(path, some[i]);
        assert_ok(tern_read_file(path, &bytes, &count));
        assert_true(damage_cut(read_document, bytes, count) <=
                    1); /* without the last line's end it is whole */
        damage_flip(read_document, bytes, count, 2000);
        tern_release(bytes);
    }
}

static tern_status read_again(const char *path)
{
    tern_classic learner = {0};
    tern_status status = tern_scikit_read(path, &learner);
    tern_classic_close(&learner);
    return status;
}

/* Tern's own allocations; jansson keeps to malloc here, since its lexer does not survive a number that it cannot keep. */
static void test_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        char path[256];
        path_of(path, cases[i]);
        assert_survives_out_of_memory(read_again(path));
    }
}

int main(void)
{
#ifndef HAVE_JANSSON
    puts("0 passed, 0 failed, 1 skipped: needs jansson");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores_are_those_of_scikit_learn),
        cmocka_unit_test(test_names_of_classes),
        cmocka_unit_test(test_wrong_attributes),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests_name("classic", tests, open_expected, close_expected);
}
