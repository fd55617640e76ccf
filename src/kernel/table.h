/* The loops that differ between instruction sets, as a table: isa/ is compiled once per instruction set and fills one
 * each; the rest of the folder cuts work into tasks and calls through the table that was chosen. */
#ifndef TERN_KERNEL_TABLE_H
#define TERN_KERNEL_TABLE_H

#include "kernel/attend.h"
#include "kernel/element.h"
#include "kernel/half.h"
#include "kernel/int8.h"
#include "kernel/outlier.h"
#include "kernel/packed.h"

/* A block of C: c[rows, columns] = (add ? c : 0) + sum over k of a[k*a_step + row] * b[k*columns + column], where
 * `columns` is the table's (the whole width of a packed panel of B). */
typedef void tern_tile(int64_t k, const float *a, int64_t a_step, const float *b, float *c,
                       int64_t row_stride, bool add);

/* The same for small integers: a and b are 32-bit words that hold several of the summed elements. */
typedef void tern_word_tile(int64_t words, const uint32_t *a, int64_t a_step, const uint32_t *b, int32_t *c,
                            int64_t row_stride, bool add);

/* out[word*width + i] = the word-th group of elements of row i (0 from `count` on), rows of k elements one behind the
 * other from element `at`. */
typedef void tern_word_pack(const void *rows, int64_t at, int64_t k, int64_t count, int width, uint32_t *out);

/* Spikes of one channel at rows list[0 .. count) of tile_columns floats, and the taps of a convolution that see them,
 * offsets[t] floats from there.  Spread: w[t] is added to the row of y at list[j], offsets[t];  gather: sums[t] = (add ?
 * sums[t] : 0) + the sum over j of the rows of dy there.  In the order of j, for each j in that of t. */
typedef void tern_spread(int64_t count, const uint16_t *list, const int64_t *offsets, const float *w,
                         float *y);
typedef void tern_gather_rows(int64_t count, const uint16_t *list, const int64_t *offsets, const float *dy,
                              float *sums, bool add);

/* m[row] = the sum over k of element k of row `row` of v times u[k].  Rows are tile_columns floats; a row of v longer than
 * that goes on panel_step floats behind. */
typedef void tern_winograd_product(int64_t k, const float *v, int64_t panel_step, const float *u, float *m);

/* Bytes of a result that no cache keeps until it is read: worth storing past the caches. */
#define TERN_FAR_BYTES (8 * 1024 * 1024)

/* The kernels that choose between adding and multiplying. */
enum {
    TERN_SPARSE_LINEAR,
    TERN_SPARSE_LINEAR_WEIGHT,
    TERN_SPARSE_CONV,
    TERN_SPARSE_CONV_WEIGHT,
    TERN_SPARSE_KINDS
};

typedef struct tern_kernels {
    const char *name;
    const struct tern_loops *loops; /* element by element: loops.h */
    const struct tern_rows *rows;   /* row by row: rows.h */
    const struct tern_casts *casts; /* between formats: cast.h */
    const struct tern_peak *peak;   /* what a core can do at most: peak.h */
    const tern_int8_loops *int8;    /* of nets of bytes: int8.h */
    int tile_rows, tile_columns;    /* the largest block of C that stays in registers */
    tern_tile *const *tile;         /* tile[rows - 1], for 1 .. tile_rows rows */
    tern_tile *const *half_tile;    /* the same for the first half of the columns */

    /* out[s*width + f] = element (free0 + f, sum0 + s) of the factor, f < width (0 from `count` on), s < sums. */
    void (*pack)(const tern_factor *factor, int64_t free0, int64_t count, int width, int64_t sum0,
                 int64_t sums, float *out);

    /* to[j*to_step + i] = from[i*from_step + j], i < rows, j < columns. */
    void (*turn)(int64_t rows, int64_t columns, const float *from, int64_t from_step, float *to,
                 int64_t to_step);

    /* out[c*16 + r] = sum over s < sums of a[r*a_step + s] * b[c*b_step + s], r < rows <= 16, c < columns <= 4; may write the
     * rest of the 16. */
    void (*sum_few)(int columns, int rows, int64_t sums, const float *a, int64_t a_step, const float *b,
                    int64_t b_step, float *out);

    tern_word_tile *const *binary_tile, *const *i8_tile; /* [rows - 1] */
    tern_word_pack *pack_binary, *pack_i8;
    int i8_per_word;

    /* The positions of the bits set in [at, at + count), count <= 256, in ascending order, relative to `at` and times
     * `unit`, then `rest` until their number is a multiple of 4; returns how many.  May write 64 bytes behind the last. */
    int (*list_bits)(const uint64_t *words, int64_t at, int count, int unit, int rest, uint16_t *list);

    /* c[i*row_stride ..] of tile_columns floats = from[i*from_stride ..] (0 when NULL) + the sum of b[2*p ..] over the
     * positions p in lists[starts[i]] .. lists[starts[i+1]], a multiple of 4, for i < rows.  c may be from. */
    void (*add_listed)(int64_t rows, const uint16_t *lists, const uint32_t *starts, const float *b,
                       const float *from, int64_t from_stride, float *c, int64_t row_stride);

    /* c[i*row_stride ..] of tile_columns floats = (add ? c : 0) + the sum over j < counts[i*count_step] of
     * b[list[j]*tile_columns ..], list = lists + i*list_step, for i < rows. */
    void (*add_rows)(int64_t rows, const uint8_t *lists, int64_t list_step, const uint16_t *counts,
                     int64_t count_step, const float *b, float *c, int64_t row_stride, bool add);

    /* positions[i] + shift of the i in [0, count) whose bit at + i is set and, unless mask is NULL, bit mask_at + i of it too;
     * returns how many.  May write up to 64 bytes behind the last. */
    int64_t (*list_positions)(const uint64_t *words, int64_t at, int64_t count, const uint64_t *mask,
                              int64_t mask_at, const uint16_t *positions, uint16_t shift, uint16_t *list);
    int taps; /* at most, for these: [taps - 1] */
    tern_spread *const *spread;
    tern_gather_rows *const *gather;

    /* Winograd's convolution, tile_columns channels side by side; the 36 positions of a row are position_step floats apart.
     * Weights: `count` rows of 9 taps, tap_step floats apart.  Inputs: a row of `tiles` tiles of 6x6 pixels that begin 4
     * pixels apart.  Outputs: 4x4 pixels each, plus bias[tile_columns].  pitch: floats of a row of pixels. */
    void (*winograd_weights)(int64_t count, const float *taps, int64_t tap_step, float *u,
                             int64_t position_step);
    void (*winograd_input)(int64_t tiles, const float *x, int64_t pitch, float *to, int64_t position_step);
    void (*winograd_output)(int64_t tiles, const float *m, int64_t position_step, const float *bias, float *y,
                            int64_t pitch);
    tern_winograd_product *const *winograd_product; /* [rows - 1], for 1 .. tile_rows rows */

    /* One function of each kind of element; and a copy to memory that is not read soon, past the caches (n = 0: wait until
     * all such copies of this thread are done). */
    tern_element_loop *const *element; /* [TERN_ELEMENT_KINDS] */
    void (*store_far)(int64_t n, const float *from, float *to);

    /* Densities of spikes below which adding rows is faster than multiplying, measured. */
    double sparse_below[TERN_SPARSE_KINDS];

    tern_packed_dot *const *packed_dot;     /* by dtype; NULL: rows are unpacked to f32 */
    tern_packed_block *const *packed_block; /* by dtype; NULL, and so may be its entries */
    int64_t block_from;                     /* rows of x, from which on it is used */
    tern_packed_many_block *const
        *many_block; /* by dtype, for rows of prompts; NULL, and so may be its entries */
    tern_packed_split *many_split;
    tern_row_rounding *round_row;
    tern_float_dot *float_dot;
    tern_half_dot *half_dot;   /* or NULL: halves are unpacked too */
    tern_level_dot *level_dot; /* or NULL: levels are unpacked too */
    tern_byte_dot *byte_dot;
    tern_attention_head *attention_head;

    /* Depthwise convolution of one plane; see isa/depthwise.c. */
    void (*plane_forward)(const tern_conv *conv, const float *x, const float *w, float bias, float *y);
    void (*plane_grad_input)(const tern_conv *conv, const float *dy, const float *w, float *dx);
    void (*plane_grad_weight)(const tern_conv *conv, const float *x, const float *dy, double *dw);

    tern_packed_few *const *packed_few; /* by dtype, used where there is one, else packed_dot */
    tern_attention_block *attention_block;
    int attention_lanes; /* queries of a block */
    tern_attention_block
        *attention_tiles;      /* TERN_ATTENTION_TILES queries, to a cache in f16, in pages or not; or NULL */
    tern_half_rows *half_rows; /* or NULL: half.h */
} tern_kernels;

const tern_kernels *tern_kernels_get(void);

#endif
