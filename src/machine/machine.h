/* machine: what a computer can do and what it costs, read from a file in machines/ in which every figure has a unit and
 * a source; and what a program costs on it. */
#ifndef TERN_MACHINE_H
#define TERN_MACHINE_H

#include "tensor/tensor.h"

#define TERN_MACHINE_PARTS 8

typedef enum tern_unit_kind {
    TERN_UNIT_SIMD,
    TERN_UNIT_MATRIX,
    TERN_UNIT_SYSTOLIC,
    TERN_UNIT_CROSSBAR, /* multiplies in the memory cells, analogue */
    TERN_UNIT_EVENT,    /* works where spikes arrive */
    TERN_UNIT_PIM,      /* digital arithmetic in the banks of a memory */
    TERN_UNIT_KINDS
} tern_unit_kind;

/* Which operand of a product stays in the cells of a systolic array while the others stream through. */
typedef enum tern_dataflow {
    TERN_WEIGHT_STATIONARY,
    TERN_OUTPUT_STATIONARY,
    TERN_INPUT_STATIONARY,
    TERN_ROW_STATIONARY, /* a row of the filter and one of the image meet in each cell (Eyeriss) */
    TERN_BROADCAST, /* nothing stays: columns are output channels that see the same window, a row a unit (PulseDL) */
    TERN_DATAFLOWS
} tern_dataflow;
extern const char *const tern_dataflow_names[TERN_DATAFLOWS];

/* Kinds of operation, as tern_work counts them. */
typedef enum tern_operation {
    TERN_MAC,     /* multiply-accumulate */
    TERN_ADD,     /* accumulate: a weight is added because of a spike */
    TERN_ELEMENT, /* operation on single elements; the update of a neuron is one */
    TERN_SPECIAL, /* exponential, root, division */
    TERN_OPERATIONS
} tern_operation;

/* Something that computes. */
typedef struct tern_unit {
    const char *name, *source;
    tern_unit_kind kind;
    bool recalled;                               /* the source was remembered, not looked up */
    double clock;                                /* Hz; 0: not given */
    double count;                                /* units of this sort; rates are those of all of them */
    double rate[TERN_OPERATIONS][TERN_DTYPES];   /* operations per second; 0: can't do it in this format */
    double energy[TERN_OPERATIONS][TERN_DTYPES]; /* J each */
    double efficiency;                           /* share of the rate that is sustained */
    double rows, columns;                        /* cells of a systolic array; 0: not given */
    tern_dataflow dataflow;
    double
        cell_access; /* J an element that a cell of an array reads from its registers or writes there; 0: in `energy` */
    double
        hop; /* J an element that a cell hands on to its neighbour, or a message between two routers; 0: in `energy` */
    /* of event cores (machine/cores.h); 0: not given, or no limit */
    double core_memory;   /* bytes of synapses and states on one core */
    double core_neurons;  /* neurons on one core */
    double core_axons;    /* different inputs of one core */
    double neuron_memory; /* bytes of state of a neuron */
    bool
        shared_weights; /* neurons of a channel on a core share its weights, else each has synapses of its own */
    double tile, mesh; /* cores at a router; routers in a row */
    double message;    /* s that a router takes for a message */
    double hop_time;   /* s from router to router */
    double barrier,
        tick; /* s that all cores take to agree that a time step is over; s that one takes at least */
} tern_unit;

/* A memory, near ones first. */
typedef struct tern_tier {
    const char *name, *source;
    double size;        /* bytes */
    double bandwidth;   /* bytes per second */
    double latency;     /* seconds */
    double read, write; /* J per byte */
    double leakage;     /* W */
    double efficiency;  /* share of the bandwidth that is sustained */
    bool persistent;    /* holds weights only, and keeps them without power */
    bool recalled;
} tern_tier;

/* A way to machines of its kind, or to the host's memory. */
typedef struct tern_link {
    const char *name, *source;
    double bandwidth;  /* bytes per second, one way */
    double latency;    /* seconds */
    double start;      /* seconds that an exchange among several takes before its first byte moves */
    double efficiency; /* share of the bandwidth that is sustained */
    double energy;     /* J per byte */
    bool host;         /* leads to the host's memory */
    bool recalled;
} tern_link;

/* A part that warms: bodies stand from the chip outwards (machine/heat.h). */
typedef struct tern_body {
    const char *name, *source;
    double capacity;   /* J/K */
    double resistance; /* K/W, to the next body, of the last one to the air */
    bool recalled;
} tern_body;

/* One figure that was measured here, for people and for comparisons: the models read what stands elsewhere in the file. */
typedef struct tern_measured {
    const char *name, *source; /* source: the method */
    const char *unit;
    double median, lower, upper; /* and quartiles, in `unit` */
    double threads, runs;
} tern_measured;

/* What one of Tern's kernels took here at one size (kernels.c): seconds of one call on all threads, its operands in caches, as
 * far as they fit, or copies that go round in more than the near caches (see tern_machine.near). */
typedef struct tern_kernel_point {
    const char *name, *source;
    const char *kernel;          /* the class: tern_kernel_class */
    double m, n, k, count;       /* of a product, else 0 */
    double density;              /* share of the products that spikes ask for; 1 without spikes */
    double bytes, written;       /* moved, and of these written */
    double operations;           /* work on single elements */
    double spread;               /* see tern_task_work */
    double median, lower, upper; /* s, and quartiles */
    double far, far_lower,
        far_upper; /* s of calls whose operands near caches have lost, and quartiles; 0: not known */
} tern_kernel_point;

typedef struct tern_machine {
    const char *name, *about, *source;
    tern_unit units[TERN_MACHINE_PARTS];
    int unit_count;
    tern_tier tiers[TERN_MACHINE_PARTS];
    int tier_count;
    tern_link links[TERN_MACHINE_PARTS];
    int link_count;
    tern_body bodies[TERN_MACHINE_PARTS];
    int body_count;
    tern_measured *measured; /* [measured_count], of a file that tern probe wrote */
    int measured_count;
    tern_kernel_point *kernels;
    int kernel_count;
    double air, trip;   /* degrees Celsius around it, and of the first body when the clock is to fall */
    double hysteresis;  /* K below the trip from which it rises again */
    double clock_step;  /* by which it falls and rises, share of the full one */
    double least_clock; /* share of the full one */
    double idle;        /* W while it works, on top of the operations */
    double launch;      /* s that starting an operator takes */
    double meeting;     /* s until all cores of a unit have met */
    double near; /* bytes of the caches out of which the operands of "far" kernels had been moved; 0: none */
    double threads;       /* that ran the kernels, each with `near` bytes of its own; 0: one */
    double power;         /* W at full load, all told; 0: not given */
    bool recalled;        /* the machine's own figures: idle, launch */
    const char *warnings; /* lines about figures without a source; "" */
    uint64_t hash;        /* of the file's text and that of the files it inherits from */
    tern_arena arena;
} tern_machine;

/* A name (searched in TERN_MACHINES, ./machines, the installed folder; "here" also in the user's data folder) or a path. */
tern_status tern_machine_open(tern_machine **machine, const char *name);
tern_status tern_machine_parse(tern_machine **machine, const char *text, size_t count, const char *path);
void tern_machine_close(tern_machine *machine);
/* Path of the file of a machine (name or path); `beside`, or NULL, is a file in whose folder is looked first. */
tern_status tern_machine_find(char path[4096], const char *name, const char *beside);
/* Names of all machines that are found, one a line. */
tern_status tern_machine_names(tern_text *names);
void tern_machine_print(const tern_machine *machine, FILE *out);
/* Where `here` is kept: $XDG_DATA_HOME/tern/here.yaml or ~/.local/share/tern/here.yaml. */
tern_status tern_machine_here_path(char out[4096]);

/* "864 MB/s" to 864e6: a number above 0 that carries a unit of the class. */
typedef enum tern_quantity {
    TERN_IN_BYTES,
    TERN_IN_BYTES_PER_SECOND,
    TERN_IN_HERTZ,
    TERN_IN_SECONDS,
    TERN_IN_JOULES,
    TERN_IN_JOULES_PER_BYTE,
    TERN_IN_WATTS,
    TERN_IN_KELVIN_PER_WATT,
    TERN_IN_JOULES_PER_KELVIN,
    TERN_IN_KELVIN,
    TERN_IN_CELSIUS,
    TERN_IN_MACS, /* per second, or per cycle: then *per_cycle becomes true.  Two FLOP or OP are one MAC. */
    TERN_IN_ADDS,
    TERN_IN_OPERATIONS,
} tern_quantity;
tern_status tern_parse_quantity(const char *text, tern_quantity quantity, double *value, bool *per_cycle);

/* A figure of a machine, by its path: unit.NAME.KEY, memory.NAME.KEY, link.NAME.KEY or a key of the machine, as the file has
 * them; memory.main is the one with the most room.  Rates and energies may end with a number format; without one they are
 * all of the unit's, and keep their proportions when the largest is set.  Rates are per second, of all units of a sort. */
typedef struct tern_machine_field {
    double *values; /* in the machine */
    int count;
    tern_quantity quantity;
    bool plain; /* a number without a unit */
} tern_machine_field;
tern_status tern_machine_find_field(tern_machine *machine, const char *path, tern_machine_field *field);
void tern_machine_set_field(const tern_machine_field *field, double value);
/* The memory with the most room that is not persistent; NULL: there is none. */
const tern_tier *tern_machine_main(const tern_machine *machine);
/* The first unit that is a systolic array; NULL: there is none. */
const tern_unit *tern_machine_array(const tern_machine *machine);

/* ---- cost ------------------------------------------------------------------------------------------------------ */

/* By how many bytes of other tensors were touched since, bytes that are touched again: bucket 0 has those of less than 4 KiB ago,
 * each further two those of up to twice as many, the last all that are older. */
enum { TERN_AGES = 40, TERN_YOUNGEST = 4096 };

/* One operator's work: what it computes in which format, and the bytes that it moves. */
typedef struct tern_task_work {
    const char *label;
    tern_work work;
    tern_dtype dtype;
    bool on_spikes;
    double weight_bytes, state_bytes, read_bytes, written_bytes;
    tern_product_shape product; /* count 0: none */
    const char *operator_name;  /* NULL: only its work is known */
    tern_dtype weights;         /* format in which its weights lie in memory */
    bool bits;                  /* an operand is spikes as bits: kernels for those run */
    bool defined;  /* the definition runs, though the operator has kernels: none is for these arguments */
    double spread; /* elements of the largest operand for each of the smallest that has more than one */
    double aged[TERN_AGES]; /* bytes by their age; all 0: not known, near */
    double
        handed; /* of them what a task before wrote whose work threads share: each has only its part of that in its own
                    * caches */
} tern_task_work;

typedef struct tern_cost_query {
    const tern_task_work *tasks;
    int count;
    double weights, state, arena, inputs; /* bytes that must be held */
    const char *const *parts;             /* what arena, state and inputs are called; NULL: just so */
} tern_cost_query;

typedef struct tern_task_cost {
    double seconds, compute_seconds, memory_seconds, joules;
    const char *bound; /* "compute", "launch", or the memory that limits */
} tern_task_cost;

typedef struct tern_cost {
    bool fits;
    char reason[256]; /* why it does not fit or can't run, or in which format it runs, or "" */
    double seconds, joules, compute_joules, memory_joules;
    double idle_joules; /* idle power and leakage over the time */
    double peak_bytes;
    double paper_joules; /* 4.6 pJ a MAC + 0.9 pJ an accumulate, memory ignored */
    const char *bound;   /* what bounds the operators that take most of the time */
    const char *weights_in, *activations_in;
} tern_cost;

/* Cost of one run of a program; tasks_out[query->count] may be NULL.  The formulas are in docs/machines.md. */
void tern_machine_cost(const tern_machine *machine, const tern_cost_query *query, tern_cost *cost,
                       tern_task_cost *tasks_out);

/* ---- kernels, as measured ---------------------------------------------------------------------------------------- */

/* The class of kernels that a task belongs to, as machine files name it: the operator, of convolutions their kind ("conv2d 3x3"),
 * then the format of packed weights, "spikes" where an operand is spikes, and "defined" where no kernel is for its arguments.
 * "": the operator is not known. */
void tern_kernel_class(const tern_task_work *task, char class[64]);

/* Rows of a product as its kernel computes them: of convolutions by tiles those of whole tiles. */
double tern_kernel_rows(const tern_task_work *task);

/* Seconds that a call takes where the machine has points of its class; false: it has none.  A regression over the
 * points of the class that are like it, between calls with near operands and calls with far ones by the share of its bytes
 * that caches have lost (docs/machines.md). */
bool tern_kernel_seconds(const tern_machine *machine, const tern_task_work *task, double *seconds);

/* ---- simulation: cycles of systolic arrays ------------------------------------------------------------------------ */

/* A product on an array of rows x columns cells, operands at hand.  cycles as SCALE-Sim counts them (Samajdar et al.,
 * ISPASS 2020) for the weight-, output- and input-stationary dataflows; row-stationary by the mapping of Eyeriss (Chen et
 * al., ISCA 2016) as in DRACO (arXiv 2006.15103).  A fold is one filling of the array. */
typedef struct tern_array_time {
    double cycles, folds;
    double utilisation; /* multiply-accumulates over cycles * cells */
    double
        occupancy; /* share of the cells that the mapping gives something to do, fill and drain left aside */
    double operands; /* elements that cells take from the scratchpad */
    double results;  /* elements, partial sums among them, that they give back or take again */
    double accesses; /* elements that cells read from and write to their own registers */
    double hops;     /* elements that they hand on to neighbours */
    double input_passes, weight_passes, result_passes; /* how often each operand moves through */
    double
        map; /* elements of the sums of one output, where outputs can be finished block by block; 0: they can't */
} tern_array_time;
/* Cycles of a layer on processing elements (columns) of `units` (rows) that see one window, from its start to its end: as the
 * emitted logic takes them (broadcast.c).  A layer's registers are written before, two cycles a write. */
double tern_broadcast_product(double units, double elements, double positions, double outputs, double window,
                              double passes);            /* 2: activations of 16 bits, by halves */
double tern_broadcast_sum(double elements, double size); /* of two maps */
enum { TERN_BROADCAST_WRITES = 23, TERN_BROADCAST_SUM_WRITES = 16 };
tern_array_time tern_broadcast_array(double rows, double columns, const tern_product_shape *product);
tern_array_time tern_array_product(double rows, double columns, tern_dataflow dataflow,
                                   const tern_product_shape *product);

/* One operator on the machine. */
typedef struct tern_task_simulation {
    const char *unit;     /* that runs it */
    double start, cycles; /* seconds from the beginning; cycles of the unit's clock */
    double stall_cycles;  /* that it waits for operands from a far memory; part of cycles */
    double utilisation;   /* of the array; 0 elsewhere */
    double occupancy;     /* cells of the array in use; 0 elsewhere */
    double macs;          /* that the array does; 0 elsewhere */
    double seconds, joules;
    double far_bytes, near_bytes; /* moved to and from far memory; to and from the scratchpad */
} tern_task_simulation;

typedef struct tern_simulation {
    double seconds, joules, cycles, stall_cycles, far_bytes, near_bytes;
    double macs;         /* of all products */
    double array_cycles; /* of all products, operands at hand */
    double utilisation;  /* of the array over those cycles */
    double
        mean_utilisation; /* the mean of its products' utilisations: small ones weigh as much as large ones */
    char reason[256];     /* why it can't run (status TERN_NO_FIT), or in which format it runs */
} tern_simulation;

/* Walk the tasks of a program, one behind the other, through a machine with a systolic array; what is no product runs on
 * its other units.  While a fold computes from one half of the nearest memory, the next one's operands arrive in the other
 * half; docs/machines.md has the formulas.  tasks_out[query->count].  TERN_USAGE when the machine has no array, TERN_NO_FIT
 * when its memories or units can't. */
tern_status tern_machine_simulate(const tern_machine *machine, const tern_cost_query *query,
                                  tern_simulation *simulation, tern_task_simulation *tasks_out);

/* ---- probe: what this computer can do, measured ------------------------------------------------------------------ */

#define TERN_PROBE_FIGURES 512

/* One thing that was measured: several runs, in the order of size. */
typedef struct tern_figure {
    const char *name, *unit, *method;
    char level[8]; /* of memories: L1, L2, L3, DRAM; else "" */
    int threads, runs;
    double median, lower, upper; /* and quartiles */
} tern_figure;

typedef struct tern_cache {
    char name[8];
    double bytes;
    int sharers; /* processors that share one */
} tern_cache;

typedef enum tern_probe_part {
    TERN_PROBE_RATES = 1,
    TERN_PROBE_CACHES = 2,
    TERN_PROBE_MEMORY = 4,
    TERN_PROBE_DISK = 8,
    TERN_PROBE_LINKS = 16,
    TERN_PROBE_KERNELS = 32,
    TERN_PROBE_ALL = 63
} tern_probe_part;

typedef struct tern_probe {
    char processor[96];
    int processors, threads;
    unsigned parts; /* that were measured: tern_probe_part */
    double memory;  /* bytes of main memory */
    tern_cache caches[4];
    int cache_count;
    tern_figure figures[TERN_PROBE_FIGURES];
    int count;
    tern_kernel_point *kernels; /* [kernel_count] */
    int kernel_count;
    double near;          /* see tern_machine */
    const char *mpi;      /* the library whose messages were measured; NULL: none */
    int rank;             /* of this process, with MPI: only rank 0 measures the rest and has figures */
    double seconds;       /* that the probe took */
    double foreign_share; /* of the processors' time that other programs used meanwhile; < 0: unknown */
    tern_arena arena;     /* names */
} tern_probe;

typedef struct tern_probe_options {
    bool quick;         /* 3 short runs instead of 7 */
    bool quiet;         /* no progress on standard error */
    unsigned parts;     /* 0: all */
    bool mpi;           /* messages to a second rank of MPI as well: both processes run the probe */
    int thin;           /* of the kernels only each thin-th, where this is above 1 */
    const char *folder; /* on the disk that is measured; NULL: the current one */
} tern_probe_options;

/* Measures; takes some seconds, with kernels half a minute.  TERN_INTERRUPTED when the user stops it.  The caller closes the probe,
 * whatever the result. */
tern_status tern_probe_run(tern_probe *probe, tern_pool *pool, const tern_probe_options *options);
void tern_probe_close(tern_probe *probe);

/* The first figure of that name, level (or NULL) and number of threads (0: any); NULL: not measured. */
const tern_figure *tern_probe_find(const tern_probe *probe, const char *name, const char *level, int threads);

/* The machine file of what was measured, with each figure's method, median and quartiles.  Rates and bandwidths must have been
 * measured, TERN_USAGE. */
tern_status tern_probe_write(const tern_probe *probe, tern_text *yaml);

/* How far two machine files of tern probe agree, figure by figure. */
typedef struct tern_agreement {
    const char *name, *unit;
    double first, second; /* medians */
} tern_agreement;

/* Figures and kernels that both have, least agreement first; *within of them differ by no more than the share `by` of the smaller.
 * rows[a->measured_count + 2 * a->kernel_count] is filled. */
int tern_probe_compare(const tern_machine *a, const tern_machine *b, double by, tern_agreement *rows,
                       int *within);

#endif
