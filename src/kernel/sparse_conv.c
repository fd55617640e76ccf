/* Convolution of spikes by adding.  Outputs stand in a *tile*, pixel after pixel, the channels of one pixel side by side;
 * rows of zeros and pixels of zeros between them take what a spike says about places outside the image.  So a spike at
 * one place of the tile reaches its taps at fixed distances, wherever it is: forward, it adds a row of weights to each
 * of these outputs; for the weight gradient, the rows of dy that stand there go to the taps' sums, which stay in
 * registers.  Work is cut into units: a few images, or some output rows of one. */
#include "kernel/sparse_conv.h"
#include "kernel/loops.h"

#include <string.h>

#define TILE_FLOATS    (12 * 1024) /* a unit is at most so large where it has a choice: first-level cache */
#define MOST_FLOATS    (32 * 1024)
#define LIST_ITEMS     (96 * 1024)
#define MOST_LISTS     4096
#define MOST_TAPS      64 /* of a channel */
#define MOST_CLASSES   16
#define MOST_COLUMNS   32
#define CHUNKS         16 /* of units whose weight gradients are summed apart */
#define PARTIAL_FLOATS (4 * 1024 * 1024)
#define TASKS          8  /* at least, where there is work for them */
#define SLICE          64 /* taps whose chunks are added by one task */

/* Along one axis: input i at stride*at + class - pad meets tap k at output at - k*dilation/stride where k*dilation has
 * the same class modulo the stride.  `back` is the farthest of these; `margin` places on both sides of the outputs,
 * shared with the neighbours', are reached too. */
typedef struct axis {
    int64_t stride, pad, dilation, back, margin;
} axis;

typedef struct work {
    const tern_conv *conv;
    const tern_kernels *kernels;
    const uint64_t *x;
    int64_t first;
    axis vertical, horizontal;
    int64_t taps, k, block; /* taps of a channel, all taps, and those that are summed before they are added */
    int64_t columns, panels;            /* output channels side by side; such panels */
    int64_t pitch, start, step, places; /* of a tile: a row, the first output, an image, all */
    int64_t images, rows;               /* of a unit: images, or output rows of one image */
    int64_t bands, units, chunks, units_per_chunk, groups;
    int64_t classes;
    const float *w, *bias, *dy;
    float *y, *dw;
    bool accumulate;
    int64_t offset[MOST_TAPS]; /* of a tap: floats from the spike's place, backwards */
    int class_of[MOST_TAPS];
    int run_end[MOST_TAPS]; /* behind the last tap of the same class in one go */
    uint16_t *positions;    /* [height, width]: place in the tile, from that of (0, 0) on */
    uint64_t *masks;        /* [classes][words of a plane]: its inputs of a class */
    float *packed; /* forward: weights [panels][k][columns]; gradient: results [chunks][panels][k][columns] */
} work;

static axis axis_of(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation)
{
    axis a = {stride, pad, dilation, (kernel - 1) * dilation / stride, 0};
    a.margin = max(a.back, (in - 1 + pad) / stride - (out - 1));
    return a;
}

/* The tile of `images` images of `rows` output rows. */
static void shape_tile(work *s, int64_t images, int64_t rows)
{
    s->images = images;
    s->rows = rows;
    s->pitch = s->conv->out_width + s->horizontal.margin;
    s->start = s->vertical.margin * s->pitch + s->horizontal.margin;
    s->step = (rows + s->vertical.margin) * s->pitch;
    s->places = s->start + images * s->step + s->horizontal.margin;
}

static int64_t unit_items(const work *s)
{
    int64_t in_rows = min(s->conv->height, (s->rows + s->vertical.back) * s->vertical.stride);
    return s->images * s->conv->in_channels * in_rows * s->conv->width;
}

static bool small_enough(const work *s)
{
    return s->places * s->columns <= TILE_FLOATS && unit_items(s) <= LIST_ITEMS;
}

/* As many whole images as a unit holds, or else as many rows of one. */
static void cut_units(work *s)
{
    const tern_conv *c = s->conv;
    int64_t images = 1;
    shape_tile(s, 1, c->out_height);
    for (; small_enough(s) && images < c->images; shape_tile(s, ++images, c->out_height)) {
    }
    if (images > 1 && !small_enough(s)) shape_tile(s, --images, c->out_height);
    int64_t bands = 1;
    while (s->rows > 1 && !small_enough(s)) shape_tile(s, 1, ceil_div(c->out_height, ++bands));
    s->bands = ceil_div(c->out_height, max(s->rows, 1));
    s->units = ceil_div(c->images, max(s->images, 1)) * s->bands;
}

static void cut_chunks(work *s)
{
    int64_t chunks = min(CHUNKS, max(PARTIAL_FLOATS / (s->panels * s->columns * s->k), 1));
    s->units_per_chunk = max(ceil_div(s->units, chunks), 1);
    s->chunks = ceil_div(s->units, s->units_per_chunk);
    s->groups = min(s->panels, ceil_div(TASKS, max(s->chunks, 1)));
}

static work lay_out(const tern_conv *c)
{
    work s = {.conv = c, .kernels = tern_kernels_get()};
    s.vertical = axis_of(c->height, c->out_height, c->kernel_height, c->stride_y, c->pad_y, c->dilation_y);
    s.horizontal = axis_of(c->width, c->out_width, c->kernel_width, c->stride_x, c->pad_x, c->dilation_x);
    s.taps = c->kernel_height * c->kernel_width;
    s.k = c->in_channels * s.taps;
    s.block = tern_sum_block(s.k);
    s.columns = s.kernels->tile_columns;
    s.panels = ceil_div(c->out_channels, s.columns);
    s.classes = c->stride_y * c->stride_x;
    cut_units(&s);
    cut_chunks(&s);
    return s;
}

bool tern_sparse_conv_fits(const tern_conv *c)
{
    if (c->groups != 1 || c->kernel_height * c->kernel_width > MOST_TAPS ||
        c->stride_y * c->stride_x > MOST_CLASSES || c->in_channels * c->stride_y * c->stride_x > MOST_LISTS)
        return false;
    work s = lay_out(c);
    return s.places * s.columns <= MOST_FLOATS && unit_items(&s) <= LIST_ITEMS &&
           s.panels * s.columns * s.k <= PARTIAL_FLOATS;
}

static size_t lines(int64_t bytes)
{
    return (size_t)ceil_div(bytes, 64) * 64;
}

static size_t positions_bytes(const tern_conv *c)
{
    return lines(c->height * c->width * (int64_t)sizeof(uint16_t));
}

static size_t masks_bytes(const work *s)
{
    int64_t words = tern_bits_words(s->conv->height * s->conv->width);
    return s->classes > 1 ? lines(s->classes * words * (int64_t)sizeof(uint64_t)) : 0;
}

size_t tern_sparse_conv_scratch(const tern_conv *c)
{
    work s = lay_out(c);
    return positions_bytes(c) + masks_bytes(&s) +
           sizeof(float) * (size_t)(max(s.chunks, 1) * s.panels * s.columns * s.k);
}

static void place_taps(work *s)
{
    const tern_conv *c = s->conv;
    for (int tap = (int)s->taps - 1; tap >= 0; tap--) {
        int64_t y = tap / c->kernel_width * c->dilation_y, x = tap % c->kernel_width * c->dilation_x;
        s->offset[tap] = -(y / c->stride_y * s->pitch + x / c->stride_x) * s->columns;
        s->class_of[tap] = (int)(y % c->stride_y * c->stride_x + x % c->stride_x);
        bool same = tap + 1 < s->taps && s->class_of[tap + 1] == s->class_of[tap];
        s->run_end[tap] = same ? s->run_end[tap + 1] : tap + 1;
    }
}

static void place(work *s, void *scratch)
{
    const tern_conv *c = s->conv;
    int64_t words = tern_bits_words(c->height * c->width);
    s->positions = scratch;
    s->masks = (uint64_t *)((char *)scratch + positions_bytes(c));
    s->packed = (float *)((char *)s->masks + masks_bytes(s));
    place_taps(s);
    if (s->classes > 1) memset(s->masks, 0, masks_bytes(s));
    for (int64_t y = 0, i = 0; y < c->height; y++)
        for (int64_t x = 0; x < c->width; x++, i++) {
            int64_t down = y + c->pad_y, along = x + c->pad_x;
            s->positions[i] = (uint16_t)(down / c->stride_y * s->pitch + along / c->stride_x);
            int64_t class = down % c->stride_y * c->stride_x + along % c->stride_x;
            if (s->classes > 1) s->masks[class * words + i / 64] |= 1ull << (i % 64);
        }
}

/* ---- units ------------------------------------------------------------------------------------------- */

typedef struct unit {
    int64_t image, images, row, rows; /* rows of outputs */
    int64_t in_row, in_rows;          /* whose spikes reach them */
} unit;

static unit unit_at(const work *s, int64_t i)
{
    const tern_conv *c = s->conv;
    unit u = {.image = i / s->bands * s->images, .row = i % s->bands * s->rows};
    u.images = min(s->images, c->images - u.image);
    u.rows = min(s->rows, c->out_height - u.row);
    int64_t last = (u.row + u.rows + s->vertical.back) * c->stride_y - c->pad_y;
    u.in_row = s->bands > 1 ? min(max(u.row * c->stride_y - c->pad_y, 0), c->height) : 0;
    u.in_rows = (s->bands > 1 ? max(min(last, c->height), u.in_row) : c->height) - u.in_row;
    return u;
}

/* The spikes of a unit, those of each channel and class together: begin[list] .. begin[list + 1] of items. */
typedef struct lists {
    uint32_t begin[MOST_LISTS + 1];
    uint16_t items[LIST_ITEMS + 32];
} lists;

static void list_spikes(const work *s, const unit *u, lists *l)
{
    const tern_conv *c = s->conv;
    int64_t found = 0, list = 0, plane = c->height * c->width, from = u->in_row * c->width;
    for (int64_t channel = 0; channel < c->in_channels; channel++)
        for (int64_t class = 0; class < s->classes; class ++) {
            const uint64_t *mask = s->classes > 1 ? s->masks + class * tern_bits_words(plane) : NULL;
            l->begin[list++] = (uint32_t)found;
            for (int64_t i = 0; i < u->images; i++) {
                int64_t at = s->first + ((u->image + i) * c->in_channels + channel) * plane + from;
                int64_t shift = s->start + i * s->step - u->row * s->pitch;
                found += s->kernels->list_positions(s->x, at, u->in_rows * c->width, mask, from,
                                                    s->positions + from, (uint16_t)shift, l->items + found);
            }
        }
    l->begin[list] = (uint32_t)found;
}

/* How many taps from `tap` on are added at once, at most `most`. */
static int64_t run_length(const work *s, int64_t tap, int64_t most)
{
    int64_t run = min(s->run_end[tap] - tap, most);
    return ceil_div(run, ceil_div(run, s->kernels->taps));
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

/* One block of taps of a panel onto the tile. */
static void spread_block(const work *s, const lists *l, int64_t panel, int64_t from, int64_t to, float *tile)
{
    const float *w = s->packed + panel * s->columns * s->k;
    for (int64_t k = from, run; k < to; k += run) {
        int64_t tap = k % s->taps, list = k / s->taps * s->classes + s->class_of[tap];
        run = run_length(s, tap, min(s->taps - tap, to - k));
        s->kernels->spread[run - 1](l->begin[list + 1] - l->begin[list], l->items + l->begin[list],
                                    s->offset + tap, w + k * s->columns, tile);
    }
}

/* The bias at every place. */
static void start_total(const work *s, int64_t panel, float *total)
{
    float row[MOST_COLUMNS] = {0};
    int64_t from = panel * s->columns;
    for (int64_t i = 0; i < min(s->columns, s->conv->out_channels - from); i++) row[i] = s->bias[from + i];
    for (int64_t i = 0; i < s->places; i++)
        memcpy(total + i * s->columns, row, (size_t)s->columns * sizeof *row);
}

static void store_tile(const work *s, const unit *u, int64_t panel, const float *tile)
{
    const tern_conv *c = s->conv;
    int64_t from = panel * s->columns, channels = min(s->columns, c->out_channels - from);
    int64_t plane = c->out_height * c->out_width, all = c->images * c->out_channels * plane;
    for (int64_t i = 0; i < u->images; i++)
        for (int64_t row = 0; row < u->rows; row++) {
            int64_t next =
                (u->image + i) * c->out_channels + from + (i + 1 < u->images ? c->out_channels : channels);
            tern_want(s->y, all, next * plane, channels * plane, row, u->rows, true);
            s->kernels->turn(c->out_width, channels,
                             tile + (s->start + i * s->step + row * s->pitch) * s->columns, s->columns,
                             s->y + ((u->image + i) * c->out_channels + from) * plane +
                                 (u->row + row) * c->out_width,
                             plane);
        }
}

static void forward_task(void *context, int64_t task, int thread)
{
    const work *s = context;
    unit u = unit_at(s, task);
    lists l;
    _Alignas(64) float tile[MOST_FLOATS], total[MOST_FLOATS];
    int64_t floats = s->places * s->columns;
    (void)thread;

    list_spikes(s, &u, &l);
    for (int64_t panel = 0; panel < s->panels; panel++) {
        if (s->bias) start_total(s, panel, total);
        for (int64_t k = 0; k < s->k; k += s->block) {
            memset(tile, 0, (size_t)floats * sizeof *tile);
            spread_block(s, &l, panel, k, min(k + s->block, s->k), tile);
            if (s->bias || s->block < s->k)
                s->kernels->loops->accumulate(floats, tile, s->bias || k > 0, total);
        }
        store_tile(s, &u, panel, s->bias || s->block < s->k ? total : tile);
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
    tern_pool_run(pool, s.units, forward_task, &s);
}

/* ---- gradient to the weights ------------------------------------------------------------------------- */

/* dy of a unit and a panel; what a tile holds besides is zero. */
static void load_tile(const work *s, const unit *u, int64_t panel, float *tile)
{
    const tern_conv *c = s->conv;
    int64_t from = panel * s->columns, plane = c->out_height * c->out_width;
    int64_t all = c->images * c->out_channels * plane;
    tern_factor dy = tern_factor_f32(s->dy, plane, 1);
    for (int64_t i = 0; i < u->images; i++)
        for (int64_t row = 0; row < u->rows; row++) {
            int64_t image = u->image + i;
            dy.first = image * c->out_channels * plane + (u->row + row) * c->out_width;
            tern_want(s->dy, all, (image * c->out_channels + from + s->columns) * plane, s->columns * plane,
                      row, u->rows, false);
            s->kernels->pack(&dy, from, min(s->columns, c->out_channels - from), (int)s->columns, 0,
                             c->out_width, tile + (s->start + i * s->step + row * s->pitch) * s->columns);
        }
    if (u->rows < s->rows) /* a last, smaller band: rows of the band before it */
        memset(tile + (s->start + u->rows * s->pitch) * s->columns, 0,
               (size_t)((s->rows - u->rows) * s->pitch * s->columns) * sizeof *tile);
}

/* The units of one chunk, for one group of panels. */
static void gradient_task(void *context, int64_t task, int thread)
{
    const work *s = context;
    lists l;
    _Alignas(64) float tile[MOST_FLOATS];
    int64_t chunk = task / s->groups, group = task % s->groups;
    float *sums = s->packed + chunk * s->panels * s->columns * s->k;
    int64_t first = chunk * s->units_per_chunk, last = min(first + s->units_per_chunk, s->units);
    (void)thread;

    memset(tile, 0, (size_t)(s->places * s->columns) * sizeof *tile);
    for (int64_t i = first; i < last; i++) {
        unit u = unit_at(s, i);
        list_spikes(s, &u, &l);
        for (int64_t panel = group; panel < s->panels; panel += s->groups) {
            load_tile(s, &u, panel, tile);
            for (int64_t k = 0, run; k < s->k; k += run) {
                int64_t tap = k % s->taps, list = k / s->taps * s->classes + s->class_of[tap];
                run = run_length(s, tap, s->taps - tap);
                s->kernels->gather[run - 1](l.begin[list + 1] - l.begin[list], l.items + l.begin[list],
                                            s->offset + tap, tile, sums + (panel * s->k + k) * s->columns,
                                            i > first);
            }
        }
    }
}

/* dw[o][k] (+)= the chunks' sums [panel][k][o % columns], in order, for a slice of the taps of one panel. */
static void add_task(void *context, int64_t task, int thread)
{
    const work *s = context;
    int64_t slices = ceil_div(s->k, SLICE), panel = task / slices, k = task % slices * SLICE;
    int64_t from = panel * s->columns, outs = min(s->columns, s->conv->out_channels - from);
    int64_t taps = min(SLICE, s->k - k), chunk_floats = s->panels * s->columns * s->k;
    float *sums = s->packed + (panel * s->k + k) * s->columns;
    (void)thread;
    for (int64_t chunk = 1; chunk < s->chunks; chunk++)
        s->kernels->loops->accumulate(taps * s->columns, sums + chunk * chunk_floats, true, sums);
    float *dw = s->dw + from * s->k + k;
    if (!s->accumulate) {
        s->kernels->turn(taps, outs, sums, s->columns, dw, s->k);
        return;
    }
    for (int64_t o = 0; o < outs; o++)
        for (int64_t i = 0; i < taps; i++) dw[o * s->k + i] += sums[i * s->columns + o];
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
    tern_pool_run(pool, s.chunks * s.groups, gradient_task, &s);
    tern_pool_run(pool, s.panels * ceil_div(s.k, SLICE), add_task, &s);
}
