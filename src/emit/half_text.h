/* Functions for nets of 16 bits that learn, as C: the same bits as kernel/half.h on every processor. */
#ifndef TERN_EMIT_HALF_TEXT_H
#define TERN_EMIT_HALF_TEXT_H

/* Floats as their bits, in emitted C. */
/* clang-format off */
#define TERN_EMIT_BITS \
    "static inline uint32_t bits_of(float x)\n" \
    "{\n" \
    "    uint32_t bits;\n" \
    "    memcpy(&bits, &x, sizeof bits);\n" \
    "    return bits;\n" \
    "}\n" \
    "\n" \
    "static inline float float_of(uint32_t bits)\n" \
    "{\n" \
    "    float x;\n" \
    "    memcpy(&x, &bits, sizeof x);\n" \
    "    return x;\n" \
    "}\n" \
    "\n"
/* clang-format on */

extern const char tern_half_text_odd[]; /* sums that can be rounded again */
extern const char tern_half_f16_numbers[], tern_half_bf16_numbers[], tern_half_f32_numbers[];
extern const char tern_half_f16_rows[], tern_half_bf16_rows[], tern_half_f32_rows[];
extern const char tern_half_f16_lanes[], tern_half_bf16_lanes[], tern_half_f32_lanes[];
extern const char tern_half_f16_wide[], tern_half_bf16_wide[]; /* sums in f32 */
extern const char tern_half_f16_columns[], tern_half_bf16_columns[], tern_half_f32_columns[];

#endif
