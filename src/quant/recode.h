/* recode: tensors in other number formats, and what that costs in precision. */
#ifndef TERN_QUANT_RECODE_H
#define TERN_QUANT_RECODE_H

#include "tensor/tensor.h"

/* Over all elements: old and new values x and y. */
typedef struct tern_recoding {
    double squares, errors; /* sums of x^2 and of (y - x)^2 */
    double most;            /* largest |y - x| */
    int64_t changed;        /* y is not x */
    int64_t overflowed;     /* x is finite, y is not */
    int64_t infinite;       /* x is not finite: formats with scales can't hold it */
} tern_recoding;
/* sqrt(errors / squares); 0 where nothing changed */
double tern_recoding_error(const tern_recoding *r);

/* Elements of `from` into `to`, whose dtype and shape are set: the same bits on any number of threads. */
tern_status tern_recode(tern_pool *pool, const tern_tensor *from, const tern_tensor *to,
                        tern_recoding *result);

/* LLM.int8() (arXiv 2208.07339): rows of from [N,K] as signed bytes, to [N,K] (i8) = round(127 x / c) with c the largest
 * magnitude of the row, of the whole tensor where `together`; scale [N] = c / 127.  Rows of zeros have scale 1. */
tern_status tern_recode_rows(tern_pool *pool, const tern_tensor *from, bool together, const tern_tensor *to,
                             float *scale, tern_recoding *result);

#endif
