/* Numbers with units. */
#include "machine/machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct tern_unit_name {
    const char *name;
    double factor;
    bool per_cycle;
} tern_unit_name;

/* The units of each class without their prefix (k M G T P m u n p f; Ki Mi Gi Ti where `binary`). */
static const struct {
    bool binary;
    const char *example;
    tern_unit_name units[7];
} classes[] = {
    [TERN_IN_BYTES] = {true, "320 KiB", {{"B", 1, false}}},
    [TERN_IN_BYTES_PER_SECOND] = {true, "864 MB/s", {{"B/s", 1, false}}},
    [TERN_IN_HERTZ] = {false, "216 MHz", {{"Hz", 1, false}}},
    [TERN_IN_SECONDS] = {false, "5 ns", {{"s", 1, false}}},
    [TERN_IN_JOULES] = {false, "4.6 pJ", {{"J", 1, false}}},
    [TERN_IN_JOULES_PER_BYTE] = {false, "5 pJ/B", {{"J/B", 1, false}}},
    [TERN_IN_WATTS] = {false, "100 mW", {{"W", 1, false}}},
    [TERN_IN_KELVIN_PER_WATT] = {false, "6 K/W", {{"K/W", 1, false}}},
    [TERN_IN_JOULES_PER_KELVIN] = {false, "12 J/K", {{"J/K", 1, false}}},
    [TERN_IN_KELVIN] = {false, "5 K", {{"K", 1, false}}},
    [TERN_IN_CELSIUS] = {false, "80 C", {{"C", 1, false}}},
    [TERN_IN_MACS] = {false,
                      "2 mac/cycle or 312 TFLOP/s",
                      {{"mac/cycle", 1, true},
                       {"/cycle", 1, true},
                       {"mac/s", 1, false},
                       {"/s", 1, false},
                       {"FLOP/s", 0.5, false},
                       {"OP/s", 0.5, false}}},
    [TERN_IN_ADDS] = {false,
                      "4 add/cycle or 33.5 Tadd/s",
                      {{"add/cycle", 1, true},
                       {"/cycle", 1, true},
                       {"add/s", 1, false},
                       {"/s", 1, false},
                       {"FLOP/s", 1, false},
                       {"OP/s", 1, false}}},
    [TERN_IN_OPERATIONS] = {false,
                            "1 op/cycle or 8 Gop/s",
                            {{"op/cycle", 1, true},
                             {"/cycle", 1, true},
                             {"op/s", 1, false},
                             {"/s", 1, false},
                             {"FLOP/s", 1, false},
                             {"OP/s", 1, false}}},
};

/* Factor of a prefix; 0 when there is none.  Sets the characters that it takes. */
static double prefix(const char *text, bool binary, size_t *length)
{
    static const struct {
        const char *name;
        double factor;
    } prefixes[] = {{"Ki", 1024}, {"Mi", 1048576}, {"Gi", 1073741824}, {"Ti", 1099511627776.0},
                    {"k", 1e3},   {"M", 1e6},      {"G", 1e9},         {"T", 1e12},
                    {"P", 1e15},  {"m", 1e-3},     {"u", 1e-6},        {"n", 1e-9},
                    {"p", 1e-12}, {"f", 1e-15}};
    for (size_t i = 0; i < TERN_COUNT(prefixes); i++) {
        *length = strlen(prefixes[i].name);
        if (strncmp(text, prefixes[i].name, *length) == 0 && (binary || *length == 1))
            return prefixes[i].factor;
    }
    return 0;
}

/* Factor of a unit with or without prefix; 0: not one of the class. */
static double unit_factor(const char *text, tern_quantity quantity, bool *per_cycle)
{
    size_t length;
    double factor = prefix(text, classes[quantity].binary, &length);
    for (const tern_unit_name *u = classes[quantity].units; u->name; u++) {
        *per_cycle = u->per_cycle;
        if (strcmp(text, u->name) == 0) return u->factor;
        if (factor > 0 && strcmp(text + length, u->name) == 0) return factor * u->factor;
    }
    return 0;
}

tern_status tern_parse_quantity(const char *text, tern_quantity quantity, double *value, bool *per_cycle)
{
    const char *example = classes[quantity].example;
    bool cycle = false, decimal = strspn(text, "-.0123456789") > 0 && text[1] != 'x' && text[1] != 'X';
    char *end = (char *)text;
    double number = decimal ? strtod(text, &end) : 0;
    if (end == text || !isfinite(number))
        return tern_fail(TERN_FAILED, "found \"%.60s\", expected a number with a unit, for example %s", text,
                         example);
    while (*end == ' ') end++;
    double factor = unit_factor(end, quantity, &cycle);
    if (!*end)
        return tern_fail(TERN_FAILED, "found \"%.60s\" without a unit, expected for example %s", text,
                         example);
    if (factor == 0)
        return tern_fail(TERN_FAILED,
                         "found \"%.60s\", \"%.20s\" is no unit for this; expected for example %s", text, end,
                         example);
    number *= factor;
    if (!(number > 0) || number > 1e30)
        return tern_fail(
            TERN_FAILED,
            "found \"%.60s\", expected a number above 0 and up to 1e30; leave out what is unknown", text);
    *value = number;
    if (per_cycle) *per_cycle = cycle;
    return TERN_OK;
}
