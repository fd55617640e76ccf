/* JPEG through libjpeg, whose errors jump back here. */
#include "io/image.h"

#ifdef TERN_HAVE_JPEG
#include <setjmp.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#define MOST_SCANS 64 /* a progressive image has about ten; each costs a pass over all pixels */

/* What must survive a jump lives here, not in locals.  The libjpeg structs come first: their callbacks are handed
 * pointers to them. */
typedef struct tern_jpeg {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    const char *name;
    tern_tensor image;
    uint8_t *row;
    tern_status status;
} tern_jpeg;

static void on_error(j_common_ptr common)
{
    tern_jpeg *j = common->client_data;
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    if (j->status == TERN_OK) j->status = tern_fail(TERN_FAILED, "%s: no readable JPEG: %s", j->name, text);
    longjmp(j->back, 1);
}

/* Level -1 is damage that libjpeg would paint over, or an oddity that costs no pixel. */
static void on_message(j_common_ptr common, int level)
{
    int code = common->err->msg_code;
    bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR;
    if (level < 0 && !harmless) on_error(common);
}

static void on_progress(j_common_ptr common)
{
    tern_jpeg *j = common->client_data;
    if (j->jpeg.input_scan_number <= MOST_SCANS) return;
    j->status =
        tern_fail(TERN_FAILED, "%s: more than %d scans: convert the image first", j->name, MOST_SCANS);
    longjmp(j->back, 1);
}

static void leave(tern_jpeg *j, tern_status status)
{
    if (status == TERN_OK) return;
    j->status = status;
    longjmp(j->back, 1);
}

static void read_rows(tern_jpeg *j)
{
    jpeg_read_header(&j->jpeg, TRUE);
    bool grey = j->jpeg.jpeg_color_space == JCS_GRAYSCALE;
    j->jpeg.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
    leave(j, tern_image_new(&j->image, grey ? 1 : 3, j->jpeg.image_height, j->jpeg.image_width, j->name));
    size_t width = (size_t)j->jpeg.image_width * (grey ? 1 : 3);
    j->row = tern_take(width);
    if (!j->row) leave(j, tern_no_memory(width, j->name));
    jpeg_start_decompress(&j->jpeg);
    while (j->jpeg.output_scanline < j->jpeg.output_height) {
        int64_t y = j->jpeg.output_scanline;
        JSAMPROW rows[1] = {j->row};
        if (jpeg_read_scanlines(&j->jpeg, rows, 1) == 1) tern_image_set_row(&j->image, y, j->row);
    }
    jpeg_finish_decompress(&j->jpeg);
}

/* On its own, so that no local lives across the jump. */
static void guarded(tern_jpeg *j, const void *bytes, size_t count)
{
    if (setjmp(j->back)) return;
    jpeg_create_decompress(&j->jpeg);
    j->progress.progress_monitor = on_progress;
    j->jpeg.progress = &j->progress;
    j->jpeg.client_data = j;
    jpeg_mem_src(&j->jpeg, bytes, (unsigned long)count);
    read_rows(j);
}

tern_status tern_jpeg_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    tern_jpeg *j = tern_take(sizeof *j);
    if (!j) return tern_no_memory(sizeof *j, name);
    j->name = name;
    j->jpeg.err = jpeg_std_error(&j->errors);
    j->jpeg.client_data = j;
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    guarded(j, bytes, count);
    jpeg_destroy_decompress(&j->jpeg);
    tern_status status = j->status;
    if (status != TERN_OK)
        tern_tensor_free(&j->image);
    else
        *out = j->image;
    tern_release(j->row);
    tern_release(j);
    return status;
}
#else
tern_status tern_jpeg_parse(const void *bytes, size_t count, const char *name, tern_tensor *out)
{
    (void)bytes, (void)count, (void)out;
    return tern_fail(TERN_FAILED,
                     "%s: this build of Tern has no libjpeg: install its headers and build again", name);
}
#endif
