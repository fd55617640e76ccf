/* Tensors that own their memory, and casts. */
#include "tensor/tensor.h"

tern_status tern_tensor_new(tern_tensor *tensor, tern_dtype dtype, const tern_shape *shape)
{
    TERN_TRY(tern_shape_check(shape, "tensor"));
    size_t bytes = tern_bytes_of(dtype, tern_elements(shape));
    void *data = tern_take(bytes);
    char text[96];
    if (!data) return tern_no_memory(bytes, tern_shape_text(text, shape));
    *tensor = (tern_tensor){dtype, *shape, data};
    return TERN_OK;
}

void tern_tensor_free(tern_tensor *tensor)
{
    tern_release(tensor->data);
    *tensor = (tern_tensor){0};
}

tern_status tern_tensor_cast(tern_tensor *to, const tern_tensor *from)
{
    int64_t count = tern_elements(&from->shape);
    char a[96], b[96];
    if (count != tern_elements(&to->shape))
        return tern_fail(TERN_FAILED, "cast: %s and %s have different element counts",
                         tern_shape_text(a, &from->shape), tern_shape_text(b, &to->shape));
    int64_t step = tern_dtype_of(to->dtype)->block; /* whole blocks, so that each is encoded once */
    if (step < 256) step = 256;
    double *chunk = tern_take_array((size_t)step, sizeof *chunk);
    if (!chunk) return tern_no_memory((size_t)step * sizeof *chunk, "a cast");
    for (int64_t i = 0; i < count; i += step) {
        int64_t n = count - i < step ? count - i : step;
        tern_dtype_of(from->dtype)->decode(from->data, i, n, chunk);
        tern_dtype_of(to->dtype)->encode(to->data, i, n, chunk);
    }
    tern_release(chunk);
    return TERN_OK;
}

int64_t tern_count_bits(const tern_tensor *bits)
{
    const uint64_t *words = bits->data;
    size_t count = tern_bytes_of(TERN_BIT, tern_elements(&bits->shape)) / 8;
    int64_t ones = 0;
    for (size_t i = 0; i < count; i++) ones += __builtin_popcountll(words[i]);
    return ones;
}
