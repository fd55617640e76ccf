/* The event camera model (after ESIM; Rebecq et al., CoRL 2018), sampled: at most one event a pixel and look. */
#include "spike/events.h"

#include <math.h>

/* Streams of random numbers. */
enum { THRESHOLDS, NOISE };

struct tern_camera {
    tern_camera_options options;
    int pixels;
    float *seen, *level; /* intensity at the last look and its logarithm */
    float *memory;       /* log intensity */
    float *threshold;
    uint32_t *quiet_till; /* a pixel may fire from this time on */
    double next_noise;    /* time of the next false event, microseconds */
    uint64_t drawn;       /* random numbers used up by noise */
    bool looked;
};

static tern_rng stream(const tern_camera *c, uint64_t which)
{
    tern_rng rng = c->options.rng;
    rng.stream += tern_hash("event camera", 12) + which;
    return rng;
}

/* Gaps between false events of the whole camera are exponential. */
static void plan_noise(tern_camera *c)
{
    double rate = c->options.noise * c->pixels * 1e-6;
    double uniform = 1 - tern_rng_uniform(stream(c, NOISE), c->drawn++);
    c->next_noise = rate > 0 ? c->next_noise - log(uniform) / rate : INFINITY;
}

tern_status tern_camera_open(tern_camera **camera, const tern_camera_options *options)
{
    tern_camera *c = tern_take(sizeof *c);
    if (!c) return tern_no_memory(sizeof *c, "an event camera");
    c->options = *options;
    c->pixels = options->width * options->height;
    size_t count = (size_t)c->pixels;
    c->seen = tern_take_array(count, sizeof *c->seen);
    c->memory = tern_take_array(count, sizeof *c->memory);
    c->threshold = tern_take_array(count, sizeof *c->threshold);
    c->quiet_till = tern_take_array(count, sizeof *c->quiet_till);
    if (!c->seen || !c->memory || !c->threshold || !c->quiet_till) {
        tern_camera_close(c);
        return tern_no_memory(count * 4 * sizeof *c->seen, "an event camera");
    }
    for (int i = 0; i < c->pixels; i++) {
        double spread = options->spread * tern_rng_normal(stream(c, THRESHOLDS), (uint64_t)i);
        c->threshold[i] = (float)(options->threshold * (1 + spread));
    }
    *camera = c;
    return TERN_OK;
}

void tern_camera_close(tern_camera *camera)
{
    if (!camera) return;
    tern_release(camera->seen);
    tern_release(camera->memory);
    tern_release(camera->threshold);
    tern_release(camera->quiet_till);
    tern_release(camera);
}

static tern_event event_at(const tern_camera *c, int pixel, uint32_t t, bool on)
{
    return (tern_event){t, (uint16_t)(pixel % c->options.width), (uint16_t)(pixel / c->options.width), on};
}

static tern_status add_noise(tern_camera *c, uint32_t t, tern_events *events)
{
    for (; c->next_noise < t; plan_noise(c)) {
        uint64_t place = tern_rng_below(stream(c, NOISE), c->drawn++, 2 * (uint64_t)c->pixels);
        TERN_TRY(tern_events_add(events, event_at(c, (int)(place / 2), (uint32_t)c->next_noise, place & 1)));
    }
    return TERN_OK;
}

tern_status tern_camera_look(tern_camera *camera, const float *intensity, uint32_t t, tern_events *events)
{
    tern_camera *c = camera;
    bool first = !c->looked;
    if (first) {
        c->next_noise = t;
        plan_noise(c);
    }
    TERN_TRY(add_noise(c, t, events));
    for (int i = 0; i < c->pixels; i++) {
        if (intensity[i] == c->seen[i]) continue; /* most pixels, most of the time */
        float level = logf(intensity[i]), change = level - (first ? level : c->memory[i]);
        if (first) c->memory[i] = level;
        bool fires = fabsf(change) >= c->threshold[i];
        c->seen[i] = fires ? -1 : intensity[i]; /* who has fired may have to fire again */
        if (!fires || t < c->quiet_till[i]) continue;
        TERN_TRY(tern_events_add(events, event_at(c, i, t, change > 0)));
        c->memory[i] += change > 0 ? c->threshold[i] : -c->threshold[i];
        c->quiet_till[i] = t + c->options.refractory;
    }
    c->looked = true;
    return TERN_OK;
}
