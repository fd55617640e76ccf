/* N-MNIST (Orchard et al. 2015): recordings <id>.bs2 or <id>.bin, listed with their classes in train1K.txt and
 * test100.txt ("id class" a line, behind a line of titles), as frames of counted events. */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset.h"
#include "spike/events.h"

#include <stdlib.h>
#include <string.h>

#define SIDE 34

typedef struct tern_recordings {
    const char *folder;
    char *list; /* text of the list file */
    int count;
    long *ids;
    int32_t *classes;
} tern_recordings;

static void recordings_free(tern_recordings *r)
{
    tern_release(r->list);
    tern_release(r->ids);
    tern_release(r->classes);
}

static tern_status parse_list(tern_recordings *r, size_t bytes, const char *file)
{
    r->ids = tern_take_array(bytes / 4 + 1, sizeof *r->ids); /* a line has at least four bytes */
    r->classes = tern_take_array(bytes / 4 + 1, sizeof *r->classes);
    if (!r->ids || !r->classes) return tern_no_memory(bytes, file);
    int line = 1;
    for (char *p = r->list; *p; line++) {
        char *end = p + strcspn(p, "\n"), *after;
        if (*p != '#' && end > p) {
            long id = strtol(p, &after, 10), class = after < end ? strtol(after, &after, 10) : -1;
            if (id < 1 || class < 0 || class > 9 || after > end)
                return tern_fail(TERN_FAILED,
                                 "%s: line %d: expected a recording's number and its class 0 to 9, found "
                                 "\"%.*s\"",
                                 file, line, (int)(end - p < 40 ? end - p : 40), p);
            r->ids[r->count] = id;
            r->classes[r->count++] = (int32_t) class;
        }
        p = *end ? end + 1 : end;
    }
    return r->count ? TERN_OK : tern_fail(TERN_FAILED, "%s: no recordings listed", file);
}

static tern_status recordings_open(tern_recordings *r, const char *folder, const char *list)
{
    tern_text path = {0};
    size_t bytes = 0;
    r->folder = folder;
    tern_text_format(&path, "%s/%s", folder, list);
    tern_status status = tern_text_status(&path);
    if (status == TERN_OK) status = tern_read_file(path.data, &r->list, &bytes);
    if (status == TERN_OK) status = parse_list(r, bytes, path.data);
    tern_text_free(&path);
    return status;
}

static tern_status read_recording(const tern_recordings *r, long id, tern_events *out)
{
    tern_text path = {0};
    char *bytes = NULL;
    size_t count = 0;
    tern_text_format(&path, "%s/%ld.bs2", r->folder, id);
    tern_status status = tern_text_status(&path);
    if (status == TERN_OK) status = tern_read_file(path.data, &bytes, &count);
    if (status == TERN_OK) status = tern_events_parse_atis(bytes, count, path.data, SIDE, SIDE, out);
    tern_release(bytes);
    tern_text_free(&path);
    return status;
}

static tern_status read_frames(const tern_recordings *r, const tern_dataset_options *o, int most,
                               tern_split *out)
{
    int count = most > 0 && most < r->count ? most : r->count;
    int steps = o->timesteps ? o->timesteps : 10;
    int height = o->height ? o->height : SIDE, width = o->width ? o->width : SIDE;
    TERN_TRY(tern_tensor_new(&out->images, TERN_U8, &TERN_SHAPE(count, steps, 2, height, width)));
    TERN_TRY(tern_tensor_new(&out->labels, TERN_I32, &TERN_SHAPE(count)));
    size_t size = (size_t)steps * 2 * (size_t)height * (size_t)width;
    for (int i = 0; i < count; i++) {
        tern_events events = {0};
        TERN_TRY(read_recording(r, r->ids[i], &events));
        tern_tensor frames = {TERN_U8, TERN_SHAPE(steps, 2, height, width),
                              (uint8_t *)out->images.data + (size_t)i * size};
        tern_events_frames(&events, o->by_time ? TERN_FRAMES_BY_TIME : TERN_FRAMES_BY_NUMBER, &frames);
        tern_events_free(&events);
        ((int32_t *)out->labels.data)[i] = r->classes[i];
    }
    return TERN_OK;
}

static tern_status load_split(const char *path, const char *list, const tern_dataset_options *o, int most,
                              tern_split *out)
{
    tern_recordings r = {0};
    tern_status status = recordings_open(&r, path, list);
    if (status == TERN_OK) status = read_frames(&r, o, most, out);
    recordings_free(&r);
    return status;
}

tern_status tern_load_nmnist(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    TERN_TRY(load_split(path, "train1K.txt", options, options->train_limit, &dataset->train));
    return load_split(path, "test100.txt", options, options->test_limit, &dataset->test);
}
