/* Rows of A, summed indices side by side, times few columns: squares of A are turned in registers, so that a lane is a row and
 * each element of C is one chain of multiply-adds in the order of k, as the tile has it. */
#include "kernel/few_columns.h"
#include "kernel/isa/transpose.h"

TERN_INLINE void turn_square(const float *a, int64_t a_step, int rows, int64_t sums, vf row[TERN_LANES])
{
    TERN_UNROLL for (int i = 0; i < TERN_LANES; i++)
    {
        row[i] = i < rows ? load_part(a + i * a_step, sums) : (vf){0};
    }
    tern_transpose(row);
}

TERN_INLINE void sum_rows(const int columns, int rows, int64_t sums, const float *a, int64_t a_step,
                          const float *b, int64_t b_step, float *out)
{
    vf sum[TERN_FEW_COLUMNS] = {{0}}, row[TERN_LANES];
    int64_t s = 0;
    for (; rows == TERN_LANES && s + TERN_LANES <= sums; s += TERN_LANES) {
        turn_square(a + s, a_step, TERN_LANES, TERN_LANES, row);
        TERN_UNROLL for (int i = 0; i < TERN_LANES; i++)
        {
            TERN_UNROLL for (int c = 0; c < columns; c++) sum[c] += row[i] * b[c * b_step + s + i];
        }
    }
    for (; s < sums; s += TERN_LANES) {
        turn_square(a + s, a_step, rows, sums - s, row);
        for (int i = 0; i < TERN_LANES && s + i < sums; i++)
            TERN_UNROLL for (int c = 0; c < columns; c++) sum[c] += row[i] * b[c * b_step + s + i];
    }
    TERN_UNROLL for (int c = 0; c < columns; c++) tern_store(out + c * TERN_FEW_ROWS, sum[c]);
}

void TERN_FOR_ISA(tern_sum_few)(int columns, int rows, int64_t sums, const float *a, int64_t a_step,
                                const float *b, int64_t b_step, float *out)
{
    for (int r = 0; r < rows; r += TERN_LANES, a += TERN_LANES * a_step, out += TERN_LANES) {
        int lanes = rows - r < TERN_LANES ? rows - r : TERN_LANES;
        if (columns == 1)
            sum_rows(1, lanes, sums, a, a_step, b, b_step, out);
        else if (columns == 2)
            sum_rows(2, lanes, sums, a, a_step, b, b_step, out);
        else if (columns == 3)
            sum_rows(3, lanes, sums, a, a_step, b, b_step, out);
        else
            sum_rows(4, lanes, sums, a, a_step, b, b_step, out);
    }
}
