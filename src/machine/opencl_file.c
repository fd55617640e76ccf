/* An OpenCL device that was measured, as a machine file. */
#include "machine/opencl.h"

#include "machine/prober.h"

#include <math.h>
#include <string.h>

static double median_of(const tern_probe *o, const char *name, const char *level)
{
    const tern_figure *f = tern_probe_find(o, name, level, 0);
    return f ? f->median : 0;
}

/* A random walk through the largest block. */
static double global_latency(const tern_probe *o)
{
    double latency = 0;
    for (int i = 0; i < o->count; i++)
        if (strcmp(o->figures[i].level, "global") == 0 && strncmp(o->figures[i].name, "walk", 4) == 0)
            latency = o->figures[i].median;
    return latency;
}

tern_status tern_opencl_write(const tern_probe *o, tern_text *yaml)
{
    double peak = median_of(o, "f32 mac", NULL), gemm = median_of(o, "f32 gemm", NULL);
    tern_text_format(yaml,
                     "# An OpenCL device, measured by tern probe --opencl in %.1f s.\n"
                     "# Energies are left out: OpenCL does not tell them.\n"
                     "name: opencl\nabout: \"%s, %d compute units\"\nsource: \"tern probe --opencl\"\n"
                     "launch: %.4g s   # an empty kernel, until the host knows\nunits:\n",
                     o->seconds, o->processor, o->processors, median_of(o, "launch", NULL));
    tern_text_format(
        yaml,
        "  - name: cores\n    kind: simd\n    mac: {f32: %.6g mac/s}\n    efficiency: %.4f   # of a "
        "product of matrices by a plain kernel\n    source: \"tern probe --opencl: peak in "
        "registers\"\n",
        peak, fmin(1, gemm / peak));
    tern_text_format(
        yaml,
        "memories:\n  - {name: local, size: %.0f B, bandwidth: %.6g B/s, latency: %.4g s, source: "
        "\"tern probe --opencl: of one unit; read by all\"}\n",
        o->caches[0].bytes, median_of(o, "read", "local"), median_of(o, "latency", "local"));
    tern_text_format(yaml,
                     "  - {name: global, size: %.0f B, bandwidth: %.6g B/s, latency: %.4g s, source: \"tern "
                     "probe --opencl: read by all units\"}\n",
                     o->memory, median_of(o, "read", "global"), global_latency(o));
    tern_text_format(
        yaml,
        "links:\n  - {name: host, bandwidth: %.6g B/s, host: true, source: \"tern probe --opencl: "
        "one large transfer\"}\n",
        median_of(o, "from the host", NULL));
    tern_probe_put_measured(o, yaml);
    return tern_text_status(yaml);
}
