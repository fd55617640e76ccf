/* Proof of COSMA (arXiv 2311.18246), as far as it is built: the integer program in fixed and free order and the oracle, on the
 * fixtures and on random nets. */
#include "proof.h"

#include "../tests/flow.h"
#include "train/train.h"

#include <string.h>

enum { NETS = 200 };

static void check(proof *p, const char *name, const tern_flow *flow, size_t memory, bool free_order,
                  double expected)
{
    tern_mip_answer answer = TERN_MIP_UNPROVEN;
    double moved = flow_traffic(flow, memory, free_order, &answer);
    proof_judge(p, name, moved, "=", expected, moved == expected && answer == TERN_MIP_OPTIMAL);
}

static void check_fixtures(proof *p)
{
    flow_fixture f;
    int step;
    const tern_flow *flow = flow_g1(&f, false);
    proof_equal(p, "g1-least-bytes", (double)tern_flow_least(flow, &step), 100);
    proof_equal(p, "g1-peak-of-the-order", (double)tern_flow_peak(flow), 110);
    check(p, "g1-free-100", flow, 100, true, 100);
    check(p, "g1-free-110", flow, 110, true, 0);
    check(p, "g1-fixed-100", flow, 100, false, 100);
    check(p, "g1-fixed-110", flow, 110, false, 0);
    check(p, "g1-fixed-160", flow, 160, false, 0);
    flow = flow_g1(&f, true);
    check(p, "g1-side-by-side-100", flow, 100, false, 240);
    check(p, "g1-side-by-side-110", flow, 110, false, 240);
    check(p, "g1-side-by-side-160", flow, 160, false, 0);
    flow = flow_g2(&f);
    proof_equal(p, "g2-least-bytes", (double)tern_flow_least(flow, &step), 22);
    proof_equal(p, "g2-peak-of-the-order", (double)tern_flow_peak(flow), 25);
    check(p, "g2-fixed-25", flow, 25, false, 0);
    check(p, "g2-fixed-22", flow, 22, false, 18);
    check(p, "g2-free-22", flow, 22, true, 0);
}

static void check_random(proof *p)
{
    int wrong = 0, worse = 0, unproven = 0;
    double fixed_sum = 0, free_sum = 0;
    for (uint64_t seed = 0; seed < NETS; seed++) {
        flow_fixture f;
        int step;
        tern_mip_answer first = TERN_MIP_UNPROVEN, second = TERN_MIP_UNPROVEN;
        const tern_flow *flow = flow_random(&f, seed);
        size_t least = tern_flow_least(flow, &step);
        double fixed = flow_traffic(flow, least, false, &first),
               open = flow_traffic(flow, least, true, &second);
        wrong += fixed < 0 || open < 0;
        worse += open > fixed;
        unproven += first != TERN_MIP_OPTIMAL || second != TERN_MIP_OPTIMAL;
        fixed_sum += fixed;
        free_sum += open;
    }
    printf("%d random nets of 6 to 9 steps in the least memory: %.0f bytes move in the given order, %.0f in "
           "the best\n",
           NETS, fixed_sum, free_sum);
    proof_equal(p, "random-plans-that-the-oracle-refuses", wrong, 0);
    proof_equal(p, "random-free-order-worse-than-fixed", worse, 0);
    proof_equal(p, "random-not-proven", unproven, 0);
}

/* ResNet-50, a byte an element, 224 x 224. */
static void check_resnet(proof *p)
{
    const tern_net *net = tern_net_find("resnet");
    tern_graph *g;
    tern_program *program;
    tern_flow flow;
    void *parameters;
    int step;
    tern_shape sample = TERN_SHAPE(3, 224, 224);
    tern_mip_answer answer = TERN_MIP_UNPROVEN;
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(tern_net_set(net, parameters, "depth", 50));
    PROOF_OK(tern_model_graph(&g, net, parameters, &sample, 1, 0));
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_flow_of(program, true, &flow));
    size_t least = tern_flow_least(&flow, &step);
    proof_equal(p, "resnet-50-least-kib", (double)least / 1024, 2352);
    proof_equal(p, "resnet-50-peak-of-the-order-kib", (double)tern_flow_peak(&flow) / 1024, 2352);
    double begun = tern_now(), moved = flow_traffic(&flow, least, false, &answer);
    proof_judge(p, "resnet-50-bytes-at-the-least-memory", moved, "=", 0,
                moved == 0 && answer == TERN_MIP_OPTIMAL);
    proof_at_most(p, "resnet-50-seconds", tern_now() - begun, 10);
    tern_flow_free(&flow);
    tern_program_close(program);
    tern_graph_close(g);
    tern_net_free(parameters);
}

int main(void)
{
    proof p = {.row = "5.2", .title = "COSMA"};
    if (!tern_mip_available()) {
        proof_skip(&p, "all", "CBC (coinor-libcbc-dev) when Tern is built");
        return proof_end(&p);
    }
    check_fixtures(&p);
    check_resnet(&p);
    check_random(&p);
    proof_skip(&p, "densenet-121", "this net in the zoo");
    proof_skip(&p, "executed-bit-equal", "an executor of steps that spill and retrieve");
    proof_skip(&p, "baselines-and-divide-and-conquer", "methods belady, greedy, greedy-mip and cosma-dc");
    return proof_end(&p);
}
