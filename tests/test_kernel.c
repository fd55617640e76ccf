/* Every fast kernel of every instruction set that this processor has, against its definition written here in double
 * or in whole numbers, on random odd shapes; and the same bits from one thread and from two. */
#include "kernel/kernel.h"
#include "tensor/tensor.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CASES 200

static tern_rng rng = {.seed = 2026, .stream = 7};
static uint64_t drawn;
static tern_pool *two;

static int64_t below(int64_t bound)
{
    return (int64_t)tern_rng_below(rng, drawn++, (uint64_t)bound);
}

static int64_t between(int64_t low, int64_t high)
{
    return low + below(high - low + 1);
}

/* Mostly ordinary numbers, some hard ones: zero, minus zero, denormals, large and tiny. */
static float number(void)
{
    static const float hard[] = {0.0f, -0.0f, 1e-40f, -3e-42f, 1e15f, -1e15f, 1e-20f, 1.0f};
    if (below(40) == 0) return hard[below((int64_t)TERN_COUNT(hard))];
    return (float)(2 * tern_rng_uniform(rng, drawn++) - 1);
}

static float *numbers(int64_t count)
{
    float *x = tern_take(sizeof *x * (size_t)(count + 1));
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) x[i] = number();
    return x;
}

/* Densities from none to all. */
static uint64_t *spikes(int64_t count)
{
    static const double densities[] = {0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.9, 1};
    double density = densities[below((int64_t)TERN_COUNT(densities))];
    uint64_t *bits = tern_take((size_t)tern_bits_words(count) * 8 + 8);
    assert_non_null(bits);
    for (int64_t i = 0; i < count; i++)
        if (tern_rng_uniform(rng, drawn++) < density) bits[i / 64] |= 1ull << (i % 64);
    return bits;
}

static float *copy(const float *x, int64_t count)
{
    float *y = tern_take(sizeof *y * (size_t)(count + 1));
    assert_non_null(y);
    memcpy(y, x, sizeof *y * (size_t)count);
    return y;
}

static void *scratch_of(size_t bytes)
{
    unsigned char *scratch = tern_take(bytes + 64);
    assert_non_null(scratch);
    memset(scratch, 0xff, bytes); /* NaN everywhere: whoever reads before writing is found */
    memset(scratch + bytes, 0x5a, 64);
    return scratch;
}

static void release_scratch(void *scratch, size_t bytes)
{
    for (size_t i = 0; i < 64; i++) assert_int_equal(((unsigned char *)scratch)[bytes + i], 0x5a);
    tern_release(scratch);
}

/* A sum and the sum of its magnitudes, from which the rounding error that is allowed follows. */
typedef struct sum {
    double value, size;
} sum;

static void add_to(sum *s, double x)
{
    s->value += x;
    s->size += fabs(x);
}

static void assert_near(float got, sum want, int64_t terms, const char *what)
{
    double allowed = (double)(terms + 4) * 6e-8 * want.size + 1e-37;
    if (fabs(got - want.value) <= allowed) return;
    fail_msg("%s, %s: got %.9g, expected %.9g +- %.3g", tern_isa_name(), what, got, want.value, allowed);
}

static void on_each_isa(void (*test)(void))
{
    bool usable;
    for (int i = 0; tern_isa_known(i, &usable); i++) {
        if (!usable) continue;
        assert_int_equal(tern_isa_select(tern_isa_known(i, &usable)), TERN_OK);
        for (int n = 0; n < CASES; n++) test();
    }
    assert_int_equal(tern_isa_select(NULL), TERN_OK);
}

/* ---- products ---------------------------------------------------------------------------------------- */

/* A strided factor of `free` x `sums` elements in a batch, f32 or bits, with its storage. */
typedef struct operand {
    tern_factor factor;
    float *f32;
    uint64_t *bits;
} operand;

static operand random_operand(int64_t frees, int64_t sums, int64_t batch)
{
    operand o = {0};
    int64_t gap = between(1, 2), kind = below(3);
    int64_t free_stride = kind == 0 ? sums : kind == 1 ? 1 : gap * sums;
    int64_t sum_stride = kind == 0 ? 1 : kind == 1 ? frees : gap;
    int64_t count = frees * sums * gap;
    if (below(3) == 0) {
        int64_t first = below(70);
        o.bits = spikes(first + count * batch);
        o.factor = tern_factor_bits(o.bits, first, free_stride, sum_stride);
    } else {
        o.f32 = numbers(count * batch);
        o.factor = tern_factor_f32(o.f32, free_stride, sum_stride);
    }
    o.factor.batch_stride = count;
    return o;
}

static double element(const operand *o, int64_t batch, int64_t f, int64_t s)
{
    int64_t at = o->factor.first + batch * o->factor.batch_stride + f * o->factor.free_stride +
                 s * o->factor.sum_stride;
    return o->bits ? (double)tern_bit_get(o->bits, at) : o->f32[at];
}

static void release_operand(operand *o)
{
    tern_release(o->f32);
    tern_release(o->bits);
}

static void check_product(const tern_product *p, const operand *a, const operand *b, const float *before)
{
    int64_t batch = p->batch ? p->batch : 1;
    for (int64_t q = 0; q < batch; q++)
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t j = 0; j < p->n; j++) {
                sum want = {0};
                int64_t at = q * p->batch_stride + i * p->row_stride + j;
                for (int64_t k = 0; k < p->k; k++) add_to(&want, element(a, q, i, k) * element(b, q, j, k));
                if (p->accumulate) add_to(&want, before[at]);
                if (p->row_bias) add_to(&want, p->row_bias[q * p->m + i]);
                if (p->column_bias) add_to(&want, p->column_bias[j]);
                assert_near(p->c[at], want, p->k, "product");
            }
}

static void product(void)
{
    int64_t m = between(1, 40), n = between(1, 80), k = below(60), batch = below(4);
    if (below(10) == 0) m = between(1, 130), n = between(1, 150), k = between(200, 700), batch = 1;
    int64_t products = batch ? batch : 1, count = products * m * n;
    operand a = random_operand(m, k, products), b = random_operand(n, k, products);
    float *c = numbers(count), *before = copy(c, count), *again = copy(c, count);
    float *row_bias = numbers(products * m), *column_bias = numbers(n);
    tern_product p = {.m = m, .n = n, .k = k, .batch = batch, .a = a.factor, .b = b.factor};
    p.c = c;
    p.row_stride = n;
    p.batch_stride = m * n;
    p.accumulate = below(2);
    p.row_bias = below(2) ? row_bias : NULL;
    p.column_bias = below(2) ? column_bias : NULL;

    size_t bytes = tern_gemm_scratch(&p);
    void *scratch = scratch_of(bytes);
    tern_gemm(two, &p, scratch);
    check_product(&p, &a, &b, before);
    p.c = again;
    tern_gemm(NULL, &p, scratch);
    assert_memory_equal(c, again, (size_t)count * sizeof *c);
    if (products == 1) {
        float *packed = scratch_of(tern_pack_bytes(n, k));
        tern_pack(two, &b.factor, n, k, packed);
        memcpy(again, before, (size_t)count * sizeof *c);
        p.packed_b = packed;
        tern_gemm(two, &p, scratch);
        assert_memory_equal(c, again, (size_t)count * sizeof *c);
        release_scratch(packed, tern_pack_bytes(n, k));
    }
    release_scratch(scratch, bytes);
    release_operand(&a);
    release_operand(&b);
    float *all[] = {c, before, again, row_bias, column_bias};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_products(void **state)
{
    (void)state;
    on_each_isa(product);
}

/* ---- linear layers of spikes ------------------------------------------------------------------------- */

static void spike_linear(void)
{
    int64_t rows = between(1, 40), n = between(1, 70), k = between(1, 90), first = below(70);
    if (below(10) == 0) rows = between(1, 300), k = between(250, 800);
    uint64_t *x = spikes(first + rows * k);
    float *w = numbers(n * k), *bias = below(2) ? numbers(n) : NULL;
    float *y[4], *before = numbers(rows * n);
    bool accumulate = below(2);
    size_t bytes = tern_spike_linear_scratch(rows, n, k);
    void *scratch = scratch_of(bytes);
    static const tern_spike_path paths[] = {TERN_SPIKE_SPARSE, TERN_SPIKE_DENSE, TERN_SPIKE_AUTO,
                                            TERN_SPIKE_SPARSE};

    for (int i = 0; i < 4; i++) {
        int64_t accumulates = 1;
        y[i] = copy(before, rows * n);
        tern_spike_linear(i == 3 ? NULL : two, rows, n, k, x, first, w, bias, y[i], accumulate, paths[i],
                          &accumulates, scratch);
        int64_t ones = 0;
        for (int64_t b = 0; b < rows * k; b++) ones += tern_bit_get(x, first + b);
        assert_int_equal(accumulates, 1 + ones * n);
        assert_memory_equal(y[0], y[i], (size_t)(rows * n) * sizeof(float));
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            sum want = {0};
            for (int64_t s = 0; s < k; s++)
                if (tern_bit_get(x, first + i * k + s)) add_to(&want, w[j * k + s]);
            if (bias) add_to(&want, bias[j]);
            if (accumulate) add_to(&want, before[i * n + j]);
            assert_near(y[0][i * n + j], want, k, "linear of spikes");
        }
    release_scratch(scratch, bytes);
    tern_release(x);
    float *all[] = {w, bias, before, y[0], y[1], y[2], y[3]};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_spike_linear(void **state)
{
    (void)state;
    on_each_isa(spike_linear);
}

static void spike_grad_weight(void)
{
    int64_t rows = between(1, 90), n = between(1, 70), k = between(1, 90), first = below(70);
    if (below(10) == 0) rows = between(250, 800);
    uint64_t *x = spikes(first + rows * k);
    float *dy = numbers(rows * n), *dw[4], *before = numbers(n * k), *db[4];
    bool accumulate = below(2);
    size_t bytes = tern_spike_grad_weight_scratch(rows, n, k);
    void *scratch = scratch_of(bytes);
    static const tern_spike_path paths[] = {TERN_SPIKE_SPARSE, TERN_SPIKE_DENSE, TERN_SPIKE_AUTO,
                                            TERN_SPIKE_SPARSE};

    for (int i = 0; i < 4; i++) {
        dw[i] = copy(before, n * k);
        db[i] = numbers(n);
        tern_spike_grad_weight(i == 3 ? NULL : two, rows, n, k, x, first, dy, dw[i], i == 2 ? NULL : db[i],
                               accumulate, paths[i], NULL, scratch);
        assert_memory_equal(dw[0], dw[i], (size_t)(n * k) * sizeof(float));
        if (i != 2) assert_memory_equal(db[0], db[i], (size_t)n * sizeof(float));
    }
    for (int64_t i = 0; i < n; i++) {
        sum want = {0};
        for (int64_t r = 0; r < rows; r++) add_to(&want, dy[r * n + i]);
        assert_near(db[0][i], want, rows, "sum of rows");
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            sum want = {0};
            for (int64_t r = 0; r < rows; r++)
                if (tern_bit_get(x, first + r * k + j)) add_to(&want, dy[r * n + i]);
            if (accumulate) add_to(&want, before[i * k + j]);
            assert_near(dw[0][i * k + j], want, rows, "weight gradient of spikes");
        }
    release_scratch(scratch, bytes);
    tern_release(x);
    float *all[] = {dy, before, dw[0], dw[1], dw[2], dw[3], db[0], db[1], db[2], db[3]};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_spike_grad_weight(void **state)
{
    (void)state;
    on_each_isa(spike_grad_weight);
}

/* ---- convolution ------------------------------------------------------------------------------------- */

static tern_conv random_conv(void)
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

static conv_case conv_case_of(bool bits)
{
    conv_case t = {.conv = random_conv(), .first = below(70)};
    const tern_conv *c = &t.conv;
    t.nx = c->images * c->in_channels * c->height * c->width;
    t.ny = c->images * c->out_channels * c->out_height * c->out_width;
    t.nw = c->out_channels * (c->in_channels / c->groups) * c->kernel_height * c->kernel_width;
    t.x = numbers(t.nx);
    t.w = numbers(t.nw);
    t.dy = numbers(t.ny);
    t.bias = below(2) ? numbers(c->out_channels) : NULL;
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
    int64_t terms = t->nw / c->out_channels, pixels = c->out_height * c->out_width, accumulates = 0;
    if (t->bits)
        tern_conv_forward_bits(two, c, t->bits, t->first, t->w, t->bias, y, paths[0], &accumulates, scratch);
    else
        tern_conv_forward(two, c, t->x, t->w, t->bias, y, scratch);
    if (t->bits) assert_int_equal(accumulates, t->accumulates);
    for (int64_t i = 0; i < t->ny; i++) {
        sum want = t->y[i];
        if (t->bias) add_to(&want, t->bias[i / pixels % c->out_channels]);
        assert_near(y[i], want, terms, "convolution");
    }
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
    for (int64_t i = 0; i < t->nx; i++) {
        sum want = t->dx[i];
        if (accumulate) add_to(&want, before[i]);
        assert_near(dx[0][i], want, outs, "gradient of a convolution to its input");
    }
    if (!t->bits) assert_memory_equal(dw[0], dw[1], (size_t)t->nw * sizeof(float));
    for (int n = 0; n < 2; n++)
        for (int64_t i = 0; i < t->nw; i++) {
            sum want = t->dw[i];
            if (accumulate) add_to(&want, before[i]);
            assert_near(dw[n][i], want, t->ny / c->out_channels, "gradient of a convolution to its weights");
        }
    float *all[] = {before, dx[0], dx[1], dw[0], dw[1]};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void conv(void)
{
    conv_case t = conv_case_of(below(2));
    size_t bytes = tern_conv_scratch(&t.conv);
    void *scratch = scratch_of(bytes);
    conv_forward(&t, scratch);
    conv_gradients(&t, scratch);
    release_scratch(scratch, bytes);
    release_conv_case(&t);
}

static void test_conv(void **state)
{
    (void)state;
    on_each_isa(conv);
}

/* ---- small integers ---------------------------------------------------------------------------------- */

static void binary_product(void)
{
    int64_t m = between(1, 40), n = between(1, 80), k = below(200), fa = below(70), fb = below(70);
    if (below(20) == 0) k = between(8000, 9000);
    uint64_t *a = spikes(fa + m * k), *b = spikes(fb + n * k);
    size_t bytes = tern_binary_gemm_scratch(m, n, k);
    void *scratch = scratch_of(bytes);
    int32_t *c = tern_take((size_t)(m * n) * sizeof *c), *again = tern_take((size_t)(m * n) * sizeof *c);
    assert_true(c && again);
    tern_binary_gemm(two, m, n, k, a, fa, b, fb, c, scratch);
    tern_binary_gemm(NULL, m, n, k, a, fa, b, fb, again, scratch);
    assert_memory_equal(c, again, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t want = 0;
            for (int64_t s = 0; s < k; s++)
                want += tern_bit_get(a, fa + i * k + s) && tern_bit_get(b, fb + j * k + s);
            assert_int_equal(c[i * n + j], want);
        }
    release_scratch(scratch, bytes);
    void *all[] = {a, b, c, again};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_binary_products(void **state)
{
    (void)state;
    on_each_isa(binary_product);
}

static int8_t *signed_bytes(int64_t count)
{
    int8_t *x = tern_take((size_t)count + 1);
    assert_non_null(x);
    bool extreme = below(4) == 0;
    for (int64_t i = 0; i < count; i++) x[i] = extreme ? (below(2) ? -128 : 127) : (int8_t)between(-128, 127);
    return x;
}

static void i8_product(void)
{
    int64_t m = between(1, 40), n = between(1, 80), k = below(120);
    if (below(20) == 0) k = between(1000, 1100);
    int8_t *a = signed_bytes(m * k), *b = signed_bytes(n * k);
    size_t bytes = tern_i8_gemm_scratch(m, n, k);
    void *scratch = scratch_of(bytes);
    int32_t *c = tern_take((size_t)(m * n) * sizeof *c), *again = tern_take((size_t)(m * n) * sizeof *c);
    assert_true(c && again);
    bool accumulate = below(2);
    for (int64_t i = 0; i < m * n; i++) c[i] = again[i] = (int32_t)i;
    tern_i8_gemm(two, m, n, k, a, b, c, accumulate, scratch);
    tern_i8_gemm(NULL, m, n, k, a, b, again, accumulate, scratch);
    assert_memory_equal(c, again, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t want = accumulate ? i * n + j : 0;
            for (int64_t s = 0; s < k; s++) want += a[i * k + s] * b[j * k + s];
            assert_int_equal(c[i * n + j], want);
        }
    release_scratch(scratch, bytes);
    void *all[] = {a, b, c, again};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void test_i8_products(void **state)
{
    (void)state;
    on_each_isa(i8_product);
}

/* ---- bits -------------------------------------------------------------------------------------------- */

static void bits(void)
{
    int64_t rows = between(1, 150), columns = between(1, 150), first = below(200), count = rows * columns;
    uint64_t *x = spikes(first + count), *turned = spikes(columns * tern_bits_words(rows) * 64);
    float *f32 = numbers(count);
    int64_t ones = 0;
    for (int64_t i = 0; i < count; i++) ones += tern_bit_get(x, first + i);
    assert_int_equal(tern_bits_count(x, first, count), ones);
    tern_bits_transpose(two, rows, columns, x, first, turned);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            assert_int_equal(tern_bit_get(turned, j * tern_bits_words(rows) * 64 + i),
                             tern_bit_get(x, first + i * columns + j));
    tern_bits_to_f32(two, x, first, count, f32);
    for (int64_t i = 0; i < count; i++) assert_true(f32[i] == (float)tern_bit_get(x, first + i));
    for (int64_t i = 0; i < count; i++) f32[i] = number();
    tern_bits_from_f32(two, f32, count, x, first);
    for (int64_t i = 0; i < count; i++) assert_int_equal(tern_bit_get(x, first + i), f32[i] > 0);
    tern_release(x);
    tern_release(turned);
    tern_release(f32);
}

static void test_bits(void **state)
{
    (void)state;
    on_each_isa(bits);
}

static void pools(void)
{
    conv_case t = conv_case_of(true);
    tern_conv c = t.conv;
    int64_t count = c.images * c.in_channels * c.out_height * c.out_width;
    uint64_t *largest = spikes(count);
    float *mean = numbers(count);
    tern_bits_max_pool(two, &c, t.bits, t.first, largest);
    tern_bits_avg_pool(two, &c, t.bits, t.first, mean);
    for (int64_t i = 0; i < count; i++) {
        int64_t ox = i % c.out_width, oy = i / c.out_width % c.out_height;
        int64_t plane = i / (c.out_width * c.out_height), ones = 0;
        for (int64_t j = 0; j < c.kernel_height * c.kernel_width; j++) {
            int64_t y = oy * c.stride_y + j / c.kernel_width * c.dilation_y - c.pad_y;
            int64_t x = ox * c.stride_x + j % c.kernel_width * c.dilation_x - c.pad_x;
            if (y >= 0 && y < c.height && x >= 0 && x < c.width)
                ones += tern_bit_get(t.bits, t.first + (plane * c.height + y) * c.width + x);
        }
        sum want = {(double)ones / (double)(c.kernel_height * c.kernel_width), 1};
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

/* ---- the choice of an instruction set ---------------------------------------------------------------- */

static void test_isa(void **state)
{
    (void)state;
    char chosen[32];
    strcpy(chosen, tern_isa_name());
    assert_int_equal(tern_isa_select("sse9"), TERN_USAGE);
    assert_non_null(strstr(tern_message(), "sse9"));
    assert_string_equal(tern_isa_name(), chosen);
    assert_int_equal(tern_isa_select("scalar"), TERN_OK);
    assert_string_equal(tern_isa_name(), "scalar");
    assert_int_equal(tern_isa_select(NULL), TERN_OK);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isa),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_spike_linear),
        cmocka_unit_test(test_spike_grad_weight),
        cmocka_unit_test(test_binary_products),
        cmocka_unit_test(test_i8_products),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
