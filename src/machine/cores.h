/* Event cores: a net of spiking neurons on a chip of many cores, each with the synapses and states of its own neurons, which
 * send messages to each other over a mesh and go from time step to time step together. */
#ifndef TERN_CORES_H
#define TERN_CORES_H

#include "machine/machine.h"

/* Neurons of one layer, [channels, height, width] of a sample; a dense layer has height and width 1. */
typedef struct tern_population {
    const char *name;
    int64_t channels, height, width;
    int steps;      /* time steps of a sample */
    int depth;      /* the time step of the chip in which it sees the first of a sample */
    bool fires;     /* else it only adds up: the last layer */
    double spikes;  /* that they fire, of all samples */
    double updates; /* operations on elements, a neuron's update being one, of all samples */
} tern_population;

/* Weights that lead to a population, with what was counted on them. */
typedef struct tern_projection {
    const char *name;
    int to;
    uint64_t from;   /* populations, a bit each; TERN_FROM_INPUT: the input of the net */
    double events;   /* of all samples: weights that are added because of a spike */
    double products; /* of all samples: weights that are multiplied by a number */
    bool once;       /* the input is the same in all steps: it is taken in the first */
    double messages; /* from the input of the net, a sample */
    int64_t fan_in;  /* of a neuron */
    int64_t weights; /* of a channel, where its neurons share them */
    bool dense;      /* each neuron reads everything; else a window of rows */
    int64_t in_channels, in_height, in_width, kernel_height, stride, pad, dilation, groups;
} tern_projection;

#define TERN_POPULATIONS 63
#define TERN_FROM_INPUT  (1ull << 63)

typedef struct tern_event_net {
    tern_population *populations; /* [TERN_POPULATIONS] */
    tern_projection *projections;
    int population_count, projection_count;
    double samples; /* the counts are of so many, and whole numbers */
} tern_event_net;
void tern_event_net_free(tern_event_net *net);

/* A part of a population on one core: some channels, some rows. */
typedef struct tern_core {
    int population;
    int64_t channel, channels, row, rows;
    double memory; /* bytes of synapses and states */
    int tile;      /* the router that it stands at, in the order in which a snake passes them */
} tern_core;

typedef struct tern_core_map {
    const tern_unit *unit;
    tern_core *cores;
    int count;
    int first[TERN_POPULATIONS + 1]; /* core of each population; behind the last: count */
    int tiles, columns;              /* of the mesh */
} tern_core_map;

/* The unit of a machine whose cores have memories of their own, or NULL.  The number format in which it does an operation (i8
 * before others; TERN_DTYPES: it can't), and the seconds that one core takes for one. */
const tern_unit *tern_event_unit(const tern_machine *machine);
tern_dtype tern_core_format(const tern_unit *unit, tern_operation operation);
double tern_core_seconds(const tern_unit *unit, tern_operation operation);

/* As few cores as have room for the synapses and states; with `spread` free ones go, one by one, to the population whose cores
 * have most to do, as long as that helps.  TERN_NO_FIT says what does not fit. */
tern_status tern_cores_map(const tern_machine *machine, const tern_event_net *net, bool spread,
                           tern_core_map *map);
void tern_core_map_free(tern_core_map *map);

typedef enum tern_core_bound { TERN_BOUND_SYNAPSES, TERN_BOUND_NEURONS, TERN_BOUND_MESSAGES } tern_core_bound;
extern const char *const tern_core_bounds[];

/* A core at work in one time step, of a sample on average. */
typedef struct tern_core_moment {
    int core, step;
    double start, seconds;
    double part[3]; /* seconds of synapses, neurons and messages, of which the longest counts */
    double events, products, updates;
} tern_core_moment;

/* What a population does, a sample. */
typedef struct tern_population_run {
    double events, products, updates, spikes, messages, hops;
    double slowest
        [3]; /* of the step in which one of its cores takes longest: seconds of each part on that core */
    double longest; /* of those: seconds */
    double joules;
} tern_population_run;

typedef struct tern_core_run {
    int steps; /* of the chip for a sample: those of the net, and one more a layer behind the first */
    double seconds, longest, mean;          /* of a sample; of its longest time step and of the mean one */
    double rate;                            /* samples a second, one behind the other without a gap */
    double events, products, updates, hops; /* a sample */
    double joules, synapse_joules, neuron_joules, hop_joules, standing_joules;
    const char *bound; /* what bounds the steps that take the most time */
    tern_population_run population[TERN_POPULATIONS];
    tern_core_moment *moments; /* [moment_count], in the order in which they end */
    size_t moment_count, moment_room;
} tern_core_run;

/* Time step by time step: a step ends when the slowest core has ended, and with it the barrier or the tick of the chip. */
tern_status tern_cores_run(const tern_machine *machine, const tern_event_net *net, const tern_core_map *map,
                           tern_core_run *run);
void tern_core_run_free(tern_core_run *run);

#endif
