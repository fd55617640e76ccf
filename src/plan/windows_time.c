/* How long a run takes whose layers come and go: two lanes, event by event, and the windows that are worth it. */
#include "plan/windows.h"

#include <math.h>
#include <stdlib.h>

#define WORTH 0.998 /* of the time of a smaller window, at most */

enum { WARM = 2, RUNS = 2 }; /* runs before those that count */

/* A lane does one thing after the other: visits, or moves. */
typedef struct lane {
    long at;     /* number of what it does or waits to do, counted on over all runs */
    double left; /* seconds of it, alone */
    bool busy;
} lane;

typedef struct lanes {
    const tern_windows *windows;
    const tern_window_schedule *schedule;
    const tern_window_times *times;
    lane compute, copy;
} lanes;

/* Number of the move that must be over before visit `at`. */
static long needed(const lanes *l, long at)
{
    const tern_window_schedule *s = l->schedule;
    int visits = l->windows->visit_count, v = (int)(at % visits), layer = l->windows->visits[v].layer;
    long run = at / visits;
    if (s->need[v] >= 0) return s->frames + run * s->count + s->need[v];
    if (run > 0 && s->last[layer] >= 0) return s->frames + (run - 1) * s->count + s->last[layer];
    for (int i = 0; i < s->frames; i++)
        if (s->first[i] == layer) return i;
    return -1;
}

static bool may_compute(const lanes *l)
{
    return l->copy.at > needed(l, l->compute.at);
}

/* The move of the lane, -1: it brings one of the first. */
static int move_at(const lanes *l)
{
    const tern_window_schedule *s = l->schedule;
    return l->copy.at < s->frames ? -1 : (int)((l->copy.at - s->frames) % s->count);
}

static bool may_copy(const lanes *l)
{
    const tern_window_schedule *s = l->schedule;
    if (l->copy.at < s->frames) return true;
    if (!s->count) return false;
    long run = (l->copy.at - s->frames) / s->count;
    return l->compute.at >= run * l->windows->visit_count + s->moves[move_at(l)].after;
}

/* What has changed goes back before the first layer of its group comes. */
static double copy_seconds(const lanes *l)
{
    const tern_window_schedule *s = l->schedule;
    int move = move_at(l);
    if (move < 0) return l->times->copy[s->first[l->copy.at]];
    double seconds = l->times->copy[s->moves[move].in];
    for (int i = tern_window_group(s, move) - 1; i >= 0; i--) {
        int out = s->moves[move + i].out;
        if (l->windows->layers[out].changes) seconds += l->times->copy[out];
    }
    return seconds;
}

/* On to the end of what ends first; both lanes are slower while both are busy. */
static double step(lanes *l)
{
    lane *c = &l->compute, *m = &l->copy;
    if (!c->busy && may_compute(l)) {
        c->left = l->times->compute[c->at % l->windows->visit_count];
        c->busy = true;
    }
    if (!m->busy && may_copy(l)) {
        m->left = copy_seconds(l);
        m->busy = true;
    }
    double slow_c = c->busy && m->busy ? l->times->compute_slower : 1,
           slow_m = c->busy && m->busy ? l->times->copy_slower : 1;
    double until = fmin(c->busy ? c->left * slow_c : INFINITY, m->busy ? m->left * slow_m : INFINITY);
    bool ends_c = c->busy && c->left * slow_c <= until, ends_m = m->busy && m->left * slow_m <= until;
    c->left -= until / slow_c;
    m->left -= until / slow_m;
    if (ends_c) c->at++;
    if (ends_m) m->at++;
    c->busy = c->busy && !ends_c;
    m->busy = m->busy && !ends_m;
    return until;
}

double tern_windows_seconds(const tern_windows *windows, const tern_window_schedule *schedule,
                            const tern_window_times *times)
{
    lanes l = {.windows = windows, .schedule = schedule, .times = times};
    double now = 0, warm = 0;
    long visits = windows->visit_count;
    while (l.compute.at < (WARM + RUNS) * visits) {
        long before = l.compute.at;
        now += step(&l);
        if (before < WARM * visits && l.compute.at >= WARM * visits) warm = now;
    }
    return (now - warm) / RUNS;
}

/* ---- search ---------------------------------------------------------------------------------------------------------------- */

double tern_windows_copied(const tern_windows *w, const tern_window_schedule *s)
{
    double bytes = 0;
    for (int i = 0; i < s->count; i++) {
        const tern_window_layer *out = &w->layers[s->moves[i].out];
        bytes += (double)w->layers[s->moves[i].in].bytes + (out->changes ? (double)out->bytes : 0);
    }
    return bytes;
}

static tern_status weigh(const tern_windows *w, const tern_window_times *t, tern_window_choice *c)
{
    tern_window_schedule s;
    TERN_TRY(tern_windows_schedule(w, c->window, c->moved, &s));
    c->bytes = (double)s.most;
    c->seconds = tern_windows_seconds(w, &s, t);
    c->copied = tern_windows_copied(w, &s);
    tern_window_schedule_free(&s);
    return TERN_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const tern_window_choice *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    if (x->seconds != y->seconds) return x->seconds < y->seconds ? -1 : 1;
    return x->moved > y->moved ? -1 : x->moved < y->moved;
}

/* Groups that are tried with a window: powers of two, and half of it. */
static int next_moved(int moved, int window)
{
    int half = window / 2;
    if (moved < half && 2 * moved > half) return half;
    if (moved == half && half & (half - 1)) {
        int power = 1;
        while (power <= half) power *= 2;
        return power;
    }
    return 2 * moved;
}

/* Of many layers not each number is tried. */
static int next_window(int window, int layers)
{
    int next = window + 1 + window / 16;
    return window < layers && next > layers ? layers : next;
}

tern_status tern_windows_search(const tern_windows *windows, const tern_window_times *times,
                                tern_window_choice **choices, int *count)
{
    size_t room = 0, n = 0;
    int kept = 0;
    for (int k = 1; k <= windows->count; k = next_window(k, windows->count))
        for (int m = 1; m <= k; m = next_moved(m, k)) room++;
    tern_window_choice *all = tern_take_array(room, sizeof *all);
    if (!all) return tern_no_memory(room * sizeof *all, "windows of layers");
    tern_status status = TERN_OK;
    for (int k = 1; k <= windows->count; k = next_window(k, windows->count))
        for (int m = 1; m <= k && status == TERN_OK; m = next_moved(m, k)) {
            if (k == windows->count && m > 1) break; /* nothing moves */
            all[n] = (tern_window_choice){.window = k, .moved = m};
            status = weigh(windows, times, &all[n++]);
        }
    if (status != TERN_OK) {
        tern_release(all);
        return status;
    }
    qsort(all, n, sizeof *all, by_bytes);
    for (size_t i = 0; i < n; i++)
        if (!kept || i + 1 == n || all[i].seconds < WORTH * all[kept - 1].seconds) all[kept++] = all[i];
    *choices = all;
    *count = kept;
    return TERN_OK;
}

int tern_windows_choose(const tern_window_choice *choices, int count, double bytes)
{
    double near = bytes > 0 ? 1.01 : 1.05;
    int last = count - 1;
    if (bytes > 0)
        while (last >= 0 && choices[last].bytes > bytes) last--;
    else if (last > 0 && choices[last].copied == 0)
        last--;
    if (last < 0) return -1;
    int chosen = last;
    while (chosen > 0 && choices[chosen - 1].seconds <= near * choices[last].seconds) chosen--;
    return chosen;
}
