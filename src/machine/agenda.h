/* The discrete-event core: what is to happen, in the order of time; at one time, in the order in which it was put there, so that
 * a simulation is the same on every machine. */
#ifndef TERN_AGENDA_H
#define TERN_AGENDA_H

#include "base/base.h"

typedef struct tern_event {
    double time; /* seconds */
    uint64_t sequence;
    int what, who; /* the simulator's own */
} tern_event;

typedef struct tern_agenda {
    tern_event *heap;
    size_t count, room;
    uint64_t sequence;
} tern_agenda;

tern_status tern_agenda_put(tern_agenda *agenda, double time, int what, int who);
/* The next event, which is no longer there then; false: there is none. */
bool tern_agenda_take(tern_agenda *agenda, tern_event *event);
void tern_agenda_free(tern_agenda *agenda);

#endif
