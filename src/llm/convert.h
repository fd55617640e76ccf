/* convert: a model's file in another number format. */
#ifndef TERN_LLM_CONVERT_H
#define TERN_LLM_CONVERT_H

#include "io/io.h"
#include "llm/mixture.h"
#include "quant/recode.h"

typedef struct tern_model_format {
    tern_dtype
        dtype; /* TERN_I8: rows of bytes with a scale each, for products that split outliers (LLM.int8()) */
    double threshold;     /* of those */
    bool together;        /* one scale for all rows of a tensor: to see what that costs */
    bool lossy;           /* tensors that have lost something already may lose more */
    tern_mixture mixture; /* some tensors are finer than `dtype` */
    bool has_head;
    tern_dtype head; /* of the table that makes logits, where has_head */
} tern_model_format;

/* "q4_0", .. as tern list dtypes shows them, "int8-outlier", or a mixture: "q4_K_M". */
tern_status tern_model_format_find(const char *name, tern_model_format *format);
/* The format of the table that makes logits, where it is to be another. */
tern_status tern_model_format_head(const char *name, tern_model_format *format);

/* What each tensor would become, whatever is lost: dtypes[weights->count]. */
void tern_model_formats(const tern_weights *weights, const tern_model_format *format, tern_dtype *dtypes);

/* What became of a tensor. */
typedef struct tern_model_change {
    const char *name;
    tern_shape shape;
    tern_dtype from, to;
    double bytes, old_bytes; /* with scales */
    tern_recoding error;
    const char *why; /* it has another format than the one asked for; NULL: it has not */
} tern_model_change;

typedef struct tern_model_changes {
    tern_model_change *list;
    int count;
} tern_model_changes;
void tern_model_changes_free(tern_model_changes *changes);

/* Write `weights` to `path`, GGUF or, where that ends in .safetensors, safetensors (with the metadata as texts).  Weights of
 * products and tables change; norms, biases and what the format can't hold stay, or take the nearest larger format.  int8
 * and nf4 are for the products of blocks only.  Refuses, before anything is written, a second loss that is not asked for
 * (TERN_USAGE); and numbers that the format has no room for.  Names in `changes` are those of `weights`. */
tern_status tern_model_convert(const tern_weights *weights, const tern_model_format *format, const char *path,
                               tern_pool *pool, tern_model_changes *changes);

#endif
