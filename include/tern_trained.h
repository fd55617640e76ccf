/* tern_trained.h: trained nets, opened, run, and what they cost.  Part of tern.h, which includes it. */
#ifndef TERN_TRAINED_H
#define TERN_TRAINED_H

/* A net with the parameters of a checkpoint (model.safetensors of a run folder; NULL: fresh ones), planned for a batch. */
typedef struct tern_trained tern_trained;
typedef struct tern_named_number {
    const char *name;
    double value;
} tern_named_number;
tern_status tern_trained_open(tern_trained **trained, const char *net, const tern_named_number *options,
                              int option_count, const char *checkpoint, tern_shape sample, int batch,
                              int threads);
void tern_trained_close(tern_trained *trained);

/* images [batch, sample..] normalised as in training, read in place -> logits [batch, *classes], the net's own memory, valid
 * until the next run. */
tern_status tern_trained_run(tern_trained *trained, const float *images, const float **logits, int *classes);

/* What one run costs on a machine (a name or a path) when a share `density` of the neurons fires in a step. */
typedef struct tern_cost_summary {
    bool fits;
    double seconds, joules, peak_bytes, paper_joules;
} tern_cost_summary;
tern_status tern_trained_cost(tern_trained *trained, const char *machine, double density,
                              tern_cost_summary *cost);

#endif
