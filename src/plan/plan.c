/* Graph to program: kernels, lifetimes, memory that is shared, offsets. */
#include "plan/plan.h"

#include <string.h>

#define MAX_ORDERED 4000 /* nodes up to which a better order is looked for: the search is quadratic */
#define MAX_TRIES   64   /* values that are tried before recomputation gives up */

void tern_program_close(tern_program *program)
{
    if (!program) return;
    for (int s = 0; program->steps && s < program->step_count; s++)
        for (int i = 0; i < TERN_BODIES; i++) tern_program_close(program->steps[s].body[i]);
    tern_graph_close(program->own_graph);
    tern_release(program->steps);
    tern_release(program->places);
    tern_release(program->copies);
    tern_release(program);
}

tern_call tern_call_of(const tern_graph *graph, const tern_node *node, tern_tensor *in, tern_tensor *out)
{
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = tern_value_of(graph, node->in[i]);
        in[i] = v ? (tern_tensor){v->type.dtype, v->type.shape, NULL} : (tern_tensor){0};
    }
    for (int i = 0; i < node->nout; i++) {
        const tern_type *t = &graph->values[node->out[i].id].type;
        out[i] = (tern_tensor){t->dtype, t->shape, NULL};
    }
    const tern_value_info *first = node->nin ? tern_value_of(graph, node->in[0]) : NULL;
    return (tern_call){.op = node->op,
                       .args = node->args,
                       .nin = node->nin,
                       .nout = node->nout,
                       .in = in,
                       .out = out,
                       .levels = first ? first->type.levels : 0};
}

static size_t value_bytes(const tern_graph *g, int id)
{
    const tern_type *t = &g->values[id].type;
    return tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

/* The last step that reads each value (-1: nobody), outputs and copied nexts being read behind the last step. */
static void last_uses(const tern_program *p, int *last)
{
    const tern_graph *g = p->graph;
    for (int i = 0; i < g->value_count; i++) last[i] = -1;
    for (int s = 0; s < p->step_count; s++) {
        const tern_node *node = p->steps[s].node;
        for (int i = 0; i < node->nin; i++) last[node->in[i].id] = s;
    }
    for (int i = 0; i < g->output_count; i++) last[g->outputs[i].value.id] = p->step_count;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].next.id) last[g->values[i].next.id] = p->step_count;
}

/* Where values are that no step produces. */
static void place_sources(tern_program *p)
{
    static const tern_space spaces[] = {[TERN_VALUE_NODE] = TERN_SPACE_NONE,
                                        [TERN_VALUE_INPUT] = TERN_SPACE_INPUT,
                                        [TERN_VALUE_PARAM] = TERN_SPACE_STORE,
                                        [TERN_VALUE_STATE] = TERN_SPACE_STORE,
                                        [TERN_VALUE_CONSTANT] = TERN_SPACE_CONSTANT};
    for (int i = 1; i < p->graph->value_count; i++)
        p->places[i] = (tern_place){
            .space = spaces[p->graph->values[i].kind], .root = i, .bytes = value_bytes(p->graph, i)};
}

/* Where the results of a step are. */
static tern_space space_of_step(const tern_program *p, int s)
{
    return s < p->prepare_count ? TERN_SPACE_PREPARED : TERN_SPACE_ARENA;
}

/* Whether output `slot` of the node of step s may use the memory of the root of its `operand`. */
static bool may_share(const tern_program *p, int s, int slot, int operand, const int *root_last)
{
    const tern_node *node = p->steps[s].node;
    int in = node->in[operand].id, out = node->out[slot].id;
    if (!in) return false;
    const tern_place *place = &p->places[in];
    if (place->bytes != value_bytes(p->graph, out) || root_last[place->root] > s) return false;
    if (p->graph->values[in].type.dtype != p->graph->values[out].type.dtype) return false;
    for (int i = 0; i < node->nin;
         i++) /* another operand in the same memory would be overwritten under the kernel */
        if (i != operand && node->in[i].id && p->places[node->in[i].id].root == place->root) return false;
    if (place->space == space_of_step(p, s)) return true;
    /* a state may be overwritten by the value that it becomes */
    return place->space == TERN_SPACE_STORE && place->root == in && p->graph->values[in].next.id == out;
}

/* Walk the steps: views and in-place results share memory, everything else gets a block of its own. */
static void place_results(tern_program *p, const tern_plan_options *options, const int *last, int *root_last)
{
    const tern_fixed_places *fixed = options->fixed;
    const tern_graph *g = p->graph;
    for (int i = 0; i < g->value_count; i++) root_last[i] = last[i];
    for (int s = p->step_count - 1; s >= 0; s--) { /* a view keeps the memory of its input alive */
        const tern_node *node = p->steps[s].node;
        int in = node->nin ? node->in[0].id : 0, out = node->nout ? node->out[0].id : 0;
        if ((node->op->flags & TERN_OP_VIEW) && root_last[out] > root_last[in])
            root_last[in] = root_last[out];
    }
    int begun = 0, together = 0; /* steps that start together: the first, and the one behind the last */
    for (int s = 0; s < p->step_count; s++) {
        const tern_node *node = p->steps[s].node;
        if (s >= together) begun = s;
        if (p->steps[s].joined > 1) together = s + p->steps[s].joined;
        for (int i = 0; i < node->nout; i++) {
            int out = node->out[i].id;
            tern_place *place = &p->places[out];
            bool view = i == 0 && (node->op->flags & TERN_OP_VIEW);
            int operand = i < (int)TERN_COUNT(node->op->inplace) ? node->op->inplace[i] - 1 : -1;
            if (!view && root_last[out] < 0) continue; /* nobody reads it */
            if (view || (!fixed && !options->apart && operand >= 0 && operand < node->nin &&
                         may_share(p, s, i, operand, root_last))) {
                const tern_place *shared = &p->places[node->in[view ? 0 : operand].id];
                *place = *shared;
                if (root_last[out] > root_last[shared->root]) root_last[shared->root] = root_last[out];
                if (p->places[shared->root].last < root_last[shared->root])
                    p->places[shared->root].last = root_last[shared->root];
            } else {
                bool host = fixed && s >= p->prepare_count && fixed->offset[out] == TERN_FIXED_HOST;
                *place = (tern_place){
                    host ? TERN_SPACE_HOST : space_of_step(p, s), out, value_bytes(g, out), 0, begun,
                    root_last[out] > s ? root_last[out] : s};
            }
        }
    }
}

/* A state that is not overwritten in place is copied at the end.  Copies out of other states come first, before their
 * sources are overwritten; a cycle of states that only exchange their contents is refused. */
static tern_status place_copies(tern_program *p)
{
    const tern_graph *g = p->graph;
    p->copies = tern_take_array((size_t)g->value_count, sizeof *p->copies);
    if (!p->copies) return tern_no_memory((size_t)g->value_count * sizeof *p->copies, "a plan");
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i < g->value_count; i++) {
            int next = g->values[i].next.id;
            if (!next || p->places[next].root == i) continue;
            bool from_store = p->places[next].space == TERN_SPACE_STORE;
            if (from_store != (round == 0)) continue;
            for (int c = 0; from_store && c < p->copy_count; c++) {
                if (p->copies[c].state == p->places[next].root)
                    return tern_fail(TERN_FAILED,
                                     "plan: states \"%s\" and \"%s\" take each other's content; add 0 to one",
                                     g->values[i].name, g->values[next].name);
            }
            p->copies[p->copy_count++] = (tern_copy){i, next};
        }
    }
    return TERN_OK;
}

static const tern_fast *choose_kernel(const tern_call *call, const tern_plan_options *options)
{
    if (options->reference) return NULL;
    for (const tern_fast *f = call->op->fast; f && f->name; f++)
        if (f->match(call)) return f;
    return NULL;
}

/* Programs of a node's bodies, which run one at a time in the same memory behind the operator's own. */
static tern_status plan_bodies(tern_step *step, const tern_plan_options *options)
{
    tern_plan_options inner = {.reference = options->reference,
                               .many = options->many,
                               .compact = options->compact,
                               .keep_order = options->keep_order,
                               .every_run = true};
    size_t most = 0;
    for (int i = 0; i < TERN_BODIES; i++) {
        const tern_graph *body = tern_body_of(step->node, i);
        if (!body) continue;
        tern_status status = tern_plan(&step->body[i], body, &inner);
        if (status != TERN_OK)
            return tern_in(status, "layer %s: body of %s", step->node->layer, step->node->op->name);
        if (step->body[i]->arena_bytes > most) most = step->body[i]->arena_bytes;
    }
    step->body_offset = (step->scratch_bytes + 63) / 64 * 64;
    if (most) step->scratch_bytes = step->body_offset + most;
    return TERN_OK;
}

static tern_status plan_step(tern_program *p, const tern_node *node, const tern_plan_options *options)
{
    if (node->op->flags & TERN_OP_VIEW) {
        p->steps[p->step_count++] = (tern_step){.node = node};
        return TERN_OK;
    }
    tern_tensor *tensors = tern_take_array((size_t)(node->nin + node->nout), sizeof *tensors);
    if (!tensors) return tern_no_memory((size_t)(node->nin + node->nout) * sizeof *tensors, "a plan");
    tern_call call = tern_call_of(p->graph, node, tensors, tensors + node->nin);
    call.many = options->many;
    tern_step step = {.node = node, .fast = choose_kernel(&call, options)};
    size_t (*scratch)(const tern_call *) = step.fast ? step.fast->scratch : node->op->scratch;
    step.scratch_bytes = scratch ? scratch(&call) : 0;
    tern_release(tensors);
    tern_status status = plan_bodies(&step, options);
    p->steps[p->step_count++] = step; /* its programs are released with it, complete or not */
    return status;
}

/* Offsets of all roots of a space and of the scratch memory of steps from..to-1, which work in it. */
static tern_status allocate(tern_program *p, tern_space space, int from, int to, size_t alignment,
                            size_t *bytes)
{
    const tern_graph *g = p->graph;
    tern_block *blocks = tern_take_array((size_t)g->value_count + (size_t)p->step_count, sizeof *blocks);
    if (!blocks) return tern_no_memory((size_t)g->value_count * sizeof *blocks, "a plan");
    int count = 0;
    for (int i = 1; i < g->value_count; i++) {
        const tern_place *place = &p->places[i];
        if (place->space == space && place->root == i)
            blocks[count++] = (tern_block){place->bytes, 0, place->first, place->last};
    }
    for (int s = from; s < to; s++) {
        int more = p->steps[s].joined > 1 ? p->steps[s].joined - 1 : 0;
        if (p->steps[s].scratch_bytes)
            blocks[count++] = (tern_block){p->steps[s].scratch_bytes, 0, s, s + more};
    }
    if (space == TERN_SPACE_ARENA)
        p->least_bytes = tern_least_bytes(blocks, count, p->step_count + 1, alignment, &p->peak_step);
    tern_status status = tern_allocate(blocks, count, alignment, bytes);
    count = 0;
    for (int i = 1; i < g->value_count; i++) {
        tern_place *place = &p->places[i];
        if (place->space == space && place->root == i) place->offset = blocks[count++].offset;
    }
    for (int s = from; s < to; s++)
        if (p->steps[s].scratch_bytes) p->steps[s].scratch_offset = blocks[count++].offset;
    for (int i = 1; i < g->value_count; i++)
        if (p->places[i].space == space) p->places[i].offset = p->places[p->places[i].root].offset;
    tern_release(blocks);
    return status;
}

/* The places that are given, scratch memory behind them. */
static void take_places(tern_program *p, const tern_fixed_places *fixed)
{
    size_t scratch = 0, behind = (fixed->bytes + TERN_LINE - 1) / TERN_LINE * TERN_LINE;
    for (int i = 1; i < p->graph->value_count; i++)
        if (p->places[i].space == TERN_SPACE_ARENA) p->places[i].offset = fixed->offset[p->places[i].root];
    for (int s = p->prepare_count; s < p->step_count; s++) {
        p->steps[s].scratch_offset = behind;
        if (p->steps[s].scratch_bytes > scratch) scratch = p->steps[s].scratch_bytes;
    }
    p->arena_bytes = scratch ? behind + scratch : fixed->bytes;
    p->least_bytes = p->arena_bytes;
}

/* The message of a program that does not fit: the biggest tensors alive at the peak. */
static tern_status does_not_fit(const tern_program *p, size_t memory)
{
    const tern_graph *g = p->graph;
    char need[24], have[24], bytes[24], shape[96];
    tern_text text = {0};
    size_t above = SIZE_MAX;
    const tern_step *step = p->peak_step < p->step_count ? &p->steps[p->peak_step] : NULL;
    if (step && step->scratch_bytes)
        tern_text_format(&text, "scratch of %s (%s)", step->fast ? step->fast->name : step->node->op->name,
                         tern_human(bytes, (double)step->scratch_bytes, "B"));
    for (int shown = 0; shown < 5; shown++) {
        int biggest = 0;
        for (int i = 1; i < g->value_count; i++) {
            const tern_place *place = &p->places[i];
            bool alive = place->space == TERN_SPACE_ARENA && place->root == i &&
                         place->first <= p->peak_step && p->peak_step <= place->last;
            if (alive && place->bytes < above && (!biggest || place->bytes > p->places[biggest].bytes))
                biggest = i;
        }
        if (!biggest) break;
        above = p->places[biggest].bytes;
        const tern_value_info *v = &g->values[biggest];
        const tern_node *node = g->nodes[v->node];
        tern_text_format(&text, "%s%s %s of %s (%s)", text.size ? ", " : "",
                         tern_dtype_of(v->type.dtype)->name, tern_shape_text(shape, &v->type.shape),
                         node->layer, tern_human(bytes, (double)above, "B"));
    }
    tern_status status = tern_fail(
        TERN_NO_FIT, "does not fit: the arena needs %s, the budget is %s; alive at step %d (%s): %s",
        tern_human(need, (double)p->arena_bytes, "B"), tern_human(have, (double)memory, "B"), p->peak_step,
        step ? step->node->layer : "outputs", text.data ? text.data : "");
    tern_text_free(&text);
    return status;
}

/* Whether each node leads to an output or a next value; the others are left out of the program. */
static void mark_live(const tern_graph *g, int *live)
{
    memset(live, 0, (size_t)g->value_count * sizeof *live);
    for (int i = 0; i < g->output_count; i++) live[g->outputs[i].value.id] = 1;
    for (int i = 1; i < g->value_count; i++) live[g->values[i].next.id] = 1;
    for (int n = g->node_count - 1; n >= 0; n--) {
        const tern_node *node = g->nodes[n];
        int needed = 0;
        for (int i = 0; i < node->nout; i++) needed |= live[node->out[i].id];
        for (int i = 0; needed && i < node->nin; i++) live[node->in[i].id] = 1;
    }
}

static bool is_live(const tern_node *node, const int *live)
{
    for (int i = 0; i < node->nout; i++)
        if (live[node->out[i].id]) return true;
    return false;
}

/* Steps of all live nodes in the given order, those that are prepared first. */
static tern_status plan_steps(tern_program *p, const int *order, const int *live, const bool *fixed,
                              const tern_plan_options *options)
{
    for (int prepared = 1; prepared >= 0; prepared--) {
        for (int n = 0; n < p->graph->node_count; n++) {
            const tern_node *node = p->graph->nodes[order ? order[n] : n];
            if (is_live(node, live) && fixed[node->out[0].id] == (prepared == 1))
                TERN_TRY(plan_step(p, node, options));
        }
        if (prepared) p->prepare_count = p->step_count;
    }
    return TERN_OK;
}

/* Whether steps a and b, of one kernel, may start together. */
static tern_status may_join(const tern_program *p, int a, int b, bool *join)
{
    const tern_node *first = p->steps[a].node, *next = p->steps[b].node;
    const tern_joining *joining = first->op->joining;
    const tern_fast *fast = p->steps[a].fast;
    *join = false;
    if (!joining || !fast || strcmp(fast->name, joining->fast) != 0 || p->steps[b].fast != fast ||
        first->in[0].id != next->in[0].id)
        return TERN_OK;
    size_t operands = (size_t)(first->nin + first->nout), all = operands + (size_t)(next->nin + next->nout);
    tern_tensor *tensors = tern_take_array(all, sizeof *tensors);
    if (!tensors) return tern_no_memory(all * sizeof *tensors, "a plan");
    tern_call one = tern_call_of(p->graph, first, tensors, tensors + first->nin);
    tern_call two = tern_call_of(p->graph, next, tensors + operands, tensors + operands + next->nin);
    *join = joining->match(&one, &two);
    tern_release(tensors);
    return TERN_OK;
}

static tern_status join_steps(tern_program *p)
{
    for (int s = p->prepare_count; s < p->step_count; s++) {
        tern_step *first = &p->steps[s];
        bool join = true;
        first->joined = 1;
        while (join && s + first->joined < p->step_count && first->joined < TERN_MOST_JOINED) {
            const tern_step *next = first + first->joined;
            TERN_TRY(may_join(p, s, s + first->joined, &join));
            if (!join) break;
            if (next->scratch_bytes > first->scratch_bytes) first->scratch_bytes = next->scratch_bytes;
            first->joined++;
        }
        s += first->joined - 1;
    }
    return TERN_OK;
}

/* A program in the given order of nodes (NULL: that of the graph). */
static tern_status plan_nodes(tern_program **program, const tern_graph *graph, const int *order,
                              const tern_plan_options *options)
{
    size_t values = (size_t)graph->value_count;
    tern_program *p = tern_take(sizeof *p);
    int *last = tern_take_array(2 * values, sizeof *last);
    bool *fixed = tern_take_array(values, sizeof *fixed);
    tern_status status = TERN_OK;
    if (!p || !last || !fixed) {
        status = tern_no_memory(values * sizeof *last, "a plan");
        goto done;
    }
    p->graph = graph;
    p->places = tern_take_array(values, sizeof *p->places);
    p->steps = tern_take_array((size_t)graph->node_count + 1, sizeof *p->steps);
    if (!p->places || !p->steps) {
        status = tern_no_memory(values * sizeof *p->places, "a plan");
        goto done;
    }
    mark_live(graph, last);
    if (!options->every_run) tern_mark_prepared(graph, fixed);
    TERN_GOTO(done, plan_steps(p, order, last, fixed, options));
    if (!options->fixed) TERN_GOTO(done, join_steps(p));
    last_uses(p, last);
    place_sources(p);
    place_results(p, options, last, last + values);
    TERN_GOTO(done, place_copies(p));
    size_t alignment = options->compact ? 8 : TERN_LINE;
    TERN_GOTO(done, allocate(p, TERN_SPACE_PREPARED, 0, p->prepare_count, alignment, &p->prepared_bytes));
    TERN_GOTO(done, allocate(p, TERN_SPACE_HOST, 0, 0, alignment, &p->host_bytes));
    if (options->fixed)
        take_places(p, options->fixed);
    else
        TERN_GOTO(done,
                  allocate(p, TERN_SPACE_ARENA, p->prepare_count, p->step_count, alignment, &p->arena_bytes));
done:
    tern_release(last);
    tern_release(fixed);
    if (status == TERN_OK)
        *program = p;
    else
        tern_program_close(p);
    return status;
}

/* In the given order of nodes; NULL: that of the graph, with early updates where they are wanted. */
static tern_status plan_in_order(tern_program **program, const tern_graph *graph, const int *order,
                                 const tern_plan_options *options)
{
    if (order || !options->early) return plan_nodes(program, graph, order, options);
    int *early = tern_take_array((size_t)graph->node_count + 1, sizeof *early);
    tern_status status = early ? tern_order_early(graph, early)
                               : tern_no_memory((size_t)graph->node_count * sizeof *early, "a plan");
    if (status == TERN_OK) status = plan_nodes(program, graph, early, options);
    tern_release(early);
    return status;
}

/* The better of the graph's own order and the one that keeps least alive. */
static tern_status plan_best(tern_program **program, const tern_graph *graph,
                             const tern_plan_options *options)
{
    TERN_TRY(plan_in_order(program, graph, NULL, options));
    if (options->keep_order || options->early || graph->node_count > MAX_ORDERED) return TERN_OK;
    int *order = tern_take_array((size_t)graph->node_count + 1, sizeof *order);
    tern_program *other = NULL;
    tern_status status = order ? tern_order_nodes(graph, order)
                               : tern_no_memory((size_t)graph->node_count * sizeof *order, "a plan");
    if (status == TERN_OK) status = plan_in_order(&other, graph, order, options);
    tern_release(order);
    if (status == TERN_OK && other->arena_bytes < (*program)->arena_bytes &&
        other->copy_count <= (*program)->copy_count) {
        tern_program *worse = *program;
        *program = other;
        other = worse;
    }
    tern_program_close(other);
    if (status != TERN_OK) {
        tern_program_close(*program);
        *program = NULL;
    }
    return status;
}

/* One value less that waits over the peak: replaces *program by a smaller one, or leaves *improved false. */
static tern_status shrink(tern_program **program, const tern_plan_options *options, bool *improved)
{
    *improved = false;
    int candidate = 0;
    size_t bytes = SIZE_MAX;
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        candidate = tern_recompute_candidate(*program, bytes, candidate);
        if (!candidate) return TERN_OK;
        bytes = (*program)->places[candidate].bytes;
        tern_graph *graph = NULL;
        tern_program *smaller = NULL;
        TERN_TRY(tern_recompute_value(*program, candidate, &graph));
        if (!graph) continue;
        tern_status status = plan_in_order(&smaller, graph, NULL, options);
        if (status != TERN_OK || smaller->arena_bytes >= (*program)->arena_bytes) {
            tern_program_close(smaller);
            tern_graph_close(graph);
            TERN_TRY(status);
            continue;
        }
        smaller->own_graph = graph;
        tern_program_close(*program);
        *program = smaller;
        *improved = true;
        return TERN_OK;
    }
    return TERN_OK;
}

tern_status tern_plan(tern_program **program, const tern_graph *graph, const tern_plan_options *options)
{
    static const tern_plan_options defaults = {0};
    if (!options) options = &defaults;
    TERN_TRY(tern_graph_status(graph));
    tern_program *p = NULL;
    TERN_TRY(plan_best(&p, graph, options));
    tern_status status = TERN_OK;
    bool improved = true;
    while (status == TERN_OK && improved && options->memory && p->arena_bytes > options->memory)
        status = shrink(&p, options, &improved);
    if (status == TERN_OK && options->memory && p->arena_bytes > options->memory)
        status = does_not_fit(p, options->memory);
    if (status != TERN_OK)
        tern_program_close(p);
    else
        *program = p;
    return status;
}
