/* Products of 16 bits as C: windows are copied into a matrix, whose product is a function that each processor has in its own
 * way (emit/half_text.c). */
#include "op/half.h"

const char *tern_half_prefix(tern_dtype format)
{
    return tern_dtype_of(format)->name;
}

/* Whether A must be copied: of the gradient of x it is turned, of that of W rows of several images go into one another. */
static bool copies_left(const tern_half_geometry *g)
{
    return !g->flat &&
           (g->kind == TERN_HALF_OF_INPUT || (g->kind == TERN_HALF_OF_WEIGHT && g->conv.images > 1));
}

static bool copies_right(const tern_half_geometry *g)
{
    return !g->flat && !g->plain;
}

size_t tern_half_written_scratch(const tern_call *call)
{
    tern_half_geometry g = tern_half_geometry_of(call);
    int64_t left = copies_left(&g) ? g.n * g.k : 0, right = copies_right(&g) ? g.k * g.m : 0;
    return tern_bytes_of(call->in[0].dtype, left + right);
}

/* Rows that a core makes: of one product shared by all; of several products every core that is asked makes all. */
static void range_of(const tern_half_geometry *g, long long n, char first[32], char last[32])
{
    bool shared = g->times * g->groups == 1;
    snprintf(first, 32, shared ? "FIRST(%lld)" : "0", n);
    snprintf(last, 32, shared ? "LAST(%lld)" : "%lld", n);
}

static void write_left(const tern_half_geometry *g, tern_text *t)
{
    const tern_conv *c = &g->conv;
    long long taps = c->kernel_height * c->kernel_width, pixels = c->out_height * c->out_width;
    long long out = c->out_channels / c->groups;
    char first[32], last[32];
    if (!copies_left(g)) return;
    range_of(g, g->n, first, last);
    tern_text_format(t,
                     "        for (int i = %s; i < %s; i++)\n"
                     "            for (int k = 0; k < %lld; k++)\n",
                     first, last, (long long)g->k);
    if (g->kind == TERN_HALF_OF_INPUT)
        tern_text_format(
            t,
            "                left[i * %lld + k] = in1[((g * %lld + k / %lld) * %lld + i) * %lld + %lld - "
            "k %% %lld];\n",
            (long long)g->k, out, taps, (long long)g->n, taps, taps - 1, taps);
    else
        tern_text_format(
            t,
            "                left[i * %lld + k] = in1[(k / %lld * %lld + g * %lld + i) * %lld + k %% "
            "%lld];\n",
            (long long)g->k, pixels, (long long)c->out_channels, (long long)g->n, pixels, pixels);
}

static void write_right(const tern_half_geometry *g, const char *prefix, tern_text *t)
{
    const tern_half_window *w = &g->window;
    long long plane = w->channels * w->height * w->width, rows = w->channels * w->taps_y * w->taps_x;
    const int64_t numbers[] = {w->channels,   w->height,   w->width,    w->taps_y,   w->taps_x,
                               w->out_y,      w->out_x,    w->stride_y, w->stride_x, w->dilation_y,
                               w->dilation_x, w->origin_y, w->origin_x, w->spread_y, w->spread_x};
    bool turned = g->kind == TERN_HALF_OF_WEIGHT;
    char first[32], last[32];
    if (!copies_right(g)) return;
    range_of(g, rows, first, last);
    tern_text_put(t, "        static const int window[] = {");
    for (size_t i = 0; i < TERN_COUNT(numbers); i++)
        tern_text_format(t, "%s%lld", i ? ", " : "", (long long)numbers[i]);
    tern_text_put(t, "};\n");
    if (turned && g->conv.images > 1)
        tern_text_format(t,
                         "        for (int n = 0; n < %lld; n++)\n"
                         "            %s_columns(window, %s, %s, in0 + (n * %lld + g) * %lld, 1, right + n * "
                         "%lld);\n",
                         (long long)g->conv.images, prefix, first, last, (long long)g->groups, plane,
                         (long long)(g->k / g->conv.images * g->m));
    else
        tern_text_format(t, "        %s_columns(window, %s, %s, in0 + (%s * %lld + g) * %lld, %d, right);\n",
                         prefix, first, last, turned ? "0" : "t", (long long)g->groups, plane,
                         turned ? 1 : 0);
}

/* What A and B are called. */
static void name_factors(const tern_half_geometry *g, char a[64], char b[64])
{
    long long plane = g->window.channels * g->window.height * g->window.width;
    if (g->flat)
        snprintf(a, 64, "in0 + t * %lld", (long long)g->k), snprintf(b, 64, "in1");
    else {
        if (copies_left(g))
            snprintf(a, 64, "left");
        else
            snprintf(a, 64, "in1 + g * %lld", (long long)(g->n * g->k));
        if (copies_right(g))
            snprintf(b, 64, "right");
        else
            snprintf(b, 64, "in0 + (t * %lld + g) * %lld", (long long)g->groups, plane);
    }
}

/* The rows of C from `first` on begin with the bias or with 0, then the product. */
static void write_product(const tern_call *call, const tern_half_geometry *g, tern_text *t)
{
    tern_dtype format = call->in[0].dtype;
    const char *prefix = tern_half_prefix(format);
    bool biased = g->kind == TERN_HALF_FORWARD && call->nin > 2 && call->in[2].data;
    bool wide = TERN_ARGS(tern_half_op, call)->wide && format != TERN_F32;
    long long n = g->n, k = g->k, m = g->m;
    char a[64], b[64], first[32], last[32], start[64] = "0";
    name_factors(g, a, b);
    range_of(g, n, first, last);
    if (biased) snprintf(start, sizeof start, "in2[g * %lld + i / %lld]", n, m);
    tern_text_format(t,
                     "        const int first = %s, count = %s - first;\n"
                     "        for (int i = first * %lld; i < (first + count) * %lld; i++) sums[i] = %s;\n",
                     first, last, m, m, start);
    if (wide)
        tern_text_format(
            t, "        %s_wide(count, %lld, %lld, %d, %s + first * %lld, %s, sums + first * %lld);\n",
            prefix, k, m, g->lanes, a, k, b, m);
    else if (g->lanes > 1)
        tern_text_format(t, "        %s_lanes(count, %lld, %d, %s + first * %lld, %s, sums + first);\n",
                         prefix, k, g->lanes, a, k, b);
    else
        tern_text_format(t,
                         "        %s_rows(count, %lld, %lld, %s + first * %lld, %s, sums + first * %lld);\n",
                         prefix, k, m, a, k, b, m);
}

/* Cores that share a product copy together, meet (form feed), and multiply. */
tern_status tern_half_write(const tern_call *call, tern_emit *to)
{
    tern_half_geometry g = tern_half_geometry_of(call);
    tern_dtype format = call->in[0].dtype;
    const char *prefix = tern_half_prefix(format), *type = format == TERN_F32 ? "float" : "uint16_t";
    bool left = copies_left(&g), right = copies_right(&g), meet = (left || right) && g.times * g.groups == 1;
    tern_text *t = to->text;
    to->math = to->math || format == TERN_F32 || TERN_ARGS(tern_half_op, call)->wide;
    tern_text_format(t,
                     "    for (int t = 0; t < %lld; t++)\n"
                     "    for (int g = 0; g < %lld; g++) {\n"
                     "        %s *sums = out0 + (t * %lld + g) * %lld;\n",
                     (long long)g.times, (long long)g.groups, type, (long long)g.groups,
                     (long long)(g.n * g.m));
    if (left)
        tern_text_format(t, "        %s *left = (%s *)scratch + %lld;\n", type, type,
                         right ? (long long)(g.k * g.m) : 0LL);
    if (right) tern_text_format(t, "        %s *right = scratch;\n", type);
    if (meet) tern_text_put(t, "\f");
    write_left(&g, t);
    write_right(&g, prefix, t);
    if (meet) tern_text_put(t, "\f");
    write_product(call, &g, t);
    if (meet) tern_text_put(t, "\f");
    tern_text_put(t, "    }\n");
    return TERN_OK;
}
