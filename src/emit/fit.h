/* fit: what a net takes on a board, and what it would take in bytes, with fewer channels or fewer pixels. */
#ifndef TERN_EMIT_FIT_H
#define TERN_EMIT_FIT_H

#include "emit/emit.h"
#include "machine/machine.h"
#include "train/train.h"

/* A form of a net: what is changed, and what it takes, in bytes. */
typedef struct tern_fit_form {
    const tern_net *net; /* NET, or NET-int8 */
    void *parameters;
    tern_shape sample;
    double width, size; /* shares of the channels, and of the height and width of images, that are left */
    tern_emit_sizes sizes;
    size_t io, ram,
        flash; /* ram: arena, state, input and output, stack and a bench's data; flash: weights and code */
    int steps; /* of its program */
    double macs, seconds, joules; /* seconds and joules: modelled */
    bool fits;
} tern_fit_form;

typedef struct tern_fit {
    tern_fit_form
        *forms;      /* forms[0] is the net as it is; the rest from most multiply-accumulates to fewest */
    int count, best; /* best: the first that fits; -1: none does */
} tern_fit;

/* Measures all forms of a net on samples of a shape, by planning each as tern emit does.  Code is estimated: see fit.c.
 * Close with tern_fit_close. */
tern_status tern_fit_open(tern_fit *fit, const tern_net *net, const void *parameters,
                          const tern_shape *sample, const tern_machine *machine,
                          const tern_emit_limits *limits);
void tern_fit_close(tern_fit *fit);

#endif
