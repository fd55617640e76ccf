/* Proof of PulseDL-II (arXiv 2209.00884): the pulse model against closed forms and its Cramer-Rao bound, a net that tells time and
 * energy within 1.35 of that bound, the same with weights of bytes and activations of 16 bits, and that in logic, whose registers a RISC-V processor writes. */
#define _DEFAULT_SOURCE /* mkdtemp, popen */
#include "command.h"

#include "classic/pulse.h"
#include "emit/array.h"
#include "io/io.h"
#include "train/train.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { FEW = 500, SOME = 1000 }; /* pulses through the slower simulator, and through arrays of other sizes */
enum {
    PULSES = 100000,
    TRAINED = 50000,
    CLEAN_EPOCHS = 3,
    EPOCHS = 30,
    AWARE_EPOCHS = 6,
    TESTED = 10000,
    WINDOW = 64
};

static tern_pool *pool;

/* ---- 1: the simulator ------------------------------------------------------------------------------------------------- */

/* Powers 1 to 4 of each sample, in parts whose sums do not depend on threads. */
enum { PARTS = 50 };
static double powers[PARTS][WINDOW][4];

static void add_part(void *model, int64_t part, int thread)
{
    float x[WINDOW];
    (void)thread;
    for (int64_t i = PULSES / PARTS * part; i < PULSES / PARTS * (part + 1); i++) {
        tern_pulse_make(model, 0, i, x, NULL);
        for (int k = 0; k < WINDOW; k++)
            for (int p = 0; p < 4; p++) powers[part][k][p] += pow((double)x[k], p + 1) / PULSES;
    }
}

static void simulator(proof *p, tern_pulse_error errors[TERN_PULSE_METHODS])
{
    tern_pulse_model m = tern_pulse_default();
    double of_mean = 0, of_variance = 0;
    tern_pulse bound;
    tern_pool_run(pool, PARTS, add_part, &m);
    for (int k = 0; k < WINDOW; k++) {
        double s[4] = {0}, mean, variance;
        for (int part = 0; part < PARTS; part++)
            for (int i = 0; i < 4; i++) s[i] += powers[part][k][i];
        double v = s[1] - s[0] * s[0];
        double fourth = s[3] - 4 * s[0] * s[2] + 6 * s[0] * s[0] * s[1] - 3 * pow(s[0], 4);
        tern_pulse_moments(&m, k, &mean, &variance);
        of_mean = fmax(of_mean, fabs(s[0] - mean) / sqrt(v / PULSES));
        of_variance = fmax(of_variance, fabs(v - variance) / sqrt((fourth - v * v) / PULSES));
    }
    proof_at_most(
        p,
        "100,000 pulses, mean of each of 64 samples: largest distance from the closed form, standard errors",
        of_mean, 4);
    proof_at_most(p, "  variance of each", of_variance, 4);
    PROOF_OK(tern_pulse_compare(&m, 1, TESTED, errors, &bound, pool));
    for (int i = 0; i < TERN_PULSE_METHODS; i++)
        printf("  %-17s  time %.5f samples (%.1f ps), %.3f of the bound; energy %.6f, %.3f of it\n",
               tern_pulse_method_names[i], errors[i].rms.start, 1e3 * m.period * errors[i].rms.start,
               errors[i].rms.start / bound.start, errors[i].rms.amplitude,
               errors[i].rms.amplitude / bound.amplitude);
    proof_at_most(p, "template fit at 47.4 dB: time over the Cramer-Rao bound",
                  errors[TERN_PULSE_TEMPLATE].rms.start / bound.start, 1.05);
    proof_at_most(p, "  energy", errors[TERN_PULSE_TEMPLATE].rms.amplitude / bound.amplitude, 1.05);
}

/* ---- 2: the net --------------------------------------------------------------------------------------------------------- */

typedef struct trained {
    const tern_net *net;
    void *parameters;
    tern_store store;
} trained;

static tern_samples samples_of(const tern_dataset *d, bool train)
{
    const tern_split *s = train ? &d->train : &d->test;
    tern_samples samples = {
        .images = s->images, .labels = s->labels, .targets = s->targets, .units = d->units, .classes = 1};
    for (int i = 0; i < 8; i++) samples.std[i] = 1;
    return samples;
}

static void open_net(trained *t, const char *name, int clean)
{
    *t = (trained){.net = tern_net_find(name)};
    PROOF_OK(tern_net_parameters(t->net, &t->parameters));
    PROOF_OK(tern_net_set(t->net, t->parameters, "clean", clean));
}

static void close_net(trained *t)
{
    tern_store_close(&t->store);
    tern_net_free(t->parameters);
}

static void train(trained *t, const char *data, int epochs, double rate)
{
    tern_dataset d;
    tern_progress_state state = {0};
    PROOF_OK(tern_dataset_open(&d, data,
                               &(tern_dataset_options){.train_limit = TRAINED, .test_limit = 10, .seed = 1}));
    tern_samples samples = samples_of(&d, true);
    tern_training how = {.net = t->net,
                         .parameters = t->parameters,
                         .recipe = tern_recipe_default(),
                         .train = &samples,
                         .quiet = true};
    how.recipe.optimiser = TERN_ADAM;
    how.recipe.rate = rate;
    how.recipe.decay = how.recipe.crop = how.recipe.flip = 0;
    how.recipe.epochs = epochs;
    how.recipe.batch = 64;
    PROOF_OK(tern_train(&how, &state, &t->store, pool));
    printf("  %s on %d of %s, %d epochs: %.0f s\n", t->net->name, TRAINED, data, epochs, state.seconds);
    tern_dataset_close(&d);
}

static void evaluate(const trained *t, const tern_samples *test, double rms[2])
{
    tern_evaluation e;
    PROOF_OK(
        tern_evaluate(&e, t->net, t->parameters, test, 100, 0, (tern_store *)(uintptr_t)&t->store, pool));
    for (int k = 0; k < 2; k++) rms[k] = e.targets[k].rms;
    printf("  %s: time %.5f samples, %.1f ps at 10 ns (published 60 ps), energy %.5f, %.2f %% of full scale "
           "(published 0.40 "
           "%%)\n",
           t->net->name, rms[0], 1e4 * rms[0], rms[1], 100 * rms[1]);
    tern_evaluation_free(&e);
}

static void to_bytes(const trained *from, trained *to)
{
    tern_dataset d;
    PROOF_OK(tern_dataset_open(&d, "pulses",
                               &(tern_dataset_options){.train_limit = 2000, .test_limit = 10, .seed = 1}));
    tern_samples samples = samples_of(&d, true);
    open_net(to, "pulse-net-int8", 0);
    PROOF_OK(tern_net_set(to->net, to->parameters, "act-bits", 16));
    PROOF_OK(tern_net_set(to->net, to->parameters, "multiplier-bits", 16));
    tern_int8_conversion c = {.net = from->net,
                              .int8 = to->net,
                              .parameters = from->parameters,
                              .int8_parameters = to->parameters,
                              .samples = &samples,
                              .images = 2000,
                              .seed = 1};
    PROOF_OK(tern_convert_int8(&c, (tern_store *)(uintptr_t)&from->store, &to->store, pool));
    tern_dataset_close(&d);
}

/* ---- 3 and 4: logic, its driver, its multipliers ------------------------------------------------------------------------ */

static char folder[] = "/tmp/tern-proof-6.8-XXXXXX";

/* The array with `elements` of `units` and its samples in a folder; the cycles of the model. */
static double emit(const trained *bytes, const tern_dataset *d, int elements, int units, int samples,
                   const char *path)
{
    tern_graph *g;
    tern_program *program;
    tern_session *session;
    tern_array a;
    PROOF_OK(tern_model_graph(&g, bytes->net, bytes->parameters, &d->sample, 1, 0));
    PROOF_OK(tern_array_mark(g));
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_session_open(&session, program, (tern_store *)(uintptr_t)&bytes->store, NULL));
    PROOF_OK(tern_session_bind(session, "image", d->test.images.data));
    PROOF_OK(tern_session_run(session, 0));
    PROOF_OK(tern_array_open(&a, program, session, elements, units));
    PROOF_OK(
        tern_array_folder(&a, "pulse", "pulse-net", session, d->test.images.data, WINDOW, samples, path));
    double cycles = tern_array_total(&a);
    tern_array_free(&a);
    tern_session_close(session);
    tern_program_close(program);
    tern_graph_close(g);
    return cycles;
}

/* What the test bench says. */
static int simulate(const char *path, const char *how, int figures[5])
{
    char line[512], out[PROOF_LINE];
    for (int i = 0; i < 5; i++) figures[i] = -1;
    snprintf(line, sizeof line, "cd %s && %s 2>&1", path, how);
    int status = proof_command(line, "pulse: ", out);
    (void)sscanf(out, "pulse: %d samples, %d bytes wrong in %d of them, %d cycles a sample, %d others",
                 &figures[0], &figures[1], &figures[2], &figures[3], &figures[4]);
    return status;
}

static void check_simulation(proof *p, const char *path, const char *tool, int elements, int units,
                             int samples, double cycles)
{
    char name[200], how[200];
    int f[5];
    if (!proof_installed(tool)) {
        snprintf(name, sizeof name, "%d elements of %d units in %s", elements, units, tool);
        proof_skip(p, name, "scripts/setup --rtl");
        return;
    }
    snprintf(how, sizeof how, "make -s %s SAMPLES=%d FEW=%d", tool, samples, samples);
    simulate(path, how, f);
    snprintf(name, sizeof name, "%d elements of %d units, %s: pulses", elements, units, tool);
    proof_equal(p, name, f[0], samples);
    proof_equal(p, "  bytes that differ from the host's", f[1], 0);
    snprintf(name, sizeof name, "  layers and pulses whose cycles are not the model's (%.0f a pulse)",
             cycles);
    proof_equal(p, name, f[3] == (int)cycles ? f[4] : -1, 0);
}

/* One register says another shift. */
static void check_failure(proof *p, const char *path)
{
    int f[5];
    int status = simulate(path, "vvp -N pulse.vvp +samples=50 +shift", f);
    proof_at_least(p, "another shift in one register: pulses of 50 whose results differ", f[2], 1);
    proof_judge(p, "  exit status of the test bench", status, "!=", 0, status != 0);
}

static void check_driver(proof *p, const char *path)
{
    char line[200], out[PROOF_LINE];
    if (!proof_installed("qemu-system-riscv32") || !proof_installed("riscv64-unknown-elf-gcc")) {
        proof_skip(p, "the driver in QEMU", "scripts/setup --edge");
        return;
    }
    snprintf(line, sizeof line, "cd %s && make -s driver 2>&1", path);
    int status = proof_command(line, "the driver", out);
    proof_equal(p, "RISC-V driver in QEMU: its log of registers against the test bench's (cmp)", status, 0);
    snprintf(line, sizeof line, "cd %s && wc -l <driver.log", path);
    proof_command(line, "", out);
    printf("  writes of the driver: %s", out);
    proof_at_least(p, "  registers written", atof(out), 1);
}

static void check_multipliers(proof *p, const char *path, int elements, int units)
{
    char line[300], out[PROOF_LINE], kind[64];
    double count = 0;
    if (!proof_installed("yosys")) {
        proof_skip(p, "multipliers", "yosys: scripts/setup --rtl");
        return;
    }
    snprintf(line, sizeof line, "cd %s && make -s synth 2>&1", path);
    proof_command(line, "$mul", out);
    (void)sscanf(out, " %63s %lf", kind, &count);
    snprintf(line, sizeof line,
             "yosys: multipliers of %d elements of %d units, one more an element to requantise", elements,
             units);
    proof_equal(p, line, count, elements * units + elements);
}

static void logic(proof *p, const trained *bytes, const tern_dataset *d)
{
    static const int sizes[][2] = {{16, 8}, {4, 4}, {8, 16}};
    char path[64], line[128], out[PROOF_LINE];
    if (!mkdtemp(folder)) PROOF_OK(tern_fail(TERN_FAILED, "no folder for the logic"));
    for (size_t i = 0; i < TERN_COUNT(sizes); i++) {
        int elements = sizes[i][0], units = sizes[i][1], samples = i ? SOME : TESTED;
        snprintf(path, sizeof path, "%s/%zu", folder, i);
        double cycles = emit(bytes, d, elements, units, samples, path);
        check_simulation(p, path, "verilator", elements, units, samples, cycles);
        if (i == 0) {
            check_simulation(p, path, "iverilog", elements, units, FEW, cycles);
            check_failure(p, path);
            check_driver(p, path);
        }
        check_multipliers(p, path, elements, units);
    }
    snprintf(line, sizeof line, "rm -r %s", folder);
    proof_command(line, "/", out);
}

static void nets(proof *p, const tern_pulse_error errors[TERN_PULSE_METHODS])
{
    trained clean, net, aware, bytes;
    tern_dataset d;
    double floats[2], whole[2];
    tern_dataset_options unseen = {.train_limit = 10, .test_limit = TESTED, .seed = 20};
    PROOF_OK(tern_dataset_open(&d, "pulses", &unseen));
    tern_samples test = samples_of(&d, false);
    const float *bound = d.units.data;
    open_net(&clean, "pulse-net", 1);
    train(&clean, "pulses-clean", CLEAN_EPOCHS, 1e-3);
    open_net(&net, "pulse-net", 0);
    PROOF_OK(tern_hand_over(&clean.store, &net.store));
    train(&net, "pulses", EPOCHS, 1e-3);
    evaluate(&net, &test, floats);
    proof_at_most(p, "net in float, pulses of another seed: time over the bound",
                  floats[0] / (double)bound[0], 1.35);
    proof_at_most(p, "  energy over the bound", floats[1] / (double)bound[1], 1.35);
    proof_judge(p, "  time, samples, below that of constant fraction", floats[0], "<",
                errors[TERN_PULSE_FRACTION].rms.start, floats[0] < errors[TERN_PULSE_FRACTION].rms.start);
    open_net(&aware, "pulse-net-qat", 0);
    PROOF_OK(tern_net_set(aware.net, aware.parameters, "act-bits", 16));
    PROOF_OK(tern_hand_over(&net.store, &aware.store));
    train(&aware, "pulses", AWARE_EPOCHS, 3e-4);
    to_bytes(&aware, &bytes);
    evaluate(&bytes, &test, whole);
    proof_at_most(p, "weights of bytes, activations of 16 bits: time over its own in float",
                  whole[0] / floats[0], 1.15);
    proof_at_most(p, "  energy", whole[1] / floats[1], 1.15);
    close_net(&clean);
    close_net(&net);
    close_net(&aware);
    logic(p, &bytes, &d);
    close_net(&bytes);
    tern_dataset_close(&d);
}

int main(void)
{
    proof p = {.row = "6.8", .title = "time and energy of detector pulses"};
    tern_pulse_error errors[TERN_PULSE_METHODS];
    PROOF_OK(tern_pool_open(&pool, 0));
    simulator(&p, errors);
    nets(&p, errors);
    tern_pool_close(pool);
    return proof_end(&p);
}
