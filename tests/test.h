/* What the tests share: cmocka, and checks that print Tern's message. */
#ifndef TERN_TEST_H
#define TERN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

/* Succeeds, or fails the test with the message. */
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        tern_clear();                                                                                        \
        tern_status status_ = (call);                                                                        \
        if (status_ != TERN_OK) fail_msg("status %d: %s", (int)status_, tern_message());                     \
    } while (0)

/* Fails with this status and a message that contains `text`. */
#define assert_error(call, code, text)                                                                       \
    do {                                                                                                     \
        tern_clear();                                                                                        \
        tern_status status_ = (call);                                                                        \
        if (status_ != (code))                                                                               \
            fail_msg("status %d, expected %d: %s", (int)status_, (int)(code), tern_message());               \
        if (!strstr(tern_message(), text)) fail_msg("message \"%s\" lacks \"%s\"", tern_message(), text);    \
    } while (0)

/* Run `call` (a tern_status expression) with the first, second, .. allocation failing until it succeeds: each failure
 * must be TERN_NO_MEMORY and give back what it took. */
#define assert_survives_out_of_memory(call)                                                                  \
    do {                                                                                                     \
        for (long nth_ = 1;; nth_++) {                                                                       \
            size_t held_ = tern_allocated();                                                                 \
            tern_clear();                                                                                    \
            tern_fail_allocation(nth_);                                                                      \
            tern_status status_ = (call);                                                                    \
            if (tern_fail_allocation(0) > 0 || status_ == TERN_OK) {                                         \
                if (status_ != TERN_OK) fail_msg("allocation %ld: %s", nth_, tern_message());                \
                break;                                                                                       \
            }                                                                                                \
            if (status_ != TERN_NO_MEMORY)                                                                   \
                fail_msg("allocation %ld: status %d, %s", nth_, (int)status_, tern_message());               \
            if (tern_allocated() != held_)                                                                   \
                fail_msg("allocation %ld: %zu bytes leak", nth_, tern_allocated() - held_);                  \
        }                                                                                                    \
    } while (0)

#endif
