/* Connections and paths. */
#define _POSIX_C_SOURCE 200809L
#include "serve/http.h"

#ifdef TERN_HAVE_MICROHTTPD
#include "serve/answer.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_BODY = 4 << 20,     /* bytes of a request */
    MOST_CONNECTIONS = 1000, /* at once */
    IDLE_SECONDS = 60,
    LINE_BYTES = 32 << 10, /* of a connection: the headers of a request */
};

struct tern_http {
    tern_http_options options;
    struct MHD_Daemon *daemon;
    int port;
    int64_t started;
    atomic_int exchanges;
};

/* ---- answers that are at hand ------------------------------------------------------------------------------------------ */

static enum MHD_Result reply_text(struct MHD_Connection *c, int status, const char *type,
                                  const tern_text *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(text->size, text->data, MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result reply_json(struct MHD_Connection *c, int status, tern_text *text)
{
    enum MHD_Result result = text->failed ? MHD_NO : reply_text(c, status, "application/json", text);
    tern_text_free(text);
    tern_clear();
    return result;
}

static enum MHD_Result reply_error(struct MHD_Connection *c, int status, const char *message)
{
    tern_text text = {0};
    if (tern_answer_error(&text, status, message, NULL, NULL) != TERN_OK) text.failed = true;
    return reply_json(c, status, &text);
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------- */

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

/* Bytes of a stream as they come; without any the connection sleeps. */
static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t room)
{
    tern_job *j = context;
    ssize_t count = 0;
    (void)position;
    pthread_mutex_lock(&j->lock);
    size_t left = j->out.size - j->taken;
    if (left) {
        count = (ssize_t)(left < room ? left : room);
        memcpy(buffer, j->out.data + j->taken, (size_t)count);
        j->taken += (size_t)count;
    } else if (j->out.failed) {
        count = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (j->over) {
        count = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        j->asleep = true;
        MHD_suspend_connection(j->connection);
    }
    pthread_mutex_unlock(&j->lock);
    return count;
}

static enum MHD_Result reply_stream(struct MHD_Connection *c, tern_job *j)
{
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, j, NULL);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", "text/event-stream");
    MHD_add_response_header(r, "Cache-Control", "no-cache");
    enum MHD_Result result = MHD_queue_response(c, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return result;
}

/* The answer of a job, or sleep until there is one. */
static enum MHD_Result answer(struct MHD_Connection *c, tern_job *j)
{
    pthread_mutex_lock(&j->lock);
    int status = j->status;
    bool stream = j->stream && status == MHD_HTTP_OK, ready = status && (stream || j->over);
    if (!ready) {
        j->asleep = true;
        MHD_suspend_connection(c);
    }
    pthread_mutex_unlock(&j->lock);
    if (!ready) return MHD_YES;
    if (stream) return reply_stream(c, j);
    return j->out.failed ? MHD_NO : reply_text(c, status, "application/json", &j->out);
}

/* ---- paths -------------------------------------------------------------------------------------------------------------- */

typedef enum tern_route_kind { ROUTE_HEALTH, ROUTE_MODELS, ROUTE_MODEL, ROUTE_JOB } tern_route_kind;

typedef struct tern_route {
    const char *method, *path;
    tern_route_kind kind;
    tern_ask_kind ask;
} tern_route;

static const tern_route routes[] = {
    {"GET", "/health", ROUTE_HEALTH, 0},
    {"GET", "/v1/models", ROUTE_MODELS, 0},
    {"GET", "/v1/models/", ROUTE_MODEL, 0}, /* and a name */
    {"POST", "/v1/chat/completions", ROUTE_JOB, TERN_ASK_CHAT},
    {"POST", "/v1/completions", ROUTE_JOB, TERN_ASK_TEXT},
};

/* A connection's request: con_cls of the library. */
typedef struct tern_exchange {
    const tern_route *route; /* NULL: none of that path */
    bool path_known;         /* but not with that method */
    tern_job *job;           /* of those that are jobs */
    bool given;              /* the job is with the workers */
    bool too_long;
} tern_exchange;

static void find_route(tern_exchange *e, const char *method, const char *path)
{
    for (size_t i = 0; i < TERN_COUNT(routes); i++) {
        size_t n = strlen(routes[i].path);
        bool open = routes[i].path[n - 1] == '/';
        if (open ? strncmp(path, routes[i].path, n) != 0 : strcmp(path, routes[i].path) != 0) continue;
        e->path_known = true;
        if (strcmp(method, routes[i].method) == 0 ||
            (strcmp(method, "HEAD") == 0 && routes[i].method[0] == 'G'))
            e->route = &routes[i];
    }
}

static enum MHD_Result reply_plain(const tern_http *h, struct MHD_Connection *c, const tern_exchange *e,
                                   const char *path)
{
    tern_text text = {0};
    tern_status status = TERN_OK;
    if (!e->path_known)
        return reply_error(c, MHD_HTTP_NOT_FOUND,
                           "there is nothing at this path; see tern serve --help for those that there are");
    if (!e->route) return reply_error(c, MHD_HTTP_METHOD_NOT_ALLOWED, "this path has another method");
    switch (e->route->kind) {
    case ROUTE_HEALTH:
        tern_text_put(&text, "{\"status\":\"ok\"}");
        break;
    case ROUTE_MODEL:
        if (strcmp(path + strlen(e->route->path), h->options.name) != 0)
            return reply_error(c, MHD_HTTP_NOT_FOUND,
                               "there is no such model; /v1/models has the one there is");
        status = tern_answer_models(&text, h->options.name, h->started, true);
        break;
    default:
        status = tern_answer_models(&text, h->options.name, h->started, false);
    }
    if (status != TERN_OK) text.failed = true;
    return reply_json(c, MHD_HTTP_OK, &text);
}

/* The headers are there. */
static enum MHD_Result begin(tern_http *h, struct MHD_Connection *c, const char *method, const char *path,
                             void **state)
{
    tern_exchange *e = tern_take(sizeof *e);
    if (!e) return MHD_NO;
    *state = e;
    atomic_fetch_add(&h->exchanges, 1);
    find_route(e, method, path);
    if (!e->route || e->route->kind != ROUTE_JOB) return MHD_YES;
    if (tern_job_open(&e->job, e->route->ask) != TERN_OK) {
        tern_clear();
        return MHD_NO;
    }
    e->job->connection = c;
    e->job->resume = resume;
    return MHD_YES;
}

static void add_body(tern_exchange *e, const char *bytes, size_t size)
{
    if (!e->job) return;
    e->too_long |= e->job->body.size + size > MOST_BODY;
    if (!e->too_long) tern_text_add(&e->job->body, bytes, size);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *bytes, size_t *size, void **state)
{
    tern_http *h = context;
    tern_exchange *e = *state;
    (void)version;
    if (!e) return begin(h, c, method, path, state);
    if (*size) {
        add_body(e, bytes, *size);
        *size = 0;
        return MHD_YES;
    }
    if (!e->job) return reply_plain(h, c, e, path);
    if (e->too_long) return reply_error(c, MHD_HTTP_CONTENT_TOO_LARGE, "the request is longer than 4 MiB");
    if (e->job->body.failed) return reply_error(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
    if (!e->given) {
        e->given = true;
        h->options.take(h->options.context, e->job);
    }
    return answer(c, e->job);
}

/* The connection is done with a request, or gone in the midst of it. */
static void completed(void *context, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode code)
{
    tern_http *h = context;
    tern_exchange *e = *state;
    (void)c, (void)code;
    if (!e) return;
    atomic_fetch_sub(&h->exchanges, 1);
    if (e->job) {
        pthread_mutex_lock(&e->job->lock);
        e->job->connection = NULL;
        e->job->left = true;
        pthread_mutex_unlock(&e->job->lock);
        tern_job_drop(e->job);
    }
    tern_release(e);
    *state = NULL;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------ */

static int listen_at(const struct addrinfo *a)
{
    int on = 1, file = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
    if (file < 0) return -1;
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(file, a->ai_addr, a->ai_addrlen) == 0 && listen(file, 511) == 0) return file;
    int error = errno;
    close(file);
    errno = error;
    return -1;
}

static tern_status open_socket(tern_http *h, int *file)
{
    const char *host = h->options.host ? h->options.host : "127.0.0.1";
    char port[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found = NULL;
    snprintf(port, sizeof port, "%d", h->options.port);
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed) return tern_fail(TERN_USAGE, "cannot listen at %s: %s", host, gai_strerror(failed));
    *file = listen_at(found);
    freeaddrinfo(found);
    if (*file < 0)
        return tern_fail(TERN_FAILED, "cannot listen at %s, port %d: %s", host, h->options.port,
                         strerror(errno));
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(*file, (struct sockaddr *)&bound, &size) == 0)
        h->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                    : ((struct sockaddr_in *)&bound)->sin_port);
    return TERN_OK;
}

tern_status tern_http_open(tern_http **http, const tern_http_options *options)
{
    int file = -1;
    tern_http *h = tern_take(sizeof *h);
    if (!h) return tern_no_memory(sizeof *h, "a server");
    *h = (tern_http){.options = *options, .started = (int64_t)time(NULL)};
    tern_status status = open_socket(h, &file);
    if (status == TERN_OK) {
        h->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle,
            h, MHD_OPTION_LISTEN_SOCKET, file, MHD_OPTION_NOTIFY_COMPLETED, completed, h,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)MOST_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LINE_BYTES, MHD_OPTION_END);
        if (!h->daemon) {
            close(file);
            status = tern_fail(TERN_FAILED, "the HTTP library does not start");
        }
    }
    if (status != TERN_OK)
        tern_release(h);
    else
        *http = h;
    return status;
}

int tern_http_exchanges(const tern_http *http)
{
    return atomic_load(&http->exchanges);
}

int tern_http_port(const tern_http *http)
{
    return http->port;
}

void tern_http_quiesce(tern_http *http)
{
    int file = MHD_quiesce_daemon(http->daemon);
    if (file != MHD_INVALID_SOCKET) close(file);
}

void tern_http_close(tern_http *http)
{
    if (!http) return;
    MHD_stop_daemon(http->daemon);
    tern_release(http);
}

#endif
