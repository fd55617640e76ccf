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
    if (below(5) == 0) n = between(1, 4); /* few columns: a kernel of their own, to the same bits as packed */
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
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
