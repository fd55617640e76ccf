/* Rules of learning through time, beside the gradient of all steps at once. */
#ifndef TERN_RULE_H
#define TERN_RULE_H

#include "train/train.h"

/* One time step of a net: frame [B,..] -> logits [B,K], in a stepping graph. */
typedef tern_value tern_step_build(tern_graph *graph, const void *context, tern_value frame);

/* Spatial learning through time (SLTT, SLTT-K; Meng et al., ICCV 2023): a step is differentiated as soon as it has run,
 * its membranes of the step before held constant, so that memory does not grow with T.
 *     loss_t = ((1 - alpha) cross-entropy(o_t, labels) + alpha mean((o_t - target)^2)) / T,   gradient = sum over t
 * With chosen K > 0 only the K steps at which the mask is not 0 are differentiated; the loss is over T all the same.
 * With through_time the same loss is differentiated through the membranes too: what SLTT leaves out is the difference. */
typedef struct tern_sltt {
    int timesteps; /* T */
    int chosen;    /* K, or 0: all */
    bool through_time;
    double alpha, smoothing;
    tern_step_build *build;
    const void *context;
} tern_sltt;

/* frames [T,B,..], or [1,B,..] shown at each step; labels [B] i32; target [B,K], or the empty value: 1 for every class;
 * mask [T] f32 where K > 0. */
typedef struct tern_sltt_inputs {
    tern_value frames, labels, target, mask;
} tern_sltt_inputs;

/* logits [B,K]: the sum of o_t; loss [1]; grads[i] of params[i] (empty where nothing depends on it).  The arrays belong to
 * the graph. */
typedef struct tern_learned {
    tern_value logits, loss;
    tern_value *params, *grads;
    int count;
} tern_learned;

/* Add a mini-batch of training to `graph`: one scan over the steps.  Parameters and kept states (running statistics)
 * appear in `graph` under the names that the net gives them. */
tern_status tern_rule_sltt(tern_graph *graph, const tern_sltt *rule, const tern_sltt_inputs *inputs,
                           tern_learned *learned);

/* The same for a net of the zoo and a recipe with a rule of one step at a time.  Adds the inputs "image" ([B,..], or
 * [T,B,..] where a sample is a clip), "labels" [B] and, for SLTT-K, "mask" [T]. */
tern_status tern_rule_net(tern_graph *graph, const tern_net *net, const void *parameters,
                          const tern_shape *sample, int batch, const tern_recipe *recipe, bool through_time,
                          tern_learned *learned);

#endif
