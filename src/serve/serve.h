/* serve: a language model behind HTTP, spoken to as OpenAI's API is.  Three kinds of threads share the work: one of the HTTP
 * library, which only moves bytes; one that reads requests (JSON, chat template, tokens); one that runs the model.  A request is
 * a job that goes from one to the next and back. */
#ifndef TERN_SERVE_H
#define TERN_SERVE_H

#include "llm/generate.h"
#include "llm/template.h"

/* All that points is the caller's and must outlive the server. */
typedef struct tern_server_options {
    const char *host; /* address to listen at; NULL: 127.0.0.1, which only this computer reaches */
    int port;         /* 0: any that is free */
    const char *name; /* what clients call the model */
    const tern_template *template; /* of conversations; NULL: there are none */
} tern_server_options;

typedef struct tern_server tern_server;

/* Listens and answers from here on.  The speaker is the server's to use until it is closed.  Fails with the address when it
 * cannot be had, and where Tern was built without libmicrohttpd. */
tern_status tern_server_open(tern_server **server, tern_speaker *speaker, const tern_server_options *options);
int tern_server_port(const tern_server *server);
/* Returns after SIGINT or SIGTERM, when what was asked for by then has been answered; a second signal ends the process. */
void tern_server_run(tern_server *server);
void tern_server_close(tern_server *server);

#endif
