/* Integrate-and-fire neurons over all time steps.  Neurons are cut into blocks whose membranes stay in the first
 * cache while time runs, so that each step of x is read once and each spike written once.
 *
 * Step t of a block ends at any bit of the spikes: a word that a block fills alone is stored, one that it shares with
 * its neighbours is set to zero beforehand and or-ed into. */
#include "kernel/loops.h"
#include "kernel/table.h"

#include <string.h>

const tern_loops *tern_loops_get(void)
{
    return tern_kernels_get()->loops;
}

#define BLOCK 2048 /* neurons: with what they read and write, half of the first cache */

static int64_t blocks_of(const tern_neuron *n)
{
    return (n->neurons + BLOCK - 1) / BLOCK;
}

/* Bits [from, from + count) of `words`, count 1..64; words has one word more than its bits need. */
static uint64_t bits_from(const uint64_t *words, int64_t from, int64_t count)
{
    int shift = (int)(from % 64);
    uint64_t bits = words[from / 64] >> shift;
    if (shift) bits |= words[from / 64 + 1] << (64 - shift);
    return count < 64 ? bits & (((uint64_t)1 << count) - 1) : bits;
}

/* Write `count` bits to position `at` of the spikes. */
static void place(uint64_t *spikes, int64_t at, const uint64_t *bits, int64_t count)
{
    int64_t whole = at % 64 == 0 ? count / 64 * 64 : 0;
    memcpy(spikes + at / 64, bits, (size_t)whole / 8);
    for (int64_t i = whole; i < count;) {
        int64_t offset = (at + i) % 64, part = 64 - offset < count - i ? 64 - offset : count - i;
        uint64_t *word = &spikes[(at + i) / 64], piece = bits_from(bits, i, part);
        if (part == 64)
            *word = piece;
        else
            __atomic_fetch_or(word, piece << offset, __ATOMIC_RELAXED);
        i += part;
    }
}

/* Zero the words that blocks or steps share, and the end of the last one. */
static void clear_shared(const tern_neuron *n, uint64_t *spikes)
{
    for (int64_t t = 0; t < n->steps; t++) {
        for (int64_t first = 0; first <= n->neurons; first += BLOCK) {
            int64_t at = t * n->neurons + first;
            if (at % 64) spikes[at / 64] = 0;
        }
        int64_t end = (t + 1) * n->neurons;
        if (end % 64) spikes[end / 64] = 0;
    }
}

typedef struct tern_neuron_pass {
    const tern_neuron *n;
    const tern_loops *loops;
    const tern_neuron_operands *o;
    const tern_neuron_gradients *g;
    double (*sums)[3]; /* of each block, or NULL */
    bool far;          /* u is large and new memory: stored past the caches */
} tern_neuron_pass;

static void forward_block(void *context, int64_t block, int thread)
{
    (void)thread;
    const tern_neuron_pass *p = context;
    const tern_neuron *n = p->n;
    const tern_neuron_operands *o = p->o;
    int64_t first = block * BLOCK, count = n->neurons - first < BLOCK ? n->neurons - first : BLOCK;
    _Alignas(64) float v[BLOCK], u[BLOCK];
    uint64_t bits[BLOCK / 64 + 1] = {0};
    if (o->v0) memcpy(v, o->v0 + first, (size_t)count * sizeof *v);
    for (int64_t i = o->v0 ? count : 0; i < (count + 63) / 64 * 64; i++) v[i] = n->v_reset;
    for (int64_t t = 0; t < n->steps; t++) {
        int64_t at = t * n->neurons + first;
        const float *x = o->x + (n->is_static ? first : at);
        p->loops->neuron_step(n, count, x, v, p->far ? u : o->u ? o->u + at : NULL, bits);
        if (p->far) tern_kernels_get()->store_far(count, u, o->u + at);
        if (o->spikes) place(o->spikes, at, bits, count);
    }
    if (p->far) tern_kernels_get()->store_far(0, NULL, NULL);
    if (o->v_last) memcpy(o->v_last + first, v, (size_t)count * sizeof *v);
}

void tern_neuron_forward(tern_pool *pool, const tern_neuron *neuron, const tern_neuron_operands *operands)
{
    tern_neuron_pass pass = {.n = neuron, .loops = tern_loops_get(), .o = operands};
    int64_t bytes = neuron->steps * neuron->neurons * (int64_t)sizeof(float);
    pass.far = operands->u && operands->u != operands->x && bytes >= TERN_FAR_BYTES;
    if (operands->spikes) clear_shared(neuron, operands->spikes);
    tern_pool_run(pool, blocks_of(neuron), forward_block, &pass);
}

static void backward_block(void *context, int64_t block, int thread)
{
    (void)thread;
    const tern_neuron_pass *p = context;
    const tern_neuron *n = p->n;
    const tern_neuron_gradients *g = p->g;
    int64_t first = block * BLOCK, count = n->neurons - first < BLOCK ? n->neurons - first : BLOCK;
    _Alignas(64) float h[BLOCK] = {0}, static_dx[BLOCK] = {0};
    if (g->dv_last) memcpy(h, g->dv_last + first, (size_t)count * sizeof *h);
    for (int64_t t = n->steps - 1; t >= 0; t--) {
        int64_t at = t * n->neurons + first;
        bool cut = n->truncate > 0 && t % n->truncate == 0;
        tern_neuron_row row = {.count = count,
                               .ds = g->ds ? g->ds + at : NULL,
                               .du = g->du ? g->du + at : NULL,
                               .u = g->u + at,
                               .previous = t > 0 ? g->u + at - n->neurons : NULL,
                               .x = g->x ? g->x + (n->is_static ? first : at) : NULL,
                               .v0 = g->v0 ? g->v0 + first : NULL,
                               .h = h,
                               .dx = g->dx ? g->dx + (n->is_static ? 0 : at) : NULL,
                               .static_dx = n->is_static ? static_dx : NULL,
                               .sums = p->sums ? p->sums[block] : NULL,
                               .carry = cut ? 0 : n->decay};
        p->loops->neuron_back(n, &row);
    }
    if (g->dx && n->is_static) memcpy(g->dx + first, static_dx, (size_t)count * sizeof *static_dx);
    if (g->dv0) memcpy(g->dv0 + first, h, (size_t)count * sizeof *h);
}

size_t tern_neuron_backward_scratch(const tern_neuron *neuron)
{
    return (size_t)blocks_of(neuron) * 3 * sizeof(double);
}

void tern_neuron_backward(tern_pool *pool, const tern_neuron *neuron, const tern_neuron_gradients *gradients,
                          void *scratch)
{
    tern_neuron_pass pass = {.n = neuron, .loops = tern_loops_get(), .g = gradients};
    int64_t blocks = blocks_of(neuron);
    if (gradients->sums) {
        pass.sums = scratch;
        memset(scratch, 0, tern_neuron_backward_scratch(neuron));
    }
    tern_pool_run(pool, blocks, backward_block, &pass);
    for (int i = 0; gradients->sums && i < 3; i++) {
        gradients->sums[i] = 0;
        for (int64_t b = 0; b < blocks; b++) gradients->sums[i] += pass.sums[b][i];
    }
}
