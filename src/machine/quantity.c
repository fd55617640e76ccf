/* Numbers with units. */
#include "machine/machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Unit names of each class and the factor to the class's base unit; prefixes k M G T P m u n p f are separate. */
static const struct {
    const char *unit;
    bool binary; /* Ki Mi Gi allowed */
    const char *example;
} classes[] = {
    [TERN_IN_BYTES] = {"B", true, "320 KiB"},   [TERN_IN_BYTES_PER_SECOND] = {"B/s", true, "864 MB/s"},
    [TERN_IN_HERTZ] = {"Hz", false, "216 MHz"}, [TERN_IN_SECONDS] = {"s", false, "5 ns"},
    [TERN_IN_JOULES] = {"J", false, "4.6 pJ"},  [TERN_IN_JOULES_PER_BYTE] = {"J/B", false, "5 pJ/B"},
    [TERN_IN_WATTS] = {"W", false, "100 mW"},   [TERN_IN_OPERATIONS] = {"/s", false, "2 /cycle or 312 T/s"},
};

/* Factor of a prefix; 0 when there is no such prefix.  Sets the characters that it takes. */
static double prefix(const char *text, bool binary, size_t *length)
{
    static const struct {
        char letter;
        double factor, binary;
    } prefixes[] = {{'k', 1e3, 1024},
                    {'K', 0, 1024},
                    {'M', 1e6, 1048576},
                    {'G', 1e9, 1073741824},
                    {'T', 1e12, 1099511627776.0},
                    {'P', 1e15, 0},
                    {'m', 1e-3, 0},
                    {'u', 1e-6, 0},
                    {'n', 1e-9, 0},
                    {'p', 1e-12, 0},
                    {'f', 1e-15, 0}};
    for (size_t i = 0; i < TERN_COUNT(prefixes); i++) {
        if (text[0] != prefixes[i].letter) continue;
        bool is_binary = binary && text[1] == 'i';
        *length = is_binary ? 2 : 1;
        return is_binary ? prefixes[i].binary : prefixes[i].factor;
    }
    return 0;
}

tern_status tern_parse_quantity(const char *text, tern_quantity quantity, double *value, bool *per_cycle)
{
    const char *unit = classes[quantity].unit;
    char *end;
    double number = strtod(text, &end);
    if (end == text || !isfinite(number))
        return tern_fail(TERN_FAILED, "found \"%s\", expected a number with a unit, for example %s", text,
                         classes[quantity].example);
    while (*end == ' ') end++;
    if (per_cycle) *per_cycle = false;
    size_t length = 0;
    if (per_cycle && quantity == TERN_IN_OPERATIONS && strcmp(end, "/cycle") == 0) {
        *per_cycle = true;
    } else if (strcmp(end, unit) != 0) {
        double factor = prefix(end, classes[quantity].binary, &length);
        if (factor == 0 || strcmp(end + length, unit) != 0)
            return tern_fail(TERN_FAILED, "found \"%s\", expected a unit of the kind of %s", text,
                             classes[quantity].example);
        number *= factor;
    }
    if (!(number >= 0) || number > 1e30)
        return tern_fail(TERN_FAILED, "found \"%s\", expected a number from 0 to 1e30", text);
    *value = number;
    return TERN_OK;
}
