/* Random strings of mixed scripts, code, emoji, spaces and broken UTF-8: the same ones as golden/llm/strings.py makes. */
#ifndef TERN_TEST_TOKEN_STRINGS_H
#define TERN_TEST_TOKEN_STRINGS_H

#include "test.h"

#include "llm/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct token_piece {
    const char *text;
    size_t size; /* 0: a character from low..high */
    uint32_t low, high;
} token_piece;

typedef struct token_pieces {
    char *bytes;
    token_piece items[1024];
    size_t count;
} token_pieces;

/* SplitMix64 */
static inline uint64_t token_below(uint64_t *state, uint64_t bound)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % bound;
}

/* In place; the new size. */
static inline size_t token_unescape(char *text, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (c == '\\') {
            c = text[++i];
            if (c == 'x') {
                char digits[3] = {text[i + 1], text[i + 2], 0};
                c = (char)strtol(digits, NULL, 16);
                i += 2;
            } else {
                c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
            }
        }
        text[out++] = c;
    }
    return out;
}

static inline void token_pieces_open(token_pieces *p)
{
    size_t count;
    memset(p, 0, sizeof *p);
    assert_ok(tern_read_file(TERN_TESTS "/golden/llm/pieces.txt", &p->bytes, &count));
    bool comment = true;
    for (char *at = p->bytes, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        token_piece *item = &p->items[p->count];
        if (end != at && !comment) {
            *end = 0;
            if (sscanf(at, "U+%x-%x", &item->low, &item->high) != 2)
                *item = (token_piece){.text = at, .size = token_unescape(at, (size_t)(end - at))};
            p->count++;
        }
        comment = false;
    }
}

static inline void token_string(const token_pieces *p, uint64_t seed, tern_text *out)
{
    uint64_t state = seed, parts = 1 + token_below(&state, 12);
    out->size = 0;
    for (uint64_t part = 0; part < parts; part++) {
        const token_piece *piece = &p->items[token_below(&state, p->count)];
        uint64_t times = token_below(&state, 4);
        times = 1 + times * (token_below(&state, 8) == 0);
        for (uint64_t k = 0; k < times; k++) {
            if (piece->size)
                tern_text_add(out, piece->text, piece->size);
            else
                tern_utf8_put(out, piece->low + (uint32_t)token_below(&state, piece->high - piece->low + 1));
        }
        if (token_below(&state, 4) == 0) tern_text_put(out, " ");
    }
    assert_ok(tern_text_status(out));
}

#endif
