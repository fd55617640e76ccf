/* Every fast kernel of every instruction set that this processor has, against its definition written here in double
 * or in whole numbers, on random odd shapes; and the same bits from one thread and from two. */
#include "kernel_cases.h"

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

/* ---- pooling of bits ---------------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isa),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_conv),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
