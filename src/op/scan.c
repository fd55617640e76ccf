/* scan: a body graph, once for each time step.
 *
 * inputs   the body's inputs (slices [T,..], constants), its parameters, an initial content for each of its states
 *          (optional: else the state's own), and, with a second body, the mask [T]
 * outputs  the body's outputs ([T,..] stacked, or summed), the last content of each state, and the content of each state
 *          before each step [T,elements] (kept only where somebody reads it: the gradient)
 *
 * The gradient is a scan in the other direction, whose body computes a step again and differentiates it. */
#include "op/scan.h"
#include "op/op.h"

#include <string.h>

static const tern_arg scan_args[] = {
    TERN_ARG(tern_scan_op, body, TERN_ARG_GRAPH, "one step"),
    TERN_ARG(tern_scan_op, other, TERN_ARG_GRAPH, "one step where the mask is 0"),
    TERN_ARG(tern_scan_op, steps, TERN_ARG_INT, "time steps T"),
    TERN_ARG(tern_scan_op, slices, TERN_ARG_INT, "inputs that are cut into steps"),
    TERN_ARG(tern_scan_op, stacked, TERN_ARG_INT, "outputs that are stacked, the others are summed"),
    TERN_ARG(tern_scan_op, chosen, TERN_ARG_INT, "steps at which the mask is not 0"),
    TERN_ARG(tern_scan_op, truncate, TERN_ARG_INT,
             "steps that a gradient goes back through the states, 0: all"),
    TERN_ARG(tern_scan_op, reverse, TERN_ARG_BOOL, "from the last step to the first"),
    {0},
};

/* ---- what a body takes and gives ------------------------------------------------------------------------- */

static int count_kind(const tern_graph *body, tern_value_kind kind)
{
    int count = 0;
    for (int i = 1; i < body->value_count; i++) count += body->values[i].kind == kind;
    return count;
}

/* The next value of a kind behind value `id`, or 0. */
static int next_of(const tern_graph *body, tern_value_kind kind, int id)
{
    for (int i = id + 1; i < body->value_count; i++)
        if (body->values[i].kind == kind) return i;
    return 0;
}

typedef struct tern_signature {
    int inputs, params, states, outputs;
} tern_signature;

static tern_signature signature_of(const tern_graph *body)
{
    return (tern_signature){count_kind(body, TERN_VALUE_INPUT), count_kind(body, TERN_VALUE_PARAM),
                            count_kind(body, TERN_VALUE_STATE), body->output_count};
}

static size_t bytes_of(const tern_type *t)
{
    return tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

static const tern_type *output_type(const tern_graph *body, int i)
{
    return &body->values[body->outputs[i].value.id].type;
}

static bool same_sources(const tern_graph *a, const tern_graph *b)
{
    tern_signature s = signature_of(a), o = signature_of(b);
    if (memcmp(&s, &o, sizeof s) != 0) return false;
    static const tern_value_kind kinds[] = {TERN_VALUE_INPUT, TERN_VALUE_PARAM, TERN_VALUE_STATE};
    for (int k = 0; k < 3; k++) {
        int i = 0, j = 0;
        while ((i = next_of(a, kinds[k], i)) != 0 && (j = next_of(b, kinds[k], j)) != 0)
            if (a->values[i].type.dtype != b->values[j].type.dtype ||
                !tern_shape_equal(&a->values[i].type.shape, &b->values[j].type.shape))
                return false;
    }
    for (int i = 0; i < s.outputs; i++)
        if (output_type(a, i)->dtype != output_type(b, i)->dtype ||
            !tern_shape_equal(&output_type(a, i)->shape, &output_type(b, i)->shape))
            return false;
    return true;
}

/* ---- types ------------------------------------------------------------------------------------------------- */

/* Operand `at` against a source of the body, `steps` slices of which it holds. */
static tern_status check_operand(const tern_infer *types, int at, const tern_value_info *source,
                                 int64_t steps)
{
    const tern_type *t = types->in[at];
    char have[96], want[96];
    if (!t) return tern_infer_fail(types, "\"%s\" of the body has no value", source->name);
    if (t->dtype == source->type.dtype &&
        tern_elements(&t->shape) == steps * tern_elements(&source->type.shape))
        return TERN_OK;
    return tern_infer_fail(types, "\"%s\" of the body is %s %s, found %s %s for %lld steps", source->name,
                           tern_dtype_of(source->type.dtype)->name,
                           tern_shape_text(want, &source->type.shape), tern_dtype_of(t->dtype)->name,
                           tern_shape_text(have, &t->shape), (long long)steps);
}

static tern_status infer_states(tern_infer *types, int at)
{
    const tern_scan_op *a = types->args;
    const tern_graph *body = a->body;
    for (int i = 0; (i = next_of(body, TERN_VALUE_STATE, i)) != 0; at++) {
        const tern_value_info *v = &body->values[i];
        if (v->type.dtype == TERN_BIT)
            return tern_infer_fail(types, "state \"%s\" is bits; a body carries numbers", v->name);
        if (types->in[at]) {
            TERN_TRY(check_operand(types, at, v, 1));
        } else if (v->init.kind != TERN_INIT_ZERO && v->init.kind != TERN_INIT_CONSTANT) {
            return tern_infer_fail(types, "state \"%s\" begins with random content: give it a value",
                                   v->name);
        }
        tern_infer_out(types, v->type.dtype, v->type.shape);
    }
    for (int i = 0; (i = next_of(body, TERN_VALUE_STATE, i)) != 0;)
        tern_infer_out(types, body->values[i].type.dtype,
                       TERN_SHAPE(a->steps, tern_elements(&body->values[i].type.shape)));
    return TERN_OK;
}

static tern_status scan_infer(tern_infer *types)
{
    const tern_scan_op *a = types->args;
    TERN_TRY(tern_graph_status(a->body));
    tern_signature s = signature_of(a->body);
    int operands = s.inputs + s.params + s.states + (a->other != NULL);
    if (types->nin != operands)
        return tern_infer_fail(types, "takes %d inputs, found %d", operands, types->nin);
    if (a->steps < 1 || a->slices < 0 || a->slices > s.inputs || a->stacked < 0 || a->stacked > s.outputs)
        return tern_infer_fail(types, "%d steps, %d slices, %d stacked outputs do not fit the body", a->steps,
                               a->slices, a->stacked);
    if (s.outputs + 2 * s.states > TERN_MAX_OUT)
        return tern_infer_fail(types, "%d states are too many", s.states);
    if (a->other && !same_sources(a->body, a->other))
        return tern_infer_fail(types, "its two bodies take or give different values");
    if (a->other && (!types->in[operands - 1] || types->in[operands - 1]->dtype != TERN_F32 ||
                     tern_elements(&types->in[operands - 1]->shape) != a->steps))
        return tern_infer_fail(types, "expected a mask f32 [%d]", a->steps);
    int at = 0;
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_INPUT, i)) != 0; at++)
        TERN_TRY(check_operand(types, at, &a->body->values[i], at < a->slices ? a->steps : 1));
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_PARAM, i)) != 0; at++)
        TERN_TRY(check_operand(types, at, &a->body->values[i], 1));
    for (int i = 0; i < s.outputs; i++) {
        tern_type t = *output_type(a->body, i);
        char text[96];
        if (i < a->stacked && (t.shape.rank < 1 || t.shape.dim[0] != 1))
            return tern_infer_fail(types, "output \"%s\" of the body is %s, expected [1,..]",
                                   a->body->outputs[i].name, tern_shape_text(text, &t.shape));
        if (i >= a->stacked && t.dtype != TERN_F32)
            return tern_infer_fail(types, "output \"%s\" of the body is %s, only f32 is summed",
                                   a->body->outputs[i].name, tern_dtype_of(t.dtype)->name);
        if (i < a->stacked) t.shape.dim[0] = a->steps;
        tern_infer_out(types, t.dtype, t.shape);
    }
    return infer_states(types, at);
}

/* ---- execution --------------------------------------------------------------------------------------------- */

/* What the operator needs besides the bodies' own memory: the states, and one step of what is not used in place. */
typedef struct tern_scan_memory {
    const void **in; /* operands of the body: inputs, parameters */
    void **state, **out;
    void **piece; /* [inputs + outputs]: one step of a value that is not taken where it is, else NULL */
} tern_scan_memory;

/* Memory from *at on; with base NULL only the size is counted. */
static void *carve(char *base, size_t *at, size_t bytes)
{
    void *memory = base ? base + *at : NULL;
    *at += (bytes + 63) / 64 * 64;
    return memory;
}

/* Bits of a step that do not fill whole words can't be addressed where they are. */
static bool needs_piece(const tern_type *t)
{
    return t->dtype == TERN_BIT && tern_elements(&t->shape) % 64 != 0;
}

static size_t layout(const tern_scan_op *a, char *base, tern_scan_memory *m)
{
    tern_signature s = signature_of(a->body);
    size_t at = 0, pointer = sizeof(void *);
    m->in = carve(base, &at, (size_t)(s.inputs + s.params) * pointer);
    m->state = carve(base, &at, (size_t)s.states * pointer);
    m->out = carve(base, &at, (size_t)s.outputs * pointer);
    m->piece = carve(base, &at, (size_t)(s.inputs + s.outputs) * pointer);
    int k = 0;
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_STATE, i)) != 0; k++) {
        void *memory = carve(base, &at, bytes_of(&a->body->values[i].type));
        if (base) m->state[k] = memory;
    }
    k = 0;
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_INPUT, i)) != 0; k++) {
        bool apart = k < a->slices && needs_piece(&a->body->values[i].type);
        void *memory = apart ? carve(base, &at, bytes_of(&a->body->values[i].type)) : NULL;
        if (base) m->piece[k] = memory;
    }
    for (int i = 0; i < s.outputs; i++) {
        bool apart = i >= a->stacked || needs_piece(output_type(a->body, i));
        void *memory = apart ? carve(base, &at, bytes_of(output_type(a->body, i))) : NULL;
        if (base) m->piece[s.inputs + i] = memory;
    }
    return at;
}

static size_t scan_scratch(const tern_call *call)
{
    tern_scan_memory memory;
    return layout(call->args, NULL, &memory);
}

static void begin_states(const tern_call *call, const tern_scan_memory *m, int first)
{
    const tern_scan_op *a = call->args;
    int k = 0;
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_STATE, i)) != 0; k++) {
        const tern_value_info *v = &a->body->values[i];
        tern_tensor state = {v->type.dtype, v->type.shape, m->state[k]};
        if (call->in[first + k].data) {
            memcpy(state.data, call->in[first + k].data, bytes_of(&v->type));
            continue;
        }
        memset(state.data, 0, bytes_of(&v->type));
        int64_t n = v->init.kind == TERN_INIT_CONSTANT ? tern_elements(&v->type.shape) : 0;
        for (int64_t e = 0; e < n; e++) tern_set(&state, e, v->init.scale);
    }
}

/* Where the body finds its inputs at step t. */
static void point_inputs(const tern_call *call, const tern_scan_memory *m, int t)
{
    const tern_scan_op *a = call->args;
    int k = 0;
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_INPUT, i)) != 0; k++) {
        const tern_type *type = &a->body->values[i].type;
        m->in[k] = call->in[k].data;
        if (k >= a->slices) continue;
        int64_t n = tern_elements(&type->shape);
        if (!m->piece[k]) {
            m->in[k] = (const char *)call->in[k].data + (size_t)t * bytes_of(type);
            continue;
        }
        tern_tensor piece = {type->dtype, type->shape, m->piece[k]};
        for (int64_t e = 0; e < n; e++) tern_set(&piece, e, tern_get(&call->in[k], t * n + e));
        m->in[k] = piece.data;
    }
}

/* Where the body leaves its outputs at step t. */
static void point_outputs(const tern_call *call, const tern_scan_memory *m, int inputs, int t)
{
    const tern_scan_op *a = call->args;
    for (int i = 0; i < a->body->output_count; i++) {
        char *whole = call->out[i].data;
        m->out[i] = m->piece[inputs + i];
        if (!whole)
            m->out[i] = NULL;
        else if (!m->out[i])
            m->out[i] = whole + (size_t)t * bytes_of(output_type(a->body, i));
    }
}

/* Outputs that did not go to their place at once. */
static void take_outputs(const tern_call *call, const tern_scan_memory *m, int inputs, int t, bool first)
{
    const tern_scan_op *a = call->args;
    for (int i = 0; i < a->body->output_count; i++) {
        const tern_type *type = output_type(a->body, i);
        int64_t n = tern_elements(&type->shape);
        if (!call->out[i].data || !m->piece[inputs + i]) continue;
        if (i < a->stacked) {
            tern_tensor piece = {type->dtype, type->shape, m->piece[inputs + i]};
            for (int64_t e = 0; e < n; e++) tern_set(&call->out[i], t * n + e, tern_get(&piece, e));
            continue;
        }
        float *sum = call->out[i].data;
        const float *term = m->piece[inputs + i];
        for (int64_t e = 0; e < n; e++) sum[e] = first ? term[e] : sum[e] + term[e];
    }
}

/* Copies of the states: before step t to where the gradient finds them, or (t = steps) their last content. */
static void keep_states(const tern_call *call, const tern_scan_memory *m, tern_signature s, int t)
{
    const tern_scan_op *a = call->args;
    int k = 0;
    for (int i = 0; (i = next_of(a->body, TERN_VALUE_STATE, i)) != 0; k++) {
        size_t bytes = bytes_of(&a->body->values[i].type);
        char *last = call->out[s.outputs + k].data, *trace = call->out[s.outputs + s.states + k].data;
        if (t < a->steps && trace) memcpy(trace + (size_t)t * bytes, m->state[k], bytes);
        if (t == a->steps && last) memcpy(last, m->state[k], bytes);
    }
}

static void scan_run(const tern_call *call)
{
    const tern_scan_op *a = call->args;
    tern_signature s = signature_of(a->body);
    tern_scan_memory m;
    layout(a, call->scratch, &m);
    begin_states(call, &m, s.inputs + s.params);
    for (int i = 0; i < s.params; i++) m.in[s.inputs + i] = call->in[s.inputs + i].data;
    for (int i = 0; i < a->stacked; i++) /* bits are set one by one */
        if (call->out[i].data && m.piece[s.inputs + i])
            memset(call->out[i].data, 0,
                   tern_bytes_of(call->out[i].dtype, tern_elements(&call->out[i].shape)));
    const float *mask = a->other ? call->in[call->nin - 1].data : NULL;
    for (int step = 0; step < a->steps; step++) {
        int t = a->reverse ? a->steps - 1 - step : step;
        tern_call one = *call;
        one.seed = call->seed + (uint64_t)(t + 1) * 0x9e3779b97f4a7c15u;
        point_inputs(call, &m, t);
        point_outputs(call, &m, s.inputs, t);
        keep_states(call, &m, s, t);
        call->run_body(&one, mask && mask[t] == 0, m.in, m.state, m.out);
        take_outputs(call, &m, s.inputs, t, step == 0);
    }
    keep_states(call, &m, s, a->steps);
}

/* The additions of the summed outputs; the bodies account for themselves. */
static void scan_work(const tern_call *call, tern_work *work)
{
    const tern_scan_op *a = call->args;
    for (int i = a->stacked; i < a->body->output_count; i++)
        work->elementwise += (double)(a->steps - 1) * (double)tern_elements(&call->out[i].shape);
}

const tern_op tern_op_scan = {
    .name = "scan",
    .doc = "a body graph, once for each time step",
    .args = scan_args,
    .args_size = sizeof(tern_scan_op),
    .flags = TERN_OP_RANDOM,
    .infer = scan_infer,
    .grad = tern_scan_grad,
    .work = scan_work,
    .run = scan_run,
    .scratch = scan_scratch,
};

/* ---- building ------------------------------------------------------------------------------------------------ */

/* The parameter or kept state of the outer graph that a source of the body stands for. */
static tern_value lift(tern_graph *graph, const tern_value_info *v)
{
    tern_value outer = tern_find_value(graph, v->name);
    if (outer.id) return outer;
    if (v->kind == TERN_VALUE_PARAM) return tern_param(graph, v->name, v->type.shape, v->init);
    return tern_state(graph, v->name, v->type.dtype, v->type.shape, v->init, true);
}

tern_value tern_scan(tern_graph *graph, const tern_scan_op *args, const tern_value *inputs, int count,
                     tern_value mask, tern_value *out)
{
    if (graph->status != TERN_OK) return (tern_value){0};
    tern_status status = tern_graph_status(args->body);
    if (status != TERN_OK) return tern_graph_keep(graph, tern_in(status, "body of a scan"));
    const tern_graph *body = args->body;
    tern_signature s = signature_of(body);
    size_t most = (size_t)(count + s.params + s.states + 1 + s.outputs + 2 * s.states);
    tern_value *in = tern_arena_take(&graph->arena, most * sizeof *in);
    if (!in) return tern_graph_keep(graph, tern_no_memory(most * sizeof *in, "a scan"));
    tern_value *results = in + count + s.params + s.states + 1;
    int nin = count;
    memcpy(in, inputs, (size_t)count * sizeof *in);
    for (int i = 0; (i = next_of(body, TERN_VALUE_PARAM, i)) != 0;) in[nin++] = lift(graph, &body->values[i]);
    for (int i = 0; (i = next_of(body, TERN_VALUE_STATE, i)) != 0;)
        in[nin++] = body->values[i].kept ? lift(graph, &body->values[i]) : (tern_value){0};
    if (args->other) in[nin++] = mask;
    if (s.outputs + 2 * s.states == 0) return tern_graph_fail(graph, "scan: the body gives nothing");
    tern_value first = tern_apply(graph, &tern_op_scan, args, in, nin, results);
    int k = 0;
    for (int i = 0; (i = next_of(body, TERN_VALUE_STATE, i)) != 0; k++)
        if (body->values[i].kept && body->values[i].next.id)
            tern_next(graph, in[count + s.params + k], results[s.outputs + k]);
    if (out && graph->status == TERN_OK) memcpy(out, results, (size_t)(s.outputs + s.states) * sizeof *out);
    return first;
}
