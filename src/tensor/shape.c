/* Shapes. */
#include "tensor/tensor.h"

#include <string.h>

int64_t tern_elements(const tern_shape *shape)
{
    return tern_elements_upto(shape, shape->rank);
}

int64_t tern_elements_from(const tern_shape *shape, int axis)
{
    int64_t count = 1;
    for (int i = axis; i < shape->rank; i++) count *= shape->dim[i];
    return count;
}

int64_t tern_elements_upto(const tern_shape *shape, int axis)
{
    int64_t count = 1;
    for (int i = 0; i < axis; i++) count *= shape->dim[i];
    return count;
}

bool tern_shape_equal(const tern_shape *a, const tern_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

char *tern_shape_text(char out[96], const tern_shape *shape)
{
    size_t at = 0;
    out[at++] = '[';
    for (int i = 0; i < shape->rank && i < TERN_MAX_RANK && at < 72; i++)
        at += (size_t)snprintf(out + at, 96 - at, "%s%lld", i ? "," : "", (long long)shape->dim[i]);
    out[at++] = ']';
    out[at] = 0;
    return out;
}

tern_status tern_shape_check(const tern_shape *shape, const char *what)
{
    if (shape->rank < 0 || shape->rank > TERN_MAX_RANK)
        return tern_fail(TERN_FAILED, "%s: rank %d, expected 0 to %d axes", what, shape->rank, TERN_MAX_RANK);
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++) {
        int64_t dim = shape->dim[i];
        if (dim < 0) return tern_fail(TERN_FAILED, "%s: axis %d has length %lld", what, i, (long long)dim);
        if (dim == 0) continue; /* products of part of the axes must not overflow either */
        if (count > ((int64_t)1 << 56) / dim) {
            char text[96];
            return tern_fail(TERN_FAILED, "%s: shape %s holds more elements than any memory", what,
                             tern_shape_text(text, shape));
        }
        count *= dim;
    }
    return TERN_OK;
}
