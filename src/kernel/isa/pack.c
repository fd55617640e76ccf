/* Copies a panel of a factor into the order in which the tile reads it: for each summed index s the `width` values of
 * neighbouring free indices, as floats.  Whatever the factor is (strided, turned, bits, a window over images) ends
 * here, so that one tile serves them all. */
#include "kernel/isa/transpose.h"
#include "kernel/isa/window.h"

#include <string.h>

#define AHEAD 2 /* panels or lines between a prefetch and its use */

/* Free indices are neighbours in memory: copy rows. */
static void pack_rows(const float *data, int64_t sum_stride, int64_t count, int width, int64_t sums,
                      float *out)
{
    for (int64_t s = 0; s < sums; s++, data += sum_stride, out += width)
        for (int f = 0; f < width; f += TERN_LANES)
            store_part(out + f, load_part(data + (f < count ? f : 0), f < count ? count - f : 0), width - f);
}

/* Summed indices are neighbours in memory: turn squares. */
static void pack_columns(const float *data, int64_t free_stride, int64_t count, int width, int64_t sums,
                         float *out)
{
    for (int64_t s = 0; s < sums; s += TERN_LANES) {
        int64_t part = sums - s < TERN_LANES ? sums - s : TERN_LANES;
        for (int f = 0; f < width; f += TERN_LANES) {
            vf row[TERN_LANES];
            TERN_UNROLL for (int i = 0; i < TERN_LANES; i++)
            {
                row[i] = f + i < count ? load_part(data + (f + i) * free_stride + s, part) : (vf){0};
            }
            tern_transpose(row);
            float *to = out + s * width + f;
            TERN_UNROLL for (int i = 0; i < TERN_LANES; i++)
            {
                if (i < part) store_part(to + i * width, row[i], width - f);
            }
        }
    }
}

static void pack_any(const float *data, int64_t free_stride, int64_t sum_stride, int64_t count, int width,
                     int64_t sums, float *out)
{
    for (int64_t s = 0; s < sums; s++, out += width)
        for (int f = 0; f < width; f++) out[f] = f < count ? data[f * free_stride + s * sum_stride] : 0;
}

static void pack_bit_rows(const uint64_t *words, int64_t at, int64_t sum_stride, int64_t count, int width,
                          int64_t sums, float *out)
{
    for (int64_t s = 0; s < sums; s++, at += sum_stride, out += width)
        for (int f = 0; f < width; f += TERN_LANES) {
            int bits = count - f < TERN_LANES ? (int)(count - f) : TERN_LANES;
            store_part(out + f, tern_expand_bits(bits > 0 ? tern_bits_at(words, at + f, bits) : 0),
                       width - f);
        }
}

/* Lane l holds 32 summed bits of free index l; bit s of all lanes makes row s. */
static void pack_bit_columns(const uint64_t *words, int64_t at, int64_t free_stride, int64_t count, int width,
                             int64_t sums, float *out)
{
    for (int64_t s = 0; s < sums; s += 32) {
        int part = sums - s < 32 ? (int)(sums - s) : 32;
        for (int f = 0; f < width; f += TERN_LANES) {
            vu chunk = {0};
            for (int l = 0; l < TERN_LANES && f + l < count; l++)
                chunk[l] = tern_bits_at(words, at + (f + l) * free_stride + s, part);
            float *to = out + s * width + f;
            vu one = (vu){0} + 0x3f800000u;
            for (int i = 0; i < part; i++, chunk >>= 1)
                store_part(to + i * width, (vf)((chunk & 1u) * one), width - f);
        }
    }
}

static void pack_bit_any(const uint64_t *words, int64_t at, int64_t free_stride, int64_t sum_stride,
                         int64_t count, int width, int64_t sums, float *out)
{
    for (int64_t s = 0; s < sums; s++, out += width)
        for (int f = 0; f < width; f++)
            out[f] = f < count && tern_bits_at(words, at + f * free_stride + s * sum_stride, 1);
}

/* Free = pixels: a row of the panel is one tap seen from `width` neighbouring pixels.  Lanes f .. of the panel. */
TERN_INLINE void pack_pixel_lanes(const bool bits, const tern_factor *factor, int64_t free0, int lanes,
                                  int width, int room, int64_t sum0, int64_t sums, float *out)
{
    tern_view view;
    tern_view_at(&view, factor, free0, lanes, AHEAD * width);
    const tern_line line = view.line;
    int64_t channel = sum0 / view.taps, tap = sum0 % view.taps;
    int64_t base = factor->first + line.first + channel * view.plane;
    for (int64_t s = 0; s < sums; s++, out += width) {
        if (tap == 0) tern_view_prefetch(&view, channel);
        store_part(out, tern_view_load(&view, &line, bits, base, tap), room);
        if (++tap == view.taps) {
            tap = 0;
            channel++;
            base += view.plane;
        }
    }
}

static void pack_pixels(const tern_factor *factor, int64_t free0, int64_t count, int width, int64_t sum0,
                        int64_t sums, float *out)
{
    for (int f = 0; f < width; f += TERN_LANES) {
        int lanes = count - f < TERN_LANES ? (int)(count - f) : TERN_LANES;
        if (lanes <= 0)
            for (int64_t s = 0; s < sums; s++) store_part(out + f + s * width, (vf){0}, width - f);
        else if (factor->bits)
            pack_pixel_lanes(true, factor, free0 + f, lanes, width, width - f, sum0, sums, out + f);
        else if (width - f >= TERN_LANES)
            pack_pixel_lanes(false, factor, free0 + f, lanes, width, TERN_LANES, sum0, sums, out + f);
        else
            pack_pixel_lanes(false, factor, free0 + f, lanes, width, width - f, sum0, sums, out + f);
    }
}

/* Summed = pixels: a column of the panel is one tap; squares of (taps, pixels) are turned. */
TERN_INLINE void pack_tap_squares(const bool bits, const tern_factor *factor, int64_t free0, int64_t count,
                                  int width, int64_t sum0, int64_t sums, float *out)
{
    for (int64_t s = 0; s < sums; s += TERN_LANES) {
        int part = sums - s < TERN_LANES ? (int)(sums - s) : TERN_LANES;
        tern_view view;
        tern_view_at(&view, factor, sum0 + s, part, AHEAD * TERN_LANES);
        const tern_line line = view.line;
        int64_t channel = free0 / view.taps, tap = free0 % view.taps;
        int64_t base = factor->first + line.first + channel * view.plane;
        for (int f = 0; f < width; f += TERN_LANES) {
            if (f >= count) {
                for (int i = 0; i < part; i++) store_part(out + (s + i) * width + f, (vf){0}, width - f);
                continue;
            }
            vf row[TERN_LANES];
            TERN_UNROLL for (int i = 0; i < TERN_LANES; i++)
            {
                row[i] = (vf){0};
                if (f + i < count) {
                    if (tap == 0) tern_view_prefetch(&view, channel);
                    row[i] = tern_view_load(&view, &line, bits, base, tap);
                    if (++tap == view.taps) {
                        tap = 0;
                        channel++;
                        base += view.plane;
                    }
                }
            }
            tern_transpose(row);
            float *to = out + s * width + f;
            TERN_UNROLL for (int i = 0; i < TERN_LANES; i++)
            {
                if (i < part) store_part(to + i * width, row[i], width - f);
            }
        }
    }
}

static void pack_taps(const tern_factor *factor, int64_t free0, int64_t count, int width, int64_t sum0,
                      int64_t sums, float *out)
{
    if (factor->bits)
        pack_tap_squares(true, factor, free0, count, width, sum0, sums, out);
    else
        pack_tap_squares(false, factor, free0, count, width, sum0, sums, out);
}

void TERN_FOR_ISA(tern_pack_panel)(const tern_factor *factor, int64_t free0, int64_t count, int width,
                                   int64_t sum0, int64_t sums, float *out)
{
    int64_t free_stride = factor->free_stride, sum_stride = factor->sum_stride;
    int64_t at = factor->first + free0 * free_stride + sum0 * sum_stride;
    const uint64_t *words = factor->data;
    const float *data = (const float *)factor->data + at;

    if (factor->window && factor->sum_pixels)
        pack_taps(factor, free0, count, width, sum0, sums, out);
    else if (factor->window)
        pack_pixels(factor, free0, count, width, sum0, sums, out);
    else if (factor->bits && sum_stride == 1)
        pack_bit_columns(words, at, free_stride, count, width, sums, out);
    else if (factor->bits && free_stride == 1)
        pack_bit_rows(words, at, sum_stride, count, width, sums, out);
    else if (factor->bits)
        pack_bit_any(words, at, free_stride, sum_stride, count, width, sums, out);
    else if (sum_stride == 1)
        pack_columns(data, free_stride, count, width, sums, out);
    else if (free_stride == 1)
        pack_rows(data, sum_stride, count, width, sums, out);
    else
        pack_any(data, free_stride, sum_stride, count, width, sums, out);
}

void TERN_FOR_ISA(tern_turn)(int64_t rows, int64_t columns, const float *from, int64_t from_step, float *to,
                             int64_t to_step)
{
    for (int64_t i = 0; i < rows; i += TERN_LANES)
        for (int64_t j = 0; j < columns; j += TERN_LANES) {
            vf row[TERN_LANES];
            TERN_UNROLL for (int l = 0; l < TERN_LANES; l++)
            {
                row[l] = i + l < rows ? load_part(from + (i + l) * from_step + j, columns - j) : (vf){0};
            }
            tern_transpose(row);
            int lanes = rows - i < TERN_LANES ? (int)(rows - i) : TERN_LANES;
            TERN_UNROLL for (int l = 0; l < TERN_LANES; l++)
            {
                if (j + l < columns) store_part(to + (j + l) * to_step + i, row[l], lanes);
            }
        }
}
