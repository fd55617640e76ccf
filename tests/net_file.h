/* A net from a file of a format of others, planned for a batch, with weights.  Before: NET_FILE, the format as functions spell it
 * (onnx), and the header of its reader. */
#include "train/train.h"

#include <stdio.h>

#define NET_JOIN_(a, b, c) a##b##c
#define NET_JOIN(a, b, c)  NET_JOIN_(a, b, c)
#define NET_TEXT_(a)       #a
#define NET_TEXT(a)        NET_TEXT_(a)
#define NET_CALL(what)     NET_JOIN(tern_, NET_FILE, what)

typedef struct net {
    NET_CALL() * file;
    void *parameters;
    tern_store store;
    tern_model model;
} net;

static const char *path_of(const char *name, const char *ending)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/golden/" NET_TEXT(NET_FILE) "/%s%s", TERN_TESTS, name, ending);
    return path;
}

static void close_net(net *n)
{
    tern_model_close(&n->model);
    tern_store_close(&n->store);
    tern_net_free(n->parameters);
    NET_CALL(_close)(n->file);
}

static tern_status fill_net(net *n, int batch)
{
    const tern_net *record = NET_CALL(_net)(n->file);
    TERN_TRY(NET_CALL(_parameters)(n->file, &n->parameters));
    TERN_TRY(NET_CALL(_weights)(n->file, &n->store));
    return tern_model_open(&n->model, record, n->parameters, &record->sample, batch, NULL, &n->store, NULL);
}

static tern_status open_net(net *n, const char *name, int batch)
{
    *n = (net){0};
    tern_status status = NET_CALL(_open)(&n->file, path_of(name, "." NET_TEXT(NET_FILE)));
    if (status == TERN_OK) status = fill_net(n, batch);
    if (status != TERN_OK) close_net(n);
    return status;
}
