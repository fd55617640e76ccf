/* What a core can do at most, for the probe: loops that do nothing but read, multiply or add. */
#include "kernel/isa/isa.h"

#include "kernel/peak.h"

/* Chains of operations that don't wait for each other: enough to hide the latency, few enough for the registers. */
#define CHAINS 12
#define EACH(STEP)                                                                                           \
    STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)

/* The value is needed and may have changed: the compiler can neither drop, merge nor hoist what made it. */
#if defined(__x86_64__)
#define OPAQUE(x) __asm__ volatile("" : "+v"(x))
#else
#define OPAQUE(x) __asm__ volatile("" : "+w"(x))
#endif

/* Sum of the bytes' words, read `times` times over; bytes a multiple of 8 vectors. */
static uint32_t probe_read(const void *memory, int64_t bytes, int64_t times)
{
    vu sum[8] = {0};
    for (; times > 0; times--) {
        const char *p = memory;
        for (const char *end = p + bytes; p < end; p += sizeof sum) TERN_UNROLL for (int i = 0; i < 8; i++)
            {
                sum[i] += ((const vu_unaligned *)(const void *)p)[i];
            }
        __asm__ volatile("" : : : "memory");
    }
    for (int i = 1; i < 8; i++) sum[0] += sum[i];
    return sum[0][0];
}

/* `rounds` times CHAINS vectors of multiply-adds; returns how many multiply-adds that were.  The chain is a factor: a
 * product of constants would be computed once. */
static double probe_f32_mac(int64_t rounds)
{
    vf a = {0}, b = {0};
    OPAQUE(a);
    OPAQUE(b);
#define STEP(i) vf s##i = a;
    EACH(STEP)
#undef STEP
    for (int64_t r = 0; r < rounds; r++) {
#define STEP(i)                                                                                              \
    s##i = s##i * a + b;                                                                                     \
    OPAQUE(s##i);
        EACH(STEP)
#undef STEP
    }
    return (double)rounds * CHAINS * TERN_LANES;
}

static double probe_f32_add(int64_t rounds)
{
    vf a = {0};
    OPAQUE(a);
#define STEP(i) vf s##i = a;
    EACH(STEP)
#undef STEP
    for (int64_t r = 0; r < rounds; r++) {
#define STEP(i)                                                                                              \
    s##i += a;                                                                                               \
    OPAQUE(s##i);
        EACH(STEP)
#undef STEP
    }
    return (double)rounds * CHAINS * TERN_LANES;
}

/* Products of signed bytes into 32-bit sums, as the tiles of integer.c do them. */
static double probe_i8_mac(int64_t rounds)
{
    vi a = {0}, b = {0};
    OPAQUE(a);
    OPAQUE(b);
#define STEP(i) vi s##i = a;
    EACH(STEP)
#undef STEP
    for (int64_t r = 0; r < rounds; r++) {
#if defined(__AVX512VNNI__)
#define STEP(i)                                                                                              \
    s##i = (vi)_mm512_dpbusd_epi32((__m512i)s##i, (__m512i)a, (__m512i)b);                                   \
    OPAQUE(s##i);
#elif defined(__AVX2__)
#define STEP(i)                                                                                              \
    s##i += (vi)_mm256_madd_epi16((__m256i)s##i, (__m256i)b);                                                \
    OPAQUE(s##i);
#else
#define STEP(i)                                                                                              \
    s##i = s##i * a + b;                                                                                     \
    OPAQUE(s##i);
#endif
        EACH(STEP)
#undef STEP
    }
#if defined(__AVX2__)
    return (double)rounds * CHAINS * TERN_LANES * TERN_I8_PER_WORD;
#else
    return (double)rounds * CHAINS * TERN_LANES;
#endif
}

const tern_peak TERN_FOR_ISA(tern_peak) = {probe_read, probe_f32_mac, probe_f32_add, probe_i8_mac};
