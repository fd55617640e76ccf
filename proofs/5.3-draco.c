/* Proof of DRACO (Jha et al., ISVLSI 2020; arXiv 2006.15103): depthwise convolutions become group convolutions, which fill a
 * systolic array; modelled on MobileNet v1, and trained on Fashion-MNIST. */
#include "proof.h"

#include "io/io.h"
#include "op/op.h"
#include "search/search.h"

#include <math.h>
#include <string.h>

/* So few images and epochs that six nets train in a minute or two; every test image is looked at. */
enum { SAMPLES = 20000, EPOCHS = 6, SEEDS = 3 };

/* ---- 1. the golden cycles --------------------------------------------------------------------------------------------- */

/* scalesim-project/SCALE-Sim, golden traces of its tests: total less stalled cycles. */
static void check_golden(proof *p)
{
    static const char *const names[] = {"scale-sim-ws", "scale-sim-os", "scale-sim-is"};
    static const double cycles[] = {11199, 10175, 14207};
    tern_product_shape shape = {.count = 1, .m = 256, .n = 128, .k = 256};
    for (int d = 0; d < 3; d++)
        proof_equal(p, names[d], tern_array_product(32, 32, (tern_dataflow)d, &shape).cycles, cycles[d]);
}

/* ---- 2, 3. MobileNet v1 at 224 x 224 ------------------------------------------------------------------------------------ */

static tern_regroup_point measure(const tern_net *net, tern_machine *m, int cells, tern_dataflow dataflow,
                                  int group)
{
    void *parameters;
    m->units[0].rows = m->units[0].columns = cells;
    m->units[0].dataflow = dataflow;
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(tern_net_set(net, parameters, "classes", 1000));
    tern_regroup_search s = {.net = net,
                             .parameters = parameters,
                             .width = "alpha",
                             .input = TERN_SHAPE(3, 224, 224),
                             .machine = m,
                             .most = 16,
                             .target = 0.8};
    tern_regroup_point point = {.group = group, .width = 1};
    PROOF_OK(tern_regroup_measure(&s, &point));
    tern_net_free(parameters);
    return point;
}

/* Figures of an independent script, printed to `digit`: 1 % apart at most, or half of that digit. */
static void within(proof *p, const char *what, int group, double got, double expected, double digit)
{
    char name[64];
    snprintf(name, sizeof name, "%s-g%d", what, group);
    bool ok = fabs(got - expected) <= fmax(0.01 * expected, digit / 2);
    proof_judge(p, name, got, "about", expected, ok);
}

static void check_mobilenet(proof *p, const tern_net *net, tern_machine *m)
{
    static const int groups[] = {1, 2, 4, 8, 16};
    static const double macs[] = {569, 586, 621, 690}, ws[] = {3220, 1782, 1064, 1064},
                        rs[] = {378, 265, 214, 221}, used[] = {0.470, 0.501, 0.587, 0.770, 0.818},
                        regrouped[] = {0.021, 0.085, 0.265, 0.644};
    for (int i = 0; i < 5; i++) {
        tern_regroup_point w = measure(net, m, 64, TERN_WEIGHT_STATIONARY, groups[i]);
        double ws_cycles = w.simulation.array_cycles;
        tern_regroup_point r = measure(net, m, 64, TERN_ROW_STATIONARY, groups[i]);
        printf("%s (%016llx) g=%d: %.1f M multiply-accumulates, kcycles ws %.1f, rs %.1f; "
               "cells in "
               "use %.3f, of the regrouped layers %.3f\n",
               m->name, (unsigned long long)m->hash, groups[i], r.simulation.macs / 1e6, ws_cycles / 1e3,
               r.simulation.array_cycles / 1e3, r.convolutions, r.regrouped);
        within(p, "cells-in-use", groups[i], r.convolutions, used[i], 0.001);
        if (i == 4) continue;
        within(p, "mega-macs", groups[i], r.simulation.macs / 1e6, macs[i], 1);
        within(p, "kcycles-ws", groups[i], ws_cycles / 1e3, ws[i], 1);
        within(p, "kcycles-rs", groups[i], r.simulation.array_cycles / 1e3, rs[i], 1);
        within(p, "cells-in-use-regrouped", groups[i], r.regrouped, regrouped[i], 0.001);
    }
}

static void check_array_size(proof *p, const tern_net *net, tern_machine *m)
{
    static const int cells[] = {16, 32, 64, 128}, expected[] = {1, 4, 4, 16};
    for (int i = 0; i < 4; i++) {
        double least = INFINITY, plain = 0;
        int best = 0;
        char name[48];
        for (int g = 1; g <= 16; g *= 2) {
            tern_regroup_point point = measure(net, m, cells[i], TERN_ROW_STATIONARY, g);
            double cycles = point.simulation.array_cycles;
            if (g == 1) plain = cycles;
            if (cycles >= least) continue;
            least = cycles;
            best = g;
        }
        printf("%dx%d cells: best g %d, %.1f %% fewer cycles\n", cells[i], cells[i], best,
               100 * (1 - least / plain));
        snprintf(name, sizeof name, "best-group-at-%d-cells", cells[i]);
        proof_equal(p, name, best, expected[i]);
        if (cells[i] == 128) within(p, "percent-saved", best, 100 * (1 - least / plain), 76, 1);
    }
}

/* ---- 4. accuracy ---------------------------------------------------------------------------------------------------------- */

static void check_accuracy(proof *p, const tern_net *net, tern_machine *m, tern_pool *pool)
{
    tern_dataset d;
    tern_dataset_options limits = {.train_limit = SAMPLES};
    if (tern_dataset_open(&d, "fashion-mnist", &limits) != TERN_OK) {
        proof_skip(p, "accuracy", "the Fashion-MNIST images ($TERN_DATA)");
        return;
    }
    void *parameters;
    double accuracy[2];
    tern_samples train = tern_samples_of(&d, true), test = tern_samples_of(&d, false);
    PROOF_OK(tern_net_parameters(net, &parameters));
    tern_regroup_search s = {
        .net = net, .parameters = parameters, .width = "alpha", .input = TERN_SHAPE(1, 28, 28), .machine = m};
    tern_training t = {.recipe = tern_recipe_default(), .train = &train, .test = &test, .quiet = true};
    t.recipe.optimiser = TERN_SGD;
    t.recipe.momentum = 0.9;
    t.recipe.schedule = TERN_COSINE_RATE;
    t.recipe.rate = 0.05;
    t.recipe.decay = 1e-4;
    t.recipe.smoothing = 0;
    t.recipe.epochs = EPOCHS;
    t.recipe.seed = 1;
    for (int i = 0; i < 2; i++) {
        tern_regroup_point point = {.group = i ? 4 : 1, .width = 0.25};
        PROOF_OK(tern_regroup_measure(&s, &point));
        PROOF_OK(tern_regroup_train(&s, &t, SEEDS, 1, pool, &point));
        accuracy[i] = point.accuracy;
        printf(
            "width 0.25, g=%d: accuracy %.4f (%.4f .. %.4f), %.2f M multiply-accumulates, %.0f parameters\n",
            point.group, point.accuracy, point.lowest, point.highest, point.simulation.macs / 1e6,
            point.parameters);
        fflush(stdout);
    }
    proof_at_least(p, "accuracy-g4-against-g1-less-0.3-points", accuracy[1], accuracy[0] - 0.003);
    tern_net_free(parameters);
    tern_dataset_close(&d);
}

/* ---- 5. exactness ----------------------------------------------------------------------------------------------------------- */

/* Logits of one random image by the operators' definitions. */
static void logits_of(const tern_net *net, int group, tern_store *store, float out[10])
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_tensor logits;
    void *parameters;
    static float image[32 * 32];
    tern_shape sample = TERN_SHAPE(1, 32, 32);
    for (uint64_t i = 0; i < TERN_COUNT(image); i++)
        image[i] = (float)tern_rng_normal((tern_rng){.seed = 3}, i);
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(tern_net_set(net, parameters, "group", group));
    PROOF_OK(tern_model_graph(&g, net, parameters, &sample, 1, 7));
    PROOF_OK(tern_plan(&program, g, &(tern_plan_options){.reference = true}));
    PROOF_OK(tern_session_open(&session, program, store, NULL));
    PROOF_OK(tern_session_bind(session, "image", image));
    PROOF_OK(tern_session_run(session, 0));
    PROOF_OK(tern_session_output(session, "logits", &logits));
    memcpy(out, logits.data, 10 * sizeof *out);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_net_free(parameters);
}

static void check_exact(proof *p, const tern_net *net)
{
    tern_store plain = {0};
    float before[10], after[10];
    int differ = 0;
    tern_shape sample = TERN_SHAPE(1, 32, 32);
    logits_of(net, 1, &plain, before);
    for (int group = 2; group <= 16; group *= 2) {
        tern_store widened = {0};
        void *parameters;
        PROOF_OK(tern_net_parameters(net, &parameters));
        PROOF_OK(tern_net_set(net, parameters, "group", group));
        PROOF_OK(tern_regroup_store(&plain, net, parameters, &sample, &widened));
        logits_of(net, group, &widened, after);
        for (int i = 0; i < 10; i++) differ += memcmp(&before[i], &after[i], sizeof *before) != 0;
        tern_store_close(&widened);
        tern_net_free(parameters);
    }
    proof_equal(p, "zero-initialised-regroup-logits-that-differ", differ, 0);
    tern_store_close(&plain);
}

int main(void)
{
    proof p = {.row = "5.3", .title = "DRACO"};
    const tern_net *net = tern_net_find("mobilenet-regroup");
    tern_machine *m;
    tern_pool *pool;
    PROOF_OK(tern_machine_open(&m, "systolic-64x64-rs"));
    PROOF_OK(tern_pool_open(&pool, 0));
    check_golden(&p);
    check_mobilenet(&p, net, m);
    check_array_size(&p, net, m);
    check_exact(&p, net);
    check_accuracy(&p, net, m, pool);
    tern_pool_close(pool);
    tern_machine_close(m);
    return proof_end(&p);
}
