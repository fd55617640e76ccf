/* Convolutions of bytes as C.  Patches of four pixels go through all outputs together, so that weights are read once; planes with a kernel of
 * their own (depthwise) go row by row through copies of rows that have their zeros beside them, so that no tap asks where it is. */
#include "op/int8_text.h"

#include <stdio.h>

void tern_int8_write_constants(const tern_call *call, tern_emit *to)
{
    tern_text_format(to->text, "    const int32_t zero = in5[%d], low = in5[%d], high = in5[%d];\n",
                     TERN_Y_ZERO, TERN_Y_LOW, TERN_Y_HIGH);
    if (tern_int8_has_mask(call)) tern_write_clear(to, call, 1);
}

tern_int8_scale_text tern_int8_scale_of_output(const tern_call *call, const char *o)
{
    tern_int8_scale_text s;
    const char *at = tern_elements(&call->in[TERN_IN_MULTIPLIER].shape) > 1 ? o : "0";
    snprintf(s.multiplier, sizeof s.multiplier, "in3[%s]", at);
    snprintf(s.shift, sizeof s.shift, "in4[%s]", at);
    return s;
}

void tern_int8_write_output(const tern_call *call, tern_emit *to, const char *indent, const char *i,
                            const char *sum, const tern_int8_scale_text *scale)
{
    if (!tern_int8_has_mask(call)) {
        tern_text_format(to->text, "%sout0[%s] = clamp_byte(requantise(%s, %s, %s) + zero, low, high);\n",
                         indent, i, sum, scale->multiplier, scale->shift);
        return;
    }
    tern_text_format(to->text,
                     "%s{\n%s    int32_t y = requantise(%s, %s, %s) + zero;\n"
                     "%s    out0[%s] = clamp_byte(y, low, high);\n"
                     "%s    if (y >= low && y <= high) set_bit(out1, %s);\n%s}\n",
                     indent, indent, sum, scale->multiplier, scale->shift, indent, i, indent, i, indent);
}

/* ---- planes ---------------------------------------------------------------------------------------------------------- */

static bool is_depthwise(const tern_conv *c)
{
    return c->groups == c->in_channels && c->out_channels == c->groups;
}

/* Whether the rows of planes go through plane_row_3. */
static bool by_rows(const tern_conv *c)
{
    return is_depthwise(c) && c->kernel_height == 3 && c->kernel_width == 3 && c->dilation_y == 1 &&
           c->dilation_x == 1;
}

/* Bytes of a copied row: what is read of it, or what is written. */
static long long line_bytes(const tern_conv *c)
{
    long long columns = (c->out_width + 1) / 2 * 2, seen = (columns - 1) * c->stride_x + 4;
    long long kept = c->pad_x + c->width;
    return ((seen > kept ? seen : kept) + 3) / 4 * 4;
}

static long long row_sums(const tern_conv *c)
{
    return (c->out_width + 1) / 2 * 2;
}

/* Three copied rows in turn, and one that is outside of every image. */
static void write_rows(const tern_call *call, const tern_conv *c, tern_emit *to)
{
    static const tern_int8_scale_text scale = {"multiplier", "shift"};
    long long line = line_bytes(c), plane = c->height * c->width;
    tern_int8_scale_text of = tern_int8_scale_of_output(call, "o");
    tern_text *t = to->text;
    tern_text_format(
        t,
        "    int32_t *sums = scratch; /* of a row */\n"
        "    int8_t *lines = (int8_t *)(sums + %lld); /* three rows between zeros, and one outside */\n"
        "    int out = 0;\n"
        "    for (int i = 0; i < %lld; i++) lines[i] = (int8_t)in5[%d];\n"
        "    for (int n = 0; n < %lld; n++)\n"
        "    for (int o = 0; o < %lld; o++) {\n"
        "        const int8_t *plane = in0 + (n * %lld + o) * %lld;\n",
        row_sums(c), 4 * line, TERN_X_ZERO, (long long)c->images, (long long)c->out_channels,
        (long long)c->in_channels, plane);
    tern_text_format(t,
                     "        const int32_t bias = in2[o], multiplier = %s;\n"
                     "        const int shift = %s;\n"
                     "        int next = 0; /* the row that is copied next */\n"
                     "        for (int y = 0; y < %lld; y++) {\n"
                     "            const int8_t *rows[3];\n"
                     "            for (int k = 0; k < 3; k++) {\n"
                     "                int row = y * %lld + k - %lld, inside = row >= 0 && row < %lld;\n",
                     of.multiplier, of.shift, (long long)c->out_height, (long long)c->stride_y,
                     (long long)c->pad_y, (long long)c->height);
    tern_text_format(t,
                     "                rows[k] = lines + (inside ? row %% 3 : 3) * %lld;\n"
                     "                if (!inside || row < next) continue;\n"
                     "                copy_bytes(%lld, plane + row * %lld, lines + row %% 3 * %lld + %lld);\n"
                     "                next = row + 1;\n"
                     "            }\n"
                     "            plane_row_3(%lld, %lld, rows, in1 + o * 9, bias, sums);\n"
                     "            for (int x = 0; x < %lld; x++, out++)\n",
                     line, (long long)c->width, (long long)c->width, line, (long long)c->pad_x,
                     (long long)c->out_width, (long long)c->stride_x, (long long)c->out_width);
    tern_int8_write_output(call, to, "                ", "out", "sums[x]", &scale);
    tern_text_put(t, "        }\n    }\n");
}

/* ---- windows ---------------------------------------------------------------------------------------------------------- */

/* Loops over the taps of the pixel whose window begins at (top, left) of plane `plane`: `inside` is done with the byte x,
 * `outside` with its zero, both with kx counted up. */
static void write_window(const tern_conv *c, tern_text *t, const char *indent, const char *plane,
                         const char *inside, const char *outside)
{
    tern_text_format(t,
                     "%sfor (int ky = 0, y = top; ky < %lld; ky++, y += %lld) {\n"
                     "%s    int row = (%s * %lld + y) * %lld + left;\n",
                     indent, (long long)c->kernel_height, (long long)c->dilation_y, indent, plane,
                     (long long)c->height, (long long)c->width);
    tern_text_format(t,
                     "%s    if (y >= 0 && y < %lld && left >= 0 && left < %lld)\n"
                     "%s        for (int kx = 0; kx < %lld; kx++) %s;\n"
                     "%s    else\n"
                     "%s        for (int kx = 0, x = left; kx < %lld; kx++, x += %lld) {\n"
                     "%s            if (y >= 0 && y < %lld && x >= 0 && x < %lld) %s;\n"
                     "%s            else %s;\n"
                     "%s        }\n"
                     "%s}\n",
                     indent, (long long)c->height,
                     (long long)(c->width - (c->kernel_width - 1) * c->dilation_x), indent,
                     (long long)c->kernel_width, inside, indent, indent, (long long)c->kernel_width,
                     (long long)c->dilation_x, indent, (long long)c->height, (long long)c->width, inside,
                     indent, outside, indent, indent);
}

/* A plane of its own for each output, with any kernel. */
static void write_depthwise(const tern_call *call, const tern_conv *c, tern_emit *to)
{
    tern_int8_scale_text scale = tern_int8_scale_of_output(call, "o");
    char inside[96], plane[64], pixels[24];
    tern_text *t = to->text;
    snprintf(pixels, sizeof pixels, "%lld", (long long)(c->out_height * c->out_width));
    snprintf(inside, sizeof inside, "sum += in0[row + kx * %lld] * *w++", (long long)c->dilation_x);
    snprintf(plane, sizeof plane, "(n * %lld + o)", (long long)c->in_channels);
    tern_text_format(t,
                     "    int out = 0;\n"
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int o = 0; o < %lld; o++)\n"
                     "    for (int p = 0; p < %s; p++) {\n"
                     "        int top = p / %lld * %lld - %lld, left = p %% %lld * %lld - %lld;\n"
                     "        const int8_t *w = in1 + o * %lld;\n"
                     "        int32_t sum = in2[o];\n",
                     (long long)c->images, (long long)c->out_channels, pixels, (long long)c->out_width,
                     (long long)c->stride_y, (long long)c->pad_y, (long long)c->out_width,
                     (long long)c->stride_x, (long long)c->pad_x, (long long)tern_int8_taps(c));
    write_window(c, t, "        ", plane, inside, "sum += in5[0] * *w++");
    tern_int8_write_output(call, to, "        ", "out", "sum", &scale);
    tern_text_put(t, "        out++;\n    }\n");
}

/* ---- patches ---------------------------------------------------------------------------------------------------------- */

/* Whether the patch of a pixel is the pixel in every plane, and four neighbours stand side by side. */
static bool is_pointwise(const tern_conv *c)
{
    return c->kernel_height == 1 && c->kernel_width == 1 && c->stride_x == 1 && c->stride_y == 1 &&
           c->out_height == c->height && c->out_width == c->width && c->height * c->width >= 4;
}

static long long patch_room(const tern_conv *c)
{
    return (tern_int8_taps(c) + 3) / 4 * 4;
}

/* The taps of a window inside the image; rows of up to 8 are written out. */
static void write_inside(const tern_conv *c, tern_text *t)
{
    tern_text_format(
        t,
        "                const int8_t *x = in0 + ((n * %lld + g * %lld) * %lld + top) * %lld + left;\n"
        "                for (int k = 0; k < %lld; k++, x += %lld)\n"
        "                    for (int ky = 0; ky < %lld; ky++) {\n"
        "                        const int8_t *row = x + ky * %lld;\n",
        (long long)c->in_channels, (long long)(c->in_channels / c->groups), (long long)c->height,
        (long long)c->width, (long long)(c->in_channels / c->groups), (long long)(c->height * c->width),
        (long long)c->kernel_height, (long long)(c->dilation_y * c->width));
    if (c->kernel_width > 8)
        tern_text_format(
            t, "                        for (int kx = 0; kx < %lld; kx++) *at++ = row[kx * %lld];\n",
            (long long)c->kernel_width, (long long)c->dilation_x);
    for (long long kx = 0; c->kernel_width <= 8 && kx < c->kernel_width; kx++)
        tern_text_format(t, "                        at[%lld] = row[%lld];\n", kx,
                         kx * (long long)c->dilation_x);
    if (c->kernel_width <= 8)
        tern_text_format(t, "                        at += %lld;\n", (long long)c->kernel_width);
    tern_text_put(t, "                    }\n");
}

/* The patches of four pixels from p on of group g, from windows. */
static void write_patches(const tern_conv *c, tern_text *t)
{
    long long in_group = c->in_channels / c->groups, pixels = c->out_height * c->out_width;
    char inside[96], outside[64], plane[96];
    snprintf(inside, sizeof inside, "*at++ = in0[row + kx * %lld]", (long long)c->dilation_x);
    snprintf(outside, sizeof outside, "*at++ = (int8_t)in5[%d]", TERN_X_ZERO);
    snprintf(plane, sizeof plane, "(n * %lld + g * %lld + k)", (long long)c->in_channels, in_group);
    tern_text_format(
        t,
        "        for (int i = 0; i < 4; i++) {\n"
        "            int8_t *at = bytes;\n"
        "            int pixel = p + i < %lld ? p + i : %lld;\n"
        "            int top = pixel / %lld * %lld - %lld, left = pixel %% %lld * %lld - %lld;\n",
        pixels, pixels - 1, (long long)c->out_width, (long long)c->stride_y, (long long)c->pad_y,
        (long long)c->out_width, (long long)c->stride_x, (long long)c->pad_x);
    tern_text_format(t, "            if (top >= 0 && top < %lld && left >= 0 && left < %lld) {\n",
                     (long long)(c->height - (c->kernel_height - 1) * c->dilation_y),
                     (long long)(c->width - (c->kernel_width - 1) * c->dilation_x));
    write_inside(c, t);
    tern_text_format(t, "            } else {\n                for (int k = 0; k < %lld; k++)\n", in_group);
    write_window(c, t, "                    ", plane, inside, outside);
    tern_text_format(t,
                     "            }\n            patch_pixel(%lld, bytes, i, patch);\n"
                     "        }\n",
                     (long long)tern_int8_taps(c));
}

/* Four pixels at a time; of pointwise layers the last four may overlap those before them. */
static void write_four(const tern_call *call, const tern_conv *c, tern_emit *to)
{
    static const tern_int8_scale_text scale = {"multiplier", "shift"};
    static const char *const outs[] = {"out", "out + 1", "out + 2", "out + 3"}, *const sums[] = {
                                                                                    "sums[0]", "sums[1]",
                                                                                    "sums[2]", "sums[3]"};
    long long out_group = c->out_channels / c->groups, in_group = c->in_channels / c->groups,
              taps = tern_int8_taps(c), pixels = c->out_height * c->out_width;
    tern_int8_scale_text of = tern_int8_scale_of_output(call, "o");
    tern_text *t = to->text;
    tern_text_put(t, "    int16_t *patch = scratch; /* what the windows of four pixels see */\n");
    if (!is_pointwise(c))
        tern_text_format(t, "    int8_t *bytes = (int8_t *)(patch + %lld);\n", 4 * patch_room(c));
    tern_text_format(t,
                     "    for (int n = 0; n < %lld; n++)\n"
                     "    for (int g = 0; g < %lld; g++)\n"
                     "    for (int p = 0; p < %lld; p += 4) {\n",
                     (long long)c->images, (long long)c->groups, pixels);
    if (is_pointwise(c))
        tern_text_format(t,
                         "        p = p < %lld ? p : %lld;\n"
                         "        patch_planes(%lld, in0 + (n * %lld + g * %lld) * %lld + p, %lld, patch);\n",
                         pixels - 4, pixels - 4, in_group, (long long)c->in_channels, in_group, pixels,
                         pixels);
    else
        write_patches(c, t);
    tern_text_format(t,
                     "        for (int o = g * %lld; o < (g + 1) * %lld; o++) {\n"
                     "            const int32_t multiplier = %s;\n"
                     "            const int shift = %s, out = (n * %lld + o) * %lld + p;\n"
                     "            int32_t sums[4];\n"
                     "            dot_four(%lld, patch, in1 + o * %lld, in2[o], sums);\n",
                     out_group, out_group, of.multiplier, of.shift, (long long)c->out_channels, pixels, taps,
                     taps);
    for (int i = 0; i < 4; i++) {
        if (!is_pointwise(c) && i && pixels % 4)
            tern_text_format(t, "            if (p + %d < %lld)\n", i, pixels);
        tern_int8_write_output(call, to, "            ", outs[i], sums[i], &scale);
    }
    tern_text_put(t, "        }\n    }\n");
}

/* ---- both -------------------------------------------------------------------------------------------------------------- */

size_t tern_int8_conv_text_scratch(const tern_call *call)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    if (by_rows(&c)) return (size_t)(row_sums(&c) * (long long)sizeof(int32_t) + 4 * line_bytes(&c));
    if (is_depthwise(&c)) return 0;
    size_t room = (size_t)patch_room(&c);
    return 4 * room * sizeof(int16_t) + (is_pointwise(&c) ? 0 : room);
}

tern_status tern_int8_write_conv(const tern_call *call, tern_emit *to)
{
    tern_conv c = tern_conv_geometry(&call->in[0].shape, &call->in[1].shape, call->args);
    tern_int8_write_constants(call, to);
    if (by_rows(&c))
        write_rows(call, &c, to);
    else if (is_depthwise(&c))
        write_depthwise(call, &c, to);
    else
        write_four(call, &c, to);
    return TERN_OK;
}
