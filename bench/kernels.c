/* The kernels beside OpenBLAS.  The peer runs at its best: as many threads as Tern, and on a processor with AVX-512 the
 * kernels of SkylakeX, which OpenBLAS 0.3.21 does not choose by itself on newer AMD processors. */
#define _GNU_SOURCE
#include "bench.h"
#include "curves.h"
#include "kernel/table.h"

#include <cblas.h>
#include <string.h>

extern void openblas_set_num_threads(int threads);
extern char *openblas_get_corename(void);

static tern_pool *pool;
static int threads;

static float *numbers(int64_t count)
{
    float *x = tern_take((size_t)(count + 16) * sizeof *x);
    tern_rng rng = {.seed = 1};
    for (int64_t i = 0; x && i < count; i++) x[i] = (float)tern_rng_uniform(rng, (uint64_t)i) - 0.5f;
    if (x) return x;
    fprintf(stderr, "bench: out of memory\n");
    exit(1);
}

static uint64_t *spikes(int64_t count, double density)
{
    uint64_t *x = (uint64_t *)numbers(tern_bits_words(count) * 2 + 2);
    tern_rng rng = {.seed = 2};
    memset(x, 0, (size_t)tern_bits_words(count) * 8);
    for (int64_t i = 0; i < count; i++)
        if (tern_rng_uniform(rng, (uint64_t)i) < density) x[i / 64] |= 1ull << (i % 64);
    return x;
}

/* ---- products ---------------------------------------------------------------------------------------- */

typedef enum form { NT, NN, TN } form; /* A B^T, A B, A^T B, row-major */

typedef struct gemm {
    form form;
    int m, n, k;
    float *a, *b, *c, *packed;
    void *scratch;
    tern_product product;
} gemm;

static void our_gemm(void *context, int times)
{
    gemm *g = context;
    for (int i = 0; i < times; i++) tern_gemm(pool, &g->product, g->scratch);
}

static void blas_gemm(void *context, int times)
{
    gemm *g = context;
    for (int i = 0; i < times; i++) {
        if (g->m == 1 && g->form == NT)
            cblas_sgemv(CblasRowMajor, CblasNoTrans, g->n, g->k, 1, g->b, g->k, g->a, 1, 0, g->c, 1);
        else
            cblas_sgemm(CblasRowMajor, g->form == TN ? CblasTrans : CblasNoTrans,
                        g->form == NT ? CblasTrans : CblasNoTrans, g->m, g->n, g->k, 1, g->a,
                        g->form == TN ? g->m : g->k, g->b, g->form == NT ? g->k : g->n, 0, g->c, g->n);
    }
}

static void bench_gemm(const char *name, form form, int m, int n, int k, bool packed)
{
    gemm g = {.form = form, .m = m, .n = n, .k = k};
    g.a = numbers((int64_t)m * k);
    g.b = numbers((int64_t)n * k);
    g.c = numbers((int64_t)m * n);
    g.product = (tern_product){.m = m, .n = n, .k = k, .c = g.c, .row_stride = n};
    g.product.a = form == TN ? tern_factor_f32(g.a, 1, m) : tern_factor_f32(g.a, k, 1);
    g.product.b = form == NT ? tern_factor_f32(g.b, k, 1) : tern_factor_f32(g.b, 1, n);
    if (packed) {
        g.packed = numbers((int64_t)(tern_pack_bytes(n, k) / sizeof(float)));
        tern_pack(pool, &g.product.b, n, k, g.packed);
        g.product.packed_b = g.packed;
    }
    g.scratch = numbers((int64_t)(tern_gemm_scratch(&g.product) / sizeof(float)));
    bench_print(name, 2e-9 * m * n * k, "GFLOP/s", our_gemm, &g, blas_gemm, &g);
    void *all[] = {g.a, g.b, g.c, g.packed, g.scratch};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static void bench_products(void)
{
    bench_gemm("gemm-square-256-vs-openblas", NT, 256, 256, 256, false);
    bench_gemm("gemm-square-512-vs-openblas", NT, 512, 512, 512, false);
    bench_gemm("gemm-square-1024-vs-openblas", NT, 1024, 1024, 1024, false);
    bench_gemm("gemm-square-2048-vs-openblas", NT, 2048, 2048, 2048, false);
    bench_gemm("gemm-linear-128x512x784-vs-openblas", NT, 128, 512, 784, false);
    bench_gemm("gemm-linear-128x512x512-vs-openblas", NT, 128, 512, 512, false);
    bench_gemm("gemm-linear-3200x512x784-vs-openblas", NT, 3200, 512, 784, false);
    bench_gemm("gemm-linear-512x2048x2048-vs-openblas", NT, 512, 2048, 2048, false);
    bench_gemm("gemm-linear-3200x10x512-vs-openblas", NT, 3200, 10, 512, false);
    bench_gemm("gemm-grad-input-128x784x512-vs-openblas", NN, 128, 784, 512, false);
    bench_gemm("gemm-grad-input-3200x512x512-vs-openblas", NN, 3200, 512, 512, false);
    bench_gemm("gemm-grad-weight-512x784x128-vs-openblas", TN, 512, 784, 128, false);
    bench_gemm("gemm-grad-weight-512x784x3200-vs-openblas", TN, 512, 784, 3200, false);
    static const int rows[] = {1, 2, 4, 8, 16};
    for (size_t i = 0; i < TERN_COUNT(rows); i++) {
        char name[64];
        snprintf(name, sizeof name, "skinny-%d-vs-openblas", rows[i]);
        bench_gemm(name, NT, rows[i], 4096, 4096, true);
    }
    for (size_t i = 0; i < TERN_COUNT(rows); i++) {
        char name[64];
        snprintf(name, sizeof name, "skinny-%d-1536x576-vs-openblas", rows[i]);
        bench_gemm(name, NT, rows[i], 1536, 576, true);
    }
}

/* ---- small integers against the f32 peak ------------------------------------------------------------- */

#define PEAK_SUMS 256

/* The tile on panels that stay in the first-level cache: as many multiply-adds as the processor can do. */
static void peak_task(void *context, int64_t task, int thread)
{
    const tern_kernels *kernels = tern_kernels_get();
    static _Alignas(64) float a[PEAK_SUMS * 16], b[PEAK_SUMS * 32];
    _Alignas(64) float c[16 * 32];
    (void)context;
    (void)task;
    (void)thread;
    for (int i = 0; i < 1000; i++)
        kernels->tile[kernels->tile_rows - 1](PEAK_SUMS, a, kernels->tile_rows, b, c, 32, false);
}

static void f32_peak(void *context, int times)
{
    for (int i = 0; i < times; i++) tern_pool_run(pool, threads, peak_task, context);
}

typedef struct integers {
    int64_t m, n, k;
    void *a, *b, *scratch;
    int32_t *c;
} integers;

static void our_binary(void *context, int times)
{
    integers *g = context;
    for (int i = 0; i < times; i++)
        tern_binary_gemm(pool, g->m, g->n, g->k, g->a, 0, g->b, 0, g->c, g->scratch);
}

static void our_i8(void *context, int times)
{
    integers *g = context;
    for (int i = 0; i < times; i++) tern_i8_gemm(pool, g->m, g->n, g->k, g->a, g->b, g->c, false, g->scratch);
}

/* Rates differ in kind, so this prints its own line: operations a second, two a multiply-accumulate. */
static void bench_integer(const char *name, bench_side *ours, int64_t m, int64_t n, int64_t k)
{
    integers g = {.m = m, .n = n, .k = k, .a = spikes(8 * m * k, 0.5), .b = spikes(8 * n * k, 0.5)};
    g.c = (int32_t *)numbers(m * n);
    size_t bytes = tern_binary_gemm_scratch(m, n, k), wide = tern_i8_gemm_scratch(m, n, k);
    g.scratch = numbers((int64_t)((bytes > wide ? bytes : wide) / 4));
    const tern_kernels *kernels = tern_kernels_get();
    double peak_work = 2e-9 * threads * 1000.0 * PEAK_SUMS * kernels->tile_rows * kernels->tile_columns;
    double work = 2e-9 * (double)(m * n * k), rate[101], peak[101];
    int runs = bench_runs(), times = (int)(0.03 / bench_time(ours, &g, 1)) + 1;
    for (int i = 0; i < runs; i++) {
        rate[i] = work / bench_time(ours, &g, times);
        peak[i] = peak_work / bench_time(f32_peak, NULL, 1 + (int)(10 / peak_work));
    }
    qsort(rate, (size_t)runs, sizeof *rate, bench_compare);
    qsort(peak, (size_t)runs, sizeof *peak, bench_compare);
    printf("bench %s ours=%.4g peer=%.4g ratio=%.2f (GOP/s, n=%d)\n", name, rate[runs / 2], peak[runs / 2],
           rate[runs / 2] / peak[runs / 2], runs);
    void *all[] = {g.a, g.b, g.c, g.scratch};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

/* ---- spikes ------------------------------------------------------------------------------------------ */

typedef struct spiking {
    int64_t rows, n, k;
    bool gradient;
    tern_spike_path path;
    uint64_t *x;
    float *w, *y, *dense;
    void *scratch;
} spiking;

static void our_spikes(void *context, int times)
{
    spiking *s = context;
    for (int i = 0; i < times; i++)
        if (s->gradient)
            tern_spike_grad_weight(pool, s->rows, s->n, s->k, s->x, 0, s->y, s->w, NULL, false, s->path, NULL,
                                   s->scratch);
        else
            tern_spike_linear(pool, s->rows, s->n, s->k, s->x, 0, s->w, NULL, s->y, false, s->path, NULL,
                              s->scratch);
}

static void blas_spikes(void *context, int times)
{
    spiking *s = context;
    int rows = (int)s->rows, n = (int)s->n, k = (int)s->k;
    for (int i = 0; i < times; i++)
        if (s->gradient)
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, k, rows, 1, s->y, n, s->dense, k, 0, s->w,
                        k);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, n, k, 1, s->dense, k, s->w, k, 0, s->y,
                        n);
}

static void bench_spikes(int64_t rows, int64_t n, int64_t k, double density, bool gradient,
                         tern_spike_path path)
{
    spiking s = {
        .rows = rows, .n = n, .k = k, .gradient = gradient, .path = path, .x = spikes(rows * k, density)};
    s.w = numbers(n * k);
    s.y = numbers(rows * n);
    s.dense = numbers(rows * k);
    tern_bits_to_f32(pool, s.x, 0, rows * k, s.dense);
    size_t a = tern_spike_linear_scratch(rows, n, k), b = tern_spike_grad_weight_scratch(rows, n, k);
    s.scratch = numbers((int64_t)((a > b ? a : b) / 4));
    static const char *const paths[] = {"", "-dense", "-sparse"};
    char name[96];
    snprintf(name, sizeof name, "spike-%s-%lldx%lldx%lld-density-%.2f%s-vs-openblas",
             gradient ? "grad-weight" : "linear", (long long)rows, (long long)n, (long long)k, density,
             paths[path]);
    bench_print(name, 0, "ms", our_spikes, &s, blas_spikes, &s);
    void *all[] = {s.x, s.w, s.y, s.dense, s.scratch};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

/* ---- convolution against unfolding + OpenBLAS -------------------------------------------------------- */

typedef enum way { FORWARD, INPUT, WEIGHT } way;

typedef struct convolution {
    tern_conv conv;
    way way;
    bool spiking;
    tern_spike_path path;
    uint64_t *bits;
    float *x, *w, *y, *dx, *dw;
    float *columns, *partial; /* of the peer, one a thread */
    void *scratch;
} convolution;

static void our_conv(void *context, int times)
{
    convolution *v = context;
    const tern_conv *c = &v->conv;
    for (int i = 0; i < times; i++) {
        if (v->way == INPUT)
            tern_conv_grad_input(pool, c, v->y, v->w, v->dx, false, v->scratch);
        else if (v->way == FORWARD && v->spiking)
            tern_conv_forward_bits(pool, c, v->bits, 0, v->w, NULL, v->y, v->path, NULL, v->scratch);
        else if (v->way == FORWARD)
            tern_conv_forward(pool, c, v->x, v->w, NULL, v->y, v->scratch);
        else if (v->spiking)
            tern_conv_grad_weight_bits(pool, c, v->bits, 0, v->y, v->dw, false, v->path, NULL, v->scratch);
        else
            tern_conv_grad_weight(pool, c, v->x, v->y, v->dw, false, v->scratch);
    }
}

/* Stride 1 only: columns[(c,ky,kx)][pixel] = x, or x += columns. */
static void unfold(const tern_conv *c, float *x, float *columns, bool back)
{
    for (int64_t row = 0; row < c->in_channels * c->kernel_height * c->kernel_width; row++) {
        int64_t kx = row % c->kernel_width, ky = row / c->kernel_width % c->kernel_height;
        float *plane = x + row / (c->kernel_width * c->kernel_height) * c->height * c->width;
        for (int64_t oy = 0; oy < c->out_height; oy++, columns += c->out_width) {
            int64_t y = oy + ky - c->pad_y, shift = kx - c->pad_x;
            int64_t from = shift < 0 ? -shift : 0,
                    to = c->width - shift < c->out_width ? c->width - shift : c->out_width;
            bool outside = y < 0 || y >= c->height;
            if (!back) memset(columns, 0, sizeof(float) * (size_t)c->out_width);
            if (outside) continue;
            float *line = plane + y * c->width + shift;
            if (back)
                for (int64_t i = from; i < to; i++) line[i] += columns[i];
            else
                memcpy(columns + from, line + from, sizeof(float) * (size_t)(to - from));
        }
    }
}

static void blas_conv_task(void *context, int64_t image, int thread)
{
    convolution *v = context;
    const tern_conv *c = &v->conv;
    int pixels = (int)(c->out_height * c->out_width), out = (int)c->out_channels;
    int sums = (int)(c->in_channels * c->kernel_height * c->kernel_width);
    float *columns = v->columns + (int64_t)thread * sums * pixels, *y = v->y + image * out * pixels;
    float *x = v->x + image * c->in_channels * c->height * c->width;
    float *dx = v->dx + image * c->in_channels * c->height * c->width;
    if (v->way == INPUT) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, sums, pixels, out, 1, v->w, sums, y, pixels, 0,
                    columns, pixels);
        memset(dx, 0, sizeof(float) * (size_t)(c->in_channels * c->height * c->width));
        unfold(c, dx, columns, true);
        return;
    }
    unfold(c, x, columns, false);
    if (v->way == FORWARD)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, out, pixels, sums, 1, v->w, sums, columns,
                    pixels, 0, y, pixels);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, out, sums, pixels, 1, y, pixels, columns, pixels,
                    1, v->partial + (int64_t)thread * out * sums, sums);
}

/* The peer's best arrangement on few cores: images are shared by Tern's threads, OpenBLAS runs in each. */
static void blas_conv(void *context, int times)
{
    convolution *v = context;
    const tern_conv *c = &v->conv;
    int64_t weights = c->out_channels * c->in_channels * c->kernel_height * c->kernel_width;
    openblas_set_num_threads(1);
    for (int i = 0; i < times; i++) {
        memset(v->partial, 0, sizeof(float) * (size_t)(weights * threads));
        tern_pool_run(pool, c->images, blas_conv_task, v);
        for (int t = 0; v->way == WEIGHT && t < threads; t++)
            for (int64_t j = 0; j < weights; j++) v->dw[j] = (t ? v->dw[j] : 0) + v->partial[t * weights + j];
    }
    openblas_set_num_threads(threads);
}

static void bench_conv(const char *label, tern_conv c, way way, double density, tern_spike_path path)
{
    convolution v = {.conv = c, .way = way, .spiking = density > 0, .path = path};
    int64_t nx = c.images * c.in_channels * c.height * c.width,
            sums = c.in_channels * c.kernel_height * c.kernel_width;
    int64_t ny = c.images * c.out_channels * c.out_height * c.out_width;
    v.bits = spikes(nx, density);
    v.x = numbers(nx);
    if (density > 0) tern_bits_to_f32(pool, v.bits, 0, nx, v.x);
    v.dx = numbers(nx);
    v.w = numbers(c.out_channels * sums);
    v.dw = numbers(c.out_channels * sums);
    v.partial = numbers(c.out_channels * sums * threads);
    v.y = numbers(ny);
    v.columns = numbers(sums * c.out_height * c.out_width * threads);
    v.scratch = numbers((int64_t)(tern_conv_scratch(&c) / 4));
    static const char *const ways[] = {"forward", "grad-input", "grad-weight"};
    static const char *const paths[] = {"", "-dense", "-sparse"};
    char name[96], spiking[32] = "";
    if (density > 0) snprintf(spiking, sizeof spiking, "-density-%.2f%s", density, paths[path]);
    snprintf(name, sizeof name, "conv-%s-%s%s-vs-im2col-openblas", label, ways[way], spiking);
    bench_print(name, 0, "ms", our_conv, &v, blas_conv, &v);
    void *all[] = {v.bits, v.x, v.dx, v.w, v.dw, v.partial, v.y, v.columns, v.scratch};
    for (size_t i = 0; i < TERN_COUNT(all); i++) tern_release(all[i]);
}

static tern_conv same_conv(int64_t images, int64_t in, int64_t out, int64_t size, int64_t kernel)
{
    return (tern_conv){.images = images,
                       .in_channels = in,
                       .height = size,
                       .width = size,
                       .out_channels = out,
                       .out_height = size,
                       .out_width = size,
                       .kernel_height = kernel,
                       .kernel_width = kernel,
                       .stride_y = 1,
                       .stride_x = 1,
                       .pad_y = kernel / 2,
                       .pad_x = kernel / 2,
                       .dilation_y = 1,
                       .dilation_x = 1,
                       .groups = 1};
}

static void bench_convolutions(void)
{
    static const double densities[] = {0.02, 0.05, 0.1, 0.2};
    tern_conv first = same_conv(64, 1, 32, 28, 3), second = same_conv(512, 32, 64, 14, 3);
    bench_conv("1to32-28x28", first, FORWARD, 0, TERN_SPIKE_AUTO);
    bench_conv("1to32-28x28", first, WEIGHT, 0, TERN_SPIKE_AUTO);
    for (way w = FORWARD; w <= WEIGHT; w++) bench_conv("32to64-14x14", second, w, 0, TERN_SPIKE_AUTO);
    for (size_t i = 0; i < TERN_COUNT(densities); i++) {
        bench_conv("32to64-14x14", second, FORWARD, densities[i], TERN_SPIKE_AUTO);
        bench_conv("32to64-14x14", second, WEIGHT, densities[i], TERN_SPIKE_AUTO);
    }
    for (way w = FORWARD; w <= WEIGHT; w++)
        bench_conv("128to128-7x7", same_conv(64, 128, 128, 7, 3), w, 0, TERN_SPIKE_AUTO);
    bench_conv("64to256-14x14-1x1", same_conv(64, 64, 256, 14, 1), FORWARD, 0, TERN_SPIKE_AUTO);
}

static void bench_all_spikes(bool every_path)
{
    static const double densities[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5};
    for (int gradient = 0; gradient < 2; gradient++)
        for (size_t i = 0; i < TERN_COUNT(densities); i++)
            for (int path = 0; path < (every_path ? 3 : 1); path++)
                bench_spikes(3200, 512, 784, densities[i], gradient, (tern_spike_path)path);
}

/* OpenBLAS reads its settings when it is loaded: set them and start again.  TERN_BENCH_CORETYPE names other kernels. */
static void choose_peer(char **argv)
{
    bool usable = false;
    if (getenv("TERN_BENCH_STARTED")) return;
    const char *kernels = getenv("TERN_BENCH_CORETYPE");
    if (!kernels && tern_isa_known(2, &usable) && usable) kernels = "SkylakeX";
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("OPENBLAS_L2_SIZE");
    if (kernels) setenv("OPENBLAS_CORETYPE", kernels, 1);
    setenv("TERN_BENCH_STARTED", "1", 1);
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    choose_peer(argv);
    if (tern_isa_select(NULL) != TERN_OK || tern_pool_open(&pool, 0) != TERN_OK) {
        fprintf(stderr, "bench: %s\n", tern_message());
        return 1;
    }
    threads = tern_pool_threads(pool);
    openblas_set_num_threads(threads);
    printf("kernels: %s, %d threads; peer: OpenBLAS %s, %d threads\n", tern_isa_name(), threads,
           openblas_get_corename(), threads);
    bench_share share = bench_share_now();
    const char *only = argc > 1 ? argv[1] : "";
    if (!*only || !strcmp(only, "gemm")) bench_products();
    if (!*only || !strcmp(only, "integer")) {
        bench_integer("binary-vs-f32-peak", our_binary, 2048, 2048, 4096);
        bench_integer("binary-linear-3200x512x784-vs-f32-peak", our_binary, 3200, 512, 784);
        bench_integer("i8-vs-f32-peak", our_i8, 1024, 1024, 1024);
    }
    if (!*only || !strcmp(only, "elements")) {
        bench_elements(pool, 25, 128 * 512, numbers);
        bench_elements(pool, 100, 128 * 512, numbers);
    }
    if (!*only || !strcmp(only, "curves")) {
        bench_curves(pool, 512, 1024, numbers);
        bench_curves(pool, 16384, 1024, numbers);
    }
    if (!*only || !strcmp(only, "spike")) bench_all_spikes(argc > 2);
    if (!*only || !strcmp(only, "conv")) bench_convolutions();
    bench_print_foreign(share, "the benchmark");
    tern_pool_close(pool);
    return 0;
}
