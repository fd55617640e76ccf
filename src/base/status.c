/* Errors as values: a status code travels up, its message waits on the thread. */
#include "base/base.h"

#include <string.h>

#undef tern_fail
#undef tern_in
#undef tern_no_memory

static _Thread_local char message[1024];

const char *tern_message(void)
{
    return message;
}

void tern_clear(void)
{
    message[0] = 0;
}

tern_status tern_fail(tern_status code, const char *format, ...)
{
    if (message[0]) return code; /* the first error is the cause */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return code;
}

tern_status tern_in(tern_status code, const char *format, ...)
{
    char where[256], old[sizeof message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(where, sizeof where, format, arguments);
    va_end(arguments);
    memcpy(old, message, sizeof old);
    size_t length = strlen(where);
    if (strncmp(old, where, length) == 0 && old[length] == ':') return code; /* it is said already */
    memcpy(message, where, length);
    snprintf(message + length, sizeof message - length, ": %.*s", (int)(sizeof message - length - 3), old);
    return code;
}

tern_status tern_no_memory(size_t bytes, const char *what)
{
    char amount[24];
    return tern_fail(TERN_NO_MEMORY, "out of memory: %s for %s", tern_human(amount, (double)bytes, "B"),
                     what);
}
