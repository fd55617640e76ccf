/* sustain: prompts without a pause on a machine that is not here, as it warms and its clock falls. */
#ifndef TERN_LLM_SUSTAIN_H
#define TERN_LLM_SUSTAIN_H

#include "llm/account.h"
#include "machine/heat.h"

typedef struct tern_sustained_turn {
    double rate;            /* tokens of the reply a second */
    double seconds, joules; /* of prompt and reply */
    double clock, degrees;  /* at its end: share of the full clock; of the first body */
} tern_sustained_turn;

typedef struct tern_sustained {
    tern_sustained_turn *turns; /* [count] */
    int count;
    double watts;       /* that work draws at full clock */
    double first, last; /* mean rates of the first and the last quarter of the turns */
} tern_sustained;
void tern_sustained_free(tern_sustained *sustained);

/* `turns` prompts of `prompt` tokens with replies of `generate`.  watts 0: what the cost model says of the reply.  TERN_NO_FIT where the
 * model does not fit the machine. */
tern_status tern_sustain(tern_sustained *sustained, const tern_llm_account *account, tern_machine *machine,
                         int prompt, int generate, int turns, double watts);

#endif
