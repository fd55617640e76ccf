/* Nets in bytes, or in 16 bits, that learn: the step that a board makes, made here with the same whole numbers, and many of them. */
#include "train/train.h"

#include "op/op.h"

#include <string.h>

/* The program of a step as a device makes it; the graph is closed where there is none. */
static tern_status plan_step(tern_graph **graph, tern_program **program, bool keep_order)
{
    /* every_run: what a step is given may change in any step */
    tern_plan_options how = {.reference = true, .compact = true, .every_run = true, .keep_order = keep_order};
    tern_status status = tern_plan(program, *graph, &how);
    if (status == TERN_OK) return TERN_OK;
    tern_graph_close(*graph);
    *graph = NULL;
    return status;
}

/* Whether the fast kernels of a program have the bits of the definitions: of whole numbers, and of sums of two. */
static bool has_same_bits(const tern_program *p)
{
    for (int s = 0; s < p->step_count; s++) {
        const tern_node *node = p->steps[s].node;
        for (int k = 0; p->steps[s].fast && k < node->nout; k++)
            if (p->graph->values[node->out[k].id].type.dtype == TERN_F32 && node->op != &tern_op_add)
                return false;
    }
    return true;
}

/* The same step by the kernels of this computer, where they give the same bits. */
static tern_status plan_here(tern_graph **graph, tern_program **program)
{
    tern_plan_options how = {.every_run = true};
    if (tern_plan(program, *graph, &how) == TERN_OK && has_same_bits(*program)) return TERN_OK;
    tern_program_close(*program);
    *program = NULL;
    tern_clear();
    return plan_step(graph, program, false);
}

static tern_status half_program(tern_graph **graph, tern_program **program, const tern_net *net,
                                const void *parameters, const tern_shape *sample, int batch)
{
    tern_recipe recipe = tern_recipe_of(net);
    TERN_TRY(tern_model_training_graph(graph, net, parameters, sample, batch, &recipe));
    return plan_step(graph, program, false);
}

static tern_status step_program(tern_graph **graph, tern_program **program, const tern_net *net,
                                const void *parameters, const tern_shape *sample, int batch,
                                const tern_int8_update_plan *update, bool here)
{
    tern_graph *bytes = NULL;
    *graph = NULL;
    *program = NULL;
    if (net->half) return half_program(graph, program, net, parameters, sample, batch);
    if (!net->int8 && !net->bytes)
        return tern_fail(TERN_USAGE,
                         "net %s computes in floats; learning in bytes takes what tern convert RUN --to int8 "
                         "makes, or a TFLite file of bytes",
                         net->name);
    TERN_TRY(tern_model_plain_graph(&bytes, net, parameters, sample, batch, 0));
    tern_status status = tern_pass_int8_learn(bytes, update, graph);
    tern_graph_close(bytes);
    if (status == TERN_OK && update->bytes) status = tern_int8_take_bytes(graph);
    if (status != TERN_OK) tern_graph_close(*graph);
    if (status != TERN_OK) *graph = NULL;
    TERN_TRY(status);
    return here && !update->late ? plan_here(graph, program) : plan_step(graph, program, update->late);
}

tern_status tern_int8_step_program(tern_graph **graph, tern_program **program, const tern_net *net,
                                   const void *parameters, const tern_shape *sample, int batch,
                                   const tern_int8_update_plan *update)
{
    return step_program(graph, program, net, parameters, sample, batch, update, false);
}

static tern_tensor *parameter_of(void *context, const char *name)
{
    tern_store *store = context;
    int index = tern_store_find(store, name);
    if (index >= 0) return &store->tensors[index];
    tern_fail(TERN_FAILED,
              "the net in bytes has no parameter \"%s\", which learning needs: convert the run again (tern "
              "convert RUN "
              "--to int8)",
              name);
    return NULL;
}

static tern_status open_stepper(tern_int8_stepper *s, const tern_net *net, const void *parameters,
                                const tern_shape *sample, int batch, const tern_int8_update_plan *update,
                                tern_store *store, tern_pool *pool, bool here)
{
    *s = (tern_int8_stepper){.store = store};
    tern_status status = step_program(&s->graph, &s->program, net, parameters, sample, batch, update, here);
    if (status == TERN_OK) status = tern_session_open(&s->session, s->program, store, pool);
    tern_int8_target target = {parameter_of, store};
    if (status == TERN_OK && !net->half) status = tern_int8_learn_fill(s->graph, update->unscaled, &target);
    if (status != TERN_OK) tern_int8_stepper_close(s);
    return status;
}

tern_status tern_int8_stepper_open(tern_int8_stepper *s, const tern_net *net, const void *parameters,
                                   const tern_shape *sample, int batch, const tern_int8_update_plan *update,
                                   tern_store *store, tern_pool *pool)
{
    return open_stepper(s, net, parameters, sample, batch, update, store, pool, false);
}

void tern_int8_stepper_close(tern_int8_stepper *s)
{
    tern_session_close(s->session);
    tern_program_close(s->program);
    tern_graph_close(s->graph);
    *s = (tern_int8_stepper){0};
}

tern_status tern_int8_step(tern_int8_stepper *s, const float *images, const int32_t *labels, double rate)
{
    s->rate = (float)rate;
    TERN_TRY(tern_session_bind(s->session, "image", images));
    TERN_TRY(tern_session_bind(s->session, "labels", labels));
    TERN_TRY(tern_session_bind(s->session, "rate", &s->rate));
    if (tern_find_value(s->graph, "step").id) TERN_TRY(tern_session_bind(s->session, "step", &s->step));
    TERN_TRY(tern_session_run(s->session, 0));
    TERN_TRY(tern_int8_learn_keep(s->graph, &(tern_int8_target){parameter_of, s->store}));
    s->step++;
    s->store->version++;
    return TERN_OK;
}

/* One epoch; the mean loss of its samples. */
static tern_status run_epoch(const tern_int8_learning *l, tern_int8_stepper *s, tern_loader *loader,
                             int epoch, double *loss)
{
    tern_recipe recipe = {
        .rate = l->rate, .schedule = TERN_COSINE_RATE, .epochs = l->epochs, .warmup = 0.1 * l->epochs};
    const tern_batch *b;
    double sum = 0, batches = tern_loader_batches(loader);
    int64_t seen = 0;
    tern_loader_begin(loader, epoch, 0);
    for (int k = 0; (b = tern_loader_next(loader)) != NULL; k++) {
        tern_tensor out;
        TERN_TRY(tern_int8_step(s, b->images, b->labels, tern_recipe_rate(&recipe, epoch + k / batches)));
        TERN_TRY(tern_session_output(s->session, "loss", &out));
        sum += tern_get(&out, 0) * l->batch; /* the sum over the samples that are real */
        seen += b->count;
        if (tern_interrupted()) return tern_fail(TERN_INTERRUPTED, "interrupted");
    }
    *loss = sum / (double)seen;
    return TERN_OK;
}

tern_status tern_int8_learn(const tern_int8_learning *l, tern_store *store, tern_pool *pool,
                            tern_int8_learned *learned)
{
    tern_int8_stepper s = {0};
    tern_loader *loader = NULL;
    tern_shape sample = l->train->images.shape;
    memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    tern_loader_options how = {.batch = l->batch, .shuffle = true, .seed = l->seed};
    *learned = (tern_int8_learned){0};
    tern_status status =
        open_stepper(&s, l->net, l->parameters, &sample, l->batch, &l->update, store, pool, true);
    if (status == TERN_OK) status = tern_loader_open(&loader, l->train, &how);
    for (int epoch = 0; status == TERN_OK && epoch < l->epochs; epoch++) {
        double *loss = epoch ? &learned->last_loss : &learned->first_loss;
        status = run_epoch(l, &s, loader, epoch, loss);
        if (epoch == 0) learned->last_loss = *loss;
        if (status == TERN_OK && !l->quiet)
            fprintf(stderr, "epoch %d of %d: loss %.4f\n", epoch + 1, l->epochs, *loss);
    }
    learned->steps = (uint64_t)s.step;
    tern_loader_close(loader);
    tern_int8_stepper_close(&s);
    TERN_TRY(status);
    if (!l->test) return TERN_OK;
    tern_evaluation e;
    TERN_TRY(tern_evaluate(&e, l->net, l->parameters, l->test, 100, 0, store, pool));
    learned->test_loss = e.loss;
    learned->test_accuracy = e.accuracy;
    tern_evaluation_free(&e);
    return TERN_OK;
}
