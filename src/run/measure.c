/* Times of computing and copying on this computer. */
#define _POSIX_C_SOURCE 200809L
#include "run/measure.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void tern_window_measured_free(tern_window_measured *measured)
{
    tern_release(measured->compute);
    tern_release(measured->copy);
    *measured = (tern_window_measured){0};
}

static double median(double *values, int count)
{
    tern_sort_numbers(values, (size_t)count);
    return values[count / 2];
}

/* ---- the copy lane ------------------------------------------------------------------------------------------------------- */

typedef struct copier {
    const tern_window_subject *subject;
    char *frame;
    atomic_bool stop;
    double bytes, seconds; /* copied so far */
} copier;

static void wait_until(double when)
{
    double left = when - tern_now();
    if (left <= 0) return;
    struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    nanosleep(&t, NULL);
}

/* Seconds that a layer takes from the store to a frame. */
static double copy_layer(const copier *c, int layer)
{
    const tern_window_layer *l = &c->subject->windows->layers[layer];
    double begun = tern_now();
    for (int i = 0; i < l->count; i++) {
        const tern_window_part *p = &l->parts[i];
        int slot = tern_store_find(c->subject->store, c->subject->program->graph->values[p->value].name);
        if (slot < 0) continue;
        const void *from = c->subject->store->tensors[slot].data;
        memcpy(c->frame + p->offset, from, p->bytes);
        if (c->subject->copied) c->subject->copied(c->subject->context, from, p->bytes);
    }
    if (c->subject->governor > 0) wait_until(begun + (double)l->bytes / c->subject->governor);
    return tern_now() - begun;
}

static void *copy_on(void *context)
{
    copier *c = context;
    for (int layer = 0; !c->stop; layer = (layer + 1) % c->subject->windows->count) {
        c->seconds += copy_layer(c, layer);
        c->bytes += (double)c->subject->windows->layers[layer].bytes;
    }
    return NULL;
}

static void measure_copies(copier *c, double *work, tern_window_measured *m)
{
    const tern_windows *w = c->subject->windows;
    double seconds = 0;
    for (int layer = 0; layer < w->count; layer++) copy_layer(c, layer); /* pages are touched */
    for (int layer = 0; layer < w->count; layer++) {
        for (int r = 0; r < c->subject->runs; r++) work[r] = copy_layer(c, layer);
        m->copy[layer] = median(work, c->subject->runs);
        seconds += m->copy[layer];
    }
    m->rate = tern_windows_bytes(w) / seconds;
}

/* ---- computing ------------------------------------------------------------------------------------------------------------ */

/* Median of whole runs behind one that warms up. */
static tern_status run_some(const tern_window_subject *s, double *work, double *seconds)
{
    TERN_TRY(tern_session_run(s->session, 0));
    for (int r = 0; r < s->runs; r++) {
        double begun = tern_now();
        TERN_TRY(tern_session_run(s->session, 0));
        work[r] = tern_now() - begun;
    }
    *seconds = median(work, s->runs);
    return TERN_OK;
}

/* Shares of the visits, from runs that are counted step by step, of a run that is not. */
static tern_status measure_visits(const tern_window_subject *s, tern_window_measured *m)
{
    double all = 0;
    const tern_program *p = s->program;
    tern_session_clear(s->session);
    tern_session_count(s->session, true);
    tern_status status = TERN_OK;
    for (int r = 0; r < s->runs && status == TERN_OK; r++) status = tern_session_run(s->session, 0);
    const double *seconds = tern_session_seconds(s->session);
    for (int i = p->prepare_count; i < p->step_count; i++) {
        m->compute[s->windows->visit[i]] += seconds[i];
        all += seconds[i];
    }
    tern_session_count(s->session, false);
    for (int v = 0; v < s->windows->visit_count; v++) m->compute[v] *= all > 0 ? m->run / all : 0;
    return status;
}

/* Both lanes at once. */
static tern_status measure_both(copier *c, double *work, tern_window_measured *m)
{
    double seconds = 0;
    pthread_t lane;
    c->bytes = c->seconds = 0;
    if (pthread_create(&lane, NULL, copy_on, c) != 0)
        return tern_fail(TERN_FAILED, "cannot start a thread to copy layers");
    tern_status status = run_some(c->subject, work, &seconds);
    c->stop = true;
    pthread_join(lane, NULL);
    m->times.compute_slower = fmax(1, seconds / m->run);
    m->times.copy_slower = c->bytes > 0 ? fmax(1, m->rate / (c->bytes / c->seconds)) : 1;
    return status;
}

tern_status tern_windows_measure(const tern_window_subject *subject, tern_window_measured *measured)
{
    const tern_windows *w = subject->windows;
    copier c = {.subject = subject};
    size_t most = 0;
    *measured = (tern_window_measured){0};
    for (int i = 0; i < w->count; i++) most = w->layers[i].bytes > most ? w->layers[i].bytes : most;
    measured->compute = tern_take_array((size_t)w->visit_count, sizeof *measured->compute);
    measured->copy = tern_take_array((size_t)w->count, sizeof *measured->copy);
    c.frame = tern_take(most);
    double *work = tern_take_array((size_t)subject->runs + 1, sizeof *work);
    tern_status status = measured->compute && measured->copy && c.frame && work
                             ? TERN_OK
                             : tern_no_memory(most, "a measurement of windows");
    if (status == TERN_OK) status = run_some(subject, work, &measured->run);
    if (status == TERN_OK) status = measure_visits(subject, measured);
    if (status == TERN_OK) measure_copies(&c, work, measured);
    if (status == TERN_OK) status = measure_both(&c, work, measured);
    measured->times.compute = measured->compute;
    measured->times.copy = measured->copy;
    tern_release(work);
    tern_release(c.frame);
    if (status != TERN_OK) tern_window_measured_free(measured);
    return status;
}
