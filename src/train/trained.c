/* A trained net behind plain arguments: what bindings of other languages call. */
#include "machine/machine.h"
#include "train/train.h"

struct tern_trained {
    const tern_net *net;
    void *parameters;
    tern_store store;
    tern_pool *pool;
    tern_model model;
};

void tern_trained_close(tern_trained *trained)
{
    if (!trained) return;
    tern_model_close(&trained->model);
    tern_pool_close(trained->pool);
    tern_store_close(&trained->store);
    tern_net_free(trained->parameters);
    tern_release(trained);
}

static tern_status load(tern_trained *t, const char *path)
{
    char *document = NULL;
    TERN_TRY(tern_store_read(&t->store, path, &document));
    tern_release(document);
    return TERN_OK;
}

static tern_status open_trained(tern_trained *t, const char *net, const tern_named_number *options,
                                int option_count, const char *checkpoint, tern_shape sample, int batch,
                                int threads)
{
    t->net = tern_net_find(net);
    if (!t->net) return tern_fail(TERN_USAGE, "unknown net \"%s\"", net);
    if (batch < 1) return tern_fail(TERN_USAGE, "the batch is %d, expected at least 1", batch);
    TERN_TRY(tern_net_parameters(t->net, &t->parameters));
    for (int i = 0; i < option_count; i++)
        TERN_TRY(tern_net_set(t->net, t->parameters, options[i].name, options[i].value));
    if (checkpoint) TERN_TRY(load(t, checkpoint));
    TERN_TRY(tern_pool_open(&t->pool, threads));
    return tern_model_open(&t->model, t->net, t->parameters, &sample, batch, NULL, &t->store, t->pool);
}

tern_status tern_trained_open(tern_trained **trained, const char *net, const tern_named_number *options,
                              int option_count, const char *checkpoint, tern_shape sample, int batch,
                              int threads)
{
    tern_trained *t = tern_take(sizeof *t);
    if (!t) return tern_no_memory(sizeof *t, "a net");
    tern_clear();
    tern_status status = open_trained(t, net, options, option_count, checkpoint, sample, batch, threads);
    if (status == TERN_OK)
        *trained = t;
    else
        tern_trained_close(t);
    return status;
}

tern_status tern_trained_run(tern_trained *trained, const float *images, const float **logits, int *classes)
{
    tern_tensor out;
    tern_session *s = trained->model.session;
    tern_clear();
    TERN_TRY(tern_session_bind(s, "image", images));
    tern_session_reset(s);
    TERN_TRY(tern_session_run(s, 0));
    TERN_TRY(tern_session_output(s, "logits", &out));
    *logits = out.data;
    *classes = (int)out.shape.dim[1];
    return TERN_OK;
}

tern_status tern_trained_cost(tern_trained *trained, const char *machine, double density,
                              tern_cost_summary *cost)
{
    tern_machine *m;
    tern_bill bill;
    tern_program *portable;
    tern_clear();
    TERN_TRY(tern_machine_open(&m, machine));
    tern_status status = tern_plan(&portable, trained->model.graph, &(tern_plan_options){.reference = true});
    if (status != TERN_OK) {
        tern_machine_close(m);
        return status;
    }
    status = tern_bill_open(&bill, portable, density);
    if (status == TERN_OK) {
        tern_cost c;
        tern_machine_cost(m, &bill.query, &c, NULL);
        *cost = (tern_cost_summary){c.fits, c.seconds, c.joules, c.peak_bytes, c.paper_joules};
        tern_bill_close(&bill);
    }
    tern_program_close(portable);
    tern_machine_close(m);
    return status;
}
