/* bench-cost [MACHINE [NET..]]: what `tern cost --machine here` says of each net of the zoo against what it takes here, one sample, with the
 * spikes that were counted.  Run tern probe first, with the same number of threads (TERN_THREADS).  With one thread a run is timed by
 * the processor time that it had, so that programs beside it lengthen nothing; with more by the clock. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include "machine/machine.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

typedef struct measured {
    double predicted, seconds, log_sum;
    int count, within;
    tern_machine *machine;
    tern_pool *pool;
    bool layers;
} measured;

static double now(const tern_pool *pool)
{
    struct timespec t;
    if (tern_pool_threads(pool) > 1) return tern_now();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Median of single runs, for some tenths of a second. */
static tern_status time_net(measured *m, tern_model *model)
{
    enum { MOST = 301 };
    double all[MOST], begun = now(m->pool);
    int runs = 0;
    for (int i = 0; i < 3; i++) TERN_TRY(tern_session_run(model->session, 0));
    while (runs < MOST && (runs < 5 || now(m->pool) - begun < 0.4)) {
        double start = now(m->pool);
        TERN_TRY(tern_session_run(model->session, 0));
        all[runs++] = now(m->pool) - start;
    }
    qsort(all, (size_t)runs, sizeof *all, bench_compare);
    m->seconds = all[runs / 2];
    return TERN_OK;
}

/* Each step's class of kernels, what is predicted, and the least of some runs by the clock. */
static tern_status print_layers(tern_model *model, const tern_task_work *tasks, const tern_task_cost *costs)
{
    enum { RUNS = 9 };
    const tern_program *p = model->program;
    double *least = tern_take_array((size_t)p->step_count + 1, sizeof *least);
    if (!least) return tern_no_memory((size_t)p->step_count * sizeof *least, "times of steps");
    tern_status status = TERN_OK;
    for (int run = 0; status == TERN_OK && run < RUNS; run++) {
        tern_session_clear(model->session);
        status = tern_session_run(model->session, 0);
        const double *seconds = tern_session_seconds(model->session);
        for (int i = 0; i < p->step_count; i++)
            if (run == 0 || seconds[i] < least[i]) least[i] = seconds[i];
    }
    for (int i = p->prepare_count; status == TERN_OK && i < p->step_count; i++) {
        char class[64];
        tern_kernel_class(&tasks[i], class);
        if (costs[i].seconds > 0)
            printf("    %-20s %-24s %4lld x %5lld x %5lld x %5lld %10.3g B  predicted %9.3g s  counted %9.3g "
                   "s  %.2f\n",
                   tasks[i].label, class, (long long)tasks[i].product.count, (long long)tasks[i].product.m,
                   (long long)tasks[i].product.n, (long long)tasks[i].product.k,
                   tasks[i].weight_bytes + tasks[i].read_bytes + tasks[i].written_bytes, costs[i].seconds,
                   least[i], costs[i].seconds / least[i]);
    }
    tern_release(least);
    return status;
}

/* Steps of the program as tasks, accumulates as counted. */
static tern_status predict(measured *m, tern_model *model)
{
    const tern_program *p = model->program;
    tern_task_cost *costs = tern_take_array((size_t)p->step_count + 1, sizeof *costs);
    tern_bill bill;
    if (!costs) return tern_no_memory((size_t)p->step_count * sizeof *costs, "costs");
    tern_status status = tern_bill_open(&bill, p, 0.1);
    tern_session_count(model->session, true);
    if (status == TERN_OK) status = tern_session_run(model->session, 0);
    const tern_work *counted = tern_session_counters(model->session);
    for (int i = 0; status == TERN_OK && i < p->step_count; i++)
        bill.tasks[i].work.accumulates = counted[i].accumulates;
    if (status == TERN_OK) {
        tern_cost cost;
        tern_machine_cost(m->machine, &bill.query, &cost, costs);
        m->predicted = cost.fits ? cost.seconds : NAN;
        if (m->layers) status = print_layers(model, bill.tasks, costs);
    }
    tern_session_count(model->session, false);
    tern_bill_close(&bill);
    tern_release(costs);
    return status;
}

static tern_status measure(measured *m, const tern_net *net)
{
    void *parameters = NULL;
    tern_store store = {0};
    tern_model model = {0};
    int64_t size = tern_elements(&net->sample);
    float *image = tern_take_array((size_t)size, sizeof *image);
    if (!image) return tern_no_memory((size_t)size * sizeof *image, "an image");
    for (int64_t i = 0; i < size; i++) image[i] = (float)tern_rng_normal((tern_rng){1, 77}, (uint64_t)i);
    tern_status status = tern_net_parameters(net, &parameters);
    if (status == TERN_OK)
        status = tern_model_open(&model, net, parameters, &net->sample, 1, NULL, &store, m->pool);
    if (status == TERN_OK) status = tern_session_bind(model.session, "image", image);
    if (status == TERN_OK) status = time_net(m, &model);
    if (status == TERN_OK) status = predict(m, &model);
    if (status == TERN_OK) {
        double ratio = m->predicted / m->seconds;
        printf("cost %-16s predicted=%.3f ms measured=%.3f ms ratio=%.2f%s\n", net->name, 1e3 * m->predicted,
               1e3 * m->seconds, ratio, ratio > 1 / 1.3 && ratio < 1.3 ? "" : "  (not within 30 %)");
        fflush(stdout);
        m->log_sum += log(ratio);
        m->within += ratio > 1 / 1.3 && ratio < 1.3;
        m->count++;
    }
    tern_model_close(&model);
    tern_store_close(&store);
    tern_net_free(parameters);
    tern_release(image);
    return status;
}

static tern_status run(int argc, char **argv)
{
    measured m = {.layers = getenv("TERN_BENCH_LAYERS") != NULL};
    bench_share start = bench_share_now();
    TERN_TRY(tern_pool_open(&m.pool, 0));
    tern_status status = tern_machine_open(&m.machine, argc > 1 ? argv[1] : "here");
    for (int i = 0; status == TERN_OK && tern_net_at(i); i++) {
        bool wanted = argc < 3;
        for (int k = 2; k < argc; k++) wanted |= strcmp(argv[k], tern_net_at(i)->name) == 0;
        if (wanted) status = measure(&m, tern_net_at(i));
    }
    if (status == TERN_OK && m.count)
        printf("cost of %d nets on %d threads: geometric mean of ratios %.3f, %d within 30 %%\n", m.count,
               tern_pool_threads(m.pool), exp(m.log_sum / m.count), m.within);
    tern_machine_close(m.machine);
    tern_pool_close(m.pool);
    bench_print_foreign(start, "the measurements");
    return status;
}

int main(int argc, char **argv)
{
    if (run(argc, argv) == TERN_OK) return 0;
    fprintf(stderr, "bench-cost: %s\n", tern_message());
    return 1;
}
