/* The classical ways to tell time and energy of a pulse (io/pulse.h), to hold a net against. */
#ifndef TERN_CLASSIC_PULSE_H
#define TERN_CLASSIC_PULSE_H

#include "io/pulse.h"

typedef enum tern_pulse_method {
    TERN_PULSE_FRACTION, /* where the rising edge passes half of the peak, between samples by cubics; energy: the peak of a
                            parabola through the three highest samples */
    TERN_PULSE_FILTER, /* the matched filter: the largest product with the unit pulse over its norm, at eighths of a sample and
                            a parabola between */
    TERN_PULSE_TEMPLATE, /* least squares in start and amplitude, by Gauss-Newton from the filter's */
    TERN_PULSE_METHODS
} tern_pulse_method;
extern const char *const tern_pulse_method_names[TERN_PULSE_METHODS];

tern_pulse tern_pulse_estimate(const tern_pulse_model *model, tern_pulse_method method, const float *samples);

/* Over pulses 0 .. count - 1 of a split: the root of the mean square error and its mean, and the root of the mean of the
 * squared bounds of these very pulses. */
typedef struct tern_pulse_error {
    tern_pulse rms, bias;
} tern_pulse_error;
tern_status tern_pulse_compare(const tern_pulse_model *model, int split, int64_t count,
                               tern_pulse_error errors[TERN_PULSE_METHODS], tern_pulse *bound,
                               tern_pool *pool);

#endif
