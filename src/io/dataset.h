/* What the loaders of data sets share. */
#ifndef TERN_IO_DATASET_H
#define TERN_IO_DATASET_H

#include "io/io.h"

/* Fills train and, where the files have one, test, and class_names where known; what it filled before a failure is
 * released by the caller.  Labels are i32, images anything numeric: tern_dataset_open does the rest. */
typedef tern_status tern_dataset_loader(tern_dataset *dataset, const char *path,
                                        const tern_dataset_options *options);
tern_dataset_loader tern_load_idx_folder;

/* Names in a folder, sorted by bytes, without those that begin with a dot. */
typedef struct tern_listing {
    char **names;
    size_t count, capacity;
} tern_listing;
tern_status tern_list_folder(const char *path, tern_listing *out);
void tern_listing_free(tern_listing *listing);
bool tern_is_folder(const char *path);

/* i32 [N] from labels of any integer format. */
tern_status tern_labels_to_i32(tern_tensor *labels, const char *where);

/* Where one class_names entry a class is copied from. */
tern_status tern_dataset_name_classes(tern_dataset *dataset, const char *const *names, int count);

void tern_split_free(tern_split *split);
/* Hold back a fifth for testing: the samples are shuffled with a fixed seed, sorted by class (stable), and every
 * fifth of that order becomes the test split: 10,000 give 8,000 and 2,000, the same ones on every machine. */
tern_status tern_dataset_hold_out(tern_dataset *dataset);

#endif
