/* What the two lanes of a program take on this computer, each by itself and beside the other: what plan/windows.h weighs windows by. */
#ifndef TERN_RUN_MEASURE_H
#define TERN_RUN_MEASURE_H

#include "plan/windows.h"
#include "run/run.h"

/* Of a program whose inputs are bound; runs of it happen (`runs` of each kind), and change what they change. */
typedef struct tern_window_subject {
    const tern_windows *windows;
    const tern_program *program;
    tern_session *session; /* without a pager */
    const tern_store *store;
    double governor; /* bytes per second of the copy lane, at most; 0: as fast as it goes */
    int runs;
    void (*copied)(void *context, const void *data, size_t bytes); /* as a pager calls it; NULL: nothing */
    void *context;
} tern_window_subject;

typedef struct tern_window_measured {
    tern_window_times times; /* of what follows */
    double *compute, *copy;  /* [visits], [layers]: seconds, medians */
    double run;              /* seconds of a whole run with all layers there, median */
    double rate;             /* bytes per second of the copy lane, alone */
} tern_window_measured;

/* Fills `measured`, which is to be freed; what the runs change in the store stays changed. */
tern_status tern_windows_measure(const tern_window_subject *subject, tern_window_measured *measured);
void tern_window_measured_free(tern_window_measured *measured);

#endif
