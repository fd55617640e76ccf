/* What the loaders of data sets share. */
#ifndef TERN_IO_DATASET_H
#define TERN_IO_DATASET_H

#include "io/io.h"

/* Fills train and, where the files have one, test, and class_names where known; what it filled before a failure is
 * released by the caller.  Labels are i32, images anything numeric: tern_dataset_open does the rest. */
typedef tern_status tern_dataset_loader(tern_dataset *dataset, const char *path,
                                        const tern_dataset_options *options);
tern_dataset_loader tern_load_idx_folder, tern_load_image_folder, tern_load_npz, tern_load_csv;
/* `path` is that of N-MNIST's folder, and of Fashion-MNIST's for the sets that are made from it. */
tern_dataset_loader tern_load_nmnist, tern_load_motion, tern_load_video, tern_load_can, tern_load_hcrl;
/* Made of nothing: `path` is not looked at. */
tern_dataset_loader tern_load_pulses, tern_load_clean_pulses, tern_load_showers, tern_load_wide_showers;

/* Fashion-MNIST as raw material: u8 images 28x28 with both splits. */
tern_status tern_load_garments(tern_dataset *dataset, const char *path);

/* Names in a folder, sorted by bytes, without those that begin with a dot. */
typedef struct tern_listing {
    char **names;
    size_t count, capacity;
} tern_listing;
tern_status tern_listing_add(tern_listing *list, const char *name); /* copied */
tern_status tern_list_folder(const char *path, tern_listing *out);
void tern_listing_free(tern_listing *listing);
bool tern_is_folder(const char *path);

/* i32 [N] from labels of any integer format. */
tern_status tern_labels_to_i32(tern_tensor *labels, const char *where);

/* Sets classes and copies their names. */
tern_status tern_dataset_name_classes(tern_dataset *dataset, const char *const *names, int count);

void tern_split_free(tern_split *split);
/* Hold back a fifth for testing: the samples are shuffled with a fixed seed; in the order of their classes every fifth
 * one becomes the test split: 10,000 give 8,000 and 2,000, the same ones on every machine, each class in its share. */
tern_status tern_dataset_hold_out(tern_dataset *dataset);

#endif
