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

/* ---- files of named tensors ----------------------------------------------------------------------------------- */

/* What one file holds: tensors by name and, where the format has them, texts by key. */
typedef struct tern_bundle {
    tern_tensor *tensors;
    char **names;
    int count, capacity;
    char **keys, **values;
    int texts, text_capacity;
} tern_bundle;
/* Move a tensor in (owned from then on, also when this fails); copy a text in. */
tern_status tern_bundle_add(tern_bundle *bundle, const char *name, tern_tensor tensor);
tern_status tern_bundle_add_text(tern_bundle *bundle, const char *key, const char *value);
tern_tensor *tern_bundle_find(const tern_bundle *bundle, const char *name); /* NULL when there is none */
const char *tern_bundle_text(const tern_bundle *bundle, const char *key);   /* NULL when there is none */
void tern_bundle_free(tern_bundle *bundle);

/* safetensors (github.com/huggingface/safetensors): every offset is checked, holes and overlaps are refused, headers
 * above 100 MB too.  BOOL becomes bit; I64, U64, U32 and U16 become i32 where their values fit.  Files are mapped, not
 * read.  Writing replaces the file as a whole and copies no tensor. */
tern_status tern_safetensors_parse(const void *bytes, size_t count, const char *name, tern_bundle *out);
tern_status tern_safetensors_read(const char *path, tern_bundle *out);
tern_status tern_safetensors_write(const char *path, const tern_bundle *bundle);

/* A checkpoint is a safetensors file whose metadata carry a JSON document ("tern.document") and checksums: any damage is
 * found and named.  The tensors stay the caller's; names are unique.  *document: the caller releases it. */
tern_status tern_checkpoint_write(const char *path, const tern_tensor *tensors, const char *const *names,
                                  int count, const char *document);
tern_status tern_checkpoint_parse(const void *bytes, size_t count, const char *name, tern_bundle *out,
                                  char **document);
tern_status tern_checkpoint_read(const char *path, tern_bundle *out, char **document);

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
