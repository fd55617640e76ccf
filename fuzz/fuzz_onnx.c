/* ONNX: the file, the graph that it becomes, and its weights. */
#include "model.h"

#include "onnx/onnx.h"

TERN_MODEL_FUZZER(onnx)
