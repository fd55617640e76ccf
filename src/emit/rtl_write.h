/* Pieces of Verilog that both forms of a net share: blocks that are folded (rtl_verilog.c) and those that take a sample a cycle
 * (rtl_parallel.c). */
#ifndef TERN_EMIT_RTL_WRITE_H
#define TERN_EMIT_RTL_WRITE_H

#include "emit/rtl.h"

/* Bits of a counter from 0 to `most`. */
int tern_rtl_count_bits(int64_t most);
/* "{{3{x[7]}}, x}": x of `from` bits, signed, as a word of `to`. */
void tern_rtl_extended(tern_text *t, const char *x, int from, int to);
/* Bits low .. low + from - 1 of a word, signed or positive, as a signed word of `to`. */
void tern_rtl_field(tern_text *t, const char *word, int low, int from, bool positive, int to);
/* The function "post<k>" of a step behind sums: a signed word of `from` bits to one of p->bits. */
void tern_rtl_post_function(tern_text *t, const tern_rtl_post *p, int k, int from);

#endif
