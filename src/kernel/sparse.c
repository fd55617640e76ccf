/* The driver of the row-adding kernels: the ones of each row of x become lists of positions per block of k, and panels of
 * C are tasks.  Blocks and order of the sums are tern_gemm's, so the bits are the same: adding 0 * w changes nothing.
 *
 * A list is filled up to a multiple of four with the position of a row of zeros that stands behind each block of B. */
#include "kernel/sparse.h"

#include <string.h>

#define CHUNK_ROWS   128               /* their C and a block of B stay in the first-level cache */
#define SLAB_ROWS    4096              /* of C worked on at a time */
#define SLAB_COLUMNS 4096              /* and columns */
#define SLAB_FLOATS  (2 * 1024 * 1024) /* of B packed at a time */
#define SLAB_LISTS   (4 * 1024 * 1024) /* positions listed at a time */
#define TASKS        48                /* at least, where rows allow */
#define TURNED_TASKS 16                /* the same for gradients, whose tasks share nothing that they read */
#define FILL         3                 /* positions added to a list at most */
#define BEHIND       32                /* positions that list_bits may write behind a list */
#define MAX_BLOCK    256
#define MAX_COLUMNS  32

typedef struct layout {
    const tern_kernels *kernels;
    int columns;                     /* of a panel */
    int64_t block;                   /* of k; its rows in B and one of zeros make a packed block */
    int64_t chunk_rows;              /* rows whose lists stand one behind the other */
    int64_t slab_rows, slab_columns; /* whole chunks, whole panels */
    int64_t slab_blocks;
    bool turned; /* C is written column by column */
    bool local;  /* a block of B is packed where it is used, not into scratch: few rows read it */
} layout;

static layout lay_out(int64_t m, int64_t n, int64_t k, bool turned)
{
    layout l = {.kernels = tern_kernels_get(), .block = tern_sum_block(k), .turned = turned};
    l.columns = l.kernels->tile_columns;
    l.chunk_rows = max(ceil_div(m, max(ceil_div(m, CHUNK_ROWS), 1)), 1);
    l.local = turned || m <= CHUNK_ROWS;
    l.slab_rows = min(ceil_div(m, l.chunk_rows), SLAB_ROWS / l.chunk_rows) * l.chunk_rows;
    l.slab_columns = min(ceil_div(n, l.columns) * l.columns, SLAB_COLUMNS);
    int64_t blocks = SLAB_LISTS / max(l.slab_rows * (l.block + FILL), 1);
    if (!l.local) blocks = min(blocks, SLAB_FLOATS / max(l.slab_columns * (l.block + 1), 1));
    l.slab_blocks = min(ceil_div(k, l.block), max(blocks, 1));
    return l;
}

static int64_t chunk_positions(const layout *l)
{
    return l->chunk_rows * l->slab_blocks * (l->block + FILL) + BEHIND;
}

static int64_t chunk_starts(const layout *l)
{
    return l->chunk_rows * l->slab_blocks + 1;
}

/* Packed panels of B, or when C is turned the sums of all panels, row by row. */
static int64_t panels_floats(const layout *l)
{
    return l->slab_columns * (l->turned ? l->slab_rows : l->local ? 0 : l->slab_blocks * (l->block + 1));
}

size_t tern_sparse_scratch(int64_t m, int64_t n, int64_t k, bool turned)
{
    layout l = lay_out(m, n, k, turned);
    int64_t chunks = l.slab_rows / l.chunk_rows;
    return (size_t)panels_floats(&l) * sizeof(float) +
           (size_t)(chunks * chunk_starts(&l)) * sizeof(uint32_t) +
           (size_t)(chunks * chunk_positions(&l)) * sizeof(uint16_t);
}

/* Rows row0 .. and columns column0 .. of C, blocks block0 .. of k. */
typedef struct slab {
    const tern_sparse *sparse;
    layout layout;
    int64_t row0, rows, column0, columns, block0, blocks;
    int64_t chunks, panels, groups; /* tasks take a panel and the chunks of a group */
    float *panel;
    uint32_t *starts;
    uint16_t *lists;
} slab;

/* How many of k's elements block `block` of the slab has. */
static int64_t sums_of(const slab *s, int64_t block)
{
    return min(s->layout.block, s->sparse->k - (s->block0 + block) * s->layout.block);
}

static int64_t chunk_height(const slab *s, int64_t chunk)
{
    return min(s->layout.chunk_rows, s->rows - chunk * s->layout.chunk_rows);
}

static void pack_block(const slab *s, int64_t panel, int64_t block, float *out)
{
    const layout *l = &s->layout;
    int64_t column = panel * l->columns;
    l->kernels->pack(&s->sparse->b, s->column0 + column, min(l->columns, s->columns - column), l->columns,
                     (s->block0 + block) * l->block, sums_of(s, block), out);
    memset(out + l->block * l->columns, 0, (size_t)l->columns * sizeof *out);
}

static void list_chunk(const slab *s, int64_t chunk)
{
    const layout *l = &s->layout;
    const tern_sparse *p = s->sparse;
    uint16_t *list = s->lists + chunk * chunk_positions(l);
    uint32_t *start = s->starts + chunk * chunk_starts(l), at = 0;
    int64_t height = chunk_height(s, chunk), row = s->row0 + chunk * l->chunk_rows;
    int unit = l->columns / 2; /* positions count pairs of floats */
    for (int64_t block = 0; block < s->blocks; block++)
        for (int64_t i = 0; i < height; i++) {
            *start++ = at;
            at += (uint32_t)l->kernels->list_bits(
                p->x, p->first + (row + i) * p->x_stride + (s->block0 + block) * l->block,
                (int)sums_of(s, block), unit, (int)l->block * unit, list + at);
        }
    *start = at;
}

/* A part of B's next block, pieces of rows that no processor foresees, comes while the one before is added. */
static void prefetch_block(const slab *s, int64_t panel, int64_t block, int64_t part, int64_t parts)
{
    const layout *l = &s->layout;
    const tern_factor *b = &s->sparse->b;
    if (block >= s->blocks || b->free_stride != 1 || b->bits) return;
    const float *row = (const float *)b->data + b->first + s->column0 + panel * l->columns +
                       (s->block0 + block) * l->block * b->sum_stride;
    int64_t sums = sums_of(s, block);
    for (int64_t i = sums * part / parts; i < sums * (part + 1) / parts; i++)
        for (int64_t j = 0; j < l->columns; j += 16) __builtin_prefetch(row + i * b->sum_stride + j, 0, 1);
}

/* Lists the chunks and packs the panels that are not packed where they are used. */
static void prepare_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    const layout *l = &s->layout;
    (void)thread;
    if (task < s->chunks) {
        list_chunk(s, task);
        return;
    }
    int64_t panel = task - s->chunks, floats = (l->block + 1) * l->columns;
    for (int64_t block = 0; block < s->blocks; block++)
        pack_block(s, panel, block, s->panel + (panel * s->blocks + block) * floats);
}

/* c (+)= what one block of k says about one chunk and panel. */
static void add_block(const slab *s, int64_t chunk, int64_t block, const float *b, const float *from,
                      int64_t from_stride, float *c, int64_t row_stride)
{
    const layout *l = &s->layout;
    int64_t height = chunk_height(s, chunk);
    l->kernels->add_listed(height, s->lists + chunk * chunk_positions(l),
                           s->starts + chunk * chunk_starts(l) + block * height, b, from, from_stride, c,
                           row_stride);
}

/* All blocks of a chunk; a panel that is cut at the right edge goes through a square of its own. */
static void add_straight(const slab *s, int64_t panel, int64_t chunk)
{
    const layout *l = &s->layout;
    const tern_sparse *p = s->sparse;
    int64_t row = s->row0 + chunk * l->chunk_rows, column = s->column0 + panel * l->columns;
    int64_t height = chunk_height(s, chunk), width = min(l->columns, p->n - column);
    float square[CHUNK_ROWS * MAX_COLUMNS], *c = p->c + row * p->stride + column, *to = c;
    _Alignas(64) float own[(MAX_BLOCK + 1) * MAX_COLUMNS];
    float first[MAX_COLUMNS] = {0}; /* what C begins with, where that is the same for all rows */
    bool add = p->accumulate || s->block0 > 0;
    int64_t stride = p->stride;

    if (p->bias && !add) memcpy(first, p->bias + column, (size_t)width * sizeof *first);
    if (width < l->columns) {
        to = square;
        stride = MAX_COLUMNS;
        for (int64_t i = 0; add && i < height; i++)
            memcpy(square + i * MAX_COLUMNS, c + i * p->stride, (size_t)width * sizeof *square);
    }
    for (int64_t i = 0; p->bias && add && s->block0 == 0 && i < height; i++)
        for (int64_t j = 0; j < width; j++) to[i * stride + j] += p->bias[column + j];
    for (int64_t block = 0; block < s->blocks; block++) {
        const float *b = own;
        if (l->local)
            pack_block(s, panel, block, own);
        else
            b = s->panel + (panel * s->blocks + block) * (l->block + 1) * l->columns;
        bool fresh = block == 0 && !add;
        add_block(s, chunk, block, b, fresh ? (p->bias ? first : NULL) : to, fresh ? 0 : stride, to, stride);
    }
    for (int64_t i = 0; to == square && i < height; i++)
        memcpy(c + i * p->stride, square + i * MAX_COLUMNS, (size_t)width * sizeof *square);
}

static void straight_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    int64_t panel = task / s->groups, group = task % s->groups;
    (void)thread;
    for (int64_t chunk = s->chunks * group / s->groups; chunk < s->chunks * (group + 1) / s->groups; chunk++)
        add_straight(s, panel, chunk);
}

/* total += the sum of a packed block of B, as if a row of x were all ones. */
static void add_total(const slab *s, int64_t block, const float *b, float *total)
{
    const layout *l = &s->layout;
    uint16_t all[MAX_BLOCK + FILL];
    int64_t sums = sums_of(s, block), count = ceil_div(sums, 4) * 4;
    for (int64_t i = 0; i < count; i++)
        all[i] = (uint16_t)((i < sums ? i : l->block) * (l->columns / 2)); /* see list_chunk */
    l->kernels->add_listed(1, all, (uint32_t[]){0, (uint32_t)count}, b, s->block0 + block == 0 ? NULL : total,
                           0, total, 0);
}

/* The sums of a panel and a group stand row by row in scratch while block after block of B, packed here, is added to
 * all of them: B, the long factor of a gradient, is read once a group. */
static void turned_task(void *context, int64_t task, int thread)
{
    const slab *s = context;
    const layout *l = &s->layout;
    const tern_sparse *p = s->sparse;
    int64_t panel = task / s->groups, group = task % s->groups;
    int64_t first = s->chunks * group / s->groups, last = s->chunks * (group + 1) / s->groups;
    int64_t row = first * l->chunk_rows, rows = min(last * l->chunk_rows, s->rows) - row;
    int64_t column = s->column0 + panel * l->columns, width = min(l->columns, p->n - column);
    _Alignas(64) float b[(MAX_BLOCK + 1) * MAX_COLUMNS];
    float *sums = s->panel + (panel * s->rows + row) * l->columns;
    float *c = p->c + s->row0 + row + column * p->stride, total[MAX_COLUMNS] = {0};
    bool totals = p->total && s->row0 + row == 0;
    (void)thread;

    if (totals && s->block0 > 0) memcpy(total, p->total + column, (size_t)width * sizeof *total);
    if (s->block0 == 0 && p->accumulate) l->kernels->turn(width, rows, c, p->stride, sums, l->columns);
    for (int64_t block = 0; block < s->blocks; block++) {
        bool fresh = s->block0 + block == 0 && !p->accumulate;
        pack_block(s, panel, block, b);
        if (totals) add_total(s, block, b, total);
        for (int64_t chunk = first; chunk < last; chunk++) {
            prefetch_block(s, panel, block + 1, chunk - first, last - first);
            float *to = sums + (chunk - first) * l->chunk_rows * l->columns;
            add_block(s, chunk, block, b, fresh ? NULL : to, l->columns, to, l->columns);
        }
    }
    if ((s->block0 + s->blocks) * l->block >= p->k)
        l->kernels->turn(rows, width, sums, l->columns, c, p->stride);
    if (totals) memcpy(p->total + column, total, (size_t)width * sizeof *total);
}

static void run_slab(tern_pool *pool, slab *s)
{
    const layout *l = &s->layout;
    s->chunks = ceil_div(s->rows, l->chunk_rows);
    s->panels = ceil_div(s->columns, l->columns);
    s->groups = min(s->chunks, ceil_div(l->turned ? TURNED_TASKS : TASKS, s->panels));
    tern_pool_run(pool, l->local ? s->chunks : s->chunks + s->panels, prepare_task, s);
    tern_pool_run(pool, s->panels * s->groups, l->turned ? turned_task : straight_task, s);
}

void tern_sparse_run(tern_pool *pool, const tern_sparse *p, void *scratch)
{
    slab s = {.sparse = p, .layout = lay_out(p->m, p->n, p->k, p->turned)};
    const layout *l = &s.layout;
    int64_t blocks = ceil_div(p->k, l->block);
    s.panel = scratch;
    s.starts = (uint32_t *)(s.panel + panels_floats(l));
    s.lists = (uint16_t *)(s.starts + l->slab_rows / l->chunk_rows * chunk_starts(l));
    for (s.column0 = 0; s.column0 < p->n; s.column0 += l->slab_columns)
        for (s.row0 = 0; s.row0 < p->m; s.row0 += l->slab_rows)
            for (s.block0 = 0; s.block0 < blocks; s.block0 += l->slab_blocks) {
                s.columns = min(l->slab_columns, p->n - s.column0);
                s.rows = min(l->slab_rows, p->m - s.row0);
                s.blocks = min(l->slab_blocks, blocks - s.block0);
                run_slab(pool, &s);
            }
}
