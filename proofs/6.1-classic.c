/* Proof of the non-neural kernels on parallel low-power processors (Tabanelli, Tagliavini & Benini, ACM TECS 22(3) 2023; arXiv
 * 2107.09448): classic learners fitted here on digits, held to what scikit-learn 1.2.1 gives, and as C on RISC-V with and
 * without a floating-point unit. */
#define _DEFAULT_SOURCE
#include "proof.h"

#include "classic/classic.h"
#include "emit/emit.h"
#include "io/io.h"

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

/* A number of result.json; -1: there is none. */
static double field(const char *folder, const char *name)
{
    char path[256], key[64], *text;
    size_t count;
    snprintf(path, sizeof path, "%s/result.json", folder);
    if (tern_read_file(path, &text, &count) != TERN_OK) return -1;
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(text, key);
    double value = at ? strtod(at + strlen(key), NULL) : -1;
    tern_release(text);
    return value;
}

static const tern_emit_target *target_of(const char *name)
{
    const tern_emit_target *t = tern_emit_targets;
    while (t->name && strcmp(t->name, name) != 0) t++;
    return t;
}

/* Emits the learner for a board and runs all 500 rows there; instructions of a sample, -1 when a bit is wrong. */
static double on_board(const bench *b, tern_classic *c, const char *target)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    char folder[] = "/tmp/tern-proof-XXXXXX", command[320];
    PROOF_OK(tern_model_graph(&g, c->net, c->parameters, &TERN_SHAPE(64), 1, 0));
    PROOF_OK(tern_plan(&program, g, &(tern_plan_options){.reference = true, .compact = true}));
    PROOF_OK(tern_session_open(&session, program, &c->store, NULL));
    PROOF_OK(tern_session_bind(session, "image", b->digits.test.images.data));
    PROOF_OK(tern_session_run(session, 0));
    if (!mkdtemp(folder)) exit(1);
    tern_emit_source source = {
        .program = program, .session = session, .name = "learner", .about = c->net->doc};
    tern_emit_limits limits = {.ram = 320 << 10, .flash = 1 << 20, .stack = 4096};
    tern_emit_samples samples = {b->digits.test.images.data, b->digits.test.labels.data, 500, 1};
    PROOF_OK(tern_emit_folder(&source, target_of(target), &limits, &samples, folder));
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    snprintf(command, sizeof command, "make -s -C %s run >/dev/null 2>&1", folder);
    double instructions = system(command) == 0 ? field(folder, "instructions") : -1;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("%s is left\n", folder);
    return instructions;
}

static bool board_is_here(void)
{
    return system("command -v qemu-system-riscv32 riscv64-unknown-elf-gcc make >/dev/null") == 0;
}

static void check_boards(proof *p, const bench *b)
{
    static const struct {
        const char *net, *name;
        double value;
    } learners[] = {{"gnb", NULL, 0},     {"logreg", "scale", 16}, {"linear-svm", "scale", 16},
                    {"tree", "depth", 8}, {"forest", "depth", 8},  {"kmeans", "first", 1}};
    for (size_t i = 0; i < TERN_COUNT(learners); i++) {
        char name[64];
        tern_classic c = fit(b, learners[i].net, 1297, learners[i].name, learners[i].value, NULL, 0, 1);
        double fpu = on_board(b, &c, "riscv"), soft = on_board(b, &c, "rv32imac");
        snprintf(name, sizeof name, "%s-500-rows-bit-for-bit", learners[i].net);
        proof_judge(p, name, (fpu > 0) + (soft > 0), "=", 2, fpu > 0 && soft > 0);
        printf("%s: %.0f instructions a sample with FPU, %.0f without: ratio %.2f\n", learners[i].net, fpu,
               soft, soft / fpu);
        if (i == 0) proof_at_least(p, "gnb-instructions-soft-over-fpu", soft / fpu, 25);
        tern_classic_close(&c);
    }
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
    proof_skip(&p, "soft-fast", "a float emulation library of Tern's own");
    proof_skip(&p, "fixed16", "numbers of 16 bits with a fixed point in these kernels");
    proof_skip(&p, "eight-harts", "a fork-join splitter in emitted C, and cores in machine files");
    close_bench(&b);
    return proof_end(&p);
}
