/* Products whose result has few columns, as a convolution of few pixels: weights, the larger factor, are read where they lie,
 * once, and are not packed. */
#ifndef TERN_KERNEL_FEW_COLUMNS_H
#define TERN_KERNEL_FEW_COLUMNS_H

#include "kernel/gemm.h"

enum { TERN_FEW_COLUMNS = 4, TERN_FEW_ROWS = 16 };

/* Whether tern_few_columns takes the product; and the scratch memory that one of its sizes may need: the columns as rows. */
bool tern_few_columns_fits(const tern_product *product);
size_t tern_few_columns_scratch(const tern_product *product);
/* To the bits of tern_gemm. */
void tern_few_columns(tern_pool *pool, const tern_product *product, float *scratch);

#endif
