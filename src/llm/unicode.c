/* Characters: UTF-8, general categories, lower case, canonical normalisation (Unicode standard annex 15). */
#include "llm/unicode.h"

#include "llm/unicode.inc"

#include <string.h>

/* Length that a first byte promises, 0 for none, and the range of the second byte. */
static int promised(uint8_t first, uint8_t *low, uint8_t *high)
{
    *low = 0x80, *high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    if (first == 0xE0) *low = 0xA0;
    if (first == 0xED) *high = 0x9F;
    if (first == 0xF0) *low = 0x90;
    if (first == 0xF4) *high = 0x8F;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

size_t tern_utf8_decode(const char *bytes, size_t left, uint32_t *code, bool *valid)
{
    const uint8_t *p = (const uint8_t *)bytes;
    uint8_t low, high;
    int length = promised(p[0], &low, &high), have = 1;
    *code = length == 1 ? p[0] : p[0] & (0x7Fu >> length);
    for (; have < length && (size_t)have < left; have++) {
        if (p[have] < low || p[have] > high) break;
        *code = *code << 6 | (p[have] & 0x3F);
        low = 0x80, high = 0xBF;
    }
    *valid = have == length;
    if (!*valid) *code = TERN_REPLACEMENT;
    return (size_t)have;
}

size_t tern_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00u >> length) | code);
    return length;
}

void tern_utf8_put(tern_text *out, uint32_t code)
{
    char bytes[4];
    tern_text_add(out, bytes, tern_utf8_encode(code, bytes));
}

size_t tern_utf8_unfinished(const char *bytes, size_t count)
{
    for (size_t back = 1; back <= 3 && back <= count; back++) {
        uint8_t low, high, first = (uint8_t)bytes[count - back];
        if ((first & 0xC0) == 0x80) continue;
        if ((size_t)promised(first, &low, &high) <= back) return 0;
        if (back > 1 && ((uint8_t)bytes[count - back + 1] < low || (uint8_t)bytes[count - back + 1] > high))
            return 0;
        return back;
    }
    return 0;
}

void tern_utf8_mend(tern_text *out, const char *bytes, size_t count, bool each_byte)
{
    size_t from = 0, at = 0;
    while (at < count) {
        uint32_t code;
        bool valid = (uint8_t)bytes[at] < 0x80;
        size_t length = valid ? 1 : tern_utf8_decode(bytes + at, count - at, &code, &valid);
        if (!valid) {
            tern_text_add(out, bytes + from, at - from);
            for (size_t i = 0; i < (each_byte ? length : 1); i++) tern_utf8_put(out, TERN_REPLACEMENT);
            from = at + length;
        }
        at += length;
    }
    tern_text_add(out, bytes + from, count - from);
}

/* The last run that begins at or before code. */
static uint32_t run_value(const uint32_t *runs, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (runs[middle] >> 8 <= code)
            low = middle;
        else
            high = middle;
    }
    return runs[low] & 0xFF;
}

/* The row whose first `keys` numbers are key, or NULL. */
static const uint32_t *find_row(const uint32_t *rows, size_t count, int width, int keys, const uint32_t *key)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const uint32_t *row = rows + middle * (size_t)width;
        int order = row[0] < key[0] ? -1 : row[0] > key[0];
        if (order == 0 && keys > 1) order = row[1] < key[1] ? -1 : row[1] > key[1];
        if (order == 0) return row;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

tern_category tern_category_of(uint32_t code)
{
    return (tern_category)run_value(category_runs, TERN_COUNT(category_runs), code);
}

bool tern_is_space(uint32_t code)
{
    if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
    if (code == 0x85) return true;
    tern_category c = tern_category_of(code);
    return c == TERN_ZS || c == TERN_ZL || c == TERN_ZP;
}

bool tern_is_number(uint32_t code)
{
    if (code < 0x80) return code >= '0' && code <= '9';
    tern_category c = tern_category_of(code);
    return c >= TERN_ND && c <= TERN_NO;
}

bool tern_is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) ||
               (code >= 123 && code <= 126);
    tern_category c = tern_category_of(code);
    return c >= TERN_PC && c <= TERN_PO;
}

bool tern_is_word(uint32_t code)
{
    tern_category c = tern_category_of(code);
    return c <= TERN_ND || c == TERN_NL || c == TERN_PC;
}

void tern_put_lower(tern_text *out, uint32_t code)
{
    if (code < 0x80) {
        char byte = (char)(code >= 'A' && code <= 'Z' ? code + 32 : code);
        tern_text_add(out, &byte, 1);
        return;
    }
    const uint32_t *row = find_row(lower_pairs, TERN_COUNT(lower_pairs) / 2, 2, 1, &code);
    tern_utf8_put(out, code == 0x130 ? 'i' : row ? row[1] : code);
    if (code == 0x130) tern_utf8_put(out, 0x307);
}

void tern_put_upper(tern_text *out, uint32_t code)
{
    uint32_t upper = code >= 'a' && code <= 'z' ? code - 32 : code;
    for (size_t i = 0; code >= 0x80 && i < TERN_COUNT(lower_pairs) && upper == code; i += 2)
        if (lower_pairs[i + 1] == code && tern_category_of(lower_pairs[i]) != TERN_LT) upper = lower_pairs[i];
    if (code == 0xDF)
        tern_text_put(out, "SS");
    else
        tern_utf8_put(out, upper);
}

/* ---- canonical normalisation ------------------------------------------------------------------------------- */

enum {
    S_BASE = 0xAC00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11A7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28
};

static uint32_t class_of(uint32_t code)
{
    return code < 0x300 ? 0 : run_value(class_runs, TERN_COUNT(class_runs), code);
}

static void decompose(tern_text *codes, uint32_t code)
{
    if (code >= S_BASE && code < S_BASE + L_COUNT * V_COUNT * T_COUNT) { /* Hangul by arithmetic */
        uint32_t s = code - S_BASE,
                 part[3] = {L_BASE + s / (V_COUNT * T_COUNT), V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT,
                            T_BASE + s % T_COUNT};
        tern_text_add(codes, (const char *)part, part[2] == T_BASE ? 8 : 12);
        return;
    }
    const uint32_t *row =
        code < 0xC0 ? NULL : find_row(decompositions, TERN_COUNT(decompositions) / 3, 3, 1, &code);
    if (!row) {
        tern_text_add(codes, (const char *)&code, 4);
        return;
    }
    decompose(codes, row[1]); /* depth: that of the tables, 3 */
    if (row[2]) tern_text_add(codes, (const char *)&row[2], 4);
}

/* Marks in the order of their classes, equal ones in theirs: by insertion, or where an attacker put many, by counting. */
static bool order_run(uint32_t *codes, size_t count)
{
    if (count > 64) {
        size_t first[257] = {0};
        uint32_t *copy = tern_take_array(count, sizeof *copy);
        if (!copy) return false;
        for (size_t i = 0; i < count; i++) first[class_of(codes[i]) + 1]++;
        for (int c = 0; c < 256; c++) first[c + 1] += first[c];
        memcpy(copy, codes, count * sizeof *copy);
        for (size_t i = 0; i < count; i++) codes[first[class_of(copy[i])]++] = copy[i];
        tern_release(copy);
        return true;
    }
    for (size_t i = 1; i < count; i++) {
        uint32_t code = codes[i], class = class_of(code);
        size_t k = i;
        for (; k && class_of(codes[k - 1]) > class; k--) codes[k] = codes[k - 1];
        codes[k] = code;
    }
    return true;
}

static bool order_marks(uint32_t *codes, size_t count)
{
    for (size_t from = 0; from < count;) {
        size_t to = from;
        while (to < count && class_of(codes[to])) to++;
        if (!order_run(codes + from, to - from)) return false;
        from = to + 1;
    }
    return true;
}

static uint32_t composed(uint32_t a, uint32_t b)
{
    if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a >= S_BASE && a < S_BASE + L_COUNT * V_COUNT * T_COUNT && (a - S_BASE) % T_COUNT == 0 &&
        b > T_BASE && b < T_BASE + T_COUNT)
        return a + (b - T_BASE);
    const uint32_t *row = find_row(compositions, TERN_COUNT(compositions) / 3, 3, 2, (uint32_t[]){a, b});
    return row ? row[2] : 0;
}

static size_t compose(uint32_t *codes, size_t count)
{
    size_t out = 0, starter = SIZE_MAX;
    uint32_t last = 0; /* class of the character before */
    for (size_t i = 0; i < count; i++) {
        uint32_t code = codes[i], class = class_of(code), whole = 0;
        bool free_way = starter != SIZE_MAX && (out == starter + 1 || (last < class && last != 0));
        if (free_way) whole = composed(codes[starter], code);
        if (whole) {
            codes[starter] = whole;
            continue;
        }
        if (class == 0) starter = out;
        last = class;
        codes[out++] = code;
    }
    return out;
}

static bool is_ascii(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] & 0x80) return false;
    return true;
}

void tern_normalise_canonical(tern_text *out, const char *bytes, size_t count, bool do_compose)
{
    if (is_ascii(bytes, count)) {
        tern_text_add(out, bytes, count);
        return;
    }
    tern_text codes = {0};
    for (size_t at = 0; at < count;) {
        uint32_t code;
        bool valid;
        at += tern_utf8_decode(bytes + at, count - at, &code, &valid);
        decompose(&codes, code);
    }
    uint32_t *all = (uint32_t *)(void *)codes.data;
    size_t left = codes.size / 4;
    if (codes.failed || !order_marks(all, left)) {
        out->failed = true;
    } else {
        if (do_compose) left = compose(all, left);
        for (size_t i = 0; i < left; i++) tern_utf8_put(out, all[i]);
    }
    tern_text_free(&codes);
}
