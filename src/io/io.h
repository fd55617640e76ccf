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

/* NPY, versions 1 to 3, either byte order, C and Fortran order: f2 f4 f8, i1 i2 i4, u1 as they are, b1 as bit, and u2 u4
 * i8 u8 as i32 where their values fit.  Writing gives version 1; bit becomes b1, and bf16, which numpy lacks, fails. */
tern_status tern_npy_parse(const void *bytes, size_t count, const char *name, tern_tensor *out);
tern_status tern_npy_read(const char *path, tern_tensor *out);
tern_status tern_npy_write(const char *path, const tern_tensor *tensor);

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
/* The same with elements that are made when their turn comes: content gives the bytes of tensor i, valid until the next
 * call; NULL: tensors[i].data. */
typedef tern_status tern_content(void *context, int i, const void **bytes);
tern_status tern_safetensors_write_with(const char *path, const tern_bundle *bundle, tern_content *content,
                                        void *context);

/* A checkpoint is a safetensors file whose metadata carry a JSON document ("tern.document") and checksums: any damage is
 * found and named.  The tensors stay the caller's; names are unique.  *document: the caller releases it. */
tern_status tern_checkpoint_write(const char *path, const tern_tensor *tensors, const char *const *names,
                                  int count, const char *document);
tern_status tern_checkpoint_parse(const void *bytes, size_t count, const char *name, tern_bundle *out,
                                  char **document);
tern_status tern_checkpoint_read(const char *path, tern_bundle *out, char **document);

/* NPZ: a zip of NPY files, stored or deflated; a tensor is named as its member without ".npy", others are passed over. */
tern_status tern_npz_parse(const void *bytes, size_t count, const char *name, tern_bundle *out);
tern_status tern_npz_read(const char *path, tern_bundle *out);
/* The same bytes for the same tensors, stored; f32, f64 and whole numbers below 4 GB in all.  Replaces the file as a whole. */
tern_status tern_npz_write(const char *path, const tern_tensor *tensors, const char *const *names, int count);

/* ---- model files ------------------------------------------------------------------------------------------------ */

/* Types of metadata, numbered as GGUF does. */
typedef enum tern_meta_kind {
    TERN_META_U8,
    TERN_META_I8,
    TERN_META_U16,
    TERN_META_I16,
    TERN_META_U32,
    TERN_META_I32,
    TERN_META_F32,
    TERN_META_BOOL,
    TERN_META_TEXT,
    TERN_META_ARRAY, /* in files only: here an array has the kind of its elements */
    TERN_META_U64,
    TERN_META_I64,
    TERN_META_F64,
    TERN_META_KINDS
} tern_meta_kind;

/* One entry: a value, or an array of `count`.  data: the elements as GGUF holds them, not aligned; a text is its length
 * (u64) and its bytes, which may be any. */
typedef struct tern_meta {
    const char *key;
    tern_meta_kind kind;
    bool array;
    int64_t count;
    const uint8_t *data;
    size_t size;
} tern_meta;

/* Files of weights as they lie on disk: tensors are views of mapped memory, read-only, and nothing is copied but what
 * Tern has no format for (integers of 64 bits, bools). */
typedef struct tern_weights {
    struct {
        const void *bytes;
        size_t count;
    } * maps;
    int map_count;
    tern_arena arena;
    tern_tensor *tensors;
    const char **names; /* unique */
    int count, capacity;
    int *index; /* [indexed, a power of two]: 1 + the tensor of each name, by the hash of that; 0: free */
    size_t indexed;
    tern_meta *metas;
    int meta_count;
    tern_bundle copies; /* of what could not be a view */
    int version;        /* of GGUF; 0: safetensors */
} tern_weights;

/* A .gguf file; a .safetensors file; a folder with model.safetensors or model.safetensors.index.json (shards), or that
 * index; a folder with adapter_model.safetensors.  Of a folder's config.json (adapter_config.json) the numbers and texts become metadata "config.<key>".  Told apart by content. */
tern_status tern_weights_open(tern_weights *weights, const char *path);
void tern_weights_close(tern_weights *weights);
/* GGUF, versions 2 and 3, little-endian.  Every length and offset is checked: an error names the field and its offset.
 * The views live as long as `bytes`. */
tern_status tern_gguf_parse(const void *bytes, size_t count, const char *name, tern_weights *out);

const tern_tensor *tern_weights_find(const tern_weights *weights, const char *name); /* NULL: there is none */
/* Names are found by their hash from now on, until tensors are added or renamed, which must then be told by tern_weights_forget_index. */
tern_status tern_weights_make_index(tern_weights *weights);
void tern_weights_forget_index(tern_weights *weights);
const tern_meta *tern_weights_meta(const tern_weights *weights, const char *key); /* NULL: there is none */
/* Element i of a numeric entry; 0 for texts. */
double tern_meta_number(const tern_meta *meta, int64_t i);
/* The texts of an entry, one after the other: *at is where the next one stands, NULL for the first.  False behind the
 * last, or when they are not texts. */
bool tern_meta_next(const tern_meta *meta, const uint8_t **at, const char **text, size_t *size);
const char *tern_meta_kind_name(tern_meta_kind kind);

/* What a writer is told: entries and tensors in order, and what gives their elements. */
typedef struct tern_gguf_content {
    const tern_meta *metas;
    int meta_count;
    const tern_tensor *tensors;
    const char *const *names;
    int count;
    tern_content *content;
    void *context;
} tern_gguf_content;
/* GGUF version 3, aligned by general.alignment (32).  Replaces the file as a whole. */
tern_status tern_gguf_write(const char *path, const tern_gguf_content *content);
/* Whether GGUF has this format. */
bool tern_gguf_has(tern_dtype dtype);

/* ---- tables ----------------------------------------------------------------------------------------------------- */

typedef struct tern_csv_options {
    enum {
        TERN_CSV_GUESS,
        TERN_CSV_HEADER,
        TERN_CSV_NO_HEADER
    } header; /* guess: a header has a field that is no number */
    const char *
        label; /* column of labels: its name, its number from 1, or -1 for the last; alternatives stand between
                          "|", the first that is there counts; NULL: none */
    char separator; /* 0: comma, semicolon or tab, whichever the first line has most */
} tern_csv_options;

typedef struct tern_table {
    tern_tensor values;  /* f32 [N,D], the columns but the label's */
    tern_tensor labels;  /* i32 [N]; no data without a label column */
    tern_bundle columns; /* keys: names of all columns, when there was a header */
    tern_bundle
        class_names; /* keys: the texts that became classes 0, 1, ..; empty when labels were numbers */
    int classes;
} tern_table;

/* CSV, plain or gzipped.  options may be NULL.  Every field but labels must be a finite number. */
tern_status tern_csv_parse(const void *bytes, size_t count, const char *name, const tern_csv_options *options,
                           tern_table *out);
tern_status tern_csv_read(const char *path, const tern_csv_options *options, tern_table *out);
void tern_table_free(tern_table *table);

/* ---- images ----------------------------------------------------------------------------------------------------- */

/* PNG and JPEG, told apart by their first bytes, to u8 [C,H,W]: C is 1 for grey, 3 for colour; transparency is dropped,
 * 16 bits become 8.  At most 64 million pixels.  A JPEG that libjpeg had to mend is refused. */
tern_status tern_image_parse(const void *bytes, size_t count, const char *name, tern_tensor *out);
tern_status tern_image_read(const char *path, tern_tensor *out);

typedef enum tern_resize_kind {
    TERN_RESIZE_AREA,     /* each pixel is the mean of what it covers: for making smaller */
    TERN_RESIZE_BILINEAR, /* between the four nearest pixels: for making larger */
} tern_resize_kind;
/* u8 [C,H,W] -> u8 [C,height,width] */
tern_status tern_image_resize(const tern_tensor *image, int height, int width, tern_resize_kind kind,
                              tern_tensor *out);
/* u8 [3,H,W] -> u8 [1,H,W] by luma (ITU-R BT.601); grey images are copied. */
tern_status tern_image_grey(const tern_tensor *image, tern_tensor *out);

/* ---- video ------------------------------------------------------------------------------------------------------ */

/* A folder of PNG or JPEG frames (in the order of their names' bytes), Y4M with 8 bits, or AVI with MJPEG frames.  Bytes stay
 * the caller's and must outlive the video. */
typedef struct tern_video tern_video;
tern_status tern_video_open(tern_video **video, const char *path);
tern_status tern_video_parse(tern_video **video, const void *bytes, size_t count, const char *name);
void tern_video_close(tern_video *video);
/* The next frame, u8 [C,H,W], C 1 or 3 (grey: 1); the caller frees it.  *more false: there was none. */
tern_status tern_video_next(tern_video *video, bool grey, tern_tensor *frame, bool *more);

/* ---- data sets ---------------------------------------------------------------------------------------------- */

/* Samples [N,..] (u8 or f32; images are [N,C,H,W], clips and event frames [N,T,C,H,W]) and their labels i32 [N], or for
 * regression what is to be predicted of each, f32 [N,K]: then labels are 0, and of one class. */
typedef struct tern_split {
    tern_tensor images, labels, targets;
} tern_split;

typedef struct tern_dataset {
    char *name;             /* "fashion-mnist", or the path */
    tern_split train, test; /* every data set has both */
    int classes;
    char **class_names; /* [classes], or NULL where unknown */
    tern_shape sample;  /* of one sample, without N */
    tern_tensor units;  /* f32 [K], with targets: an error of each that counts as 1 */
    tern_tensor places; /* f32 [N,2], where the first targets stand in a plane; no data: nowhere */
    /* Statistics of the training pixels, u8 taken as x/255, by channel (axis C), repeated up to 8. */
    double mean[8], std[8];
} tern_dataset;

/* Zero means the default everywhere. */
typedef struct tern_dataset_options {
    int train_limit, test_limit; /* keep so many samples, evenly spaced; made data: make so many */
    int height,
        width;    /* images and event frames are brought to this size; tables of height * width columns become
                          images; 0: as they are (see tern_known_dataset for those with a default) */
    bool enlarge; /* image folders: between pixels (bilinear), not the mean of those covered (area) */
    bool grey;    /* image folders: one channel */
    int timesteps; /* frames of event data and clips; default 10, video-moving 16 */
    bool by_time;  /* event frames are windows of equal time, not of equal numbers of events */
    const char *
        label; /* CSV: column of labels, as tern_csv_options has it; default: label, class, target or the last */
    bool no_header; /* CSV: the first row is data, whatever it looks like */
    uint64_t seed;  /* of generated data */
} tern_dataset_options;

/* A known name (tern_dataset_known), NAME:FOLDER where its files are elsewhere, or a path:
 *   a folder of IDX files      {train,t10k|test}-{images,labels}-idx*-ubyte[.gz]
 *   a folder of image folders  <class>/<image>.png|jpg, or train/<class>/.. with test/<class>/.. (or val, valid)
 *   a file .npz                x_train, y_train and, optionally, x_test, y_test; y of real numbers or [N,K] are targets, and
 *                              units [K] says which error of each counts as 1 (default 1)
 *   a file .csv or .csv.gz     a row a sample, one column its label
 * Without a test split a fifth is held out, the same one always.  options may be NULL. */
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
