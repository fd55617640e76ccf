/* heat: how warm a machine gets, and how its clock follows: bodies from the chip outwards, each with a heat capacity and a resistance
 * to the next one, the last one's to the air (a ladder of RC elements: C1 dT1/dt = P - (T1-T2)/R1, ..). */
#ifndef TERN_MACHINE_HEAT_H
#define TERN_MACHINE_HEAT_H

#include "machine/machine.h"

typedef struct tern_heat {
    double degrees[TERN_MACHINE_PARTS]; /* Celsius, of each body */
    double clock;                       /* share of the full one */
    double since;                       /* seconds since the clock was last looked at */
    double joules;                      /* that were drawn so far */
} tern_heat;

/* As warm as the air, at full clock.  TERN_USAGE for a machine whose file has no bodies. */
tern_status tern_heat_begin(const tern_machine *machine, tern_heat *heat);

/* Work that takes `seconds` at full clock and draws `watts` then: the seconds that it takes.  Power above the machine's idle power goes
 * with the cube of the clock.  Once a second the clock falls by a step where the first body is above the trip, and rises by one where
 * it is below by more than the hysteresis. */
double tern_heat_work(const tern_machine *machine, tern_heat *heat, double seconds, double watts);

/* Nothing to do for `seconds`. */
void tern_heat_rest(const tern_machine *machine, tern_heat *heat, double seconds);

#endif
