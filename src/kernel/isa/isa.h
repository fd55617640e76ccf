/* What every file of this folder starts with: the vector of this instruction set, and a suffix for its symbols.
 * The files are compiled once per set with -DTERN_ISA=<set>; the vectors are the compiler's own, so that the code is
 * the same for all, with intrinsics only where a loop needs an instruction that C cannot name. */
#ifndef TERN_ISA_H
#define TERN_ISA_H

#include "kernel/table.h"

#if defined(__AVX512F__)
#define TERN_VECTOR_BYTES 64
#define TERN_TILE_ROWS    14
#elif defined(__AVX2__)
#define TERN_VECTOR_BYTES 32
#define TERN_TILE_ROWS    6
#else
#define TERN_VECTOR_BYTES 16
#define TERN_TILE_ROWS    4
#endif
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define TERN_LANES (TERN_VECTOR_BYTES / 4)

typedef float vf __attribute__((vector_size(TERN_VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(TERN_VECTOR_BYTES)));
typedef uint32_t vu __attribute__((vector_size(TERN_VECTOR_BYTES)));
typedef float vf_unaligned __attribute__((vector_size(TERN_VECTOR_BYTES), aligned(4), may_alias));

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

extern tern_tile *const TERN_FOR_ISA(tern_tiles)[];
extern tern_tile *const TERN_FOR_ISA(tern_half_tiles)[];
void TERN_FOR_ISA(tern_pack_panel)(const tern_factor *factor, int64_t free0, int64_t count, int width,
                                   int64_t sum0, int64_t sums, float *out);
int TERN_FOR_ISA(tern_list_bits)(const uint64_t *words, int64_t at, int count, uint8_t *list);
void TERN_FOR_ISA(tern_add_rows)(int64_t rows, const uint8_t *lists, int64_t list_step,
                                 const uint16_t *counts, int64_t count_step, const float *b, float *c,
                                 int64_t row_stride, bool add);
void TERN_FOR_ISA(tern_plane_forward)(const tern_conv *conv, const float *x, const float *w, float bias,
                                      float *y);
void TERN_FOR_ISA(tern_plane_grad_input)(const tern_conv *conv, const float *dy, const float *w, float *dx);
void TERN_FOR_ISA(tern_plane_grad_weight)(const tern_conv *conv, const float *x, const float *dy, double *dw);

#endif
