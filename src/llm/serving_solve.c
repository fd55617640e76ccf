/* The least machine that serves in time. */
#include "llm/serving.h"

#include <math.h>
#include <string.h>

const char *const tern_resource_names[TERN_RESOURCES] = {"flops", "bw", "capacity", "link"};

enum { STEPS = 60 };                            /* halvings of the logarithm: far below a part in a million */
static const double widest = 1e6, least = 1e-6; /* times what the machine has */

bool tern_serving_meets(const tern_serving_target *t, const tern_serving_result *r)
{
    return r->fits && (t->first <= 0 || r->first <= t->first) && (t->token <= 0 || r->token <= t->token);
}

/* The figures of one resource. */
static tern_status figures_of(tern_machine *m, tern_resource resource, tern_machine_field *f)
{
    const tern_link *link = NULL;
    for (int i = m->link_count - 1; i >= 0; i--)
        if (!m->links[i].host || !link) link = &m->links[i];
    switch (resource) {
    case TERN_RESOURCE_BANDWIDTH:
        return tern_machine_find_field(m, "memory.main.bandwidth", f);
    case TERN_RESOURCE_CAPACITY:
        return tern_machine_find_field(m, "memory.main.size", f);
    case TERN_RESOURCE_LINK:
        if (!link) return tern_fail(TERN_USAGE, "machine %s has no link to solve for", m->name);
        *f = (tern_machine_field){.values = &m->links[link - m->links].bandwidth, .count = 1};
        return TERN_OK;
    default:
        *f = (tern_machine_field){.count = TERN_DTYPES};
        for (int i = m->unit_count - 1; i >= 0; i--)
            for (int d = 0; d < TERN_DTYPES; d++)
                if (m->units[i].rate[TERN_MAC][d] > 0) f->values = m->units[i].rate[TERN_MAC];
        return f->values ? TERN_OK : tern_fail(TERN_USAGE, "no unit of %s multiplies", m->name);
    }
}

/* A question to machines that differ from one by factors of their resources. */
typedef struct solve_question {
    const tern_serving *serving;
    const tern_serving_target *target;
    const tern_machine *machine;
    const tern_resource *resources;
    int count;
} solve_question;

static tern_status scale(const solve_question *q, const double *factors, tern_machine *out)
{
    *out = *q->machine;
    for (int i = 0; i < q->count; i++) {
        tern_machine_field f;
        TERN_TRY(figures_of(out, q->resources[i], &f));
        for (int k = 0; k < f.count; k++) f.values[k] *= factors[i];
    }
    return TERN_OK;
}

static bool meets(const solve_question *q, const double *factors)
{
    tern_machine m;
    tern_serving_result r;
    if (scale(q, factors, &m) != TERN_OK) return false;
    tern_serving_ask(q->serving, &m, &r);
    return tern_serving_meets(q->target, &r);
}

/* The least common factor of the resources from..to-1 with which the target is met, others staying as they are: `high` does. */
static void shrink(const solve_question *q, double *factors, int from, int to)
{
    double low = log(least), high = log(factors[from]), *kept = factors;
    double shares[TERN_RESOURCES];
    if (from == to) return;
    for (int i = from; i < to; i++) shares[i] = log(factors[i]) - high; /* they shrink together */
    for (int step = 0; step < STEPS; step++) {
        double middle = (low + high) / 2;
        for (int i = from; i < to; i++) kept[i] = exp(middle + shares[i]);
        *(meets(q, kept) ? &high : &low) = middle;
    }
    for (int i = from; i < to; i++) kept[i] = exp(high + shares[i]);
}

static tern_status impossible(const solve_question *q, const double *factors)
{
    tern_machine m;
    tern_serving_result r;
    char a[24], b[24];
    TERN_TRY(scale(q, factors, &m));
    tern_serving_ask(q->serving, &m, &r);
    if (!r.fits) return tern_fail(TERN_NO_FIT, "%s", r.reason);
    return tern_fail(
        TERN_NO_FIT,
        "with a million times of what is solved for, the first token takes %s and the next %s: ask for no "
        "less, or solve for what bounds them (%s, %s)",
        tern_human(a, r.first, "s"), tern_human(b, r.token, "s"), r.first_bound, r.token_bound);
}

tern_status tern_serving_solve(const tern_serving *serving, const tern_serving_target *target,
                               const tern_resource *resources, int count, tern_machine *machine,
                               bool needed[TERN_RESOURCES])
{
    tern_serving far = *serving;
    tern_resource order[TERN_RESOURCES]; /* room first: it does not depend on the others */
    solve_question q = {&far, target, machine, order, count};
    double factors[TERN_RESOURCES];
    tern_machine solved;
    tern_serving_result r;
    int rooms = 0;
    far.way.far = true; /* where weights are must not change with what is solved for */
    for (int pass = 0, n = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++)
            if ((resources[i] != TERN_RESOURCE_CAPACITY) == pass) order[n++] = resources[i];
    while (rooms < count && order[rooms] == TERN_RESOURCE_CAPACITY) rooms++;
    for (int i = 0; i < count; i++) factors[i] = widest;
    if (!meets(&q, factors)) return impossible(&q, factors);
    shrink(&q, factors, 0, rooms);
    shrink(&q, factors, rooms, count);
    for (int i = 0; i < count; i++) {
        /* what slack the others leave goes to those named first */
        shrink(&q, factors, i, i + 1);
        bool matters = factors[i] > 2 * least;
        if (!matters) factors[i] = 1;
        for (int k = 0; k < count; k++)
            if (resources[k] == order[i]) needed[k] = matters;
    }
    TERN_TRY(scale(&q, factors, &solved));
    for (int i = 0; i < count; i++) {
        if (order[i] != TERN_RESOURCE_CAPACITY || far.way.offload) continue;
        tern_machine_field f;
        TERN_TRY(figures_of(&solved, TERN_RESOURCE_CAPACITY, &f));
        tern_serving_ask(&far, &solved, &r);
        f.values[0] = r.held; /* exactly what must be there */
    }
    *machine = solved;
    return TERN_OK;
}
