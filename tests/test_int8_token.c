/* Layer norm and attention of bytes against the same in double: a result is what rounding alone makes of the exact one (half a
 * step at most, a quarter on average), and hardly more. */
#include "test.h"

#include "kernel/int8_rows.h"
#include "op/int8.h"
#include "quant/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tern_rng rng = {.seed = 64};
static uint64_t drawn;

static int between(int low, int high)
{
    return low + (int)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

static double uniform(double low, double high)
{
    return low + (high - low) * tern_rng_uniform(rng, drawn++);
}

static void test_roots(void **state)
{
    (void)state;
    for (uint64_t x = 0; x < 70000; x++) {
        uint64_t root = tern_whole_root(x);
        assert_true(root * root <= x && (root + 1) * (root + 1) > x);
    }
    for (int i = 0; i < 20000; i++) {
        uint64_t root = tern_rng_below(rng, drawn++, 1ull << 28), x = root * root;
        assert_int_equal(tern_whole_root(x), root);
        if (root > 1) assert_int_equal(tern_whole_root(x - 1), root - 1);
    }
}

/* Parameters by name, for tern_int8_fill. */
static const tern_int8_parameters bytes = {.bits = 8, .out = 8, .multiplier = 32, .activations = 8};
enum { MOST = 512 };
typedef struct parameters {
    tern_tensor weight, bias, constants, table;
} parameters;

static tern_tensor *find(void *context, const char *name)
{
    parameters *p = context;
    const char *what = strrchr(name, '.') + 1;
    tern_tensor *all[] = {&p->weight, &p->bias, &p->constants, &p->table};
    static const char *const names[] = {"weight", "bias", "constants", "table"};
    for (size_t i = 0; i < TERN_COUNT(all); i++)
        if (strcmp(what, names[i]) == 0) return all[i];
    return NULL;
}

static void test_norms(void **state)
{
    (void)state;
    static int32_t weight[MOST], bias[MOST], q[TERN_NORM_CONSTANTS];
    static float gamma[MOST], beta[MOST];
    double apart = 0, worst = 0, count = 0;
    for (int round = 0; round < 300; round++) {
        int n = between(2, MOST), width = round % 3 == 0 ? between(1, 4) : 128;
        int8_t x[MOST], y[MOST];
        tern_int8_format formats[3] = {
            {0}, {uniform(0.001, 0.2), between(-100, 100)}, {0.03, between(-20, 20)}};
        parameters p = {{TERN_I32, TERN_SHAPE(n), weight},
                        {TERN_I32, TERN_SHAPE(n), bias},
                        {TERN_I32, TERN_SHAPE(TERN_NORM_CONSTANTS), q},
                        {0}};
        tern_tensor g = {TERN_F32, TERN_SHAPE(n), gamma}, b = {TERN_F32, TERN_SHAPE(n), beta};
        tern_int8_site site = {
            .op = &tern_op_layer_norm_int8, .name = "norm", .in = {1}, .out = 2, .factor = 1e-5};
        double sum = 0, squares = 0;
        for (int i = 0; i < n; i++) {
            x[i] = (int8_t)between(-width, width - 1);
            gamma[i] = (float)uniform(-1.5, 1.5);
            beta[i] = (float)uniform(-1, 1);
            sum += x[i];
        }
        for (int i = 0; i < n; i++) squares += (x[i] - sum / n) * (x[i] - sum / n);
        assert_ok(tern_int8_fill(&site, &bytes, formats, &g, &b, &(tern_int8_target){find, &p}));
        tern_int8_norm_row(n, x, weight, bias, q, y);
        double s = formats[1].scale, deviation = sqrt(squares / n * s * s + 1e-5);
        for (int i = 0; i < n; i++) {
            double real = s * (x[i] - sum / n) / deviation * (double)gamma[i] + (double)beta[i];
            double exact = fmin(fmax(real / formats[2].scale + formats[2].zero, -128), 127);
            worst = fmax(worst, fabs(exact - y[i]));
            apart += fabs(exact - y[i]);
            count++;
        }
    }
    if (worst > 0.55 || apart / count > 0.27)
        fail_msg("norms are %g apart at most and %g on average", worst, apart / count);
}

static void test_attention(void **state)
{
    (void)state;
    enum { WIDTH = 64, KEYS = 300 };
    static int8_t k[KEYS * WIDTH], v[KEYS * WIDTH];
    static int32_t q[TERN_ATTEND_CONSTANTS], scratch[KEYS + WIDTH];
    static int16_t table[TERN_ATTEND_TABLE];
    double worst = 0, apart = 0, count = 0;
    for (int round = 0; round < 100; round++) {
        int keys = between(1, KEYS), sharp = between(8, 127);
        int8_t query[WIDTH], y[WIDTH];
        tern_int8_format formats[5] = {
            {0}, {0.05, between(-30, 30)}, {0.04, between(-30, 30)}, {0.06, between(-99, 99)}, {0.06, 0}};
        parameters p = {.constants = {TERN_I32, TERN_SHAPE(TERN_ATTEND_CONSTANTS), q},
                        .table = {TERN_I16, TERN_SHAPE(TERN_ATTEND_TABLE), table}};
        tern_int8_site site = {
            .op = &tern_op_attention_int8, .name = "a", .in = {1, 2, 3}, .out = 4, .factor = 0.125};
        for (int i = 0; i < WIDTH; i++) query[i] = (int8_t)between(-sharp, sharp);
        for (int i = 0; i < keys * WIDTH; i++) {
            k[i] = (int8_t)between(-sharp, sharp);
            v[i] = (int8_t)between(-128, 127);
        }
        assert_ok(tern_int8_fill(&site, &bytes, formats, NULL, NULL, &(tern_int8_target){find, &p}));
        tern_int8_attention a = {keys, WIDTH, WIDTH, k, v, WIDTH, WIDTH, q, table};
        tern_int8_attend_row(&a, query, scratch, y);
        double scores[KEYS], highest = -INFINITY, total = 0, sums[WIDTH] = {0};
        for (int j = 0; j < keys; j++) {
            scores[j] = 0;
            for (int i = 0; i < WIDTH; i++)
                scores[j] +=
                    0.125 * 0.05 * (query[i] - formats[1].zero) * 0.04 * (k[j * WIDTH + i] - formats[2].zero);
            highest = fmax(highest, scores[j]);
        }
        for (int j = 0; j < keys; j++) {
            double e = exp(scores[j] - highest);
            total += e;
            for (int i = 0; i < WIDTH; i++) sums[i] += e * 0.06 * (v[j * WIDTH + i] - formats[3].zero);
        }
        for (int i = 0; i < WIDTH; i++) {
            double exact = fmin(fmax(sums[i] / total / 0.06, -128), 127);
            worst = fmax(worst, fabs(exact - y[i]));
            apart += fabs(exact - y[i]);
            count++;
        }
    }
    if (worst > 0.6 || apart / count > 0.27)
        fail_msg("attention is %g apart at most and %g on average", worst, apart / count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests_name("int8-token", tests, NULL, NULL);
}
