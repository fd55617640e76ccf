/* Functions for nets of 16 bits that learn, as C: the same bits as kernel/half.h on every processor. */
#ifndef TERN_EMIT_HALF_TEXT_H
#define TERN_EMIT_HALF_TEXT_H

extern const char tern_half_text_odd[]; /* sums that can be rounded again */
extern const char tern_half_f16_numbers[], tern_half_bf16_numbers[], tern_half_f32_numbers[];
extern const char tern_half_f16_rows[], tern_half_bf16_rows[], tern_half_f32_rows[];
extern const char tern_half_f16_lanes[], tern_half_bf16_lanes[], tern_half_f32_lanes[];
extern const char tern_half_f16_wide[], tern_half_bf16_wide[]; /* sums in f32 */
extern const char tern_half_f16_columns[], tern_half_bf16_columns[], tern_half_f32_columns[];

#endif
