/* TFLite: the file, the graph that it becomes, and its weights. */
#include "model.h"

#include "tflite/tflite.h"

TERN_MODEL_FUZZER(tflite)
