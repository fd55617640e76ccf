/* Growing strings, quantities for people, and the nearest known name. */
#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void tern_text_add(tern_text *text, const char *bytes, size_t count)
{
    if (text->failed) return;
    if (text->size + count + 1 > text->capacity) {
        size_t wanted = text->capacity ? text->capacity : 128;
        while (wanted < text->size + count + 1) wanted *= 2;
        char *bigger = tern_resize(text->data, text->capacity, wanted);
        if (!bigger) {
            text->failed = true;
            return;
        }
        text->data = bigger;
        text->capacity = wanted;
    }
    if (count > 0) memcpy(text->data + text->size, bytes, count); /* bytes may be NULL when there are none */
    text->size += count;
    text->data[text->size] = 0;
}

void tern_text_put(tern_text *text, const char *string)
{
    tern_text_add(text, string, strlen(string));
}

void tern_text_format(tern_text *text, const char *format, ...)
{
    char small[256];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(small, sizeof small, format, arguments);
    if (length >= 0 && (size_t)length < sizeof small) {
        tern_text_add(text, small, (size_t)length);
    } else if (length >= 0) {
        char *big = tern_take((size_t)length + 1);
        if (big) {
            vsnprintf(big, (size_t)length + 1, format, again);
            tern_text_add(text, big, (size_t)length);
        } else {
            text->failed = true;
        }
        tern_release(big);
    }
    va_end(again);
    va_end(arguments);
}

tern_status tern_text_status(const tern_text *text)
{
    return text->failed ? tern_no_memory(text->capacity, "a text") : TERN_OK;
}

void tern_text_free(tern_text *text)
{
    tern_release(text->data);
    *text = (tern_text){0};
}

char *tern_human(char out[24], double value, const char *unit)
{
    static const char *const prefixes[] = {"p", "n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    double magnitude = fabs(value);
    int prefix = 4;
    bool whole = strcmp(unit, "B") == 0 || unit[0] == 0; /* half a byte is no millibyte */
    while (magnitude >= 999.5 && prefix < 10) {
        magnitude /= 1000;
        value /= 1000;
        prefix++;
    }
    while (magnitude > 0 && magnitude < 0.9995 && prefix > 0 && !whole) {
        magnitude *= 1000;
        value *= 1000;
        prefix--;
    }
    int decimals = magnitude >= 99.95 || (whole && prefix == 4) ? 0 : magnitude >= 9.995 ? 1 : 2;
    snprintf(out, 24, "%.*f %s%s", decimals, value, prefixes[prefix], unit);
    size_t length = strlen(out);
    if (out[length - 1] == ' ') out[length - 1] = 0;
    return out;
}

tern_status tern_parse_bytes(const char *text, double *bytes)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1},          {"B", 1},           {"K", 1e3},         {"M", 1e6},    {"G", 1e9},
                 {"T", 1e12},      {"KB", 1e3},        {"kB", 1e3},        {"k", 1e3},    {"MB", 1e6},
                 {"GB", 1e9},      {"TB", 1e12},       {"Ki", 1024},       {"KiB", 1024}, {"Mi", 1048576},
                 {"MiB", 1048576}, {"Gi", 1073741824}, {"GiB", 1073741824}};
    char *end;
    double value = strtod(text, &end);
    while (*end == ' ') end++;
    for (size_t i = 0; i < TERN_COUNT(units); i++) {
        if (end == text || strcmp(end, units[i].name) != 0 || !(value >= 0) || isinf(value)) continue;
        *bytes = value * units[i].factor;
        return TERN_OK;
    }
    return tern_fail(TERN_USAGE, "\"%s\" is no number of bytes; expected for example 200M, 320KiB or 4096",
                     text);
}

/* Edit distance, at most 32 characters of b. */
static int distance(const char *a, const char *b)
{
    int row[33], n = (int)strlen(b);
    if (n > 32) return 99;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]), insert = row[j - 1] + 1, erase = row[j] + 1;
            diagonal = row[j];
            row[j] = change < insert ? change : insert;
            if (erase < row[j]) row[j] = erase;
        }
    }
    return row[n];
}

const char *tern_nearest(const char *name, const char *const *known, size_t count)
{
    const char *best = NULL;
    int half = (int)strlen(name) / 2, least = (half < 3 ? half : 3) + 1; /* of "nope" nothing is meant */
    for (size_t i = 0; i < count; i++) {
        int d = distance(name, known[i]);
        if (d < least) {
            least = d;
            best = known[i];
        }
    }
    return best;
}

bool tern_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}
