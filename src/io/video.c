/* Video, frame by frame: a folder of images, Y4M (YUV4MPEG2: raw planes behind a line of text), and AVI whose frames are JPEGs
 * (RIFF chunks).  Other codecs are for a decoder to turn into one of these; the message says how. */
#define _POSIX_C_SOURCE 200809L
#include "io/bytes.h"
#include "io/dataset.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum tern_video_kind { TERN_VIDEO_FOLDER, TERN_VIDEO_Y4M, TERN_VIDEO_AVI } tern_video_kind;

struct tern_video {
    tern_video_kind kind;
    char *name;
    char *owned; /* bytes that were read here */
    const uint8_t *bytes;
    size_t count, position;
    tern_listing files; /* of a folder */
    size_t file;
    int64_t height, width;    /* of all frames; 0 before the first */
    int chroma_y, chroma_x;   /* Y4M: a chroma sample covers so many pixels; 0: grey */
    bool full;                /* Y4M: luma 0..255, else 16..235 */
    int stream;               /* AVI: number of the video stream */
    size_t frame, frame_size; /* AVI: the last JPEG, which an empty chunk repeats */
};

static tern_status unknown_codec(const char *name, const char *what)
{
    return tern_fail(
        TERN_FAILED,
        "%s: %s; Tern reads a folder of PNG or JPEG frames, .y4m, and .avi with MJPEG frames: convert "
        "it, e.g. ffmpeg -i %s -pix_fmt yuv420p frames.y4m",
        name, what, name);
}

/* ---- Y4M --------------------------------------------------------------------------------------------------------- */

#define Y4M_MAGIC "YUV4MPEG2"

/* The line at the position, without its end; empty and *ok false when there is none. */
static const char *next_line(tern_video *v, char line[256], bool *ok)
{
    const uint8_t *from = v->bytes + v->position;
    size_t left = v->count - v->position, most = left < 255 ? left : 255;
    const uint8_t *end = most ? memchr(from, '\n', most) : NULL;
    size_t length = end ? (size_t)(end - from) : 0;
    *ok = end != NULL;
    memcpy(line, from, length);
    line[length] = 0;
    v->position += end ? length + 1 : 0;
    return line;
}

static tern_status chroma_of(tern_video *v, const char *name)
{
    static const struct {
        const char *name;
        int y, x;
    } known[] = {{"420jpeg", 2, 2}, {"420mpeg2", 2, 2}, {"420paldv", 2, 2}, {"420", 2, 2},
                 {"422", 1, 2},     {"444", 1, 1},      {"mono", 0, 0}};
    for (size_t i = 0; i < TERN_COUNT(known); i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        v->chroma_y = known[i].y;
        v->chroma_x = known[i].x;
        return TERN_OK;
    }
    return tern_fail(
        TERN_FAILED,
        "%s: colour space C%s; expected C420, C422, C444 or Cmono of 8 bits: convert it, e.g. with "
        "ffmpeg -pix_fmt yuv420p",
        v->name, name);
}

static tern_status open_y4m(tern_video *v)
{
    char line[256], *rest = NULL;
    bool ok;
    next_line(v, line, &ok);
    v->kind = TERN_VIDEO_Y4M;
    v->chroma_y = v->chroma_x = 2;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (*word == 'W') v->width = strtol(word + 1, NULL, 10);
        if (*word == 'H') v->height = strtol(word + 1, NULL, 10);
        if (*word == 'C') TERN_TRY(chroma_of(v, word + 1));
        if (strcmp(word, "XCOLORRANGE=FULL") == 0) v->full = true;
    }
    if (ok && v->width >= 1 && v->height >= 1 && v->width <= 32768 && v->height <= 32768) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: the first line must say W and H, each from 1 to 32768", v->name);
}

static uint8_t bounded(double value)
{
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)(value + 0.5);
}

/* ITU-R BT.601 from planes to red, green and blue, or to luma alone. */
static void from_planes(const tern_video *v, const uint8_t *y, bool grey, uint8_t *out)
{
    int64_t h = v->height, w = v->width, n = h * w;
    double base = v->full ? 0 : 16, gain = v->full ? 1 : 255.0 / 219, chroma_gain = v->full ? 1 : 255.0 / 224;
    if (grey) {
        for (int64_t i = 0; i < n; i++) out[i] = bounded((y[i] - base) * gain);
        return;
    }
    int64_t cw = (w + v->chroma_x - 1) / v->chroma_x, ch = (h + v->chroma_y - 1) / v->chroma_y;
    const uint8_t *cb = y + n, *cr = cb + cw * ch;
    for (int64_t i = 0; i < n; i++) {
        int64_t c = i / w / v->chroma_y * cw + i % w / v->chroma_x;
        double luma = (y[i] - base) * gain, b = (cb[c] - 128) * chroma_gain, r = (cr[c] - 128) * chroma_gain;
        out[i] = bounded(luma + 1.402 * r);
        out[n + i] = bounded(luma - 0.344136 * b - 0.714136 * r);
        out[2 * n + i] = bounded(luma + 1.772 * b);
    }
}

static tern_status next_y4m(tern_video *v, bool grey, tern_tensor *frame, bool *more)
{
    char line[256];
    bool ok;
    int64_t n = v->height * v->width, chroma = 0;
    if (v->position == v->count) {
        *more = false;
        return TERN_OK;
    }
    size_t at = v->position;
    next_line(v, line, &ok);
    if (!ok || strncmp(line, "FRAME", 5) != 0)
        return tern_fail(TERN_FAILED, "%s: byte %zu: expected a line FRAME: the file is damaged", v->name,
                         at);
    if (v->chroma_x)
        chroma = (v->width + v->chroma_x - 1) / v->chroma_x * ((v->height + v->chroma_y - 1) / v->chroma_y);
    size_t size = (size_t)(n + 2 * chroma);
    if (v->count - v->position < size)
        return tern_fail(TERN_FAILED,
                         "%s: the file ends at byte %zu inside a frame of %zu bytes: it is truncated",
                         v->name, v->count, size);
    bool one = grey || !v->chroma_x;
    TERN_TRY(tern_tensor_new(frame, TERN_U8, &TERN_SHAPE(one ? 1 : 3, v->height, v->width)));
    from_planes(v, v->bytes + v->position, one, frame->data);
    v->position += size;
    *more = true;
    return TERN_OK;
}

/* ---- AVI --------------------------------------------------------------------------------------------------------- */

static bool is_code(const uint8_t *at, const char *code)
{
    return strncasecmp((const char *)at, code, 4) == 0;
}

/* The next chunk that is no list: lists are stepped into, as their contents are chunks too.  *data NULL: there is none. */
static tern_status next_chunk(tern_video *v, const uint8_t **id, const uint8_t **data, size_t *size)
{
    *data = NULL;
    while (v->count - v->position >= 8) {
        const uint8_t *at = v->bytes + v->position;
        *id = at;
        *size = (size_t)tern_little(at + 4, 4);
        if (memcmp(at, "RIFF", 4) == 0 || memcmp(at, "LIST", 4) == 0) {
            v->position += v->count - v->position < 12 ? 8 : 12;
            continue;
        }
        if (v->count - v->position - 8 < *size)
            return tern_fail(TERN_FAILED,
                             "%s: chunk %.4s at byte %zu claims %zu bytes, %zu are left: it is truncated",
                             v->name, (const char *)at, v->position, *size, v->count - v->position - 8);
        *data = at + 8;
        size_t whole = 8 + *size + (*size & 1); /* chunks begin at even bytes */
        v->position += whole < v->count - v->position ? whole : v->count - v->position;
        return TERN_OK;
    }
    return TERN_OK;
}

/* Headers of streams come in pairs strh, strf; the first video stream must hold JPEGs. */
static tern_status open_avi(tern_video *v)
{
    const uint8_t *id, *data;
    size_t size;
    int stream = -1;
    bool video = false;
    v->kind = TERN_VIDEO_AVI;
    for (;;) {
        TERN_TRY(next_chunk(v, &id, &data, &size));
        if (!data) return tern_fail(TERN_FAILED, "%s: there is no video stream in it", v->name);
        if (memcmp(id, "strh", 4) == 0 && size >= 8) {
            stream++;
            video = memcmp(data, "vids", 4) == 0;
        }
        if (memcmp(id, "strf", 4) != 0 || !video || size < 20) continue;
        if (is_code(data + 16, "MJPG") || is_code(data + 16, "JPEG")) break;
        char what[64];
        snprintf(what, sizeof what, "its frames are coded as \"%.4s\"", (const char *)data + 16);
        for (char *c = what; *c; c++)
            if (*c < ' ' || *c > '~') *c = '?';
        return unknown_codec(v->name, what);
    }
    v->stream = stream;
    return TERN_OK;
}

/* "00dc" or "00db": a frame of stream 0. */
static bool is_frame(const tern_video *v, const uint8_t *id)
{
    return id[0] == (uint8_t)('0' + v->stream / 10) && id[1] == (uint8_t)('0' + v->stream % 10) &&
           id[2] == 'd' && (id[3] == 'c' || id[3] == 'b');
}

static tern_status next_avi(tern_video *v, tern_tensor *frame, bool *more)
{
    const uint8_t *id, *data;
    size_t size;
    do {
        TERN_TRY(next_chunk(v, &id, &data, &size));
        if (!data) {
            *more = false;
            return TERN_OK;
        }
    } while (!is_frame(v, id) || (size == 0 && v->frame_size == 0));
    if (size > 0) {
        v->frame = (size_t)(data - v->bytes);
        v->frame_size = size;
    }
    TERN_TRY(tern_image_parse(v->bytes + v->frame, v->frame_size, v->name, frame));
    *more = true;
    return TERN_OK;
}

/* ---- all three ----------------------------------------------------------------------------------------------------- */

static tern_status next_file(tern_video *v, tern_tensor *frame, bool *more)
{
    tern_text path = {0};
    *more = v->file < v->files.count;
    if (!*more) return TERN_OK;
    tern_text_format(&path, "%s/%s", v->name, v->files.names[v->file++]);
    tern_status status = tern_text_status(&path);
    if (status == TERN_OK) status = tern_image_read(path.data, frame);
    tern_text_free(&path);
    return status;
}

tern_status tern_video_next(tern_video *video, bool grey, tern_tensor *frame, bool *more)
{
    tern_tensor next = {0}, luma = {0};
    switch (video->kind) {
    case TERN_VIDEO_FOLDER:
        TERN_TRY(next_file(video, &next, more));
        break;
    case TERN_VIDEO_Y4M:
        TERN_TRY(next_y4m(video, grey, &next, more));
        break;
    case TERN_VIDEO_AVI:
        TERN_TRY(next_avi(video, &next, more));
        break;
    }
    if (!*more) return TERN_OK;
    tern_status status = TERN_OK;
    int64_t h = next.shape.dim[1], w = next.shape.dim[2];
    if (video->height && (h != video->height || w != video->width))
        status = tern_fail(TERN_FAILED, "%s: a frame of %lld x %lld pixels behind some of %lld x %lld",
                           video->name, (long long)w, (long long)h, (long long)video->width,
                           (long long)video->height);
    video->height = h;
    video->width = w;
    if (status == TERN_OK && grey && next.shape.dim[0] > 1) {
        status = tern_image_grey(&next, &luma);
        tern_tensor_free(&next);
        next = luma;
    }
    if (status == TERN_OK)
        *frame = next;
    else
        tern_tensor_free(&next);
    return status;
}

static tern_status open_named(tern_video **video, const char *name)
{
    *video = tern_take(sizeof **video);
    if (*video && ((*video)->name = tern_copy_string(name)) != NULL) return TERN_OK;
    tern_video_close(*video);
    return tern_no_memory(strlen(name), "a video");
}

static tern_status open_bytes(tern_video *v)
{
    size_t magic = strlen(Y4M_MAGIC);
    if (v->count > magic && memcmp(v->bytes, Y4M_MAGIC, magic) == 0) return open_y4m(v);
    if (v->count >= 12 && memcmp(v->bytes, "RIFF", 4) == 0 && memcmp(v->bytes + 8, "AVI ", 4) == 0)
        return open_avi(v);
    return unknown_codec(v->name, "neither Y4M nor AVI");
}

tern_status tern_video_parse(tern_video **video, const void *bytes, size_t count, const char *name)
{
    tern_video *v;
    TERN_TRY(open_named(&v, name));
    v->bytes = bytes;
    v->count = count;
    tern_status status = open_bytes(v);
    if (status == TERN_OK)
        *video = v;
    else
        tern_video_close(v);
    return status;
}

static tern_status open_folder(tern_video *v)
{
    v->kind = TERN_VIDEO_FOLDER;
    TERN_TRY(tern_list_folder(v->name, &v->files));
    if (v->files.count > 0) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: no frames in this folder: expected images in the order of their names",
                     v->name);
}

tern_status tern_video_open(tern_video **video, const char *path)
{
    tern_video *v;
    TERN_TRY(open_named(&v, path));
    tern_status status;
    if (tern_is_folder(path)) {
        status = open_folder(v);
    } else {
        status = tern_read_file(path, &v->owned, &v->count);
        v->bytes = (const uint8_t *)v->owned;
        if (status == TERN_OK) status = open_bytes(v);
    }
    if (status == TERN_OK)
        *video = v;
    else
        tern_video_close(v);
    return status;
}

void tern_video_close(tern_video *video)
{
    if (!video) return;
    tern_listing_free(&video->files);
    tern_release(video->owned);
    tern_release(video->name);
    tern_release(video);
}
