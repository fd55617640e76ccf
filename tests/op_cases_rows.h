/* Cases of operators along axes: part of op_cases.h. */
#ifndef TERN_OP_CASES_ROWS_H
#define TERN_OP_CASES_ROWS_H

typedef struct axis_args {
    int axis;
    bool reverse;
} axis_args;

static void make_gather(spec *s)
{
    tern_shape x = TERN_SHAPE(between(3, 6), between(3, 7), between(3, 8)), index = x;
    int axis = below(3);
    index.dim[axis] = between(1, 9);
    ARGS(s, axis_args, axis, false);
    input(s, x, NORMAL, true);
    input(s, index, LABELS, false);
}

static void make_gather_grad(spec *s)
{
    make_gather(s);
    s->smooth[0] = false;
    input(s, s->in[1].shape, NORMAL, false);
}

static void make_cumulative_sum(spec *s)
{
    ARGS(s, axis_args, below(3), below(2));
    input(s, TERN_SHAPE(between(1, 5), between(1, 6), between(1, 7)), NORMAL, true);
}

static void make_cast(spec *s)
{
    static const values kinds[] = {NORMAL, SPIKES, LABELS};
    ARGS(s, int, below(TERN_BIT + 1));
    bool exact = *(const int *)s->args == TERN_F64;
    int kind = below(3);
    input(s, below(4) ? some_shape() : TERN_SHAPE(between(1, 40), 1000), kinds[kind], kind == 0 && exact);
}

static void make_linear_i8(spec *s)
{
    int64_t rows, in, out;
    linear_sizes(&rows, &in, &out);
    input(s, TERN_SHAPE(rows, in), NORMAL, false);
    input(s, TERN_SHAPE(out, in), NORMAL, false);
    s->in[0].dtype = s->in[1].dtype = TERN_I8;
}

/* Thresholds that leave no column apart, some, and too many; a scale a row. */
static void make_linear_outlier(spec *s)
{
    static const double thresholds[] = {0, 1, 2.5, 3.2, 9};
    int64_t rows = between(1, 20), in = between(1, 400), out = between(1, 40);
    ARGS(s, tern_outlier_args, thresholds[below(5)], (tern_byte_scale)below(3));
    input(s, TERN_SHAPE(rows, in), NORMAL, false);
    input(s, TERN_SHAPE(out, in), NORMAL, false);
    s->in[1].dtype = TERN_I8;
    input(s, TERN_SHAPE(out), NORMAL, false);
    if (below(2))
        input(s, TERN_SHAPE(out), NORMAL, false);
    else
        absent(s);
}

static void make_top(spec *s)
{
    int64_t width = between(1, 20);
    ARGS(s, int, between(1, (int)width));
    input(s, TERN_SHAPE(between(1, 9), width), below(2) ? NORMAL : COUNTS, false);
    s->in[0].dtype = TERN_F32;
}

/* An index outside is among them. */
static void make_linear_experts(spec *s)
{
    int64_t rows = between(1, 12), chosen = between(1, 4), k = between(1, 40);
    bool shared = below(2);
    input(s, shared ? TERN_SHAPE(rows, k) : TERN_SHAPE(rows, chosen, k), NORMAL, false);
    input(s, TERN_SHAPE(rows, chosen), LABELS, false);
    input(s, TERN_SHAPE(between(1, 6), between(1, 30), k), NORMAL, false);
}

static void make_extreme(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 4), between(1, 5), below(4) ? between(1, 80) : between(250, 600));
    int axis = below(3);
    ARGS(s, tern_reduce_args, .axis = axis, .axes = between(1, 3 - axis), .keep = below(2));
    bool equal = below(4) == 0; /* many equal values: the first counts */
    input(s, x, equal ? RATE : NORMAL, !equal);
}

static void make_extreme_grad(spec *s)
{
    tern_shape x = TERN_SHAPE(between(3, 6), between(3, 7), between(3, 20)), y = {.rank = 2};
    int axis = below(3);
    ARGS(s, tern_reduce_args, .axis = axis, .axes = 1, .keep = false);
    for (int i = 0, k = 0; i < 3; i++)
        if (i != axis) y.dim[k++] = x.dim[i];
    input(s, x, NORMAL, false);
    input(s, y, LABELS, false);
    input(s, y, NORMAL, false);
}

/* Rows that end in the middle of a vector, and some that are longer than a chunk. */
static tern_shape some_rows(void)
{
    return below(10) ? some_shape() : TERN_SHAPE(between(1, 3), between(1, 9000));
}

static void make_rows(spec *s)
{
    input(s, some_rows(), NORMAL, true);
}

static void make_rows_grad(spec *s)
{
    tern_shape shape = some_rows();
    input(s, shape, NORMAL, false);
    input(s, shape, NORMAL, false);
}

/* Logarithms of shares are below 0; drawn above it, e^y magnifies the rounding of a sum. */
static void make_log_rows_grad(spec *s)
{
    make_rows_grad(s);
    s->tolerance = 1e-3;
}

typedef struct normalise_args {
    double epsilon;
    bool centre;
} normalise_args;

static void make_normalise(spec *s)
{
    ARGS(s, normalise_args, 1e-3, below(2));
    input(s, below(8) ? TERN_SHAPE(between(1, 4), between(2, 30)) : some_rows(), NORMAL, true);
    s->smooth[0] = s->in[0].shape.dim[s->in[0].shape.rank - 1] > 1;
}

static void make_normalise_grad(spec *s)
{
    ARGS(s, normalise_args, 1e-3, below(2));
    make_rows_grad(s);
}

static void make_matmul(spec *s)
{
    int64_t b = between(1, 3), m = between(1, 20), n = between(1, 20), k = between(1, 20);
    bool ta = below(2), tb = below(2);
    ARGS(s, tern_matmul_args, ta, tb);
    input(s, ta ? TERN_SHAPE(b, k, m) : TERN_SHAPE(b, m, k), NORMAL, true);
    input(s, tb ? TERN_SHAPE(b, n, k) : TERN_SHAPE(b, k, n), NORMAL, true);
}

typedef struct pad_args {
    int axis, first, count;
    double fill;
} pad_args;

static void make_pad(spec *s)
{
    tern_shape x = TERN_SHAPE(between(1, 5), between(1, 6), between(1, 7));
    int axis = below(3), before = below(4);
    ARGS(s, pad_args, axis, before, (int)x.dim[axis] + before + below(4), 0.25 * below(3));
    input(s, x, NORMAL, true);
}

static void make_pad_bytes(spec *s)
{
    make_pad(s);
    s->in[0].dtype = TERN_I8;
    s->values[0] = BYTES;
    s->smooth[0] = false;
    ((pad_args *)(void *)s->args)->fill = between(-128, 127);
}

#endif
