/* What a core can do at most, for the probe: loops that do nothing but read, write, or one instruction. */
#include "kernel/isa/isa.h"

#include "kernel/isa/peak.h"

/* Sum of the bytes' words, read `times` times over; bytes a multiple of 32 vectors.  Its four quarters are read side by side: the
 * prefetchers of a core follow several streams, and one alone leaves bandwidth unused. */
uint32_t TERN_FOR_ISA(tern_peak_read)(const void *memory, int64_t bytes, int64_t times)
{
    vu sum[8] = {0};
    const int64_t quarter = bytes / 4;
    for (; times > 0; times--) {
        const char *p = memory;
        for (const char *end = p + quarter; p < end; p += sizeof sum)
            for (int part = 0; part < 4; part++) TERN_UNROLL for (int i = 0; i < 8; i++)
                {
                    sum[i] += ((const vu_unaligned *)(const void *)(p + part * quarter))[i];
                }
        __asm__ volatile("" : : : "memory");
    }
    for (int i = 1; i < 8; i++) sum[0] += sum[i];
    return sum[0][0];
}

void TERN_FOR_ISA(tern_peak_write)(void *memory, int64_t bytes, int64_t times)
{
    const vu one = (vu){0} + 1;
    for (; times > 0; times--) {
        char *p = memory;
        for (const char *end = p + bytes; p < end; p += 8 * sizeof one)
            TERN_UNROLL for (int i = 0; i < 8; i++)
            {
                ((vu_unaligned *)(void *)p)[i] = one;
            }
        __asm__ volatile("" : : : "memory");
    }
}

void TERN_FOR_ISA(tern_peak_write_far)(void *memory, int64_t bytes, int64_t times)
{
#if defined(__AVX2__)
    const vu one = (vu){0} + 1;
    for (; times > 0; times--) {
        char *p = memory;
        for (const char *end = p + bytes; p < end; p += 8 * sizeof one)
            TERN_UNROLL for (int i = 0; i < 8; i++)
            {
#if defined(__AVX512F__)
                _mm512_stream_si512((__m512i *)(void *)p + i, (__m512i)one);
#else
                _mm256_stream_si256((__m256i *)(void *)p + i, (__m256i)one);
#endif
            }
        _mm_sfence();
    }
#else
    TERN_FOR_ISA(tern_peak_write)(memory, bytes, times);
#endif
}

void TERN_FOR_ISA(tern_peak_triad)(void *memory, int64_t bytes, int64_t times)
{
    int64_t third = bytes / 3 / 512 * 128; /* floats */
    float *a = memory;
    const float *b = a + third, *c = b + third;
    for (; times > 0; times--) {
        for (int64_t i = 0; i < third; i += TERN_LANES)
            tern_store(a + i, tern_load(b + i) + 3 * tern_load(c + i));
        __asm__ volatile("" : : : "memory");
    }
}

typedef double vd __attribute__((vector_size(TERN_VECTOR_BYTES)));

#if defined(__AVX2__)
#define FUSED 1 /* instructions of a multiply-add */
#else
#define FUSED 2
#endif

/* The chain is a factor: a product of constants would be computed once. */
#define MAC(s) s = s * a + b
#define ADD(s) s += a
LOOP(f32_mac, vf, MAC, TERN_LANES)
LOOP(f32_add, vf, ADD, TERN_LANES)
WAIT(f32_mac_waits, vf, MAC)
WAIT(f32_add_waits, vf, ADD)
LOOP(f64_mac, vd, MAC, TERN_LANES / 2)
LOOP(i32_mac, vi, MAC, TERN_LANES)
#if defined(__AVX512VNNI__)
#define I8(s) s = (vi)_mm512_dpbusd_epi32((__m512i)s, (__m512i)a, (__m512i)b)
#elif defined(__AVX2__)
#define I8(s) s = (vi)_mm256_madd_epi16((__m256i)s, (__m256i)b)
#endif
#if defined(__AVX2__)
LOOP(i8_mac, vi, I8, TERN_LANES *TERN_I8_PER_WORD) /* of signed bytes, as the tiles of integer.c do them */
#endif
#if defined(__AVX512F__)
#define HALVES(s)  s = (vi)_mm512_cvtph_ps(_mm512_castsi512_si256((__m512i)s))
#define PERMUTE(s) s = (vi)_mm512_permutexvar_epi32((__m512i)a, (__m512i)s)
#define ONES(s)    s = (vi)_mm512_popcnt_epi64((__m512i)s)
#define GATHER(s)                                                                                            \
    s = (vi)_mm512_i32gather_epi32(_mm512_and_si512((__m512i)s, _mm512_set1_epi32(63)), table, 4)
#elif defined(__AVX2__)
#define HALVES(s)  s = (vi)_mm256_cvtph_ps(_mm256_castsi256_si128((__m256i)s))
#define PERMUTE(s) s = (vi)_mm256_permutevar8x32_epi32((__m256i)s, (__m256i)a)
#define GATHER(s)                                                                                            \
    s = (vi)_mm256_i32gather_epi32(table, _mm256_and_si256((__m256i)s, _mm256_set1_epi32(63)), 4)
#endif
#if defined(__AVX2__)
static const int32_t table[64];
LOOP(halves, vi, HALVES, TERN_LANES)
LOOP(permute, vi, PERMUTE, TERN_LANES)
LOOP(gather, vi, GATHER, TERN_LANES)
#endif
#if defined(__AVX512F__)
LOOP(ones, vi, ONES, 64.0 / 8)
#endif

static const tern_peak_loop loops[] = {
    {"f32 mac", "mac", BITS, (double)TERN_LANES / FUSED, false, f32_mac},
    {"f32 mac latency", "mac", BITS, 1.0 / FUSED, true, f32_mac_waits},
    {"f32 add", "add", BITS, TERN_LANES, false, f32_add},
    {"f32 add latency", "add", BITS, 1, true, f32_add_waits},
    {"f64 mac", "mac", BITS, TERN_LANES / 2.0 / FUSED, false, f64_mac},
    {"i32 mac", "mac", BITS, TERN_LANES / 2.0, false, i32_mac},
#if defined(__AVX2__)
    {"i8 mac", "mac", BITS, TERN_LANES *TERN_I8_PER_WORD, false, i8_mac},
    {"f16 to f32", "op", BITS, TERN_LANES, false, halves},
    {"permute", "op", BITS, TERN_LANES, false, permute},
    {"gather", "op", BITS, TERN_LANES, false, gather},
#endif
#if defined(__AVX512F__)
    {"count ones", "op", BITS, 64.0 / 8, false, ones},
#endif
    {0},
};

const tern_peak TERN_FOR_ISA(tern_peak) = {TERN_FOR_ISA(tern_peak_read), TERN_FOR_ISA(tern_peak_write),
                                           TERN_FOR_ISA(tern_peak_write_far), TERN_FOR_ISA(tern_peak_triad),
                                           loops};
