/* Nets of a few steps for plans: the fixtures whose optima are known, and random ones. */
#ifndef TERN_FLOW_FIXTURES_H
#define TERN_FLOW_FIXTURES_H

#include "plan/cosma.h"

/* One result a step, of `bytes`; reads of step s are read[begin[s]] .. */
enum { FLOW_MOST = 16 };
typedef struct flow_fixture {
    size_t bytes[FLOW_MOST];
    int producer[FLOW_MOST], begin[FLOW_MOST + 1], read[4 * FLOW_MOST];
    tern_flow flow;
} flow_fixture;

enum { FLOW_LONG = 48 };
typedef struct flow_long_fixture {
    size_t bytes[FLOW_LONG];
    int producer[FLOW_LONG], begin[FLOW_LONG + 1], read[2 * FLOW_LONG];
    tern_flow flow;
} flow_long_fixture;

static inline void flow_step(flow_fixture *f, size_t bytes, int a, int b)
{
    int s = f->flow.steps++;
    f->flow.tensors++;
    f->bytes[s] = bytes;
    f->producer[s] = s;
    f->begin[s + 1] = f->begin[s];
    if (a >= 0) f->read[f->begin[s + 1]++] = a;
    if (b >= 0) f->read[f->begin[s + 1]++] = b;
}

static inline const tern_flow *flow_end(flow_fixture *f)
{
    f->flow.bytes = f->bytes;
    f->flow.producer = f->producer;
    f->flow.begin = f->begin;
    f->flow.read = f->read;
    return &f->flow;
}

/* G1 in the order 0,1,2,3,4,5, or with the two branches side by side: 0,1,3,2,4,5. */
static inline const tern_flow *flow_g1(flow_fixture *f, bool side_by_side)
{
    *f = (flow_fixture){0};
    flow_step(f, 40, -1, -1);
    flow_step(f, 60, 0, -1);
    if (side_by_side) {
        flow_step(f, 60, 0, -1);
        flow_step(f, 10, 1, -1);
        flow_step(f, 10, 2, -1);
        flow_step(f, 20, 3, 4);
    } else {
        flow_step(f, 10, 1, -1);
        flow_step(f, 60, 0, -1);
        flow_step(f, 10, 3, -1);
        flow_step(f, 20, 2, 4);
    }
    return flow_end(f);
}

static inline const tern_flow *flow_g2(flow_fixture *f)
{
    *f = (flow_fixture){0};
    flow_step(f, 7, -1, -1);
    flow_step(f, 4, 0, -1);
    flow_step(f, 9, 0, -1);
    flow_step(f, 5, 0, 1);
    flow_step(f, 8, 3, -1);
    flow_step(f, 5, 2, 4);
    return flow_end(f);
}

/* 6 to 9 steps that read one or two earlier results. */
static inline const tern_flow *flow_random(flow_fixture *f, uint64_t seed)
{
    tern_rng rng = {seed, 0};
    uint64_t drawn = 0;
    *f = (flow_fixture){0};
    int steps = 6 + (int)tern_rng_below(rng, drawn++, 4);
    for (int s = 0; s < steps; s++) {
        int a = s ? (int)tern_rng_below(rng, drawn++, (uint64_t)s) : -1;
        int b = s > 1 ? (int)tern_rng_below(rng, drawn++, (uint64_t)s) : -1;
        flow_step(f, 1 + tern_rng_below(rng, drawn++, 12), a, b == a ? -1 : b);
    }
    return flow_end(f);
}

/* Replays a plan and returns the bytes that move; -1: there is none, < -1: it is wrong, with the message of Tern. */
static inline double flow_replay(const tern_flow *flow, size_t memory, tern_cosma_plan *plan)
{
    double spilled, retrieved, moved = plan->spilled + plan->retrieved;
    if (!plan->found)
        moved = -1;
    else if (tern_cosma_replay(flow, plan, memory, &spilled, &retrieved) != TERN_OK)
        moved = -2;
    else if (spilled != plan->spilled || retrieved != plan->retrieved)
        moved = -3;
    tern_cosma_free(plan);
    return moved;
}

/* Solves, replays, and returns the bytes that move; < 0: something is wrong, with the message of Tern. */
static inline double flow_traffic(const tern_flow *flow, size_t memory, bool free_order,
                                  tern_mip_answer *answer)
{
    tern_cosma_plan plan;
    tern_cosma_options options = {.memory = memory, .free_order = free_order, .seconds = 60};
    if (tern_cosma(flow, &options, &plan) != TERN_OK) return -4;
    *answer = plan.answer;
    return flow_replay(flow, memory, &plan);
}

/* The same by a baseline (0 .. 2), window by window (3), or with each window in its best order (4). */
static inline double flow_otherwise(const tern_flow *flow, size_t memory, int way, int window)
{
    tern_cosma_plan plan;
    tern_cosma_options options = {.memory = memory, .free_order = way == 4, .seconds = 60, .window = window};
    tern_status status = way < 3 ? tern_evict(flow, memory, (tern_eviction)way, &plan)
                                 : tern_cosma_divided(flow, &options, &plan);
    return status == TERN_OK ? flow_replay(flow, memory, &plan) : -4;
}

/* A chain of `steps` that each read the last result and, now and then, one from long ago: too long for one program. */
static inline const tern_flow *flow_long(flow_long_fixture *f, uint64_t seed)
{
    tern_rng rng = {seed, 1};
    uint64_t drawn = 0;
    *f = (flow_long_fixture){0};
    f->flow = (tern_flow){.steps = FLOW_LONG,
                          .tensors = FLOW_LONG,
                          .bytes = f->bytes,
                          .producer = f->producer,
                          .begin = f->begin,
                          .read = f->read};
    for (int s = 0; s < FLOW_LONG; s++) {
        f->bytes[s] = 1 + tern_rng_below(rng, drawn++, 12);
        f->producer[s] = s;
        f->begin[s + 1] = f->begin[s];
        if (s) f->read[f->begin[s + 1]++] = s - 1;
        if (s > 8 && tern_rng_below(rng, drawn++, 3) == 0)
            f->read[f->begin[s + 1]++] = s - 2 - (int)tern_rng_below(rng, drawn++, 7);
    }
    return &f->flow;
}

#endif
