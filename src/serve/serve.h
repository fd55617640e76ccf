/* serve: a language model behind HTTP, spoken to as OpenAI's API is.  Three kinds of threads share the work: one of the HTTP
 * library, which only moves bytes; one that reads requests (JSON, chat template, tokens); one that runs the model, many
 * requests at once.  A request is a job that goes from one to the next and back. */
#ifndef TERN_SERVE_H
#define TERN_SERVE_H

#include "llm/batch.h"
#include "llm/template.h"

/* A model that makes embeddings. */
typedef struct tern_server_encoder {
    const char *name;
    const tern_transformer *about; /* NULL: there is none */
    const tern_tokenizer *tokenizer;
} tern_server_encoder;

/* All that points is the caller's and must outlive the server. */
typedef struct tern_server_options {
    const char *host; /* address to listen at; NULL: 127.0.0.1, which only this computer reaches */
    int port;         /* 0: any that is free */
    const char *name; /* what clients call the model that speaks */
    const tern_template *template; /* of conversations; NULL: there are none */
    tern_server_encoder encoder;
    const char *const *keys; /* any of which a client must have; NULL: none is asked for */
    int key_count;
    int most_requests;    /* that wait or run at once; more are sent away (429) */
    size_t most_body;     /* bytes of a request */
    int most_connections; /* at once */
    double arrival;       /* seconds for a request to arrive */
    double patience;      /* seconds for an answer to be made, from the request on */
    uint64_t seed;        /* of requests that say none */
    FILE *log;            /* a line of JSON for each request, see server.c; NULL: none */
    tern_pool *pool;
} tern_server_options;

typedef struct tern_server tern_server;

/* Listens and answers from here on; SIGINT and SIGTERM are its own.  The batch (NULL: embeddings alone) is the server's to use until it is closed.  Fails with
 * the address when it cannot be had, and where Tern was built without libmicrohttpd. */
tern_status tern_server_open(tern_server **server, tern_batch *batch, const tern_server_options *options);
int tern_server_port(const tern_server *server);
/* Returns after SIGINT or SIGTERM, when what was asked for by then has been answered; a second signal ends the process. */
void tern_server_run(tern_server *server);
void tern_server_close(tern_server *server);

#endif
