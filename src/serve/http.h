/* http: the connections, over libmicrohttpd.  Moves bytes, knows paths; everything that takes time is somebody else's. */
#ifndef TERN_SERVE_HTTP_H
#define TERN_SERVE_HTTP_H

#include "serve/job.h"

typedef struct tern_http_options {
    const char *host; /* NULL: 127.0.0.1 */
    int port;
    const char *model, *other; /* models by name; the other one may be NULL */
    const char *const *keys;   /* any of which lets in; of NULL everybody is let in */
    int key_count;
    size_t most_body; /* bytes of a request */
    int connections;  /* at once */
    double seconds;   /* for a request to arrive, and for a client to take what it is sent */
    tern_meter *meter;
    /* A request whose body is there, held by the connection; whoever takes it holds it too, and sends the answer. */
    void (*take)(void *context, tern_job *job);
    /* The connection is done with a job that was taken: `whole`: its answer has gone out to the last byte, `seconds` after its headers
     * came; else the client has left, and workers may still be at it.  NULL: nothing is called. */
    void (*over)(void *context, const tern_job *job, double seconds, bool whole);
    /* Fills in what the server knows; connections are known here. */
    void (*look)(void *context, tern_gauges *gauges);
    void *context;
} tern_http_options;

typedef struct tern_http tern_http;
/* Begins to listen: TERN_FAILED names the address that cannot be had.  The port is the one that was asked for, or with 0 the one
 * that the system chose.  What the options name must outlive it. */
tern_status tern_http_open(tern_http **http, const tern_http_options *options);
int tern_http_port(const tern_http *http);
/* To be called now and then: ends connections whose request does not arrive. */
void tern_http_tick(tern_http *http);
/* No connection is taken from here on; those that are open go on. */
void tern_http_quiesce(tern_http *http);
/* Requests that have come at least in part and whose answers have not gone out yet. */
int tern_http_exchanges(const tern_http *http);
/* All jobs that were taken must be over. */
void tern_http_close(tern_http *http);

#endif
