/* tflite: nets from TensorFlow Lite's files, in floats or in bytes.  Images of a file have their channels last; here they come
 * before the places, and moves between the two are added only where an operator asks for the other.  What bytes compute is
 * what the reference kernels of TensorFlow Lite Micro compute, to the bit. */
#ifndef TERN_TFLITE_H
#define TERN_TFLITE_H

#include "run/run.h"

typedef struct tern_tflite tern_tflite;

/* Reads a file and checks that Tern has all of its operators.  parse: from memory, which must outlive the model; `name` is for
 * messages. */
tern_status tern_tflite_open(tern_tflite **model, const char *path);
tern_status tern_tflite_parse(tern_tflite **model, const void *bytes, size_t count, const char *name);
void tern_tflite_close(tern_tflite *model);

/* The model as a net without options: what its graph says of image [B,sample..] is the value that is built, further outputs
 * are outputs of the graph, "output1" and so on.  A sample has the axes of the file behind the batch.  An input of bytes is made
 * of floats, by its scale and zero; outputs of bytes become floats.  The model must outlive both; the parameter struct is the
 * caller's (tern_net_free). */
const tern_net *tern_tflite_net(const tern_tflite *model);
tern_status tern_tflite_parameters(tern_tflite *model, void **parameters);

/* The form in which a file of bytes learns (tern_pass_int8_learn), before its net is built or its weights are lent: the image
 * comes as [C,H,W], as data sets have it, the softmax behind the last layer is left out, since the loss has its own, and what
 * steps of learning follow from are parameters.  TERN_USAGE where the input does not become bytes, where there are several
 * outputs, or where what learns could not be written: a layer without a bias, or layers that share a tensor. */
tern_status tern_tflite_learn(tern_tflite *model);
/* The file again, with weights and biases as they are in a store of its net that learns. */
tern_status tern_tflite_write(const tern_tflite *model, const tern_store *store, const char *path);

/* Weights as the graph takes them, in the order of Tern's operators, lent to a store; the model keeps them. */
tern_status tern_tflite_weights(tern_tflite *model, tern_store *store);

/* What the file says about itself.  scale and zero are of the bytes, or, `wide`, of the 16 bits that the input is or becomes;
 * scale 0: it stays floats. */
typedef struct tern_tflite_about {
    int64_t version;
    const char *description, *input;
    int operators, tensors, outputs;
    double scale;
    int zero;
    bool wide;
} tern_tflite_about;
tern_tflite_about tern_tflite_about_of(const tern_tflite *model);
const char *tern_tflite_output_name(const tern_tflite *model, int index); /* of the file */
/* What the graph calls it. */
const char *tern_tflite_output_of(const tern_tflite *model, int index);

#endif
