#define _POSIX_C_SOURCE 200809L
#include "run/pager.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define PIECE ((size_t)256 << 10) /* bytes that are copied at once: the governor's grain */

/* A parameter of a layer: its index in the store and where it lies in the layer's memory. */
typedef struct page_part {
    int slot;
    size_t offset, bytes;
} page_part;

typedef struct page_layer {
    char stem[64];
    page_part *parts;
    int count, room;
    size_t bytes;
} page_layer;

/* Room for one layer in fast memory. */
typedef struct page_frame {
    char *memory;
    size_t bytes;
    bool there;
} page_frame;

/* Layers are numbered on and on: number a is layer a % count, of run a / count.  In fast memory, or on their way, are those from
 * `low` on, `frames` of them at most. */
struct tern_pager {
    tern_pager_options options;
    const tern_store *store;
    page_layer *layers;
    int count, room, frames;
    page_frame *frame; /* [frames]: number a is in frame a % frames */
    long low, next;    /* first number that is kept; the next to load */
    long at;           /* number that is computed */
    bool begun, stop;
    size_t failed; /* bytes that could not be had */
    pthread_t lane;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    double opened, entered, waited, bytes;
    double copies, moves;
    size_t held, most; /* bytes of all frames */
    tern_page_event *events;
    int event_count, event_room;
};

/* ---- layers ---------------------------------------------------------------------------------------------------------- */

/* What the parameters of a layer share of their names: "blk.7", "conv1". */
static void stem_of(const char *name, char stem[64])
{
    size_t length = strcspn(name, ".");
    if (strncmp(name, "blk.", 4) == 0) length = 4 + strcspn(name + 4, ".");
    snprintf(stem, 64, "%.*s", (int)length, name);
}

/* The parameter that operand k of a step reads in each run, -1: it is none, or rows of it are only looked up. */
static int parameter_of(const tern_program *p, int step, int k)
{
    const tern_node *node = p->steps[step].node;
    int id = node->in[k].id;
    if (!id || step < p->prepare_count || node->op->touched || (node->op->flags & TERN_OP_VIEW)) return -1;
    const tern_place *place = &p->places[id];
    return place->space == TERN_SPACE_STORE && p->graph->values[place->root].kind == TERN_VALUE_PARAM
               ? place->root
               : -1;
}

static page_layer *add_layer(tern_pager *g, const char *stem)
{
    if (g->count == g->room) {
        int room = g->room ? 2 * g->room : 32;
        page_layer *grown =
            tern_resize(g->layers, (size_t)g->room * sizeof *grown, (size_t)room * sizeof *grown);
        if (!grown) return NULL;
        g->layers = grown;
        g->room = room;
    }
    page_layer *l = &g->layers[g->count++];
    *l = (page_layer){0};
    snprintf(l->stem, sizeof l->stem, "%s", stem);
    return l;
}

static const page_part *part_of(const page_layer *l, int slot)
{
    for (int i = 0; i < l->count; i++)
        if (l->parts[i].slot == slot) return &l->parts[i];
    return NULL;
}

static tern_status add_part(page_layer *l, int slot, size_t bytes)
{
    if (part_of(l, slot)) return TERN_OK;
    if (l->count == l->room) {
        int room = l->room ? 2 * l->room : 8;
        page_part *grown =
            tern_resize(l->parts, (size_t)l->room * sizeof *grown, (size_t)room * sizeof *grown);
        if (!grown) return tern_no_memory((size_t)room * sizeof *grown, "a layer");
        l->parts = grown;
        l->room = room;
    }
    l->parts[l->count++] = (page_part){slot, l->bytes, bytes};
    l->bytes += (bytes + TERN_LINE - 1) / TERN_LINE * TERN_LINE;
    return TERN_OK;
}

static tern_status find_layers(tern_pager *g, const tern_program *p)
{
    page_layer *now = NULL;
    for (int s = p->prepare_count; s < p->step_count; s++) {
        for (int k = 0; k < p->steps[s].node->nin; k++) {
            char stem[64];
            int id = parameter_of(p, s, k);
            if (id < 0) continue;
            const char *name = p->graph->values[id].name;
            int slot = g->store ? tern_store_find(g->store, name) : id;
            if (slot < 0) return tern_fail(TERN_FAILED, "there is no parameter \"%s\" to page", name);
            stem_of(name, stem);
            if (!now || strcmp(now->stem, stem) != 0) now = add_layer(g, stem);
            if (!now) return tern_no_memory(sizeof *now, "layers");
            TERN_TRY(add_part(now, slot, p->places[id].bytes));
        }
    }
    return g->count ? TERN_OK : tern_fail(TERN_USAGE, "the net has no parameters that it reads in each run");
}

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

/* A layer's parameters into a frame, at the governor's pace. */
static void copy_layer(const tern_pager *g, const page_layer *l, char *to)
{
    double begun = tern_now(), bytes = 0;
    for (int i = 0; i < l->count; i++) {
        const page_part *p = &l->parts[i];
        const char *from = g->store->tensors[p->slot].data;
        for (size_t at = 0; at < p->bytes; at += PIECE) {
            size_t n = p->bytes - at < PIECE ? p->bytes - at : PIECE;
            memcpy(to + p->offset + at, from + at, n);
            bytes += (double)n;
            if (g->options.governor > 0) wait_until(begun + bytes / g->options.governor);
        }
        if (g->options.copied) g->options.copied(g->options.context, from, p->bytes);
    }
}

/* Memory of a frame of the right size; under the lock. */
static bool provide(tern_pager *g, page_frame *f, size_t bytes)
{
    if (f->memory && f->bytes == bytes) return true;
    tern_release_pages(f->memory, f->bytes);
    g->held -= f->bytes;
    f->memory = tern_take_pages(bytes);
    f->bytes = f->memory ? bytes : 0;
    g->held += f->bytes;
    if (g->held > g->most) g->most = g->held;
    return f->memory != NULL;
}

static bool may_load(const tern_pager *g)
{
    return g->frames == g->count ? g->next < g->count : g->next < g->low + g->frames;
}

static void *lane_main(void *context)
{
    tern_pager *g = context;
    pthread_mutex_lock(&g->lock);
    while (!g->stop && !g->failed) {
        if (!may_load(g)) {
            pthread_cond_wait(&g->wake, &g->lock);
            continue;
        }
        page_layer *l = &g->layers[g->next % g->count];
        page_frame *f = &g->frame[g->next % g->frames];
        if (!provide(g, f, l->bytes)) {
            g->failed = l->bytes;
            break;
        }
        pthread_mutex_unlock(&g->lock);
        double begun = tern_now();
        copy_layer(g, l, f->memory);
        pthread_mutex_lock(&g->lock);
        f->there = true;
        note(g, true, (int)(g->next % g->count), begun);
        g->next++;
        g->copies++;
        g->bytes += (double)l->bytes;
        pthread_cond_broadcast(&g->wake);
    }
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* ---- for the executor ------------------------------------------------------------------------------------------------ */

tern_status tern_pager_map(const tern_pager *g, const tern_program *p, const int *slots, int *layer)
{
    int now = 0;
    for (int s = 0; s < p->step_count; s++) {
        for (int k = 0; k < p->steps[s].node->nin; k++) {
            int id = parameter_of(p, s, k), at = now;
            if (id < 0) continue;
            while (at < g->count && !part_of(&g->layers[at], slots[id])) at++;
            if (at == g->count)
                return tern_fail(TERN_FAILED,
                                 "parameter \"%s\" is read in another order than it was paged for",
                                 p->graph->values[id].name);
            now = at;
        }
        layer[s] = now;
    }
    return TERN_OK;
}

/* Numbers below `low` make room: a group of `moved` that have been computed, or what is left of it at the end of a run. */
static void make_room(tern_pager *g)
{
    bool last = g->at % g->count == g->count - 1;
    if (g->frames == g->count) return;
    if (g->at + 1 - g->low < g->options.moved && !last) return;
    g->moves++;
    for (; g->low <= g->at; g->low++) g->frame[g->low % g->frames].there = false;
    pthread_cond_broadcast(&g->wake);
}

tern_status tern_pager_enter(tern_pager *g, int layer)
{
    double begun = tern_now();
    pthread_mutex_lock(&g->lock);
    if (!g->begun) g->at = 0;
    g->begun = true;
    while (g->at % g->count != layer) { /* layers that this program does not read */
        make_room(g);
        g->at++;
    }
    if (g->frames == g->count) g->at = layer;
    while (!g->failed && !(g->frame[g->at % g->frames].there && g->next > g->at))
        pthread_cond_wait(&g->wake, &g->lock);
    size_t failed = g->failed;
    g->entered = tern_now();
    if (g->entered > begun) g->waited += g->entered - begun;
    pthread_mutex_unlock(&g->lock);
    return failed ? tern_no_memory(failed, "a layer in fast memory") : TERN_OK;
}

const void *tern_pager_find(const tern_pager *g, int layer, int slot)
{
    const page_part *p = part_of(&g->layers[layer], slot);
    return p ? g->frame[g->at % g->frames].memory + p->offset : NULL;
}

void tern_pager_leave(tern_pager *g, int layer)
{
    pthread_mutex_lock(&g->lock);
    note(g, false, layer, g->entered);
    make_room(g);
    g->at++;
    pthread_mutex_unlock(&g->lock);
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

void tern_pager_close(tern_pager *g)
{
    if (!g) return;
    if (g->frame) {
        pthread_mutex_lock(&g->lock);
        g->stop = true;
        pthread_cond_broadcast(&g->wake);
        pthread_mutex_unlock(&g->lock);
        pthread_join(g->lane, NULL);
        pthread_cond_destroy(&g->wake);
        pthread_mutex_destroy(&g->lock);
        for (int i = 0; i < g->frames; i++) tern_release_pages(g->frame[i].memory, g->frame[i].bytes);
    }
    for (int i = 0; i < g->count; i++) tern_release(g->layers[i].parts);
    tern_release(g->layers);
    tern_release(g->frame);
    tern_release(g->events);
    tern_release(g);
}

static tern_status start_lane(tern_pager *g)
{
    tern_pager_options *o = &g->options;
    g->frames = o->window + (o->slack ? o->moved : 0);
    if (g->frames >= g->count) g->frames = o->window = g->count; /* all of them are there */
    page_frame *frames = tern_take_array((size_t)g->frames, sizeof *frames);
    if (!frames) return tern_no_memory((size_t)g->frames * sizeof *frames, "a pager");
    g->opened = tern_now();
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->wake, NULL);
    g->frame = frames;
    if (pthread_create(&g->lane, NULL, lane_main, g) == 0) return TERN_OK;
    g->frame = NULL; /* there is no thread to stop */
    tern_release(frames);
    return tern_fail(TERN_FAILED, "cannot start a thread to copy layers");
}

tern_status tern_pager_open(tern_pager **pager, const tern_program *program, tern_store *store,
                            const tern_pager_options *options)
{
    if (options->moved < 1 || options->window < options->moved)
        return tern_fail(TERN_USAGE, "a window of %d layers that moves by %d: expected 1 <= moved <= window",
                         options->window, options->moved);
    tern_pager *g = tern_take(sizeof *g);
    if (!g) return tern_no_memory(sizeof *g, "a pager");
    g->options = *options;
    g->store = store;
    tern_status status = find_layers(g, program);
    if (status == TERN_OK) status = start_lane(g);
    if (status == TERN_OK)
        *pager = g;
    else
        tern_pager_close(g);
    return status;
}

tern_status tern_pager_plan(const tern_program *program, double **bytes, int *count)
{
    tern_pager g = {0}; /* slots are the program's own values */
    tern_status status = find_layers(&g, program);
    if (status == TERN_OK) {
        *bytes = tern_take_array((size_t)g.count, sizeof **bytes);
        if (!*bytes) status = tern_no_memory((size_t)g.count * sizeof **bytes, "layers");
    }
    for (int i = 0; i < g.count; i++) {
        if (status == TERN_OK) (*bytes)[i] = (double)g.layers[i].bytes;
        tern_release(g.layers[i].parts);
    }
    *count = g.count;
    tern_release(g.layers);
    return status;
}

double tern_pager_most(const double *bytes, int count, int frames)
{
    double most = 0;
    for (int from = 0; from < count; from++) {
        double sum = 0;
        for (int i = 0; i < frames && i < count; i++) sum += bytes[(from + i) % count];
        if (sum > most) most = sum;
    }
    return most;
}

void tern_pager_reports(const tern_pager *pager, tern_pager_report *report)
{
    tern_pager *g = (tern_pager *)(uintptr_t)pager;
    pthread_mutex_lock(&g->lock);
    *report = (tern_pager_report){.layers = g->count,
                                  .window = g->options.window,
                                  .moved = g->options.moved,
                                  .most = (double)g->most,
                                  .bytes = g->bytes,
                                  .copies = g->copies,
                                  .moves = g->moves,
                                  .waited = g->waited};
    for (int i = 0; i < g->count; i++) report->all += (double)g->layers[i].bytes;
    pthread_mutex_unlock(&g->lock);
}

const tern_page_event *tern_pager_events(const tern_pager *pager, int *count)
{
    *count = pager->event_count;
    return pager->events;
}
