/* What folding is made of, for those that choose it (rtl_fold.c by FINN's rule, rtl_search.c within a budget). */
#ifndef TERN_EMIT_RTL_FOLD_H
#define TERN_EMIT_RTL_FOLD_H

#include "emit/rtl.h"

int64_t tern_rtl_own_cycles(const tern_rtl_layer *l); /* of a sample, were there no successor */
int64_t tern_rtl_words(const tern_rtl *rtl);          /* that a sample comes in */
int64_t tern_rtl_delay(const tern_rtl *rtl, int i);   /* what block i adds to the latency */
bool tern_rtl_joins(int pe, int simd);                /* whether words of pe can become words of simd */

#endif
