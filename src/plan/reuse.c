/* Distances in a stack of tensors, the last one that was touched on top. */
#include "plan/reuse.h"

#include <math.h>
#include <string.h>

enum { SCRATCH = 0 }; /* stands for the scratch memory of all steps, which is one */

typedef struct stack {
    const tern_program *program;
    int *root;     /* [depth]: values, the last touched first */
    double *bytes; /* [depth]: the most that was touched of each */
    int depth;
    tern_access *accesses;
    int count;
    int *wrote;  /* [values]: 1 + the access that wrote it last, -1 once it was read, 0 before */
    int *writer; /* [values]: 1 + the step that wrote it last, 0 before */
} stack;

/* Bytes touched since the value was; it comes on top. */
static double touch(stack *s, int root, double bytes)
{
    double distance = 0;
    int at = 0;
    while (at < s->depth && s->root[at] != root) distance += s->bytes[at++];
    bool known = at < s->depth;
    double kept = known && s->bytes[at] > bytes ? s->bytes[at] : bytes;
    if (!known) s->depth++;
    memmove(s->root + 1, s->root, (size_t)at * sizeof *s->root);
    memmove(s->bytes + 1, s->bytes, (size_t)at * sizeof *s->bytes);
    s->root[0] = root;
    s->bytes[0] = kept;
    return known ? distance + kept : INFINITY;
}

/* An operand of a step.  Of two runs the second is recorded: what is read first in it may be there from the first, but inputs are new. */
static void access_value(stack *s, int step, int id, double bytes, bool written, bool record)
{
    const tern_place *place = &s->program->places[id];
    if (!id || place->space == TERN_SPACE_NONE || bytes == 0) return;
    int root = place->root;
    tern_value_kind kind = s->program->graph->values[root].kind;
    double distance = touch(s, root, bytes);
    if (!record) return;
    if (kind == TERN_VALUE_INPUT && !s->wrote[root]) distance = INFINITY;
    if (!written && s->wrote[root] > 0) s->accesses[s->wrote[root] - 1].distance = distance;
    bool weights =
        place->space == TERN_SPACE_PREPARED || kind == TERN_VALUE_PARAM || kind == TERN_VALUE_CONSTANT;
    s->accesses[s->count++] = (tern_access){step,
                                            bytes,
                                            written ? INFINITY : distance,
                                            written,
                                            weights && !written,
                                            written ? 0 : s->writer[root]};
    s->wrote[root] = written ? s->count : -1;
    if (written) s->writer[root] = step + 1;
}

static void run_once(stack *s, tern_tensor *tensors, double *bytes, bool record)
{
    for (int i = s->program->prepare_count; i < s->program->step_count; i++) {
        const tern_node *node = s->program->steps[i].node;
        if (node->op->flags & TERN_OP_VIEW) continue;
        tern_call call = tern_call_of(s->program->graph, node, tensors, tensors + node->nin);
        tern_step_bytes(s->program, node, &call, bytes, bytes + node->nin);
        if (s->program->steps[i].scratch_bytes) touch(s, SCRATCH, (double)s->program->steps[i].scratch_bytes);
        for (int k = 0; k < node->nin; k++) access_value(s, i, node->in[k].id, bytes[k], false, record);
        for (int k = 0; k < node->nout; k++)
            access_value(s, i, node->out[k].id, bytes[node->nin + k], true, record);
    }
}

tern_status tern_program_accesses(const tern_program *program, tern_access **accesses, int *count)
{
    size_t values = (size_t)program->graph->value_count, operands = 0, most = 1;
    stack s = {.program = program};
    for (int i = program->prepare_count; i < program->step_count; i++) {
        size_t own = (size_t)(program->steps[i].node->nin + program->steps[i].node->nout);
        operands += own;
        if (own > most) most = own;
    }
    s.root = tern_take_array(values + 1, sizeof *s.root);
    s.bytes = tern_take_array(values + 1, sizeof *s.bytes);
    s.wrote = tern_take_array(values + 1, sizeof *s.wrote);
    s.writer = tern_take_array(values + 1, sizeof *s.writer);
    s.accesses = tern_take_array(operands + 1, sizeof *s.accesses);
    tern_tensor *tensors = tern_take_array(most, sizeof *tensors);
    double *bytes = tern_take_array(most, sizeof *bytes);
    bool all = s.root && s.bytes && s.wrote && s.writer && s.accesses && tensors && bytes;
    if (all) {
        run_once(&s, tensors, bytes, false);
        run_once(&s, tensors, bytes, true);
    }
    tern_release(s.root);
    tern_release(s.bytes);
    tern_release(s.wrote);
    tern_release(s.writer);
    tern_release(tensors);
    tern_release(bytes);
    *accesses = s.accesses;
    *count = s.count;
    if (all) return TERN_OK;
    tern_release(s.accesses);
    *accesses = NULL;
    return tern_no_memory((operands + values) * sizeof *s.accesses, "an account of accesses");
}

static int bucket_of(double age)
{
    return age < TERN_YOUNGEST ? 0 : (int)fmin(2 * log2(age / TERN_YOUNGEST) + 1, TERN_AGES - 1);
}

/* Whether threads share the work of a step: kernels cut products from 256 Ki multiply-accumulates on, elements from 16 Ki. */
static bool is_shared(const tern_work *w)
{
    return w->macs + w->accumulates + 16 * (w->elementwise + w->specials) >= 256 * 1024;
}

tern_status tern_program_ages(const tern_program *program, tern_step_work *steps)
{
    tern_access *accesses;
    int count;
    TERN_TRY(tern_program_accesses(program, &accesses, &count));
    for (int i = 0; i < count; i++) {
        const tern_access *a = &accesses[i];
        double age = a->written || isinf(a->distance) ? 0 : a->distance;
        steps[a->task].aged[bucket_of(age)] += a->bytes;
        if (a->from && is_shared(&steps[a->from - 1].work)) steps[a->task].handed += a->bytes;
    }
    tern_release(accesses);
    return TERN_OK;
}
