/* Text that is filled in (tern_emit_fill), in pieces, NULL behind the last. */
#ifndef TERN_EMIT_ARRAY_TEXT_H
#define TERN_EMIT_ARRAY_TEXT_H

#include "emit/rtl.h"

extern const char *const tern_array_net_text[],
    *const tern_array_bench_text[], *const tern_array_driver_header_text[], *const tern_array_driver_text[],
                                                                                *const tern_array_main_text[];
extern const tern_rtl_make tern_array_make;

#endif
