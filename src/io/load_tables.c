/* Data sets in one file: NPZ and CSV. */
#include "io/dataset.h"

#include <math.h>
#include <string.h>

/* ---- NPZ -------------------------------------------------------------------------------------------------------- */

/* Moves a tensor out of a bundle; false when there is none of that name. */
static bool take(const tern_bundle *b, const char *name, tern_tensor *out)
{
    tern_tensor *t = tern_bundle_find(b, name);
    if (!t) return false;
    *out = *t;
    *t = (tern_tensor){0};
    return true;
}

/* [N,H,W,C] -> [N,C,H,W] */
static tern_status channels_first(tern_tensor *images)
{
    const int64_t *d = images->shape.dim;
    int64_t plane = d[1] * d[2], channels = d[3];
    size_t size = (size_t)tern_dtype_of(images->dtype)->bytes;
    tern_tensor t = {0};
    TERN_TRY(tern_tensor_new(&t, images->dtype, &TERN_SHAPE(d[0], d[3], d[1], d[2])));
    const char *from = images->data;
    for (int64_t n = 0; n < d[0]; n++)
        for (int64_t p = 0; p < plane; p++)
            for (int64_t c = 0; c < channels; c++, from += size)
                memcpy((char *)t.data + (size_t)((n * channels + c) * plane + p) * size, from, size);
    tern_tensor_free(images);
    *images = t;
    return TERN_OK;
}

static bool is_channels(int64_t dim)
{
    return dim == 1 || dim == 3;
}

/* What is to be predicted: real numbers, or several of each sample. */
static bool is_target(const tern_tensor *y)
{
    bool real = y->dtype == TERN_F32 || y->dtype == TERN_F64;
    return y->shape.rank == 2 ? y->shape.dim[1] > 1 || real : y->shape.rank == 1 && real;
}

/* y becomes targets f32 [N,K] and labels 0. */
static tern_status take_targets(tern_split *split, const char *path, const char *y)
{
    tern_tensor given = split->labels;
    int64_t count = given.shape.dim[0], each = given.shape.rank == 2 ? given.shape.dim[1] : 1;
    split->labels = (tern_tensor){0};
    tern_status status = tern_tensor_new(&split->targets, TERN_F32, &TERN_SHAPE(count, each));
    if (status == TERN_OK) status = tern_tensor_new(&split->labels, TERN_I32, &TERN_SHAPE(count));
    for (int64_t i = 0; status == TERN_OK && i < count * each; i++) {
        tern_set(&split->targets, i, tern_get(&given, i));
        if (!isfinite(tern_get(&given, i)))
            status = tern_fail(TERN_FAILED, "%s: %s of sample %lld is %g, expected a finite number", path, y,
                               (long long)(i / each), tern_get(&given, i));
    }
    tern_tensor_free(&given);
    return status;
}

/* units [K] of a file with targets, or ones. */
static tern_status take_units(const tern_bundle *b, const char *path, tern_dataset *d)
{
    const tern_tensor *given = tern_bundle_find(b, "units");
    if (!d->train.targets.data) return TERN_OK;
    int64_t each = d->train.targets.shape.dim[1];
    if (given && tern_elements(&given->shape) != each)
        return tern_fail(TERN_FAILED, "%s: units has %lld elements, expected %lld, one for each target", path,
                         (long long)tern_elements(&given->shape), (long long)each);
    TERN_TRY(tern_tensor_new(&d->units, TERN_F32, &TERN_SHAPE(each)));
    for (int64_t k = 0; k < each; k++) {
        double unit = given ? tern_get(given, k) : 1;
        tern_set(&d->units, k, unit);
        if (!(unit > 0) || !isfinite(unit))
            return tern_fail(TERN_FAILED, "%s: unit %lld is %g, expected a number above 0", path,
                             (long long)k, unit);
    }
    return TERN_OK;
}

static tern_status take_split(const tern_bundle *b, const char *path, const char *x, const char *y,
                              tern_split *out)
{
    char text[96];
    if (!take(b, x, &out->images) || !take(b, y, &out->labels))
        return tern_fail(TERN_FAILED,
                         "%s: no arrays %s and %s: expected x_train and y_train, and x_test and y_test where "
                         "there is a test split",
                         path, x, y);
    tern_shape *images = &out->images.shape, *labels = &out->labels.shape;
    bool targets = is_target(&out->labels);
    if (!targets && labels->rank == 2 && labels->dim[1] == 1) labels->rank = 1;
    if ((labels->rank != 1 && !targets) || images->rank < 2 || images->dim[0] != labels->dim[0])
        return tern_fail(TERN_FAILED,
                         "%s: %s has shape %s, expected [N], or targets [N,K], as many as %s has samples",
                         path, y, tern_shape_text(text, labels), x);
    if (out->images.dtype == TERN_BIT || out->images.dtype == TERN_I32 || out->images.dtype == TERN_I16) {
        tern_tensor real = {0};
        TERN_TRY(tern_tensor_new(&real, TERN_F32, images));
        tern_tensor_cast(&real, &out->images);
        tern_tensor_free(&out->images);
        out->images = real;
    }
    if (images->rank == 3) *images = TERN_SHAPE(images->dim[0], 1, images->dim[1], images->dim[2]);
    if (images->rank == 4 && !is_channels(images->dim[1]) && is_channels(images->dim[3]))
        TERN_TRY(channels_first(&out->images));
    return targets ? take_targets(out, path, y) : tern_labels_to_i32(&out->labels, path);
}

/* Both splits have targets of the same number, or neither. */
static tern_status check_targets(const tern_dataset *d, const char *path)
{
    const tern_tensor *a = &d->train.targets, *b = &d->test.targets;
    if (!d->test.images.data || (!a->data && !b->data)) return TERN_OK;
    if (a->data && b->data && a->shape.dim[1] == b->shape.dim[1]) return TERN_OK;
    return tern_fail(TERN_FAILED,
                     "%s: y_train and y_test differ in what they hold: expected labels in both, or "
                     "targets of as many columns",
                     path);
}

tern_status tern_load_npz(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    (void)options;
    tern_bundle b = {0};
    TERN_TRY(tern_npz_read(path, &b));
    tern_status status = take_split(&b, path, "x_train", "y_train", &dataset->train);
    if (status == TERN_OK && (tern_bundle_find(&b, "x_test") || tern_bundle_find(&b, "y_test")))
        status = take_split(&b, path, "x_test", "y_test", &dataset->test);
    if (status == TERN_OK) status = check_targets(dataset, path);
    if (status == TERN_OK) status = take_units(&b, path, dataset);
    tern_bundle_free(&b);
    return status;
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

/* [N,H*W] -> [N,1,H,W] where the options ask for it. */
static tern_status shape_rows(tern_tensor *values, const char *path, const tern_dataset_options *o)
{
    if (!o->height || !o->width) return TERN_OK;
    int64_t *d = values->shape.dim;
    if (d[1] != (int64_t)o->height * o->width)
        return tern_fail(TERN_FAILED, "%s: %lld columns of values, expected %d x %d pixels", path,
                         (long long)d[1], o->width, o->height);
    values->shape = TERN_SHAPE(d[0], 1, o->height, o->width);
    return TERN_OK;
}

tern_status tern_load_csv(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    tern_csv_options csv = {.header = options->no_header ? TERN_CSV_NO_HEADER : TERN_CSV_GUESS,
                            .label = options->label ? options->label : "label|class|target|-1"};
    tern_table table = {0};
    TERN_TRY(tern_csv_read(path, &csv, &table));
    tern_status status = TERN_OK;
    if (table.class_names.texts)
        status =
            tern_dataset_name_classes(dataset, (const char *const *)table.class_names.keys, table.classes);
    if (status == TERN_OK) status = shape_rows(&table.values, path, options);
    if (status == TERN_OK) {
        dataset->train = (tern_split){.images = table.values, .labels = table.labels};
        table.values = table.labels = (tern_tensor){0};
    }
    tern_table_free(&table);
    return status;
}
