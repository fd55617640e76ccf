/* What every file of this folder starts with: the vector of this instruction set, and a suffix for its symbols.
 * The files are compiled once per set with -DTERN_ISA=<set>; the vectors are the compiler's own, so that the code is
 * the same for all, with intrinsics only where a loop needs an instruction that C cannot name. */
#ifndef TERN_ISA_H
#define TERN_ISA_H

#include "kernel/table.h"

#if defined(__AVX512F__)
#define TERN_VECTOR_BYTES 64
#define TERN_TILE_ROWS    14
#define TERN_TAPS         12
#elif defined(__AVX2__)
#define TERN_VECTOR_BYTES 32
#define TERN_TILE_ROWS    6
#define TERN_TAPS         6
#else
#define TERN_VECTOR_BYTES 16
#define TERN_TILE_ROWS    4
#define TERN_TAPS         6
#endif
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Densities of spikes below which adding rows is faster than multiplying, measured on Zen 5 (3200 x 512 x 784; 512 images
 * of 32 x 14 x 14 to 64 channels): linear, its weight gradient, convolution, its weight gradient. */
#if defined(__AVX512F__)
#define TERN_SPARSE_BELOW 0.58, 0.58, 0.38, 0.90
#elif defined(__AVX2__)
#define TERN_SPARSE_BELOW 0.64, 0.62, 0.58, 1.00
#else
#define TERN_SPARSE_BELOW 1.00, 1.00, 0.90, 1.00
#endif

/* Signed bytes that a 32-bit word of a packed panel holds: four for VNNI, two (widened) for the others. */
#if defined(__AVX512VNNI__)
#define TERN_I8_PER_WORD 4
#else
#define TERN_I8_PER_WORD 2
#endif

#define TERN_LANES (TERN_VECTOR_BYTES / 4)

typedef float vf __attribute__((vector_size(TERN_VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(TERN_VECTOR_BYTES)));
typedef uint32_t vu __attribute__((vector_size(TERN_VECTOR_BYTES)));
typedef float vf_unaligned __attribute__((vector_size(TERN_VECTOR_BYTES), aligned(4), may_alias));

typedef uint32_t vu_unaligned __attribute__((vector_size(TERN_VECTOR_BYTES), aligned(4), may_alias));

#define TERN_JOIN_(a, b)   a##_##b
#define TERN_JOIN(a, b)    TERN_JOIN_(a, b)
#define TERN_FOR_ISA(name) TERN_JOIN(name, TERN_ISA)

#define TERN_INLINE        static inline __attribute__((always_inline))

#if defined(__clang__)
#define TERN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TERN_UNROLL _Pragma("GCC unroll 64")
#endif

TERN_INLINE vf tern_load(const float *p)
{
    return *(const vf_unaligned *)p;
}
TERN_INLINE void tern_store(float *p, vf v)
{
    *(vf_unaligned *)p = v;
}

TERN_INLINE vu tern_load_words(const uint32_t *p)
{
    return *(const vu_unaligned *)p;
}
TERN_INLINE void tern_store_words(uint32_t *p, vu v)
{
    *(vu_unaligned *)p = v;
}

/* Bits [at, at + count) of a packed array, count <= 32; never reads a word that holds none of them. */
TERN_INLINE uint32_t tern_bits_at(const uint64_t *words, int64_t at, int count)
{
    const uint64_t *word = words + (at >> 6);
    int shift = (int)(at & 63);
    uint64_t bits = *word >> shift;
    if (shift + count > 64) bits |= word[1] << (64 - shift);
    return (uint32_t)(bits & ((1ull << count) - 1));
}

/* The low bits of `bits` as 0.0f and 1.0f, lane l from bit l. */
TERN_INLINE vf tern_expand_bits(uint32_t bits)
{
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_mov_ps((__mmask16)bits, _mm512_set1_ps(1.0f));
#else
    vu lane;
    TERN_UNROLL for (int l = 0; l < TERN_LANES; l++) lane[l] = (uint32_t)l;
    vu one = (vu){0} + 0x3f800000u;
    return (vf)((((vu){0} + bits) >> lane & 1u) * one);
#endif
}

/* 1/x within 2 units of the last place, for x whose inverse is no denormal: a division takes as long as the rest of a loop. */
TERN_INLINE vf tern_inverse(vf x)
{
#if defined(__AVX512F__)
    vf y = (vf)_mm512_rcp14_ps((__m512)x);
    return y + y * (1 - x * y); /* a step of Newton's */
#else
    return 1 / x;
#endif
}

/* X(1) X(2) … for every number of rows that a tile of this instruction set can have. */
#if TERN_TILE_ROWS == 14
#define TERN_EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif TERN_TILE_ROWS == 6
#define TERN_EACH_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define TERN_EACH_ROWS(X) X(1) X(2) X(3) X(4)
#endif

/* The same for the taps of a convolution that are added at once. */
#if TERN_TAPS == 12
#define TERN_EACH_TAPS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#else
#define TERN_EACH_TAPS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

extern tern_tile *const TERN_FOR_ISA(tern_tiles)[];
extern tern_tile *const TERN_FOR_ISA(tern_half_tiles)[];
void TERN_FOR_ISA(tern_pack_panel)(const tern_factor *factor, int64_t free0, int64_t count, int width,
                                   int64_t sum0, int64_t sums, float *out);
extern tern_word_tile *const TERN_FOR_ISA(tern_binary_tiles)[];
extern tern_word_tile *const TERN_FOR_ISA(tern_i8_tiles)[];
void TERN_FOR_ISA(tern_pack_binary)(const void *rows, int64_t at, int64_t k, int64_t count, int width,
                                    uint32_t *out);
void TERN_FOR_ISA(tern_pack_i8)(const void *rows, int64_t at, int64_t k, int64_t count, int width,
                                uint32_t *out);
void TERN_FOR_ISA(tern_turn)(int64_t rows, int64_t columns, const float *from, int64_t from_step, float *to,
                             int64_t to_step);
void TERN_FOR_ISA(tern_sum_few)(int columns, int rows, int64_t sums, const float *a, int64_t a_step,
                                const float *b, int64_t b_step, float *out);
int TERN_FOR_ISA(tern_list_bits)(const uint64_t *words, int64_t at, int count, int unit, int rest,
                                 uint16_t *list);
void TERN_FOR_ISA(tern_add_listed)(int64_t rows, const uint16_t *lists, const uint32_t *starts,
                                   const float *b, const float *from, int64_t from_stride, float *c,
                                   int64_t row_stride);
void TERN_FOR_ISA(tern_add_rows)(int64_t rows, const uint8_t *lists, int64_t list_step,
                                 const uint16_t *counts, int64_t count_step, const float *b, float *c,
                                 int64_t row_stride, bool add);
extern tern_element_loop *const TERN_FOR_ISA(tern_element_loops)[];
void TERN_FOR_ISA(tern_store_far)(int64_t n, const float *from, float *to);
int64_t TERN_FOR_ISA(tern_list_positions)(const uint64_t *words, int64_t at, int64_t count,
                                          const uint64_t *mask, int64_t mask_at, const uint16_t *positions,
                                          uint16_t shift, uint16_t *list);
extern tern_spread *const TERN_FOR_ISA(tern_spreads)[];
extern tern_gather_rows *const TERN_FOR_ISA(tern_gathers)[];
void TERN_FOR_ISA(tern_winograd_weights)(int64_t count, const float *taps, int64_t tap_step, float *u,
                                         int64_t position_step);
void TERN_FOR_ISA(tern_winograd_input)(int64_t tiles, const float *x, int64_t pitch, float *to,
                                       int64_t position_step);
void TERN_FOR_ISA(tern_winograd_output)(int64_t tiles, const float *m, int64_t position_step,
                                        const float *bias, float *y, int64_t pitch);
extern tern_winograd_product *const TERN_FOR_ISA(tern_winograd_products)[];
extern tern_packed_dot *const TERN_FOR_ISA(tern_packed_dots)[];
extern tern_packed_few *const TERN_FOR_ISA(tern_packed_fews)[];
void TERN_FOR_ISA(tern_round_row)(int64_t k, const float *x, tern_rounding rounding, tern_bytes_row to);
int32_t TERN_FOR_ISA(tern_byte_dot_of)(int64_t k, const int8_t *a, const int8_t *b);
void TERN_FOR_ISA(tern_float_dot)(int64_t k, const float *w, const float *x, int64_t x_step, int rows,
                                  float *y);
void TERN_FOR_ISA(tern_attention_head)(const tern_attention *attention, int64_t query, int64_t head);
void TERN_FOR_ISA(tern_attention_block)(const tern_attention *attention, int64_t group, int64_t block);
void TERN_FOR_ISA(tern_half_dot)(tern_dtype dtype, int64_t k, const uint16_t *w, const float *x,
                                 int64_t x_step, int rows, float *y);
void TERN_FOR_ISA(tern_level_dot)(int64_t blocks, const uint8_t *indices, size_t step, const float *most,
                                  const float *levels, const float *x, int64_t x_step, int rows, float *y);
void TERN_FOR_ISA(tern_plane_forward)(const tern_conv *conv, const float *x, const float *w, float bias,
                                      float *y);
void TERN_FOR_ISA(tern_plane_grad_input)(const tern_conv *conv, const float *dy, const float *w, float *dx);
void TERN_FOR_ISA(tern_plane_grad_weight)(const tern_conv *conv, const float *x, const float *dy, double *dw);

#endif
