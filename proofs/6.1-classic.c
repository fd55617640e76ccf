/* Proof of the non-neural kernels on parallel low-power processors (Tabanelli, Tagliavini & Benini, ACM TECS 22(3) 2023; arXiv
 * 2107.09448): classic learners fitted here on digits, held to what scikit-learn 1.2.1 gives, and as C on RISC-V with and without a
 * floating-point unit, with two libraries of float arithmetic, in fixed point, and on eight harts. */
#define _DEFAULT_SOURCE
#include "proof.h"

#include "classic/classic.h"
#include "emit/emit.h"
#include "io/io.h"
#include "machine/machine.h"

#include <string.h>

enum { SEEDS = 5 };

typedef struct bench {
    tern_dataset digits; /* 8x8, 1,297 to train and 500 to test, pixels 0 .. 16 */
    float *all;          /* all 1,797 rows */
    tern_pool *pool;
} bench;

static void open_bench(bench *b)
{
    PROOF_OK(tern_pool_open(&b->pool, 0));
    PROOF_OK(tern_dataset_open(&b->digits, TERN_GOLDEN "/classic/digits.npz", NULL));
    size_t train = tern_bytes_of(TERN_F32, tern_elements(&b->digits.train.images.shape));
    size_t test = tern_bytes_of(TERN_F32, tern_elements(&b->digits.test.images.shape));
    b->all = tern_take(train + test);
    if (!b->all) exit(1);
    memcpy(b->all, b->digits.train.images.data, train);
    memcpy((char *)b->all + train, b->digits.test.images.data, test);
}

static void close_bench(bench *b)
{
    tern_dataset_close(&b->digits);
    tern_release(b->all);
    tern_pool_close(b->pool);
}

/* A net fitted on the first `rows` rows with up to two of its parameters set. */
static tern_classic fit(const bench *b, const char *net, int64_t rows, const char *name, double value,
                        const char *other, double number, uint64_t seed)
{
    tern_classic learner = {0};
    void *p;
    tern_fit f = {.net = tern_net_find(net),
                  .x = b->all,
                  .y = rows == 1297 ? b->digits.train.labels.data : NULL,
                  .rows = rows,
                  .features = 64,
                  .classes = 10,
                  .seed = seed};
    PROOF_OK(tern_net_parameters(f.net, &p));
    if (name) PROOF_OK(tern_net_set(f.net, p, name, value));
    if (other) PROOF_OK(tern_net_set(f.net, p, other, number));
    f.parameters = p;
    PROOF_OK(tern_classic_fit(&f, &learner));
    tern_net_free(p);
    return learner;
}

/* Right answers of the 500; learners of raw features. */
static double right(const bench *b, tern_classic *learner)
{
    tern_evaluation e;
    tern_samples test = {.images = b->digits.test.images, .labels = b->digits.test.labels, .classes = 10};
    PROOF_OK(tern_evaluate(&e, learner->net, learner->parameters, &test, 100, 0, &learner->store, b->pool));
    double count = e.accuracy * e.samples;
    tern_evaluation_free(&e);
    return count;
}

static void near(proof *p, const char *name, double got, double expected, double by)
{
    char full[96];
    snprintf(full, sizeof full, "%s-within-%g", name, by);
    proof_judge(p, full, got, "=", expected, got >= expected - by && got <= expected + by);
}

/* ---- 1. what is learned ---------------------------------------------------------------------------------------------- */

static void check_answers(proof *p, const bench *b)
{
    static const struct {
        const char *check, *net, *name;
        double value;
        const char *other;
        double number, expected;
    } learners[] = {
        {"gnb-right-of-500", "gnb", NULL, 0, NULL, 0, 423},
        {"knn-1-right-of-500", "knn", "k", 1, NULL, 0, 480},
        {"knn-4-right-of-500", "knn", "k", 4, NULL, 0, 484},
        {"knn-5-right-of-500", "knn", "k", 5, NULL, 0, 483},
        {"logreg-right-of-500", "logreg", "cost", 1, "scale", 16, 459},
    };
    for (size_t i = 0; i < TERN_COUNT(learners); i++) {
        tern_classic c = fit(b, learners[i].net, 1297, learners[i].name, learners[i].value, learners[i].other,
                             learners[i].number, 1);
        near(p, learners[i].check, right(b, &c), learners[i].expected, 1);
        tern_classic_close(&c);
    }
    double sum = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        tern_classic c = fit(b, "forest", 1297, "trees", 16, "depth", 8, (uint64_t)seed);
        sum += right(b, &c);
        tern_classic_close(&c);
    }
    proof_at_least(p, "forest-mean-right-of-500", sum / SEEDS, 440);
}

static void check_means(proof *p, const bench *b)
{
    tern_classic c = fit(b, "kmeans", 1797, "first", 1, NULL, 0, 1);
    near(p, "kmeans-inertia", c.score, 1167859.384, 0.01);
    near(p, "kmeans-rounds", c.rounds, 14, 1);
    tern_classic_close(&c);
}

/* ---- 2. and 3. as C on a board --------------------------------------------------------------------------------------- */

static const tern_emit_target *target_of(const char *name)
{
    const tern_emit_target *t = tern_emit_targets;
    while (t->name && strcmp(t->name, name) != 0) t++;
    return t;
}

/* What a decision takes on a board; instructions -1: a bit of the 500 rows is wrong. */
typedef struct taken {
    double instructions, busiest, slowest, parts; /* the last three of several cores */
} taken;

typedef struct board {
    const char *target;
    int cores;
    bool fast; /* the float library of Tern's own */
} board;

static taken on_board(const bench *b, const tern_net *net, const void *parameters, tern_store *store,
                      const board *of)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    char folder[] = "/tmp/tern-proof-XXXXXX", command[320];
    PROOF_OK(tern_model_graph(&g, net, parameters, &TERN_SHAPE(64), 1, 0));
    PROOF_OK(tern_plan(&program, g, &(tern_plan_options){.reference = true, .compact = true}));
    PROOF_OK(tern_session_open(&session, program, store, NULL));
    PROOF_OK(tern_session_bind(session, "image", b->digits.test.images.data));
    PROOF_OK(tern_session_run(session, 0));
    if (!mkdtemp(folder)) exit(1);
    tern_emit_source source = {.program = program,
                               .session = session,
                               .name = "learner",
                               .about = net->doc,
                               .cores = of->cores,
                               .fast_floats = of->fast};
    tern_emit_limits limits = {.ram = 320 << 10, .flash = 1 << 20, .stack = 4096};
    tern_emit_samples samples = {
        .images = b->digits.test.images.data, .labels = b->digits.test.labels.data, .count = 500, .steps = 1};
    PROOF_OK(tern_emit_folder(&source, target_of(of->target), &limits, &samples, folder));
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    tern_emit_result r;
    taken t = {.instructions = -1};
    if (tern_emit_run(folder, &r) == TERN_OK && r.equal == r.samples)
        t = (taken){r.instructions, r.busiest, r.slowest, r.parts};
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("%s is left\n", folder);
    return t;
}

static bool board_is_here(void)
{
    return system("command -v qemu-system-riscv32 riscv64-unknown-elf-gcc make >/dev/null") == 0;
}

/* ---- fixed point --------------------------------------------------------------------------------------------------------- */

/* The class of each test row. */
static void labels_of(const bench *b, const tern_net *net, const void *parameters, tern_store *store,
                      int labels[500])
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_tensor logits;
    PROOF_OK(tern_model_graph(&g, net, parameters, &TERN_SHAPE(64), 500, 0));
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_session_open(&session, program, store, b->pool));
    PROOF_OK(tern_session_bind(session, "image", b->digits.test.images.data));
    PROOF_OK(tern_session_run(session, 0));
    PROOF_OK(tern_session_output(session, "logits", &logits));
    for (int i = 0; i < 500; i++) {
        labels[i] = 0;
        for (int c = 1; c < 10; c++)
            if (tern_get(&logits, i * 10 + c) > tern_get(&logits, i * 10 + labels[i])) labels[i] = c;
    }
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
}

/* The learner in fixed point with binary points from its training rows: labels that stay the same, and its bits on a board. */
static double check_fixed(proof *p, const bench *b, const tern_classic *c, bool boards)
{
    char name[64];
    double value;
    int before[500], after[500], same = 0;
    tern_classic fixed = {0};
    snprintf(name, sizeof name, "%s-fixed16", c->net->name);
    fixed.net = tern_net_find(name);
    PROOF_OK(tern_net_parameters(fixed.net, &fixed.parameters));
    for (const tern_option *o = c->net->options; o->name; o++) {
        PROOF_OK(tern_net_get(c->net, c->parameters, o->name, &value));
        PROOF_OK(tern_net_set(fixed.net, fixed.parameters, o->name, value));
    }
    tern_samples train = {.images = b->digits.train.images, .labels = b->digits.train.labels, .classes = 10};
    PROOF_OK(tern_classic_fix(&c->store, &train, &fixed));
    labels_of(b, c->net, c->parameters, (tern_store *)(uintptr_t)&c->store, before);
    labels_of(b, fixed.net, fixed.parameters, &fixed.store, after);
    for (int i = 0; i < 500; i++) same += before[i] == after[i];
    snprintf(name, sizeof name, "%s-fixed16-labels-of-500", c->net->name);
    proof_at_least(p, name, same, 498);
    taken t = {.instructions = -1};
    if (boards) {
        t = on_board(b, fixed.net, fixed.parameters, &fixed.store, &(board){.target = "rv32imac"});
        snprintf(name, sizeof name, "%s-fixed16-500-rows-bit-for-bit", c->net->name);
        proof_judge(p, name, t.instructions > 0, "=", 1, t.instructions > 0);
    }
    tern_classic_close(&fixed);
    return t.instructions;
}

/* ---- six learners on boards ---------------------------------------------------------------------------------------------- */

/* Eight cores of the machine of a file: what it says a fork costs, and a meeting. */
static double cycles_of(const tern_machine *m, double parts, double slowest)
{
    double clock = m->units[0].clock;
    return slowest + m->launch * clock + parts * m->meeting * clock;
}

static void check_cores(proof *p, const bench *b, tern_classic *c, const tern_machine *m, bool judged,
                        double *speed)
{
    char name[64];
    const void *q = c->parameters;
    taken one = on_board(b, c->net, q, &c->store, &(board){.target = "riscv"});
    taken soft = on_board(b, c->net, q, &c->store, &(board){.target = "rv32imac", .fast = true});
    taken eight = on_board(b, c->net, q, &c->store, &(board){.target = "riscv", .cores = 8});
    taken eight_soft =
        on_board(b, c->net, q, &c->store, &(board){.target = "rv32imac", .cores = 8, .fast = true});
    bool good = eight.instructions > 0 && eight_soft.instructions > 0;
    snprintf(name, sizeof name, "%s-8-harts-500-rows-bit-for-bit", c->net->name);
    proof_judge(p, name, good, "=", 1, good);
    snprintf(name, sizeof name, "%s-busiest-of-8-harts-over-1", c->net->name);
    if (judged) proof_at_most(p, name, eight.busiest / one.instructions, 1.0 / 6);
    *speed = soft.instructions / cycles_of(m, eight_soft.parts, eight_soft.slowest);
    printf("%s on 8 harts: of %.0f instructions the busiest has %.0f (1/%.2f), without FPU of %.0f %.0f "
           "(1/%.2f); %s modelled, without FPU: %.2f times as fast\n",
           c->net->name, one.instructions, eight.busiest, one.instructions / eight.busiest, soft.instructions,
           eight_soft.busiest, soft.instructions / eight_soft.busiest, m->name, *speed);
}

static void check_learner(proof *p, const bench *b, tern_classic *c, double *faster)
{
    char name[64];
    const void *q = c->parameters;
    taken fpu = on_board(b, c->net, q, &c->store, &(board){.target = "riscv"});
    taken soft = on_board(b, c->net, q, &c->store, &(board){.target = "rv32imac"});
    taken fast = on_board(b, c->net, q, &c->store, &(board){.target = "rv32imac", .fast = true});
    int good = (fpu.instructions > 0) + (soft.instructions > 0) + (fast.instructions > 0);
    snprintf(name, sizeof name, "%s-500-rows-bit-for-bit-fpu-soft-fast", c->net->name);
    proof_judge(p, name, good, "=", 3, good == 3);
    double fixed = check_fixed(p, b, c, true);
    *faster = soft.instructions / fast.instructions;
    printf("%s: instructions of a decision: FPU %.0f, the compiler's library %.0f (%.2f times), Tern's %.0f "
           "(%.2f), fixed point %.0f (%.2f)\n",
           c->net->name, fpu.instructions, soft.instructions, soft.instructions / fpu.instructions,
           fast.instructions, fast.instructions / fpu.instructions, fixed, fixed / fpu.instructions);
    if (strcmp(c->net->name, "gnb") == 0)
        proof_at_least(p, "gnb-instructions-soft-over-fpu", soft.instructions / fpu.instructions, 25);
}

static void check_boards(proof *p, const bench *b)
{
    static const struct {
        const char *net, *name;
        double value;
        bool judged; /* whether the share of the busiest core is asked for */
    } learners[] = {{"gnb", NULL, 0, true}, {"logreg", "scale", 16, true}, {"linear-svm", "scale", 16, false},
                    {"knn", "k", 4, true},  {"kmeans", "first", 1, false}, {"forest", "depth", 8, false}};
    double faster[TERN_COUNT(learners)], speed[TERN_COUNT(learners)], mean = 0, cores = 0;
    tern_machine *gap8;
    PROOF_OK(tern_machine_open(&gap8, "gap8"));
    for (size_t i = 0; i < TERN_COUNT(learners); i++) {
        tern_classic c = fit(b, learners[i].net, 1297, learners[i].name, learners[i].value, NULL, 0, 1);
        check_learner(p, b, &c, &faster[i]);
        check_cores(p, b, &c, gap8, learners[i].judged, &speed[i]);
        mean += faster[i] / TERN_COUNT(learners), cores += speed[i] / TERN_COUNT(learners);
        tern_classic_close(&c);
    }
    proof_at_least(p, "instructions-soft-over-soft-fast-mean-of-six", mean, 1.3);
    proof_at_least(p, "modelled-8-core-speed-up-of-gap8-mean-of-six", cores, 6.3);
    proof_at_most(p, "  and", cores, 7.8);
    tern_machine_close(gap8);
}

int main(void)
{
    proof p = {.row = "6.1", .title = "non-neural kernels"};
    bench b = {0};
    open_bench(&b);
    check_answers(&p, &b);
    check_means(&p, &b);
    if (board_is_here())
        check_boards(&p, &b);
    else
        proof_skip(&p, "boards", "qemu-system-riscv32 and riscv64-unknown-elf-gcc: scripts/setup --edge");
    close_bench(&b);
    return proof_end(&p);
}
