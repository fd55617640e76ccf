/* Tiles (AMX) and dots of bf16, for the probe; memory is read and written as AVX-512 does it. */
#include "kernel/isa/peak.h"

#if defined(TERN_AMX)

uint32_t tern_peak_read_avx512(const void *memory, int64_t bytes, int64_t times);
void tern_peak_write_avx512(void *memory, int64_t bytes, int64_t times);
void tern_peak_write_far_avx512(void *memory, int64_t bytes, int64_t times);
void tern_peak_triad_avx512(void *memory, int64_t bytes, int64_t times);

#define DOT(s) s = (vi)_mm512_dpbf16_ps((__m512)s, (__m512bh)a, (__m512bh)b)
LOOP(bf16_dot, vi, DOT, TERN_LANES * 2)

/* All eight tiles of 16 rows of 64 bytes, zeroed. */
static void open_tiles(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) shape.row_bytes[i] = 64, shape.rows[i] = 16;
    __asm__ volatile(""
                     :
                     : "r"(&shape)
                     : "memory"); /* some compilers believe that only the first bytes are read */
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
}

/* Six sums that do not wait for each other; a sum is 16 x 16 elements, each of `each` products. */
#define TILES(name, product, each)                                                                           \
    static double name(int64_t rounds)                                                                       \
    {                                                                                                        \
        open_tiles();                                                                                        \
        for (int64_t r = 0; r < rounds; r++) {                                                               \
            product(0, 6, 7);                                                                                \
            product(1, 6, 7);                                                                                \
            product(2, 6, 7);                                                                                \
            product(3, 6, 7);                                                                                \
            product(4, 6, 7);                                                                                \
            product(5, 6, 7);                                                                                \
        }                                                                                                    \
        _tile_release();                                                                                     \
        return (double)rounds * 6 * 256 * (each);                                                            \
    }
TILES(i8_tiles, _tile_dpbssd, 64)
TILES(bf16_tiles, _tile_dpbf16ps, 32)

static const tern_peak_loop loops[] = {
    {"bf16 mac", "mac", BITS, TERN_LANES * 2, false, bf16_dot},
    {"i8 tile mac", "mac", 8192, 256 * 64, false, i8_tiles},
    {"bf16 tile mac", "mac", 8192, 256 * 32, false, bf16_tiles},
    {0},
};

const tern_peak tern_peak_amx = {tern_peak_read_avx512, tern_peak_write_avx512, tern_peak_write_far_avx512,
                                 tern_peak_triad_avx512, loops};

#endif
