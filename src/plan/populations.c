/* A walk along a program: what fires is a population, what multiplies by parameters a projection, and what lies between them
 * belongs to the population that it leads to. */
#include "plan/populations.h"

#include <math.h>

typedef struct walker {
    const tern_program *program;
    tern_event_net *net;
    uint64_t *carries; /* [values]: populations whose spikes a value has; 0: it has sums, or nothing */
    int *sum;          /* [values]: 1 + the sum that it is part of; 0: none */
    int *joined;       /* [sums]: 1 + the sum that it has become part of; 0: it is itself */
    double *pending;   /* [sums]: operations on elements on the way to its neurons */
    int *taker;        /* [sums]: 1 + its population */
    int *belongs;      /* [projections]: its sum */
    int sums;
} walker;

static int root(const walker *w, int sum)
{
    while (w->joined[sum]) sum = w->joined[sum] - 1;
    return sum;
}

/* The sum of all operands, or 0; and the spikes that they carry. */
static int join(walker *w, const tern_node *node, uint64_t *carries)
{
    int sum = 0;
    *carries = 0;
    for (int i = 0; i < node->nin; i++) {
        int id = node->in[i].id;
        if (!id) continue;
        *carries |= w->carries[id];
        if (!w->sum[id]) continue;
        int other = root(w, w->sum[id] - 1);
        if (!sum) {
            sum = other + 1;
        } else if (other != root(w, sum - 1)) {
            w->joined[other] = root(w, sum - 1) + 1;
            w->pending[root(w, sum - 1)] += w->pending[other];
        }
    }
    return sum ? root(w, sum - 1) + 1 : 0;
}

/* [T,B,C,H,W], [B,C,H,W], [T,B,N] or [B,N] as channels and pixels; returns how often such a frame is there. */
static int64_t frame_of(const tern_shape *s, int64_t *channels, int64_t *height, int64_t *width)
{
    bool image = s->rank >= 4;
    *channels = s->dim[image ? s->rank - 3 : s->rank - 1];
    *height = image ? s->dim[s->rank - 2] : 1;
    *width = image ? s->dim[s->rank - 1] : 1;
    return tern_elements(s) / (*channels * *height * *width);
}

/* Those who lead to a sum lead to this population; it is one step behind the last of theirs. */
static void take(walker *w, int sum, int population)
{
    tern_population *p = &w->net->populations[population];
    p->updates += w->pending[sum];
    w->pending[sum] = 0;
    w->taker[sum] = population + 1;
    for (int j = 0; j < w->net->projection_count; j++) {
        tern_projection *projection = &w->net->projections[j];
        if (projection->to >= 0 || root(w, w->belongs[j]) != sum) continue;
        projection->to = population;
        for (int i = 0; i < population; i++)
            if ((projection->from >> i & 1) && w->net->populations[i].depth >= p->depth)
                p->depth = w->net->populations[i].depth + 1;
    }
}

static tern_status add_population(walker *w, const tern_node *node, const tern_shape *shape, int *index)
{
    tern_event_net *net = w->net;
    if (net->population_count == TERN_POPULATIONS - 1)
        return tern_fail(TERN_USAGE, "more than %d layers of neurons", TERN_POPULATIONS - 1);
    tern_population *p = &net->populations[ *index = net->population_count++];
    *p = (tern_population){.name = node->layer ? node->layer : node->op->name};
    p->steps = (int)frame_of(shape, &p->channels, &p->height, &p->width);
    return TERN_OK;
}

static void add_projection(walker *w, const tern_node *node, const tern_work *work, uint64_t from, int sum)
{
    const tern_graph *g = w->program->graph;
    const tern_shape *in = &g->values[node->in[0].id].type.shape,
                     *out = &g->values[node->out[0].id].type.shape;
    int64_t channels, height, width, parameters = tern_elements(&g->values[node->in[1].id].type.shape);
    w->belongs[w->net->projection_count] = sum;
    tern_projection *j = &w->net->projections[w->net->projection_count++];
    *j = (tern_projection){.name = node->layer ? node->layer : node->op->name, .to = -1, .from = from};
    int64_t frames = frame_of(out, &channels, &height, &width);
    frame_of(in, &j->in_channels, &j->in_height, &j->in_width);
    j->once = frames == 1;
    j->events = work->accumulates;
    j->products = work->macs;
    j->weights = parameters / channels;
    j->fan_in = j->weights;
    const tern_shape *window = &g->values[node->in[1].id].type.shape;
    j->dense = window->rank != 4;
    j->kernel_height = j->dense ? 1 : window->dim[2];
    j->stride = j->dense ? 1 : tern_int_argument(node, "stride");
    j->pad = j->dense ? 0 : tern_int_argument(node, "pad");
    j->dilation = j->dense ? 1 : tern_int_argument(node, "dilation");
    j->groups = j->dense ? 1 : tern_int_argument(node, "groups");
    double fan_out = (double)(channels * height * width * j->fan_in) /
                     (double)(j->in_channels * j->in_height * j->in_width);
    double inputs = (double)(j->in_channels * j->in_height * j->in_width *
                             frames); /* numbers; spikes by what they reach */
    j->messages = work->macs > 0 ? inputs : work->accumulates / fan_out / w->net->samples;
}

static bool is_product(const walker *w, const tern_node *node)
{
    if (!node->op->product || node->nin < 2 || !node->in[1].id) return false;
    const tern_place *place = &w->program->places[node->in[1].id];
    return place->space == TERN_SPACE_PREPARED ||
           w->program->graph->values[place->root].kind == TERN_VALUE_PARAM;
}

static tern_status fire(walker *w, const tern_node *node, const tern_work *work, double spikes, int sum)
{
    int index;
    TERN_TRY(add_population(w, node, &w->program->graph->values[node->out[0].id].type.shape, &index));
    tern_population *p = &w->net->populations[index];
    p->fires = true;
    p->spikes = spikes;
    p->updates = work->elementwise + work->specials;
    if (sum) take(w, sum - 1, index);
    w->carries[node->out[0].id] = 1ull << index;
    return TERN_OK;
}

/* What is multiplied although it is a sum: neurons that send numbers. */
static tern_status fire_numbers(walker *w, const tern_node *node, int sum, uint64_t *carries)
{
    int index;
    if (w->taker[sum - 1]) {
        *carries = 1ull << (w->taker[sum - 1] - 1);
        return TERN_OK;
    }
    TERN_TRY(add_population(w, node, &w->program->graph->values[node->in[0].id].type.shape, &index));
    tern_population *p = &w->net->populations[index];
    p->spikes = (double)(p->channels * p->height * p->width) * p->steps * w->net->samples;
    take(w, sum - 1, index);
    *carries = 1ull << index;
    return TERN_OK;
}

static tern_status walk_step(walker *w, int s, const tern_work *work, double spikes)
{
    const tern_node *node = w->program->steps[s].node;
    uint64_t carries;
    int sum = join(w, node, &carries), out = node->out[0].id;
    if (node->op->flags & TERN_OP_FIRES) return fire(w, node, work, spikes, sum);
    if (is_product(w, node)) {
        if (sum) TERN_TRY(fire_numbers(w, node, sum, &carries));
        add_projection(w, node, work, carries ? carries : TERN_FROM_INPUT, w->sums);
        w->sum[out] = ++w->sums;
        return TERN_OK;
    }
    for (int i = 0; i < node->nout; i++) {
        w->sum[node->out[i].id] = sum;
        w->carries[node->out[i].id] = sum ? 0 : carries;
    }
    if (sum) {
        w->pending[sum - 1] += work->elementwise + work->specials;
        return TERN_OK;
    }
    for (int p = 0; p < w->net->population_count; p++) /* a pool works where the spikes come from */
        if (carries >> p & 1) {
            w->net->populations[p].updates += work->elementwise + work->specials;
            break;
        }
    return TERN_OK;
}

/* A sum that nothing takes is read out. */
static tern_status read_out(walker *w)
{
    for (int j = 0; j < w->net->projection_count; j++) {
        int index, sum = root(w, w->belongs[j]);
        if (w->net->projections[j].to >= 0) continue;
        if (w->taker[sum]) {
            w->net->projections[j].to = w->taker[sum] - 1;
            continue;
        }
        const tern_node *node = NULL;
        for (int s = w->program->prepare_count; s < w->program->step_count && !node; s++) {
            const tern_node *n = w->program->steps[s].node;
            if (is_product(w, n) && w->sum[n->out[0].id] && root(w, w->sum[n->out[0].id] - 1) == sum)
                node = n;
        }
        TERN_TRY(add_population(w, node, &w->program->graph->values[node->out[0].id].type.shape, &index));
        take(w, sum, index);
    }
    return TERN_OK;
}

/* Whole numbers of all samples, so that their parts add up to them exactly. */
static void round_counts(tern_event_net *net)
{
    for (int j = 0; j < net->projection_count; j++) {
        net->projections[j].events = round(net->projections[j].events);
        net->projections[j].products = round(net->projections[j].products);
    }
    for (int p = 0; p < net->population_count; p++)
        net->populations[p].updates = round(net->populations[p].updates);
}

static tern_status open_walker(walker *w, tern_event_net *net, double samples)
{
    size_t values = (size_t)w->program->graph->value_count, steps = (size_t)w->program->step_count + 1;
    *net = (tern_event_net){.samples = samples};
    net->populations = tern_take_array(TERN_POPULATIONS, sizeof *net->populations);
    net->projections = tern_take_array(steps, sizeof *net->projections);
    w->carries = tern_take_array(values, sizeof *w->carries);
    w->sum = tern_take_array(values, sizeof *w->sum);
    w->joined = tern_take_array(steps, sizeof *w->joined);
    w->pending = tern_take_array(steps, sizeof *w->pending);
    w->taker = tern_take_array(steps, sizeof *w->taker);
    w->belongs = tern_take_array(steps, sizeof *w->belongs);
    bool all = net->populations && net->projections && w->carries && w->sum && w->joined && w->pending &&
               w->taker && w->belongs;
    return all ? TERN_OK : tern_no_memory(values * sizeof *w->carries, "the populations of a net");
}

tern_status tern_program_populations(const tern_program *program, const tern_work *work, const double *spikes,
                                     double samples, tern_event_net *net)
{
    walker w = {.program = program, .net = net};
    bool fires = false;
    tern_status status = open_walker(&w, net, samples);
    for (int s = program->prepare_count; status == TERN_OK && s < program->step_count; s++)
        status = walk_step(&w, s, &work[s], spikes[s]);
    if (status == TERN_OK) status = read_out(&w);
    for (int p = 0; status == TERN_OK && p < net->population_count; p++) fires |= net->populations[p].fires;
    if (status == TERN_OK && !fires)
        status = tern_fail(TERN_USAGE, "no neuron fires in this net: event cores run spiking nets");
    if (status == TERN_OK) round_counts(net);
    tern_release(w.carries);
    tern_release(w.sum);
    tern_release(w.joined);
    tern_release(w.pending);
    tern_release(w.taker);
    tern_release(w.belongs);
    if (status != TERN_OK) tern_event_net_free(net);
    return status;
}
