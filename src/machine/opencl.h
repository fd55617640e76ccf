/* The probe of OpenCL devices: graphics processors, and processors through PoCL. */
#ifndef TERN_MACHINE_OPENCL_H
#define TERN_MACHINE_OPENCL_H

#include "machine/machine.h"

typedef struct tern_opencl_options {
    bool quick;         /* 3 short runs instead of 7 */
    bool quiet;         /* no progress on standard error */
    const char *device; /* a part of the device's name; NULL: the first accelerator, else the first device */
} tern_opencl_options;

/* Measures a device by kernels of its own: latencies of walks by one work-item through global memory of growing size and through
 * local memory, bandwidths of both by all work-items, rates of multiply-accumulates by format, a product of matrices, what a launch
 * takes, and transfers to and from the host.  Times are those of the device's events.  In the probe, `processor` is the device,
 * `processors` its compute units, `memory` its global memory, caches[0] a unit's local memory.  TERN_FAILED: no platform, no such
 * device, or built without OpenCL.  The caller closes the probe, whatever the result. */
tern_status tern_opencl_probe(tern_probe *probe, const tern_opencl_options *options);

/* The machine file of what was measured. */
tern_status tern_opencl_write(const tern_probe *probe, tern_text *yaml);

#endif
