/* Convolution with 3x3 kernels by Winograd's minimal filtering (Lavin & Gray, "Fast algorithms for convolutional neural
 * networks", CVPR 2016): 4x4 outputs depend on 6x6 inputs.  Both are brought to a space in which each of 36 positions is a
 * product of its own over the channels: 36 multiplications instead of 144.  Rounding differs from that of the plain sum:
 * an output's error is relative to the largest inputs of its tile, about 1e-6 of them.
 *
 * A task takes a few images, or some rows of tiles of one.  Channels stand side by side, a *panel* of them in two
 * vectors: the inputs of a panel are turned once on their way in, the outputs once on their way out. */
#include "kernel/winograd.h"

#include <string.h>

#define POSITIONS    36
#define WORK_FLOATS  (160 * 1024) /* positions of a unit: in the second-level cache */
#define PLANE_FLOATS (32 * 1024)  /* padded inputs of one image and panel */
#define STRIP_FLOATS (16 * 1024)  /* outputs of one row of tiles */
#define TASKS        16           /* at least, where there are images for them */
#define LEAST        16           /* channels: below this the transforms cost more than they save */
#define MOST_COLUMNS 32
#define WEIGHT_ROWS  16 /* input channels whose weights are turned at a time */

typedef struct work {
    const tern_winograd *c;
    const tern_kernels *kernels;
    int64_t columns, in_panels, out_panels;
    int64_t tiles_x, tiles_y;           /* of an image */
    int64_t images, rows, bands, units; /* of a unit: images, or rows of tiles of one; bands an image */
    int64_t tiles;                      /* of a unit */
    int64_t in_step, out_step; /* of positions: floats from one to the next, for inputs and outputs */
    int64_t pitch;             /* pixels of a row of padded inputs */
    float *weights;            /* [out_panels][POSITIONS][ins][columns] */
} work;

static void shape_unit(work *s, int64_t images, int64_t rows)
{
    s->images = images;
    s->rows = rows;
    s->tiles = images * rows * s->tiles_x;
    /* one row more: positions at powers of two would share the same lines of the cache */
    s->in_step = (s->in_panels * s->tiles + 1) * s->columns;
    s->out_step = (s->tiles + 1) * s->columns;
}

static bool small_enough(const work *s)
{
    return POSITIONS * (s->in_step + s->out_step) <= WORK_FLOATS &&
           (4 * s->rows + 2) * s->pitch * s->columns <= PLANE_FLOATS;
}

static work lay_out(const tern_winograd *c)
{
    work s = {.c = c, .kernels = tern_kernels_get()};
    s.columns = s.kernels->tile_columns;
    s.in_panels = ceil_div(c->ins, s.columns);
    s.out_panels = ceil_div(c->outs, s.columns);
    s.tiles_y = ceil_div(c->out_height, 4);
    s.tiles_x = ceil_div(c->out_width, 4);
    s.pitch = 4 * s.tiles_x + 2;
    int64_t bands = 1, images = 1, most = max(c->images / TASKS, 1);
    shape_unit(&s, 1, s.tiles_y);
    while (s.rows > 1 && !small_enough(&s)) shape_unit(&s, 1, ceil_div(s.tiles_y, ++bands));
    if (bands == 1) {
        for (; small_enough(&s) && images < most; shape_unit(&s, ++images, s.tiles_y)) {
        }
        if (images > 1 && !small_enough(&s)) shape_unit(&s, --images, s.tiles_y);
    }
    s.bands = ceil_div(s.tiles_y, max(s.rows, 1));
    s.units = ceil_div(c->images, s.images) * s.bands;
    return s;
}

bool tern_winograd_fits(const tern_winograd *c)
{
    if (c->ins < LEAST || c->outs < LEAST || c->out_height < 3 || c->out_width < 3) return false;
    if (c->out_height * c->out_width < 7 * ceil_div(c->out_height, 4) * ceil_div(c->out_width, 4))
        return false; /* most of the tiles would lie outside */
    work s = lay_out(c);
    return small_enough(&s) && 16 * s.tiles_x * s.columns <= STRIP_FLOATS;
}

size_t tern_winograd_scratch(const tern_winograd *c)
{
    work s = lay_out(c);
    return sizeof(float) * (size_t)(s.out_panels * POSITIONS * c->ins * s.columns);
}

/* ---- weights ----------------------------------------------------------------------------------------- */

static void weights_task(void *context, int64_t task, int thread)
{
    const work *s = context;
    const tern_winograd *c = s->c;
    float taps[9 * WEIGHT_ROWS * MOST_COLUMNS];
    int64_t parts = ceil_div(c->ins, WEIGHT_ROWS), panel = task / parts, in = task % parts * WEIGHT_ROWS;
    int64_t count = min(WEIGHT_ROWS, c->ins - in), out = panel * s->columns;
    (void)thread;
    for (int64_t t = 0; t < 9; t++) {
        tern_factor w = tern_factor_f32(c->w, c->out_step, c->in_step);
        w.first = c->turned ? 8 - t : t;
        s->kernels->pack(&w, out, min(s->columns, c->outs - out), (int)s->columns, in, count,
                         taps + t * WEIGHT_ROWS * s->columns);
    }
    s->kernels->winograd_weights(count, taps, WEIGHT_ROWS * s->columns,
                                 s->weights + (panel * POSITIONS * c->ins + in) * s->columns,
                                 c->ins * s->columns);
}

/* ---- units ------------------------------------------------------------------------------------------- */

typedef struct unit {
    int64_t image, images, row, rows; /* rows of tiles */
} unit;

/* The inputs of `rows` rows of tiles of an image and a panel, zeros around them, into `plane`. */
static void load_plane(const work *s, const unit *u, int64_t image, int64_t panel, float *plane)
{
    const tern_winograd *c = s->c;
    int64_t size = c->height * c->width, from = panel * s->columns, channels = min(s->columns, c->ins - from);
    tern_factor x = tern_factor_f32(c->x, size, 1);
    int64_t left = max(c->pad_x, 0), cut = max(-c->pad_x, 0), count = min(c->width - cut, s->pitch - left);
    int64_t rows = 4 * u->rows + 2, next = (image * c->ins + from + channels) * size;
    for (int64_t i = 0; i < rows; i++) {
        int64_t y = 4 * u->row + i - c->pad_y;
        tern_want(c->x, c->images * c->ins * size, next, channels * size, i, rows, false);
        float *row = plane + i * s->pitch * s->columns;
        if (y < 0 || y >= c->height || count <= 0) {
            memset(row, 0, (size_t)(s->pitch * s->columns) * sizeof *row);
            continue;
        }
        x.first = image * c->ins * size + y * c->width + cut;
        s->kernels->pack(&x, from, channels, (int)s->columns, 0, count, row + left * s->columns);
    }
}

static void transform_inputs(const work *s, const unit *u, float *plane, float *inputs)
{
    memset(plane, 0, (size_t)((4 * s->rows + 2) * s->pitch * s->columns) * sizeof *plane);
    for (int64_t panel = 0; panel < s->in_panels; panel++)
        for (int64_t i = 0; i < u->images; i++) {
            load_plane(s, u, u->image + i, panel, plane);
            for (int64_t row = 0; row < u->rows; row++)
                s->kernels->winograd_input(
                    s->tiles_x, plane + 4 * row * s->pitch * s->columns, s->pitch * s->columns,
                    inputs + (panel * s->tiles + (i * u->rows + row) * s->tiles_x) * s->columns, s->in_step);
        }
}

/* Every position of a panel of outputs. */
static void multiply(const work *s, int64_t tiles, int64_t panel, const float *inputs, float *outputs)
{
    int64_t rows = ceil_div(tiles, ceil_div(tiles, s->kernels->tile_rows));
    for (int64_t position = 0; position < POSITIONS; position++)
        for (int64_t tile = 0; tile < tiles; tile += rows)
            s->kernels->winograd_product[min(rows, tiles - tile) - 1](
                s->c->ins, inputs + position * s->in_step + tile * s->columns, s->tiles * s->columns,
                s->weights + (panel * POSITIONS + position) * s->c->ins * s->columns,
                outputs + position * s->out_step + tile * s->columns);
}

static void transform_outputs(const work *s, const unit *u, int64_t panel, const float *outputs)
{
    const tern_winograd *c = s->c;
    int64_t size = c->out_height * c->out_width, from = panel * s->columns, pitch = 4 * s->tiles_x;
    int64_t channels = min(s->columns, c->outs - from);
    _Alignas(64) float strip[STRIP_FLOATS], bias[MOST_COLUMNS] = {0};
    if (c->bias) memcpy(bias, c->bias + from, (size_t)channels * sizeof *bias);
    for (int64_t i = 0; i < u->images; i++)
        for (int64_t row = 0; row < u->rows; row++) {
            s->kernels->winograd_output(s->tiles_x, outputs + (i * u->rows + row) * s->tiles_x * s->columns,
                                        s->out_step, bias, strip, pitch * s->columns);
            int64_t y = 4 * (u->row + row);
            float *to = c->y + ((u->image + i) * c->outs + from) * size + y * c->out_width;
            int64_t next =
                ((u->image + i) * c->outs + from + (i + 1 < u->images ? c->outs : channels)) * size;
            tern_want(c->y, c->images * c->outs * size, next, channels * size, row, u->rows, true);
            for (int64_t line = 0; line < min(4, c->out_height - y); line++)
                s->kernels->turn(c->out_width, channels, strip + line * pitch * s->columns, s->columns,
                                 to + line * c->out_width, size);
        }
}

static void unit_task(void *context, int64_t task, int thread)
{
    const work *s = context;
    unit u = {.image = task / s->bands * s->images, .row = task % s->bands * s->rows};
    _Alignas(64) float space[WORK_FLOATS], plane[PLANE_FLOATS];
    float *outputs = space + POSITIONS * s->in_step;
    (void)thread;
    u.images = min(s->images, s->c->images - u.image);
    u.rows = min(s->rows, s->tiles_y - u.row);
    transform_inputs(s, &u, plane, space);
    for (int64_t panel = 0; panel < s->out_panels; panel++) {
        multiply(s, u.images * u.rows * s->tiles_x, panel, space, outputs);
        transform_outputs(s, &u, panel, outputs);
    }
}

void tern_winograd_run(tern_pool *pool, const tern_winograd *convolution, void *scratch)
{
    work s = lay_out(convolution);
    s.weights = scratch;
    tern_pool_run(pool, s.out_panels * ceil_div(convolution->ins, WEIGHT_ROWS), weights_task, &s);
    tern_pool_run(pool, s.units, unit_task, &s);
}
