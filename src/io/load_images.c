/* A folder of image folders: one folder a class, in the order of their names' bytes. */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset.h"

#include <string.h>
#include <strings.h>

/* The images of a split: paths class by class; ends[c] is where class c ends. */
typedef struct tern_album {
    tern_listing classes, files;
    size_t *ends;
} tern_album;

static void album_free(tern_album *a)
{
    tern_listing_free(&a->classes);
    tern_listing_free(&a->files);
    tern_release(a->ends);
    *a = (tern_album){0};
}

static bool is_image(const char *name)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < TERN_COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0) return true;
    return false;
}

static tern_status add_path(tern_listing *list, const char *folder, const char *name)
{
    tern_text path = {0};
    tern_text_format(&path, "%s/%s", folder, name);
    tern_status status = tern_text_status(&path);
    if (status == TERN_OK) status = tern_listing_add(list, path.data);
    tern_text_free(&path);
    return status;
}

static tern_status add_class(tern_album *a, const char *folder)
{
    tern_listing names = {0};
    TERN_TRY(tern_list_folder(folder, &names));
    size_t before = a->files.count;
    tern_status status = TERN_OK;
    for (size_t i = 0; i < names.count && status == TERN_OK; i++)
        if (is_image(names.names[i])) status = add_path(&a->files, folder, names.names[i]);
    tern_listing_free(&names);
    if (status == TERN_OK && a->files.count == before)
        status = tern_fail(TERN_FAILED, "%s: no .png, .jpg or .jpeg file in this class's folder", folder);
    return status;
}

/* The subfolders of `path` as classes. */
static tern_status album_open(tern_album *a, const char *path)
{
    tern_listing folders = {0};
    TERN_TRY(tern_list_folder(path, &a->classes));
    size_t kept = 0;
    tern_status status = TERN_OK;
    for (size_t i = 0; i < a->classes.count && status == TERN_OK; i++) {
        status = add_path(&folders, path, a->classes.names[i]);
        if (status != TERN_OK || tern_is_folder(folders.names[folders.count - 1])) continue;
        tern_release(a->classes.names[i]);
        tern_release(folders.names[--folders.count]);
        a->classes.names[i] = NULL;
    }
    for (size_t i = 0; i < a->classes.count; i++)
        if (a->classes.names[i]) a->classes.names[kept++] = a->classes.names[i];
    a->classes.count = kept;
    if (status == TERN_OK && kept == 0)
        status = tern_fail(TERN_FAILED, "%s: neither IDX files nor folders of images, one a class", path);
    if (status == TERN_OK && !(a->ends = tern_take_array(kept, sizeof *a->ends)))
        status = tern_no_memory(kept * sizeof *a->ends, "classes");
    for (size_t i = 0; i < kept && status == TERN_OK; i++) {
        status = add_class(a, folders.names[i]);
        a->ends[i] = a->files.count;
    }
    tern_listing_free(&folders);
    return status;
}

/* One image as the options want it. */
static tern_status read_image(const char *path, const tern_dataset_options *o, tern_tensor *out)
{
    tern_tensor image = {0}, other = {0};
    TERN_TRY(tern_image_read(path, &image));
    tern_status status = TERN_OK;
    if (o->grey && image.shape.dim[0] == 3) {
        status = tern_image_grey(&image, &other);
        tern_tensor_free(&image);
        image = other;
    }
    int height = o->height ? o->height : (int)image.shape.dim[1],
        width = o->width ? o->width : (int)image.shape.dim[2];
    if (status == TERN_OK && (image.shape.dim[1] != height || image.shape.dim[2] != width)) {
        status = tern_image_resize(&image, height, width,
                                   o->enlarge ? TERN_RESIZE_BILINEAR : TERN_RESIZE_AREA, &other);
        tern_tensor_free(&image);
        image = other;
    }
    if (status == TERN_OK) *out = image;
    return status;
}

/* Image i of the split; a grey one among coloured ones is repeated in each channel. */
static tern_status store(tern_tensor *images, size_t i, const tern_tensor *image, const char *path)
{
    const int64_t *want = images->shape.dim + 1, *have = image->shape.dim;
    if (want[1] != have[1] || want[2] != have[2])
        return tern_fail(TERN_FAILED,
                         "%s: %lld x %lld pixels, the first image has %lld x %lld: give a size that all are "
                         "brought to",
                         path, (long long)have[2], (long long)have[1], (long long)want[2],
                         (long long)want[1]);
    if (have[0] > want[0])
        return tern_fail(TERN_FAILED, "%s: a colour image, the first one is grey: ask for grey images", path);
    size_t plane = (size_t)(want[1] * want[2]);
    for (int64_t c = 0; c < want[0]; c++)
        memcpy((uint8_t *)images->data + (i * (size_t)want[0] + (size_t)c) * plane,
               (const uint8_t *)image->data + (have[0] == 1 ? 0 : (size_t)c * plane), plane);
    return TERN_OK;
}

static tern_status read_album(const tern_album *a, const tern_dataset_options *o, tern_split *out)
{
    int64_t count = (int64_t)a->files.count;
    TERN_TRY(tern_tensor_new(&out->labels, TERN_I32, &TERN_SHAPE(count)));
    size_t class = 0;
    for (size_t i = 0; i < a->files.count; i++) {
        tern_tensor image = {0};
        TERN_TRY(read_image(a->files.names[i], o, &image));
        const int64_t *d = image.shape.dim;
        tern_status status = TERN_OK;
        if (i == 0) status = tern_tensor_new(&out->images, TERN_U8, &TERN_SHAPE(count, d[0], d[1], d[2]));
        if (status == TERN_OK) status = store(&out->images, i, &image, a->files.names[i]);
        tern_tensor_free(&image);
        if (status != TERN_OK) return status;
        while (i >= a->ends[class]) class ++;
        ((int32_t *)out->labels.data)[i] = (int32_t) class;
    }
    return TERN_OK;
}

static tern_status same_classes(const tern_listing *train, const tern_listing *test, const char *path)
{
    for (size_t i = 0; i < test->count || i < train->count; i++)
        if (i >= test->count || i >= train->count || strcmp(test->names[i], train->names[i]) != 0)
            return tern_fail(
                TERN_FAILED,
                "%s: its class folders differ from those of train (at \"%s\"): expected the same", path,
                i < test->count ? test->names[i] : train->names[i]);
    return TERN_OK;
}

static tern_status load_split(const char *path, const tern_dataset_options *o, tern_listing *classes,
                              tern_split *out)
{
    tern_album album = {0};
    tern_status status = album_open(&album, path);
    if (status == TERN_OK && classes->count) status = same_classes(classes, &album.classes, path);
    if (status == TERN_OK) status = read_album(&album, o, out);
    if (!classes->count) { /* handed to the caller */
        *classes = album.classes;
        album.classes = (tern_listing){0};
    }
    album_free(&album);
    return status;
}

tern_status tern_load_image_folder(tern_dataset *dataset, const char *path,
                                   const tern_dataset_options *options)
{
    static const char *const tests[] = {"test", "val", "valid"};
    tern_listing places = {0}, classes = {0}; /* places: train, test.. */
    tern_status status = add_path(&places, path, "train");
    for (size_t i = 0; i < TERN_COUNT(tests) && status == TERN_OK; i++)
        status = add_path(&places, path, tests[i]);
    bool split = status == TERN_OK && tern_is_folder(places.names[0]);
    if (status == TERN_OK)
        status = load_split(split ? places.names[0] : path, options, &classes, &dataset->train);
    for (size_t i = 1; i < places.count && split && status == TERN_OK && !dataset->test.images.data; i++)
        if (tern_is_folder(places.names[i]))
            status = load_split(places.names[i], options, &classes, &dataset->test);
    if (status == TERN_OK)
        status = tern_dataset_name_classes(dataset, (const char *const *)classes.names, (int)classes.count);
    tern_listing_free(&places);
    tern_listing_free(&classes);
    return status;
}
