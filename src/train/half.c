/* A trained net in 16 bits: norms become part of its weights, which are rounded once. */
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct half_conversion {
    tern_graph *floats, *halves;
    tern_half_plan plan;
    tern_program *program;
    tern_session *session;
    float *image; /* zeros: nothing that is asked for depends on it */
} half_conversion;

static void close_conversion(half_conversion *v)
{
    tern_session_close(v->session);
    tern_program_close(v->program);
    tern_half_plan_free(&v->plan);
    tern_graph_close(v->floats);
    tern_graph_close(v->halves);
    tern_release(v->image);
}

/* The net of floats computes the weights that the other one has. */
static tern_status observe(half_conversion *v, tern_store *from, tern_pool *pool)
{
    tern_graph *g = v->floats;
    g->output_count = 0;
    for (int i = 0; i < v->plan.count; i++)
        tern_output(g, v->plan.sites[i].name, (tern_value){v->plan.sites[i].value});
    TERN_TRY(tern_graph_status(g));
    TERN_TRY(tern_plan(&v->program, g, NULL));
    TERN_TRY(tern_session_open(&v->session, v->program, from, pool));
    tern_shape image = tern_shape_of(g, tern_find_value(g, "image"));
    v->image = tern_take_array((size_t)tern_elements(&image), sizeof *v->image);
    if (!v->image) return tern_no_memory((size_t)tern_elements(&image) * sizeof *v->image, "an image");
    TERN_TRY(tern_session_bind(v->session, "image", v->image));
    return tern_session_run(v->session, 0);
}

/* A weight that is no number of the format stays what it would become: infinite; that is refused. */
static tern_status round_into(const char *name, const tern_tensor *from, tern_tensor *to)
{
    for (int64_t i = 0; i < tern_elements(&from->shape); i++) {
        double x = tern_get(from, i);
        tern_set(to, i, x);
        if (isfinite(tern_get(to, i))) continue;
        return tern_fail(TERN_FAILED, "%s: element %lld is %g, beyond what %s holds", name, (long long)i, x,
                         tern_dtype_of(to->dtype)->name);
    }
    return TERN_OK;
}

static tern_status convert(half_conversion *v, const tern_net *net, const void *parameters,
                           const tern_half_parameters *how, const tern_shape *sample, tern_store *from,
                           tern_store *to, tern_pool *pool)
{
    TERN_TRY(tern_model_plain_graph(&v->floats, net, parameters, sample, 1, 0));
    TERN_TRY(tern_pass_half(v->floats, how, &v->halves, &v->plan));
    TERN_TRY(observe(v, from, pool));
    for (int i = 0; i < v->plan.count; i++) {
        const char *name = v->plan.sites[i].name;
        const tern_value_info *param = tern_value_of(v->halves, tern_find_value(v->halves, name));
        tern_tensor content;
        int index;
        TERN_TRY(tern_store_need(to, name, &param->type, (tern_init){0}, 0, &index));
        TERN_TRY(tern_session_output(v->session, name, &content));
        TERN_TRY(round_into(name, &content, &to->tensors[index]));
    }
    to->version++;
    return TERN_OK;
}

tern_status tern_convert_half(const tern_net *net, const void *parameters, const tern_half_parameters *how,
                              const tern_shape *sample, tern_store *from, tern_store *to, tern_pool *pool)
{
    half_conversion v = {0};
    tern_status status = convert(&v, net, parameters, how, sample, from, to, pool);
    close_conversion(&v);
    return status;
}
