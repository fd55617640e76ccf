/* Statistics of batch norms for inference, taken anew from training data.
 *
 * Running statistics are an average over past weights of variances within small batches.  Where channels are zero but for
 * a few samples they miss what differs between batches, and inference sees other numbers than training did. */
#ifndef TERN_TRAIN_NORMS_H
#define TERN_TRAIN_NORMS_H

#include "train/train.h"

/* Set the running mean and variance of each batch norm of the net to those over the first `recipe->norm_batches` batches of
 * epoch `epoch` of the samples, with the parameters as they stand: the mean of the means, and the mean of the variances
 * plus the variance of the means (Wu & Johnson, arXiv 2105.07576, section 3).  Each batch is normalised by its own
 * statistics, as in training; dropout is off.  Fails where the net has no batch norm. */
tern_status tern_norms_settle(const tern_net *net, const void *parameters, const tern_samples *samples,
                              const tern_recipe *recipe, int epoch, tern_store *store, tern_pool *pool);

#endif
