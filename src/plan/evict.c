/* Plans that decide step by step, without an integer program over all steps: what the exact ones are held against.
 *
 * A step needs what it reads and writes.  Where that does not fit beside what waits, something that waits leaves: by the next
 * use that is farthest off (Belady), the biggest first, or those with the fewest bytes in all that make room.  Then each stay of a
 * tensor in the memory is a block for the allocator; where blocks do not fit (holes), everything again with less memory. */
#include "plan/cosma.h"

#include <math.h>
#include <string.h>

typedef struct evictor {
    const tern_flow *flow;
    tern_eviction policy;
    tern_cosma_plan *plan;
    bool *there, *hosted, *needed; /* [tensors] */
} evictor;

static int next_use(const tern_flow *f, int tensor, int from)
{
    for (int s = from; s < f->steps; s++)
        for (int i = f->begin[s]; i < f->begin[s + 1]; i++)
            if (f->read[i] == tensor) return s;
    return f->steps;
}

static unsigned char *residence(const evictor *e, int tensor, int time)
{
    return &e->plan->residence[(size_t)tensor * (size_t)e->flow->steps + (size_t)time];
}

static void leave(evictor *e, int tensor, int time)
{
    *residence(e, tensor, time) = e->hosted[tensor] ? TERN_AWAY : TERN_SPILLED;
    e->hosted[tensor] = true;
    e->there[tensor] = false;
}

/* Of those that wait, the one that leaves first; -1: none waits. */
static int victim(const evictor *e, int time)
{
    int best = -1, farthest = -1;
    for (int a = 0; a < e->flow->tensors; a++) {
        if (!e->there[a] || e->needed[a]) continue;
        if (e->policy == TERN_EVICT_GREEDY) {
            if (best < 0 || e->flow->bytes[a] > e->flow->bytes[best]) best = a;
        } else if (next_use(e->flow, a, time) > farthest) {
            farthest = next_use(e->flow, a, time);
            best = a;
        }
    }
    return best;
}

/* The fewest bytes that make room: minimise sum(bytes x) with sum(bytes x) >= deficit. */
static tern_status leave_fewest(evictor *e, int time, size_t deficit)
{
    const tern_flow *f = e->flow;
    tern_mip mip = {0};
    tern_mip_answer answer;
    bool found;
    double bound, *x = tern_take_array((size_t)f->tensors + 1, sizeof *x);
    if (!x) return tern_no_memory((size_t)f->tensors * sizeof *x, "a plan");
    for (int a = 0; a < f->tensors; a++) {
        bool waits = e->there[a] && !e->needed[a];
        int column = tern_mip_column(&mip, 0, waits, (double)f->bytes[a], true);
        tern_mip_term(&mip, column, (double)f->bytes[a]);
    }
    tern_mip_row(&mip, (double)deficit, INFINITY);
    tern_status status = tern_mip_solve(&mip, 10, &answer, &found, x, &bound);
    for (int a = 0; status == TERN_OK && found && a < f->tensors; a++)
        if (x[a] > 0.5) leave(e, a, time);
    tern_mip_free(&mip);
    tern_release(x);
    return status;
}

static tern_status make_room(evictor *e, int time, size_t memory)
{
    const tern_flow *f = e->flow;
    for (bool asked = false;; asked = true) {
        size_t sum = 0;
        for (int a = 0; a < f->tensors; a++)
            if (e->there[a] || e->needed[a]) sum += f->bytes[a];
        if (sum <= memory) return TERN_OK;
        if (e->policy == TERN_EVICT_MIP && !asked) {
            TERN_TRY(leave_fewest(e, time, sum - memory));
            continue;
        }
        int a = victim(e, time);
        if (a < 0)
            return tern_fail(TERN_NO_FIT, "step %d alone needs %zu bytes, the memory has %zu", time, sum,
                             memory);
        leave(e, a, time);
    }
}

/* Who is there at each time, sums of sizes being below `memory`. */
static tern_status decide(evictor *e, size_t memory)
{
    const tern_flow *f = e->flow;
    size_t tensors = (size_t)f->tensors;
    memset(e->plan->residence, TERN_AWAY, tensors * (size_t)f->steps);
    memset(e->there, 0, tensors * sizeof *e->there);
    for (int a = 0; a < f->tensors; a++) e->hosted[a] = f->producer[a] < 0;
    for (int t = 0; t < f->steps; t++) {
        memset(e->needed, 0, tensors * sizeof *e->needed);
        for (int i = f->begin[t]; i < f->begin[t + 1]; i++) e->needed[f->read[i]] = true;
        for (int a = 0; a < f->tensors; a++) {
            e->needed[a] |= f->producer[a] == t;
            if (e->there[a] && next_use(f, a, t) == f->steps)
                e->there[a] = false; /* nobody wants it any more */
        }
        TERN_TRY(make_room(e, t, memory));
        for (int a = 0; a < f->tensors; a++) {
            if (e->needed[a] && !e->there[a])
                *residence(e, a, t) = f->producer[a] == t ? TERN_CREATED : TERN_RETRIEVED;
            else if (e->there[a])
                *residence(e, a, t) = TERN_PRESERVED;
            e->there[a] |= e->needed[a];
        }
    }
    return TERN_OK;
}

/* Each stay is a block for the allocator. */
tern_status tern_cosma_place(const tern_flow *f, tern_cosma_plan *plan, size_t memory, size_t *bytes)
{
    size_t cells = (size_t)f->tensors * (size_t)f->steps;
    tern_block *blocks = tern_take_array(cells + 1, sizeof *blocks);
    if (!blocks) return tern_no_memory(cells * sizeof *blocks, "a plan");
    int count = 0;
    for (size_t i = 0; i < cells; i++) {
        unsigned char r = plan->residence[i];
        int time = (int)(i % (size_t)f->steps);
        if (r == TERN_CREATED || r == TERN_RETRIEVED)
            blocks[count++] = (tern_block){f->bytes[i / (size_t)f->steps], 0, time, time};
        else if (r == TERN_PRESERVED)
            blocks[count - 1].last = time;
    }
    tern_status status = tern_allocate_by_size(blocks, count, bytes);
    if (status == TERN_OK && *bytes > memory) status = tern_allocate(blocks, count, 1, bytes);
    count = 0;
    for (size_t i = 0; i < cells; i++) {
        unsigned char r = plan->residence[i];
        if (r == TERN_CREATED || r == TERN_RETRIEVED) count++;
        if (r == TERN_CREATED || r == TERN_RETRIEVED || r == TERN_PRESERVED)
            plan->address[i] = blocks[count - 1].offset;
    }
    tern_release(blocks);
    return status;
}

static void count_moves(const tern_flow *f, tern_cosma_plan *plan)
{
    for (int a = 0; a < f->tensors; a++)
        for (int t = 0; t < f->steps; t++) {
            unsigned char r = plan->residence[(size_t)a * (size_t)f->steps + (size_t)t];
            plan->spilled += r == TERN_SPILLED ? (double)f->bytes[a] : 0;
            plan->retrieved += r == TERN_RETRIEVED ? (double)f->bytes[a] : 0;
        }
}

static tern_status evict(evictor *e, size_t memory)
{
    int step;
    size_t least = tern_flow_least(e->flow, &step), taken = 0;
    for (size_t budget = memory;; budget -= (budget - least) / 16 + 1) {
        TERN_TRY(decide(e, budget));
        TERN_TRY(tern_cosma_place(e->flow, e->plan, memory, &taken));
        e->plan->found = taken <= memory;
        if (e->plan->found || budget <= least) break;
    }
    if (e->plan->found) count_moves(e->flow, e->plan);
    return TERN_OK;
}

tern_status tern_evict(const tern_flow *flow, size_t memory, tern_eviction policy, tern_cosma_plan *plan)
{
    size_t tensors = (size_t)flow->tensors + 1;
    evictor e = {.flow = flow, .policy = policy, .plan = plan};
    *plan = (tern_cosma_plan){0};
    TERN_TRY(tern_cosma_check(flow, memory));
    tern_status status = tern_cosma_begin(flow, plan);
    plan->answer = TERN_MIP_UNPROVEN;
    e.there = tern_take_array(tensors, sizeof *e.there);
    e.hosted = tern_take_array(tensors, sizeof *e.hosted);
    e.needed = tern_take_array(tensors, sizeof *e.needed);
    if (status == TERN_OK)
        status = e.there && e.hosted && e.needed ? evict(&e, memory) : tern_no_memory(tensors, "a plan");
    tern_release(e.there);
    tern_release(e.hosted);
    tern_release(e.needed);
    if (status != TERN_OK) tern_cosma_free(plan);
    return status;
}

tern_status tern_evict_better(const tern_flow *flow, size_t memory, tern_eviction policy,
                              tern_cosma_plan *plan, bool *better)
{
    tern_cosma_plan other;
    *better = false;
    if (plan->found && tern_cosma_moved(plan) == 0) return TERN_OK;
    TERN_TRY(tern_evict(flow, memory, policy, &other));
    *better = other.found && (!plan->found || tern_cosma_moved(&other) < tern_cosma_moved(plan));
    if (*better) {
        tern_cosma_plan worse = *plan;
        other.bound = plan->bound;
        *plan = other;
        other = worse;
    }
    tern_cosma_free(&other);
    return TERN_OK;
}
