/* io: files in, files out.  Readers take bytes in memory or a path, trust nothing in them, and give tensors that the
 * caller owns (tern_tensor_free).  A failure leaves `out` as it was and says which file, which field or line, what was
 * expected, what was found and what to do. */
#ifndef TERN_IO_H
#define TERN_IO_H

#include "tensor/tensor.h"

/* ---- array files ------------------------------------------------------------------------------------------ */

/* IDX (the format of MNIST), plain or gzipped: u8 i8 i16 i32 f32 f64, up to 6 axes.  `name` is for messages. */
tern_status tern_idx_parse(const void *bytes, size_t count, const char *name, tern_tensor *out);
tern_status tern_idx_read(const char *path, tern_tensor *out);

/* ---- data sets ---------------------------------------------------------------------------------------------- */

/* Samples [N,..] (u8 or f32; images are [N,C,H,W], clips and event frames [N,T,C,H,W]) and their labels i32 [N]. */
typedef struct tern_split {
    tern_tensor images, labels;
} tern_split;

typedef struct tern_dataset {
    char *name;             /* "fashion-mnist", or the path */
    tern_split train, test; /* every data set has both */
    int classes;
    char **class_names; /* [classes], or NULL where unknown */
    tern_shape sample;  /* of one sample, without N */
    /* Statistics of the training pixels, u8 taken as x/255, by channel (axis C), repeated up to 8. */
    double mean[8], std[8];
} tern_dataset;

/* Zero means the default everywhere. */
typedef struct tern_dataset_options {
    int train_limit, test_limit; /* keep the first so many samples; 0: all */
} tern_dataset_options;

/* A known name (tern_dataset_known) or a path: a folder of IDX files.  options may be NULL. */
tern_status tern_dataset_open(tern_dataset *dataset, const char *name, const tern_dataset_options *options);
void tern_dataset_close(tern_dataset *dataset);

/* What is known by name, for people. */
typedef struct tern_known_dataset {
    const char *name, *about, *licence;
    const char *get; /* how to come by it */
} tern_known_dataset;
const tern_known_dataset *tern_dataset_known(int index); /* NULL behind the last */
/* The folders that are searched for it, one a line, and the one where it was found (NULL: nowhere).  Strings live in
 * `arena`. */
tern_status tern_dataset_locate(const tern_known_dataset *known, tern_arena *arena, char **searched,
                                char **found);

#endif
