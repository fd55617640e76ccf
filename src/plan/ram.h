/* ram: what a program in bytes needs of the RAM of a board, as tern emit writes it. */
#ifndef TERN_PLAN_RAM_H
#define TERN_PLAN_RAM_H

#include "plan/plan.h"

/* Bytes; the input counts where it is not asked for by rows, whose band is part of the arena then.  The stack comes to it. */
typedef struct tern_ram {
    size_t arena, state, input, output, all;
} tern_ram;
void tern_program_ram(const tern_program *program, tern_ram *ram);

#endif
