/* Small images inside a page: PNG with stored blocks (RFC 1950, 1951, 2083), and base64 (RFC 4648). */
#include "cli/report.h"

#include <string.h>

#define STORED 65535 /* most bytes of a stored block */

static void big_endian(uint8_t out[4], uint32_t value)
{
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void chunk(tern_text *out, const char *kind, const void *bytes, size_t count)
{
    uint8_t number[4];
    uint32_t crc = tern_crc32(tern_crc32(0, kind, 4), bytes, count);
    big_endian(number, (uint32_t)count);
    tern_text_add(out, (const char *)number, 4);
    tern_text_add(out, kind, 4);
    tern_text_add(out, bytes, count);
    big_endian(number, crc);
    tern_text_add(out, (const char *)number, 4);
}

/* zlib stream of stored blocks. */
static void store(tern_text *out, const uint8_t *bytes, size_t count)
{
    uint32_t a = 1, b = 0;
    uint8_t number[4];
    for (size_t i = 0; i < count; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    tern_text_add(out, "\x78\x01", 2);
    for (size_t at = 0; at < count || at == 0; at += STORED) {
        size_t n = count - at < STORED ? count - at : STORED;
        uint8_t head[5] = {at + n == count, n & 255, (uint8_t)(n >> 8), ~n & 255, (uint8_t)(~n >> 8)};
        tern_text_add(out, (const char *)head, 5);
        tern_text_add(out, (const char *)bytes + at, n);
    }
    big_endian(number, b << 16 | a);
    tern_text_add(out, (const char *)number, 4);
}

tern_status tern_png_encode(tern_text *out, const uint8_t *pixels, int width, int height, int channels)
{
    tern_text rows = {0}, packed = {0};
    uint8_t head[13] = {[8] = 8, [9] = channels == 3 ? 2 : 0};
    size_t row = (size_t)width * (size_t)channels;
    big_endian(head, (uint32_t)width);
    big_endian(head + 4, (uint32_t)height);
    for (int y = 0; y < height; y++) {
        tern_text_add(&rows, "", 1); /* filter of the row: none */
        tern_text_add(&rows, (const char *)pixels + (size_t)y * row, row);
    }
    tern_status status = tern_text_status(&rows);
    if (status == TERN_OK) store(&packed, (const uint8_t *)rows.data, rows.size);
    if (status == TERN_OK) status = tern_text_status(&packed);
    if (status == TERN_OK) {
        tern_text_add(out, "\x89PNG\r\n\x1a\n", 8);
        chunk(out, "IHDR", head, sizeof head);
        chunk(out, "IDAT", packed.data, packed.size);
        chunk(out, "IEND", "", 0);
        status = tern_text_status(out);
    }
    tern_text_free(&rows);
    tern_text_free(&packed);
    return status;
}

void tern_base64(tern_text *out, const void *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i += 3) {
        size_t left = count - i;
        uint32_t three =
            (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        char four[4];
        for (int k = 0; k < 4; k++) four[k] = digits[three >> (18 - 6 * k) & 63];
        if (left < 3) four[3] = '=';
        if (left < 2) four[2] = '=';
        tern_text_add(out, four, 4);
    }
}
