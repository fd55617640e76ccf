/* What the fuzzers share.  A fuzzer is one function from bytes to a status; here it becomes libFuzzer's entry, which
 * insists on a message for every failure and on no byte left behind. */
#ifndef TERN_FUZZ_H
#define TERN_FUZZ_H

#include "base/base.h"

#include <stdlib.h>

#define TERN_FUZZER(parse)                                                                                   \
    int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);                                          \
    int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)                                           \
    {                                                                                                        \
        size_t held = tern_allocated();                                                                      \
        tern_clear();                                                                                        \
        if (parse(bytes, count) != TERN_OK && !tern_message()[0]) abort();                                   \
        if (tern_allocated() != held) abort();                                                               \
        return 0;                                                                                            \
    }

#endif
