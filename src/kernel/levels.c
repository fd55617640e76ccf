/* Rows of weights in nf4 and nf4x2, whose blocks are found and whose scales are made here. */
#include "kernel/packed.h"
#include "kernel/table.h"

#include "tensor/packed.h"

enum { AT_ONCE = 256 }; /* blocks: nf4x2 has as many in a group, whose indices are one behind the other */

/* Of blocks from the first on, how many are taken at once: up to the end of a group. */
static int64_t taken(int64_t first, int64_t left)
{
    int64_t count = AT_ONCE - first % AT_ONCE;
    return count < left ? count : left;
}

bool tern_level_row(const tern_packed_product *p, int64_t n)
{
    tern_level_dot *dot = tern_kernels_get()->level_dot;
    bool twice = p->dtype == TERN_NF4X2;
    int64_t blocks = p->k / TERN_LEVEL_BLOCK;
    if (!dot || (p->dtype != TERN_NF4 && !twice) || p->k % TERN_LEVEL_BLOCK != 0) return false;
    size_t step = TERN_LEVEL_BLOCK / 2 + (twice ? 0 : sizeof(float));
    for (int64_t done = 0, count; done < blocks; done += count) {
        float most[AT_ONCE], part[TERN_PACKED_ROWS];
        int64_t first = n * blocks + done;
        count = taken(first, blocks - done);
        (twice ? tern_nf4x2_scales : tern_nf4_scales)(p->w, first, count, most);
        const uint8_t *indices = (twice ? tern_nf4x2_indices : tern_nf4_indices)(p->w, first);
        for (int64_t row = 0; row < p->rows; row += TERN_PACKED_ROWS) {
            int rows = p->rows - row < TERN_PACKED_ROWS ? (int)(p->rows - row) : TERN_PACKED_ROWS;
            const float *x = p->x + row * p->k + done * TERN_LEVEL_BLOCK;
            dot(count, indices, step, most, tern_nf4_levels, x, p->k, rows, part);
            for (int r = 0; r < rows; r++) {
                float *y = p->y + (row + r) * p->n + n;
                *y = part[r] + (done ? *y : p->bias ? p->bias[n] : 0);
            }
        }
    }
    return true;
}
