/* Forms of a net, planned one by one against the memory of a board. */
#include "emit/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the linker will know and a plan does not, on the safe side of what Cortex-M programs took: main.c's own data, and
 * code, which grows with the steps. */
enum { BENCH_DATA = 1024, CODE = 6144, CODE_OF_STEP = 640 };

static const double widths[] = {1, 0.75, 0.5, 0.375, 0.25, 0.125}, sizes[] = {1, 0.75, 0.5};
enum { FORMATS = 2, MOST_FORMS = FORMATS * (int)TERN_COUNT(widths) * (int)TERN_COUNT(sizes), LEAST_SIDE = 8 };

void tern_fit_close(tern_fit *fit)
{
    for (int i = 0; i < fit->count; i++) tern_net_free(fit->forms[i].parameters);
    tern_release(fit->forms);
    *fit = (tern_fit){0};
}

/* ---- one form ------------------------------------------------------------------------------------------------- */

static tern_status model_cost(tern_fit_form *form, const tern_program *p, const tern_machine *machine)
{
    tern_bill bill;
    tern_cost cost;
    TERN_TRY(tern_bill_open(&bill, p, 0.1));
    for (int i = 0; i < bill.query.count; i++)
        form->macs += bill.tasks[i].work.macs + bill.tasks[i].work.accumulates;
    tern_machine_cost(machine, &bill.query, &cost, NULL);
    form->seconds = cost.seconds;
    form->joules = cost.joules;
    tern_bill_close(&bill);
    return TERN_OK;
}

static tern_status measure(tern_fit_form *form, const tern_machine *machine, const tern_emit_limits *limits)
{
    tern_graph *g = NULL;
    tern_program *p = NULL;
    tern_status status = tern_model_graph(&g, form->net, form->parameters, &form->sample, 1, 1);
    if (status == TERN_OK && form->net->int8) status = tern_int8_take_bytes(&g);
    if (status == TERN_OK)
        status = tern_plan(&p, g, &(tern_plan_options){.reference = true, .compact = true});
    if (status == TERN_OK) {
        tern_emit_source source = {.program = p};
        tern_emit_sizes_of(p, &form->sizes);
        form->steps = p->step_count - p->prepare_count;
        form->io = tern_emit_bench_bytes(&source);
        form->ram = form->sizes.arena + form->sizes.state + form->io + limits->stack + BENCH_DATA;
        form->flash = form->sizes.weights + CODE + (size_t)form->steps * CODE_OF_STEP;
        form->fits = form->ram <= limits->ram && form->flash <= limits->flash;
        status = model_cost(form, p, machine);
    }
    tern_program_close(p);
    tern_graph_close(g);
    return status;
}

/* ---- all forms -------------------------------------------------------------------------------------------------- */

static bool is_width(const tern_option *o)
{
    return strcmp(o->name, "width") == 0 || strcmp(o->name, "alpha") == 0 || strcmp(o->name, "hidden") == 0;
}

static bool has_width(const tern_net *net)
{
    for (const tern_option *o = net->options; o->name; o++)
        if (is_width(o)) return true;
    return false;
}

/* Parameters of `net`, those of another form of it but for widths. */
static tern_status scale_parameters(tern_fit_form *form, const tern_net *from, const void *parameters)
{
    TERN_TRY(tern_net_parameters(form->net, &form->parameters));
    for (const tern_option *o = from->options; o->name; o++) {
        double value;
        TERN_TRY(tern_net_get(from, parameters, o->name, &value));
        if (is_width(o)) value = o->real ? value * form->width : fmax(nearbyint(value * form->width), 1);
        TERN_TRY(tern_net_set(form->net, form->parameters, o->name, value));
    }
    return TERN_OK;
}

/* Adds a form; one that cannot be built, because an image becomes too small, is left out. */
static tern_status add_form(tern_fit *fit, tern_fit_form form, const tern_net *from, const void *parameters,
                            const tern_machine *machine, const tern_emit_limits *limits)
{
    tern_status status = scale_parameters(&form, from, parameters);
    if (status == TERN_OK) status = measure(&form, machine, limits);
    if (status == TERN_OK) {
        fit->forms[fit->count++] = form;
        return TERN_OK;
    }
    tern_net_free(form.parameters);
    if (status == TERN_NO_MEMORY || fit->count == 0) return status;
    tern_clear();
    return TERN_OK;
}

/* Most multiply-accumulates first; of as many, what changes the fewest things. */
static int compare(const void *a, const void *b)
{
    const tern_fit_form *x = a, *y = b;
    int change_x = (x->net->int8 != 0) + 2 * (x->size < 1) + 4 * (x->width < 1),
        change_y = (y->net->int8 != 0) + 2 * (y->size < 1) + 4 * (y->width < 1);
    if (x->macs != y->macs) return x->macs > y->macs ? -1 : 1;
    return change_x - change_y;
}

static const tern_net *in_bytes(const tern_net *net)
{
    char name[80];
    int base = (int)strlen(net->name) - (net->qat ? (int)strlen("-qat") : 0);
    snprintf(name, sizeof name, "%.*s-int8", base, net->name);
    return net->int8 || net->delta || net->regroup ? NULL : tern_net_find(name);
}

tern_status tern_fit_open(tern_fit *fit, const tern_net *net, const void *parameters,
                          const tern_shape *sample, const tern_machine *machine,
                          const tern_emit_limits *limits)
{
    const tern_net *formats[FORMATS] = {net, in_bytes(net)};
    bool images = sample->rank == 3;
    *fit = (tern_fit){.best = -1, .forms = tern_take_array(MOST_FORMS, sizeof *fit->forms)};
    if (!fit->forms) return tern_no_memory(MOST_FORMS * sizeof *fit->forms, "forms of a net");
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < MOST_FORMS; i++) {
        tern_fit_form form = {.net = formats[i % FORMATS],
                              .sample = *sample,
                              .width = widths[i / FORMATS % (int)TERN_COUNT(widths)],
                              .size = sizes[i / FORMATS / (int)TERN_COUNT(widths)]};
        for (int d = 1; images && d < 3; d++)
            form.sample.dim[d] = (int64_t)nearbyint((double)sample->dim[d] * form.size);
        bool small =
            form.size < 1 && (!images || form.sample.dim[1] < LEAST_SIDE || form.sample.dim[2] < LEAST_SIDE);
        if (!form.net || small || (form.width < 1 && !has_width(net))) continue;
        if (net->int8 && (form.width < 1 || form.size < 1)) continue; /* it cannot be trained again */
        status = add_form(fit, form, net, parameters, machine, limits);
    }
    if (status != TERN_OK) {
        tern_fit_close(fit);
        return status;
    }
    qsort(fit->forms + 1, (size_t)fit->count - 1, sizeof *fit->forms, compare);
    for (int i = fit->count - 1; i >= 0; i--)
        if (fit->forms[i].fits) fit->best = i;
    return TERN_OK;
}
