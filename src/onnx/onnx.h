/* onnx: nets from ONNX files, operator sets 11 to 21.  The operators of a file are made of the operators of the table, its
 * float initialisers are parameters of their names; what follows from shapes and constants alone is computed while reading. */
#ifndef TERN_ONNX_H
#define TERN_ONNX_H

#include "run/run.h"

typedef struct tern_onnx tern_onnx;

/* Reads a file and checks that Tern has all of its operators; weights stay on disk until tern_onnx_weights.  parse: from
 * memory, which must outlive the model; `name` is for messages, and there can be no external data. */
tern_status tern_onnx_open(tern_onnx **model, const char *path);
tern_status tern_onnx_parse(tern_onnx **model, const void *bytes, size_t count, const char *name);
void tern_onnx_close(tern_onnx *model);

/* The model as a net without options: what its graph says of image [B,sample..] is the value that is built, further outputs
 * are outputs of the graph by their names.  It must outlive both; the parameter struct is the caller's (tern_net_free). */
const tern_net *tern_onnx_net(const tern_onnx *model);
tern_status tern_onnx_parameters(tern_onnx *model, void **parameters);

/* The initialisers as f32, lent to a store: views of the file where they lie aligned, else copies that the model keeps. */
tern_status tern_onnx_weights(tern_onnx *model, tern_store *store);

/* What the file says about itself. */
typedef struct tern_onnx_about {
    int64_t ir_version, opset;
    const char *producer, *input;
    int nodes, initialisers, outputs;
} tern_onnx_about;
tern_onnx_about tern_onnx_about_of(const tern_onnx *model);
const char *tern_onnx_output_name(const tern_onnx *model, int index);

#endif
