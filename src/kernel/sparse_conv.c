/* Convolution of spikes by adding rows.  A spike is visited once and noted in the lists of all that it reaches: forward,
 * each output pixel lists the taps (channel, y, x) that spiked, and adds their rows of the turned weights; for the
 * weight gradient, each tap lists the output pixels that it spiked at, and adds their rows of the turned dy.  Work is
 * cut into bands: output rows of one image, at most 256 pixels. */
#include "kernel/sparse_conv.h"

#include <string.h>

#define BAND_PIXELS    256
#define LIST_BYTES     (96 * 1024)
#define MAX_TAPS       64 /* of a channel */
#define MAX_COLUMNS    32
#define CHUNKS         16
#define PARTIAL_FLOATS (2 * 1024 * 1024)

/* The outputs along one axis that read an input position: tap + i*tap_step at out - i*out_step, i < count. */
typedef struct reach {
    int32_t count, tap, out;
} reach;

typedef struct work {
    const tern_conv *conv;
    const tern_kernels *kernels;
    const uint64_t *x;
    int64_t first;
    int64_t taps, k, block, blocks; /* taps of a channel, all taps, the latter in blocks */
    int64_t columns, panels;        /* of a panel; panels over the output channels */
    int64_t band_rows, bands;       /* output rows of a band, bands an image */
    int64_t chunks, bands_per_chunk;
    const float *w, *bias, *dy;
    float *y, *dw;
    bool accumulate;
    reach *rows, *sides; /* [height], [width] */
    int64_t tap_step_y, tap_step_x, out_step_y, out_step_x;
    float *packed; /* forward: weights [panels][k][columns]; gradient: results [chunks][panels][k][columns] */
} work;

static work lay_out(const tern_conv *c)
{
    work s = {.conv = c, .kernels = tern_kernels_get()};
    s.taps = c->kernel_height * c->kernel_width;
    s.k = c->in_channels * s.taps;
    s.block = tern_sum_block(s.k);
    s.blocks = ceil_div(s.k, s.block);
    s.columns = s.kernels->tile_columns;
    s.panels = ceil_div(c->out_channels, s.columns);
    s.band_rows = max(min(BAND_PIXELS / max(c->out_width, 1), c->out_height), 1);
    while (s.band_rows > 1 && s.band_rows * c->out_width * s.blocks * s.block > LIST_BYTES) s.band_rows--;
    s.bands = ceil_div(c->out_height, s.band_rows);
    s.bands_per_chunk = max(ceil_div(c->images * s.bands, CHUNKS), 1);
    s.chunks = ceil_div(c->images * s.bands, s.bands_per_chunk);
    return s;
}

bool tern_sparse_conv_fits(const tern_conv *c)
{
    work s = lay_out(c);
    return c->groups == 1 && s.taps <= MAX_TAPS && c->out_width <= BAND_PIXELS &&
           s.band_rows * c->out_width * s.blocks * s.block <= LIST_BYTES &&
           s.k * BAND_PIXELS <= LIST_BYTES * 2 && s.chunks * s.panels * s.columns * s.k <= PARTIAL_FLOATS;
}

static size_t reach_bytes(const tern_conv *c)
{
    return (size_t)ceil_div((c->height + c->width) * (int64_t)sizeof(reach), 64) * 64;
}

size_t tern_sparse_conv_scratch(const tern_conv *c)
{
    work s = lay_out(c);
    return reach_bytes(c) + sizeof(float) * (size_t)(max(s.chunks, 1) * s.panels * s.columns * s.k);
}

/* Every tap_step-th tap meets an input position: the least step whose dilated distance is whole strides. */
static int64_t tap_step(int64_t stride, int64_t dilation)
{
    int64_t step = 1;
    while (step * dilation % stride) step++;
    return step;
}

static reach reach_of(int64_t at, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation)
{
    reach r = {0};
    int64_t step = tap_step(stride, dilation);
    for (int64_t tap = 0; tap < kernel; tap += r.count ? step : 1) {
        int64_t o = at + pad - tap * dilation;
        if (o < 0) break;
        if (o % stride || o / stride >= out) continue;
        if (r.count++ > 0) continue;
        r.tap = (int32_t)tap;
        r.out = (int32_t)(o / stride);
    }
    return r;
}

static void place(work *s, void *scratch)
{
    const tern_conv *c = s->conv;
    s->rows = scratch;
    s->sides = s->rows + c->height;
    s->packed = (float *)((char *)scratch + reach_bytes(c));
    s->tap_step_y = tap_step(c->stride_y, c->dilation_y);
    s->tap_step_x = tap_step(c->stride_x, c->dilation_x);
    s->out_step_y = s->tap_step_y * c->dilation_y / c->stride_y;
    s->out_step_x = s->tap_step_x * c->dilation_x / c->stride_x;
    for (int64_t y = 0; y < c->height; y++)
        s->rows[y] = reach_of(y, c->out_height, c->kernel_height, c->stride_y, c->pad_y, c->dilation_y);
    for (int64_t x = 0; x < c->width; x++)
        s->sides[x] = reach_of(x, c->out_width, c->kernel_width, c->stride_x, c->pad_x, c->dilation_x);
}

/* Where the notes of a walk go: to the list of the output pixel (one for each block of taps) or to that of the tap. */
typedef struct notes {
    uint8_t *items;
    uint16_t *counts;
    int64_t row0, row1;  /* the band */
    int64_t block, next; /* forward: block of the channel's first tap, first tap of the next block */
} notes;

/* Notes tap k of an output pixel. */
static inline void note(const work *s, const bool forward, const notes *n, int64_t pixel, int64_t k)
{
    if (forward) {
        int64_t block = n->block + (k >= n->next), list = pixel * s->blocks + block;
        n->items[list * s->block + n->counts[list]++] = (uint8_t)(k - block * s->block);
    } else {
        n->items[k * BAND_PIXELS + n->counts[k]++] = (uint8_t)pixel;
    }
}

/* Notes one spike with all outputs of the band that read it; k is the channel's first tap. */
static inline void note_spike(const work *s, const bool forward, const notes *n, reach row, reach side,
                              int64_t k)
{
    k += row.tap * s->conv->kernel_width + side.tap;
    int64_t pixel = (row.out - n->row0) * s->conv->out_width + side.out;
    for (int i = 0; i < row.count; i++) {
        int64_t tap = k, at = pixel;
        for (int j = 0; j < side.count; j++, tap += s->tap_step_x, at -= s->out_step_x)
            note(s, forward, n, at, tap);
        k += s->tap_step_y * s->conv->kernel_width;
        pixel -= s->out_step_y * s->conv->out_width;
    }
}

/* The part of a reach whose outputs lie in [row0, row1). */
static reach within(const work *s, reach r, int64_t row0, int64_t row1)
{
    for (; r.count > 0 && r.out >= row1; r.count--) {
        r.out -= (int32_t)s->out_step_y;
        r.tap += (int32_t)s->tap_step_y;
    }
    while (r.count > 0 && r.out - (r.count - 1) * s->out_step_y < row0) r.count--;
    return r;
}

/* Visits the spikes of an image.  For one pixel the taps come in ascending order, and for one tap the pixels. */
static inline void note_spikes(const work *from, const bool forward, notes n, int64_t image)
{
    const tern_conv conv = *from->conv,
                    *c = &conv; /* copies: stores to the lists could otherwise change them */
    work copy = *from, *s = &copy;
    s->conv = c;
    for (int64_t channel = 0; channel < c->in_channels; channel++) {
        int64_t k = channel * s->taps,
                at = s->first + (image * c->in_channels + channel) * c->height * c->width;
        n.block = k / s->block;
        n.next = (n.block + 1) * s->block;
        for (int64_t y = 0; y < c->height; y++, at += c->width) {
            reach row = within(s, s->rows[y], n.row0, n.row1);
            for (int64_t x = 0; row.count > 0 && x < c->width; x += 64)
                for (uint64_t bits = tern_word_at(s->x, at + x, min(64, c->width - x)); bits;
                     bits &= bits - 1)
                    note_spike(s, forward, &n, row, s->sides[x + __builtin_ctzll(bits)], k);
        }
    }
}

/* ---- forward ----------------------------------------------------------------------------------------- */

static void pack_task(void *context, int64_t panel, int thread)
{
    const work *s = context;
    tern_factor w = tern_factor_f32(s->w, s->k, 1);
    int64_t from = panel * s->columns;
    (void)thread;
    s->kernels->pack(&w, from, min(s->columns, s->conv->out_channels - from), (int)s->columns, 0, s->k,
                     s->packed + from * s->k);
}

static void forward_task(void *context, int64_t task, int thread)
{
    const work *s = context;
    const tern_conv *c = s->conv;
    int64_t image = task / s->bands, row0 = task % s->bands * s->band_rows;
    int64_t row1 = min(row0 + s->band_rows, c->out_height), pixels = (row1 - row0) * c->out_width;
    uint8_t items[LIST_BYTES];               /* [pixel][block][s->block] */
    uint16_t counts[LIST_BYTES / 128] = {0}; /* [pixel][block]: several blocks have 128 taps or more each */
    _Alignas(64) float sums[BAND_PIXELS * MAX_COLUMNS];
    (void)thread;

    note_spikes(s, true, (notes){.items = items, .counts = counts, .row0 = row0, .row1 = row1}, image);
    for (int64_t panel = 0; panel < s->panels; panel++) {
        int64_t from = panel * s->columns, channels = min(s->columns, c->out_channels - from);
        if (s->bias)
            for (int64_t i = 0; i < pixels * MAX_COLUMNS; i++)
                sums[i] = i % MAX_COLUMNS < channels ? s->bias[from + i % MAX_COLUMNS] : 0;
        for (int64_t block = 0; block < s->blocks; block++)
            s->kernels->add_rows(pixels, items + block * s->block, s->blocks * s->block, counts + block,
                                 s->blocks, s->packed + from * s->k + block * s->block * s->columns, sums,
                                 MAX_COLUMNS, s->bias || block > 0);
        int64_t plane = c->out_height * c->out_width;
        s->kernels->turn(pixels, channels, sums, MAX_COLUMNS,
                         s->y + (image * c->out_channels + from) * plane + row0 * c->out_width, plane);
    }
}

void tern_sparse_conv_forward(tern_pool *pool, const tern_conv *conv, const uint64_t *x, int64_t first,
                              const float *w, const float *bias, float *y, void *scratch)
{
    work s = lay_out(conv);
    s.x = x;
    s.first = first;
    s.w = w;
    s.bias = bias;
    s.y = y;
    place(&s, scratch);
    tern_pool_run(pool, s.panels, pack_task, &s);
    tern_pool_run(pool, conv->images * s.bands, forward_task, &s);
}

/* ---- gradient to the weights ------------------------------------------------------------------------- */

static void gradient_task(void *context, int64_t chunk, int thread)
{
    const work *s = context;
    const tern_conv *c = s->conv;
    uint8_t items[LIST_BYTES * 2]; /* [k][BAND_PIXELS] */
    uint16_t counts[LIST_BYTES * 2 / BAND_PIXELS];
    _Alignas(64) float turned[BAND_PIXELS * MAX_COLUMNS];
    float *sums = s->packed + chunk * s->panels * s->columns * s->k;
    int64_t first = chunk * s->bands_per_chunk, last = min(first + s->bands_per_chunk, c->images * s->bands);
    int64_t plane = c->out_height * c->out_width;
    (void)thread;

    for (int64_t band = first; band < last; band++) {
        int64_t image = band / s->bands, row0 = band % s->bands * s->band_rows;
        int64_t row1 = min(row0 + s->band_rows, c->out_height), pixels = (row1 - row0) * c->out_width;
        memset(counts, 0, sizeof counts);
        note_spikes(s, false, (notes){.items = items, .counts = counts, .row0 = row0, .row1 = row1}, image);
        for (int64_t panel = 0; panel < s->panels; panel++) {
            int64_t from = panel * s->columns;
            tern_factor dy = tern_factor_f32(s->dy, plane, 1);
            dy.first = image * c->out_channels * plane + row0 * c->out_width;
            s->kernels->pack(&dy, from, min(s->columns, c->out_channels - from), (int)s->columns, 0, pixels,
                             turned);
            s->kernels->add_rows(s->k, items, BAND_PIXELS, counts, 1, turned, sums + from * s->k, s->columns,
                                 band > first);
        }
    }
}

/* dw[o][k] (+)= the chunks' sums [panel][k][o % columns], in order, for the outputs of one panel. */
static void add_task(void *context, int64_t panel, int thread)
{
    const work *s = context;
    int64_t from = panel * s->columns, outs = min(s->columns, s->conv->out_channels - from);
    int64_t floats = s->columns * s->k;
    float *sums = s->packed + from * s->k;
    (void)thread;
    for (int64_t chunk = 1; chunk < s->chunks; chunk++) {
        const float *other = sums + chunk * s->panels * floats;
        for (int64_t i = 0; i < floats; i++) sums[i] += other[i];
    }
    float *dw = s->dw + from * s->k;
    if (!s->accumulate) {
        s->kernels->turn(s->k, outs, sums, s->columns, dw, s->k);
        return;
    }
    for (int64_t o = 0; o < outs; o++)
        for (int64_t k = 0; k < s->k; k++) dw[o * s->k + k] += sums[k * s->columns + o];
}

void tern_sparse_conv_grad_weight(tern_pool *pool, const tern_conv *conv, const uint64_t *x, int64_t first,
                                  const float *dy, float *dw, bool accumulate, void *scratch)
{
    work s = lay_out(conv);
    s.x = x;
    s.first = first;
    s.dy = dy;
    s.dw = dw;
    s.accumulate = accumulate;
    place(&s, scratch);
    if (s.chunks == 0) memset(s.packed, 0, sizeof(float) * (size_t)(s.panels * s.columns * s.k));
    tern_pool_run(pool, s.chunks, gradient_task, &s);
    tern_pool_run(pool, s.panels, add_task, &s);
}
