/* Training in windows of layers: the plan of a step whose updates come early, and the pager that brings its layers. */
#ifndef TERN_TRAIN_WINDOW_H
#define TERN_TRAIN_WINDOW_H

#include "train/train.h"

/* What a training step needs besides the layers in fast memory: arena, parameters and states of no layer, inputs. */
typedef struct tern_step_need {
    double arena, rest, inputs;
} tern_step_need;
tern_status tern_step_needs(const tern_program *program, const tern_windows *windows, tern_step_need *need);

/* Opens the model of a training step for windows and the pager that they ask for; by --memory the largest window that fits, values
 * being computed again where no window does otherwise.  TERN_NO_FIT says what takes the memory. */
tern_status tern_training_open_windows(const tern_training *training, const tern_shape *sample,
                                       tern_store *store, tern_pool *pool, tern_model *model,
                                       tern_pager **pager);
/* What that took, into training->memory if it is there. */
void tern_training_remembers(const tern_training *training, const tern_model *model, const tern_pager *pager);

#endif
