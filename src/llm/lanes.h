/* What a language model's windows of layers take on this computer. */
#ifndef TERN_LLM_LANES_H
#define TERN_LLM_LANES_H

#include "llm/account.h"
#include "run/measure.h"

/* Pages of files of weights (a tern_weights) that have been copied are given back; what lies elsewhere is memory of its own. */
void tern_llm_forget(void *weights, const void *data, size_t bytes);

/* Layers of the program for one token, and the seconds of computing and of copying them from the file, measured with all weights mapped.
 * Free both. */
tern_status tern_llm_measure_windows(const tern_llm_account *account, tern_pool *pool, tern_windows *windows,
                                     tern_window_measured *measured);

#endif
