/* What --sweep asks for, and its points one after the other. */
#include "cli/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEW = 64 };
#define MOST_POINTS 1e6

static tern_status add_value(tern_sweep *s, double shown, double factor)
{
    size_t old = (size_t)s->count, wanted = old ? 2 * old : 16;
    if ((old & (old - 1)) == 0 && (old == 0 || old >= 16)) { /* full */
        double *values = tern_resize(s->values, old * sizeof *values, wanted * sizeof *values);
        if (!values) return tern_no_memory(wanted * sizeof *values, "the values of a sweep");
        s->values = values;
        double *texts = tern_resize(s->shown, old * sizeof *texts, wanted * sizeof *texts);
        if (!texts) return tern_no_memory(wanted * sizeof *texts, "the values of a sweep");
        s->shown = texts;
    }
    if (!s->machine && !s->number->fraction && (shown != floor(shown) || shown < 0 || shown > 1e9))
        return tern_fail(TERN_USAGE, "--sweep %s: found %g, expected a whole number", s->name, shown);
    s->values[old] = shown * factor;
    s->shown[old] = shown;
    s->count++;
    return TERN_OK;
}

/* What one of the unit is. */
static tern_status unit_factor(tern_sweep *s, double *factor)
{
    char text[40];
    bool per_cycle = false;
    *factor = 1;
    if (!s->machine || s->field.plain) {
        if (!*s->unit) return TERN_OK;
        return tern_fail(TERN_USAGE, "--sweep %s: it has no unit, found \"%s\"", s->name, s->unit);
    }
    snprintf(text, sizeof text, "1 %s", s->unit);
    tern_status status = tern_parse_quantity(text, s->field.quantity, factor, &per_cycle);
    if (status != TERN_OK) return tern_in(TERN_USAGE, "--sweep %s", s->name);
    return per_cycle ? tern_fail(TERN_USAGE, "--sweep %s: expected a rate per second", s->name) : TERN_OK;
}

/* "A..B", "A..BUNIT", and behind a colon how many values: without it whole numbers where they are few, else 11. */
static tern_status read_range(tern_sweep *s, const char *text, const char *dots)
{
    char first[32], *end, *rest;
    double factor;
    snprintf(first, sizeof first, "%.*s", (int)(dots - text), text); /* "1..8" begins like the number "1." */
    double from = strtod(first, &end), to = strtod(dots + 2, &rest);
    if (end == first || *end || rest == dots + 2)
        return tern_fail(TERN_USAGE, "--sweep %s: expected numbers around \"..\", found \"%.40s\"", s->name,
                         text);
    size_t length = strcspn(rest, ":");
    if (length >= sizeof s->unit)
        return tern_fail(TERN_USAGE, "--sweep %s: \"%.40s\" is no unit", s->name, rest);
    memcpy(s->unit, rest, length);
    s->unit[length] = 0;
    TERN_TRY(unit_factor(s, &factor));
    double count = to - from + 1;
    if (from != floor(from) || to != floor(to) || count > FEW) count = 11;
    end = rest + length;
    if (*end == ':') count = strtod(end + 1, &end);
    if (*end || !(from < to) || !(count >= 2) || count != floor(count) || count > MOST_POINTS)
        return tern_fail(TERN_USAGE,
                         "--sweep %s: expected A..B with A below B, perhaps a unit, and perhaps :N for 2 to "
                         "1000000 values",
                         s->name);
    for (int i = 0; i < (int)count; i++) {
        double value = from + (to - from) * i / (count - 1);
        TERN_TRY(add_value(s, s->machine ? value : round(value), factor));
    }
    return TERN_OK;
}

/* "A,B,CUNIT" */
static tern_status read_list(tern_sweep *s, const char *text)
{
    double factor;
    const char *last = strrchr(text, ',');
    char *end;
    strtod(last ? last + 1 : text, &end);
    snprintf(s->unit, sizeof s->unit, "%s", end);
    TERN_TRY(unit_factor(s, &factor));
    for (const char *p = text; p; p = *end == ',' ? end + 1 : NULL) {
        double value = strtod(p, &end);
        if (end == p || (*end && *end != ',' && strcmp(end, s->unit) != 0))
            return tern_fail(TERN_USAGE, "--sweep %s: found \"%.40s\", expected numbers with commas between",
                             s->name, p);
        TERN_TRY(add_value(s, value, factor));
    }
    return TERN_OK;
}

static tern_status read_sweep(tern_sweep *s, tern_machine *m, const tern_sweep_number *numbers,
                              size_t number_count, const char *text)
{
    const char *is = strchr(text, '=');
    if (!is || is == text || (size_t)(is - text) >= sizeof s->name)
        return tern_fail(TERN_USAGE, "--sweep %.60s: expected NAME=A..B or NAME=A,B,C", text);
    *s = (tern_sweep){0};
    memcpy(s->name, text, (size_t)(is - text));
    s->machine = strncmp(s->name, "machine.", 8) == 0;
    if (s->machine) {
        TERN_TRY(tern_machine_find_field(m, s->name + 8, &s->field));
    } else {
        const char *known[16];
        size_t i = 0;
        for (size_t k = 0; k < number_count; k++) known[k] = numbers[k].name;
        while (i < number_count && strcmp(numbers[i].name, s->name) != 0) i++;
        if (i == number_count)
            return tern_in(tern_unknown("figure", s->name, known, number_count),
                           "--sweep (of machines: machine.memory.main.bandwidth and so on)");
        s->number = &numbers[i];
    }
    const char *dots = strstr(is + 1, "..");
    return dots ? read_range(s, is + 1, dots) : read_list(s, is + 1);
}

tern_status tern_sweeps_read(tern_sweeps *sweeps, const tern_cli *cli, tern_machine *machine,
                             const tern_sweep_number *numbers, size_t number_count)
{
    double points = 1;
    for (int i = 0; i < cli->given_count; i++) {
        if (strcmp(cli->given[i].name, "sweep") != 0) continue;
        if (sweeps->count == TERN_MOST_SWEEPS)
            return tern_fail(TERN_USAGE, "--sweep: at most %d at a time", TERN_MOST_SWEEPS);
        tern_sweep *s = &sweeps->sweeps[sweeps->count++];
        TERN_TRY(read_sweep(s, machine, numbers, number_count, cli->given[i].value));
        points *= s->count;
    }
    return points > MOST_POINTS
               ? tern_fail(TERN_USAGE, "--sweep: %.0f points, expected at most %.0f", points, MOST_POINTS)
               : TERN_OK;
}

void tern_sweeps_free(tern_sweeps *sweeps)
{
    for (int i = 0; i < sweeps->count; i++) {
        tern_release(sweeps->sweeps[i].values);
        tern_release(sweeps->sweeps[i].shown);
    }
    *sweeps = (tern_sweeps){0};
}

void tern_sweeps_set(const tern_sweeps *sweeps, void *plan)
{
    for (int i = 0; i < sweeps->count; i++) {
        const tern_sweep *s = &sweeps->sweeps[i];
        double value = s->values[sweeps->at[i]];
        void *number = s->machine ? NULL : (char *)plan + s->number->offset;
        if (s->machine)
            tern_machine_set_field(&s->field, value);
        else if (s->number->fraction)
            *(double *)number = value;
        else
            *(int *)number = (int)value;
    }
}

bool tern_sweeps_same(const tern_sweeps *sweeps, const void *plan, const void *other)
{
    for (int i = 0; i < sweeps->count; i++) {
        const tern_sweep *s = &sweeps->sweeps[i];
        if (s->machine) continue;
        const char *a = (const char *)plan + s->number->offset, *b = (const char *)other + s->number->offset;
        if (memcmp(a, b, s->number->fraction ? sizeof(double) : sizeof(int)) != 0) return false;
    }
    return true;
}

bool tern_sweeps_next(tern_sweeps *sweeps)
{
    int i = sweeps->count - 1;
    for (; i >= 0 && ++sweeps->at[i] == sweeps->sweeps[i].count; i--) sweeps->at[i] = 0;
    return i >= 0;
}

void tern_sweeps_head(const tern_sweeps *sweeps, bool csv, char out[512])
{
    size_t length = 0;
    out[0] = 0;
    for (int i = 0; i < sweeps->count && length < 512; i++)
        length +=
            (size_t)snprintf(out + length, 512 - length, "%s%s", sweeps->sweeps[i].name, csv ? "," : "|");
}

void tern_sweeps_row(const tern_sweeps *sweeps, bool csv, char out[256])
{
    size_t length = 0;
    out[0] = 0;
    for (int i = 0; i < sweeps->count && length < 256; i++) {
        const tern_sweep *s = &sweeps->sweeps[i];
        if (csv)
            length += (size_t)snprintf(out + length, 256 - length, "%.9g,", s->values[sweeps->at[i]]);
        else
            length += (size_t)snprintf(out + length, 256 - length, "%.6g%s%s|", s->shown[sweeps->at[i]],
                                       *s->unit ? " " : "", s->unit);
    }
}
