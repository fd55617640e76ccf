/* Layers of parameters, the order of their visits, and who is in fast memory when. */
#include "plan/windows.h"

#include <string.h>

/* ---- layers -------------------------------------------------------------------------------------------------------------- */

typedef struct finder {
    const tern_program *program;
    tern_windows *windows;
    int *stem;  /* [values]: 1 + the stem of a value that can be in a layer; 0: it can't */
    int *owner; /* [stems]: another stem of the same layer, or itself */
    int *layer; /* [stems]: 1 + the layer of an owner; 0: not yet */
    int *names; /* [stems]: a value with that stem */
    int stems;
} finder;

void tern_windows_free(tern_windows *windows)
{
    for (int i = 0; windows->layers && i < windows->count; i++) tern_release(windows->layers[i].parts);
    tern_release(windows->layers);
    tern_release(windows->visits);
    tern_release(windows->visit);
    *windows = (tern_windows){0};
}

double tern_windows_bytes(const tern_windows *windows)
{
    double bytes = 0;
    for (int i = 0; i < windows->count; i++) bytes += (double)windows->layers[i].bytes;
    return bytes;
}

/* What the parameters of a layer share of their names: "blk.7", "conv1". */
static void stem_of(const char *name, char stem[64])
{
    size_t length = strcspn(name, ".");
    if (strncmp(name, "blk.", 4) == 0) length = 4 + strcspn(name + 4, ".");
    snprintf(stem, 64, "%.*s", (int)length, name);
}

/* A run leaves the value as it is, or writes it where it lies: a frame holds it then until its layer makes room. */
static bool stays_in_place(const tern_program *p, int id)
{
    int next = p->graph->values[id].next.id;
    return !next || p->places[next].root == id;
}

/* The value of a layer that operand k of a step is or shares memory with, 0: none. */
static int root_of(const tern_program *p, int step, int k)
{
    const tern_node *node = p->steps[step].node;
    int id = node->in[k].id;
    if (!id || (node->op->flags & TERN_OP_VIEW)) return 0;
    const tern_place *place = &p->places[id];
    const tern_value_info *v = &p->graph->values[place->root];
    if (place->space != TERN_SPACE_STORE || !stays_in_place(p, place->root)) return 0;
    if (node->op->touched && !v->next.id) return 0;
    return v->kind == TERN_VALUE_PARAM || (v->kept && node->phase == TERN_UPDATE) ? place->root : 0;
}

static int owner_of(const finder *f, int stem)
{
    while (f->owner[stem] != stem) stem = f->owner[stem];
    return stem;
}

static int add_stem(finder *f, int id)
{
    char stem[64], other[64];
    stem_of(f->program->graph->values[id].name, stem);
    for (int i = 0; i < f->stems; i++) {
        stem_of(f->program->graph->values[f->names[i]].name, other);
        if (strcmp(stem, other) == 0) return i;
    }
    f->names[f->stems] = id;
    f->owner[f->stems] = f->stems;
    return f->stems++;
}

/* Stems of all values; those that one step reads together are one layer. */
static void find_stems(finder *f)
{
    const tern_program *p = f->program;
    for (int s = p->prepare_count; s < p->step_count; s++) {
        int first = -1;
        for (int k = 0; k < p->steps[s].node->nin; k++) {
            int id = root_of(p, s, k);
            if (!id) continue;
            if (!f->stem[id]) f->stem[id] = 1 + add_stem(f, id);
            int own = owner_of(f, f->stem[id] - 1);
            if (first >= 0) f->owner[own] = owner_of(f, first);
            first = own;
        }
    }
}

static tern_status add_part(tern_window_layer *l, int value, size_t bytes)
{
    for (int i = 0; i < l->count; i++)
        if (l->parts[i].value == value) return TERN_OK;
    if (l->count == l->room) {
        int room = l->room ? 2 * l->room : 8;
        tern_window_part *grown =
            tern_resize(l->parts, (size_t)l->room * sizeof *grown, (size_t)room * sizeof *grown);
        if (!grown) return tern_no_memory((size_t)room * sizeof *grown, "a layer");
        l->parts = grown;
        l->room = room;
    }
    l->parts[l->count++] = (tern_window_part){value, l->bytes, bytes};
    l->bytes += (bytes + TERN_LINE - 1) / TERN_LINE * TERN_LINE;
    return TERN_OK;
}

/* Visits of the steps: one that reads no layer belongs to the visit before it. */
static tern_status find_visits(finder *f)
{
    const tern_program *p = f->program;
    tern_windows *w = f->windows;
    for (int s = p->prepare_count; s < p->step_count; s++) {
        for (int k = 0; k < p->steps[s].node->nin; k++) {
            int id = root_of(p, s, k);
            if (!id) continue;
            int own = owner_of(f, f->stem[id] - 1);
            if (!f->layer[own]) {
                stem_of(p->graph->values[id].name, w->layers[w->count].name);
                f->layer[own] = ++w->count;
            }
            int layer = f->layer[own] - 1;
            TERN_TRY(add_part(&w->layers[layer], id, p->places[id].bytes));
            if (!w->visit_count || w->visits[w->visit_count - 1].layer != layer)
                w->visits[w->visit_count++] = (tern_visit){.layer = layer};
            bool writes = p->graph->values[id].next.id && p->steps[s].node->phase == TERN_UPDATE;
            w->visits[w->visit_count - 1].writes |= writes;
            w->layers[layer].changes |= writes;
        }
        w->visit[s] = w->visit_count ? w->visit_count - 1 : 0;
    }
    return w->count ? TERN_OK : tern_fail(TERN_USAGE, "the net has no parameters that it reads in each run");
}

tern_status tern_windows_of(const tern_program *program, tern_windows *windows)
{
    size_t values = (size_t)program->graph->value_count, steps = (size_t)program->step_count + 1;
    finder f = {.program = program, .windows = windows};
    *windows = (tern_windows){0};
    f.stem = tern_take_array(4 * values, sizeof *f.stem);
    windows->layers = tern_take_array(values, sizeof *windows->layers);
    windows->visits = tern_take_array(steps, sizeof *windows->visits);
    windows->visit = tern_take_array(steps, sizeof *windows->visit);
    tern_status status = f.stem && windows->layers && windows->visits && windows->visit
                             ? TERN_OK
                             : tern_no_memory(steps * sizeof *windows->visits, "windows of layers");
    if (status == TERN_OK) {
        f.owner = f.stem + values;
        f.layer = f.owner + values;
        f.names = f.layer + values;
        find_stems(&f);
        status = find_visits(&f);
    }
    tern_release(f.stem);
    if (status != TERN_OK) tern_windows_free(windows);
    return status;
}

/* ---- who is there when ----------------------------------------------------------------------------------------------------- */

int tern_window_group(const tern_window_schedule *schedule, int move)
{
    const tern_window_move *m = &schedule->moves[move];
    int count = 0;
    if (move > 0 && m[-1].after == m->after) return 0;
    while (move + count < schedule->count && m[count].after == m->after) count++;
    return count;
}

void tern_window_schedule_free(tern_window_schedule *schedule)
{
    tern_release(schedule->first);
    tern_release(schedule->moves);
    tern_release(schedule->need);
    tern_release(schedule->last);
    *schedule = (tern_window_schedule){0};
}

/* What is found out visit by visit. */
typedef struct filler {
    const tern_windows *windows;
    tern_window_schedule *schedule;
    int moved;
    int *there;  /* [frames]: layers in fast memory */
    int *wanted; /* [frames]: those that are visited next */
    int *turn;   /* [layers]: 1 + the last visit behind which the layer was wanted */
    int *held;   /* [layers]: 1 where it is in fast memory */
} filler;

/* The first layers of the visits behind v, each once. */
static void want(filler *f, int v)
{
    const tern_windows *w = f->windows;
    for (int i = 1, count = 0; count < f->schedule->frames; i++) {
        int layer = w->visits[(v + i) % w->visit_count].layer;
        if (f->turn[layer] == v + 2) continue;
        f->turn[layer] = v + 2;
        f->wanted[count++] = layer;
    }
}

static void weigh(filler *f)
{
    size_t bytes = 0;
    for (int i = 0; i < f->schedule->frames; i++) bytes += f->windows->layers[f->there[i]].bytes;
    if (bytes > f->schedule->most) f->schedule->most = bytes;
}

/* Which of there[] makes room for a layer: one that leaves a place of the right size, if it can be. */
static int leaver(const filler *f, int v, int in)
{
    int any = -1;
    for (int i = 0; i < f->schedule->frames; i++) {
        if (f->turn[f->there[i]] == v + 2) continue;
        if (f->windows->layers[f->there[i]].bytes == f->windows->layers[in].bytes) return i;
        if (any < 0) any = i;
    }
    return any;
}

/* Behind visit v: layers that are not wanted make room, once the next one to come is so near that `moved` of them have been finished
 * with, or the run is over. */
static void move_group(filler *f, int v)
{
    tern_window_schedule *s = f->schedule;
    int nearest = 0;
    while (nearest < s->frames && f->held[f->wanted[nearest]]) nearest++;
    if (nearest == s->frames) return;
    if (nearest > s->frames - f->moved && v + 1 < f->windows->visit_count) return;
    s->groups++;
    for (int i = nearest; i < s->frames; i++) {
        int in = f->wanted[i];
        if (f->held[in]) continue;
        int at = leaver(f, v, in);
        s->moves[s->count] = (tern_window_move){v + 1, f->there[at], in};
        s->last[in] = s->count++;
        f->held[f->there[at]] = 0;
        f->held[in] = 1;
        f->there[at] = in;
    }
    weigh(f);
}

static void fill(filler *f)
{
    const tern_windows *w = f->windows;
    tern_window_schedule *s = f->schedule;
    want(f, -1);
    for (int i = 0; i < s->frames; i++) {
        s->first[i] = f->there[i] = f->wanted[i];
        f->held[f->there[i]] = 1;
    }
    weigh(f);
    for (int i = 0; i < w->count; i++) s->last[i] = -1;
    for (int v = 0; v < w->visit_count; v++) {
        s->need[v] = s->last[w->visits[v].layer];
        if (s->frames == w->count) continue;
        want(f, v);
        move_group(f, v);
    }
}

tern_status tern_windows_schedule(const tern_windows *windows, int frames, int moved,
                                  tern_window_schedule *schedule)
{
    if (moved < 1 || frames < moved)
        return tern_fail(TERN_USAGE, "a window of %d layers that moves by %d: expected 1 <= moved <= window",
                         frames, moved);
    tern_window_schedule *s = schedule;
    *s = (tern_window_schedule){.frames = frames < windows->count ? frames : windows->count};
    size_t room = (size_t)s->frames, visits = (size_t)windows->visit_count;
    size_t layers = (size_t)windows->count;
    int *work = tern_take_array(2 * room + 2 * layers, sizeof *work);
    s->first = tern_take_array(room, sizeof *s->first);
    s->moves = tern_take_array(visits * room, sizeof *s->moves);
    s->need = tern_take_array(visits, sizeof *s->need);
    s->last = tern_take_array(layers, sizeof *s->last);
    bool there = work && s->first && s->moves && s->need && s->last;
    filler f = {windows, s, moved, work, work + room, work + 2 * room, work + 2 * room + layers};
    if (there) fill(&f);
    tern_release(work);
    if (there) return TERN_OK;
    tern_window_schedule_free(s);
    return tern_no_memory(visits * room * sizeof *s->moves, "windows of layers");
}
