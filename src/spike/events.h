/* spike: event cameras: streams of events, their frames, and a model of the camera. */
#ifndef TERN_SPIKE_EVENTS_H
#define TERN_SPIKE_EVENTS_H

#include "tensor/tensor.h"

/* A pixel became brighter (on) or darker. */
typedef struct tern_event {
    uint32_t t; /* microseconds */
    uint16_t x, y;
    bool on;
} tern_event;

/* Events in the order of their times, from a camera of width x height pixels. */
typedef struct tern_events {
    tern_event *items;
    size_t count, capacity;
    int width, height;
} tern_events;
tern_status tern_events_add(tern_events *events, tern_event event);
void tern_events_free(tern_events *events);

/* Words of the ATIS camera, as N-MNIST and N-Caltech101 have them: u8 x, u8 y, then 1 bit polarity and 23 bits of time,
 * big-endian.  A word with y = 240 is no event: it adds 2^13 us to all later times.  Events outside of width x height
 * fail. */
tern_status tern_events_parse_atis(const void *bytes, size_t count, const char *name, int width, int height,
                                   tern_events *out);

typedef enum tern_frame_rule {
    TERN_FRAMES_BY_NUMBER, /* n div T events a frame, the last frame takes the rest */
    TERN_FRAMES_BY_TIME,   /* windows of (last - first time) div T, the last takes the rest */
} tern_frame_rule;

/* Counts of events into `out`, u8 [T,2,H,W] (channel 0 off, 1 on; at most 255), which is cleared first.  H and W may be
 * smaller than the camera: pixels are then counted together. */
void tern_events_frames(const tern_events *events, tern_frame_rule rule, tern_tensor *out);

/* The model of an event camera.  A pixel remembers a log intensity; when the present one is a threshold away and the
 * pixel's last event is no nearer than the refractory time, it fires once and moves its memory by the threshold.
 * Thresholds differ between pixels; noise fires at random. */
typedef struct tern_camera_options {
    int width, height;
    double threshold, spread; /* of log intensity; standard deviation between pixels, as a part of it */
    uint32_t refractory;      /* microseconds */
    double noise;             /* false events of a pixel a second */
    tern_rng rng;
} tern_camera_options;

typedef struct tern_camera tern_camera;
tern_status tern_camera_open(tern_camera **camera, const tern_camera_options *options);
void tern_camera_close(tern_camera *camera);
/* Look at intensities [H,W] > 0 at time t; what fires is added to `events`.  The first look sets the memory only. */
tern_status tern_camera_look(tern_camera *camera, const float *intensity, uint32_t t, tern_events *events);

#endif
