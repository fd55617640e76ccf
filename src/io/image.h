/* What the image readers share. */
#ifndef TERN_IO_IMAGE_H
#define TERN_IO_IMAGE_H

#include "io/io.h"

/* An image as u8 [C,H,W], which the caller frees; `name` is for messages.  Damaged bytes fail with the reason. */
tern_status tern_png_parse(const void *bytes, size_t count, const char *name, tern_tensor *out);
tern_status tern_jpeg_parse(const void *bytes, size_t count, const char *name, tern_tensor *out);

/* A new u8 tensor [channels,height,width], or a failure that names the limit. */
tern_status tern_image_new(tern_tensor *out, int channels, int64_t height, int64_t width, const char *name);
/* Row y of interleaved pixels [W,C] into planes [C,H,W]. */
void tern_image_set_row(tern_tensor *image, int64_t y, const uint8_t *pixels);

#endif
