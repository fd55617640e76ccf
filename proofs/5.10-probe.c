/* Proof of the probe (after Luo et al., arXiv 2402.13499): rates that must stand in whole proportions to each other, caches that
 * the processor declares, two probes that agree, predictions of what was not measured, and a data sheet's ridge. */
#define _POSIX_C_SOURCE 200809L /* popen */
#include "command.h"

#include "kernel/kernel.h"
#include "machine/machine.h"
#include "machine/opencl.h"
#include "run/run.h"

#include <math.h>
#include <string.h>
#include <time.h>

static double figure(const tern_probe *probe, const char *name, const char *level)
{
    const tern_figure *f = tern_probe_find(probe, name, level, 1);
    return f ? f->median : 0;
}

/* ---- 1. rates ------------------------------------------------------------------------------------------------------------- */

/* Whether /proc/cpuinfo says so. */
static bool processor_is(const char *vendor)
{
    char line[256];
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !found && fgets(line, sizeof line, f))
        found = strncmp(line, "vendor_id", 9) == 0 && strstr(line, vendor);
    if (f) fclose(f);
    return found;
}

static void check_ratio(proof *p, const char *name, double got, double expected, double by)
{
    printf("%s: %.3f, expected %g within %g\n", name, got, expected, by);
    proof_at_most(p, name, fabs(got - expected), by);
}

static void check_rates(proof *p, const tern_probe *o)
{
    /* Zen 4 has two halves of 256 bits for an instruction of 512, and dots of bf16 at twice the products of f32; Intel's servers
     * have two units of either width, and one dot of bf16 in two cycles: a quarter of the instructions, half the products. */
    double dots = processor_is("AuthenticAMD") ? 2 : 0.5, wide = processor_is("AuthenticAMD") ? 1 : 2,
           f32 = figure(o, "f32 mac, 512 bits", NULL), i8 = figure(o, "i8 mac, 512 bits", NULL),
           bf16 = figure(o, "bf16 mac, 512 bits", NULL);
    if (f32 == 0) {
        proof_skip(p, "rates", "a processor with AVX-512");
        return;
    }
    printf("%s: f32 %.3g, i8 %.3g, bf16 %.3g multiply-accumulates a second, clock %.3g Hz\n", o->processor,
           f32, i8, bf16, figure(o, "clock", NULL));
    check_ratio(p, "f32-mac-512-by-cycle", figure(o, "f32 mac, 512 bits, by cycle", NULL), wide, 0.08 * wide);
    check_ratio(p, "f32-mac-256-by-cycle", figure(o, "f32 mac, 256 bits, by cycle", NULL), 2, 0.15);
    check_ratio(p, "f32-mac-latency-cycles", figure(o, "f32 mac latency, 512 bits, by cycle", NULL), 4, 0.3);
    check_ratio(p, "i8-over-f32", i8 / f32, 4, 0.3);
    if (bf16 > 0)
        check_ratio(p, "bf16-over-f32", bf16 / f32, dots, 0.075 * dots);
    else
        proof_skip(p, "bf16-over-f32", "a build and a processor with AVX512-BF16 and tiles");
}

/* ---- 2. caches ------------------------------------------------------------------------------------------------------------ */

static void check_caches(proof *p, const tern_probe *o)
{
    static const char *const levels[] = {"L1", "L2", "L3", "DRAM"};
    char name[48];
    double step = sqrt(2), clock = figure(o, "clock", NULL), before_latency = 0, before_read = INFINITY;
    for (int i = 0; i < o->cache_count && i < 2; i++) {
        double found = figure(o, "capacity", o->caches[i].name), said = o->caches[i].bytes;
        printf("%s: %.0f bytes found, %.0f declared\n", o->caches[i].name, found, said);
        snprintf(name, sizeof name, "%s-steps-off", o->caches[i].name);
        proof_at_most(p, name, fabs(log(found / said) / log(step)), 1);
    }
    double cycles = figure(o, "latency", "L1") * clock;
    proof_at_least(p, "L1-latency-cycles-least", cycles, 4 * 0.97);
    proof_at_most(p, "L1-latency-cycles-most", cycles, 5 * 1.03);
    for (size_t i = 0; i < TERN_COUNT(levels); i++) {
        double latency = figure(o, "latency", levels[i]), read = figure(o, "read", levels[i]);
        if (latency > 0) {
            snprintf(name, sizeof name, "latency-grows-at-%s", levels[i]);
            proof_at_least(p, name, latency, before_latency);
            before_latency = latency;
        }
        if (read > 0) {
            snprintf(name, sizeof name, "read-shrinks-at-%s", levels[i]);
            proof_at_most(p, name, read, before_read);
            before_read = read;
        }
    }
}

/* ---- 3. twice ------------------------------------------------------------------------------------------------------------- */

static tern_machine *machine_of(const tern_probe *o)
{
    tern_text yaml = {0};
    tern_machine *m;
    PROOF_OK(tern_probe_write(o, &yaml));
    PROOF_OK(tern_machine_parse(&m, yaml.data, yaml.size, "here"));
    tern_text_free(&yaml);
    return m;
}

static void check_twice(proof *p, const tern_machine *a, const tern_machine *b)
{
    int within;
    tern_agreement *rows =
        tern_take_array((size_t)(a->measured_count + 2 * a->kernel_count) + 1, sizeof *rows);
    if (!rows) PROOF_OK(tern_no_memory(sizeof *rows, "a comparison"));
    int count = tern_probe_compare(a, b, 0.1, rows, &within);
    for (int i = 0; i < count - within; i++)
        printf("not within 10 %%: %s: %.4g and %.4g %s\n", rows[i].name, rows[i].first, rows[i].second,
               rows[i].unit);
    proof_at_least(p, "share-of-figures-within-10-percent", (double)within / count, 0.9);
    tern_release(rows);
}

/* ---- 4. what was not measured --------------------------------------------------------------------------------------------- */

/* Median processor time of a run on one thread, and what the machine says. */
static double ratio_of(const tern_machine *m, tern_graph *g, const char *what)
{
    enum { RUNS = 31 };
    double seconds[RUNS];
    tern_program *program;
    tern_session *s;
    tern_store store = {0};
    tern_bill bill;
    tern_cost cost;
    PROOF_OK(tern_plan(&program, g, NULL));
    PROOF_OK(tern_session_open(&s, program, &store, NULL));
    float *x = tern_take((size_t)4 << 22);
    if (!x) PROOF_OK(tern_no_memory((size_t)4 << 22, "an input"));
    for (int i = 0; i < 1 << 22; i++) x[i] = (float)(i % 17) / 8 - 1;
    PROOF_OK(tern_session_bind(s, "x", x));
    for (int i = -3; i < RUNS; i++) {
        struct timespec t[2];
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t[0]);
        PROOF_OK(tern_session_run(s, 0));
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t[1]);
        if (i >= 0)
            seconds[i] = (double)(t[1].tv_sec - t[0].tv_sec) + 1e-9 * (double)(t[1].tv_nsec - t[0].tv_nsec);
    }
    tern_sort_numbers(seconds, RUNS);
    PROOF_OK(tern_bill_open(&bill, program, 1));
    tern_machine_cost(m, &bill.query, &cost, NULL);
    double ratio = cost.seconds / seconds[RUNS / 2];
    printf("%s: predicted %.4g us, measured %.4g us, ratio %.2f\n", what, 1e6 * cost.seconds,
           1e6 * seconds[RUNS / 2], ratio);
    tern_release(x);
    tern_bill_close(&bill);
    tern_session_close(s);
    tern_store_close(&store);
    tern_program_close(program);
    tern_graph_close(g);
    return ratio;
}

/* Ten shapes that the probe does not measure, one layer each. */
static void check_predictions(proof *p, const tern_machine *m)
{
    static const struct {
        int rows, in, out;                /* of a product .. */
        int size, kernel, stride, groups; /* .. or of a convolution */
    } shapes[] = {{1, 700, 1500, 0, 0, 0, 0},  {1, 3000, 350, 0, 0, 0, 0},  {24, 384, 384, 0, 0, 0, 0},
                  {120, 500, 700, 0, 0, 0, 0}, {300, 192, 768, 0, 0, 0, 0}, {1, 48, 192, 20, 1, 1, 1},
                  {1, 96, 96, 18, 3, 1, 1},    {1, 40, 80, 30, 3, 2, 1},    {1, 120, 120, 24, 3, 1, 120},
                  {1, 3, 48, 160, 3, 2, 1}};
    double sum = 0;
    for (size_t i = 0; i < TERN_COUNT(shapes); i++) {
        int rows = shapes[i].rows, in = shapes[i].in, out = shapes[i].out, size = shapes[i].size,
            kernel = shapes[i].kernel;
        char what[96];
        tern_graph *g;
        PROOF_OK(tern_graph_open(&g, &(tern_graph_options){0}));
        if (size) {
            tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(1, in, size, size));
            tern_output(g, "y",
                        tern_conv2d(g, x, .out = out, .kernel = kernel, .stride = shapes[i].stride,
                                    .pad = kernel / 2, .groups = shapes[i].groups));
            snprintf(what, sizeof what, "conv %d to %d, %d x %d, kernel %d, stride %d, %d groups", in, out,
                     size, size, kernel, shapes[i].stride, shapes[i].groups);
        } else {
            tern_value x = tern_input(g, "x", TERN_F32, TERN_SHAPE(rows, in));
            tern_output(g, "y", tern_linear(g, x, .out = out));
            snprintf(what, sizeof what, "product %d x %d x %d", rows, in, out);
        }
        sum += log(ratio_of(m, g, what));
    }
    double mean = exp(sum / (double)TERN_COUNT(shapes));
    proof_at_least(p, "predicted-over-measured-least", mean, 0.8);
    proof_at_most(p, "predicted-over-measured-most", mean, 1.25);
}

/* ---- 5. a data sheet ------------------------------------------------------------------------------------------------------ */

static void check_h100(proof *p)
{
    tern_machine *m;
    char line[512];
    double first = 0, token = 0;
    PROOF_OK(tern_machine_open(&m, "h100-sxm"));
    double ridge = 2 * m->units[0].rate[TERN_MAC][TERN_BF16] / tern_machine_main(m)->bandwidth;
    printf("h100-sxm (%016llx): %.1f operations a byte at the ridge of bf16\n", (unsigned long long)m->hash,
           ridge);
    proof_at_most(p, "ridge-off-295", fabs(ridge - 295), 1.5);
    tern_machine_close(m);
    snprintf(line, sizeof line,
             "%s cost llama2-7b --machine genz-h100 --batch 8 --in 2048 --out 256 --compat genz --json",
             PROOF_TERN);
    FILE *f = popen(line, "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *a = strstr(line, "\"first_token_seconds\": "), *b = strstr(line, "\"token_seconds\": ");
        if (a && first == 0) first = 1e3 * strtod(strchr(a, ':') + 1, NULL);
        if (b && token == 0) token = 1e3 * strtod(strchr(b, ':') + 1, NULL);
    }
    if (f) pclose(f);
    proof_at_most(p, "h100-first-token-percent-off", 100 * fabs(first / 241.039 - 1), 0.1);
    proof_at_most(p, "h100-next-token-percent-off", 100 * fabs(token / 6.273 - 1), 0.1);
}

/* ---- 6. OpenCL, and published figures ------------------------------------------------------------------------------------- */

/* What OpenCL sees of a device: here a processor through PoCL, whose rates the probe above knows. */
static void check_opencl(proof *p)
{
    tern_text yaml = {0};
    tern_machine *m;
    tern_probe *o = tern_take(sizeof *o);
    if (!o) PROOF_OK(tern_no_memory(sizeof *o, "a probe"));
    if (tern_opencl_probe(o, &(tern_opencl_options){.quick = true, .quiet = true}) != TERN_OK) {
        printf("%s\n", tern_message());
        proof_skip(p, "opencl", "an OpenCL device: PoCL (pocl-opencl-icd) is one");
        tern_clear();
    } else {
        PROOF_OK(tern_opencl_write(o, &yaml));
        PROOF_OK(tern_machine_parse(&m, yaml.data, yaml.size, "opencl"));
        const tern_figure *near = tern_probe_find(o, "walk, 4 KiB", "global", 1),
                          *far = tern_probe_find(o, "walk, 16 MiB", "global", 1);
        double peak = m->units[0].rate[TERN_MAC][TERN_F32];
        printf("%s by OpenCL: f32 %.3g multiply-accumulates a second, %.2g of it by a product; walks of %.3g "
               "and "
               "%.3g s; global memory %.3g, local %.3g B/s\n",
               o->processor, peak, m->units[0].efficiency, near->median, far->median, m->tiers[1].bandwidth,
               m->tiers[0].bandwidth);
        proof_at_least(p, "opencl-figures", m->measured_count, 15);
        proof_at_least(p, "opencl-far-walk-over-near", far->median / near->median, 2);
        const tern_figure *gemm = tern_probe_find(o, "f32 gemm", NULL, 0);
        proof_at_most(p, "opencl-product-over-peak", gemm->median / peak, 1);
        tern_machine_close(m);
        tern_text_free(&yaml);
    }
    tern_probe_close(o);
    tern_release(o);
}

static double published(const tern_machine *m, const char *name)
{
    for (int i = 0; i < m->measured_count; i++)
        if (strcmp(m->measured[i].name, name) == 0) return m->measured[i].median;
    return 0;
}

/* Cycles by level of the three cards, against the ratios that the paper's text states. */
static void check_published(proof *p)
{
    static const char *const cards[] = {"a100-pcie-40g", "rtx-4090", "h800-pcie"};
    double second = 0, global = 0;
    for (size_t i = 0; i < TERN_COUNT(cards); i++) {
        tern_machine *m;
        PROOF_OK(tern_machine_open(&m, cards[i]));
        double first = published(m, "L1 latency"), l2 = published(m, "L2 latency"),
               far = published(m, "global memory latency");
        printf("%s: L1 %.1f, shared %.1f, L2 %.1f, global %.1f cycles\n", cards[i], first,
               published(m, "shared memory latency"), l2, far);
        second += l2 / first / (double)TERN_COUNT(cards);
        global += far / l2 / (double)TERN_COUNT(cards);
        if (strcmp(cards[i], "h800-pcie") == 0)
            check_ratio(p, "h800-other-processor-below-L2",
                        1 - published(m, "latency from processor to processor") / l2, 0.32, 0.01);
        tern_machine_close(m);
    }
    check_ratio(p, "published-L2-over-L1", second, 6.5, 0.1);
    check_ratio(p, "published-global-over-L2", global, 1.9, 0.1);
}

/* ---- 7. ranks ------------------------------------------------------------------------------------------------------------- */

/* The median of a figure in the command's JSON. */
static double median_in(const char *json, const char *name)
{
    char key[64];
    snprintf(key, sizeof key, "\"name\": \"%s\"", name);
    const char *at = strstr(json, key);
    return at ? proof_json_number(at, "median") : NAN;
}

/* Messages of all sizes against the line through them, of which the link in the machine file is made. */
static void check_ranks(proof *p)
{
    enum { MOST = 1 << 16 };
    char *json = tern_take(MOST), name[32];
    double off = 0, bytes = 8;
    if (!json) PROOF_OK(tern_no_memory(MOST, "an answer"));
    int status = !proof_installed("mpirun")
                     ? -1
                     : proof_output("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 2 "
                                    "--oversubscribe --bind-to none " PROOF_TERN
                                    " probe --mpi --only links --quiet --json 2>/dev/null",
                                    json, MOST);
    double latency = median_in(json, "MPI latency"), bandwidth = median_in(json, "MPI bandwidth");
    if (status != 0 || !isfinite(latency)) {
        proof_skip(p, "ranks", "Open MPI (scripts/setup --mpi) when Tern is built");
        tern_release(json);
        return;
    }
    for (int i = 0; i < 7; i++, bytes *= 8) {
        snprintf(name, sizeof name, "MPI message, %.0f B", bytes);
        double took = median_in(json, name);
        printf("%s: %.3g us, by the line %.3g us\n", name, 1e6 * took, 1e6 * (latency + bytes / bandwidth));
        off += fabs(log((latency + bytes / bandwidth) / took)) / 7;
    }
    printf("two ranks: latency %.3g us, bandwidth %.3g B/s\n", 1e6 * latency, bandwidth);
    proof_at_most(p, "ranks-line-over-messages", exp(off), 2);
    tern_release(json);
}

int main(void)
{
    proof p = {.row = "5.10", .title = "the probe"};
    tern_probe *probes = tern_take_array(2, sizeof *probes);
    if (!probes) PROOF_OK(tern_no_memory(2 * sizeof *probes, "two probes"));
    for (int i = 0; i < 2; i++) {
        PROOF_OK(tern_probe_run(&probes[i], NULL, &(tern_probe_options){.quiet = true}));
        printf(
            "probe %d: %d figures and %d kernels in %.0f s; other programs used %.0f %% of the processors\n",
            i + 1, probes[i].count, probes[i].kernel_count, probes[i].seconds, 100 * probes[i].foreign_share);
    }
    tern_machine *a = machine_of(&probes[0]), *b = machine_of(&probes[1]);
    check_rates(&p, &probes[0]);
    check_caches(&p, &probes[0]);
    check_twice(&p, a, b);
    check_predictions(&p, a);
    check_h100(&p);
    check_opencl(&p);
    check_published(&p);
    check_ranks(&p);
    tern_machine_close(a);
    tern_machine_close(b);
    for (int i = 0; i < 2; i++) tern_probe_close(&probes[i]);
    tern_release(probes);
    return proof_end(&p);
}
