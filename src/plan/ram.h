/* ram: what a program in bytes needs of the RAM of a board, as tern emit writes it. */
#ifndef TERN_PLAN_RAM_H
#define TERN_PLAN_RAM_H

#include "plan/plan.h"

/* Bytes; the input counts where it is not asked for by rows, whose band is part of the arena then, and finds no room in the arena of a program
 * without states.  The stack comes to it. */
typedef struct tern_ram {
    size_t arena, state, input, output, all;
} tern_ram;
void tern_program_ram(const tern_program *program, tern_ram *ram);

/* Where in the arena an input may lie until the last step that reads it: a multiple of 8 from which nothing is written there before.
 * False where there is no such place. */
bool tern_program_room(const tern_program *program, tern_value input, size_t *offset);

#endif
