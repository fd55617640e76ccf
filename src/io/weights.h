/* What the readers of model files share. */
#ifndef TERN_IO_WEIGHTS_H
#define TERN_IO_WEIGHTS_H

#include "io/io.h"

/* ggml's number of a format; false: GGUF lacks it. */
bool tern_gguf_type(tern_dtype dtype, uint32_t *number);
/* Whether blocks run on from row to row; of others rows are whole blocks. */
bool tern_gguf_flat(tern_dtype dtype);
int tern_meta_kind_size(tern_meta_kind kind); /* bytes of a number; 0: not a number */

/* A tensor that outlives the weights, or is moved into weights->copies before. */
tern_status tern_weights_add(tern_weights *weights, const char *name, tern_tensor tensor);
/* Entries of metadata: a text, or a number or truth as f64 or bool.  Copied. */
tern_status tern_weights_add_text(tern_weights *weights, const char *key, const char *text, size_t size);
tern_status tern_weights_add_number(tern_weights *weights, const char *key, double value, bool truth);
/* An entry of GGUF as the text that safetensors holds under "gguf.<key>"; and such entries as what they were. */
tern_status tern_meta_to_text(const tern_meta *meta, tern_text *out);
tern_status tern_weights_restore_metas(tern_weights *weights);
/* The numbers, texts and truths of a config.json in memory as metadata "config.<key>", those of objects under dotted keys; `name` is for
 * messages. */
tern_status tern_weights_config(tern_weights *weights, const char *text, size_t size, const char *name);
/* Names are unique; `what` is the file. */
tern_status tern_weights_check_names(const tern_weights *weights, const char *what);
/* Fill empty weights with what a GGUF file in memory holds. */
tern_status tern_gguf_view(const void *bytes, size_t count, const char *name, tern_weights *weights);
/* Add what a safetensors file in memory holds. */
tern_status tern_safetensors_view(const void *bytes, size_t count, const char *name, tern_weights *weights);

#endif
