/* Pulses of a detector behind a CR-RC^n shaper, sampled: what is made is defined by the numbers of the model and its seed.
 *
 * s(t) = A (u/n)^n e^(n-u) with u = (t - t0) / tau for t > t0, else 0; its peak A is at t0 + n tau.  t0 and A are uniform; white
 * Gaussian noise of sigma = 10^(-SNR/20), SNR being the peak 1 over its rms.  Times are in samples. */
#ifndef TERN_IO_PULSE_H
#define TERN_IO_PULSE_H

#include "tensor/tensor.h"

enum { TERN_PULSE_MOST = 1024 }; /* samples of a pulse */

typedef struct tern_pulse_model {
    int samples, order;              /* N; n of the shaper */
    double tau, snr;                 /* in samples; dB */
    double start, spread, low, high; /* t0 is uniform in start +- spread, A in low .. high */
    double period;                   /* of a sample, ns: for people */
    double pink;                     /* rms of noise that is alike over 1 to 32 samples, in sigmas */
    double drift;                    /* most that a straight baseline rises or falls over the window */
    double pile_up;                  /* probability of a second pulse anywhere in the window */
    double jitter;                   /* rms of the clock */
    int bits;                        /* of the converter, from -1/8 to 9/8, saturating; 0: exact numbers */
    uint64_t seed;
} tern_pulse_model;

/* 64 samples of 10 ns, n = 4, tau 1.6, 47.4 dB, t0 12 .. 20, A 0.2 .. 1; no other disturbances. */
tern_pulse_model tern_pulse_default(void);
/* TERN_USAGE names the figure that is out of range. */
tern_status tern_pulse_check(const tern_pulse_model *model);
double tern_pulse_sigma(const tern_pulse_model *model);

/* The unit pulse and its derivative, `t` samples behind its start. */
double tern_pulse_shape(const tern_pulse_model *model, double t, double *slope);

/* Pulse `number` of a split (0 to train, 1 to test): samples[N] with and clean[N] (may be NULL) without what disturbs it. */
typedef struct tern_pulse {
    double start, amplitude;
} tern_pulse;
tern_pulse tern_pulse_make(const tern_pulse_model *model, int split, int64_t number, float *samples,
                           float *clean);

/* Mean and variance of sample k over all pulses, in closed form (incomplete gamma functions of whole order); of pulses with no
 * disturbance but white noise. */
void tern_pulse_moments(const tern_pulse_model *model, int k, double *mean, double *variance);

/* The Cramer-Rao bound of this pulse under white noise alone, for start and amplitude jointly: standard deviations that no
 * unbiased estimate is below, from the inverse of F = 1/sigma^2 sum g g^T, g the derivatives of s. */
tern_pulse tern_pulse_bound(const tern_pulse_model *model, tern_pulse pulse);
/* The root of the mean of the squared bounds over the t0 and A of the model, from a grid of 64 by 64 of them. */
tern_pulse tern_pulse_mean_bound(const tern_pulse_model *model);

/* `count` of them: x f32 [count,N]; y f32 [count,2] of time behind the model's start and amplitude, or (clean) [count,N] of
 * the pulse as it is; units f32 [2] or [N]: the mean bound, or sigma.  The caller frees them. */
tern_status tern_pulse_tensors(const tern_pulse_model *model, int split, int64_t count, bool clean,
                               tern_tensor *x, tern_tensor *y);
tern_status tern_pulse_units(const tern_pulse_model *model, bool clean, tern_tensor *units);

#endif
