/* What the registers of tiles (AMX) hold. */
#ifndef TERN_ISA_TILES_H
#define TERN_ISA_TILES_H

#include "kernel/isa/isa.h"

#if defined(TERN_AMX)

/* Of the first factor rows of so many bytes; the second one has as many rows of 64 / 4. */
static inline void shape_tiles(int bytes)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 4; i++) shape.row_bytes[i] = 64, shape.rows[i] = 16; /* sums */
    for (int i = 4; i < 6; i++) {
        shape.row_bytes[i] = (uint16_t)bytes;
        shape.rows[i] = 16;
        shape.row_bytes[i + 2] = 64;
        shape.rows[i + 2] = (uint8_t)(bytes / 4);
    }
    /* Some compilers believe that only the first eight bytes are read, and leave the rest out. */
    __asm__ volatile("" : : "r"(&shape) : "memory");
    _tile_loadconfig(&shape);
}

#endif

#endif
