/* Rules of learning through time, as bodies of a scan. */
#include "train/rule.h"

#include "op/op.h"
#include "op/scan.h"

#include <string.h>

/* The body under construction. */
typedef struct tern_sltt_body {
    tern_graph *g, *forward_only;
    tern_value loss;
    tern_value *params, *sums, *grads; /* sums: states in which the gradients are added up */
    int count;
} tern_sltt_body;

/* ((1 - alpha) cross-entropy + alpha squared error) / T of one step; target may be empty. */
static tern_value step_loss(tern_graph *g, const tern_sltt *rule, tern_value logits, tern_value labels,
                            tern_value target)
{
    tern_layer(g, "loss", "loss");
    double share = 1.0 / rule->timesteps;
    tern_value loss = tern_cross_entropy(g, logits, labels, .smoothing = rule->smoothing);
    loss = tern_multiply(g, loss, tern_scalar(g, (1 - rule->alpha) * share));
    if (rule->alpha == 0) return loss;
    tern_value away = tern_subtract(g, logits, target.id ? target : tern_scalar(g, 1));
    tern_value squares = tern_flatten(g, tern_multiply(g, away, away), .from = 0);
    tern_value mean = tern_mean(g, squares, .axis = 0);
    return tern_add(g, loss, tern_multiply(g, mean, tern_scalar(g, rule->alpha * share)));
}

/* A copy of an outer value's type as an input of the body; frames [T,B,..] give [1,B,..]. */
static tern_value body_input(tern_graph *body, const tern_graph *outer, const char *name, tern_value value)
{
    const tern_value_info *v = tern_value_of(outer, value);
    if (!v) return tern_graph_fail(body, "%s: there is no such value", name);
    tern_shape s = v->type.shape;
    if (strcmp(name, "frame") == 0) s.dim[0] = 1;
    return tern_input(body, name, v->type.dtype, s);
}

/* Forward pass of one step with its loss, and a sum for the gradient of each parameter. */
static tern_status forward(tern_sltt_body *b, const tern_graph *outer, const tern_sltt *rule,
                           const tern_sltt_inputs *inputs)
{
    tern_graph *g = b->g;
    tern_value frame = body_input(g, outer, "frame", inputs->frames), target = {0};
    tern_value labels = body_input(g, outer, "labels", inputs->labels);
    if (inputs->target.id) target = body_input(g, outer, "target", inputs->target);
    TERN_TRY(tern_graph_status(g));
    tern_shape s = tern_shape_of(g, frame);
    for (int i = 1; i < s.rank; i++) s.dim[i - 1] = s.dim[i];
    s.rank--;
    tern_value logits = rule->build(g, rule->context, tern_reshape(g, frame, s));
    b->loss = step_loss(g, rule, logits, labels, target);
    tern_output(g, "logits", logits);
    tern_output(g, "loss", b->loss);
    TERN_TRY(tern_graph_status(g));
    size_t values = (size_t)g->value_count;
    b->params = tern_arena_take(&g->arena, 3 * values * sizeof *b->params);
    if (!b->params) return tern_no_memory(3 * values * sizeof *b->params, "a learning rule");
    b->sums = b->params + values; /* zero: none */
    b->grads = b->sums + values;
    for (size_t i = 1; i < values; i++)
        if (g->values[i].kind == TERN_VALUE_PARAM) b->params[b->count++] = (tern_value){(int)i};
    for (int i = 0; i < b->count && !rule->through_time; i++) {
        const char *name = tern_arena_format(&g->arena, "%s.gradient", tern_value_of(g, b->params[i])->name);
        if (!name) return tern_no_memory(64, "a learning rule");
        b->sums[i] = tern_state(g, name, TERN_F32, tern_shape_of(g, b->params[i]), (tern_init){0}, false);
    }
    return tern_graph_status(g);
}

/* The gradient of the step behind its forward pass.  States are sources: nothing flows into the step before. */
static tern_status backward(tern_sltt_body *b)
{
    tern_graph *g = b->g;
    TERN_TRY(tern_gradients(g, b->loss, b->params, b->count, b->grads));
    g->phase = TERN_BACKWARD;
    for (int i = 0; i < b->count; i++)
        if (b->grads[i].id) tern_next(g, b->sums[i], tern_add(g, b->sums[i], b->grads[i]));
    return tern_graph_status(g);
}

/* The scan in the outer graph; the body's states come in the order in which they were made: those of the net first. */
static tern_status apply(tern_graph *graph, const tern_sltt_body *b, const tern_sltt *rule,
                         const tern_sltt_inputs *inputs, tern_learned *learned)
{
    int64_t frames = tern_shape_of(graph, inputs->frames).dim[0];
    tern_value in[3] = {inputs->frames, inputs->labels, inputs->target}, out[TERN_MAX_OUT];
    tern_scan_op scan = {.body = b->g,
                         .other = b->forward_only,
                         .steps = rule->timesteps,
                         .slices = frames > 1 || rule->timesteps == 1,
                         .chosen = rule->chosen};
    tern_layer(graph, "sltt", "sltt");
    tern_scan(graph, &scan, in, inputs->target.id ? 3 : 2, inputs->mask, out);
    TERN_TRY(tern_graph_status(graph));
    learned->logits = out[0];
    learned->loss = out[1];
    learned->count = b->count;
    learned->params = tern_arena_take(&graph->arena, 2 * ((size_t)b->count + 1) * sizeof *learned->params);
    if (!learned->params) return tern_no_memory((size_t)b->count * sizeof *out, "a learning rule");
    learned->grads = learned->params + b->count;
    int at = 2;
    for (int i = 1; i < b->g->value_count; i++) {
        if (b->g->values[i].kind != TERN_VALUE_STATE) continue;
        for (int k = 0; k < b->count; k++)
            if (b->sums[k].id == i && b->grads[k].id) learned->grads[k] = out[at];
        at++;
    }
    for (int k = 0; k < b->count; k++)
        learned->params[k] = tern_find_value(graph, tern_value_of(b->g, b->params[k])->name);
    if (!rule->through_time) return TERN_OK;
    return tern_gradients(graph, learned->loss, learned->params, learned->count, learned->grads);
}

tern_status tern_rule_sltt(tern_graph *graph, const tern_sltt *rule, const tern_sltt_inputs *inputs,
                           tern_learned *learned)
{
    TERN_TRY(tern_graph_status(graph));
    if (rule->timesteps < 1 || rule->chosen < 0 || rule->chosen > rule->timesteps)
        return tern_fail(TERN_USAGE, "rule sltt: %d of %d time steps are to learn, expected 1 to %d",
                         rule->chosen, rule->timesteps, rule->timesteps);
    tern_graph_options options = graph->options;
    options.stepping = true;
    tern_sltt_body b = {0};
    *learned = (tern_learned){0};
    TERN_TRY(tern_graph_open(&b.g, &options));
    tern_status status = forward(&b, graph, rule, inputs);
    if (status == TERN_OK && rule->chosen > 0) status = tern_pass_dead(b.g, &b.forward_only);
    if (status == TERN_OK && !rule->through_time) status = backward(&b);
    if (status == TERN_OK) status = apply(graph, &b, rule, inputs, learned);
    tern_graph_close(b.forward_only);
    tern_graph_close(b.g);
    return status;
}

/* ---- nets of the zoo ----------------------------------------------------------------------------------------- */

int tern_net_steps(const tern_net *net, const void *parameters)
{
    double steps = 0;
    if (net->spiking && tern_net_get(net, parameters, "timesteps", &steps) == TERN_OK) return (int)steps;
    return 0;
}

bool tern_net_sees_clip(const tern_net *net, const tern_shape *sample)
{
    return net->spiking && sample->rank == net->sample.rank + 1;
}

typedef struct tern_net_step {
    const tern_net *net;
    const void *parameters;
} tern_net_step;

static tern_value net_step(tern_graph *g, const void *context, tern_value frame)
{
    const tern_net_step *step = context;
    return step->net->build(g, step->parameters, frame);
}

/* The input "image": [B,..], read as one frame for all steps, or a clip [T,B,..]. */
static tern_value add_frames(tern_graph *graph, const tern_net *net, const tern_shape *sample, int batch)
{
    tern_shape image = {.rank = sample->rank + 1, .dim = {batch}}, frames = {.rank = 1, .dim = {1}};
    memcpy(image.dim + 1, sample->dim, (size_t)sample->rank * sizeof *image.dim);
    if (tern_net_sees_clip(net, sample)) {
        image.dim[0] = sample->dim[0];
        image.dim[1] = batch;
        return tern_input(graph, "image", TERN_F32, image);
    }
    memcpy(frames.dim + 1, image.dim, (size_t)image.rank * sizeof *image.dim);
    frames.rank += image.rank;
    return tern_reshape(graph, tern_input(graph, "image", TERN_F32, image), frames);
}

tern_status tern_rule_net(tern_graph *graph, const tern_net *net, const void *parameters,
                          const tern_shape *sample, int batch, const tern_recipe *recipe, bool through_time,
                          tern_learned *learned)
{
    tern_net_step step = {net, parameters};
    tern_sltt rule = {.timesteps = tern_net_steps(net, parameters),
                      .chosen = recipe->rule == TERN_SLTT_K && !through_time ? recipe->chosen : 0,
                      .through_time = through_time,
                      .alpha = recipe->square,
                      .smoothing = recipe->smoothing,
                      .build = net_step,
                      .context = &step};
    if (rule.timesteps < 1)
        return tern_fail(TERN_USAGE, "net %s has no time steps: rule sltt needs a spiking net", net->name);
    if (tern_net_sees_clip(net, sample) && sample->dim[0] != rule.timesteps)
        return tern_fail(TERN_USAGE, "net %s takes %d steps, the clips have %lld frames", net->name,
                         rule.timesteps, (long long)sample->dim[0]);
    tern_sltt_inputs inputs = {.frames = add_frames(graph, net, sample, batch),
                               .labels = tern_input(graph, "labels", TERN_I32, TERN_SHAPE(batch))};
    if (rule.chosen) inputs.mask = tern_input(graph, "mask", TERN_F32, TERN_SHAPE(rule.timesteps));
    return tern_rule_sltt(graph, &rule, &inputs, learned);
}
