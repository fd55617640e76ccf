/* The loss of regression. */
#ifndef TERN_TRAIN_ERROR_H
#define TERN_TRAIN_ERROR_H

#include "train/train.h"

/* [1], of outputs y [B,K]; adds the inputs "targets" [B,K] and, but for transport, "weights" [K], which are 1 / unit. */
tern_value tern_target_loss(tern_graph *g, tern_value y, const tern_recipe *recipe);

#endif
