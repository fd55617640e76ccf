/* Cases of operators over images: convolution and pooling.  Included by op_cases.h, behind its helpers. */
#ifndef TERN_OP_CASES_IMAGES_H
#define TERN_OP_CASES_IMAGES_H

typedef struct conv_case {
    int stride, pad, dilation, groups;
    tern_shape like;
    int64_t n, c, h, w, o, k, oh, ow;
} conv_case;

static conv_case some_conv(void)
{
    conv_case c = {
        .stride = between(1, 2), .pad = below(3), .dilation = between(1, 2), .groups = below(3) == 0 ? 2 : 1};
    c.n = between(1, 3);
    c.c = c.groups * between(1, 3);
    c.o = c.groups * between(1, 5);
    c.k = between(1, 3);
    c.h = between(5, 9);
    c.w = between(5, 17);
    if (below(5) == 0) c.groups = (int)(c.o = c.c = between(2, 6)); /* depthwise */
    c.oh = tern_conv_extent(c.h, c.k, c.stride, 2 * c.pad, c.dilation);
    c.ow = tern_conv_extent(c.w, c.k, c.stride, 2 * c.pad, c.dilation);
    return c;
}

/* The first fields of the operator's arguments, in its order. */
typedef struct conv_args {
    int stride, pad, dilation, groups;
    tern_shape like;
} conv_args;

static void make_conv2d(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, {0});
    values x = factor();
    input(s, TERN_SHAPE(c.n, c.c, c.h, c.w), x, x == NORMAL);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), NORMAL, true);
    if (below(2)) input(s, TERN_SHAPE(c.o), NORMAL, true);
}

static void make_conv2d_grad_input(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, TERN_SHAPE(c.n, c.c, c.h, c.w));
    input(s, TERN_SHAPE(c.n, c.o, c.oh, c.ow), NORMAL, true);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), NORMAL, true);
}

static void make_conv2d_transposed(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, TERN_SHAPE(c.n, c.c, c.h, c.w));
    input(s, TERN_SHAPE(c.n, c.o, c.oh, c.ow), NORMAL, true);
    input(s, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k), NORMAL, true);
    if (below(2)) input(s, TERN_SHAPE(c.c), NORMAL, true);
}

static void make_conv2d_grad_weight(spec *s)
{
    conv_case c = some_conv();
    ARGS(s, conv_args, c.stride, c.pad, c.dilation, c.groups, TERN_SHAPE(c.o, c.c / c.groups, c.k, c.k));
    input(s, TERN_SHAPE(c.n, c.c, c.h, c.w), factor(), false);
    input(s, TERN_SHAPE(c.n, c.o, c.oh, c.ow), NORMAL, false);
}

typedef struct pool_args {
    int kernel, stride, pad;
    tern_shape like;
} pool_args;

/* Often the 2x2 windows that have a kernel of their own. */
static tern_shape some_pool(pool_args *a)
{
    bool halves = below(2);
    *a = (pool_args){halves ? 2 : between(1, 3), halves ? 2 : between(1, 3), 0, {0}};
    if (below(3) == 0) a->pad = below(a->kernel);
    if (below(4) == 0) return TERN_SHAPE(between(1, 3), between(1, 5), 1, between(3, 40)); /* sequences */
    return halves ? TERN_SHAPE(between(1, 5), between(1, 70), between(2, 17), between(2, 64))
                  : TERN_SHAPE(between(1, 2), between(1, 3), between(3, 8), between(3, 20));
}

static void make_max_pool2d(spec *s)
{
    pool_args a;
    bool spikes = below(2);
    tern_shape x = some_pool(&a);
    memcpy(s->args, &a, sizeof a);
    input(s, x, spikes ? SPIKES : NORMAL, !spikes);
}

static tern_shape pooled(const tern_shape *x, const pool_args *a)
{
    tern_shape y = *x;
    for (int i = 2; i < 4; i++)
        if (i == 3 || x->dim[2] > 1)
            y.dim[i] = tern_conv_extent(x->dim[i], a->kernel, a->stride, 2 * a->pad, 1);
    return y;
}

static void make_max_pool2d_grad(spec *s)
{
    pool_args a;
    tern_shape x = some_pool(&a);
    a.like = x;
    memcpy(s->args, &a, sizeof a);
    input(s, x, below(2) ? SPIKES : NORMAL, false);
    input(s, pooled(&x, &a), NORMAL, false);
}

static void make_avg_pool2d_grad(spec *s)
{
    pool_args a;
    tern_shape x = some_pool(&a);
    a.like = x;
    memcpy(s->args, &a, sizeof a);
    input(s, pooled(&x, &a), NORMAL, false);
}

/* The arguments of resize. */
typedef struct resize_args {
    tern_resize2d_args a;
    tern_shape like;
} resize_args;

static resize_args some_resize(tern_shape *x)
{
    *x = TERN_SHAPE(between(1, 3), between(1, 4), between(1, 9), between(1, 12));
    resize_args r = {.a = {.height = between(1, 20),
                           .width = between(1, 20),
                           .mode = (tern_resize_mode)below(3),
                           .places = (tern_resize_places)below(4),
                           .rounding = (tern_resize_rounding)below(4),
                           .cubic = -0.75}};
    if (below(3) == 0) r.a.scale_y = (double)r.a.height / (double)x->dim[2] * 1.05; /* given, as files do */
    return r;
}

static void make_resize(spec *s)
{
    tern_shape x;
    resize_args r = some_resize(&x);
    memcpy(s->args, &r, sizeof r);
    input(s, x, NORMAL, true);
}

static void make_resize_grad(spec *s)
{
    tern_shape x;
    resize_args r = some_resize(&x);
    r.like = x;
    memcpy(s->args, &r, sizeof r);
    x.dim[2] = r.a.height;
    x.dim[3] = r.a.width;
    input(s, x, NORMAL, false);
}

#endif
