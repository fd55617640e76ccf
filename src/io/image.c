/* Images: which reader, planes, size and colour. */
#include "io/image.h"

#include <math.h>
#include <string.h>

#define MOST_PIXELS (64 << 20)

tern_status tern_image_new(tern_tensor *out, int channels, int64_t height, int64_t width, const char *name)
{
    if (height < 1 || width < 1 || height > MOST_PIXELS / width)
        return tern_fail(TERN_FAILED,
                         "%s: %lld x %lld pixels, expected 1 to %d million: make the image smaller", name,
                         (long long)width, (long long)height, MOST_PIXELS >> 20);
    return tern_tensor_new(out, TERN_U8, &TERN_SHAPE(channels, height, width));
}

void tern_image_set_row(tern_tensor *image, int64_t y, const uint8_t *pixels)
{
    int64_t channels = image->shape.dim[0], height = image->shape.dim[1], width = image->shape.dim[2];
    for (int64_t c = 0; c < channels; c++) {
        uint8_t *row = (uint8_t *)image->data + (c * height + y) * width;
        for (int64_t x = 0; x < width; x++) row[x] = pixels[x * channels + c];
    }
}

tern_status tern_image_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    if (count >= 4 && memcmp(bytes, "\x89PNG", 4) == 0) return tern_png_parse(bytes, count, name, out);
    if (count >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) return tern_jpeg_parse(bytes, count, name, out);
    return tern_fail(
        TERN_FAILED,
        "%s: neither PNG nor JPEG by its first bytes (%zu bytes in all): convert the image first", name,
        count);
}

tern_status tern_image_read(const char *path, tern_tensor *out)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status = tern_image_parse(bytes, count, path, out);
    tern_release(bytes);
    return status;
}

/* ---- size ------------------------------------------------------------------------------------------------------- */

/* Sample `o` of a line of `out` samples made from `in`: the mean over what it covers. */
static double area_at(const float *line, int64_t stride, int64_t in, int64_t out, int64_t o)
{
    double ratio = (double)in / (double)out, from = (double)o * ratio, to = from + ratio, sum = 0;
    for (int64_t i = (int64_t)from; i < in && (double)i < to; i++) {
        double low = from > (double)i ? from : (double)i, high = to < (double)(i + 1) ? to : (double)(i + 1);
        sum += (high - low) * (double)line[i * stride];
    }
    return sum / ratio;
}

/* The same: between the two nearest, pixel centres at halves. */
static double bilinear_at(const float *line, int64_t stride, int64_t in, int64_t out, int64_t o)
{
    double at = ((double)o + 0.5) * (double)in / (double)out - 0.5;
    if (at < 0) at = 0;
    if (at > (double)(in - 1)) at = (double)(in - 1);
    int64_t i = (int64_t)at, next = i + 1 < in ? i + 1 : i;
    double part = at - (double)i;
    return (1 - part) * (double)line[i * stride] + part * (double)line[next * stride];
}

/* One plane: rows first, into `wide` [H,width], then columns. */
static void resize_plane(const uint8_t *in, int64_t h, int64_t w, tern_resize_kind kind, float *line,
                         float *wide, uint8_t *out, int64_t height, int64_t width)
{
    double (*at)(const float *, int64_t, int64_t, int64_t, int64_t) =
        kind == TERN_RESIZE_AREA ? area_at : bilinear_at;
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++) line[x] = in[y * w + x];
        for (int64_t x = 0; x < width; x++) wide[y * width + x] = (float)at(line, 1, w, width, x);
    }
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            out[y * width + x] = (uint8_t)floor(at(wide + x, width, h, height, y) + 0.5);
}

tern_status tern_image_resize(const tern_tensor *image, int height, int width, tern_resize_kind kind,
                              tern_tensor *out)
{
    int64_t channels = image->shape.dim[0], h = image->shape.dim[1], w = image->shape.dim[2];
    tern_tensor t = {0};
    TERN_TRY(tern_image_new(&t, (int)channels, height, width, "resize"));
    float *line = tern_take_array((size_t)w, sizeof *line);
    float *wide = tern_take_array((size_t)(h * width), sizeof *wide);
    if (line && wide) {
        for (int64_t c = 0; c < channels; c++)
            resize_plane((const uint8_t *)image->data + c * h * w, h, w, kind, line, wide,
                         (uint8_t *)t.data + c * height * width, height, width);
        *out = t;
    }
    tern_release(line);
    tern_release(wide);
    if (line && wide) return TERN_OK;
    tern_tensor_free(&t);
    return tern_no_memory((size_t)(h * width) * sizeof(float), "resizing");
}

tern_status tern_image_grey(const tern_tensor *image, tern_tensor *out)
{
    int64_t channels = image->shape.dim[0], size = image->shape.dim[1] * image->shape.dim[2];
    TERN_TRY(tern_image_new(out, 1, image->shape.dim[1], image->shape.dim[2], "grey"));
    const uint8_t *r = image->data, *g = r + (channels == 3 ? size : 0), *b = g + (channels == 3 ? size : 0);
    uint8_t *grey = out->data;
    for (int64_t i = 0; i < size; i++)
        grey[i] = (uint8_t)((299 * r[i] + 587 * g[i] + 114 * b[i] + 500) / 1000);
    return TERN_OK;
}
