/* pager: parameters that a fast memory does not hold all at once, in windows of layers (Superpipeline, arXiv 2410.08791).
 *
 * The layers of a program, and which of them are in fast memory when, are those of plan/windows.h.  A copy lane (a thread) brings the
 * next ones while computing goes on, and takes back what a training step has changed.  Nothing is computed otherwise: results have
 * the same bits. */
#ifndef TERN_RUN_PAGER_H
#define TERN_RUN_PAGER_H

#include "plan/windows.h"
#include "run/run.h"

typedef struct tern_pager tern_pager;

typedef struct tern_pager_options {
    int window, moved; /* 1 <= moved <= window; where all layers have room each is loaded once */
    bool slack;        /* `moved` layers more may be there, so that loading need not wait for room */
    double governor;   /* bytes per second that the copy lane takes at most; 0: as fast as it goes */
    /* Called when `bytes` at `data` of the slow memory have been copied from or to; NULL: nothing is.  For pages of a mapped file. */
    void (*copied)(void *context, const void *data, size_t bytes);
    void *context;
    bool trace; /* keep every event */
} tern_pager_options;

/* The copy lane loaded a layer (and took another one back, if that had changed), or it was computed. */
typedef struct tern_page_event {
    bool copy;
    int layer;
    double begin, end; /* seconds since the pager was opened */
} tern_page_event;

typedef struct tern_pager_report {
    int layers, window, moved;
    double all, most;     /* bytes of all layers; that were in fast memory at once, at most */
    double bytes, copies; /* brought so far, and how many layers */
    double back;          /* bytes taken back */
    double moves;         /* times that a group of layers made room */
    double waited;        /* seconds that computing waited for a layer */
} tern_pager_report;

/* For programs like `program`, whose parameters lie in `store` (the slow memory); both must outlive the pager.  Rows that an
 * operator only looks up stay where they are. */
tern_status tern_pager_open(tern_pager **pager, const tern_program *program, tern_store *store,
                            const tern_pager_options *options);
void tern_pager_close(tern_pager *pager);

/* The session computes with what the pager brings from its next run on.  Several sessions, one at a time, can share a pager. */
tern_status tern_session_page(tern_session *session, tern_pager *pager);

/* Between runs: what has changed in fast memory is in the store, too, from now on. */
void tern_pager_flush(tern_pager *pager);

/* What the lanes have done since the pager was opened. */
void tern_pager_reports(const tern_pager *pager, tern_pager_report *report);
/* Events in the order in which they ended; *count of them. */
const tern_page_event *tern_pager_events(const tern_pager *pager, int *count);

/* ---- for the executor ------------------------------------------------------------------------------------------------ */

/* The visit of the pager's program that each step of a program is part of, [step_count]; slots[value] are indices of the store, or -1. */
tern_status tern_pager_map(const tern_pager *pager, const tern_program *program, const int *slots,
                           int *visit);
/* Waits until the layer of the visit is there; a failure of the copy lane is returned. */
tern_status tern_pager_enter(tern_pager *pager, int visit);
/* Where a parameter of the layer is; NULL: it is none of the layer. */
void *tern_pager_find(const tern_pager *pager, int visit, int slot);
void tern_pager_leave(tern_pager *pager, int visit);

#endif
