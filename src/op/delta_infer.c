/* Inference by changes: a product keeps what it has summed up, and multiplies only the operands that have changed.
 *
 *     level_t = round(a_t / q),  change = level_t - level_(t-1),  z_t = z_(t-1) + (W q) change
 *
 * with the bias in z from the start, and a_t+1 = act(scale z_t) behind it.  `fresh` (i32 [1]) not 0 begins anew: the levels
 * before count as 0 and z as the bias; so begins the first frame, and so a net of floats is synchronised again.  With
 * integer weights z is exact for ever.  Each product has two states: z, and the levels of its operands. */
#include "op/delta.h"

#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

#define ARG(field, kind, doc) TERN_ARG(tern_delta_op, field, kind, doc)
static const tern_arg delta_args[] = {
    ARG(stride, TERN_ARG_INT, "step between outputs"),
    ARG(pad, TERN_ARG_INT, "zeros around the image"),
    ARG(dilation, TERN_ARG_INT, "step between taps"),
    ARG(groups, TERN_ARG_INT, "groups of channels that do not see each other"),
    ARG(integer, TERN_ARG_BOOL, "weights of 8 bits"),
    ARG(dense, TERN_ARG_BOOL, "multiply what is zero, too"),
    {0},
};

/* ---- delta_levels: a, raw, old i16, fresh -> level i16, change i32, y = level q ------------------------------------- */

static tern_status levels_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 4, 4));
    const tern_type *a = types->in[0], *old = types->in[2];
    tern_steps_view view;
    if (!tern_steps_over(&a->shape, &types->in[1]->shape, &view) ||
        tern_elements(&a->shape) != tern_elements(&old->shape) || old->dtype != TERN_I16)
        return tern_infer_fail(types, "steps and old levels (i16) must go with the activations");
    TERN_TRY(tern_infer_like(types, 3, 3, TERN_SHAPE(1)));
    tern_infer_out(types, TERN_I16, a->shape);
    tern_infer_out(types, TERN_I32, a->shape);
    tern_infer_out(types, TERN_F32, a->shape);
    return TERN_OK;
}

static bool is_fresh(const tern_tensor *fresh)
{
    return tern_get(fresh, 0) != 0;
}

static void levels_run(const tern_call *call)
{
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t n = tern_elements(&call->in[0].shape);
    for (int64_t i = 0; i < n; i++) {
        double q = tern_step_of(tern_get(&call->in[1], i / v.inner % v.count));
        double ratio = tern_get(&call->in[0], i) / q;
        if (call->in[0].dtype == TERN_F32)
            ratio = (double)(float)ratio; /* where it lies between two levels */
        double level = nearbyint(ratio);
        level = fmin(fmax(level, -TERN_MOST_LEVEL), TERN_MOST_LEVEL);
        double old = is_fresh(&call->in[3]) ? 0 : tern_get(&call->in[2], i);
        if (call->out[0].data) tern_set(&call->out[0], i, level);
        if (call->out[1].data) tern_set(&call->out[1], i, level - old);
        if (call->out[2].data) tern_set(&call->out[2], i, level * q);
        if (call->counter) call->counter->elementwise++;
    }
}

static bool levels_match(const tern_call *call)
{
    return call->in[0].dtype == TERN_F32 && call->in[1].dtype == TERN_F32;
}

#define PER_TASK 16384

static void levels_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_call *call = context;
    tern_steps_view v;
    tern_steps_over(&call->in[0].shape, &call->in[1].shape, &v);
    int64_t n = tern_elements(&call->in[0].shape), i = task * PER_TASK,
            last = i + PER_TASK < n ? i + PER_TASK : n;
    const float *a = call->in[0].data, *raw = call->in[1].data;
    const int16_t *old = call->in[2].data;
    int16_t *level = call->out[0].data;
    int32_t *change = call->out[1].data, before = is_fresh(&call->in[3]) ? 0 : -1;
    float *y = call->out[2].data;
    while (i < last) { /* runs of one step */
        int64_t end = (i / v.inner + 1) * v.inner < last ? (i / v.inner + 1) * v.inner : last;
        float q = (float)tern_step_of(raw[i / v.inner % v.count]);
        for (; i < end; i++) {
            float k = tern_level(a[i], q);
            if (change) change[i] = (int32_t)k - (old[i] & before);
            if (level) level[i] = (int16_t)k;
            if (y) y[i] = k * q;
        }
    }
}

static void levels_fast(const tern_call *call)
{
    int64_t n = tern_elements(&call->in[0].shape);
    tern_pool_run(call->pool, (n + PER_TASK - 1) / PER_TASK, levels_task, (void *)(uintptr_t)call);
}

static const tern_fast levels_kernels[] = {{"loop", levels_match, NULL, levels_fast}, {0}};

const tern_op tern_op_delta_levels = {
    .name = "delta_levels",
    .doc = "activations to levels of their step, and how these have changed",
    .inplace = {3},
    .infer = levels_infer,
    .work = tern_work_inputs,
    .run = levels_run,
    .fast = levels_kernels,
};

/* ---- delta_weight: W [O,C/g,KH,KW], b [O], q [C] or fewer -> W' [C,KH,KW,O/g], b', scale [O] if integer --------------------------------- */

static tern_status weight_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 3, 3));
    const tern_delta_op *a = types->args;
    tern_shape w = types->in[0]->shape;
    int64_t channels = w.rank == 4 ? w.dim[1] * a->groups : 0, steps = tern_elements(&types->in[2]->shape);
    if (channels < 1 || a->groups < 1 || w.dim[0] % a->groups || steps < 1 || channels % steps ||
        tern_elements(&types->in[1]->shape) != w.dim[0])
        return tern_infer_fail(types, "expected W [O,C/groups,KH,KW], a bias [O] and steps [C]");
    tern_infer_out(types, a->integer ? TERN_I8 : TERN_F32,
                   TERN_SHAPE(w.dim[1] * a->groups, w.dim[2], w.dim[3], w.dim[0] / a->groups));
    tern_infer_out(types, a->integer ? TERN_I32 : TERN_F32, TERN_SHAPE(w.dim[0]));
    if (a->integer) tern_infer_out(types, TERN_F32, TERN_SHAPE(w.dim[0]));
    return TERN_OK;
}

/* Row o: the step of each input channel (or that it shares with its neighbours) joins its weights; integers have the row's largest at 127. */
static void weight_run(const tern_call *call)
{
    const tern_delta_op *a = call->args;
    const tern_shape *w = &call->in[0].shape;
    int64_t taps = w->dim[2] * w->dim[3], row = w->dim[1] * taps, per_group = w->dim[0] / a->groups;
    int64_t steps = tern_elements(&call->in[2].shape);
    for (int64_t o = 0; o < w->dim[0]; o++) {
        int64_t group = o / per_group;
        double most = 0, scale = 1;
        for (int64_t pass = 0; pass < 2; pass++) {
            for (int64_t i = 0; i < row; i++) {
                int64_t c = group * w->dim[1] + i / taps, step = c * steps / (w->dim[1] * a->groups);
                double value =
                    tern_get(&call->in[0], o * row + i) * tern_step_of(tern_get(&call->in[2], step));
                most = fmax(most, fabs(value));
                if (!pass) continue;
                tern_set(&call->out[0], (c * taps + i % taps) * per_group + o % per_group, value / scale);
                if (call->counter) call->counter->elementwise++;
            }
            if (a->integer && most > 0) scale = (double)(float)(most / 127);
        }
        tern_set(&call->out[1], o, tern_get(&call->in[1], o) / scale);
        if (a->integer) tern_set(&call->out[2], o, scale);
    }
}

const tern_op tern_op_delta_weight = {
    .name = "delta_weight",
    .doc = "weights as inference by changes reads them: steps folded in, outputs last",
    .args = delta_args,
    .args_size = sizeof(tern_delta_op),
    .infer = weight_infer,
    .work = tern_work_inputs,
    .run = weight_run,
};

/* ---- delta_product: z [..,OH,OW,O], change [..,C,H,W], W', b', fresh, scale or none -> z, y = scale z [..,O,OH,OW], count ------ */

static tern_conv geometry(const tern_call *call)
{
    const tern_delta_op *a = call->args;
    const tern_shape *x = &call->in[1].shape, *w = &call->in[2].shape;
    int r = x->rank;
    bool flat = x->dim[r - 2] == 1 && w->dim[1] == 1; /* one-dimensional kernels are not padded along H */
    tern_conv c = {
        .images = tern_elements_upto(x, r - 3),
        .in_channels = x->dim[r - 3],
        .height = x->dim[r - 2],
        .width = x->dim[r - 1],
        .out_channels = w->dim[3] * a->groups,
        .kernel_height = w->dim[1],
        .kernel_width = w->dim[2],
        .stride_y = flat ? 1 : a->stride,
        .stride_x = a->stride,
        .pad_y = flat ? 0 : a->pad,
        .pad_x = a->pad,
        .dilation_y = flat ? 1 : a->dilation,
        .dilation_x = a->dilation,
        .groups = a->groups,
    };
    c.out_height = tern_conv_extent(c.height, c.kernel_height, c.stride_y, 2 * c.pad_y, c.dilation_y);
    c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, 2 * c.pad_x, c.dilation_x);
    return c;
}

static tern_status product_infer(tern_infer *types)
{
    TERN_TRY(tern_infer_inputs(types, 5, 6));
    const tern_delta_op *a = types->args;
    const tern_type *z = types->in[0], *x = types->in[1], *w = types->in[2];
    if (x->shape.rank < 4 || w->shape.rank != 4 || a->groups < 1 || a->stride < 1 || a->dilation < 1 ||
        w->shape.dim[0] != x->shape.dim[x->shape.rank - 3])
        return tern_infer_fail(types, "expected changes [..,C,H,W] and weights [C,KH,KW,O/groups]");
    tern_call call = {.args = a,
                      .in = (tern_tensor[]){{z->dtype, z->shape, NULL},
                                            {x->dtype, x->shape, NULL},
                                            {w->dtype, w->shape, NULL}}};
    tern_conv c = geometry(&call);
    int r = x->shape.rank;
    tern_shape sums = x->shape, y = x->shape;
    sums.dim[r - 3] = y.dim[r - 2] = c.out_height;
    sums.dim[r - 2] = y.dim[r - 1] = c.out_width;
    sums.dim[r - 1] = y.dim[r - 3] = c.out_channels;
    if (c.out_height < 1 || c.out_width < 1 || tern_elements(&z->shape) != tern_elements(&sums) ||
        z->dtype != types->in[3]->dtype)
        return tern_infer_fail(types, "sums and bias do not go with the weights");
    TERN_TRY(tern_infer_like(types, 3, 3, TERN_SHAPE(c.out_channels)));
    TERN_TRY(tern_infer_like(types, 4, 4, TERN_SHAPE(1)));
    TERN_TRY(tern_infer_like(types, 5, 5, TERN_SHAPE(c.out_channels)));
    tern_infer_out(types, z->dtype, sums);
    tern_infer_out(types, TERN_F32, y);
    tern_infer_out(types, TERN_F64, TERN_SHAPE(1));
    return TERN_OK;
}

/* One operand meets its weights: calls tap(z index, weight index) for each output that it reaches. */
typedef struct tern_operand {
    int64_t image, channel, y, x;
} tern_operand;

static tern_operand operand_at(const tern_conv *c, int64_t i)
{
    return (tern_operand){i / (c->width * c->height * c->in_channels),
                          i / (c->width * c->height) % c->in_channels, i / c->width % c->height,
                          i % c->width};
}

/* Output that tap k along an axis reaches from `at`; -1: none. */
static int64_t reached(int64_t at, int64_t k, int64_t out, int64_t stride, int64_t pad, int64_t dilation)
{
    int64_t o = at + pad - k * dilation;
    return o >= 0 && o % stride == 0 && o / stride < out ? o / stride : -1;
}

static void add_operand(const tern_call *call, const tern_conv *c, int64_t i, double value, double *count)
{
    tern_operand o = operand_at(c, i);
    int64_t outs = c->out_channels / c->groups, group = o.channel / (c->in_channels / c->groups);
    for (int64_t ky = 0; ky < c->kernel_height; ky++) {
        int64_t oy = reached(o.y, ky, c->out_height, c->stride_y, c->pad_y, c->dilation_y);
        for (int64_t kx = 0; oy >= 0 && kx < c->kernel_width; kx++) {
            int64_t ox = reached(o.x, kx, c->out_width, c->stride_x, c->pad_x, c->dilation_x);
            for (int64_t k = 0; ox >= 0 && k < outs; k++) {
                int64_t at =
                    ((o.image * c->out_height + oy) * c->out_width + ox) * c->out_channels + group * outs + k;
                int64_t w = ((o.channel * c->kernel_height + ky) * c->kernel_width + kx) * outs + k;
                tern_set(&call->out[0], at, tern_get(&call->out[0], at) + tern_get(&call->in[2], w) * value);
                *count += 1;
            }
        }
    }
}

static double scale_of(const tern_call *call, int64_t o)
{
    return call->nin > 5 ? tern_get(&call->in[5], o) : 1;
}

static void product_run(const tern_call *call)
{
    const tern_delta_op *a = call->args;
    tern_conv c = geometry(call);
    int64_t n = tern_elements(&call->in[1].shape), sums = tern_elements(&call->out[0].shape);
    bool fresh = is_fresh(&call->in[4]);
    double count = 0;
    for (int64_t i = 0; i < sums; i++)
        tern_set(&call->out[0], i,
                 fresh ? tern_get(&call->in[3], i % c.out_channels) : tern_get(&call->in[0], i));
    for (int64_t i = 0; i < n; i++) {
        double value = tern_get(&call->in[1], i);
        if (value != 0 || a->dense) add_operand(call, &c, i, value, &count);
    }
    int64_t pixels = c.out_height * c.out_width;
    for (int64_t i = 0; call->out[1].data && i < sums; i++) {
        int64_t o = i % c.out_channels, at = (i / c.out_channels / pixels * c.out_channels + o) * pixels +
                                             i / c.out_channels % pixels;
        tern_set(&call->out[1], at, tern_get(&call->out[0], i) * scale_of(call, o));
    }
    if (call->out[2].data) tern_set(&call->out[2], 0, count);
    if (!call->counter) return;
    call->counter->macs += count;
    call->counter->elementwise += (double)sums;
}

/* How many outputs an operand at `at` reaches along an axis. */
static int64_t reach(int64_t at, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation)
{
    int64_t count = 0;
    for (int64_t k = 0; k < kernel; k++) count += reached(at, k, out, stride, pad, dilation) >= 0;
    return count;
}

/* Fan-out times operands that are not zero. */
static void product_work(const tern_call *call, tern_work *work)
{
    const tern_delta_op *a = call->args;
    tern_conv c = geometry(call);
    int64_t planes = c.images * c.in_channels, outs = c.out_channels / c.groups;
    const int32_t *changes = a->dense || call->in[1].dtype != TERN_I32 ? NULL : call->in[1].data;
    double density = a->dense || !call->density ? 1 : call->density[1];
    for (int64_t y = 0; y < c.height; y++) {
        int64_t down = reach(y, c.out_height, c.kernel_height, c.stride_y, c.pad_y, c.dilation_y);
        for (int64_t x = 0; x < c.width; x++) {
            int64_t across = reach(x, c.out_width, c.kernel_width, c.stride_x, c.pad_x, c.dilation_x);
            double operands = (double)planes * density;
            if (changes) {
                operands = 0;
                for (int64_t p = 0; p < planes; p++)
                    operands += changes[(p * c.height + y) * c.width + x] != 0;
            }
            work->macs += operands * (double)(down * across * outs);
        }
    }
    work->elementwise += (double)(c.images * c.out_channels * c.out_height * c.out_width);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------- */

#define LANES 32 /* outputs of a task: fixed, so that no sum depends on the number of threads */

typedef struct tern_change_event {
    int32_t channel, y, x, value;
} tern_change_event;

typedef struct tern_product_job {
    const tern_call *call;
    tern_conv c;
    int64_t outs, tasks;       /* outputs of a group; tasks of an image */
    int64_t image;             /* that is being worked on */
    tern_change_event *events; /* of this image, channel by channel */
    int64_t *starts;           /* [in_channels + 1] */
    double *counts;            /* [tasks]: multiplications, added up over the images */
    bool dense;
} tern_product_job;

/* z[k] += w[k] value over `lanes` outputs; integers wrap around, in both forms alike. */
static void add_row(const tern_product_job *j, int64_t z, int64_t w, int32_t value, int64_t lanes)
{
    if (j->call->in[2].dtype == TERN_I8) {
        uint32_t *sum = (uint32_t *)j->call->out[0].data + z;
        const int8_t *weight = (const int8_t *)j->call->in[2].data + w;
        for (int64_t k = 0; k < lanes; k++) sum[k] += (uint32_t)(weight[k] * value);
    } else {
        float *sum = (float *)j->call->out[0].data + z, factor = (float)value;
        const float *weight = (const float *)j->call->in[2].data + w;
        for (int64_t k = 0; k < lanes; k++) sum[k] += weight[k] * factor;
    }
}

/* Lanes first..first+lanes of one group: each event goes to the outputs that it reaches.  Returns the multiplications. */
static int64_t add_events(const tern_product_job *j, int64_t group, int64_t first, int64_t lanes)
{
    const tern_conv *c = &j->c;
    int64_t per_group = c->in_channels / c->groups, count = 0;
    int64_t begin = j->starts[group * per_group], end = j->starts[(group + 1) * per_group];
    for (const tern_change_event *e = j->events + begin; e < j->events + end; e++) {
        for (int64_t ky = 0; ky < c->kernel_height; ky++) {
            int64_t oy = reached(e->y, ky, c->out_height, c->stride_y, c->pad_y, c->dilation_y);
            for (int64_t kx = 0; oy >= 0 && kx < c->kernel_width; kx++) {
                int64_t ox = reached(e->x, kx, c->out_width, c->stride_x, c->pad_x, c->dilation_x);
                if (ox < 0) continue;
                int64_t pixel = (j->image * c->out_height + oy) * c->out_width + ox;
                int64_t tap = (e->channel * c->kernel_height + ky) * c->kernel_width + kx;
                add_row(j, pixel * c->out_channels + group * j->outs + first, tap * j->outs + first, e->value,
                        lanes);
                count += lanes;
            }
        }
    }
    return count;
}

/* Lanes of one group over all outputs of the image: each output meets all operands of its window, zeros too. */
static int64_t add_windows(const tern_product_job *j, int64_t group, int64_t first, int64_t lanes)
{
    const tern_conv *c = &j->c;
    const int32_t *x = j->call->in[1].data;
    int64_t per_group = c->in_channels / c->groups, count = 0;
    for (int64_t p = 0; p < c->out_height * c->out_width; p++) {
        int64_t z = (j->image * c->out_height * c->out_width + p) * c->out_channels + group * j->outs + first;
        for (int64_t k = 0; k < per_group * c->kernel_height * c->kernel_width; k++) {
            int64_t channel = group * per_group + k / (c->kernel_height * c->kernel_width);
            int64_t ky = k / c->kernel_width % c->kernel_height, kx = k % c->kernel_width;
            int64_t y = p / c->out_width * c->stride_y + ky * c->dilation_y - c->pad_y;
            int64_t column = p % c->out_width * c->stride_x + kx * c->dilation_x - c->pad_x;
            if (y < 0 || y >= c->height || column < 0 || column >= c->width) continue;
            int64_t at = ((j->image * c->in_channels + channel) * c->height + y) * c->width + column;
            add_row(j, z, (k + group * per_group * c->kernel_height * c->kernel_width) * j->outs + first,
                    x[at], lanes);
            count += lanes;
        }
    }
    return count;
}

static void product_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_product_job *j = context;
    int64_t (*add)(const tern_product_job *, int64_t, int64_t, int64_t) = j->dense ? add_windows : add_events;
    int64_t count = 0;
    if (j->c.groups == 1) {
        int64_t first = task * LANES, lanes = j->outs - first < LANES ? j->outs - first : LANES;
        count = add(j, 0, first, lanes);
    } else {
        int64_t last = (task + 1) * LANES < j->c.groups ? (task + 1) * LANES : j->c.groups;
        for (int64_t g = task * LANES; g < last; g++) count += add(j, g, 0, j->outs);
    }
    j->counts[task] += (double)count;
}

/* The changes of this image that are not zero. */
static void gather(tern_product_job *j)
{
    const tern_conv *c = &j->c;
    const int32_t *x =
        (const int32_t *)j->call->in[1].data + j->image * c->in_channels * c->height * c->width;
    int64_t count = 0;
    for (int64_t channel = 0; channel < c->in_channels; channel++) {
        j->starts[channel] = count;
        for (int32_t y = 0; y < c->height; y++)
            for (int32_t column = 0; column < c->width; column++, x++)
                if (*x) j->events[count++] = (tern_change_event){(int32_t)channel, y, column, *x};
    }
    j->starts[c->in_channels] = count;
}

/* y [.., O, pixels] = scale z [.., pixels, O], in squares that stay in the cache; a task has LANES outputs. */
static void read_task(void *context, int64_t task, int thread)
{
    (void)thread;
    const tern_product_job *j = context;
    int64_t outs = j->c.out_channels, pixels = j->c.out_height * j->c.out_width;
    int64_t per_image = (outs + LANES - 1) / LANES, image = task / per_image, o = task % per_image * LANES;
    int64_t last = o + LANES < outs ? o + LANES : outs, base = image * outs * pixels;
    bool exact = j->call->out[0].dtype == TERN_I32;
    const float *scale = exact ? j->call->in[5].data : NULL;
    const int32_t *integers = j->call->out[0].data;
    const float *floats = j->call->out[0].data;
    float *y = (float *)j->call->out[1].data + base;
    for (int64_t block = 0; block < pixels; block += 64)
        for (int64_t k = o; k < last; k++)
            for (int64_t p = block; p < pixels && p < block + 64; p++) {
                int64_t at = base + p * outs + k;
                y[k * pixels + p] = exact ? (float)integers[at] * scale[k] : floats[at];
            }
}

static tern_product_job job_of(const tern_call *call)
{
    tern_product_job j = {.call = call, .c = geometry(call)};
    j.dense = ((const tern_delta_op *)call->args)->dense;
    j.outs = j.c.out_channels / j.c.groups;
    j.tasks = ((j.c.groups == 1 ? j.outs : j.c.groups) + LANES - 1) / LANES;
    return j;
}

static size_t product_scratch(const tern_call *call)
{
    tern_product_job j = job_of(call);
    return (size_t)j.tasks * sizeof *j.counts + (size_t)(j.c.in_channels + 1) * sizeof *j.starts +
           (size_t)(j.c.in_channels * j.c.height * j.c.width) * sizeof *j.events;
}

static void product_fast(const tern_call *call)
{
    tern_product_job j = job_of(call);
    int64_t sums = tern_elements(&call->out[0].shape);
    double count = 0;
    char *z = call->out[0].data;
    j.counts = call->scratch;
    j.starts = (int64_t *)(void *)(j.counts + j.tasks);
    j.events = (tern_change_event *)(void *)(j.starts + j.c.in_channels + 1);
    memset(j.counts, 0, (size_t)j.tasks * sizeof *j.counts);
    if (is_fresh(&call->in[4])) { /* both formats have four bytes */
        size_t row = (size_t)j.c.out_channels * 4;
        for (int64_t p = 0; p < sums / j.c.out_channels; p++)
            memcpy(z + (size_t)p * row, call->in[3].data, row);
    } else if (z != call->in[0].data) {
        memcpy(z, call->in[0].data, (size_t)sums * 4);
    }
    for (j.image = 0; j.image < j.c.images; j.image++) {
        if (!j.dense) gather(&j);
        tern_pool_run(call->pool, j.tasks, product_task, &j);
    }
    int64_t readers = j.c.images * ((j.c.out_channels + LANES - 1) / LANES);
    if (call->out[1].data) tern_pool_run(call->pool, readers, read_task, &j);
    for (int64_t t = 0; t < j.tasks; t++) count += j.counts[t];
    if (call->out[2].data) *(double *)call->out[2].data = count;
}

static bool product_matches(const tern_call *call)
{
    tern_dtype w = call->in[2].dtype, z = call->in[0].dtype;
    return call->in[1].dtype == TERN_I32 && ((w == TERN_I8 && z == TERN_I32 && call->nin > 5) ||
                                             (w == TERN_F32 && z == TERN_F32 && call->nin == 5));
}

static const tern_fast product_kernels[] = {{"gather", product_matches, product_scratch, product_fast}, {0}};

const tern_op tern_op_delta_product = {
    .name = "delta_product",
    .doc = "convolution or matrix product that multiplies changes only and keeps its sums",
    .args = delta_args,
    .args_size = sizeof(tern_delta_op),
    .inplace = {1},
    .infer = product_infer,
    .work = product_work,
    .run = product_run,
    .fast = product_kernels,
};
