/* Both phases of serving on a machine. */
#include "llm/serving_parts.h"

#include <math.h>
#include <string.h>

static tern_status open_prompts(tern_serving *s)
{
    tern_walk_query q;
    const tern_serving_plan *p = &s->plan;
    int chunk = p->chunk ? p->chunk : p->in, count = (p->in + chunk - 1) / chunk;
    s->prompts = tern_take_array((size_t)count, sizeof *s->prompts);
    if (!s->prompts) return tern_no_memory((size_t)count * sizeof *s->prompts, "chunks of a prompt");
    for (int i = 0; i < count; i++) {
        int past = i * chunk, tokens = p->in - past < chunk ? p->in - past : chunk;
        q = p->chunk ? tern_walk_chunk(s->about, p, past, tokens) : tern_walk_prefill(s->about, p);
        q.frame = s->frames[0];
        TERN_TRY(tern_walk_run(&s->prompts[i], &q));
        s->prompt_count++;
    }
    return TERN_OK;
}

static void free_runs(tern_serving *s)
{
    for (int i = 0; i < s->prompt_count; i++) tern_serving_free(&s->prompts[i]);
    tern_release(s->prompts);
    tern_serving_free(&s->answer);
}

/* The runs of s->plan; none after a failure. */
static tern_status open_runs(tern_serving *s)
{
    TERN_TRY(tern_serving_check(s->about, &s->plan));
    s->way = tern_serving_way_of(&s->plan);
    tern_status status = open_prompts(s);
    tern_walk_query q = tern_walk_decode(s->about, &s->plan);
    q.frame = s->frames[1];
    if (status == TERN_OK) status = tern_walk_run(&s->answer, &q);
    if (status != TERN_OK) free_runs(s);
    return status;
}

tern_status tern_serving_open(tern_serving *s, const tern_transformer *about, const tern_serving_plan *plan)
{
    *s = (tern_serving){.about = about, .plan = *plan};
    tern_status status = open_runs(s);
    if (status != TERN_OK) *s = (tern_serving){0};
    return status;
}

tern_status tern_serving_change(tern_serving *s, const tern_serving_plan *plan)
{
    for (int i = 0; i < 2; i++) {
        if (!s->frames[i]) s->frames[i] = tern_frame_new();
        if (!s->frames[i]) return tern_no_memory(64, "graphs of serving");
    }
    tern_serving fresh = {.about = s->about, .plan = *plan, .frames = {s->frames[0], s->frames[1]}};
    TERN_TRY(open_runs(&fresh));
    fresh.way.offload = s->way.offload;
    free_runs(s);
    *s = fresh;
    return TERN_OK;
}

void tern_serving_close(tern_serving *s)
{
    free_runs(s);
    for (int i = 0; i < 2; i++) tern_frame_free(s->frames[i]);
    *s = (tern_serving){0};
}

void tern_serving_ask(const tern_serving *s, const tern_machine *m, tern_serving_result *r)
{
    tern_serving_way one = s->way; /* chunks come one behind the other */
    tern_serving_cost c = {0};
    double all = 0, longest = 0;
    if (s->plan.chunk) one.batches = 1;
    *r = (tern_serving_result){.fits = true, .first_bound = ""};
    for (int i = 0; i < s->prompt_count && r->fits; i++) {
        tern_machine_serve(m, &s->prompts[i], &one, &c, NULL);
        r->fits = c.fits;
        r->first += c.seconds;
        all += c.all_seconds;
        r->first_joules += c.joules;
        if (c.seconds >= longest) r->first_bound = c.bound;
        longest = fmax(longest, c.seconds);
        memcpy(r->reason, c.reason, sizeof r->reason);
    }
    double held = c.held, room = c.room;
    r->offloaded = c.offloaded;
    tern_machine_serve(m, &s->answer, &s->way, &c, NULL);
    if (r->fits) memcpy(r->reason, c.reason, sizeof r->reason);
    r->fits &= c.fits;
    r->offloaded |= c.offloaded;
    r->token = c.seconds;
    r->token_bound = c.bound;
    r->token_joules = c.joules;
    r->beside = s->plan.chunk ? longest : 0;
    r->prompt_rate = s->plan.in * (s->plan.chunk ? 1.0 : (double)s->plan.batch) / all;
    r->answer_rate = s->plan.batch / c.all_seconds;
    r->held = fmax(held, c.held);
    r->room = fmax(room, c.room);
}
