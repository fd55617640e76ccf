/* Sets of strings that are walked byte by byte. */
#include "llm/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    const tern_span *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    if (order) return order;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

tern_status tern_prefixes_open(tern_prefixes *set, tern_span *spans, size_t count)
{
    size_t kept = 0;
    if (count) qsort(spans, count, sizeof *spans, by_text);
    for (size_t i = 0; i < count; i++) /* of equal ones the first id counts */
        if (spans[i].size && (!kept || spans[kept - 1].size != spans[i].size ||
                              memcmp(spans[kept - 1].text, spans[i].text, spans[i].size) != 0))
            spans[kept++] = spans[i];
    *set = (tern_prefixes){.spans = spans, .count = (uint32_t)kept};
    for (uint32_t i = 0; i < kept; i++) set->first[(uint8_t)spans[i].text[0] + 1] = i + 1;
    for (int b = 1; b <= 256; b++)
        if (set->first[b] < set->first[b - 1]) set->first[b] = set->first[b - 1];
    return TERN_OK;
}

void tern_prefixes_close(tern_prefixes *set)
{
    tern_release(set->spans);
    *set = (tern_prefixes){0};
}

/* The first span of the range whose byte at `depth` is not below `byte`; all are longer than depth. */
static uint32_t bound(const tern_prefixes *set, uint32_t low, uint32_t high, uint32_t depth, int byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint8_t)set->spans[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool tern_prefixes_step(const tern_prefixes *set, tern_walk *walk, uint8_t byte)
{
    if (walk->depth == 0) {
        *walk = (tern_walk){set->first[byte], set->first[byte + 1], 1};
        return walk->low < walk->high;
    }
    uint32_t low = walk->low + (set->spans[walk->low].size == walk->depth);
    low = bound(set, low, walk->high, walk->depth, byte);
    walk->high = bound(set, low, walk->high, walk->depth, byte + 1);
    walk->low = low;
    walk->depth++;
    return walk->low < walk->high;
}

const tern_span *tern_prefixes_longest(const tern_prefixes *set, const char *text, size_t left)
{
    const tern_span *longest = NULL;
    tern_walk walk = tern_prefixes_root(set);
    for (size_t i = 0; i < left && tern_prefixes_step(set, &walk, (uint8_t)text[i]); i++) {
        const tern_span *here = tern_prefixes_here(set, &walk);
        if (here) longest = here;
    }
    return longest;
}
