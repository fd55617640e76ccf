/* The probe's arithmetic: each instruction by itself, a second and a cycle, and products of matrices by Tern's kernels. */
#include "machine/prober.h"

#include <string.h>

#define GEMM_SIZE 768 /* rows, columns and depth: 2.4 MB a matrix of f32 */

/* ---- instructions ------------------------------------------------------------------------------------------- */

static void trial_clock(tern_prober *p, int thread, int64_t times)
{
    (void)p;
    uint32_t x = (uint32_t)thread;
    for (int64_t i = 0; i < times; i++)
        for (int k = 0; k < 1000; k++) {
            x += 1;
            __asm__ volatile("" : "+r"(x)); /* one add waits for the other: one a cycle */
        }
    tern_probe_sink = x;
}

static void trial_loop(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    ((const tern_peak_loop *)p->subject)->run(times * 100);
}

/* Operations of a loop that runs with times 1. */
static double loop_units(const tern_peak_loop *loop)
{
    return loop->run(100);
}

static tern_figure rate_figure(const char *name, const char *unit, const char *method)
{
    return (tern_figure){.name = name, .unit = unit, .method = method, .threads = 1};
}

/* A loop on one thread: each run of it behind one of the clock, which changes. */
static tern_status measure_loop(tern_prober *p, const tern_peak_loop *loop)
{
    double rate[TERN_PROBE_RUNS], cycle[TERN_PROBE_RUNS], units = loop_units(loop);
    double least = p->least_seconds;
    p->subject = loop;
    p->least_seconds = least / 4; /* the clock does not change in so short a time */
    tern_probe_calibrate(p, trial_clock, 1, false);
    int64_t clock_times = p->times;
    tern_probe_calibrate(p, trial_loop, 1, false);
    int64_t loop_times = p->times;
    p->least_seconds = least;
    for (int i = 0; i < p->runs; i++) {
        TERN_TRY(tern_probe_pause(p, loop->name));
        p->trial = trial_clock;
        p->times = clock_times;
        double clock = 1000 * (double)clock_times / tern_probe_time(p);
        p->trial = trial_loop;
        p->times = loop_times;
        rate[i] = units * (double)loop_times / tern_probe_time(p);
        cycle[i] = loop->waits ? clock * loop->each / rate[i] : rate[i] / loop->each / clock;
    }
    char unit[16];
    snprintf(unit, sizeof unit, "%s/s", loop->unit);
    const char *name = tern_probe_name(p, "%s, %d bits", loop->name, loop->bits);
    const char *cycles = tern_probe_name(p, "%s, %d bits, by cycle", loop->name, loop->bits);
    const char *units_a_second = tern_probe_name(p, "%s", unit);
    if (!name || !cycles || !units_a_second) return tern_no_memory(64, "the probe");
    if (!loop->waits)
        TERN_TRY(tern_probe_keep(
            p,
            rate_figure(name, units_a_second,
                        "12 chains of the instruction in registers, alternated with the clock"),
            rate, p->runs));
    return tern_probe_keep(
        p,
        loop->waits
            ? rate_figure(cycles, "cycles", "one chain of the instruction: each waits for the one before")
            : rate_figure(cycles, "instr", "instructions a core cycle, of the same runs"),
        cycle, p->runs);
}

/* The loop of that name with the widest registers; NULL: there is none. */
static const tern_peak_loop *widest(const char *name)
{
    bool usable;
    const tern_peak_loop *found = NULL;
    for (int i = 0; tern_isa_known(i, &usable); i++) {
        const tern_peak *peak = tern_peak_at(i);
        for (const tern_peak_loop *l = peak ? peak->loops : NULL; l && l->name; l++)
            if (strcmp(l->name, name) == 0 && (!found || l->bits > found->bits)) found = l;
    }
    return found;
}

/* What the machine's units are made of: one thread and all. */
static tern_status measure_peaks(tern_prober *p)
{
    static const char *const names[] = {"f32 mac",  "f32 add",     "i8 mac",
                                        "bf16 mac", "i8 tile mac", "bf16 tile mac"};
    int threads[] = {1, p->out->threads};
    for (size_t i = 0; i < TERN_COUNT(names); i++) {
        const tern_peak_loop *loop = widest(names[i]);
        for (int t = 0; loop && t < (threads[1] > 1 ? 2 : 1); t++) {
            tern_figure f = rate_figure(names[i], strcmp(loop->unit, "add") == 0 ? "add/s" : "mac/s",
                                        "12 chains of the instruction with the widest registers");
            f.threads = threads[t];
            p->subject = loop;
            TERN_TRY(tern_probe_measure(p, f, trial_loop, loop_units(loop), false));
        }
    }
    return TERN_OK;
}

/* ---- products ------------------------------------------------------------------------------------------------ */

typedef struct tern_squares {
    float *a, *b, *c; /* [GEMM_SIZE, GEMM_SIZE] */
    void *scratch;
} tern_squares;

static tern_product product_of(const tern_squares *s)
{
    return (tern_product){.m = GEMM_SIZE,
                          .n = GEMM_SIZE,
                          .k = GEMM_SIZE,
                          .a = tern_factor_f32(s->a, GEMM_SIZE, 1),
                          .b = tern_factor_f32(s->b, GEMM_SIZE, 1),
                          .c = s->c,
                          .row_stride = GEMM_SIZE};
}

/* One thread multiplies alone, or all together. */
static void trial_gemm(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    const tern_squares *s = p->subject;
    const tern_product product = product_of(s);
    for (; times > 0; times--) tern_gemm(p->together ? p->pool : NULL, &product, s->scratch);
}

static void trial_i8_gemm(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    const tern_squares *s = p->subject;
    for (; times > 0; times--)
        tern_i8_gemm(p->together ? p->pool : NULL, GEMM_SIZE, GEMM_SIZE, GEMM_SIZE, (const int8_t *)s->a,
                     (const int8_t *)s->b, (int32_t *)(void *)s->c, false, s->scratch);
}

static tern_status measure_products(tern_prober *p, tern_squares *s)
{
    const tern_product product = product_of(s);
    double products = (double)GEMM_SIZE * GEMM_SIZE * GEMM_SIZE;
    size_t matrix = sizeof(float) * GEMM_SIZE * GEMM_SIZE, f32 = tern_gemm_scratch(&product),
           i8 = tern_i8_gemm_scratch(GEMM_SIZE, GEMM_SIZE, GEMM_SIZE);
    s->a = tern_take(matrix);
    s->b = tern_take(matrix);
    s->c = tern_take(matrix);
    s->scratch = tern_take(f32 > i8 ? f32 : i8);
    if (!s->a || !s->b || !s->c || !s->scratch) return tern_no_memory(4 * matrix, "the probe");
    for (int i = 0; i < GEMM_SIZE * GEMM_SIZE; i++) s->a[i] = s->b[i] = 1.5F + (float)(i % 7);
    p->subject = s;
    for (int i = 0; i < (p->out->threads > 1 ? 2 : 1); i++) {
        p->together = i == 1;
        tern_figure f =
            rate_figure("f32 gemm", "mac/s", "product of matrices of 768 x 768 by Tern's kernels");
        f.threads = p->together ? p->out->threads : 1;
        TERN_TRY(tern_probe_measure(p, f, trial_gemm, products, false));
        f.name = "i8 gemm";
        p->together = i == 1;
        TERN_TRY(tern_probe_measure(p, f, trial_i8_gemm, products, false));
    }
    p->together = false;
    return TERN_OK;
}

tern_status tern_probe_rates(tern_prober *p)
{
    bool usable;
    tern_squares squares = {0};
    TERN_TRY(tern_probe_measure(p, rate_figure("clock", "Hz", "adds that wait for each other"), trial_clock,
                                1000, false));
    for (int i = 0; tern_isa_known(i, &usable); i++) {
        const tern_peak *peak = tern_peak_at(i);
        for (const tern_peak_loop *l = peak ? peak->loops : NULL; l && l->name; l++)
            TERN_TRY(measure_loop(p, l));
    }
    TERN_TRY(measure_peaks(p));
    tern_status status = measure_products(p, &squares);
    tern_release(squares.a);
    tern_release(squares.b);
    tern_release(squares.c);
    tern_release(squares.scratch);
    return status;
}
