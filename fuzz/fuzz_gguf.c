/* GGUF: the header, and every value and element that it promises. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_weights w = {0};
    volatile double sum = 0;
    TERN_TRY(tern_gguf_parse(bytes, count, "fuzz", &w));
    for (int i = 0; i < w.meta_count; i++) {
        const tern_meta *m = &w.metas[i];
        const uint8_t *at = NULL;
        const char *text;
        size_t size;
        for (int64_t k = 0; k < m->count && k < 4096; k++) sum += tern_meta_number(m, k);
        while (tern_meta_next(m, &at, &text, &size)) sum += size ? text[size - 1] : 0;
    }
    for (int i = 0; i < w.count; i++) {
        int64_t n = tern_elements(&w.tensors[i].shape);
        if (n) sum += tern_get(&w.tensors[i], 0) + tern_get(&w.tensors[i], n - 1);
    }
    tern_weights_close(&w);
    return TERN_OK;
}

TERN_FUZZER(parse)
