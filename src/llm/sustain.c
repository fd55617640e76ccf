/* A row of turns through the heat of a machine: their times at full clock come from the cost model. */
#include "llm/sustain.h"

void tern_sustained_free(tern_sustained *sustained)
{
    tern_release(sustained->turns);
    *sustained = (tern_sustained){0};
}

static double mean_rate(const tern_sustained_turn *turns, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += turns[i].rate / count;
    return sum;
}

/* A reply's tokens cost about what the one in its middle does. */
static tern_status run(tern_sustained *s, const tern_llm_account *a, tern_machine *m, int prompt,
                       int generate)
{
    tern_cost ask, token;
    tern_llm_effort effort;
    tern_heat heat;
    TERN_TRY(tern_llm_account_cost(a, &m, 1, 0, prompt, &ask, &effort, NULL));
    TERN_TRY(tern_llm_account_cost(a, &m, 1, prompt + generate / 2, 1, &token, &effort, NULL));
    if (!token.fits) return tern_fail(TERN_NO_FIT, "%.40s: %s", m->name, token.reason);
    TERN_TRY(tern_heat_begin(m, &heat));
    if (s->watts == 0) s->watts = token.joules / token.seconds;
    for (int i = 0; i < s->count; i++) {
        double asked = tern_heat_work(m, &heat, ask.seconds, s->watts);
        double said = tern_heat_work(m, &heat, token.seconds * generate, s->watts);
        s->turns[i] = (tern_sustained_turn){.rate = generate / said,
                                            .seconds = asked + said,
                                            .joules = heat.joules,
                                            .clock = heat.clock,
                                            .degrees = heat.degrees[0]};
        heat.joules = 0;
    }
    int quarter = s->count < 4 ? 1 : s->count / 4;
    s->first = mean_rate(s->turns, quarter);
    s->last = mean_rate(s->turns + s->count - quarter, quarter);
    return TERN_OK;
}

tern_status tern_sustain(tern_sustained *sustained, const tern_llm_account *account, tern_machine *machine,
                         int prompt, int generate, int turns, double watts)
{
    tern_sustained s = {.count = turns, .watts = watts};
    if (turns < 1 || prompt < 1 || generate < 1)
        return tern_fail(TERN_USAGE, "%d turns of %d tokens and %d behind them: expected at least 1 of each",
                         turns, prompt, generate);
    s.turns = tern_take_array((size_t)turns, sizeof *s.turns);
    if (!s.turns) return tern_no_memory((size_t)turns * sizeof *s.turns, "a bench");
    tern_status status = run(&s, account, machine, prompt, generate);
    if (status == TERN_OK)
        *sustained = s;
    else
        tern_sustained_free(&s);
    return status;
}
