/* PNG through libpng, whose errors jump back here. */
#include "io/image.h"

#ifdef TERN_HAVE_PNG
#include <png.h>
#include <string.h>

/* What must survive a jump lives here, not in locals. */
typedef struct tern_png {
    const char *name;
    const uint8_t *bytes;
    size_t count, used;
    png_structp png;
    png_infop info;
    tern_tensor image;
    uint8_t *pixels; /* a row; the whole image when interlaced */
    tern_status status;
} tern_png;

static void on_error(png_structp png, png_const_charp text)
{
    tern_png *p = png_get_error_ptr(png);
    if (p->status == TERN_OK)
        p->status = tern_fail(TERN_FAILED, "%s: no readable PNG near byte %zu of %zu: %s", p->name, p->used,
                              p->count, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static png_voidp on_take(png_structp png, png_alloc_size_t bytes)
{
    void *memory = tern_take(bytes);
    tern_png *p = png_get_mem_ptr(png);
    if (!memory) p->status = tern_no_memory(bytes, p->name);
    return memory;
}

static void on_release(png_structp png, png_voidp memory)
{
    (void)png;
    tern_release(memory);
}

static void on_read(png_structp png, png_bytep out, size_t count)
{
    tern_png *p = png_get_io_ptr(png);
    if (count > p->count - p->used) png_error(png, "the file is truncated");
    memcpy(out, p->bytes + p->used, count);
    p->used += count;
}

/* Give up with a status of ours. */
static void leave(tern_png *p, tern_status status)
{
    if (status == TERN_OK) return;
    p->status = status;
    png_longjmp(p->png, 1);
}

static void read_rows(tern_png *p)
{
    png_read_info(p->png, p->info);
    int64_t width = png_get_image_width(p->png, p->info), height = png_get_image_height(p->png, p->info);
    bool colour = png_get_color_type(p->png, p->info) & PNG_COLOR_MASK_COLOR;
    leave(p, tern_image_new(&p->image, colour ? 3 : 1, height, width, p->name));
    png_set_expand(p->png); /* palettes to colour, 1, 2 and 4 bits to 8 */
    png_set_strip_16(p->png);
    png_set_strip_alpha(p->png);
    int passes = png_set_interlace_handling(p->png);
    png_read_update_info(p->png, p->info);
    size_t row = png_get_rowbytes(p->png, p->info), kept = passes > 1 ? (size_t)height : 1;
    if (row != (size_t)width * (colour ? 3 : 1)) png_error(p->png, "unexpected length of a row");
    p->pixels = tern_take_array(kept, row);
    if (!p->pixels) leave(p, tern_no_memory(kept * row, p->name));
    for (int pass = 0; pass < passes; pass++) {
        for (int64_t y = 0; y < height; y++) {
            uint8_t *pixels = p->pixels + (passes > 1 ? (size_t)y * row : 0);
            png_read_row(p->png, pixels, NULL);
            if (pass == passes - 1) tern_image_set_row(&p->image, y, pixels);
        }
    }
    png_read_end(p->png, NULL);
}

/* On its own, so that no local lives across the jump. */
static void guarded(tern_png *p)
{
    p->info = png_create_info_struct(p->png);
    if (!p->info) {
        p->status = tern_no_memory(0, p->name);
        return;
    }
    if (setjmp(png_jmpbuf(p->png))) return;
    png_set_read_fn(p->png, p, on_read);
    png_set_user_limits(p->png, 1 << 26, 1 << 26);
    png_set_chunk_malloc_max(p->png, 1 << 20); /* texts and profiles, which we do not want */
    read_rows(p);
}

tern_status tern_png_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    tern_png p = {.name = name, .bytes = bytes, .count = count};
    p.png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &p, on_error, on_warning, &p, on_take, on_release);
    if (!p.png) return p.status ? p.status : tern_no_memory(0, name);
    guarded(&p);
    png_destroy_read_struct(&p.png, &p.info, NULL);
    tern_release(p.pixels);
    if (p.status != TERN_OK)
        tern_tensor_free(&p.image);
    else
        *out = p.image;
    return p.status;
}
#else
tern_status tern_png_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    (void)bytes, (void)count, (void)out;
    return tern_fail(TERN_FAILED, "%s: this build of Tern has no libpng: install its headers and build again",
                     name);
}
#endif
