/* The probe of OpenCL devices (opencl.h).  Times are between the start and the end of a kernel as the device's events have them. */
#include "machine/opencl.h"

#include "machine/prober.h"

#ifdef TERN_HAVE_OPENCL
#define CL_TARGET_OPENCL_VERSION 120
#include "machine/opencl_kernels.h"

#include <CL/cl.h>
#include <math.h>
#include <string.h>

enum { MOST_DEVICES = 16, GROUP = 64, GROUPS_A_UNIT = 16, MOST_ARGUMENTS = 5 };

/* The device and what is kept of it between measurements. */
typedef struct tern_device {
    tern_prober p;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    cl_program program, doubles; /* doubles: NULL where the device has no f64 */
    cl_mem block, out;
    size_t block_bytes, items, local_bytes;
    cl_uint units;
    bool in_turn; /* items of a group run one behind the other, as on a processor */
} tern_device;

/* A kernel, what it is given behind `out` and `times`, and over how many work-items it goes. */
typedef struct tern_device_kernel {
    const char *name;
    cl_program program;
    struct {
        size_t bytes;
        const void *value; /* NULL: local memory */
    } arguments[MOST_ARGUMENTS];
    int argument_count;
    size_t global[2], local[2]; /* local[1] 0: of one dimension */
} tern_device_kernel;

static tern_status failed(cl_int code, const char *what)
{
    return tern_fail(TERN_FAILED, "OpenCL: %s failed with code %d", what, code);
}

/* ---- platforms and devices ---------------------------------------------------------------------------------- */

static tern_status list_devices(cl_device_id *devices, int *count)
{
    cl_platform_id platforms[MOST_DEVICES];
    cl_uint found = 0;
    cl_int code = clGetPlatformIDs(MOST_DEVICES, platforms, &found);
    *count = 0;
    for (cl_uint i = 0; code == CL_SUCCESS && i < found && i < MOST_DEVICES; i++) {
        cl_uint more = 0;
        if (*count == MOST_DEVICES) break;
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, (cl_uint)(MOST_DEVICES - *count),
                           devices + *count, &more) == CL_SUCCESS)
            *count += (int)more < MOST_DEVICES - *count ? (int)more : MOST_DEVICES - *count;
    }
    if (*count) return TERN_OK;
    return tern_fail(
        TERN_FAILED,
        "no OpenCL device was found (%u platforms): install the driver of a graphics processor, or "
        "PoCL for this processor (on Debian: pocl-opencl-icd); drivers are named in "
        "/etc/OpenCL/vendors",
        found);
}

static void name_of(cl_device_id device, char name[96])
{
    name[0] = 0;
    char all[256] = "";
    clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof all - 1, all, NULL);
    snprintf(name, 96, "%.90s", all);
    for (char *c = name; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') *c = ' '; /* it goes into a quoted text */
}

static tern_status choose_device(tern_device *d, const char *wanted)
{
    cl_device_id devices[MOST_DEVICES];
    char name[96];
    int count;
    TERN_TRY(list_devices(devices, &count));
    for (int i = 0; i < count; i++) {
        cl_device_type type = 0;
        clGetDeviceInfo(devices[i], CL_DEVICE_TYPE, sizeof type, &type, NULL);
        name_of(devices[i], name);
        if (wanted ? strstr(name, wanted) != NULL : (type & CL_DEVICE_TYPE_CPU) == 0) d->id = devices[i];
        if (d->id) break;
    }
    if (!d->id && !wanted) d->id = devices[0];
    if (d->id) return TERN_OK;
    name_of(devices[0], name);
    return tern_fail(TERN_FAILED,
                     "no OpenCL device has \"%s\" in its name; there are %d, the first is \"%s\"", wanted,
                     count, name);
}

static double number_of(cl_device_id device, cl_device_info what)
{
    cl_ulong wide = 0; /* the device fills 4 or 8 bytes of it, the low ones first */
    clGetDeviceInfo(device, what, sizeof wide, &wide, NULL);
    return (double)wide;
}

static tern_status compile(tern_device *d, const char **texts, int count, cl_program *program)
{
    cl_int code;
    char log[400] = "";
    *program = clCreateProgramWithSource(d->context, (cl_uint)count, texts, NULL, &code);
    if (code != CL_SUCCESS) return failed(code, "clCreateProgramWithSource");
    code = clBuildProgram(*program, 1, &d->id, "", NULL, NULL);
    if (code == CL_SUCCESS) return TERN_OK;
    clGetProgramBuildInfo(*program, d->id, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
    return tern_fail(TERN_FAILED, "OpenCL: the device's compiler refuses the probe's kernels (%d): %.300s",
                     code, log);
}

static tern_status open_device(tern_device *d, const tern_opencl_options *options)
{
    cl_int code;
    tern_probe *o = d->p.out;
    TERN_TRY(choose_device(d, options->device));
    name_of(d->id, o->processor);
    d->units = (cl_uint)number_of(d->id, CL_DEVICE_MAX_COMPUTE_UNITS);
    d->in_turn = ((cl_device_type)number_of(d->id, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU) != 0;
    d->local_bytes = (size_t)number_of(d->id, CL_DEVICE_LOCAL_MEM_SIZE);
    o->processors = o->threads = (int)d->units;
    o->memory = number_of(d->id, CL_DEVICE_GLOBAL_MEM_SIZE);
    o->caches[o->cache_count++] = (tern_cache){"local", (double)d->local_bytes, 1};
    d->context = clCreateContext(NULL, 1, &d->id, NULL, NULL, &code);
    if (code != CL_SUCCESS) return failed(code, "clCreateContext");
    d->queue = clCreateCommandQueue(d->context, d->id, CL_QUEUE_PROFILING_ENABLE, &code);
    if (code != CL_SUCCESS) return failed(code, "clCreateCommandQueue");
    d->items = (size_t)d->units * GROUPS_A_UNIT * GROUP;
    double most = fmin(number_of(d->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE), o->memory / 4);
    d->block_bytes = (size_t)fmin(most, options->quick ? 32 << 20 : 256 << 20);
    d->block = clCreateBuffer(d->context, CL_MEM_READ_WRITE, d->block_bytes, NULL, &code);
    if (code != CL_SUCCESS) return failed(code, "clCreateBuffer");
    d->out = clCreateBuffer(d->context, CL_MEM_READ_WRITE, d->items * 16, NULL, &code);
    if (code != CL_SUCCESS) return failed(code, "clCreateBuffer");
    const char *texts[] = {tern_opencl_kernels, tern_opencl_gemm, tern_opencl_f64};
    TERN_TRY(compile(d, texts, 2, &d->program));
    return number_of(d->id, CL_DEVICE_DOUBLE_FP_CONFIG) > 0 ? compile(d, texts + 2, 1, &d->doubles) : TERN_OK;
}

static void close_device(tern_device *d)
{
    if (d->block) clReleaseMemObject(d->block);
    if (d->out) clReleaseMemObject(d->out);
    if (d->doubles) clReleaseProgram(d->doubles);
    if (d->program) clReleaseProgram(d->program);
    if (d->queue) clReleaseCommandQueue(d->queue);
    if (d->context) clReleaseContext(d->context);
}

/* ---- one measurement ------------------------------------------------------------------------------------------ */

static cl_int set_arguments(const tern_device *d, cl_kernel kernel, const tern_device_kernel *k)
{
    cl_int code = clSetKernelArg(kernel, 0, sizeof d->out, &d->out);
    for (int i = 0; i < k->argument_count && code == CL_SUCCESS; i++)
        code = clSetKernelArg(kernel, (cl_uint)i + 2, k->arguments[i].bytes, k->arguments[i].value);
    return code;
}

static cl_int seconds_of(cl_event event, double *seconds)
{
    cl_ulong start = 0, end = 0;
    cl_int code = clWaitForEvents(1, &event);
    if (code == CL_SUCCESS)
        code = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
    if (code == CL_SUCCESS)
        code = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
    clReleaseEvent(event);
    *seconds = fmax(1e-9 * (double)(end - start), 1e-9);
    return code;
}

/* Seconds of one launch that repeats its work `times` times. */
static cl_int launch(const tern_device *d, cl_kernel kernel, const tern_device_kernel *k, cl_uint times,
                     double *seconds)
{
    cl_event event = NULL;
    cl_int code = clSetKernelArg(kernel, 1, sizeof times, &times);
    if (code == CL_SUCCESS)
        code = clEnqueueNDRangeKernel(d->queue, kernel, k->local[1] ? 2 : 1, NULL, k->global, k->local, 0,
                                      NULL, &event);
    return code == CL_SUCCESS ? seconds_of(event, seconds) : code;
}

/* Seconds a repetition, of runs that are long enough, into values[p->runs]. */
static tern_status time_kernel(tern_device *d, const tern_device_kernel *k, double *values)
{
    enum { MOST_TIMES = 1 << 30 };
    cl_int code;
    cl_uint times = 1;
    double seconds = 0;
    cl_kernel kernel = clCreateKernel(k->program, k->name, &code);
    if (code != CL_SUCCESS) return failed(code, k->name);
    code = set_arguments(d, kernel, k);
    if (code == CL_SUCCESS) code = launch(d, kernel, k, times, &seconds); /* the first one compiles */
    while (code == CL_SUCCESS && times < MOST_TIMES / 8) {
        code = launch(d, kernel, k, times, &seconds);
        if (seconds >= d->p.least_seconds) break;
        times = seconds < d->p.least_seconds / 16
                    ? times * 8
                    : (cl_uint)((double)times * 1.2 * d->p.least_seconds / seconds) + 1;
    }
    tern_status status = TERN_OK;
    for (int i = 0; code == CL_SUCCESS && status == TERN_OK && i < d->p.runs; i++) {
        status = tern_probe_pause(&d->p, k->name);
        code = launch(d, kernel, k, times, &seconds);
        values[i] = seconds / times;
    }
    clReleaseKernel(kernel);
    return code == CL_SUCCESS ? status : failed(code, k->name);
}

/* Keeps units a second of a kernel whose repetition does `units`, or seconds a unit. */
static tern_status keep(tern_device *d, const tern_device_kernel *k, tern_figure f, double units,
                        bool inverse)
{
    double values[TERN_PROBE_RUNS];
    if (!f.name) return tern_no_memory(64, "the probe");
    TERN_TRY(time_kernel(d, k, values));
    for (int i = 0; i < d->p.runs; i++) values[i] = inverse ? values[i] / units : units / values[i];
    return tern_probe_keep(&d->p, f, values, d->p.runs);
}

/* ---- what is measured ------------------------------------------------------------------------------------------- */

static tern_status measure_rates(tern_device *d)
{
    static const struct {
        const char *kernel, *figure;
        int lanes;
    } kinds[] = {{"rate_f32", "f32 mac", 16}, {"rate_i32", "i32 mac", 16}, {"rate_f64", "f64 mac", 8}};
    cl_uint seed = 1;
    float a = 0.5F;
    for (size_t i = 0; i < TERN_COUNT(kinds); i++) {
        cl_program program = kinds[i].lanes == 8 ? d->doubles : d->program;
        if (!program) continue;
        tern_device_kernel k = {kinds[i].kernel, program,   {{sizeof seed, &seed}}, 1,
                                {d->items, 1},   {GROUP, 0}};
        tern_figure f = {.name = kinds[i].figure,
                         .unit = "mac/s",
                         .method = "8 independent chains of vectors a work-item, all work-items",
                         .threads = (int)d->units};
        TERN_TRY(keep(d, &k, f, 8.0 * kinds[i].lanes * (double)d->items, false));
    }
    tern_device_kernel k = {"latency_f32", d->program, {{sizeof a, &a}}, 1, {1, 1}, {1, 0}};
    tern_figure f = {
        .name = "f32 mac latency", .unit = "s", .method = "one chain of one work-item", .threads = 1};
    return keep(d, &k, f, 8, true);
}

/* A product of matrices, and what starting nothing takes. */
static tern_status measure_gemm(tern_device *d)
{
    cl_uint size = d->p.quick ? 256 : 1024;
    size_t matrix = (size_t)size * size * 4;
    cl_int code;
    cl_mem c = NULL, a = clCreateBuffer(d->context, CL_MEM_READ_WRITE, matrix, NULL, &code);
    if (code == CL_SUCCESS) c = clCreateBuffer(d->context, CL_MEM_READ_WRITE, matrix, NULL, &code);
    float zero = 0; /* data that no unit is slow with: what the rate depends on is not here */
    if (code == CL_SUCCESS)
        code = clEnqueueFillBuffer(d->queue, a, &zero, sizeof zero, 0, matrix, 0, NULL, NULL);
    tern_device_kernel k = {
        "gemm", d->program,           {{sizeof a, &a}, {sizeof a, &a}, {sizeof size, &size}},
        3,      {size / 4, size / 4}, {16, 16}};
    tern_figure f = {.name = "f32 gemm",
                     .unit = "mac/s",
                     .method = "product of matrices, 64 x 64 of it a group, operands through local memory",
                     .threads = (int)d->units};
    cl_mem out = d->out;
    tern_status status = code == CL_SUCCESS ? TERN_OK : failed(code, "clCreateBuffer");
    d->out = c; /* what the kernel writes to */
    if (status == TERN_OK) status = keep(d, &k, f, (double)size * size * size, false);
    d->out = out;
    if (a) clReleaseMemObject(a);
    if (c) clReleaseMemObject(c);
    return status;
}

/* A launch from its call until the host knows that it has ended. */
static tern_status measure_launch(tern_device *d)
{
    enum { LAUNCHES = 200 };
    double values[TERN_PROBE_RUNS];
    cl_int code;
    cl_uint times = 0;
    size_t one = 1;
    cl_kernel kernel = clCreateKernel(d->program, "nothing", &code);
    if (code != CL_SUCCESS) return failed(code, "nothing");
    code = clSetKernelArg(kernel, 0, sizeof d->out, &d->out);
    if (code == CL_SUCCESS) code = clSetKernelArg(kernel, 1, sizeof times, &times);
    for (int run = -1; code == CL_SUCCESS && run < d->p.runs; run++) {
        double start = tern_now();
        for (int i = 0; code == CL_SUCCESS && i < LAUNCHES; i++) {
            code = clEnqueueNDRangeKernel(d->queue, kernel, 1, NULL, &one, &one, 0, NULL, NULL);
            if (code == CL_SUCCESS) code = clFinish(d->queue);
        }
        if (run >= 0) values[run] = (tern_now() - start) / LAUNCHES;
    }
    clReleaseKernel(kernel);
    if (code != CL_SUCCESS) return failed(code, "an empty kernel");
    return tern_probe_keep(&d->p,
                           (tern_figure){.name = "launch",
                                         .unit = "s",
                                         .method = "an empty kernel of one work-item, until the host knows",
                                         .threads = 1},
                           values, d->p.runs);
}

/* Lays a random cycle (Sattolo) through the lines of `bytes`, as 32-bit places. */
static tern_status lay_walk(tern_device *d, size_t bytes)
{
    enum { STEP = 16 }; /* words of 64 bytes */
    uint32_t places = (uint32_t)(bytes / 64), *next = tern_take(bytes);
    tern_rng rng = {1, places};
    if (!next) return tern_no_memory(bytes, "the probe");
    for (uint32_t i = 0; i < places; i++) next[i * STEP] = i * STEP;
    for (uint32_t i = places - 1; i > 0; i--) {
        uint32_t *x = &next[i * STEP], *y = &next[tern_rng_below(rng, i, i) * STEP], swap = *x;
        *x = *y;
        *y = swap;
    }
    cl_int code = clEnqueueWriteBuffer(d->queue, d->block, CL_TRUE, 0, bytes, next, 0, NULL, NULL);
    tern_release(next);
    return code == CL_SUCCESS ? TERN_OK : failed(code, "clEnqueueWriteBuffer");
}

static tern_status measure_latencies(tern_device *d)
{
    for (size_t bytes = 4096; bytes <= d->block_bytes; bytes *= 4) {
        double kib = (double)bytes / 1024;
        TERN_TRY(lay_walk(d, bytes));
        tern_device_kernel k = {"walk", d->program, {{sizeof d->block, &d->block}}, 1, {1, 1}, {1, 0}};
        tern_figure f = {.name = tern_probe_name(&d->p, kib < 1024 ? "walk, %.4g KiB" : "walk, %.4g MiB",
                                                 kib < 1024 ? kib : kib / 1024),
                         .unit = "s",
                         .method = "random cycle of one work-item through all lines of 64 bytes",
                         .threads = 1,
                         .level = "global"};
        TERN_TRY(keep(d, &k, f, 1, true));
    }
    cl_uint count = (cl_uint)(fmin((double)d->local_bytes, 16384) / 4);
    tern_device_kernel k = {"walk_local", d->program, {{sizeof count, &count}, {count * 4, NULL}}, 2,
                            {1, 1},       {1, 0}};
    tern_figure f = {.name = "latency",
                     .unit = "s",
                     .method = "cycle of one work-item through local memory",
                     .threads = 1,
                     .level = "local"};
    return keep(d, &k, f, 1, true);
}

static tern_status measure_bandwidths(tern_device *d)
{
    static const char *const kinds[] = {"read", "write", "copy"};
    cl_uint count = (cl_uint)(d->block_bytes / 16 / d->items / 2 * 2), first = d->in_turn ? count : 1,
            step = d->in_turn ? 1 : (cl_uint)d->items;
    for (size_t i = 0; i < TERN_COUNT(kinds); i++) {
        tern_device_kernel k = {.name = kinds[i],
                                .program = d->program,
                                .arguments = {{sizeof d->block, &d->block},
                                              {sizeof first, &first},
                                              {sizeof step, &step},
                                              {sizeof count, &count}},
                                .argument_count = 4,
                                .global = {d->items, 1},
                                .local = {GROUP, 0}};
        tern_figure f = {.name = kinds[i],
                         .unit = "B/s",
                         .method = "all work-items over the largest buffer; of a copy bytes read and written",
                         .threads = (int)d->units,
                         .level = "global"};
        TERN_TRY(keep(d, &k, f, 16.0 * count * (double)d->items, false));
    }
    count = (cl_uint)(fmin((double)d->local_bytes, 16384) / 16);
    tern_device_kernel k = {.name = "read_local",
                            .program = d->program,
                            .arguments = {{sizeof count, &count}, {(size_t)count * 16, NULL}},
                            .argument_count = 2,
                            .global = {d->items, 1},
                            .local = {GROUP, 0}};
    tern_figure f = {.name = "read",
                     .unit = "B/s",
                     .method = "each group over its own local memory",
                     .threads = (int)d->units,
                     .level = "local"};
    return keep(d, &k, f, 16.0 * count * (double)d->items / GROUP, false);
}

/* Between the host's memory and the device's. */
static tern_status measure_transfers(tern_device *d)
{
    double values[2][TERN_PROBE_RUNS];
    size_t bytes = d->block_bytes / 4;
    char *host = tern_take(bytes);
    if (!host) return tern_no_memory(bytes, "the probe");
    cl_int code = CL_SUCCESS;
    for (int run = -1; code == CL_SUCCESS && run < d->p.runs; run++) /* the first brings the pages */
        for (int back = 0; code == CL_SUCCESS && back < 2; back++) {
            double start = tern_now();
            code = back ? clEnqueueReadBuffer(d->queue, d->block, CL_TRUE, 0, bytes, host, 0, NULL, NULL)
                        : clEnqueueWriteBuffer(d->queue, d->block, CL_TRUE, 0, bytes, host, 0, NULL, NULL);
            if (run >= 0) values[back][run] = (double)bytes / (tern_now() - start);
        }
    tern_release(host);
    if (code != CL_SUCCESS) return failed(code, "a transfer");
    tern_figure f = {.name = "from the host", .unit = "B/s", .method = "one large transfer", .threads = 1};
    TERN_TRY(tern_probe_keep(&d->p, f, values[0], d->p.runs));
    f.name = "to the host";
    return tern_probe_keep(&d->p, f, values[1], d->p.runs);
}

tern_status tern_opencl_probe(tern_probe *probe, const tern_opencl_options *options)
{
    static tern_status (*const parts[])(tern_device *) = {measure_rates,      measure_gemm,
                                                          measure_launch,     measure_latencies,
                                                          measure_bandwidths, measure_transfers};
    double start = tern_now();
    *probe = (tern_probe){.foreign_share = -1};
    tern_device d = {.p = {.out = probe,
                           .runs = options->quick ? 3 : TERN_PROBE_RUNS,
                           .least_seconds = options->quick ? 0.004 : 0.02,
                           .quick = options->quick,
                           .parts = TERN_COUNT(parts)}};
    tern_progress_open(&d.p.progress, "probe", options->quiet);
    tern_status status = open_device(&d, options);
    for (size_t i = 0; status == TERN_OK && i < TERN_COUNT(parts); i++) {
        status = parts[i](&d);
        d.p.part++;
    }
    close_device(&d);
    probe->seconds = tern_now() - start;
    tern_progress_close(&d.p.progress, "%d figures in %.1f s", probe->count, probe->seconds);
    return status;
}

#else

tern_status tern_opencl_probe(tern_probe *probe, const tern_opencl_options *options)
{
    (void)options;
    *probe = (tern_probe){0};
    return tern_fail(TERN_FAILED, "this build has no OpenCL: install it (on Debian ocl-icd-opencl-dev, and a "
                                  "driver or pocl-opencl-icd) and build again");
}

#endif
