/* How long ago a program touched what it touches: what caches see of it. */
#ifndef TERN_REUSE_H
#define TERN_REUSE_H

#include "machine/caches.h"
#include "plan/plan.h"

/* The operands of all steps of a run in their order, the task of an access being its step; the program ran before, so that its
 * parameters may still be there, with other inputs.  *accesses is the caller's to release. */
tern_status tern_program_accesses(const tern_program *program, tern_access **accesses, int *count);

/* The bytes of each step by their age, into steps[].aged, and those that threads hand on, into steps[].handed.  What is written comes to memory that the arena has just used for
 * something else; inputs have just been written by whoever bound them. */
tern_status tern_program_ages(const tern_program *program, tern_step_work *steps);

#endif
