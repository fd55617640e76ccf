/* Two lanes, the thread that computes and the one that copies, which meet at a lock: frames are loaded ahead in the order of use. */
#define _POSIX_C_SOURCE 200809L
#include "run/pager.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)256 << 10) /* bytes that are copied at once: the governor's grain */

/* Room for one layer in fast memory. */
typedef struct page_frame {
    char *memory;
    size_t bytes;
} page_frame;

/* Visits and moves are numbered on and on: number a of the visits is visit a % visit_count of run a / visit_count; of the moves the
 * first `frames` bring the layers that are there in the beginning. */
struct tern_pager {
    tern_pager_options options;
    const tern_store *store;
    tern_windows windows;
    tern_window_schedule schedule;
    int **slots;       /* [layers][parts]: indices of the store */
    page_frame *frame; /* [schedule.frames] */
    int *place;        /* [layers]: the frame of each; -1: it is away */
    bool *changed;     /* [layers]: what is in fast memory is newer than the store */
    long moved;        /* moves that are over */
    long computed;     /* visits that are over */
    bool stop, lane_runs, copying;
    size_t failed; /* bytes that could not be had */
    pthread_t lane;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    double opened, entered, waited, bytes, back;
    double copies;
    size_t held, most; /* bytes of all frames */
    tern_page_event *events;
    int event_count, event_room;
};

/* ---- the copy lane --------------------------------------------------------------------------------------------------- */

static void note(tern_pager *g, bool copy, int layer, double begin)
{
    if (!g->options.trace) return;
    if (g->event_count == g->event_room) {
        int room = g->event_room ? 2 * g->event_room : 256;
        tern_page_event *grown =
            tern_resize(g->events, (size_t)g->event_room * sizeof *grown, (size_t)room * sizeof *grown);
        if (!grown) return; /* a shorter trace */
        g->events = grown;
        g->event_room = room;
    }
    g->events[g->event_count++] = (tern_page_event){copy, layer, begin - g->opened, tern_now() - g->opened};
}

static void wait_until(double when)
{
    double left = when - tern_now();
    if (left <= 0) return;
    struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) {
    }
}

/* A layer's parameters into a frame or back, at the governor's pace. */
static void copy_layer(const tern_pager *g, int layer, char *frame, bool back)
{
    const tern_window_layer *l = &g->windows.layers[layer];
    double begun = tern_now(), bytes = 0;
    for (int i = 0; i < l->count; i++) {
        const tern_window_part *p = &l->parts[i];
        char *slow = g->store->tensors[g->slots[layer][i]].data, *fast = frame + p->offset;
        for (size_t at = 0; at < p->bytes; at += PIECE) {
            size_t n = p->bytes - at < PIECE ? p->bytes - at : PIECE;
            memcpy((back ? slow : fast) + at, (back ? fast : slow) + at, n);
            bytes += (double)n;
            if (g->options.governor > 0) wait_until(begun + bytes / g->options.governor);
        }
        if (g->options.copied) g->options.copied(g->options.context, slow, p->bytes);
    }
}

/* Memory of a frame that has none; under the lock. */
static bool provide(tern_pager *g, page_frame *f, size_t bytes)
{
    if (f->memory) return true;
    f->memory = tern_take_pages(bytes);
    f->bytes = f->memory ? bytes : 0;
    g->held += f->bytes;
    if (g->held > g->most) g->most = g->held;
    return f->memory != NULL;
}

/* The next move of a run (-1: one of the first layers comes), and whether it may begin. */
static bool may_move(const tern_pager *g, int *move)
{
    const tern_window_schedule *s = &g->schedule;
    *move = -1;
    if (g->moved < s->frames) return true;
    if (!s->count) return false;
    long at = g->moved - s->frames;
    *move = (int)(at % s->count);
    return g->computed >= at / s->count * g->windows.visit_count + s->moves[*move].after;
}

/* The layers of a group make room: what has changed goes back, and memory of another size than what will come is given up.  Under the
 * lock, which is left while bytes are copied. */
static void make_room(tern_pager *g, int move)
{
    for (int i = tern_window_group(&g->schedule, move) - 1; i >= 0; i--) {
        const tern_window_move *m = &g->schedule.moves[move + i];
        size_t bytes = g->windows.layers[m->out].bytes;
        page_frame *f = &g->frame[g->place[m->out]];
        if (g->changed[m->out]) {
            pthread_mutex_unlock(&g->lock);
            copy_layer(g, m->out, f->memory, true);
            pthread_mutex_lock(&g->lock);
            g->back += (double)bytes;
            g->changed[m->out] = false;
        }
        if (bytes == g->windows.layers[m->in].bytes) continue;
        tern_release_pages(f->memory, f->bytes);
        g->held -= f->bytes;
        *f = (page_frame){0};
    }
}

/* One layer comes, in the place of another. */
static void make_move(tern_pager *g, int move)
{
    const tern_window_move *m = move < 0 ? NULL : &g->schedule.moves[move];
    double begun = tern_now();
    g->copying = true;
    if (m) make_room(g, move);
    int in = m ? m->in : g->schedule.first[g->moved], frame = m ? g->place[m->out] : (int)g->moved;
    page_frame *f = &g->frame[frame];
    if (m) g->place[m->out] = -1;
    if (provide(g, f, g->windows.layers[in].bytes)) {
        pthread_mutex_unlock(&g->lock);
        copy_layer(g, in, f->memory, false);
        pthread_mutex_lock(&g->lock);
        g->place[in] = frame;
        note(g, true, in, begun);
        g->moved++;
        g->copies++;
        g->bytes += (double)f->bytes;
    } else {
        g->failed = g->windows.layers[in].bytes;
    }
    g->copying = false;
    pthread_cond_broadcast(&g->wake);
}

static void *lane_main(void *context)
{
    tern_pager *g = context;
    int move;
    pthread_mutex_lock(&g->lock);
    while (!g->stop && !g->failed) {
        if (may_move(g, &move))
            make_move(g, move);
        else
            pthread_cond_wait(&g->wake, &g->lock);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* ---- for the executor ------------------------------------------------------------------------------------------------ */

static int part_of(const tern_pager *g, int layer, int slot)
{
    for (int i = 0; i < g->windows.layers[layer].count; i++)
        if (g->slots[layer][i] == slot) return i;
    return -1;
}

/* The layer of the pager that holds what a layer of another program holds; -1: none holds it all. */
static int same_layer(const tern_pager *g, const tern_window_layer *other, const int *slots)
{
    for (int layer = 0; layer < g->windows.count; layer++) {
        bool all = true;
        for (int i = 0; all && i < other->count; i++)
            all = part_of(g, layer, slots[other->parts[i].value]) >= 0;
        if (all) return layer;
    }
    return -1;
}

tern_status tern_pager_map(const tern_pager *g, const tern_program *p, const int *slots, int *visit)
{
    tern_windows own;
    TERN_TRY(tern_windows_of(p, &own));
    tern_status status = TERN_OK;
    int *mine = tern_take_array((size_t)own.visit_count, sizeof *mine), at = 0;
    if (!mine) status = tern_no_memory((size_t)own.visit_count * sizeof *mine, "a pager");
    for (int v = 0; status == TERN_OK && v < own.visit_count; v++) {
        const tern_window_layer *l = &own.layers[own.visits[v].layer];
        int layer = same_layer(g, l, slots);
        while (layer >= 0 && at < g->windows.visit_count && g->windows.visits[at].layer != layer) at++;
        if (layer < 0 || at == g->windows.visit_count)
            status = tern_fail(TERN_FAILED, "layer \"%s\" is read in another order than it was paged for",
                               l->name);
        mine[v] = at;
    }
    for (int s = 0; status == TERN_OK && s < p->step_count; s++)
        visit[s] = s < p->prepare_count ? -1 : mine[own.visit[s]];
    tern_release(mine);
    tern_windows_free(&own);
    return status;
}

/* The move that must be over before a visit: of this run, of the run before, or of the beginning. */
static long needed(const tern_pager *g, long number)
{
    const tern_window_schedule *s = &g->schedule;
    int visit = (int)(number % g->windows.visit_count), layer = g->windows.visits[visit].layer;
    long run = number / g->windows.visit_count, first = 0;
    if (s->need[visit] >= 0) return s->frames + run * s->count + s->need[visit];
    if (run > 0 && s->last[layer] >= 0) return s->frames + (run - 1) * s->count + s->last[layer];
    while (s->first[first] != layer) first++;
    return first;
}

tern_status tern_pager_enter(tern_pager *g, int visit)
{
    double begun = tern_now();
    pthread_mutex_lock(&g->lock);
    long skipped = g->computed; /* visits that this program does not make */
    while (g->computed % g->windows.visit_count != visit) g->computed++;
    if (g->computed > skipped) pthread_cond_broadcast(&g->wake);
    long number = g->computed, move = needed(g, number);
    while (!g->failed && g->moved <= move) pthread_cond_wait(&g->wake, &g->lock);
    size_t failed = g->failed;
    g->entered = tern_now();
    if (g->entered > begun) g->waited += g->entered - begun;
    pthread_mutex_unlock(&g->lock);
    return failed ? tern_no_memory(failed, "a layer in fast memory") : TERN_OK;
}

void *tern_pager_find(const tern_pager *g, int visit, int slot)
{
    int layer = g->windows.visits[visit].layer, part = part_of(g, layer, slot);
    return part < 0 ? NULL : g->frame[g->place[layer]].memory + g->windows.layers[layer].parts[part].offset;
}

void tern_pager_leave(tern_pager *g, int visit)
{
    const tern_visit *v = &g->windows.visits[visit];
    pthread_mutex_lock(&g->lock);
    note(g, false, v->layer, g->entered);
    g->changed[v->layer] |= v->writes;
    g->computed++;
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
}

void tern_pager_flush(tern_pager *g)
{
    int move;
    pthread_mutex_lock(&g->lock);
    while (!g->failed && !g->stop && (g->copying || may_move(g, &move)))
        pthread_cond_wait(&g->wake, &g->lock);
    for (int layer = 0; layer < g->windows.count; layer++) {
        if (!g->changed[layer] || g->place[layer] < 0) continue;
        copy_layer(g, layer, g->frame[g->place[layer]].memory, true);
        g->back += (double)g->windows.layers[layer].bytes;
        g->changed[layer] = false;
    }
    pthread_mutex_unlock(&g->lock);
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

void tern_pager_close(tern_pager *g)
{
    if (!g) return;
    if (g->lane_runs) {
        pthread_mutex_lock(&g->lock);
        g->stop = true;
        pthread_cond_broadcast(&g->wake);
        pthread_mutex_unlock(&g->lock);
        pthread_join(g->lane, NULL);
        tern_pager_flush(g);
        pthread_cond_destroy(&g->wake);
        pthread_mutex_destroy(&g->lock);
    }
    for (int i = 0; g->frame && i < g->schedule.frames; i++)
        tern_release_pages(g->frame[i].memory, g->frame[i].bytes);
    for (int i = 0; g->slots && i < g->windows.count; i++) tern_release(g->slots[i]);
    tern_release(g->slots);
    tern_release(g->frame);
    tern_release(g->place);
    tern_release(g->changed);
    tern_release(g->events);
    tern_window_schedule_free(&g->schedule);
    tern_windows_free(&g->windows);
    tern_release(g);
}

static tern_status find_slots(tern_pager *g, const tern_program *p)
{
    g->slots = tern_take_array((size_t)g->windows.count, sizeof *g->slots);
    if (!g->slots) return tern_no_memory((size_t)g->windows.count * sizeof *g->slots, "a pager");
    for (int layer = 0; layer < g->windows.count; layer++) {
        const tern_window_layer *l = &g->windows.layers[layer];
        g->slots[layer] = tern_take_array((size_t)l->count, sizeof **g->slots);
        if (!g->slots[layer]) return tern_no_memory((size_t)l->count * sizeof **g->slots, "a pager");
        for (int i = 0; i < l->count; i++) {
            const char *name = p->graph->values[l->parts[i].value].name;
            g->slots[layer][i] = tern_store_find(g->store, name);
            if (g->slots[layer][i] < 0)
                return tern_fail(TERN_FAILED, "there is no parameter \"%s\" to page", name);
        }
    }
    return TERN_OK;
}

static tern_status start_lane(tern_pager *g)
{
    size_t layers = (size_t)g->windows.count, frames = (size_t)g->schedule.frames;
    g->frame = tern_take_array(frames, sizeof *g->frame);
    g->place = tern_take_array(layers, sizeof *g->place);
    g->changed = tern_take_array(layers, sizeof *g->changed);
    if (!g->frame || !g->place || !g->changed) return tern_no_memory(frames * sizeof *g->frame, "a pager");
    for (size_t i = 0; i < layers; i++) g->place[i] = -1;
    g->opened = tern_now();
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, NULL);
    g->lane_runs = pthread_create(&g->lane, NULL, lane_main, g) == 0;
    if (g->lane_runs) return TERN_OK;
    pthread_cond_destroy(&g->wake);
    pthread_mutex_destroy(&g->lock);
    return tern_fail(TERN_FAILED, "cannot start a thread to copy layers");
}

static tern_status open_pager(tern_pager *g, const tern_program *program)
{
    const tern_pager_options *o = &g->options;
    if (o->moved < 1 || o->window < o->moved)
        return tern_fail(TERN_USAGE, "a window of %d layers that moves by %d: expected 1 <= moved <= window",
                         o->window, o->moved);
    TERN_TRY(tern_windows_of(program, &g->windows));
    TERN_TRY(find_slots(g, program));
    int frames = o->window + (o->slack ? o->moved : 0);
    TERN_TRY(tern_windows_schedule(&g->windows, frames, o->moved, &g->schedule));
    return start_lane(g);
}

tern_status tern_pager_open(tern_pager **pager, const tern_program *program, tern_store *store,
                            const tern_pager_options *options)
{
    tern_pager *g = tern_take(sizeof *g);
    if (!g) return tern_no_memory(sizeof *g, "a pager");
    g->options = *options;
    g->store = store;
    tern_status status = open_pager(g, program);
    if (status == TERN_OK)
        *pager = g;
    else
        tern_pager_close(g);
    return status;
}

void tern_pager_reports(const tern_pager *pager, tern_pager_report *report)
{
    tern_pager *g = (tern_pager *)(uintptr_t)pager;
    pthread_mutex_lock(&g->lock);
    bool all = g->schedule.frames == g->windows.count;
    double runs = (double)(g->computed / g->windows.visit_count);
    *report = (tern_pager_report){.layers = g->windows.count,
                                  .window = all ? g->windows.count : g->options.window,
                                  .moved = g->options.moved,
                                  .all = tern_windows_bytes(&g->windows),
                                  .most = (double)g->most,
                                  .bytes = g->bytes,
                                  .copies = g->copies,
                                  .back = g->back,
                                  .moves = runs * g->schedule.groups,
                                  .waited = g->waited};
    pthread_mutex_unlock(&g->lock);
}

const tern_page_event *tern_pager_events(const tern_pager *pager, int *count)
{
    *count = pager->event_count;
    return pager->events;
}
