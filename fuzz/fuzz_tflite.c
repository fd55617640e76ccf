/* TFLite: the file, the graph that it becomes, and its weights. */
#include "fuzz.h"

#include "tflite/tflite.h"
#include "train/train.h"

static tern_status build(tern_tflite *model)
{
    const tern_net *net = tern_tflite_net(model);
    void *parameters = NULL;
    tern_store store = {0};
    tern_graph *graph = NULL;
    TERN_TRY(tern_tflite_parameters(model, &parameters));
    tern_status status = tern_model_graph(&graph, net, parameters, &net->sample, 2, 1);
    if (status == TERN_OK) status = tern_tflite_weights(model, &store);
    tern_graph_close(graph);
    tern_store_close(&store);
    tern_net_free(parameters);
    return status;
}

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_tflite *model = NULL;
    TERN_TRY(tern_tflite_parse(&model, bytes, count, "fuzz"));
    tern_status status = build(model);
    tern_tflite_close(model);
    return status;
}

TERN_FUZZER(parse)
