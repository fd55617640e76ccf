/* Proof of COSMA (arXiv 2311.18246): the integer program in fixed and free order, window by window, and plans made step by step,
 * on fixtures, random nets and nets of the zoo; the oracle; plans executed. */
#include "proof.h"

#include "../tests/flow.h"
#include "run/run.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum { NETS = 200 };

static void check(proof *p, const char *name, const tern_flow *flow, size_t memory, bool free_order,
                  double expected)
{
    tern_mip_answer answer = TERN_MIP_UNPROVEN;
    double moved = flow_traffic(flow, memory, free_order, &answer);
    proof_judge(p, name, moved, "=", expected, moved == expected && answer == TERN_MIP_OPTIMAL);
}

/* M_P of a flow, in the best order. */
static double without_moves(const tern_flow *flow)
{
    size_t bytes;
    tern_mip_answer answer;
    tern_cosma_options o = {.memory = tern_flow_peak(flow), .free_order = true, .seconds = 60};
    PROOF_OK(tern_cosma_without_moves(flow, &o, &bytes, &answer));
    return answer == TERN_MIP_OPTIMAL ? (double)bytes : -1;
}

static void check_fixtures(proof *p)
{
    flow_fixture f;
    int step;
    const tern_flow *flow = flow_g1(&f, false);
    proof_equal(p, "g1-least-bytes", (double)tern_flow_least(flow, &step), 100);
    proof_equal(p, "g1-peak-of-the-order", (double)tern_flow_peak(flow), 110);
    proof_equal(p, "g1-without-moves", without_moves(flow), 110);
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
    proof_equal(p, "g2-without-moves", without_moves(flow), 22);
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
    int wrong, worse, unproven, below, outside, missing[3];
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
    int step;
    double still = without_moves(flow);
    t->outside += still < (double)tern_flow_least(flow, &step) || still > (double)tern_flow_peak(flow);
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
    proof_equal(p, "random-without-moves-outside-its-bounds", t.outside, 0);
    proof_equal(p, "random-baselines-better-than-exact", t.below, 0);
    proof_at_most(p, "random-windows-over-exact", t.divided / t.fixed, 1.25);
    proof_equal(p, "random-not-proven", t.unproven, 0);
}

/* A net of the zoo at 224 x 224 as a flow of a byte an element, as it is written or in the order that keeps less alive. */
typedef struct zoo_flow {
    void *parameters;
    tern_graph *graph;
    tern_program *program;
    tern_flow flow;
} zoo_flow;

static void open_zoo(zoo_flow *z, const char *name, int depth, bool keep_order)
{
    const tern_net *net = tern_net_find(name);
    tern_shape sample = TERN_SHAPE(3, 224, 224);
    PROOF_OK(tern_net_parameters(net, &z->parameters));
    if (depth) PROOF_OK(tern_net_set(net, z->parameters, "depth", depth));
    PROOF_OK(tern_model_graph(&z->graph, net, z->parameters, &sample, 1, 0));
    PROOF_OK(tern_plan(&z->program, z->graph, &(tern_plan_options){.keep_order = keep_order}));
    PROOF_OK(tern_flow_of(z->program, &(tern_flow_options){.int8 = true}, &z->flow));
}

static void close_zoo(zoo_flow *z)
{
    tern_flow_free(&z->flow);
    tern_program_close(z->program);
    tern_graph_close(z->graph);
    tern_net_free(z->parameters);
}

static void check_resnet(proof *p)
{
    zoo_flow z;
    int step;
    size_t still;
    tern_mip_answer answer = TERN_MIP_UNPROVEN;
    open_zoo(&z, "resnet", 50, false);
    size_t least = tern_flow_least(&z.flow, &step);
    proof_equal(p, "resnet-50-least-kib", (double)least / 1024, 2352);
    PROOF_OK(tern_cosma_without_moves(
        &z.flow, &(tern_cosma_options){.memory = least, .free_order = true, .seconds = 60}, &still, &answer));
    proof_judge(p, "resnet-50-without-moves-kib", (double)still / 1024, "=", 2352,
                (double)still == 2352 * 1024 && answer == TERN_MIP_OPTIMAL);
    double begun = tern_now(), moved = flow_traffic(&z.flow, least, false, &answer);
    proof_judge(p, "resnet-50-bytes-at-the-least-memory", moved, "=", 0,
                moved == 0 && answer == TERN_MIP_OPTIMAL);
    proof_at_most(p, "resnet-50-seconds", tern_now() - begun, 10);
    close_zoo(&z);
}

/* Bytes of the most that a step reads and writes where the borders of windows are steps of their own, as in some graphs. */
static double least_with_borders(const zoo_flow *z)
{
    int step;
    double most = (double)tern_flow_least(&z->flow, &step);
    for (int s = 0; s < z->flow.steps; s++) {
        const tern_node *node = z->graph->nodes[z->flow.node[s]];
        int pad = tern_int_argument(node, "pad");
        if (pad == 0) continue;
        const tern_shape *in = &z->graph->values[node->in[0].id].type.shape;
        double plane = (double)(in->dim[2] * in->dim[3]),
               bordered = (double)((in->dim[2] + 2 * pad) * (in->dim[3] + 2 * pad));
        double both = (double)tern_elements(in) * (1 + bordered / plane);
        if (both > most) most = both;
    }
    return most;
}

static void check_densenet(proof *p)
{
    zoo_flow z;
    int step;
    open_zoo(&z, "densenet", 121, true);
    double least = (double)tern_flow_least(&z.flow, &step) / 1024;
    double bordered = least_with_borders(&z) / 1024, peak = (double)tern_flow_peak(&z.flow) / 1024;
    printf("densenet-121: %.2f KiB; with the borders of windows as steps of their own %.2f KiB\n", least,
           bordered);
    proof_judge(p, "densenet-121-least-kib", bordered, "= within 1 %", 1596.25,
                fabs(bordered / 1596.25 - 1) <= 0.01);
    proof_judge(p, "densenet-121-peak-of-the-order-kib", peak, "= within 1 %", 2058,
                fabs(peak / 2058 - 1) <= 0.01);
    close_zoo(&z);
}

/* Exact plans of a flow in its order: the bytes that move; how many were proven to be the fewest. */
static double exact_of(const tern_flow *flow, size_t memory, const char *what, int *proven)
{
    tern_mip_answer answer = TERN_MIP_UNPROVEN;
    double moved = flow_traffic(flow, memory, false, &answer);
    printf("nasnet, %s: the exact plan moves %.0f bytes, %s\n", what, moved, tern_mip_answers[answer]);
    *proven += answer == TERN_MIP_OPTIMAL;
    return moved;
}

static void keep_least(double moved, double *least)
{
    if (moved >= 0 && (*least < 0 || moved < *least)) *least = moved;
}

/* In the order that is searched for: by Belady's rule, and exactly. */
static void try_searched(const tern_flow *flow, size_t memory, double *cosma, int *proven)
{
    enum { WIDTH = 64 };
    size_t steps = (size_t)flow->steps + 1, reads = (size_t)flow->begin[flow->steps] + 1;
    tern_flow to = {.steps = flow->steps, .tensors = flow->tensors, .bytes = flow->bytes};
    int *step = tern_take_array(2 * steps, sizeof *step);
    to.begin = tern_take_array(steps, sizeof *to.begin);
    to.read = tern_take_array(reads, sizeof *to.read);
    to.producer = tern_take_array((size_t)flow->tensors + 1, sizeof *to.producer);
    if (!step || !to.begin || !to.read || !to.producer) PROOF_OK(tern_no_memory(reads, "an order"));
    PROOF_OK(tern_flow_order(flow, memory, WIDTH, step));
    tern_flow_put_in_order(flow, step, step + steps, &to);
    double belady = flow_otherwise(&to, memory, TERN_EVICT_BELADY, 0);
    printf("nasnet, in the order that was searched for: Belady's rule moves %.0f bytes\n", belady);
    keep_least(belady, cosma);
    keep_least(exact_of(&to, memory, "in the order that was searched for", proven), cosma);
    tern_release(step);
    tern_release(to.begin);
    tern_release(to.read);
    tern_release(to.producer);
}

/* NASNet-A in its least memory: what moves, of the best baseline and of COSMA. */
static void check_nasnet(proof *p)
{
    double baseline = -1, written = -1, cosma = -1;
    int proven = 0;
    for (int order = 0; order < 2; order++) {
        zoo_flow z;
        int step;
        open_zoo(&z, "nasnet", 0, order == 0);
        size_t least = tern_flow_least(&z.flow, &step);
        for (int way = 1; way < 3; way++) keep_least(flow_otherwise(&z.flow, least, way, 0), &baseline);
        if (order == 0) written = baseline;
        keep_least(exact_of(&z.flow, least, order ? "in the planner's order" : "as it is written", &proven),
                   &cosma);
        if (order == 0) try_searched(&z.flow, least, &cosma, &proven);
        close_zoo(&z);
    }
    printf("nasnet in its least memory: the best baseline moves %.0f bytes, in the order as it is written "
           "%.0f, COSMA %.0f\n",
           baseline, written, cosma);
    proof_equal(p, "nasnet-exact-plans-not-proven", 3 - proven, 0);
    proof_at_least(p, "nasnet-traffic-saved", baseline > 0 ? 1 - cosma / baseline : 0, 0.5);
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

/* Whether a net runs with the same bits in its least memory; counts those that move what is not compulsory. */
static bool runs_alike(const tern_net *net, bool parameters, tern_pool *pool, int *moves)
{
    tern_graph *g;
    tern_program *plain, *moved;
    tern_flow flow;
    tern_cosma_plan plan;
    tern_store store = {0};
    float a[10], b[10];
    int step;
    double spilled, retrieved;
    void *values;
    tern_shape sample = net->sample;
    PROOF_OK(tern_net_parameters(net, &values));
    PROOF_OK(tern_model_graph(&g, net, values, &sample, 1, 0));
    PROOF_OK(tern_plan(&plain, g, &(tern_plan_options){.keep_order = true}));
    PROOF_OK(tern_flow_of(plain, &(tern_flow_options){.parameters = parameters}, &flow));
    size_t memory = tern_flow_least(&flow, &step);
    PROOF_OK(tern_evict(&flow, memory, TERN_EVICT_BELADY, &plan));
    PROOF_OK(tern_cosma_replay(&flow, &plan, memory, &spilled, &retrieved));
    PROOF_OK(tern_plan_moved(&moved, plain, &flow, &plan, memory, NULL));
    run_on_ones(plain, &store, pool, a);
    run_on_ones(moved, &store, pool, b);
    *moves += plan.spilled + plan.retrieved > (double)tern_flow_compulsory(&flow);
    tern_store_close(&store);
    tern_cosma_free(&plan);
    tern_program_close(moved);
    tern_flow_free(&flow);
    tern_program_close(plain);
    tern_graph_close(g);
    tern_net_free(values);
    return memcmp(a, b, sizeof a) == 0;
}

static void check_executed(proof *p)
{
    static const char *const nets[] = {"lenet", "spiking-cnn", "resnet", "mobilenet", "spiking-resnet"};
    int unequal = 0, moves = 0;
    tern_pool *pool;
    PROOF_OK(tern_pool_open(&pool, 0));
    for (int i = 0; i < 2 * (int)TERN_COUNT(nets); i++)
        unequal += !runs_alike(tern_net_find(nets[i / 2]), i % 2, pool, &moves);
    tern_pool_close(pool);
    printf("executed: %zu nets, with activations alone and with parameters, too, in the small memory; %d of "
           "them "
           "with moves\n",
           TERN_COUNT(nets), moves);
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
    check_densenet(&p);
    check_executed(&p);
    check_random(&p);
    check_nasnet(&p);
    return proof_end(&p);
}
