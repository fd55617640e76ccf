/* The kernels of convolutions and of pooling, on every instruction set that this processor has, against their definition
 * in double on random odd shapes; and the same bits from one thread and from two. */
#include "kernel_cases.h"

/* Small ones of every geometry, and shapes that take the kernels apart: sums in several blocks, many images in a unit of
 * work, images cut into bands, 3x3 kernels by tiles, planes by themselves: small, of several bands, of rows too long for one. */
enum { EVERY_GEOMETRY, MANY_CHANNELS, MANY_IMAGES, LARGE_IMAGES, BY_TILES, PLANES };

static tern_conv small_conv(void)
{
    tern_conv c = {.images = between(1, 3), .groups = between(1, 3)};
    for (;;) {
        bool line = below(4) == 0;
        c.in_channels = c.groups * between(1, 4);
        c.out_channels = c.groups * between(1, 20);
        if (below(5) == 0) c.in_channels = c.out_channels = c.groups;
        c.height = line ? 1 : between(1, 18);
        c.width = below(8) ? between(1, 40) : between(60, 300);
        c.kernel_height = line ? 1 : between(1, 4);
        c.kernel_width = between(1, 5);
        c.stride_y = line ? 1 : between(1, 3);
        c.stride_x = between(1, 3);
        c.dilation_y = line ? 1 : between(1, 2);
        c.dilation_x = between(1, 3);
        c.pad_y = line ? 0 : below(3);
        c.pad_x = below(4);
        int64_t pads_y = line ? 0 : 2 * c.pad_y, pads_x = c.pad_x + below(4); /* uneven padding, too */
        if (below(2)) c.stride_y = c.stride_x = c.dilation_y = c.dilation_x = 1;
        c.out_height = tern_conv_extent(c.height, c.kernel_height, c.stride_y, pads_y, c.dilation_y);
        c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, pads_x, c.dilation_x);
        if (c.out_height > 0 && c.out_width > 0) return c;
    }
}

static tern_conv planes_conv(void)
{
    enum { SMALL, BANDS, LONG_ROWS };
    int64_t size = below(16) ? SMALL : between(BANDS, LONG_ROWS);
    tern_conv c = {.images = 1, .groups = between(1, size == SMALL ? 9 : 2)};
    for (;;) {
        c.in_channels = c.out_channels = c.groups;
        c.height = size == SMALL ? between(1, 12) : size == BANDS ? between(60, 100) : between(1, 2);
        c.width = size == SMALL ? between(1, 20) : size == BANDS ? between(120, 200) : between(8200, 9000);
        c.kernel_height = between(1, 5);
        c.kernel_width = between(1, 7);
        bool plain = below(2);
        c.stride_y = plain ? 1 : between(1, 3);
        c.stride_x = plain ? 1 : between(1, 3);
        c.dilation_y = plain ? 1 : between(1, 3);
        c.dilation_x = plain ? 1 : between(1, 3);
        c.pad_y = below(5);
        c.pad_x = below(5);
        c.out_height =
            tern_conv_extent(c.height, c.kernel_height, c.stride_y, c.pad_y + below(5), c.dilation_y);
        c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, c.pad_x + below(5), c.dilation_x);
        if (c.out_height > 0 && c.out_width > 0) return c;
    }
}

static tern_conv random_conv(int kind)
{
    tern_conv c = {.images = between(1, 3), .groups = 1};
    if (kind == PLANES) return planes_conv();
    bool tiles = kind == BY_TILES, large = kind == LARGE_IMAGES, large_tiles = tiles && below(6) == 0;
    if (kind == EVERY_GEOMETRY) return small_conv();
    for (;;) {
        c.in_channels = tiles ? between(16, 40) : kind == MANY_CHANNELS ? between(29, 70) : between(1, 6);
        c.out_channels = tiles ? between(16, 40) : large ? between(1, 9) : between(1, 70);
        if (kind == MANY_IMAGES) c.images = between(4, 40);
        c.height = large || large_tiles ? between(15, 45) : between(1, 9);
        c.width = large || large_tiles ? between(15, 45) : between(1, 9);
        c.kernel_height = c.kernel_width = tiles || below(3) ? 3 : between(1, 5);
        c.stride_y = c.stride_x = tiles || below(3) ? 1 : between(1, 3);
        c.dilation_y = tiles || below(4) ? 1 : 2;
        c.dilation_x = tiles || below(4) ? 1 : 2;
        c.pad_y = below(4) ? c.kernel_height / 2 : below(4);
        c.pad_x = below(4) ? c.kernel_width / 2 : below(4);
        int64_t pads_y = c.pad_y + (below(4) ? c.pad_y : below(4)),
                pads_x = c.pad_x + (below(4) ? c.pad_x : below(4));
        c.out_height = tern_conv_extent(c.height, c.kernel_height, c.stride_y, pads_y, c.dilation_y);
        c.out_width = tern_conv_extent(c.width, c.kernel_width, c.stride_x, pads_x, c.dilation_x);
        if (c.out_height > 0 && c.out_width > 0) return c;
    }
}

/* Convolutions of numbers that may be computed by tiles round relative to an output's neighbours, not to its own terms. */
static bool rounds_by_tiles(const tern_conv *c)
{
    return c->groups == 1 && c->kernel_height == 3 && c->kernel_width == 3 && c->stride_y == 1 &&
           c->stride_x == 1 && c->dilation_y == 1 && c->dilation_x == 1 && c->in_channels >= 16 &&
           c->out_channels >= 16;
}

/* Numbers of one size, for those. */
static float *plain_numbers(int64_t count)
{
    float *x = numbers(count);
    for (int64_t i = 0; i < count; i++) x[i] = (float)(2 * tern_rng_uniform(rng, drawn++) - 1);
    return x;
}

static void assert_all_near(const float *got, const sum *want, const float *before, int64_t count,
                            int64_t terms, bool by_tiles, const char *what)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, want[i].size);
    for (int64_t i = 0; i < count; i++) {
        sum all = want[i];
        if (before) add_to(&all, before[i]);
        if (!by_tiles)
            assert_near(got[i], all, terms, what);
        else if (!(fabs(got[i] - all.value) <= 1.5e-6 * largest))
            fail_msg("%s, %s: got %.9g, expected %.9g", tern_isa_name(), what, got[i], all.value);
    }
}

/* All of a convolution's tensors, and its gradients in double. */
typedef struct conv_case {
    tern_conv conv;
    int64_t nx, nw, ny, first;
    uint64_t *bits;
    float *x, *w, *bias, *dy;
    sum *y, *dx, *dw;
    int64_t accumulates;
} conv_case;

static void define_conv(conv_case *t)
{
    const tern_conv *c = &t->conv;
    int64_t ins = c->in_channels / c->groups, outs = c->out_channels / c->groups;
    for (int64_t i = 0; i < t->ny; i++) {
        int64_t ox = i % c->out_width, oy = i / c->out_width % c->out_height;
        int64_t o = i / (c->out_width * c->out_height) % c->out_channels;
        int64_t image = i / (c->out_width * c->out_height * c->out_channels);
        if (t->bias) add_to(&t->y[i], t->bias[o]);
        for (int64_t j = 0; j < ins * c->kernel_height * c->kernel_width; j++) {
            int64_t kx = j % c->kernel_width, ky = j / c->kernel_width % c->kernel_height;
            int64_t channel = o / outs * ins + j / (c->kernel_width * c->kernel_height);
            int64_t y = oy * c->stride_y + ky * c->dilation_y - c->pad_y;
            int64_t x = ox * c->stride_x + kx * c->dilation_x - c->pad_x;
            if (y < 0 || y >= c->height || x < 0 || x >= c->width) continue;
            int64_t from = ((image * c->in_channels + channel) * c->height + y) * c->width + x;
            int64_t weight = o * ins * c->kernel_height * c->kernel_width + j;
            add_to(&t->y[i], (double)t->w[weight] * t->x[from]);
            add_to(&t->dx[from], (double)t->w[weight] * t->dy[i]);
            add_to(&t->dw[weight], (double)t->dy[i] * t->x[from]);
            t->accumulates += t->x[from] != 0;
        }
    }
}

static conv_case conv_case_of(int kind, bool bits)
{
    conv_case t = {.conv = random_conv(kind), .first = below(70)};
    const tern_conv *c = &t.conv;
    t.nx = c->images * c->in_channels * c->height * c->width;
    t.ny = c->images * c->out_channels * c->out_height * c->out_width;
    t.nw = c->out_channels * (c->in_channels / c->groups) * c->kernel_height * c->kernel_width;
    float *(*some)(int64_t) = rounds_by_tiles(c) ? plain_numbers : numbers;
    t.x = some(t.nx);
    t.w = some(t.nw);
    t.dy = some(t.ny);
    t.bias = below(2) ? some(c->out_channels) : NULL;
    t.y = tern_take(sizeof(sum) * (size_t)t.ny);
    t.dx = tern_take(sizeof(sum) * (size_t)t.nx);
    t.dw = tern_take(sizeof(sum) * (size_t)t.nw);
    assert_true(t.y && t.dx && t.dw);
    if (bits) {
        t.bits = spikes(t.first + t.nx);
        for (int64_t i = 0; i < t.nx; i++) t.x[i] = tern_bit_get(t.bits, t.first + i);
    }
    define_conv(&t);
    return t;
}

static void release_conv_case(conv_case *t)
{
    void *all[] = {t->bits, t->x, t->w, t->bias, t->dy, t->y, t->dx, t->dw};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void conv_forward(const conv_case *t, void *scratch)
{
    const tern_conv *c = &t->conv;
    float *y = numbers(t->ny), *again = numbers(t->ny);
    static const tern_spike_path paths[] = {TERN_SPIKE_AUTO, TERN_SPIKE_SPARSE, TERN_SPIKE_DENSE,
                                            TERN_SPIKE_SPARSE};
    int64_t terms = t->nw / c->out_channels, accumulates = 0;
    if (t->bits)
        tern_conv_forward_bits(two, c, t->bits, t->first, t->w, t->bias, y, paths[0], &accumulates, scratch);
    else
        tern_conv_forward(two, c, t->x, t->w, t->bias, y, scratch);
    if (t->bits) assert_int_equal(accumulates, t->accumulates);
    assert_all_near(y, t->y, NULL, t->ny, terms, !t->bits && rounds_by_tiles(c), "convolution");
    for (int i = 0; i < (t->bits ? 4 : 1); i++) {
        tern_pool *pool = i < 2 ? NULL : two;
        if (t->bits)
            tern_conv_forward_bits(pool, c, t->bits, t->first, t->w, t->bias, again, paths[i], NULL, scratch);
        else
            tern_conv_forward(pool, c, t->x, t->w, t->bias, again, scratch);
        assert_memory_equal(y, again, (size_t)t->ny * sizeof *y);
    }
    tern_release(y);
    tern_release(again);
}

static void conv_gradients(const conv_case *t, void *scratch)
{
    const tern_conv *c = &t->conv;
    int64_t outs = c->out_channels / c->groups * c->kernel_height * c->kernel_width;
    bool accumulate = below(2);
    float *before = numbers(t->nx > t->nw ? t->nx : t->nw);
    float *dx[2], *dw[2];
    for (int i = 0; i < 2; i++) {
        tern_pool *pool = i ? two : NULL;
        dx[i] = copy(before, t->nx);
        dw[i] = copy(before, t->nw);
        tern_conv_grad_input(pool, c, t->dy, t->w, dx[i], accumulate, scratch);
        if (t->bits)
            tern_conv_grad_weight_bits(pool, c, t->bits, t->first, t->dy, dw[i], accumulate,
                                       i ? TERN_SPIKE_SPARSE : TERN_SPIKE_AUTO, NULL, scratch);
        else
            tern_conv_grad_weight(pool, c, t->x, t->dy, dw[i], accumulate, scratch);
    }
    assert_memory_equal(dx[0], dx[1], (size_t)t->nx * sizeof(float));
    const float *held = accumulate ? before : NULL;
    assert_all_near(dx[0], t->dx, held, t->nx, outs, !accumulate && rounds_by_tiles(c),
                    "gradient of a convolution to its input");
    if (!t->bits) assert_memory_equal(dw[0], dw[1], (size_t)t->nw * sizeof(float));
    for (int n = 0; n < 2; n++)
        assert_all_near(dw[n], t->dw, held, t->nw, t->ny / c->out_channels, false,
                        "gradient of a convolution to its weights");
    float *all[] = {before, dx[0], dx[1], dw[0], dw[1]};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void check_conv(int kind, bool spikes)
{
    conv_case t = conv_case_of(kind, spikes);
    size_t bytes = tern_conv_scratch(&t.conv);
    void *scratch = scratch_of(bytes);
    conv_forward(&t, scratch);
    conv_gradients(&t, scratch);
    release_scratch(scratch, bytes);
    release_conv_case(&t);
}

static void every_geometry(void)
{
    check_conv(EVERY_GEOMETRY, below(2));
}

static void test_every_geometry(void **state)
{
    (void)state;
    on_each_isa(every_geometry);
}

static void taken_apart(void)
{
    check_conv((int)between(MANY_CHANNELS, LARGE_IMAGES), below(4) > 0);
}

static void test_taken_apart(void **state)
{
    (void)state;
    on_each_isa(taken_apart);
}

static void by_tiles(void)
{
    check_conv(BY_TILES, false);
}

static void test_by_tiles(void **state)
{
    (void)state;
    on_each_isa(by_tiles);
}

static void planes(void)
{
    check_conv(PLANES, false);
}

static void test_planes(void **state)
{
    (void)state;
    on_each_isa(planes);
}

/* ---- pooling of bits ---------------------------------------------------------------------------------- */

static void pools(void)
{
    conv_case t = conv_case_of(EVERY_GEOMETRY, true);
    tern_conv c = t.conv;
    int64_t count = c.images * c.in_channels * c.out_height * c.out_width;
    uint64_t *largest = spikes(count);
    float *mean = numbers(count);
    tern_bits_max_pool(two, &c, t.bits, t.first, largest);
    tern_bits_avg_pool(two, &c, t.bits, t.first, mean);
    for (int64_t i = 0; i < count; i++) {
        int64_t ox = i % c.out_width, oy = i / c.out_width % c.out_height;
        int64_t plane = i / (c.out_width * c.out_height), ones = 0, inside = 0;
        for (int64_t j = 0; j < c.kernel_height * c.kernel_width; j++) {
            int64_t y = oy * c.stride_y + j / c.kernel_width * c.dilation_y - c.pad_y;
            int64_t x = ox * c.stride_x + j % c.kernel_width * c.dilation_x - c.pad_x;
            if (y < 0 || y >= c.height || x < 0 || x >= c.width) continue;
            inside++;
            ones += tern_bit_get(t.bits, t.first + (plane * c.height + y) * c.width + x);
        }
        sum want = {(double)ones / (double)(inside ? inside : 1), 1};
        assert_int_equal(tern_bit_get(largest, i), ones > 0);
        assert_near(mean[i], want, 1, "mean of spikes");
    }
    tern_release(largest);
    tern_release(mean);
    release_conv_case(&t);
}

static void test_pools(void **state)
{
    (void)state;
    on_each_isa(pools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_geometry),
                                       cmocka_unit_test(test_taken_apart), cmocka_unit_test(test_by_tiles),
                                       cmocka_unit_test(test_planes), cmocka_unit_test(test_pools)};
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
