/* The probe's calls with far operands.  What a call finds in which cache depends on what was called before, so that is made
 * certain: copies of the operands and results lie one behind the other over several times the near caches of all threads, and
 * calls go from copy to copy in an order that no prefetcher guesses.  When a copy comes again, the near caches have been filled
 * with others, and the last cache, from where it was put there, still has it. */
#include "machine/probe_kernels.h"

#include <math.h>
#include <string.h>

#define POOL                                                                                                 \
    4 /* times the near caches of all threads: enough that a cache forgets, less than a guest has of the last one */

/* The copies of one subject's operands, and of its result. */
typedef struct tern_far_walk {
    tern_subject *subject;
    char *operands, *results;
    size_t in, out; /* bytes of one copy, whole lines */
    size_t offset[MOST_OPERANDS];
    int64_t copies, step; /* from one copy to the next one that is called */
} tern_far_walk;

static size_t lines_of(const tern_tensor *t)
{
    return (tern_bytes_of(t->dtype, tern_elements(&t->shape)) + 63) / 64 * 64;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b ? common_divisor(b, a % b) : a;
}

static tern_far_walk walk_of(const tern_bench *b, tern_subject *s)
{
    tern_far_walk w = {.subject = s, .operands = b->far_operands, .results = b->far_results};
    for (int i = 0; i < s->call.nin; i++) {
        w.offset[i] = w.in;
        if (s->operands[i].shape.rank) w.in += lines_of(&s->operands[i]);
    }
    if (s->call.nout) w.out = lines_of(&s->call.out[0]);
    double pool = POOL * b->p->out->near * b->p->out->threads;
    w.copies = (int64_t)fmax(1, ceil(pool / (double)(w.in + w.out)));
    w.step = (int64_t)(0.618 * (double)w.copies);
    while (w.step < w.copies && common_divisor(w.copies, w.step) != 1)
        w.step++; /* all copies take their turn */
    return w;
}

tern_status tern_bench_take_far(tern_bench *b)
{
    if (b->p->out->near == 0) return TERN_OK;
    for (int k = 0; k < b->count; k++) {
        tern_far_walk w = walk_of(b, &b->subjects[k]);
        b->far_operand_bytes = (size_t)fmax((double)b->far_operand_bytes, (double)w.copies * (double)w.in);
        b->far_result_bytes = (size_t)fmax((double)b->far_result_bytes, (double)w.copies * (double)w.out);
    }
    b->far_operands = tern_take(b->far_operand_bytes + 64);
    b->far_results = tern_take(b->far_result_bytes + 64);
    return b->far_operands && b->far_results
               ? TERN_OK
               : tern_no_memory(b->far_operand_bytes + b->far_result_bytes, "the probe's far operands");
}

static void trial_far(tern_prober *p, int thread, int64_t times)
{
    const tern_far_walk *w = p->subject;
    tern_subject *s = w->subject;
    (void)thread;
    for (; times > 0; times--) {
        char *in = w->operands + (size_t)s->far_at * w->in;
        for (int i = 0; i < s->call.nin; i++)
            if (s->operands[i].shape.rank) s->operands[i].data = in + w->offset[i];
        if (s->call.nout) s->operands[s->call.nin].data = w->results + (size_t)s->far_at * w->out;
        tern_bench_call(s);
        s->far_at = (s->far_at + w->step) % w->copies;
    }
}

/* The copies hold what the subject reads: numbers, or what lies in the near operands. */
static void fill(tern_bench *b, const tern_far_walk *w)
{
    const tern_subject *s = w->subject;
    bool numbers = true;
    for (int i = 0; i < s->call.nin; i++) numbers &= s->operands[i].dtype == TERN_F32;
    if (numbers && !b->far_numbers)
        tern_bench_numbers((float *)(void *)b->far_operands, b->far_operand_bytes / sizeof(float));
    b->far_numbers = numbers;
    for (int64_t copy = 0; !numbers && copy < w->copies; copy++)
        for (int i = 0; i < s->call.nin; i++)
            if (s->operands[i].shape.rank)
                memcpy(w->operands + (size_t)copy * w->in + w->offset[i], b->operand[i],
                       tern_bytes_of(s->operands[i].dtype, tern_elements(&s->operands[i].shape)));
}

double tern_bench_far_run(tern_bench *b, tern_subject *s)
{
    tern_prober *p = b->p;
    tern_far_walk w = walk_of(b, s);
    fill(b, &w);
    p->subject = &w;
    if (s->far_times == 0) {
        tern_probe_calibrate(p, trial_far, 1, true);
        s->far_times = p->times;
    }
    p->trial = trial_far;
    p->times = s->far_times;
    double seconds = tern_probe_time(p) / (double)s->far_times;
    tern_bench_place(b, s);
    return seconds;
}
