/* What serving a language model takes: the operators and exchanges of one phase, as each of several devices of one kind does
 * them, timed by rooflines.  After GenZ (Bambhaniya et al., arXiv 2406.01698); docs/machines.md has the formulas. */
#ifndef TERN_MACHINE_SERVING_H
#define TERN_MACHINE_SERVING_H

#include "machine/machine.h"

/* What devices send each other. */
typedef enum tern_exchange {
    TERN_NO_EXCHANGE,
    TERN_ALL_REDUCE, /* each has a part of a sum, each gets all of it */
    TERN_ALL_GATHER, /* each has a piece, each gets all of them */
    TERN_ALL_TO_ALL, /* each has a piece for each */
    TERN_MESSAGE,    /* from one to the next */
} tern_exchange;

/* One operator, or one exchange, on one device. */
typedef struct tern_serving_task {
    char label[64];
    double count;    /* how often one run does it: in alike layers */
    double macs;     /* of one of them, as everything below */
    double elements; /* operations on elements */
    double specials; /* and special functions, where they are counted at all */
    double fixed;    /* bytes of weights and caches that are read */
    double in, out;  /* bytes of activations */
    bool in_near;    /* they are in the nearest memory whatever its size */
    bool out_near;
    tern_exchange exchange;
    double message; /* bytes that a device has */
    int devices;    /* that take part */
} tern_serving_task;

/* A run of the net: a prompt's tokens, or one token of each answer. */
typedef struct tern_serving_run {
    tern_serving_task *tasks; /* taken */
    int count, capacity;
    double tokens;          /* that it makes */
    double weights, caches; /* bytes that a device must hold */
    double activations;     /* and those of the operator with the most */
    double needed;          /* bytes that --offload divides between memories: weights and caches */
} tern_serving_run;
tern_status tern_serving_add(tern_serving_run *run,
                             const tern_serving_task *task); /* alike ones are counted */
void tern_serving_free(tern_serving_run *run);

/* How the devices are used. */
typedef struct tern_serving_way {
    int devices;       /* all of them */
    int stages;        /* of the pipeline, among them */
    int batches;       /* that are in the pipeline one behind the other */
    tern_dtype format; /* of the products */
    double speed;      /* GenZ's: rates are those of bf16 times this; 0: the machine's own for `format` */
    bool far; /* weights and caches are in the memory with the most room, not in the nearest that has it */
    bool offload; /* what a device has no room for is read from the host */
    bool genz;    /* GenZ's conventions instead of those of the other costs */
} tern_serving_way;

typedef struct tern_serving_time {
    double seconds, compute, memory, exchange; /* of one of `count`: what it takes, and each part alone */
    double joules;                             /* on one device */
    const char *bound;                         /* "compute", "launch", or the memory or link that limits */
} tern_serving_time;

typedef struct tern_serving_cost {
    bool fits;
    bool offloaded;
    char reason[256];                 /* why it does not fit or can't run, or "" */
    double seconds;                   /* of one batch, from the first stage to the last */
    double all_seconds;               /* until all batches of the pipeline are through */
    double joules;                    /* of all devices and batches */
    double compute, memory, exchange; /* seconds of `seconds` that each would take alone */
    double held, room;                /* bytes that a device must hold, and that it can */
    const char *bound;                /* what bounds the tasks that take most of the time */
} tern_serving_cost;

/* Seconds of an exchange of `bytes` a device among `devices` of them, one ring: 0 for one device.  A machine without a link
 * can't: INFINITY. */
double tern_exchange_seconds(const tern_machine *machine, tern_exchange exchange, double bytes, int devices);

/* times_out[run->count] may be NULL. */
void tern_machine_serve(const tern_machine *machine, const tern_serving_run *run, const tern_serving_way *way,
                        tern_serving_cost *cost, tern_serving_time *times_out);

#endif
