/* Memory that is released all at once. */
#include "base/base.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)64 << 10)

struct tern_arena_block {
    struct tern_arena_block *next;
    size_t size, used;
    _Alignas(16) char bytes[];
};

void *tern_arena_take(tern_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 4) return NULL;
    size_t whole = (bytes + 15) / 16 * 16;
    struct tern_arena_block *block = arena->head;
    if (!block || block->size - block->used < whole) {
        size_t size = whole > BLOCK_BYTES ? whole : BLOCK_BYTES;
        block = tern_take(sizeof *block + size);
        if (!block) return NULL;
        block->size = size;
        block->next = arena->head;
        arena->head = block;
    }
    void *memory = block->bytes + block->used;
    block->used += whole;
    arena->used += whole;
    return memory;
}

char *tern_arena_string(tern_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = tern_arena_take(arena, size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

char *tern_arena_format(tern_arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length < 0 ? NULL : tern_arena_take(arena, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    return text;
}

void tern_arena_free(tern_arena *arena)
{
    while (arena->head) {
        struct tern_arena_block *next = arena->head->next;
        tern_release(arena->head);
        arena->head = next;
    }
    arena->used = 0;
}
