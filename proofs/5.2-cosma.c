/* Proof of COSMA (arXiv 2311.18246): the integer program in fixed and free order, window by window, and plans made step by step,
 * on fixtures, random nets and nets of the zoo; the oracle; plans executed. */
#include "proof.h"

#include "../tests/flow.h"
#include "run/run.h"
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
    tern_block blocks[] = {{7, 0, 0, 3}, {4, 0, 1, 3}, {9, 0, 2, 5},
                           {5, 0, 3, 4}, {8, 0, 4, 5}, {5, 0, 5, 5}};
    size_t bytes;
    PROOF_OK(tern_allocate_by_size(blocks, 6, &bytes));
    proof_equal(p, "g2-allocated-by-size", (double)bytes, 26);
    check(p, "g2-fixed-25", flow, 25, false, 0);
    check(p, "g2-fixed-22", flow, 22, false, 18);
    check(p, "g2-free-22", flow, 22, true, 0);
}

/* Sums over the random nets: of plans in the least memory, and in the middle between that and the peak. */
typedef struct totals {
    int wrong, worse, unproven, below, missing[3];
    double fixed, open, divided, exact,
        best; /* bytes; exact: of the nets that count for `divided` and `best` */
    double baseline_exact;
} totals;

static void add_random(totals *t, const tern_flow *flow, size_t memory)
{
    tern_mip_answer first = TERN_MIP_UNPROVEN, second = TERN_MIP_UNPROVEN;
    double fixed = flow_traffic(flow, memory, false, &first),
           open = flow_traffic(flow, memory, true, &second);
    double divided = flow_otherwise(flow, memory, 3, 4), best = -1;
    t->wrong += fixed < 0 || open < 0 || divided < -1;
    t->worse += open > fixed;
    t->unproven += first != TERN_MIP_OPTIMAL || second != TERN_MIP_OPTIMAL;
    t->fixed += fixed;
    t->open += open;
    t->divided += divided < 0 ? 1e9 : divided; /* without a plan it can't pass */
    for (int way = 0; way < 3; way++) {
        double moved = flow_otherwise(flow, memory, way, 0);
        t->wrong += moved < -1;
        t->missing[way] += moved == -1;
        t->below += moved >= 0 && (moved < fixed || moved < open);
        if (moved >= 0 && (best < 0 || moved < best)) best = moved;
    }
    if (best < 0) return;
    t->best += best;
    t->baseline_exact += fixed;
}

static void check_random(proof *p)
{
    totals t = {0};
    for (uint64_t seed = 0; seed < NETS; seed++) {
        flow_fixture f;
        int step;
        const tern_flow *flow = flow_random(&f, seed);
        size_t least = tern_flow_least(flow, &step), peak = tern_flow_peak(flow);
        add_random(&t, flow, seed % 2 ? (least + peak) / 2 : least);
    }
    printf("%d random nets of 6 to 9 steps, half of them in the least memory, half between that and the "
           "peak: %.0f bytes move "
           "in the given order, %.0f in the best, %.0f in windows of 4 steps\n",
           NETS, t.fixed, t.open, t.divided);
    printf("step by step, the best of three: %.0f bytes where the exact plan has %.0f; no places found: "
           "greedy %d, belady %d, "
           "greedy-mip %d nets\n",
           t.best, t.baseline_exact, t.missing[0], t.missing[1], t.missing[2]);
    proof_equal(p, "random-plans-that-the-oracle-refuses", t.wrong, 0);
    proof_equal(p, "random-free-order-worse-than-fixed", t.worse, 0);
    proof_equal(p, "random-baselines-better-than-exact", t.below, 0);
    proof_at_most(p, "random-windows-over-exact", t.divided / t.fixed, 1.25);
    proof_equal(p, "random-not-proven", t.unproven, 0);
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

/* One run of a program on ones. */
static void run_on_ones(const tern_program *program, tern_store *store, tern_pool *pool, float out[10])
{
    static float ones[3 * 64 * 64]; /* as much as the largest sample */
    tern_session *s;
    tern_tensor logits;
    for (size_t i = 0; i < TERN_COUNT(ones); i++) ones[i] = 1;
    PROOF_OK(tern_session_open(&s, program, store, pool));
    PROOF_OK(tern_session_bind(s, "image", ones));
    PROOF_OK(tern_session_run(s, 0));
    PROOF_OK(tern_session_output(s, "logits", &logits));
    memcpy(out, logits.data, 10 * sizeof *out);
    tern_session_close(s);
}

/* Nets of the zoo, half way between the least memory and the peak where there is anything between: run with moves and without. */
static void check_executed(proof *p)
{
    static const char *const nets[] = {"lenet", "spiking-cnn", "resnet", "mobilenet", "spiking-resnet"};
    int unequal = 0, moves = 0;
    tern_pool *pool;
    PROOF_OK(tern_pool_open(&pool, 0));
    for (size_t i = 0; i < TERN_COUNT(nets); i++) {
        const tern_net *net = tern_net_find(nets[i]);
        tern_graph *g;
        tern_program *plain, *moved;
        tern_flow flow;
        tern_cosma_plan plan;
        tern_store store = {0};
        float a[10], b[10];
        int step;
        void *parameters;
        tern_shape sample = net->sample;
        PROOF_OK(tern_net_parameters(net, &parameters));
        PROOF_OK(tern_model_graph(&g, net, parameters, &sample, 1, 0));
        PROOF_OK(tern_plan(&plain, g, &(tern_plan_options){.keep_order = true}));
        PROOF_OK(tern_flow_of(plain, false, &flow));
        size_t memory = tern_flow_least(&flow, &step);
        PROOF_OK(tern_evict(&flow, memory, TERN_EVICT_BELADY, &plan));
        PROOF_OK(tern_plan_moved(&moved, plain, &flow, &plan, memory, NULL));
        run_on_ones(plain, &store, pool, a);
        run_on_ones(moved, &store, pool, b);
        unequal += memcmp(a, b, sizeof a) != 0;
        moves += plan.retrieved > 0;
        tern_store_close(&store);
        tern_cosma_free(&plan);
        tern_program_close(moved);
        tern_flow_free(&flow);
        tern_program_close(plain);
        tern_graph_close(g);
        tern_net_free(parameters);
    }
    tern_pool_close(pool);
    printf("executed: %zu nets, %d of them with moves\n", TERN_COUNT(nets), moves);
    proof_equal(p, "executed-with-other-bits", unequal, 0);
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
    check_executed(&p);
    check_random(&p);
    proof_skip(&p, "densenet-121", "this net in the zoo");
    return proof_end(&p);
}
