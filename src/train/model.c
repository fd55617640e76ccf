/* A net becomes a program: to infer, or to train with loss, gradients and updates in the same graph. */
#include "train/train.h"

#include "op/op.h"
#include "op/optimiser.h"
#include "quant/quant.h"
#include "train/error.h"
#include "train/rule.h"

#include <string.h>

/* [B,..] from the shape of one sample. */
static tern_shape batched(const tern_shape *sample, int batch)
{
    tern_shape s = {.rank = sample->rank + 1};
    s.dim[0] = batch;
    memcpy(s.dim + 1, sample->dim, (size_t)sample->rank * sizeof *s.dim);
    return s;
}

/* Replaces *graph by the result of a pass. */
static tern_status pass(tern_graph **graph, tern_status (*apply)(const tern_graph *, tern_graph **))
{
    tern_graph *result = NULL;
    TERN_TRY(apply(*graph, &result));
    tern_graph_close(*graph);
    *graph = result;
    return TERN_OK;
}

int tern_model_frames(const tern_net *net, const tern_shape *sample)
{
    return !net->spiking && net->sample.rank == 3 && sample->rank == 4 ? (int)sample->dim[0] : 1;
}

/* Logits of images; of clips [B,T,C,H,W] frame by frame (rows [T B]): the logarithm of the mean of their softmax. */
static tern_value logits_of(tern_graph *g, const tern_net *net, const void *parameters, tern_value image,
                            int frames)
{
    tern_shape s = tern_shape_of(g, image);
    if (frames == 1) return net->build(g, parameters, image);
    image = tern_permute(g, image, TERN_SHAPE(1, 0, 2, 3, 4));
    image = tern_reshape(g, image, TERN_SHAPE(frames * s.dim[0], s.dim[2], s.dim[3], s.dim[4]));
    tern_value logits = tern_softmax(g, net->build(g, parameters, image));
    tern_layer(g, "frames", "frames");
    logits = tern_mean(g, tern_reshape(g, logits, TERN_SHAPE(frames, s.dim[0], -1)), .axis = 0);
    return tern_log(g, tern_add(g, logits, tern_scalar(g, 1e-7))); /* where all is 0 but for one class */
}

/* Group convolutions where the net asks for them. */
static tern_status regroup(tern_graph **graph, const tern_net *net, const void *parameters)
{
    if (!net->regroup) return TERN_OK;
    const tern_regroup *how = (const void *)((const char *)parameters + net->regroup);
    tern_graph *result = NULL;
    tern_status status = tern_pass_regroup(*graph, how, &result);
    if (status != TERN_OK) return tern_in(status, "net %s", net->name);
    tern_graph_close(*graph);
    *graph = result;
    return TERN_OK;
}

/* Fixed point where the net asks for it. */
static tern_status add_fixed(tern_graph **graph, const tern_net *net, const void *parameters)
{
    if (!net->fixed) return TERN_OK;
    tern_graph *result = NULL;
    tern_status status =
        tern_pass_insert_fixed(*graph, (const void *)((const char *)parameters + net->fixed), &result);
    if (status != TERN_OK) return tern_in(status, "net %s", net->name);
    tern_graph_close(*graph);
    *graph = result;
    if (!net->integers) return TERN_OK;
    if (result->options.training)
        return tern_fail(TERN_USAGE,
                         "net %s computes in integers and is not trained; train what it was made of",
                         net->name);
    return pass(graph, tern_pass_fixed_form);
}

/* Delta layers where the net asks for them, and in training their penalty as part of the loss. */
static tern_status add_delta(tern_graph **graph, const tern_net *net, const void *parameters, int frames,
                             const tern_recipe *recipe)
{
    if (net->delta) {
        const tern_delta_parameters *p = (const void *)((const char *)parameters + net->delta);
        tern_delta_args layer = {.per = (tern_step_per)p->per, .start = p->start};
        tern_graph *result = NULL;
        TERN_TRY(tern_pass_insert_delta(*graph, &layer, &result));
        tern_graph_close(*graph);
        *graph = result;
    }
    tern_graph *g = *graph;
    if (!recipe || !tern_recipe_penalises(recipe)) return TERN_OK;
    g->layer = "loss";
    tern_value penalty = tern_delta_penalty(g, frames, recipe->delta_values);
    if (!penalty.id && tern_graph_status(g) == TERN_OK)
        return tern_fail(TERN_USAGE, "net %s has no delta layers that a penalty could act on; take %s-delta",
                         net->name, net->name);
    penalty = tern_multiply(g, penalty, tern_input(g, "penalty", TERN_F32, TERN_SHAPE(1)));
    for (int i = 0; i < g->output_count; i++)
        if (strcmp(g->outputs[i].name, "loss") == 0)
            g->outputs[i].value = tern_add(g, g->outputs[i].value, penalty);
    return tern_graph_status(g);
}

/* In bytes where the net asks for it. */
static tern_status in_bytes(tern_graph **graph, const tern_net *net, const void *parameters)
{
    const tern_int8_parameters *p = (const void *)((const char *)parameters + net->int8);
    tern_graph *result = NULL;
    tern_status status = tern_pass_int8(*graph, p, &result, NULL);
    if (status != TERN_OK) return tern_in(status, "net %s", net->name);
    tern_graph_close(*graph);
    *graph = result;
    return TERN_OK;
}

/* In 16 bits where the net asks for it. */
static tern_status in_halves(tern_graph **graph, const tern_net *net, const void *parameters)
{
    const tern_half_parameters *p = (const void *)((const char *)parameters + net->half);
    tern_graph *result = NULL;
    tern_status status = tern_pass_half(*graph, p, &result, NULL);
    if (status != TERN_OK) return tern_in(status, "net %s", net->name);
    tern_graph_close(*graph);
    *graph = result;
    return TERN_OK;
}

/* Products of rounded operands where the net asks for them. */
static tern_status insert_fake(tern_graph **graph, const tern_net *net, const void *parameters)
{
    tern_graph *result = NULL;
    if (!net->qat) return TERN_OK;
    const tern_qat_parameters *p = (const void *)((const char *)parameters + net->qat);
    tern_status status = tern_pass_insert_fake(*graph, p, &result);
    if (status != TERN_OK) return tern_in(status, "net %s", net->name);
    tern_graph_close(*graph);
    *graph = result;
    return TERN_OK;
}

static tern_status check_outputs(tern_graph *g, const tern_net *net, tern_value y, int targets)
{
    TERN_TRY(tern_graph_status(g));
    tern_shape s = tern_shape_of(g, y);
    if (s.rank == 2 && s.dim[1] == targets) return TERN_OK;
    return tern_fail(TERN_USAGE, "net %s has %lld outputs, the data %d targets of a sample", net->name,
                     (long long)tern_elements_from(&s, 1), targets);
}

/* Forward graph with output "logits" and, to train (a recipe), "loss". */
static tern_status forward(tern_graph **graph, const tern_net *net, const void *parameters,
                           const tern_shape *sample, int batch, const tern_graph_options *options,
                           const tern_recipe *recipe)
{
    TERN_TRY(tern_graph_open(graph, options));
    tern_graph *g = *graph;
    int frames = tern_model_frames(net, sample);
    tern_value image = tern_input(g, "image", TERN_F32, batched(sample, batch));
    tern_value logits = logits_of(g, net, parameters, image, frames);
    tern_output(g, "logits", logits);
    if (options->training && recipe->targets) {
        TERN_TRY(check_outputs(g, net, logits, recipe->targets));
        tern_output(g, "loss", tern_target_loss(g, logits, recipe));
    } else if (options->training) {
        tern_value labels = tern_input(g, "labels", TERN_I32, TERN_SHAPE(batch));
        tern_layer(g, "loss", "loss");
        tern_output(g, "loss", tern_cross_entropy(g, logits, labels, .smoothing = recipe->smoothing));
    }
    tern_status status = tern_graph_status(g);
    if (status != TERN_OK) return tern_in(status, "net %s", net->name);
    TERN_TRY(regroup(graph, net, parameters));
    TERN_TRY(insert_fake(graph, net, parameters));
    TERN_TRY(add_fixed(graph, net, parameters));
    TERN_TRY(add_delta(graph, net, parameters, frames, recipe));
    TERN_TRY(pass(graph, tern_pass_hoist));
    if (!options->training) TERN_TRY(pass(graph, tern_pass_fold_norm));
    TERN_TRY(pass(graph, tern_pass_fold));
    TERN_TRY(pass(graph, tern_pass_common));
    if (net->half) return in_halves(graph, net, parameters);
    return net->int8 ? in_bytes(graph, net, parameters) : TERN_OK;
}

static tern_status inference(tern_graph **graph, const tern_net *net, const void *parameters,
                             const tern_shape *sample, int batch, const tern_graph_options *options,
                             bool fused)
{
    *graph = NULL;
    tern_status status = forward(graph, net, parameters, sample, batch, options, NULL);
    if (status == TERN_OK && fused) status = pass(graph, tern_pass_fuse);
    if (status == TERN_OK) return TERN_OK;
    tern_graph_close(*graph);
    *graph = NULL;
    return status;
}

tern_status tern_model_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                             const tern_shape *sample, int batch, uint64_t seed)
{
    return inference(graph, net, parameters, sample, batch, &(tern_graph_options){.seed = seed}, true);
}

tern_status tern_model_plain_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                                   const tern_shape *sample, int batch, uint64_t seed)
{
    return inference(graph, net, parameters, sample, batch, &(tern_graph_options){.seed = seed}, false);
}

tern_status tern_model_step_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                                  const tern_shape *frame, int batch, uint64_t seed)
{
    return inference(graph, net, parameters, frame, batch,
                     &(tern_graph_options){.seed = seed, .stepping = true}, true);
}

/* What the optimisers keep beside each parameter: <parameter>.<kind>. */
static const char *const moment_kinds[3] = {"mean", "square", "highest"};

static bool is_moment(const tern_store *store, const char *name)
{
    const char *dot = strrchr(name, '.');
    for (size_t k = 0; dot && k < TERN_COUNT(moment_kinds); k++) {
        if (strcmp(dot + 1, moment_kinds[k]) != 0) continue;
        for (int i = 0; i < store->count; i++)
            if (strlen(store->names[i]) == (size_t)(dot - name) &&
                strncmp(store->names[i], name, (size_t)(dot - name)) == 0)
                return true;
    }
    return false;
}

tern_status tern_hand_over(const tern_store *from, tern_store *to)
{
    for (int i = 0, index; i < from->count; i++) {
        const tern_tensor *t = &from->tensors[i];
        tern_type type = {.dtype = t->dtype, .shape = t->shape};
        if (is_moment(from, from->names[i])) continue;
        TERN_TRY(tern_store_need(to, from->names[i], &type, (tern_init){0}, 0, &index));
        memcpy(to->tensors[index].data, t->data, tern_bytes_of(t->dtype, tern_elements(&t->shape)));
    }
    to->version++;
    return TERN_OK;
}

/* The nodes that turn parameter p with gradient d into its next value. */
static void update(tern_graph *g, const tern_recipe *r, tern_value p, tern_value d, tern_value rate,
                   tern_value step)
{
    const tern_value_info *info = tern_value_of(g, p);
    const char *name = info->name;
    bool limited = info->limited;
    double low = info->low, high = info->high, factor = info->rate;
    tern_shape shape = info->type.shape;
    double decay = shape.rank >= 2 ? r->decay : 0;
    tern_value out[4] = {{0}}, moments[3] = {{0}};
    int count = r->optimiser == TERN_SGD ? 1 : r->optimiser == TERN_AMSGRAD ? 3 : 2;
    g->layer = "update";
    if (factor != 0) rate = tern_multiply(g, rate, tern_scalar(g, factor));
    for (int i = 0; i < count; i++) {
        char *label = tern_arena_format(&g->arena, "%s.%s", name, moment_kinds[i]);
        moments[i] = tern_state(g, label ? label : "", TERN_F32, shape, (tern_init){0}, true);
    }
    if (r->optimiser == TERN_SGD) {
        tern_sgd_op sgd = {.momentum = r->momentum, .decay = decay, .nesterov = r->nesterov};
        tern_apply(g, &tern_op_sgd, &sgd, (tern_value[]){p, d, moments[0], rate}, 4, out);
    } else {
        tern_adam_op adam = {0.9, 0.999, 1e-8, decay, r->optimiser == TERN_ADAMW, count > 2};
        tern_value in[] = {p, d, moments[0], moments[1], rate, step, moments[2]};
        tern_apply(g, &tern_op_adam, &adam, in, count > 2 ? 7 : 6, out);
    }
    if (limited) out[0] = tern_clip(g, out[0], low, high);
    tern_next(g, p, out[0]);
    for (int i = 0; i < count; i++) tern_next(g, moments[i], out[1 + i]);
}

/* The updates behind everything else. */
static tern_status update_all(tern_graph *g, const tern_recipe *r, const tern_value *params,
                              const tern_value *grads, int count)
{
    g->phase = TERN_UPDATE;
    tern_value rate = tern_input(g, "rate", TERN_F32, TERN_SHAPE(1)), step = {0};
    if (r->optimiser != TERN_SGD) step = tern_input(g, "step", TERN_F32, TERN_SHAPE(1));
    for (int i = 0; i < count; i++)
        if (grads[i].id) update(g, r, params[i], grads[i], rate, step);
    return tern_graph_status(g);
}

/* Gradients of all parameters from the loss of the whole net, and the updates. */
static tern_status learn(tern_graph *g, const tern_recipe *r)
{
    int count = 0;
    tern_value *params = tern_take_array(2 * (size_t)g->value_count, sizeof *params), *grads;
    if (!params) return tern_no_memory((size_t)g->value_count * sizeof *params, "gradients");
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) params[count++] = (tern_value){i};
    grads = params + count;
    tern_status status = tern_gradients(g, tern_find_output(g, "loss"), params, count, grads);
    if (status == TERN_OK) status = update_all(g, r, params, grads, count);
    tern_release(params);
    return status;
}

/* One step at a time: the rule gives loss and gradients. */
static tern_status learn_by_step(tern_graph **graph, const tern_net *net, const void *parameters,
                                 const tern_shape *sample, int batch, const tern_recipe *r)
{
    tern_learned learned;
    TERN_TRY(tern_graph_open(graph, &(tern_graph_options){.training = true, .seed = r->seed}));
    tern_graph *g = *graph;
    TERN_TRY(tern_rule_net(g, net, parameters, sample, batch, r, false, &learned));
    tern_value share = tern_scalar(g, 1.0 / tern_net_steps(net, parameters));
    tern_output(g, "logits", tern_multiply(g, learned.logits, share));
    tern_output(g, "loss", learned.loss);
    return update_all(g, r, learned.params, learned.grads, learned.count);
}

/* Halves learn with the norms folded in, as they infer. */
static tern_status learn_in_halves(tern_graph **graph, const tern_net *net, const void *parameters,
                                   const tern_shape *sample, int batch, const tern_recipe *r)
{
    if (r->optimiser != TERN_SGD || r->momentum != 0 || r->decay != 0 || r->smoothing != 0 || r->targets ||
        r->rule != TERN_BPTT || tern_recipe_penalises(r))
        return tern_fail(
            TERN_USAGE,
            "net %s learns classes by gradient descent alone: optimiser sgd, momentum, decay and "
            "smoothing 0, no penalty",
            net->name);
    TERN_TRY(forward(graph, net, parameters, sample, batch, &(tern_graph_options){.seed = r->seed}, NULL));
    return tern_half_learn(*graph, (const void *)((const char *)parameters + net->half));
}

tern_status tern_model_training_graph(tern_graph **graph, const tern_net *net, const void *parameters,
                                      const tern_shape *sample, int batch, const tern_recipe *recipe)
{
    *graph = NULL;
    if (net->int8)
        return tern_fail(
            TERN_USAGE,
            "net %s is not trained: train the net of floats and convert the run, tern convert RUN "
            "--to int8",
            net->name);
    tern_graph_options options = {.training = true, .seed = recipe->seed};
    bool whole = recipe->rule == TERN_BPTT && !net->half;
    tern_status status = net->half ? learn_in_halves(graph, net, parameters, sample, batch, recipe)
                         : whole   ? forward(graph, net, parameters, sample, batch, &options, recipe)
                                   : learn_by_step(graph, net, parameters, sample, batch, recipe);
    if (status == TERN_OK && whole) status = learn(*graph, recipe);
    if (status == TERN_OK) status = pass(graph, tern_pass_common);
    if (status == TERN_OK) status = pass(graph, tern_pass_fuse);
    if (status == TERN_OK) return TERN_OK;
    tern_graph_close(*graph);
    *graph = NULL;
    return status;
}

/* Plan and open the model's graph, unless making that has failed. */
static tern_status open_graph(tern_model *model, tern_status status, const tern_plan_options *options,
                              tern_store *store, tern_pool *pool)
{
    if (status == TERN_OK) status = tern_plan(&model->program, model->graph, options);
    if (status == TERN_OK) status = tern_session_open(&model->session, model->program, store, pool);
    if (status != TERN_OK) tern_model_close(model);
    return status;
}

tern_status tern_model_open(tern_model *model, const tern_net *net, const void *parameters,
                            const tern_shape *sample, int batch, const tern_recipe *recipe, tern_store *store,
                            tern_pool *pool)
{
    return tern_model_open_planned(model, net, parameters, sample, batch, recipe, NULL, store, pool);
}

tern_status tern_model_open_planned(tern_model *model, const tern_net *net, const void *parameters,
                                    const tern_shape *sample, int batch, const tern_recipe *recipe,
                                    const tern_plan_options *options, tern_store *store, tern_pool *pool)
{
    *model = (tern_model){.net = net, .batch = batch};
    tern_status status =
        recipe ? tern_model_training_graph(&model->graph, net, parameters, sample, batch, recipe)
               : tern_model_graph(&model->graph, net, parameters, sample, batch, 0);
    return open_graph(model, status, options, store, pool);
}

tern_status tern_model_open_statistics(tern_model *model, const tern_net *net, const void *parameters,
                                       const tern_shape *sample, int batch, tern_store *store,
                                       tern_pool *pool)
{
    *model = (tern_model){.net = net, .batch = batch};
    tern_status status = inference(&model->graph, net, parameters, sample, batch,
                                   &(tern_graph_options){.batch_statistics = true}, true);
    return open_graph(model, status, NULL, store, pool);
}

void tern_model_close(tern_model *model)
{
    tern_session_close(model->session);
    tern_program_close(model->program);
    tern_graph_close(model->graph);
    *model = (tern_model){0};
}
