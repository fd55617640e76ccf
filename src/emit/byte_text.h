/* Functions of convolutions and linear layers of bytes, as C: sums of 32 bits that wrap around, the same with and without the DSP
 * extension of ARM. */
#ifndef TERN_EMIT_BYTE_TEXT_H
#define TERN_EMIT_BYTE_TEXT_H

extern const char tern_byte_text_pairs[];   /* two numbers of 16 bits in a word */
extern const char tern_byte_text_dot[];     /* dot_bytes: two rows of bytes */
extern const char tern_byte_text_product[]; /* add_product */
extern const char tern_byte_text_two[];     /* dot_two: a row of bytes times two rows of weights */
extern const char tern_byte_text_four[];    /* dot_four: the patches of four pixels times a row of weights */
extern const char tern_byte_text_pixel[];   /* patch_pixel: the patch of one of four pixels, from bytes */
extern const char tern_byte_text_planes[];  /* patch_planes: those of four neighbours, from planes */
extern const char tern_byte_text_copy[];    /* copy_bytes */
extern const char tern_byte_text_row[];     /* plane_row_3: a row of a plane's convolution by 3 x 3 */

#endif
