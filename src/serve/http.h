/* http: the connections, over libmicrohttpd.  Moves bytes, knows paths; everything that takes time is somebody else's. */
#ifndef TERN_SERVE_HTTP_H
#define TERN_SERVE_HTTP_H

#include "serve/job.h"

typedef struct tern_http_options {
    const char *host, *name;
    int port;
    /* A request whose body is there, held by the connection; whoever takes it holds it too, and sends the answer. */
    void (*take)(void *context, tern_job *job);
    void *context;
} tern_http_options;

typedef struct tern_http tern_http;
tern_status tern_http_open(tern_http **http, const tern_http_options *options);
int tern_http_port(const tern_http *http);
/* No connection is taken from here on; those that are open go on. */
void tern_http_quiesce(tern_http *http);
/* Requests that have come at least in part and whose answers have not gone out yet. */
int tern_http_exchanges(const tern_http *http);
/* All jobs that were taken must be over. */
void tern_http_close(tern_http *http);

#endif
