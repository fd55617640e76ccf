/* The probe's link between ranks of MPI on this computer: messages there and back, and sums over all ranks, of growing size.
 *
 * The library of Open MPI is opened only when it is asked for: linked to the program, it and a dozen more would be loaded
 * whenever anything of Tern starts.  A message of n bytes is taken to need a + b n seconds: a, the latency, and b, a byte at full
 * bandwidth, by least squares of relative errors over all sizes (Hockney's model, as in Thakur et al., "Optimization of
 * Collective Communication Operations in MPICH", 2005). */
#define _DEFAULT_SOURCE
#include "machine/prober.h"

void tern_probe_line(const double *x, const double *y, int count, double *a, double *b)
{
    double w = 0, wx = 0, wxx = 0, wy = 0, wxy = 0;
    for (int i = 0; i < count; i++) {
        double weight = 1 / (y[i] * y[i]);
        w += weight, wx += weight * x[i], wxx += weight * x[i] * x[i];
        wy += weight * y[i], wxy += weight * x[i] * y[i];
    }
    *b = (w * wxy - wx * wy) / (w * wxx - wx * wx);
    *a = (wy - *b * wx) / w;
}

#ifdef TERN_HAVE_MPI
#define OMPI_SKIP_MPICXX 1
#include <dlfcn.h>
#include <math.h>
#include <mpi.h>
#include <string.h>

enum { RANKS = 2, SIZES = 7, LEAST = 8, GROWTH = 8, MOST = 8 << 18 }; /* 8 B to 2 MiB */

/* What is used of the library. */
typedef struct tern_mpi {
    int (*init)(int *, char ***);
    int (*finalize)(void);
    int (*rank)(MPI_Comm, int *);
    int (*size)(MPI_Comm, int *);
    int (*send)(const void *, int, MPI_Datatype, int, int, MPI_Comm);
    int (*receive)(void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Status *);
    int (*broadcast)(void *, int, MPI_Datatype, int, MPI_Comm);
    int (*all_reduce)(const void *, void *, int, MPI_Datatype, MPI_Op, MPI_Comm);
    int (*version)(char *, int *);
    MPI_Comm world;
    MPI_Datatype byte, f32;
    MPI_Op sum;
    int here;        /* the rank of this process */
    float *in, *out; /* [MOST / 4] */
} tern_mpi;

/* Opens the library; functions and data are both taken as addresses, which ISO C keeps apart. */
static tern_status load(tern_mpi *m)
{
    void *library = dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL);
    const struct {
        const char *name;
        void *to;
    } symbols[] = {{"MPI_Init", &m->init},
                   {"MPI_Finalize", &m->finalize},
                   {"MPI_Comm_rank", &m->rank},
                   {"MPI_Comm_size", &m->size},
                   {"MPI_Send", &m->send},
                   {"MPI_Recv", &m->receive},
                   {"MPI_Bcast", &m->broadcast},
                   {"MPI_Allreduce", &m->all_reduce},
                   {"MPI_Get_library_version", &m->version},
                   {"ompi_mpi_comm_world", &m->world},
                   {"ompi_mpi_byte", &m->byte},
                   {"ompi_mpi_float", &m->f32},
                   {"ompi_mpi_op_sum", &m->sum}};
    if (!library)
        return tern_fail(TERN_FAILED, "probe --mpi: cannot open Open MPI (libopenmpi3): %s", dlerror());
    for (size_t i = 0; i < TERN_COUNT(symbols); i++) {
        void *address = dlsym(library, symbols[i].name);
        if (!address)
            return tern_fail(TERN_FAILED, "probe --mpi: libmpi.so.40 is not Open MPI: it has no %s",
                             symbols[i].name);
        memcpy(symbols[i].to, &address, sizeof address);
    }
    return TERN_OK; /* the library stays open: it cannot be started twice in one process */
}

/* So many messages of these bytes there and back; or sums over the ranks. */
static void exchange(const tern_mpi *m, bool sums, int bytes, int rounds)
{
    for (int i = 0; i < rounds; i++)
        if (sums) {
            m->all_reduce(m->in, m->out, bytes / (int)sizeof *m->in, m->f32, m->sum, m->world);
        } else if (m->here == 0) {
            m->send(m->in, bytes, m->byte, 1, 0, m->world);
            m->receive(m->out, bytes, m->byte, 1, 0, m->world, MPI_STATUS_IGNORE);
        } else {
            m->receive(m->out, bytes, m->byte, 0, 0, m->world, MPI_STATUS_IGNORE);
            m->send(m->out, bytes, m->byte, 0, 0, m->world);
        }
}

/* Seconds that one message, or one sum, takes as rank 0 sees it; others have 0. */
static double time_exchange(const tern_mpi *m, bool sums, int bytes, int rounds)
{
    double start = tern_now();
    exchange(m, sums, bytes, rounds);
    return m->here == 0 ? (tern_now() - start) / rounds / (sums ? 1 : 2) : 0;
}

/* How often, so that it takes the prober's time: rank 0 says it to the other. */
static int find_rounds(const tern_mpi *m, const tern_prober *p, bool sums, int bytes)
{
    enum { FIRST = 20 };
    time_exchange(m, sums, bytes, FIRST);
    double seconds = time_exchange(m, sums, bytes, FIRST);
    int rounds = (int)fmin(fmax(p->least_seconds / fmax(seconds, 1e-9), FIRST), 1e6);
    m->broadcast(&rounds, sizeof rounds, m->byte, 0, m->world);
    return rounds;
}

static tern_figure link_figure(const char *name, const char *unit, const char *method)
{
    return (tern_figure){.name = name, .unit = unit, .method = method, .threads = RANKS};
}

/* Times of all sizes: seconds[size][run], of which rank 0 keeps figures. */
static tern_status measure_sizes(tern_prober *p, const tern_mpi *m, bool sums, const double *bytes,
                                 double seconds[SIZES][TERN_PROBE_RUNS])
{
    for (int i = 0; i < SIZES; i++) {
        double sorted[TERN_PROBE_RUNS] = {0};
        int rounds = find_rounds(m, p, sums, (int)bytes[i]);
        for (int run = 0; run < p->runs; run++)
            sorted[run] = seconds[i][run] = time_exchange(m, sums, (int)bytes[i], rounds);
        if (m->here != 0) continue;
        tern_figure f =
            link_figure(tern_probe_name(p, "MPI %s, %.0f B", sums ? "allreduce" : "message", bytes[i]), "s",
                        sums ? "a sum of f32 over two ranks"
                             : "half a round of a message there and back between two ranks");
        if (!f.name) return tern_no_memory(64, "the probe");
        TERN_TRY(tern_probe_keep(p, f, sorted, p->runs));
    }
    return TERN_OK;
}

/* The line of each run: latency and bandwidth; and how much later than two messages a sum begins, as cost models have it. */
static tern_status keep_lines(tern_prober *p, const double *bytes, double messages[SIZES][TERN_PROBE_RUNS],
                              double sums[SIZES][TERN_PROBE_RUNS])
{
    double latency[TERN_PROBE_RUNS], bandwidth[TERN_PROBE_RUNS], start[TERN_PROBE_RUNS];
    for (int run = 0; run < p->runs; run++) {
        double one[SIZES], all[SIZES], a, b, c, d;
        for (int i = 0; i < SIZES; i++) one[i] = messages[i][run], all[i] = sums[i][run];
        tern_probe_line(bytes, one, SIZES, &a, &b);
        tern_probe_line(bytes, all, SIZES, &c, &d);
        latency[run] = fmax(a, 1e-9);
        bandwidth[run] = 1 / fmax(b, 1e-15);
        start[run] = fmax(c - 2 * a, 0);
    }
    const char *method = "least squares of relative errors over messages of 8 B to 2 MiB between two ranks";
    TERN_TRY(tern_probe_keep(p, link_figure("MPI latency", "s", method), latency, p->runs));
    TERN_TRY(tern_probe_keep(p, link_figure("MPI bandwidth", "B/s", method), bandwidth, p->runs));
    return tern_probe_keep(p,
                           link_figure("MPI allreduce start", "s",
                                       "what sums of 8 B to 2 MiB need beyond two latencies, by the same"),
                           start, p->runs);
}

static tern_status measure(tern_prober *p, tern_mpi *m)
{
    double bytes[SIZES], messages[SIZES][TERN_PROBE_RUNS], sums[SIZES][TERN_PROBE_RUNS];
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0, ranks = 0;
    m->rank(m->world, &m->here);
    m->size(m->world, &ranks);
    p->out->rank = m->here;
    if (ranks != RANKS)
        return tern_fail(TERN_USAGE, "probe --mpi: expected 2 ranks, found %d: mpirun -n 2 tern probe --mpi",
                         ranks);
    m->version(version, &length);
    version[strcspn(version, ",\n\"")] = 0;
    p->out->mpi = tern_probe_name(p, "%.60s", version);
    m->in = tern_take(MOST);
    m->out = tern_take(MOST);
    if (!p->out->mpi || !m->in || !m->out) return tern_no_memory(2 * (size_t)MOST, "the probe");
    for (int i = 0; i < SIZES; i++) bytes[i] = i ? bytes[i - 1] * GROWTH : LEAST;
    TERN_TRY(measure_sizes(p, m, false, bytes, messages));
    TERN_TRY(measure_sizes(p, m, true, bytes, sums));
    return m->here == 0 ? keep_lines(p, bytes, messages, sums) : TERN_OK;
}

tern_status tern_probe_mpi(tern_prober *p)
{
    tern_mpi m = {0};
    TERN_TRY(load(&m));
    if (m.init(NULL, NULL) != MPI_SUCCESS) return tern_fail(TERN_FAILED, "probe --mpi: MPI does not start");
    tern_status status = measure(p, &m);
    tern_release(m.in);
    tern_release(m.out);
    m.finalize();
    return status;
}

#else

tern_status tern_probe_mpi(tern_prober *p)
{
    (void)p;
    return tern_fail(TERN_FAILED,
                     "probe --mpi: this build has no MPI: it was made without Open MPI (libopenmpi-dev)");
}

#endif
