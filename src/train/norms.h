/* Statistics of batch norms for inference, taken anew from training data.
 *
 * Running statistics are an average over past weights, of batches that were each normalised by their own.  Where activations
 * are rounded coarsely, as delta layers do, a layer behind another sees other numbers in inference than in training. */
#ifndef TERN_TRAIN_NORMS_H
#define TERN_TRAIN_NORMS_H

#include "train/train.h"

/* Set the running mean and variance (unbiased) of each batch norm of the net to those of its operand over
 * `recipe->norm_samples` training samples, or all if there are fewer: the first of epoch `epoch`, with its crops and flips, run
 * as one batch with the parameters as they stand, so that each layer's statistics are of what the layers before it give with
 * theirs.  Dropout is off.  Memory is that of inference with so large a batch.  Fails where the net has no batch norm. */
tern_status tern_norms_settle(const tern_net *net, const void *parameters, const tern_samples *samples,
                              const tern_recipe *recipe, int epoch, tern_store *store, tern_pool *pool);

#endif
