/* mixture: the mixes of formats that llama.cpp calls Q3_K_M, Q4_K_M and Q5_K_M: most tensors in one format, those that suffer most in
 * a larger one. */
#ifndef TERN_LLM_MIXTURE_H
#define TERN_LLM_MIXTURE_H

#include "tensor/tensor.h"

typedef enum tern_mixture {
    TERN_MIXTURE_NONE,
    TERN_Q3_K_M,
    TERN_Q4_K_M,
    TERN_Q5_K_M,
    TERN_MIXTURES
} tern_mixture;

/* "q4_K_M"; false: no mixture.  *dtype is what most tensors become. */
bool tern_mixture_find(const char *name, tern_mixture *mixture, tern_dtype *dtype);

/* The format of a tensor by its name in GGUF: `standard` where the mixture says nothing of it.  `layers` of the model, which has an
 * output table of its own or (not untied) that of its tokens. */
tern_dtype tern_mixture_of(tern_mixture mixture, const char *name, int layers, bool untied,
                           tern_dtype standard);

#endif
