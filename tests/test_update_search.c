/* The choice of what learns on a device: the exact one against all there are, the evolved one against that, and a budget that
 * nothing meets; the analysis of a small net. */
#include "test.h"

#include "search/search.h"

#include <math.h>
#include <string.h>

static tern_rng rng = {.seed = 21};
static uint64_t drawn;

static double uniform(double low, double high)
{
    return low + (high - low) * tern_rng_uniform(rng, drawn++);
}

static tern_update_analysis some_analysis(int count)
{
    tern_update_analysis a = {.count = count, .head = 0.5, .head_bytes = 100};
    for (int i = 0; i < count; i++) {
        tern_update_layer *l = &a.layers[i];
        snprintf(l->name, sizeof l->name, "conv%d", i);
        l->bias = uniform(-0.02, 0.1);
        l->bias_bytes = floor(uniform(10, 200));
        for (int s = 0; s < TERN_UPDATE_SHARES; s++) {
            l->weight[s] = uniform(-0.03, 0.1);
            l->weight_bytes[s] = floor(uniform(20, 100) * (s + 1));
        }
    }
    return a;
}

/* The best of all choices by trying each. */
static double best_of_all(const tern_update_analysis *a, double budget)
{
    double best = 0;
    int layers = a->count - 1, all = 1;
    for (int i = 0; i < layers; i++) all *= TERN_UPDATE_SHARES + 1;
    for (int biases = 1; biases <= a->count; biases++)
        for (int code = 0; code < all; code++) {
            int first = a->count - biases, rest = code;
            double gain = biases > 1 ? a->layers[first].bias : 0, bytes = a->head_bytes;
            bool inside = true;
            for (int i = 0; i < layers; i++, rest /= TERN_UPDATE_SHARES + 1) {
                int share = rest % (TERN_UPDATE_SHARES + 1);
                if (i >= first) bytes += a->layers[i].bias_bytes;
                if (i < first && share) inside = false;
                if (!share) continue;
                gain += a->layers[i].weight[share - 1];
                bytes += a->layers[i].weight_bytes[share - 1];
            }
            if (inside && bytes <= budget && gain > best) best = gain;
        }
    return best;
}

static void test_choice(void **state)
{
    (void)state;
    double evolved_sum = 0, exact_sum = 0;
    for (int round = 0; round < 40; round++) {
        tern_update_analysis a = some_analysis(2 + round % 4);
        double budget = uniform(100, 900);
        tern_update_choice exact, evolved;
        assert_ok(tern_update_choose(&a, budget, &exact));
        assert_ok(tern_update_evolve(&a, budget, (uint64_t)round, &evolved));
        assert_true(fabs(exact.gain - best_of_all(&a, budget)) < 1e-12);
        assert_true(exact.bytes <= budget && evolved.bytes <= budget && evolved.gain <= exact.gain + 1e-12);
        assert_string_equal(exact.plan.layers[exact.plan.count - 1].name, a.layers[a.count - 1].name);
        exact_sum += exact.gain;
        evolved_sum += evolved.gain;
    }
    assert_true(evolved_sum > 0.95 * exact_sum);
    tern_update_analysis a = some_analysis(3);
    tern_update_choice choice;
    assert_error(tern_update_choose(&a, 99, &choice), TERN_NO_FIT, "the head alone takes 100 bytes");
    assert_error(tern_update_evolve(&a, 99, 1, &choice), TERN_NO_FIT, "the head alone");
}

static void test_out_of_memory(void **state)
{
    (void)state;
    tern_update_analysis a = some_analysis(3);
    tern_update_choice choice;
    assert_survives_out_of_memory(tern_update_choose(&a, 500, &choice));
    assert_survives_out_of_memory(tern_update_evolve(&a, 500, 1, &choice));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("what learns", tests, NULL, NULL);
}
