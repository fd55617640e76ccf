/* windows: a program's parameters in layers, the order in which its steps visit them, and which of them a fast memory that does not
 * hold all has at each time (Superpipeline, arXiv 2410.08791).
 *
 * A memory with room for S layers holds those S that are visited next.  One that is none of them any more has been finished with;
 * when `moved` have, they make room together, and the next ones come.  Behind the last visit come the first ones again.  Where
 * a training step goes forward and back, the last S layers are still there when it turns. */
#ifndef TERN_PLAN_WINDOWS_H
#define TERN_PLAN_WINDOWS_H

#include "plan/plan.h"

/* A parameter (or what an optimiser keeps beside it): value of the graph, and where it lies in the memory of its layer. */
typedef struct tern_window_part {
    int value;
    size_t offset, bytes;
} tern_window_part;

typedef struct tern_window_layer {
    char name[64]; /* what the names of its parameters begin with: "blk.7", "conv1" */
    tern_window_part *parts;
    int count, room;
    size_t bytes;
    bool changes; /* a run writes into it */
} tern_window_layer;

/* Steps in a row that read parameters of one layer. */
typedef struct tern_visit {
    int layer;
    bool writes;
} tern_visit;

typedef struct tern_windows {
    tern_window_layer *layers;
    int count;
    tern_visit *visits;
    int visit_count;
    int *visit; /* [step_count] of each step that runs each time */
} tern_windows;

/* Layers in the order in which they are visited first.  What a run changes other than in its own place, and rows that are only
 * looked up in what does not change, belong to none.  TERN_USAGE where there is no layer. */
tern_status tern_windows_of(const tern_program *program, tern_windows *windows);
void tern_windows_free(tern_windows *windows);
/* Bytes of all layers together. */
double tern_windows_bytes(const tern_windows *windows);

/* A layer comes, in the place of one that has been finished with: one of the same size where there is one.  Moves with the same `after` are a
 * group: all that make room have done so before the first one comes. */
typedef struct tern_window_move {
    int after; /* visits of the run that are over before it may begin */
    int out, in;
} tern_window_move;

typedef struct tern_window_schedule {
    int frames;              /* layers that have room: at most all */
    int *first;              /* [frames]: those that come before the first run, in order */
    tern_window_move *moves; /* of each run, in order */
    int count;
    int groups;  /* times in a run that layers made room */
    int *need;   /* [visits]: the move that must be over before; -1: one of the run before, or of `first` */
    int *last;   /* [layers]: the last move of a run that brings the layer; -1: none does */
    size_t most; /* bytes there at once */
} tern_window_schedule;

/* 1 <= moved <= frames, else TERN_USAGE. */
tern_status tern_windows_schedule(const tern_windows *windows, int frames, int moved,
                                  tern_window_schedule *schedule);
/* Moves of the group that begins with this one; 0: none does. */
int tern_window_group(const tern_window_schedule *schedule, int move);
void tern_window_schedule_free(tern_window_schedule *schedule);

/* ---- time -------------------------------------------------------------------------------------------------------------- */

/* Seconds of the two lanes, computing and copying, each by itself; and by what each takes longer while the other is busy, too. */
typedef struct tern_window_times {
    const double *compute; /* [visits] */
    const double *copy;    /* [layers], one way */
    double compute_slower, copy_slower;
} tern_window_times;

/* Seconds of a run among many, event by event. */
double tern_windows_seconds(const tern_windows *windows, const tern_window_schedule *schedule,
                            const tern_window_times *times);

/* Bytes that a run copies, both ways. */
double tern_windows_copied(const tern_windows *windows, const tern_window_schedule *schedule);

/* A window and what it costs. */
typedef struct tern_window_choice {
    int window, moved;
    double bytes;   /* of layers, at most */
    double seconds; /* of a run */
    double copied;  /* bytes, both ways, in a run */
} tern_window_choice;

/* The windows that no other beats in both bytes and seconds (by 0.2 % at least), from the fewest bytes on; the last one holds all layers.  The caller
 * releases *choices. */
tern_status tern_windows_search(const tern_windows *windows, const tern_window_times *times,
                                tern_window_choice **choices, int *count);
/* Of them, the fastest whose layers take at most `bytes`: of those within 1 % of its time the one with the fewest bytes.
 * `bytes` 0: no limit, and of those that do not hold all layers, within 5 %.  -1: none is small enough. */
int tern_windows_choose(const tern_window_choice *choices, int count, double bytes);

#endif
