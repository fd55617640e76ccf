/* Recipes: the defaults, and what changes over time: the learning rate and the weight of a penalty. */
#include "train/train.h"

#include <math.h>

tern_recipe tern_recipe_default(void)
{
    return (tern_recipe){
        .rule = TERN_BPTT,
        .chosen = 2,
        .square = 0.05,
        .optimiser = TERN_ADAMW,
        .rate = 2e-3,
        .momentum = 0.9,
        .decay = 1e-2,
        .schedule = TERN_COSINE_RATE,
        .warmup = 0.5,
        .step_epochs = 10,
        .step_factor = 0.1,
        .milestones = {0.6, 0.8, 0.9},
        .smoothing = 0.1,
        .epochs = 10,
        .batch = 64,
        .seed = 1,
    };
}

tern_recipe tern_recipe_of(const tern_net *net)
{
    tern_recipe r = tern_recipe_default();
    if (!net->half) return r;
    r.optimiser = TERN_SGD;
    r.momentum = r.decay = r.smoothing = 0;
    r.batch = 1;
    return r;
}

double tern_recipe_rate(const tern_recipe *r, double epoch)
{
    if (epoch < r->warmup) return r->rate * epoch / r->warmup;
    double rest = r->epochs - r->warmup, done = rest > 0 ? (epoch - r->warmup) / rest : 1;
    switch (r->schedule) {
    case TERN_COSINE_RATE:
        return r->rate * 0.5 * (1 + cos(3.14159265358979323846 * fmin(done, 1)));
    case TERN_STEP_RATE:
        return r->rate * pow(r->step_factor, floor(epoch / (r->step_epochs > 0 ? r->step_epochs : 1)));
    case TERN_MILESTONE_RATE: {
        int passed = 0;
        while (passed < TERN_MILESTONES && r->milestones[passed] > 0 &&
               epoch >= r->milestones[passed] * r->epochs)
            passed++;
        return r->rate * pow(r->step_factor, passed);
    }
    case TERN_CONSTANT_RATE:
        break;
    }
    return r->rate;
}

bool tern_recipe_penalises(const tern_recipe *r)
{
    return r->delta_rate > 0 || (r->delta_until > 0 && r->delta_later > 0);
}

double tern_recipe_penalty(const tern_recipe *r, double epoch)
{
    return r->delta_until > 0 && epoch > r->delta_until ? r->delta_later : r->delta_rate;
}
