/* A model file of others: the file, the graph that it becomes, and its weights.  TERN_MODEL_FUZZER(onnx) is its fuzzer. */
#ifndef TERN_FUZZ_MODEL_H
#define TERN_FUZZ_MODEL_H

#include "fuzz.h"

#include "train/train.h"

#define TERN_MODEL_FUZZER(format)                                                                            \
    static tern_status build(tern_##format *model)                                                           \
    {                                                                                                        \
        const tern_net *net = tern_##format##_net(model);                                                    \
        void *parameters = NULL;                                                                             \
        tern_store store = {0};                                                                              \
        tern_graph *graph = NULL;                                                                            \
        TERN_TRY(tern_##format##_parameters(model, &parameters));                                            \
        tern_status status = tern_model_graph(&graph, net, parameters, &net->sample, 2, 1);                  \
        if (status == TERN_OK) status = tern_##format##_weights(model, &store);                              \
        tern_graph_close(graph);                                                                             \
        tern_store_close(&store);                                                                            \
        tern_net_free(parameters);                                                                           \
        return status;                                                                                       \
    }                                                                                                        \
    static tern_status parse(const uint8_t *bytes, size_t count)                                             \
    {                                                                                                        \
        tern_##format *model = NULL;                                                                         \
        TERN_TRY(tern_##format##_parse(&model, bytes, count, "fuzz"));                                       \
        tern_status status = build(model);                                                                   \
        tern_##format##_close(model);                                                                        \
        return status;                                                                                       \
    }                                                                                                        \
    TERN_FUZZER(parse)

#endif
