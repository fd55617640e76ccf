/* Data sets: found by name or path, loaded, checked, split, and their pixels' statistics taken. */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset.h"
#include "io/known.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

void tern_split_free(tern_split *split)
{
    tern_tensor_free(&split->images);
    tern_tensor_free(&split->labels);
    tern_tensor_free(&split->targets);
}

void tern_dataset_close(tern_dataset *dataset)
{
    tern_split_free(&dataset->train);
    tern_split_free(&dataset->test);
    tern_tensor_free(&dataset->units);
    tern_tensor_free(&dataset->places);
    for (int i = 0; dataset->class_names && i < dataset->classes; i++) tern_release(dataset->class_names[i]);
    tern_release(dataset->class_names);
    tern_release(dataset->name);
    *dataset = (tern_dataset){0};
}

tern_status tern_dataset_name_classes(tern_dataset *dataset, const char *const *names, int count)
{
    char **copies = tern_take_array((size_t)count, sizeof *copies);
    if (!copies) return tern_no_memory((size_t)count * sizeof *copies, "class names");
    dataset->class_names = copies;
    dataset->classes = count;
    for (int i = 0; i < count; i++)
        if (!(copies[i] = tern_copy_string(names[i]))) return tern_no_memory(64, "class names");
    return TERN_OK;
}

tern_status tern_labels_to_i32(tern_tensor *labels, const char *where)
{
    if (labels->dtype == TERN_I32) return TERN_OK;
    if (!tern_dtype_of(labels->dtype)->exact_integer)
        return tern_fail(TERN_FAILED, "%s: labels are %s, expected whole numbers (u8, i8, i16 or i32)", where,
                         tern_dtype_of(labels->dtype)->name);
    tern_tensor whole = {0};
    TERN_TRY(tern_tensor_new(&whole, TERN_I32, &labels->shape));
    tern_tensor_cast(&whole, labels);
    tern_tensor_free(labels);
    *labels = whole;
    return TERN_OK;
}

/* ---- splitting ---------------------------------------------------------------------------------------------- */

/* Row i of `to` is row order[i * stride + start] of `from`. */
static tern_status gather(const tern_tensor *from, const uint32_t *order, size_t count, tern_tensor *to)
{
    tern_shape shape = from->shape;
    size_t row = tern_bytes_of(from->dtype, tern_elements_from(&shape, 1));
    shape.dim[0] = (int64_t)count;
    TERN_TRY(tern_tensor_new(to, from->dtype, &shape));
    for (size_t i = 0; i < count; i++)
        memcpy((char *)to->data + i * row, (const char *)from->data + order[i] * row, row);
    return TERN_OK;
}

/* The order that tern_dataset_hold_out describes: the training samples, then the held out fifth. */
static void split_order(const int32_t *labels, uint32_t *shuffled, uint8_t *held, uint32_t *order,
                        size_t count, int classes)
{
    size_t to_train = 0, to_test = count - count / 5, number = 0;
    for (size_t i = 0; i < count; i++) shuffled[i] = (uint32_t)i;
    tern_rng_permute((tern_rng){5, tern_hash("hold out", 8)}, shuffled, count);
    for (int c = 0; c < classes; c++)
        for (size_t i = 0; i < count; i++)
            if (labels[shuffled[i]] == c) held[i] = number++ % 5 == 4;
    for (size_t i = 0; i < count; i++) order[held[i] ? to_test++ : to_train++] = shuffled[i];
}

tern_status tern_dataset_hold_out(tern_dataset *dataset)
{
    size_t count = (size_t)dataset->train.labels.shape.dim[0], train = count - count / 5;
    if (count < 5)
        return tern_fail(
            TERN_FAILED,
            "%s: %zu samples and no test split: expected at least 5, a fifth is held out to test",
            dataset->name, count);
    uint32_t *shuffled = tern_take_array(count, sizeof *shuffled),
             *order = tern_take_array(count, sizeof *order);
    uint8_t *held = tern_take(count);
    tern_split a = {0}, b = {0};
    tern_status status = TERN_OK;
    if (!shuffled || !order || !held) {
        status = tern_no_memory(9 * count, "splitting a data set");
        goto done;
    }
    split_order(dataset->train.labels.data, shuffled, held, order, count, dataset->classes);
    TERN_GOTO(done, gather(&dataset->train.images, order, train, &a.images));
    TERN_GOTO(done, gather(&dataset->train.labels, order, train, &a.labels));
    TERN_GOTO(done, gather(&dataset->train.images, order + train, count - train, &b.images));
    TERN_GOTO(done, gather(&dataset->train.labels, order + train, count - train, &b.labels));
    if (dataset->train.targets.data) {
        TERN_GOTO(done, gather(&dataset->train.targets, order, train, &a.targets));
        TERN_GOTO(done, gather(&dataset->train.targets, order + train, count - train, &b.targets));
    }
    tern_split_free(&dataset->train);
    dataset->train = a;
    dataset->test = b;
done:
    tern_release(shuffled);
    tern_release(order);
    tern_release(held);
    if (status != TERN_OK) tern_split_free(&a), tern_split_free(&b);
    return status;
}

/* ---- checks --------------------------------------------------------------------------------------------------- */

static int32_t highest_label(const tern_tensor *labels)
{
    const int32_t *p = labels->data;
    int32_t highest = -1;
    for (int64_t i = 0; i < labels->shape.dim[0]; i++) highest = p[i] > highest ? p[i] : highest;
    return highest;
}

static tern_status check_labels(const tern_dataset *d, const tern_split *split, const char *which)
{
    const int32_t *p = split->labels.data;
    for (int64_t i = 0; i < split->labels.shape.dim[0]; i++)
        if (p[i] < 0 || p[i] >= d->classes)
            return tern_fail(TERN_FAILED, "%s: label %d of %s sample %lld is out of range: expected 0 to %d",
                             d->name, p[i], which, (long long)i, d->classes - 1);
    return TERN_OK;
}

/* Images become u8 or f32, and every f32 pixel is a number. */
static tern_status check_images(const tern_dataset *d, tern_split *split, const char *which)
{
    tern_tensor *t = &split->images, real = {0};
    char a[96], b[96];
    tern_shape sample = t->shape;
    for (int i = 1; i < sample.rank; i++) sample.dim[i - 1] = sample.dim[i];
    sample.rank--;
    if (!tern_shape_equal(&sample, &d->sample))
        return tern_fail(TERN_FAILED, "%s: %s samples have shape %s, training samples %s: expected the same",
                         d->name, which, tern_shape_text(a, &sample), tern_shape_text(b, &d->sample));
    if (t->dtype == TERN_U8) return TERN_OK;
    if (t->dtype != TERN_F32) {
        TERN_TRY(tern_tensor_new(&real, TERN_F32, &t->shape));
        tern_tensor_cast(&real, t);
        tern_tensor_free(t);
        *t = real;
    }
    const float *p = t->data;
    int64_t count = tern_elements(&t->shape), size = tern_elements(&d->sample);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(p[i]))
            return tern_fail(TERN_FAILED,
                             "%s: element %lld of %s sample %lld is %f, expected a finite number: clean the "
                             "data first",
                             d->name, (long long)(i % size), which, (long long)(i / size), (double)p[i]);
    return TERN_OK;
}

static tern_status check_size(const tern_dataset *d)
{
    char text[96];
    if (d->train.images.shape.dim[0] < 1 || tern_elements(&d->sample) < 1)
        return tern_fail(TERN_FAILED, "%s: no training data: images have shape %s", d->name,
                         tern_shape_text(text, &d->train.images.shape));
    return TERN_OK;
}

/* ---- statistics ------------------------------------------------------------------------------------------------- */

/* Sum and sum of squares of one plane; integers, so exact, where pixels are. */
static void add_plane(const tern_tensor *t, int64_t first, int64_t count, double *sum, double *squares)
{
    if (t->dtype == TERN_U8) {
        const uint8_t *p = (const uint8_t *)t->data + first;
        uint64_t s = 0, q = 0;
        for (int64_t i = 0; i < count; i++) {
            s += p[i];
            q += (uint64_t)p[i] * p[i];
        }
        *sum += (double)s;
        *squares += (double)q;
        return;
    }
    const float *p = (const float *)t->data + first;
    for (int64_t i = 0; i < count; i++) {
        *sum += (double)p[i];
        *squares += (double)p[i] * (double)p[i];
    }
}

/* Channels stand before the last two axes; samples of rank 1 and 2 have one. */
static void measure(tern_dataset *d)
{
    const tern_tensor *t = &d->train.images;
    int rank = t->shape.rank;
    int64_t channels = rank >= 4 ? t->shape.dim[rank - 3] : 1;
    int64_t plane = rank >= 4 ? tern_elements_from(&t->shape, rank - 2) : tern_elements(&d->sample);
    int64_t planes = tern_elements(&t->shape) / plane, measured = channels < 8 ? channels : 8;
    double scale = t->dtype == TERN_U8 ? 255 : 1;
    double sum[8] = {0}, squares[8] = {0};
    for (int64_t i = 0; i < planes; i++)
        if (i % channels < 8) add_plane(t, i * plane, plane, &sum[i % channels], &squares[i % channels]);
    double count = (double)planes / (double)channels * (double)plane;
    for (int i = 0; i < 8; i++) {
        double mean = sum[i % measured] / count, square = squares[i % measured] / count;
        double variance = square - mean * mean;
        d->mean[i] = mean / scale;
        d->std[i] = variance > 0 ? sqrt(variance) / scale : 1;
    }
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* Keep `most` samples, evenly spaced: files are often sorted by class. */
static void limit(tern_split *split, int most)
{
    int64_t count = split->labels.shape.dim[0];
    if (most <= 0 || count <= most) return;
    size_t row = tern_bytes_of(split->images.dtype, tern_elements_from(&split->images.shape, 1));
    int64_t targets = split->targets.data ? split->targets.shape.dim[1] : 0;
    int32_t *labels = split->labels.data;
    float *target = split->targets.data;
    char *images = split->images.data;
    for (int64_t i = 0; i < most; i++) {
        int64_t from = i * count / most;
        labels[i] = labels[from];
        memmove(images + (size_t)i * row, images + (size_t)from * row, row);
        if (targets) memmove(target + i * targets, target + from * targets, (size_t)targets * sizeof *target);
    }
    split->labels.shape.dim[0] = most;
    if (targets) split->targets.shape.dim[0] = most;
    split->images.shape.dim[0] = most;
}

/* u8 images [N,C,H,W] to another size, each by itself. */
static tern_status resize(tern_tensor *images, int height, int width)
{
    const tern_shape s = images->shape;
    int64_t count = s.rank == 4 ? s.dim[0] : 0, size = count ? tern_elements_from(&s, 1) : 0;
    tern_tensor all = {0};
    if (s.rank != 4 || images->dtype != TERN_U8 || (s.dim[2] == height && s.dim[3] == width)) return TERN_OK;
    tern_resize_kind kind = s.dim[2] > height ? TERN_RESIZE_AREA : TERN_RESIZE_BILINEAR;
    tern_status status = tern_tensor_new(&all, TERN_U8, &TERN_SHAPE(count, s.dim[1], height, width));
    for (int64_t i = 0; status == TERN_OK && i < count; i++) {
        tern_tensor image = {TERN_U8, TERN_SHAPE(s.dim[1], s.dim[2], s.dim[3]),
                             (uint8_t *)images->data + i * size},
                    fit = {0};
        status = tern_image_resize(&image, height, width, kind, &fit);
        size_t bytes = (size_t)(s.dim[1] * height * width);
        if (status == TERN_OK) memcpy((uint8_t *)all.data + (size_t)i * bytes, fit.data, bytes);
        tern_tensor_free(&fit);
    }
    if (status != TERN_OK) {
        tern_tensor_free(&all);
        return status;
    }
    tern_tensor_free(images);
    *images = all;
    return TERN_OK;
}

static tern_status finish(tern_dataset *d, int classes, const char *const *names,
                          const tern_dataset_options *options)
{
    const tern_shape *images = &d->train.images.shape;
    if (options->height && options->width) {
        TERN_TRY(resize(&d->train.images, options->height, options->width));
        TERN_TRY(resize(&d->test.images, options->height, options->width));
    }
    d->sample = (tern_shape){.rank = images->rank - 1};
    for (int i = 0; i < d->sample.rank; i++) d->sample.dim[i] = images->dim[i + 1];
    TERN_TRY(check_size(d));
    if (names) TERN_TRY(tern_dataset_name_classes(d, names, classes));
    if (!d->class_names) d->classes = classes ? classes : highest_label(&d->train.labels) + 1;
    TERN_TRY(check_labels(d, &d->train, "training"));
    if (!d->test.images.data) TERN_TRY(tern_dataset_hold_out(d));
    TERN_TRY(check_labels(d, &d->test, "test"));
    TERN_TRY(check_images(d, &d->train, "training"));
    TERN_TRY(check_images(d, &d->test, "test"));
    limit(&d->train, options->train_limit);
    limit(&d->test, options->test_limit);
    measure(d);
    return TERN_OK;
}

static tern_status unknown(const char *name)
{
    const char *names[32];
    size_t count = 0;
    tern_text list = {0};
    for (const tern_known_dataset *k; (k = tern_dataset_known((int)count)); count++) {
        names[count] = k->name;
        tern_text_format(&list, "%s%s", count ? ", " : "", k->name);
    }
    const char *near = tern_nearest(name, names, count);
    tern_fail(TERN_USAGE, "data \"%s\": neither a known data set (%s) nor a file or folder%s%s%s", name,
              list.data ? list.data : "", near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    tern_text_free(&list);
    return TERN_USAGE;
}

/* `folder`: where it is; NULL: it is looked for. */
static tern_status open_known(tern_dataset *d, const tern_known *known, const char *folder,
                              const tern_dataset_options *options)
{
    tern_arena arena = {0};
    char *searched, *found;
    tern_status status = tern_dataset_locate(&known->about, &arena, &searched, &found);
    if (status == TERN_OK && !folder && !found)
        status = tern_fail(TERN_FAILED, "data set %s is not here; looked in:\n%s\nto get it: %s",
                           known->about.name, searched, known->about.get);
    if (status == TERN_OK) status = known->load(d, folder ? folder : found, options);
    if (status == TERN_OK) status = finish(d, known->classes, known->class_names, options);
    for (int i = 0; known->plain && i < 8; i++) {
        d->mean[i] = 0;
        d->std[i] = 1;
    }
    tern_arena_free(&arena);
    return status;
}

/* Any name in the folder that looks like IDX. */
static tern_status has_idx(const char *path, bool *out)
{
    tern_listing list = {0};
    TERN_TRY(tern_list_folder(path, &list));
    *out = false;
    for (size_t i = 0; i < list.count; i++) *out = *out || strstr(list.names[i], "idx");
    tern_listing_free(&list);
    return TERN_OK;
}

static tern_status open_path(tern_dataset *d, const char *path, const tern_dataset_options *options)
{
    tern_dataset_loader *load = NULL;
    if (tern_is_folder(path)) {
        bool idx = false;
        TERN_TRY(has_idx(path, &idx));
        load = idx ? tern_load_idx_folder : tern_load_image_folder;
    } else if (access(path, F_OK) != 0) {
        return unknown(path);
    } else if (tern_ends_with(path, ".npz")) {
        load = tern_load_npz;
    } else if (tern_ends_with(path, ".csv") || tern_ends_with(path, ".csv.gz")) {
        load = tern_load_csv;
    }
    if (!load) return tern_fail(TERN_USAGE, "%s: expected a folder, or a file .npz, .csv or .csv.gz", path);
    TERN_TRY(load(d, path, options));
    return finish(d, 0, NULL, options);
}

tern_status tern_dataset_open(tern_dataset *dataset, const char *name, const tern_dataset_options *options)
{
    static const tern_dataset_options defaults = {0};
    tern_dataset d = {.name = tern_copy_string(name)};
    if (!options) options = &defaults;
    char *colon = d.name ? strchr(d.name, ':') : NULL;
    if (colon) *colon = 0;
    const tern_known *known = d.name ? tern_known_find(d.name) : NULL;
    if (colon) *colon = ':';
    tern_status status = d.name ? TERN_OK : tern_no_memory(strlen(name), "a name");
    if (status == TERN_OK)
        status =
            known ? open_known(&d, known, colon ? colon + 1 : NULL, options) : open_path(&d, name, options);
    if (status != TERN_OK) {
        tern_dataset_close(&d);
        return status;
    }
    *dataset = d;
    return TERN_OK;
}
