/* Proof of learning in 16 bits (Nadalini et al., FGCS 2023; arXiv 2305.19167): sums that are rounded behind every term, the same
 * bits on boards, and what is learned beside f32. */
#define _XOPEN_SOURCE 700
#include "command.h"
#include "proof.h"

#include "../tests/half_reference.h"
#include "emit/emit.h"
#include "io/io.h"
#include "op/half.h"
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static char folder[64] = "/tmp/tern-proof-half-XXXXXX";

/* ---- 1. three products of a layer, against whole numbers and against f32 -------------------------------------------------- */

static tern_rng rng = {.seed = 2305};
static uint64_t drawn;

static int between(int low, int high)
{
    return low + (int)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

/* A layer of odd sizes: x, W, dy; a linear one is a convolution of one pixel with a kernel of 1. */
typedef struct layer {
    tern_half_op args;
    tern_shape x, w, y;
    tern_dtype format;
    uint16_t *in, *weight, *dy;
} layer;

static uint16_t *numbers(tern_dtype format, int64_t n, double scale)
{
    uint16_t *x = tern_take_array((size_t)n, sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = bits_of(format, (float)(scale * tern_rng_normal(rng, drawn++)));
    return x;
}

static layer open_layer(tern_dtype format, bool linear)
{
    layer p = {.args = {.conv = {.stride = 1, .pad = linear ? 0 : 1, .dilation = 1, .groups = 1}, .lanes = 8},
               .format = format};
    int side = linear ? 1 : 2 * between(3, 6) + 1, kernel = linear ? 1 : 3;
    p.x = TERN_SHAPE(1, 2 * between(1, 6) + (linear ? 91 : 1), side, side);
    p.w = TERN_SHAPE(2 * between(1, 6) + 1, p.x.dim[1], kernel, kernel);
    p.y = TERN_SHAPE(1, p.w.dim[0], side, side);
    p.in = numbers(format, tern_elements(&p.x), 1);
    p.weight = numbers(format, tern_elements(&p.w), 0.2);
    p.dy = numbers(format, tern_elements(&p.y), 0.05);
    return p;
}

static void close_layer(layer *p)
{
    tern_release(p->in), tern_release(p->weight), tern_release(p->dy);
}

/* By the fast kernel, in f32 when `exact`; the result as bits of the format, or floats. */
static void apply(const layer *p, int kind, bool exact, void *result)
{
    static const tern_op *const ops[] = {&tern_op_half_product, &tern_op_half_grad_input,
                                         &tern_op_half_grad_weight};
    const tern_shape *shapes[] = {&p->x, &p->w, &p->y};
    const uint16_t *from[] = {p->in, p->weight, p->dy};
    static const int operands[3][2] = {{0, 1}, {2, 1}, {0, 2}}, results[3] = {2, 0, 1};
    tern_dtype format = exact ? TERN_F32 : p->format;
    tern_tensor in[2], out = {format, *shapes[results[kind]], result};
    float *floats[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        int which = operands[kind][i];
        int64_t n = tern_elements(shapes[which]);
        in[i] = (tern_tensor){format, *shapes[which], (void *)(uintptr_t)from[which]};
        if (!exact) continue;
        floats[i] = tern_take_array((size_t)n, sizeof(float));
        for (int64_t k = 0; k < n; k++) floats[i][k] = value_of(p->format, from[which][k]);
        in[i].data = floats[i];
    }
    tern_half_op args = p->args;
    args.conv.like = out.shape;
    tern_call call = {.op = ops[kind], .args = &args, .nin = 2, .nout = 1, .in = in, .out = &out};
    call.scratch = tern_take(call.op->fast->scratch(&call) + 64);
    call.op->fast->run(&call);
    tern_release(call.scratch);
    tern_release(floats[0]), tern_release(floats[1]);
}

/* Term k of element (i, j) of a product with 3x3 windows or of one pixel: index of its factors, -1 where there is a zero. */
static void term_at(const layer *p, int kind, int64_t i, int64_t j, int64_t k, int64_t *a, int64_t *b)
{
    int64_t c = p->x.dim[1], o = p->w.dim[0], side = p->x.dim[2], kernel = p->w.dim[2],
            taps = kernel * kernel;
    int64_t pixel = kind == 2 ? k : j, row = kind == 2 ? j : k, channel = row / taps, tap = row % taps;
    int64_t y = pixel / side + tap / kernel - kernel / 2, x = pixel % side + tap % kernel - kernel / 2;
    bool inside = y >= 0 && x >= 0 && y < side && x < side;
    *b = inside ? (channel * side + y) * side + x : -1;
    *a = kind == 0   ? i * c * taps + k
         : kind == 2 ? i * side * side + k
                     : (channel * c + i) * taps + taps - 1 - tap; /* turned */
    (void)o;
}

/* Elements that differ from whole numbers in the same order. */
static int64_t mismatches(const layer *p, int kind, const uint16_t *got)
{
    const half_layout *l = layout_of(p->format);
    int64_t c = p->x.dim[1], o = p->w.dim[0], pixels = p->x.dim[2] * p->x.dim[3], wrong = 0;
    int64_t taps = p->w.dim[2] * p->w.dim[3], n = kind == 1 ? c : o, m = kind == 2 ? c * taps : pixels;
    int64_t terms = kind == 0 ? c * taps : kind == 1 ? o * taps : pixels;
    int lanes = kind == 0 && m == 1 ? p->args.lanes : 1;
    const uint16_t *left = kind == 2 ? p->dy : p->weight, *right = kind == 1 ? p->dy : p->in;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            uint16_t t[8] = {0}, one = bits_of(p->format, 1);
            for (int64_t k = 0; k < terms; k++) {
                int64_t a, b, whole = terms / lanes * lanes;
                if (k == whole && lanes == 8) {
                    for (int s = 0; s < 8; s += 2) t[s] = term_of(l, t[s], t[s + 1], one);
                    t[0] = term_of(l, t[0], t[2], one), t[4] = term_of(l, t[4], t[6], one);
                    t[0] = term_of(l, t[0], t[4], one);
                }
                term_at(p, kind, i, j, k, &a, &b);
                uint16_t *sum = &t[k < whole ? k % lanes : 0];
                *sum = term_of(l, *sum, left[a], b < 0 ? 0 : right[b]);
            }
            wrong += got[i * m + j] != t[0]; /* terms are odd: the lanes have been added */
        }
    return wrong;
}

static void check_products(proof *p)
{
    static const char *const kinds[] = {"forward", "gradient-of-x", "gradient-of-w"};
    for (int f = 0; f < 2; f++) {
        tern_dtype format = f ? TERN_F16 : TERN_BF16;
        double apart[3] = {0}, size[3] = {0};
        int64_t wrong[3] = {0}, all = 0;
        for (int round = 0; round < 12; round++) {
            layer q = open_layer(format, round % 2);
            const tern_shape *shapes[] = {&q.y, &q.x, &q.w};
            for (int kind = 0; kind < 3; kind++) {
                int64_t n = tern_elements(shapes[kind]);
                uint16_t *halves = tern_take_array((size_t)n, sizeof *halves);
                float *floats = tern_take_array((size_t)n, sizeof *floats);
                apply(&q, kind, false, halves);
                apply(&q, kind, true, floats);
                wrong[kind] += mismatches(&q, kind, halves);
                for (int64_t i = 0; i < n; i++) {
                    double d = (double)value_of(format, halves[i]) - (double)floats[i];
                    apart[kind] += d * d, size[kind] += (double)floats[i] * (double)floats[i];
                }
                all += n;
                tern_release(halves), tern_release(floats);
            }
            close_layer(&q);
        }
        for (int kind = 0; kind < 3; kind++) {
            char name[96];
            snprintf(name, sizeof name, "%s-%s-elements-that-differ-from-whole-numbers",
                     tern_dtype_of(format)->name, kinds[kind]);
            proof_equal(p, name, (double)wrong[kind], 0);
            snprintf(name, sizeof name, "%s-%s-from-f32", tern_dtype_of(format)->name, kinds[kind]);
            if (kind) proof_at_most(p, name, sqrt(apart[kind] / size[kind]), f ? 3e-3 : 2e-2);
        }
        printf("%s: %lld elements\n", tern_dtype_of(format)->name, (long long)all);
    }
}

/* ---- 2. on boards ------------------------------------------------------------------------------------------------------------ */

static bool have(proof *p, const char *check, const char *tools)
{
    char line[256];
    snprintf(line, sizeof line, "command -v %s >/dev/null", tools);
    if (system(line) == 0) return true;
    proof_skip(p, check, tools);
    return false;
}

/* A product C[16,32] = A[16,256] B[256,32] as a net of one operator on a Cortex-M55: instructions, -1 where its bits are others. */
static double instructions_of(tern_dtype format)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_store store = {0};
    char line[160], json[4096], path[128];
    tern_half_op args = {.conv = {.stride = 1, .dilation = 1, .groups = 1}, .lanes = 1};
    PROOF_OK(tern_graph_open(&g, NULL));
    tern_value in[] = {tern_input(g, "image", format, TERN_SHAPE(1, 256, 4, 8)),
                       tern_weight(g, "weight", format, TERN_SHAPE(16, 256, 1, 1))};
    g->values[in[1].id].init = (tern_init){TERN_INIT_UNIFORM, 0.1};
    tern_output(g, "logits", tern_apply(g, &tern_op_half_product, &args, in, 2, NULL));
    PROOF_OK(tern_plan(&program, g, &(tern_plan_options){.reference = true, .compact = true}));
    PROOF_OK(tern_session_open(&session, program, &store, NULL));
    uint16_t *halves = numbers(TERN_F16, 8192, 1);
    float *image = tern_take_array(8192, sizeof *image);
    for (int i = 0; i < 8192; i++) image[i] = value_of(TERN_F16, halves[i]);
    tern_emit_samples samples = {
        .images = format == TERN_F16 ? (void *)halves : (void *)image, .count = 1, .steps = 1};
    tern_emit_source source = {
        .program = program, .session = session, .name = "product", .about = "a product"};
    const tern_emit_target *target = tern_emit_targets;
    while (strcmp(target->name, "cortex-m55") != 0) target++;
    snprintf(path, sizeof path, "%s/product-%s", folder, tern_dtype_of(format)->name);
    PROOF_OK(tern_session_bind(session, "image", samples.images));
    PROOF_OK(tern_session_run(session, 0));
    PROOF_OK(
        tern_emit_folder(&source, target, &(tern_emit_limits){256 << 10, 512 << 10, 4096}, &samples, path));
    tern_release(halves), tern_release(image);
    tern_session_close(session), tern_program_close(program), tern_graph_close(g), tern_store_close(&store);
    snprintf(line, sizeof line, "make -s -C %s run", path);
    int status = proof_output(line, json, sizeof json);
    printf("%s", json);
    return status == 0 ? proof_json_number(json, "instructions") : -1;
}

static void check_kernels(proof *p)
{
    double f16 = instructions_of(TERN_F16), f32 = instructions_of(TERN_F32);
    proof_equal(p, "products-in-f16-and-f32-have-the-host's-bits", f16 > 0 && f32 > 0, 1);
    proof_at_most(p, "instructions-of-the-f16-product-over-those-of-f32-in-vectors", f16 / f32, 0.62);
    printf("131,072 multiply-accumulates: %.0f instructions in f16, %.0f in f32\n", f16, f32);
}

/* A training step as C on a board. */
static void check_board(proof *p, const char *run_folder, const char *board, int cores)
{
    char line[512], json[4096], name[96];
    snprintf(line, sizeof line,
             "%s emit %s --train --target %s --cores %d --steps 6 --samples 2 --rate 0.02 --stack 8KiB -o "
             "%s/%s-%d",
             PROOF_TERN, run_folder, board, cores, folder, board, cores);
    snprintf(name, sizeof name, "steps-bit-for-bit-on-%s-with-%d-cores", board, cores);
    int status = proof_output(line, json, sizeof json);
    snprintf(line, sizeof line, "make -s -C %s/%s-%d run", folder, board, cores);
    if (status == 0) status = proof_output(line, json, sizeof json);
    printf("%s", json);
    proof_equal(p, name, status == 0 ? proof_json_number(json, "equal") : -1, 10);
    if (cores > 1 && status == 0)
        printf("of %.0f instructions of a step the busiest of %d cores has %.0f\n",
               proof_json_number(json, "all_cores"), cores, proof_json_number(json, "busiest_core"));
}

/* ---- 3. what is learned -------------------------------------------------------------------------------------------------------- */

/* A net that knows garments goes on to learn digits, a sample at a time, in each format. */
typedef struct subject {
    const char *net, *options;
} subject;
static const subject subjects[] = {{"resnet-small", "--width 8"}, {"ds-cnn", "--width 24"}};
enum { SEEDS = 3, SHOWN = 2000 };

static double accuracy_of(const char *line)
{
    char json[8192];
    if (proof_output(line, json, sizeof json) != 0) return NAN;
    return proof_json_number(json, "test_accuracy");
}

/* The gradients of all parameters of a net in a format, for noise, as it begins; how many tensors. */
enum { TENSORS = 64 };
static int gradients_of(const char *net_name, int format, int step, tern_tensor grads[TENSORS])
{
    const tern_net *net = tern_net_find(net_name);
    tern_recipe recipe = tern_recipe_of(net);
    void *parameters;
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_store store = {0};
    float image[784], rate = 0;
    int32_t label = step % 10;
    int count = 0;
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(tern_net_set(net, parameters, "half-format", format));
    PROOF_OK(tern_model_training_graph(&g, net, parameters, &TERN_SHAPE(1, 28, 28), 1, &recipe));
    for (int n = 0; n < g->node_count && count < TENSORS; n++)
        if (g->nodes[n]->op == &tern_op_half_update)
            tern_output(g, tern_arena_format(&g->arena, "d%d", count++), g->nodes[n]->in[1]);
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_session_open(&session, program, &store, NULL));
    for (int i = 0; i < 784; i++)
        image[i] = (float)tern_rng_normal((tern_rng){.seed = 7, .stream = (uint64_t)step}, (uint64_t)i);
    PROOF_OK(tern_session_bind(session, "image", image));
    PROOF_OK(tern_session_bind(session, "labels", &label));
    PROOF_OK(tern_session_bind(session, "rate", &rate));
    PROOF_OK(tern_session_run(session, 0));
    for (int i = 0; i < count; i++) {
        char name[16];
        tern_tensor d;
        snprintf(name, sizeof name, "d%d", i);
        PROOF_OK(tern_session_output(session, name, &d));
        PROOF_OK(tern_tensor_new(&grads[i], TERN_F32, &d.shape));
        for (int64_t k = 0; k < tern_elements(&d.shape); k++) tern_set(&grads[i], k, tern_get(&d, k));
    }
    tern_session_close(session), tern_program_close(program), tern_graph_close(g), tern_store_close(&store);
    tern_net_free(parameters);
    return count;
}

/* Elements of gradients that f16 has lost: 0 where f32 has a number, or not finite. */
static void count_lost(const char *net)
{
    enum { STEPS = 8 };
    double lost = 0, infinite = 0, all = 0;
    for (int step = 0; step < STEPS; step++) {
        tern_tensor halves[TENSORS], floats[TENSORS];
        int count = gradients_of(net, 0, step, halves);
        gradients_of(net, 2, step, floats);
        for (int i = 0; i < count; i++) {
            for (int64_t k = 0; k < tern_elements(&halves[i].shape); k++) {
                double half = tern_get(&halves[i], k);
                lost += half == 0 && tern_get(&floats[i], k) != 0, infinite += !isfinite(half), all += 1;
            }
            tern_tensor_free(&halves[i]), tern_tensor_free(&floats[i]);
        }
    }
    printf("%s, f16 without loss scaling, %d steps from the beginning: of %.0f elements of gradients %.0f "
           "have become 0 "
           "that f32 has (%.3f %%), %.0f are not finite\n",
           net, STEPS, all, lost, 100 * lost / all, infinite);
}

static void check_learning(proof *p, const subject *s)
{
    static const char *const formats[] = {"f32", "bf16", "f16"};
    char line[768], name[96];
    double mean[3] = {0};
    snprintf(line, sizeof line,
             "%s train %s %s --input 1x14x14 --data fashion-mnist --limit 6000 --epochs 2 --batch 32 -q "
             "--json -o %s/%s",
             PROOF_TERN, s->net, s->options, folder, s->net);
    printf("%s: accuracy of garments %.4f\n", s->net, accuracy_of(line));
    for (int f = 0; f < 3; f++) {
        snprintf(line, sizeof line, "%s convert %s/%s --to half --dtype %s -q --json -o %s/%s-%s", PROOF_TERN,
                 folder, s->net, formats[f], folder, s->net, formats[f]);
        accuracy_of(line);
        for (int seed = 1; seed <= SEEDS; seed++) {
            snprintf(
                line, sizeof line,
                "%s train %s/%s-%s --data mnist --limit %d --epochs 1 --rate 0.01 --seed %d -q --json -o "
                "%s/%s-%s-%d",
                PROOF_TERN, folder, s->net, formats[f], SHOWN, seed, folder, s->net, formats[f], seed);
            double accuracy = accuracy_of(line);
            mean[f] += accuracy / SEEDS;
            printf("%s in %s, seed %d: %.4f\n", s->net, formats[f], seed, accuracy);
        }
    }
    snprintf(name, sizeof name, "%s-bf16-within-a-point-of-f32", s->net);
    proof_at_least(p, name, 100 * (mean[1] - mean[0]), -1);
    snprintf(line, sizeof line, "%s-half", s->net);
    count_lost(line);
    printf("%s: mean accuracy of digits %.4f in f32, %.4f in bf16, %.4f in f16\n", s->net, mean[0], mean[1],
           mean[2]);
}

/* ---- 4. cycles of Vega, modelled ------------------------------------------------------------------------------------------------ */

/* A training step; of one layer, or of all of the net. */
static double simulated(const char *net, const char *format, const char *layer, const char *what)
{
    static char json[1 << 20];
    char line[256], key[64];
    double sum = 0;
    snprintf(line, sizeof line, "%s simulate %s --half-format %s --train --machine vega --json", PROOF_TERN,
             net, format);
    if (proof_output(line, json, sizeof json) != 0) return NAN;
    if (!layer) return proof_json_number(json, what);
    snprintf(key, sizeof key, "\"layer\": \"%s\"", layer);
    for (char *at = json, *end; (at = strchr(at + 1, '{')) != NULL && (end = strchr(at, '}')) != NULL;
         at = end) {
        *end = 0;
        if (strstr(at, key)) sum += proof_json_number(at, what);
    }
    return sum;
}

static void check_cycles(proof *p)
{
    const char *resnet = "resnet-small-half --width 16 --input 3x32x32",
               *dscnn = "ds-cnn-half --input 1x49x10";
    double f16 = simulated(resnet, "0", "conv3", "cycles"), f32 = simulated(resnet, "2", "conv3", "cycles");
    double whole = simulated(resnet, "0", NULL, "macs_per_cycle"),
           ds = simulated(dscnn, "0", NULL, "macs_per_cycle");
    printf("a convolution's step on vega, modelled: %.0f cycles in f16, %.0f in f32\n", f16, f32);
    proof_at_least(p, "convolution-in-f16-faster-than-in-f32", f32 / f16, 1.4);
    proof_at_most(p, "convolution-in-f16-faster-than-in-f32", f32 / f16, 2.0);
    proof_at_least(p, "resnet8-multiply-accumulates-a-cycle", whole, 2.5);
    proof_at_most(p, "resnet8-multiply-accumulates-a-cycle", whole, 3.7);
    proof_at_least(p, "ds-cnn-multiply-accumulates-a-cycle", ds, 0.6);
    proof_at_most(p, "ds-cnn-multiply-accumulates-a-cycle", ds, 1.0);
}

int main(void)
{
    proof p = {.row = "6.6", .title = "learning in 16 bits"};
    char line[160], path[128];
    check_products(&p);
    check_cycles(&p);
    if (!mkdtemp(folder)) return 1;
    bool arm = have(&p, "cortex-m55", "arm-none-eabi-gcc qemu-system-arm");
    if (arm) check_kernels(&p);
    for (size_t i = 0; i < TERN_COUNT(subjects); i++) check_learning(&p, &subjects[i]);
    snprintf(path, sizeof path, "%s/resnet-small-f16", folder);
    if (arm) check_board(&p, path, "cortex-m55", 1);
    if (have(&p, "riscv", "riscv64-unknown-elf-gcc qemu-system-riscv32")) {
        check_board(&p, path, "riscv", 1);
        check_board(&p, path, "riscv-zfh", 1);
        check_board(&p, path, "riscv-zfh", 8);
    }
    snprintf(line, sizeof line, "rm -rf %s", folder);
    if (system(line) != 0) printf("%s is still there\n", folder);
    return proof_end(&p);
}
