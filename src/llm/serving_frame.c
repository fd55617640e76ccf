/* The graph of a decoder for many numbers of tokens.  Each size in it is a fixed number plus so much for every token, every row
 * of logits and every row of a cache: those shares are read off four graphs, and from then on shapes are written anew instead
 * of graphs.  Nothing is assumed of numbers that have not been seen: a builder may do otherwise beyond some length (angles of
 * long contexts), so that shapes are only stretched between numbers at which a graph was built and compared. */
#include "llm/serving_parts.h"

#include <limits.h>
#include <string.h>

enum { PATIENCE = 8 }; /* graphs that differ until each is built for itself */

/* An axis of a value whose size is base + sum(per * number). */
typedef struct tern_stretch {
    int value, axis;
    int64_t base, per[TERN_FRAME_NUMBERS];
} tern_stretch;

struct tern_walk_frame {
    tern_graph *graph;
    int low[TERN_FRAME_NUMBERS], high[TERN_FRAME_NUMBERS]; /* numbers between which it is known */
    tern_stretch *stretches;
    int count, capacity;
    int strange; /* graphs that were not as expected */
};

static bool alike_nodes(const tern_graph *a, const tern_graph *b)
{
    if (a->node_count != b->node_count || a->value_count != b->value_count) return false;
    for (int i = 0; i < a->node_count; i++) {
        const tern_node *x = a->nodes[i], *y = b->nodes[i];
        if (x->op != y->op || x->nin != y->nin || x->nout != y->nout) return false;
        if (memcmp(x->in, y->in, (size_t)x->nin * sizeof *x->in) != 0) return false;
        bool view = x->op->flags & TERN_OP_VIEW; /* its arguments are shapes, and it does no work */
        if (!view && x->op->args_size && memcmp(x->args, y->args, x->op->args_size) != 0) return false;
    }
    return true;
}

/* The same but for the sizes of axes. */
static bool alike(const tern_graph *a, const tern_graph *b)
{
    if (!alike_nodes(a, b)) return false;
    for (int i = 1; i < a->value_count; i++) {
        const tern_value_info *x = &a->values[i], *y = &b->values[i];
        if (x->kind != y->kind || x->type.dtype != y->type.dtype || x->type.shape.rank != y->type.shape.rank)
            return false;
    }
    return true;
}

static void stretch(tern_walk_frame *f, const int *numbers)
{
    for (int i = 0; i < f->count; i++) {
        const tern_stretch *s = &f->stretches[i];
        int64_t size = s->base;
        for (int k = 0; k < TERN_FRAME_NUMBERS; k++) size += s->per[k] * numbers[k];
        f->graph->values[s->value].type.shape.dim[s->axis] = size;
    }
}

static bool same_sizes(const tern_graph *a, const tern_graph *b)
{
    for (int i = 1; i < a->value_count; i++) {
        const tern_shape *x = &a->values[i].type.shape, *y = &b->values[i].type.shape;
        if (memcmp(x->dim, y->dim, (size_t)x->rank * sizeof *x->dim) != 0) return false;
    }
    return true;
}

/* Whether the graph that is built for these numbers is the one that stretching gives. */
static tern_status compare(tern_walk_frame *f, const tern_transformer *about, const int *numbers, bool *same)
{
    tern_graph *built;
    TERN_TRY(tern_walk_build(about, numbers, &built));
    *same = alike(f->graph, built);
    if (*same) stretch(f, numbers);
    *same = *same && same_sizes(f->graph, built);
    tern_graph_close(built);
    return TERN_OK;
}

static tern_status add_stretch(tern_walk_frame *f, const tern_stretch *s)
{
    if (f->count == f->capacity) {
        size_t old = (size_t)f->capacity, wanted = old ? 2 * old : 256;
        tern_stretch *more = tern_resize(f->stretches, old * sizeof *more, wanted * sizeof *more);
        if (!more) return tern_no_memory(wanted * sizeof *more, "the shapes of a graph");
        f->stretches = more;
        f->capacity = (int)wanted;
    }
    f->stretches[f->count++] = *s;
    return TERN_OK;
}

/* What each axis of the graph, built for `numbers`, gains with one more of each number: others[k] was built for that. */
static tern_status find_stretches(tern_walk_frame *f, const int *numbers, tern_graph *const *others)
{
    for (int i = 1; i < f->graph->value_count; i++) {
        const tern_shape *shape = &f->graph->values[i].type.shape;
        for (int axis = 0; axis < shape->rank; axis++) {
            tern_stretch s = {i, axis, shape->dim[axis], {0}};
            bool constant = true;
            for (int k = 0; k < TERN_FRAME_NUMBERS; k++) {
                s.per[k] = others[k]->values[i].type.shape.dim[axis] - shape->dim[axis];
                s.base -= s.per[k] * numbers[k];
                constant &= s.per[k] == 0;
            }
            if (!constant) TERN_TRY(add_stretch(f, &s));
        }
    }
    return TERN_OK;
}

/* A new graph, and what one more of each number changes. */
static tern_status begin(tern_walk_frame *f, const tern_transformer *about, const int *numbers)
{
    tern_graph *others[TERN_FRAME_NUMBERS] = {0};
    bool good = f->strange <= PATIENCE;
    tern_graph_close(f->graph);
    f->graph = NULL;
    f->count = 0;
    TERN_TRY(tern_walk_build(about, numbers, &f->graph));
    memcpy(f->low, numbers, sizeof f->low);
    memcpy(f->high, numbers, sizeof f->high);
    tern_status status = TERN_OK;
    for (int k = 0; good && status == TERN_OK && k < TERN_FRAME_NUMBERS; k++) {
        int more[TERN_FRAME_NUMBERS];
        memcpy(more, numbers, sizeof more);
        more[k]++;
        status = tern_walk_build(about, more, &others[k]);
        good = status == TERN_OK && alike(f->graph, others[k]);
    }
    if (good) status = find_stretches(f, numbers, others);
    for (int k = 0; k < TERN_FRAME_NUMBERS; k++) tern_graph_close(others[k]);
    return status;
}

/* Beyond what is known: twice as far, or half, is looked at, so that a sweep asks rarely. */
static tern_status grow(tern_walk_frame *f, const tern_transformer *about, const int *numbers, bool *grown)
{
    int beyond[TERN_FRAME_NUMBERS];
    for (int k = 0; k < TERN_FRAME_NUMBERS; k++)
        beyond[k] = numbers[k] < f->low[k]      ? (numbers[k] + 1) / 2
                    : numbers[k] <= f->high[k]  ? numbers[k]
                    : numbers[k] <= INT_MAX / 2 ? 2 * numbers[k]
                                                : INT_MAX;
    TERN_TRY(compare(f, about, beyond, grown));
    for (int k = 0; *grown && k < TERN_FRAME_NUMBERS; k++) {
        if (beyond[k] < f->low[k]) f->low[k] = beyond[k];
        if (beyond[k] > f->high[k]) f->high[k] = beyond[k];
    }
    f->strange += !*grown;
    return TERN_OK;
}

tern_status tern_frame_graph(tern_walk_frame *f, const tern_transformer *about, const int *numbers,
                             tern_graph **graph)
{
    bool known = f->graph != NULL;
    for (int k = 0; known && k < TERN_FRAME_NUMBERS; k++)
        known = numbers[k] >= f->low[k] && numbers[k] <= f->high[k];
    if (!known && f->graph && f->strange <= PATIENCE) TERN_TRY(grow(f, about, numbers, &known));
    if (known)
        stretch(f, numbers);
    else
        TERN_TRY(begin(f, about, numbers));
    *graph = f->graph;
    return TERN_OK;
}

tern_walk_frame *tern_frame_new(void)
{
    return tern_take(sizeof(tern_walk_frame));
}

void tern_frame_free(tern_walk_frame *f)
{
    if (!f) return;
    tern_graph_close(f->graph);
    tern_release(f->stretches);
    tern_release(f);
}
