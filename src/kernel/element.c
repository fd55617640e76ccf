/* Element-wise passes: operands are brought block by block into the first-level cache, where the steps read each other's
 * results; only what is wanted goes back to memory. */
#include "kernel/element.h"
#include "kernel/table.h"

#include <string.h>

#define BLOCK 1024 /* floats; with the slots of all steps this stays in a first- or second-level cache */
#define TASK  (16 * BLOCK) /* floats that a task computes */

/* An operand with neighbouring axes joined where memory allows. */
typedef struct joined {
    const void *data;
    bool bits, single; /* single: one element for all */
    int rank;
    int64_t dim[6], stride[6];
} joined;

typedef struct element_job {
    const tern_element_pass *pass;
    int64_t n;
    joined in[TERN_ELEMENT_INPUTS];
    int slot
        [TERN_ELEMENT_STEPS]; /* block that holds a step's result; -1: it is computed where it is wanted */
    bool far[TERN_ELEMENT_STEPS]; /* from the slot to memory past the caches */
    int slots;
} element_job;

static joined join(const tern_element_pass *p, const tern_element_operand *o)
{
    joined j = {.data = o->data, .bits = o->bits};
    for (int i = p->rank - 1; i >= 0; i--) { /* innermost first */
        if (p->dim[i] == 1) continue;
        int last = j.rank - 1;
        if (last >= 0 && o->stride[i] == j.stride[last] * j.dim[last]) {
            j.dim[last] *= p->dim[i];
        } else {
            j.dim[j.rank] = p->dim[i];
            j.stride[j.rank++] = o->stride[i];
        }
    }
    j.single = j.rank == 0 || (j.rank == 1 && j.stride[0] == 0);
    return j;
}

static void fill(float value, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++) out[i] = value;
}

/* `count` elements from element `at` of an operand on, along which the stride is one (of bits 0 or 1). */
static void load_run(const joined *j, int64_t at, int64_t count, float *out)
{
    bool repeated = j->rank == 0 || j->stride[0] == 0;
    if (!repeated && j->stride[0] != 1)
        for (int64_t i = 0; i < count; i++) out[i] = ((const float *)j->data)[at + i * j->stride[0]];
    else if (!j->bits && repeated)
        fill(((const float *)j->data)[at], count, out);
    else if (!j->bits)
        memcpy(out, (const float *)j->data + at, (size_t)count * sizeof *out);
    else if (repeated)
        fill((float)tern_bits_count(j->data, at, 1), count, out);
    else
        tern_bits_to_f32(NULL, j->data, at, count, out);
}

/* Where element `at` of the pass stands in an operand, and how many elements from it on have one stride. */
static int64_t place_of(const joined *j, int64_t at, int64_t count, int64_t *run)
{
    int64_t inner = j->rank ? j->dim[0] : count, offset = at % inner, rest = at / inner;
    int64_t from = j->rank ? offset * j->stride[0] : 0;
    *run = inner - offset < count ? inner - offset : count;
    for (int i = 1; i < j->rank; i++) {
        from += rest % j->dim[i] * j->stride[i];
        rest /= j->dim[i];
    }
    return from;
}

/* Elements at .. at + count of the pass. */
static void load(const joined *j, int64_t at, int64_t count, float *out)
{
    while (count > 0) {
        int64_t run, from = place_of(j, at, count, &run);
        load_run(j, from, run, out);
        out += run;
        at += run;
        count -= run;
    }
}

/* The same, where they stand if they stand together, else in `out`. */
static const float *reach(const joined *j, int64_t at, int64_t count, float *out)
{
    int64_t run, from = place_of(j, at, count, &run);
    if (run == count && !j->bits && j->stride[0] == 1) return (const float *)j->data + from;
    load(j, at, count, out);
    return out;
}

static void element_task(void *context, int64_t task, int thread)
{
    const element_job *job = context;
    const tern_element_pass *p = job->pass;
    const tern_kernels *kernels = tern_kernels_get();
    int64_t last = (task + 1) * TASK < job->n ? (task + 1) * TASK : job->n;
    _Alignas(64) float loaded[TERN_ELEMENT_INPUTS][BLOCK], slots[TERN_ELEMENT_STEPS][BLOCK];
    const float *at_hand[TERN_ELEMENT_INPUTS + TERN_ELEMENT_STEPS];
    (void)thread;
    for (int i = 0; i < p->inputs; i++) {
        at_hand[i] = loaded[i];
        if (job->in[i].single) load(&job->in[i], 0, BLOCK, loaded[i]);
    }
    for (int64_t at = task * TASK; at < last; at += BLOCK) {
        int64_t count = last - at < BLOCK ? last - at : BLOCK;
        for (int i = 0; i < p->inputs; i++) {
            const joined *j = &job->in[i];
            if (!j->single) at_hand[i] = reach(j, at, count, loaded[i]);
        }
        for (int s = 0; s < p->steps; s++) {
            const tern_element_step *step = &p->step[s];
            const float *in[3];
            /* cppcheck-suppress legacyUninitvar ; the loop writes it */
            float *out = job->slot[s] < 0 ? step->out + at : slots[job->slot[s]];
            for (int i = 0; i < 3; i++) in[i] = at_hand[step->in[i]];
            kernels->element[step->kind](count, in, step->constants, out);
            at_hand[p->inputs + s] = out;
            if (job->far[s]) kernels->store_far(count, out, step->out + at);
        }
    }
    kernels->store_far(0, NULL, NULL); /* what was stored so is there before the task counts as done */
}

/* A slot for each result that is not computed in place, given back after its last reader. */
static void give_slots(element_job *job)
{
    const tern_element_pass *p = job->pass;
    int last[TERN_ELEMENT_STEPS];
    bool taken[TERN_ELEMENT_STEPS] = {false};
    for (int s = 0; s < p->steps; s++) {
        last[s] = s;
        for (int i = 0; i < 3; i++)
            if (p->step[s].in[i] >= p->inputs) last[p->step[s].in[i] - p->inputs] = s;
    }
    for (int s = 0; s < p->steps; s++) {
        for (int before = 0; before < s; before++)
            if (last[before] < s && job->slot[before] >= 0) taken[job->slot[before]] = false;
        for (int later = 0; later < s; later++) /* a slot given again belongs to the newer result */
            if (last[later] >= s && job->slot[later] >= 0) taken[job->slot[later]] = true;
        job->slot[s] = -1;
        if (p->step[s].out && !job->far[s]) continue;
        int slot = 0;
        while (taken[slot]) slot++;
        job->slot[s] = slot;
    }
}

void tern_element_run(tern_pool *pool, const tern_element_pass *pass)
{
    element_job job = {.pass = pass, .n = 1};
    for (int i = 0; i < pass->rank; i++) job.n *= pass->dim[i];
    for (int i = 0; i < pass->inputs; i++) job.in[i] = join(pass, &pass->in[i]);
    for (int s = 0; s < pass->steps; s++) {
        job.far[s] = pass->step[s].out && job.n * (int64_t)sizeof(float) >= TERN_FAR_BYTES;
        for (int i = 0; i < pass->inputs; i++) /* what was just read is in the cache already */
            job.far[s] &= pass->in[i].data != pass->step[s].out;
    }
    give_slots(&job);
    tern_pool_run(pool, (job.n + TASK - 1) / TASK, element_task, &job);
}
