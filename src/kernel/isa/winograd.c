/* The steps of Winograd's convolution (winograd.c) for channels that stand side by side: transforms of weights, inputs
 * and outputs along both axes, with the points 0, +-sqrt(1/2), +-sqrt(2) and infinity, whose constants are near 1 and
 * lose the fewest digits; and the product of one position. */
#include "kernel/isa/isa.h"

#define NEAR           0.70710678118654752f /* the points */
#define FAR            1.41421356237309505f

/* Each of the two vectors of a panel of channels by itself. */
#define EACH_VECTOR(v) for (int v = 0; v < 2 * TERN_LANES; v += TERN_LANES)

TERN_INLINE void weights_along(const vf g[3], vf u[6])
{
    vf near = (g[0] + 0.5f * g[2]) * (-2.0f / 3), far = (g[0] + 2.0f * g[2]) * (1.0f / 6);
    u[0] = g[0];
    u[1] = near - (NEAR * 2 / 3) * g[1];
    u[2] = near + (NEAR * 2 / 3) * g[1];
    u[3] = far + (FAR / 6) * g[1];
    u[4] = far - (FAR / 6) * g[1];
    u[5] = g[2];
}

TERN_INLINE void input_along(const vf d[6], vf t[6])
{
    vf even = d[4] - 2.0f * d[2], odd = d[3] - 2.0f * d[1];
    vf even2 = d[4] - 0.5f * d[2], odd2 = d[3] - 0.5f * d[1];
    t[0] = d[0] + d[4] - 2.5f * d[2];
    t[1] = even + NEAR * odd;
    t[2] = even - NEAR * odd;
    t[3] = even2 + FAR * odd2;
    t[4] = even2 - FAR * odd2;
    t[5] = d[1] + d[5] - 2.5f * d[3];
}

TERN_INLINE void output_along(const vf m[6], vf y[4])
{
    vf sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
    y[0] = m[0] + sum + sum2;
    y[1] = NEAR * difference + FAR * difference2;
    y[2] = 0.5f * sum + 2.0f * sum2;
    y[3] = (0.5f * NEAR) * difference + (2.0f * FAR) * difference2 + m[5];
}

void TERN_FOR_ISA(tern_winograd_weights)(int64_t count, const float *taps, int64_t tap_step, float *u,
                                         int64_t position_step)
{
    for (int64_t i = 0; i < count; i++, taps += 2 * TERN_LANES, u += 2 * TERN_LANES) EACH_VECTOR(v)
        {
            vf half[6][3];
            TERN_UNROLL for (int x = 0; x < 3; x++)
            {
                vf column[3], out[6];
                TERN_UNROLL for (int y = 0; y < 3; y++) column[y] =
                    tern_load(taps + (3 * y + x) * tap_step + v);
                weights_along(column, out);
                TERN_UNROLL for (int y = 0; y < 6; y++) half[y][x] = out[y];
            }
            TERN_UNROLL for (int y = 0; y < 6; y++)
            {
                vf out[6];
                weights_along(half[y], out);
                TERN_UNROLL for (int x = 0; x < 6; x++)
                    tern_store(u + (6 * y + x) * position_step + v, out[x]);
            }
        }
}

void TERN_FOR_ISA(tern_winograd_input)(int64_t tiles, const float *x, int64_t pitch, float *to,
                                       int64_t position_step)
{
    for (int64_t tile = 0; tile < tiles; tile++, x += 8 * TERN_LANES, to += 2 * TERN_LANES) EACH_VECTOR(v)
        {
            vf half[6][6];
            TERN_UNROLL for (int i = 0; i < 6; i++)
            {
                vf column[6], out[6];
                TERN_UNROLL for (int j = 0; j < 6; j++) column[j] =
                    tern_load(x + j * pitch + i * 2 * TERN_LANES + v);
                input_along(column, out);
                TERN_UNROLL for (int j = 0; j < 6; j++) half[j][i] = out[j];
            }
            TERN_UNROLL for (int j = 0; j < 6; j++)
            {
                vf out[6];
                input_along(half[j], out);
                TERN_UNROLL for (int i = 0; i < 6; i++)
                    tern_store(to + (6 * j + i) * position_step + v, out[i]);
            }
        }
}

void TERN_FOR_ISA(tern_winograd_output)(int64_t tiles, const float *m, int64_t position_step,
                                        const float *bias, float *y, int64_t pitch)
{
    for (int64_t tile = 0; tile < tiles; tile++, m += 2 * TERN_LANES, y += 8 * TERN_LANES) EACH_VECTOR(v)
        {
            vf half[4][6], start = tern_load(bias + v);
            TERN_UNROLL for (int i = 0; i < 6; i++)
            {
                vf column[6], out[4];
                TERN_UNROLL for (int j = 0; j < 6; j++) column[j] =
                    tern_load(m + (6 * j + i) * position_step + v);
                output_along(column, out);
                TERN_UNROLL for (int j = 0; j < 4; j++) half[j][i] = out[j];
            }
            TERN_UNROLL for (int j = 0; j < 4; j++)
            {
                vf out[4];
                output_along(half[j], out);
                TERN_UNROLL for (int i = 0; i < 4; i++)
                    tern_store(y + j * pitch + i * 2 * TERN_LANES + v, out[i] + start);
            }
        }
}

/* m[rows][columns] = the sum over k of v[k / columns][row][k % columns] * u[k][columns]. */
TERN_INLINE void product(const int rows, int64_t k, const float *v, int64_t panel_step, const float *u,
                         float *m)
{
    vf low[TERN_TILE_ROWS], high[TERN_TILE_ROWS];
    TERN_UNROLL for (int i = 0; i < rows; i++) low[i] = high[i] = (vf){0};
    for (; k > 0; k -= 2 * TERN_LANES, v += panel_step) {
        const float *a = v;
        for (int64_t left = k < 2 * TERN_LANES ? k : 2 * TERN_LANES; left > 0;
             left--, a++, u += 2 * TERN_LANES) {
            vf u0 = tern_load(u), u1 = tern_load(u + TERN_LANES);
            TERN_UNROLL for (int i = 0; i < rows; i++)
            {
                low[i] += a[i * 2 * TERN_LANES] * u0;
                high[i] += a[i * 2 * TERN_LANES] * u1;
            }
        }
    }
    TERN_UNROLL for (int i = 0; i < rows; i++)
    {
        tern_store(m + i * 2 * TERN_LANES, low[i]);
        tern_store(m + i * 2 * TERN_LANES + TERN_LANES, high[i]);
    }
}

#define PRODUCT(rows)                                                                                        \
    static void product_##rows(int64_t k, const float *v, int64_t panel_step, const float *u, float *m)      \
    {                                                                                                        \
        product(rows, k, v, panel_step, u, m);                                                               \
    }

TERN_EACH_ROWS(PRODUCT)

#define PRODUCT_NAME(rows) product_##rows,
tern_winograd_product *const TERN_FOR_ISA(tern_winograd_products)[] = {TERN_EACH_ROWS(PRODUCT_NAME)};
