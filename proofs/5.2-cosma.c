/* Proof of COSMA (arXiv 2311.18246), as far as it is built: the integer program in fixed and free order and the oracle, on the
 * fixtures and on random nets. */
#include "proof.h"

#include "../tests/flow.h"

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

int main(void)
{
    proof p = {.row = "5.2", .title = "COSMA"};
    if (!tern_mip_available()) {
        proof_skip(&p, "all", "CBC (coinor-libcbc-dev) when Tern is built");
        return proof_end(&p);
    }
    check_fixtures(&p);
    check_random(&p);
    proof_skip(&p, "resnet-50-and-densenet-121", "these nets in the zoo");
    proof_skip(&p, "executed-bit-equal", "an executor of steps that spill and retrieve");
    proof_skip(&p, "baselines-and-divide-and-conquer", "methods belady, greedy, greedy-mip and cosma-dc");
    return proof_end(&p);
}
