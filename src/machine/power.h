/* power: what this computer draws, where it has a sensor, and energy between two moments of a trace. */
#ifndef TERN_MACHINE_POWER_H
#define TERN_MACHINE_POWER_H

#include "base/base.h"

typedef struct tern_power_sample {
    double seconds;  /* of tern_now() */
    double watts;    /* below 0: not known */
    double resident; /* bytes of this process */
} tern_power_sample;

/* Joules between two moments, the trace being straight between samples (trapezium rule); false where it does not reach over them or
 * a sample within is not known. */
bool tern_power_energy(const tern_power_sample *samples, int count, double from, double to, double *joules);

/* Samples power and resident memory on a thread of its own, `hertz` times a second, until it is closed.  Sensors in the order in which
 * they are looked for below `root` (""): processor packages (powercap), current sensors (hwmon), a battery that discharges. */
typedef struct tern_watch tern_watch;
tern_status tern_watch_open(tern_watch **watch, const char *root, double hertz);
void tern_watch_close(tern_watch *watch);
const char *
tern_watch_source(const tern_watch *watch); /* "powercap", "hwmon", "battery"; NULL: there is no sensor */
/* One more sample now: at events. */
void tern_watch_mark(tern_watch *watch);
/* No more samples; those that there are, until closed. */
const tern_power_sample *tern_watch_stop(tern_watch *watch, int *count);

/* Bytes of this process in main memory, at most so far (now: tern_resident_bytes); 0: unknown. */
double tern_resident_peak(void);

#endif
