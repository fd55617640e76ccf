/* An order of steps for a small memory.  In which order the branches of a net run decides how much must leave: a beam search over
 * orders, step by step, where each partial order carries the memory as it would leave it.  What leaves when there is no room is
 * what the order that is known so far reads last; it is counted with its way back.  Partial orders with the same steps behind them
 * are one, the cheapest.  Twice, the second time with the order that the first found.
 *
 * Hierarchical schedulers (HMCOS, arXiv 2304.04354) and Serenity (arXiv 2003.02369) search orders for the least peak; here it is
 * for the fewest bytes that move. */
#include "plan/cosma.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 2 };

/* Where a tensor is, and whether host memory has a copy. */
enum { GONE = 0, HERE = 1, COPIED = 2 };

typedef struct partial {
    unsigned char *tensor; /* [tensors]: HERE and COPIED */
    unsigned char *done;   /* [steps] */
    int *left;             /* [tensors]: readers to come */
    size_t here;           /* bytes in the memory */
    double cost;           /* bytes that moved, and that must come back */
    uint64_t hash;         /* of the steps that are done */
} partial;

/* One step more behind one of the partial orders. */
typedef struct extension {
    int parent, step;
    double cost;
    size_t here;
    uint64_t hash;
} extension;

typedef struct orderer {
    const tern_flow *flow;
    size_t memory;
    int width;
    int *time;                   /* [steps]: of the order that is known */
    int *first_write, *writes;   /* [steps + 1], [tensors]: grouped by step */
    int *first_reader, *readers; /* [tensors + 1], [reads]: grouped by tensor */
    partial *beam, *next;        /* [width] and one to work on */
    int count;
    extension *extensions; /* [width * steps] */
    int *parents, *chosen; /* [steps * width]: how each came about */
} orderer;

void tern_flow_put_in_order(const tern_flow *f, const int *step, int *time, tern_flow *to)
{
    int reads = 0;
    for (int t = 0; t < f->steps; t++) {
        int s = step[t];
        time[s] = t;
        to->begin[t] = reads;
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++) to->read[reads++] = f->read[i];
    }
    to->begin[f->steps] = reads;
    for (int a = 0; a < f->tensors; a++) to->producer[a] = f->producer[a] < 0 ? -1 : time[f->producer[a]];
}

/* ---- one step more ------------------------------------------------------------------------------------------------- */

/* When the known order reads the tensor next, of the steps that are not done. */
static int next_read(const orderer *o, const partial *p, int a)
{
    int best = INT_MAX;
    for (int i = o->first_reader[a]; i < o->first_reader[a + 1]; i++) {
        int s = o->readers[i];
        if (!p->done[s] && o->time[s] < best) best = o->time[s];
    }
    return best;
}

/* What the step does not need leaves until there is room for `bytes` more. */
static void make_room(const orderer *o, partial *p, int step, size_t bytes)
{
    const tern_flow *f = o->flow;
    while (p->here + bytes > o->memory) {
        int victim = -1, farthest = -1;
        for (int a = 0; a < f->tensors; a++) {
            if (!(p->tensor[a] & HERE) || tern_flow_reads(f, step, a)) continue;
            int read = next_read(o, p, a);
            if (read > farthest) farthest = read, victim = a;
        }
        if (victim < 0) return; /* the step alone is too big: the caller has asked for that */
        p->cost += (double)f->bytes[victim] * (p->tensor[victim] & COPIED ? 1 : 2);
        p->tensor[victim] = COPIED;
        p->here -= f->bytes[victim];
    }
}

static void run_step(const orderer *o, partial *p, int step)
{
    const tern_flow *f = o->flow;
    size_t more = 0;
    for (int i = f->begin[step]; i < f->begin[step + 1]; i++)
        if (!(p->tensor[f->read[i]] & HERE)) more += f->bytes[f->read[i]];
    for (int i = o->first_write[step]; i < o->first_write[step + 1]; i++) more += f->bytes[o->writes[i]];
    make_room(o, p, step, more);
    p->here += more;
    p->done[step] = 1;
    p->hash ^= tern_rng_below((tern_rng){99, 0}, (uint64_t)step, UINT64_MAX);
    for (int i = o->first_write[step]; i < o->first_write[step + 1]; i++) p->tensor[o->writes[i]] = HERE;
    for (int i = f->begin[step]; i < f->begin[step + 1]; i++) p->tensor[f->read[i]] |= HERE;
    for (int i = f->begin[step]; i < f->begin[step + 1]; i++) p->left[f->read[i]]--;
    for (int a = 0; a < f->tensors; a++) /* nobody wants it any more */
        if ((p->tensor[a] & HERE) && p->left[a] == 0) {
            p->here -= f->bytes[a];
            p->tensor[a] = GONE;
        }
}

static bool is_ready(const orderer *o, const partial *p, int step)
{
    const tern_flow *f = o->flow;
    if (p->done[step]) return false;
    for (int i = f->begin[step]; i < f->begin[step + 1]; i++) {
        int producer = f->producer[f->read[i]];
        if (producer >= 0 && !p->done[producer]) return false;
    }
    return true;
}

static void copy(const orderer *o, partial *to, const partial *from)
{
    size_t tensors = (size_t)o->flow->tensors, steps = (size_t)o->flow->steps;
    memcpy(to->tensor, from->tensor, tensors);
    memcpy(to->done, from->done, steps);
    memcpy(to->left, from->left, tensors * sizeof *to->left);
    to->here = from->here;
    to->cost = from->cost;
    to->hash = from->hash;
}

/* ---- the beam ------------------------------------------------------------------------------------------------------ */

/* Cheaper first, then less in memory; steps break ties, so that the same is found everywhere. */
static int by_cost(const void *a, const void *b)
{
    const extension *x = a, *y = b;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    if (x->here != y->here) return x->here < y->here ? -1 : 1;
    if (x->parent != y->parent) return x->parent < y->parent ? -1 : 1;
    return x->step - y->step;
}

/* All steps that can follow, the cheapest of those that lead to the same set first in the list; how many there are. */
static int extend(orderer *o)
{
    int count = 0;
    for (int k = 0; k < o->count; k++)
        for (int s = 0; s < o->flow->steps; s++) {
            if (!is_ready(o, &o->beam[k], s)) continue;
            partial *p = &o->next[o->width];
            copy(o, p, &o->beam[k]);
            run_step(o, p, s);
            o->extensions[count++] = (extension){k, s, p->cost, p->here, p->hash};
        }
    qsort(o->extensions, (size_t)count, sizeof *o->extensions, by_cost);
    return count;
}

static void keep_best(orderer *o, int at, int count)
{
    int kept = 0;
    for (int i = 0; i < count && kept < o->width; i++) {
        const extension *e = &o->extensions[i];
        bool twice = false;
        for (int k = 0; k < kept && !twice; k++) twice = o->next[k].hash == e->hash;
        if (twice) continue;
        copy(o, &o->next[kept], &o->beam[e->parent]);
        run_step(o, &o->next[kept], e->step);
        o->parents[at * o->width + kept] = e->parent;
        o->chosen[at * o->width + kept] = e->step;
        kept++;
    }
    partial *swap = o->beam;
    o->beam = o->next;
    o->next = swap;
    o->count = kept;
}

static void begin(orderer *o)
{
    const tern_flow *f = o->flow;
    partial *p = &o->beam[0];
    memset(p->done, 0, (size_t)f->steps);
    for (int a = 0; a < f->tensors; a++) {
        p->tensor[a] = f->producer[a] < 0 ? COPIED : GONE;
        p->left[a] = o->first_reader[a + 1] - o->first_reader[a];
    }
    p->here = 0;
    p->cost = 0;
    p->hash = 0;
    o->count = 1;
}

/* step[steps]: the best order found. */
static void search(orderer *o, int *step)
{
    int steps = o->flow->steps;
    begin(o);
    for (int at = 0; at < steps; at++) keep_best(o, at, extend(o));
    for (int at = steps - 1, k = 0; at >= 0; at--) { /* the first is the cheapest */
        step[at] = o->chosen[at * o->width + k];
        k = o->parents[at * o->width + k];
    }
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

/* Steps that read each tensor, and tensors that each step writes. */
static void index_flow(orderer *o)
{
    const tern_flow *f = o->flow;
    for (int a = 0; a < f->tensors; a++)
        if (f->producer[a] >= 0) o->first_write[f->producer[a]]++;
    for (int i = 0; i < f->begin[f->steps]; i++) o->first_reader[f->read[i]]++;
    for (int s = 0; s < f->steps; s++) o->first_write[s + 1] += o->first_write[s]; /* ends .. */
    for (int a = 0; a < f->tensors; a++) o->first_reader[a + 1] += o->first_reader[a];
    for (int a = f->tensors - 1; a >= 0; a--) /* .. which become beginnings as they are filled from behind */
        if (f->producer[a] >= 0) o->writes[--o->first_write[f->producer[a]]] = a;
    for (int s = f->steps - 1; s >= 0; s--)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++) o->readers[--o->first_reader[f->read[i]]] = s;
}

static bool take_partials(orderer *o, partial *all)
{
    size_t tensors = (size_t)o->flow->tensors + 1, steps = (size_t)o->flow->steps + 1;
    for (int k = 0; k <= o->width; k++) {
        all[k].tensor = tern_take(tensors);
        all[k].done = tern_take(steps);
        all[k].left = tern_take_array(tensors, sizeof *all[k].left);
        if (!all[k].tensor || !all[k].done || !all[k].left) return false;
    }
    return true;
}

static void free_partials(const orderer *o, partial *all)
{
    for (int k = 0; all && k <= o->width; k++) {
        tern_release(all[k].tensor);
        tern_release(all[k].done);
        tern_release(all[k].left);
    }
    tern_release(all);
}

static tern_status open_orderer(orderer *o)
{
    size_t tensors = (size_t)o->flow->tensors + 2, steps = (size_t)o->flow->steps + 2;
    size_t reads = (size_t)o->flow->begin[o->flow->steps] + 1, width = (size_t)o->width + 1;
    o->time = tern_take_array(steps, sizeof *o->time);
    o->first_write = tern_take_array(steps, sizeof *o->first_write);
    o->writes = tern_take_array(tensors, sizeof *o->writes);
    o->first_reader = tern_take_array(tensors, sizeof *o->first_reader);
    o->readers = tern_take_array(reads, sizeof *o->readers);
    o->beam = tern_take_array(width, sizeof *o->beam);
    o->next = tern_take_array(width, sizeof *o->next);
    o->extensions = tern_take_array(width * steps, sizeof *o->extensions);
    o->parents = tern_take_array(width * steps, sizeof *o->parents);
    o->chosen = tern_take_array(width * steps, sizeof *o->chosen);
    bool all = o->time && o->first_write && o->writes && o->first_reader && o->readers && o->beam &&
               o->next && o->extensions && o->parents && o->chosen;
    all = all && take_partials(o, o->beam) && take_partials(o, o->next);
    return all ? TERN_OK : tern_no_memory(width * (tensors * 5 + steps * 40), "a search for an order");
}

tern_status tern_flow_order(const tern_flow *flow, size_t memory, int width, int *step)
{
    orderer o = {.flow = flow, .memory = memory, .width = width};
    tern_status status = open_orderer(&o);
    if (status == TERN_OK) {
        index_flow(&o);
        for (int s = 0; s < flow->steps; s++) o.time[s] = s;
        for (int round = 0; round < ROUNDS; round++) {
            search(&o, step);
            for (int t = 0; t < flow->steps; t++) o.time[step[t]] = t;
        }
    }
    free_partials(&o, o.beam);
    free_partials(&o, o.next);
    tern_release(o.time);
    tern_release(o.first_write);
    tern_release(o.writes);
    tern_release(o.first_reader);
    tern_release(o.readers);
    tern_release(o.extensions);
    tern_release(o.parents);
    tern_release(o.chosen);
    return status;
}
