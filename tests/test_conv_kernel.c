/* The kernels of convolutions on shapes that take them apart: many channels (sums in several blocks), many small images
 * in one unit of work, images cut into bands, channels beyond one panel.  Each instruction set against the definition
 * in double, and the same bits from one thread and from two. */
#include "kernel/kernel.h"
#include "tensor/tensor.h"
#include "test.h"

#include <math.h>
#include <string.h>

#define CASES 70 /* of each kind and instruction set */

static tern_rng rng = {.seed = 2026, .stream = 11};
static uint64_t drawn;
static tern_pool *two;

static int64_t between(int64_t low, int64_t high)
{
    return low + (int64_t)tern_rng_below(rng, drawn++, (uint64_t)(high - low + 1));
}

static float *numbers(int64_t count)
{
    float *x = tern_take(sizeof *x * (size_t)(count + 1));
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(2 * tern_rng_uniform(rng, drawn++) - 1);
    return x;
}

typedef struct conv_case {
    tern_conv conv;
    int64_t nx, ny, nw, first;
    uint64_t *spikes;
    float *x, *w, *bias, *dy;
    double *y, *dx, *dw;                /* as defined .. */
    double *y_size, *dx_size, *dw_size; /* .. and the sums of magnitudes */
} conv_case;

enum { MANY_CHANNELS, MANY_IMAGES, LARGE_IMAGES, KINDS };

static tern_conv random_conv(int kind)
{
    for (;;) {
        tern_conv c = {.images = between(1, 3), .groups = 1, .dilation_y = 1, .dilation_x = 1};
        c.in_channels = kind == MANY_CHANNELS ? between(29, 70) : between(1, 6);
        c.out_channels = kind == LARGE_IMAGES ? between(1, 9) : between(1, 70);
        if (kind == MANY_IMAGES) c.images = between(4, 40);
        c.height = kind == LARGE_IMAGES ? between(15, 45) : between(1, 8);
        c.width = kind == LARGE_IMAGES ? between(15, 45) : between(1, 8);
        c.kernel_height = c.kernel_width = between(0, 2) ? 3 : between(1, 5);
        c.stride_y = c.stride_x = between(0, 2) ? 1 : between(1, 3);
        if (between(0, 3) == 0) c.dilation_y = between(1, 2), c.dilation_x = between(1, 2);
        c.pad_y = between(0, 3) ? c.kernel_height / 2 : between(0, 2);
        c.pad_x = between(0, 3) ? c.kernel_width / 2 : between(0, 2);
        int64_t more_y = between(0, 4) ? c.pad_y : between(0, 3),
                more_x = between(0, 4) ? c.pad_x : between(0, 3);
        c.out_height =
            tern_conv_extent(c.height, c.kernel_height, c.stride_y, c.pad_y + more_y, c.dilation_y);
        c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, c.pad_x + more_x, c.dilation_x);
        if (c.out_height > 0 && c.out_width > 0) return c;
    }
}

static void add(double *sum, double *size, double value)
{
    *sum += value;
    *size += fabs(value);
}

static void define(conv_case *t)
{
    const tern_conv *c = &t->conv;
    int64_t taps = c->kernel_height * c->kernel_width, pixels = c->out_height * c->out_width;
    for (int64_t i = 0; i < t->ny; i++) {
        int64_t ox = i % c->out_width, oy = i % pixels / c->out_width, o = i / pixels % c->out_channels;
        int64_t image = i / pixels / c->out_channels;
        if (t->bias) add(&t->y[i], &t->y_size[i], (double)t->bias[o]);
        for (int64_t k = 0; k < c->in_channels * taps; k++) {
            int64_t y = oy * c->stride_y + k % taps / c->kernel_width * c->dilation_y - c->pad_y;
            int64_t x = ox * c->stride_x + k % c->kernel_width * c->dilation_x - c->pad_x;
            if (y < 0 || y >= c->height || x < 0 || x >= c->width) continue;
            int64_t from = ((image * c->in_channels + k / taps) * c->height + y) * c->width + x;
            int64_t weight = o * c->in_channels * taps + k;
            add(&t->y[i], &t->y_size[i], (double)t->w[weight] * (double)t->x[from]);
            add(&t->dx[from], &t->dx_size[from], (double)t->w[weight] * (double)t->dy[i]);
            add(&t->dw[weight], &t->dw_size[weight], (double)t->dy[i] * (double)t->x[from]);
        }
    }
}

static double *zeros(int64_t count)
{
    double *x = tern_take(sizeof *x * (size_t)(count + 1));
    assert_non_null(x);
    return x;
}

static conv_case random_case(int kind, bool spikes)
{
    static const double densities[] = {0, 0.02, 0.1, 0.3, 0.7, 1};
    conv_case t = {.conv = random_conv(kind), .first = between(0, 70)};
    const tern_conv *c = &t.conv;
    t.nx = c->images * c->in_channels * c->height * c->width;
    t.ny = c->images * c->out_channels * c->out_height * c->out_width;
    t.nw = c->out_channels * c->in_channels * c->kernel_height * c->kernel_width;
    t.x = numbers(t.nx);
    t.w = numbers(t.nw);
    t.dy = numbers(t.ny);
    t.bias = between(0, 1) ? numbers(c->out_channels) : NULL;
    t.y = zeros(t.ny), t.y_size = zeros(t.ny);
    t.dx = zeros(t.nx), t.dx_size = zeros(t.nx);
    t.dw = zeros(t.nw), t.dw_size = zeros(t.nw);
    if (spikes) {
        double density = densities[between(0, (int64_t)TERN_COUNT(densities) - 1)];
        t.spikes = tern_take((size_t)tern_bits_words(t.first + t.nx) * 8 + 8);
        assert_non_null(t.spikes);
        for (int64_t i = 0; i < t.nx; i++) {
            bool spike = tern_rng_uniform(rng, drawn++) < density;
            if (spike) t.spikes[(t.first + i) / 64] |= 1ull << ((t.first + i) % 64);
            t.x[i] = spike;
        }
    }
    define(&t);
    return t;
}

static void release_case(conv_case *t)
{
    void *all[] = {t->spikes, t->x,  t->w,      t->bias,    t->dy,     t->y,
                   t->dx,     t->dw, t->y_size, t->dx_size, t->dw_size};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

/* Convolutions that may take fewer multiplications round relative to an output's neighbours, not to its own terms. */
static bool rounds_by_tiles(const tern_conv *c)
{
    return c->kernel_height == 3 && c->kernel_width == 3 && c->stride_y == 1 && c->stride_x == 1 &&
           c->dilation_y == 1 && c->dilation_x == 1 && c->in_channels >= 16 && c->out_channels >= 16;
}

static void assert_near(const float *got, const double *want, const double *size, const float *before,
                        int64_t count, int64_t terms, bool by_tiles, const char *what)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, size[i]);
    for (int64_t i = 0; i < count; i++) {
        double expected = want[i] + (before ? (double)before[i] : 0);
        double allowed =
            (double)(terms + 4) * 6e-8 * (size[i] + (before ? fabs((double)before[i]) : 0)) + 1e-30;
        if (by_tiles) allowed = 5e-7 * largest;
        if (!(fabs((double)got[i] - expected) <= allowed))
            fail_msg("%s, %s %lld: got %.9g, expected %.9g +- %.3g", tern_isa_name(), what, (long long)i,
                     (double)got[i], expected, allowed);
    }
}

static void forward(const conv_case *t, tern_pool *pool, tern_spike_path path, float *y, void *scratch)
{
    if (t->spikes)
        tern_conv_forward_bits(pool, &t->conv, t->spikes, t->first, t->w, t->bias, y, path, NULL, scratch);
    else
        tern_conv_forward(pool, &t->conv, t->x, t->w, t->bias, y, scratch);
}

/* Both paths give the same bits. */
static void check_forward(const conv_case *t, void *scratch)
{
    float *y = numbers(t->ny), *again = numbers(t->ny);
    forward(t, two, TERN_SPIKE_SPARSE, y, scratch);
    assert_near(y, t->y, t->y_size, NULL, t->ny, t->nw / t->conv.out_channels,
                !t->spikes && rounds_by_tiles(&t->conv), "output");
    forward(t, NULL, TERN_SPIKE_DENSE, again, scratch);
    assert_memory_equal(y, again, (size_t)t->ny * sizeof *y);
    tern_release(y);
    tern_release(again);
}

static void check_weight(const conv_case *t, void *scratch)
{
    float *before = numbers(t->nw), *dw[2];
    bool accumulate = between(0, 1);
    for (int i = 0; i < 2; i++) {
        tern_pool *pool = i ? two : NULL;
        dw[i] = numbers(t->nw);
        memcpy(dw[i], before, (size_t)t->nw * sizeof *before);
        if (t->spikes)
            tern_conv_grad_weight_bits(pool, &t->conv, t->spikes, t->first, t->dy, dw[i], accumulate,
                                       TERN_SPIKE_SPARSE, NULL, scratch);
        else
            tern_conv_grad_weight(pool, &t->conv, t->x, t->dy, dw[i], accumulate, scratch);
    }
    assert_memory_equal(dw[0], dw[1], (size_t)t->nw * sizeof *before);
    assert_near(dw[0], t->dw, t->dw_size, accumulate ? before : NULL, t->nw, t->ny / t->conv.out_channels,
                false, "gradient of weight");
    tern_release(before);
    tern_release(dw[0]);
    tern_release(dw[1]);
}

static void check_input(const conv_case *t, void *scratch)
{
    float *before = numbers(t->nx), *dx[2];
    bool accumulate = between(0, 1);
    for (int i = 0; i < 2; i++) {
        dx[i] = numbers(t->nx);
        memcpy(dx[i], before, (size_t)t->nx * sizeof *before);
        tern_conv_grad_input(i ? two : NULL, &t->conv, t->dy, t->w, dx[i], accumulate, scratch);
    }
    assert_memory_equal(dx[0], dx[1], (size_t)t->nx * sizeof *before);
    assert_near(dx[0], t->dx, t->dx_size, accumulate ? before : NULL, t->nx, t->nw / t->conv.in_channels,
                !accumulate && rounds_by_tiles(&t->conv), "gradient of input");
    tern_release(before);
    tern_release(dx[0]);
    tern_release(dx[1]);
}

static void check_case(int kind, bool spikes)
{
    conv_case t = random_case(kind, spikes);
    size_t bytes = tern_conv_scratch(&t.conv);
    unsigned char *scratch = tern_take(bytes + 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes); /* NaN everywhere: whoever reads before writing is found */
    memset(scratch + bytes, 0x5a, 64);
    check_forward(&t, scratch);
    check_weight(&t, scratch);
    check_input(&t, scratch);
    for (size_t i = 0; i < 64; i++) assert_int_equal(scratch[bytes + i], 0x5a);
    tern_release(scratch);
    release_case(&t);
}

static void on_each_isa(bool spikes)
{
    bool usable;
    for (int i = 0; tern_isa_known(i, &usable); i++) {
        if (!usable) continue;
        assert_ok(tern_isa_select(tern_isa_known(i, &usable)));
        for (int n = 0; n < KINDS * CASES; n++) check_case(n % KINDS, spikes);
    }
    assert_ok(tern_isa_select(NULL));
}

static void test_spikes(void **state)
{
    (void)state;
    on_each_isa(true);
}

static void test_floats(void **state)
{
    (void)state;
    on_each_isa(false);
}

static int open_pool(void **state)
{
    (void)state;
    return tern_pool_open(&two, 2) == TERN_OK ? 0 : -1;
}

static int close_pool(void **state)
{
    (void)state;
    tern_pool_close(two);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spikes), cmocka_unit_test(test_floats)};
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
