/* The probe's kernels: operators of each class at sizes over the whole range that nets have, as the executor calls them.  Rounds
 * go over all of them one after the other, so that what others do for a moment touches one run of each. */
#include "machine/probe_kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one subject --------------------------------------------------------------------------------------------- */

static double bytes_of(const tern_tensor *t)
{
    return (double)tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

/* What the cost model will know of it; bytes are those that it touches. */
static void describe(tern_subject *s, const tern_node *node)
{
    const tern_graph *g = s->graph;
    tern_task_work *t = &s->task;
    double in[MOST_OPERANDS] = {0}, out[MOST_OPERANDS] = {0};
    *t = (tern_task_work){.label = node->op->name, .operator_name = node->op->name};
    for (int i = 0; i < node->nin; i++) in[i] = node->in[i].id ? bytes_of(&s->call.in[i]) : 0;
    if (node->nout) out[0] = bytes_of(&s->call.out[0]);
    if (node->op->touched) node->op->touched(&s->call, in, out);
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = &g->values[node->in[i].id];
        if (!node->in[i].id) continue;
        bool weight = v->kind == TERN_VALUE_PARAM;
        *(weight ? &t->weight_bytes : &t->read_bytes) += in[i];
        if (weight && i == 1) t->weights = v->type.dtype;
        t->bits |= s->call.in[i].dtype == TERN_BIT;
    }
    if (node->nout) t->written_bytes = out[0];
    node->op->work(&s->call, &t->work);
    t->spread = tern_call_spread(&s->call);
    t->defined = node->op->fast && !s->fast;
    if (node->op->product) t->product = node->op->product(&s->call);
    tern_kernel_class(t, s->class);
}

static const tern_fast *fast_of(const tern_call *call)
{
    for (const tern_fast *f = call->op->fast; f && f->name; f++)
        if (f->match(call)) return f;
    return NULL;
}

static void keep_size(size_t *most, size_t bytes)
{
    if (bytes > *most) *most = bytes;
}

tern_status tern_bench_take(tern_bench *b, tern_graph *g, double density)
{
    tern_status status = tern_graph_status(g);
    if (status == TERN_OK && b->count == MOST_KERNELS)
        status = tern_fail(TERN_FAILED, "the probe has too many kernels");
    const tern_node *node = status == TERN_OK ? g->nodes[g->node_count - 1] : NULL;
    while (node && node->op->flags & TERN_OP_VIEW) node = g->nodes[--g->node_count - 1];
    if (node && (node->nin > MOST_OPERANDS || node->nout > MOST_OPERANDS))
        status = tern_fail(TERN_FAILED, "the probe has no room for the operands of %s", node->op->name);
    if (!node || status != TERN_OK || b->seen++ % b->p->thin) {
        tern_graph_close(g);
        return status;
    }
    tern_subject *s = &b->subjects[b->count++];
    *s = (tern_subject){.graph = g};
    for (int i = 0; i < node->nin; i++) {
        const tern_value_info *v = &g->values[node->in[i].id];
        if (!node->in[i].id) continue;
        s->operands[i] = (tern_tensor){v->type.dtype, v->type.shape, NULL};
        s->densities[i] = density;
        keep_size(&b->memory[i], (size_t)bytes_of(&s->operands[i]));
    }
    for (int i = 0; i < node->nout; i++) {
        const tern_value_info *v = &g->values[node->out[i].id];
        s->operands[node->nin + i] = (tern_tensor){v->type.dtype, v->type.shape, NULL};
        if (i == 0) keep_size(&b->result_bytes, (size_t)bytes_of(&s->operands[node->nin]));
    }
    s->call = (tern_call){.op = node->op,
                          .args = node->args,
                          .nin = node->nin,
                          .nout = node->nout,
                          .in = s->operands,
                          .out = s->operands + node->nin,
                          .pool = b->p->pool,
                          .density = s->densities};
    s->fast = fast_of(&s->call);
    size_t (*scratch)(const tern_call *) = s->fast ? s->fast->scratch : node->op->scratch;
    if (scratch) keep_size(&b->scratch, scratch(&s->call));
    describe(s, node);
    return TERN_OK;
}

/* ---- measuring ----------------------------------------------------------------------------------------------- */

enum {
    WARM = 4
}; /* calls until operands of some megabytes stay in the last cache, which keeps what is used again */

void tern_bench_numbers(float *x, size_t count)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(int32_t)state * 0x1p-31F;
    }
}

static void fill_bits(uint64_t *words, size_t count, double density)
{
    uint64_t state = 99;
    uint32_t limit = (uint32_t)(density * 65536);
    for (size_t i = 0; i < count; i++) {
        words[i] = 0;
        for (int k = 0; k < 64; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            words[i] |= (uint64_t)((state >> 48) < limit) << k;
        }
    }
}

/* Weights in a packed format: numbers rounded to it, the same 4096 again and again. */
static void fill_packed(tern_bench *b, tern_dtype format, int64_t elements)
{
    enum { PIECE = 4096 };
    double piece[PIECE];
    tern_rng rng = {7, (uint64_t)format};
    size_t bytes = tern_bytes_of(format, PIECE), all = tern_bytes_of(format, elements);
    for (int64_t i = 0; i < PIECE; i++) piece[i] = 2 * tern_rng_uniform(rng, (uint64_t)i) - 1;
    tern_dtype_of(format)->encode(b->operand[1], 0, PIECE, piece);
    for (size_t at = bytes; at < all; at += bytes)
        memcpy(b->operand[1] + at, b->operand[1], all - at < bytes ? all - at : bytes);
}

/* The operands hold what the subject reads. */
static void fill(tern_bench *b, const tern_subject *s)
{
    const tern_tensor *x = &s->call.in[0], *w = &s->call.in[1];
    double density = x->dtype == TERN_BIT ? s->densities[0] : -1;
    if (density != b->filled_density) {
        if (density < 0)
            tern_bench_numbers((float *)(void *)b->operand[0], b->memory[0] / 4);
        else
            fill_bits((uint64_t *)(void *)b->operand[0], b->memory[0] / 8, density);
        b->filled_density = density;
    }
    if (s->call.nin > 1 && w->dtype != TERN_F32) fill_packed(b, w->dtype, tern_elements(&w->shape));
}

void tern_bench_call(const tern_subject *s)
{
    if (s->fast)
        s->fast->run(&s->call);
    else
        s->call.op->run(&s->call);
}

static void trial_kernel(tern_prober *p, int thread, int64_t times)
{
    (void)thread;
    for (; times > 0; times--) tern_bench_call(p->subject);
}

/* The caches before the last: what nets of some size flow through while the last one keeps them. */
static double near_bytes(const tern_probe *o)
{
    return o->cache_count > 1 ? o->caches[o->cache_count - 2].bytes : 0;
}

void tern_bench_place(const tern_bench *b, tern_subject *s)
{
    for (int i = 0; i < s->call.nin; i++)
        if (s->operands[i].shape.rank) s->operands[i].data = b->operand[i];
    if (s->call.nout) s->operands[s->call.nin].data = b->result; /* of others nobody reads anything */
}

static tern_status take_memory(tern_bench *b)
{
    size_t all = b->scratch + 64;
    b->room = tern_take(all);
    bool good = b->room != NULL;
    for (int i = 0; i < MOST_OPERANDS; i++) {
        size_t bytes = (b->memory[i] + 127) / 64 * 64;
        b->memory[i] = bytes;
        b->operand[i] = tern_take(bytes);
        all += bytes;
        good &= b->operand[i] != NULL;
    }
    b->result = tern_take(b->result_bytes + 64);
    all += b->result_bytes + 64;
    good &= b->result != NULL;
    if (!good) return tern_no_memory(all, "the probe's kernels");
    for (int i = 0; i < MOST_OPERANDS; i++)
        tern_bench_numbers((float *)(void *)b->operand[i], b->memory[i] / 4);
    b->filled_density = -1;
    for (int k = 0; k < b->count; k++) {
        tern_bench_place(b, &b->subjects[k]);
        b->subjects[k].call.scratch = b->room;
    }
    b->p->out->near = near_bytes(b->p->out);
    return tern_bench_take_far(b);
}

/* Numbers in the second operand again, where a packed format had been. */
static void clear_packed(tern_bench *b, const tern_subject *s)
{
    if (s->call.nin > 1 && s->call.in[1].dtype != TERN_F32)
        tern_bench_numbers((float *)(void *)b->operand[1], b->memory[1] / 4);
}

static tern_status measure_all(tern_bench *b)
{
    tern_prober *p = b->p;
    double part = p->part;
    for (int round = -1; round < p->runs; round++) { /* the first finds how often each is to run */
        for (int k = 0; k < b->count; k++) {
            tern_subject *s = &b->subjects[k];
            p->part = part + 8.0 * ((round + 1) * b->count + k) / ((p->runs + 1) * b->count);
            TERN_TRY(tern_probe_pause(p, s->class));
            p->subject = s;
            fill(b, s);
            if (round < 0) {
                tern_probe_calibrate(p, trial_kernel, 1, true);
                s->times = p->times;
            } else {
                p->trial = trial_kernel;
                p->together = true;
                p->threads = 1;
                p->times = WARM;
                tern_probe_time(p); /* its operands are near now */
                p->times = s->times;
                s->runs[round] = tern_probe_time(p) / (double)s->times;
            }
            if (b->far_operands) {
                double seconds = tern_bench_far_run(b, s);
                if (round >= 0) s->far_runs[round] = seconds;
            }
            clear_packed(b, s);
        }
    }
    p->part = part;
    return TERN_OK;
}

static tern_status keep_points(tern_bench *b)
{
    tern_probe *o = b->p->out;
    int runs = b->p->runs;
    o->kernels = tern_take_array((size_t)b->count, sizeof *o->kernels);
    if (!o->kernels) return tern_no_memory((size_t)b->count * sizeof *o->kernels, "the probe");
    for (int k = 0; k < b->count; k++) {
        tern_subject *s = &b->subjects[k];
        const tern_product_shape *m = &s->task.product;
        const tern_work *w = &s->task.work;
        tern_kernel_point *to = &o->kernels[k];
        tern_sort_numbers(s->runs, runs);
        to->name = tern_probe_name(b->p, "%s %d", s->class, k);
        to->kernel = tern_probe_name(b->p, "%s", s->class);
        if (!to->name || !to->kernel) return tern_no_memory(64, "the probe");
        to->median = s->runs[runs / 2];
        to->lower = s->runs[runs / 4];
        to->upper = s->runs[runs - 1 - runs / 4];
        tern_sort_numbers(s->far_runs, runs);
        to->far = s->far_runs[runs / 2];
        to->far_lower = s->far_runs[runs / 4];
        to->far_upper = s->far_runs[runs - 1 - runs / 4];
        to->density = 1;
        if (m->count > 0) {
            to->m = tern_kernel_rows(&s->task), to->n = (double)m->n, to->k = (double)m->k,
            to->count = (double)m->count;
            if (s->task.bits) to->density = w->accumulates / (to->m * to->n * to->k * to->count);
        } else {
            to->bytes = s->task.weight_bytes + s->task.read_bytes + s->task.written_bytes;
            to->written = s->task.written_bytes;
            to->operations = w->macs + w->accumulates + w->specials + w->elementwise;
            to->spread = s->task.spread;
        }
        o->kernel_count = k + 1;
    }
    return TERN_OK;
}

tern_status tern_probe_kernels(tern_prober *p)
{
    tern_bench b = {.p = p, .subjects = tern_take_array(MOST_KERNELS, sizeof *b.subjects)};
    double least = p->least_seconds;
    if (!b.subjects) return tern_no_memory(MOST_KERNELS * sizeof *b.subjects, "the probe");
    p->least_seconds = least / 8; /* there are many, and each is called often */
    tern_bench_fill(&b);
    tern_status status = b.status;
    if (status == TERN_OK) status = take_memory(&b);
    if (status == TERN_OK) status = measure_all(&b);
    if (status == TERN_OK) status = keep_points(&b);
    for (int k = 0; k < b.count; k++) tern_graph_close(b.subjects[k].graph);
    for (int i = 0; i < MOST_OPERANDS; i++) tern_release(b.operand[i]);
    tern_release(b.result);
    tern_release(b.room);
    tern_release(b.far_operands);
    tern_release(b.far_results);
    tern_release(b.subjects);
    p->least_seconds = least;
    p->together = false;
    return status;
}
