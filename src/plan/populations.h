/* A program of a spiking net as populations of neurons and the weights between them, for event cores. */
#ifndef TERN_POPULATIONS_H
#define TERN_POPULATIONS_H

#include "machine/cores.h"
#include "plan/plan.h"

/* Work of each step of a run and spikes that its first output has, [program->step_count] each; both of `samples` samples, and
 * products that are computed once for all time steps counted so.  The program runs one sample.  TERN_USAGE where no layer
 * fires.  Names are those of the graph, which must outlive the net; free with tern_event_net_free. */
tern_status tern_program_populations(const tern_program *program, const tern_work *work, const double *spikes,
                                     double samples, tern_event_net *net);

#endif
