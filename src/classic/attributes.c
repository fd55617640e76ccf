/* Attributes of an estimator: each is checked for its type, shape and range. */
#include "classic/attributes.h"

#ifdef TERN_HAVE_JANSSON

#include <stdio.h>
#include <string.h>

static tern_status missing(const tern_attributes *from, const char *key)
{
    return tern_fail(
        TERN_FAILED,
        "%s: there is no attribute \"%s\"; was the estimator fitted, and written by tern.scikit?", from->name,
        key);
}

/* Fills *at onward from the list at this level. */
static tern_status fill(const tern_attributes *from, json_t *list, const char *key, int rank,
                        const int64_t *dims, double **at)
{
    if (rank == 0) {
        if (!json_is_number(list))
            return tern_fail(TERN_FAILED, "%s: \"%s\" holds something that is no number", from->name, key);
        *(*at)++ = json_number_value(list);
        return TERN_OK;
    }
    if (!json_is_array(list) || (int64_t)json_array_size(list) != dims[0])
        return tern_fail(TERN_FAILED, "%s: \"%s\": expected a list of %lld, found %s of %zu", from->name, key,
                         (long long)dims[0], json_is_array(list) ? "a list" : "no list",
                         json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++)
        TERN_TRY(fill(from, json_array_get(list, i), key, rank - 1, dims + 1, at));
    return TERN_OK;
}

tern_status tern_attribute_array(tern_attributes *from, json_t *object, const char *key, int rank,
                                 int64_t *dims, double **values)
{
    json_t *list = json_object_get(object, key), *level = list;
    size_t count = 1;
    if (!list) return missing(from, key);
    for (int d = 0; d < rank; d++, level = json_array_get(level, 0)) {
        int64_t found = (int64_t)json_array_size(level);
        char expected[32];
        snprintf(expected, sizeof expected, dims[d] < 0 ? "at least 1" : "%lld", (long long)dims[d]);
        if (!json_is_array(level) || found < 1 || (dims[d] >= 0 && dims[d] != found))
            return tern_fail(TERN_FAILED, "%s: \"%s\": axis %d has %lld elements, expected %s", from->name,
                             key, d, (long long)found, expected);
        dims[d] = found;
        if (count > (size_t)INT32_MAX / (size_t)found)
            return tern_fail(TERN_FAILED, "%s: \"%s\" has more than 2^31 numbers", from->name, key);
        count *= (size_t)found;
    }
    double *at = *values = tern_arena_take(&from->arena, count * sizeof **values);
    if (!at) return tern_no_memory(count * sizeof *at, key);
    return fill(from, list, key, rank, dims, &at);
}

tern_status tern_attribute_whole(tern_attributes *from, const char *key, int64_t low, int64_t high,
                                 int64_t *value)
{
    json_t *found = json_object_get(from->root, key);
    if (!found) return missing(from, key);
    *value = json_integer_value(found);
    if (json_is_integer(found) && *value >= low && *value <= high) return TERN_OK;
    char text[32] = "no number";
    if (json_is_number(found)) snprintf(text, sizeof text, "%.10g", json_number_value(found));
    return tern_fail(TERN_FAILED, "%s: \"%s\" is %s, expected a whole number from %lld to %lld", from->name,
                     key, text, (long long)low, (long long)high);
}

tern_status tern_attribute_text(tern_attributes *from, const char *key, const char *allowed,
                                const char **value)
{
    json_t *found = json_object_get(from->root, key);
    const char *text = json_string_value(found);
    for (const char *a = allowed; a; a = strchr(a, '|')) {
        a += *a == '|';
        size_t length = strcspn(a, "|");
        if (found && !(text && strlen(text) == length && strncmp(text, a, length) == 0)) continue;
        *value = found ? text : "";
        return TERN_OK;
    }
    return tern_fail(TERN_FAILED, "%s: \"%s\" is %s%.40s%s, expected %s", from->name, key, text ? "\"" : "",
                     text ? text : "no text", text ? "\"" : "", allowed);
}

#endif
