/* A folder of IDX files as MNIST and its relatives have it: {train,t10k|test}-{images,labels}-idx{3,1}-ubyte[.gz]. */
#include "io/dataset.h"

#include <string.h>

/* The first name (so the unpacked one, where both are there) that holds all the words; NULL when there is none. */
static const char *pick(const tern_listing *list, const char *split, const char *what)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->names[i];
        if (strstr(name, split) && strstr(name, what) && strstr(name, "idx")) return name;
    }
    return NULL;
}

static tern_status read_one(const char *folder, const char *name, tern_tensor *out)
{
    tern_text path = {0};
    tern_text_format(&path, "%s/%s", folder, name);
    tern_status status = tern_text_status(&path);
    if (status == TERN_OK) status = tern_idx_read(path.data, out);
    tern_text_free(&path);
    return status;
}

static tern_status read_split(const char *folder, const char *images, const char *labels, tern_split *out)
{
    TERN_TRY(read_one(folder, images, &out->images));
    TERN_TRY(read_one(folder, labels, &out->labels));
    int rank = out->images.shape.rank;
    char text[96];
    if (rank != 3 && rank != 4)
        return tern_fail(TERN_FAILED, "%s/%s: shape %s, expected images [N,H,W] or [N,C,H,W]", folder, images,
                         tern_shape_text(text, &out->images.shape));
    if (out->labels.shape.rank != 1)
        return tern_fail(TERN_FAILED, "%s/%s: shape %s, expected labels [N]", folder, labels,
                         tern_shape_text(text, &out->labels.shape));
    if (out->images.shape.dim[0] != out->labels.shape.dim[0])
        return tern_fail(
            TERN_FAILED, "%s: %s has %lld images, %s has %lld labels: they do not belong together", folder,
            images, (long long)out->images.shape.dim[0], labels, (long long)out->labels.shape.dim[0]);
    if (rank == 3) { /* [N,H,W] -> [N,1,H,W] */
        const int64_t *d = out->images.shape.dim;
        out->images.shape = TERN_SHAPE(d[0], 1, d[1], d[2]);
    }
    return tern_labels_to_i32(&out->labels, labels);
}

static tern_status read_listed(tern_dataset *dataset, const char *folder, const tern_listing *list)
{
    const char *train_images = pick(list, "train", "images"), *train_labels = pick(list, "train", "labels");
    const char *test_images = pick(list, "t10k", "images"), *test_labels = pick(list, "t10k", "labels");
    if (!test_images) test_images = pick(list, "test", "images");
    if (!test_labels) test_labels = pick(list, "test", "labels");
    bool train = train_images && train_labels, test = test_images && test_labels;
    if (!train && !test)
        return tern_fail(
            TERN_FAILED,
            "%s: no pair of IDX files: expected train-images-idx3-ubyte and train-labels-idx1-ubyte "
            "and the same with t10k or test (.gz too)",
            folder);
    if (train) TERN_TRY(read_split(folder, train_images, train_labels, &dataset->train));
    if (test)
        TERN_TRY(read_split(folder, test_images, test_labels, train ? &dataset->test : &dataset->train));
    return TERN_OK;
}

tern_status tern_load_idx_folder(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    (void)options;
    tern_listing list = {0};
    TERN_TRY(tern_list_folder(path, &list));
    tern_status status = read_listed(dataset, path, &list);
    tern_listing_free(&list);
    return status;
}

tern_status tern_load_garments(tern_dataset *dataset, const char *path)
{
    TERN_TRY(tern_load_idx_folder(dataset, path, NULL));
    const tern_tensor *train = &dataset->train.images, *test = &dataset->test.images;
    if (test->data && train->dtype == TERN_U8 && test->dtype == TERN_U8 &&
        tern_elements_from(&train->shape, 1) == 28 * 28 && tern_elements_from(&test->shape, 1) == 28 * 28)
        return TERN_OK;
    return tern_fail(TERN_FAILED, "%s: expected Fashion-MNIST, u8 images 28 x 28 to train and to test", path);
}
