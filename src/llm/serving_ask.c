/* Both phases of serving on a machine. */
#include "llm/serving.h"

#include <math.h>
#include <string.h>

static tern_status open_prompts(tern_serving *s)
{
    const tern_serving_plan *p = &s->plan;
    int chunk = p->chunk ? p->chunk : p->in, count = (p->in + chunk - 1) / chunk;
    s->prompts = tern_take_array((size_t)count, sizeof *s->prompts);
    if (!s->prompts) return tern_no_memory((size_t)count * sizeof *s->prompts, "chunks of a prompt");
    for (int i = 0; i < count; i++) {
        int past = i * chunk, tokens = p->in - past < chunk ? p->in - past : chunk;
        TERN_TRY(p->chunk ? tern_serving_chunk(&s->prompts[i], s->about, p, past, tokens)
                          : tern_serving_prefill(&s->prompts[i], s->about, p));
        s->prompt_count++;
    }
    return TERN_OK;
}

tern_status tern_serving_open(tern_serving *s, const tern_transformer *about, const tern_serving_plan *plan)
{
    *s = (tern_serving){.about = about, .plan = *plan};
    TERN_TRY(tern_serving_check(about, plan));
    s->way = tern_serving_way_of(plan);
    tern_status status = open_prompts(s);
    if (status == TERN_OK) status = tern_serving_decode(&s->answer, about, plan);
    if (status != TERN_OK) tern_serving_close(s);
    return status;
}

void tern_serving_close(tern_serving *s)
{
    for (int i = 0; i < s->prompt_count; i++) tern_serving_free(&s->prompts[i]);
    tern_release(s->prompts);
    tern_serving_free(&s->answer);
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
