/* Connections and paths. */
#define _POSIX_C_SOURCE 200809L
#include "serve/http.h"

#ifdef TERN_HAVE_MICROHTTPD
#include "serve/answer.h"
#include "serve/page.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Of the headers of a request: above 32 KiB the library maps them, and gives them back when a connection ends; below, memory that once held
 * many connections stays with the process. */
enum { HEAD_BYTES = 36 << 10 };

/* An open connection. */
typedef struct tern_line {
    int file;
    double since; /* when it began to wait for a request, or for the rest of one */
    bool served;  /* the request is there: the client waits, not the server */
    struct tern_line *before, *next;
} tern_line;

struct tern_http {
    tern_http_options options;
    struct MHD_Daemon *daemon;
    int port;
    int64_t started;
    atomic_int exchanges;
    pthread_mutex_t lock; /* of the lines */
    tern_line *lines;
    int line_count;
    int jobs;               /* requests on their way */
    double integral, since; /* of `jobs` over time, until then */
};

typedef enum tern_route_kind {
    ROUTE_PAGE,
    ROUTE_HEALTH,
    ROUTE_METRICS,
    ROUTE_MODELS,
    ROUTE_MODEL,
    ROUTE_JOB
} tern_route_kind;

typedef struct tern_route {
    const char *method, *path;
    tern_route_kind kind;
    bool open; /* to those without a key */
    tern_ask_kind ask;
} tern_route;

static const tern_route routes[] = {
    {"GET", "/", ROUTE_PAGE, true, 0},
    {"GET", "/health", ROUTE_HEALTH, true, 0},
    {"GET", "/metrics", ROUTE_METRICS, false, 0},
    {"GET", "/v1/models", ROUTE_MODELS, false, 0},
    {"GET", "/v1/models/", ROUTE_MODEL, false, 0}, /* and a name */
    {"POST", "/v1/chat/completions", ROUTE_JOB, false, TERN_ASK_CHAT},
    {"POST", "/v1/completions", ROUTE_JOB, false, TERN_ASK_TEXT},
    {"POST", "/v1/embeddings", ROUTE_JOB, false, TERN_ASK_EMBED},
};

_Static_assert(TERN_COUNT(routes) < TERN_METER_PATHS,
               "a path has a number of the meter, and so has what is none");

/* A request on a connection: con_cls of the library. */
typedef struct tern_exchange {
    tern_http *http;
    const tern_route *route, *near; /* by path and method; by path alone; NULL: none */
    tern_job *job;                  /* of those that are jobs */
    bool given;                     /* the job is with the workers */
    bool too_long, foreign;         /* the body; a page of another origin asks */
    double begun;
} tern_exchange;

/* Requests on their way become more or fewer, `now`; returns the integral. */
static double count_jobs(tern_http *h, int more, double now)
{
    pthread_mutex_lock(&h->lock);
    h->integral += h->jobs * (now - h->since);
    h->since = now;
    h->jobs += more;
    double integral = h->integral;
    pthread_mutex_unlock(&h->lock);
    return integral;
}

/* ---- answers that are at hand --------------------------------------------------------------------------------------------- */

static void count(const tern_exchange *e, int status)
{
    int path = e->route ? (int)(e->route - routes) : (int)TERN_COUNT(routes);
    tern_meter_answered(e->http->options.meter, path, status);
}

static enum MHD_Result reply_text(struct MHD_Connection *c, const tern_exchange *e, int status,
                                  const char *type, const tern_text *text)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(text->size, text->data, MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    if (strncmp(type, "text/html", 9) == 0)
        MHD_add_response_header(r, "Content-Security-Policy", tern_chat_page_policy);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(r, "Retry-After", "1");
    if (status == MHD_HTTP_UNAUTHORIZED) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(r, "Allow", e->near->method);
    enum MHD_Result result = MHD_queue_response(c, (unsigned)status, r);
    MHD_destroy_response(r);
    count(e, status);
    return result;
}

/* Frees the text. */
static enum MHD_Result reply_made(struct MHD_Connection *c, const tern_exchange *e, int status,
                                  const char *type, tern_text *text)
{
    enum MHD_Result result = text->failed ? MHD_NO : reply_text(c, e, status, type, text);
    tern_text_free(text);
    tern_clear();
    return result;
}

static enum MHD_Result reply_error(struct MHD_Connection *c, const tern_exchange *e, int status,
                                   const char *message)
{
    tern_text text = {0};
    if (tern_answer_error(&text, status, message, NULL, NULL) != TERN_OK) text.failed = true;
    return reply_made(c, e, status, "application/json", &text);
}

static void print_metrics(tern_http *h, tern_text *out)
{
    const char *paths[TERN_COUNT(routes) + 1];
    tern_gauges gauges = {0};
    for (size_t i = 0; i < TERN_COUNT(routes); i++) paths[i] = routes[i].path;
    paths[TERN_COUNT(routes)] = "other";
    h->options.look(h->options.context, &gauges);
    gauges.integral = count_jobs(h, 0, tern_now());
    pthread_mutex_lock(&h->lock);
    gauges.connections = h->line_count;
    pthread_mutex_unlock(&h->lock);
    tern_meter_print(h->options.meter, &gauges, paths, (int)TERN_COUNT(paths), out);
}

static enum MHD_Result reply_plain(struct MHD_Connection *c, const tern_exchange *e, const char *path)
{
    tern_http *h = e->http;
    const char *model = h->options.model, *type = "application/json";
    tern_text text = {0};
    tern_status status = TERN_OK;
    if (e->route->kind == ROUTE_MODEL) {
        path += strlen(e->route->path);
        if (strcmp(path, model) != 0) model = h->options.other;
        if (!model || strcmp(path, model) != 0)
            return reply_error(c, e, MHD_HTTP_NOT_FOUND,
                               "there is no such model; /v1/models lists those there are");
    }
    switch (e->route->kind) {
    case ROUTE_PAGE:
        for (int i = 0; tern_chat_page[i]; i++) tern_text_put(&text, tern_chat_page[i]);
        type = "text/html; charset=utf-8";
        break;
    case ROUTE_HEALTH:
        tern_text_put(&text, "{\"status\":\"ok\"}");
        break;
    case ROUTE_METRICS:
        print_metrics(h, &text);
        type = "text/plain; version=0.0.4; charset=utf-8";
        break;
    default:
        status =
            tern_answer_models(&text, model, h->options.other, h->started, e->route->kind == ROUTE_MODEL);
    }
    if (status != TERN_OK) text.failed = true;
    return reply_made(c, e, MHD_HTTP_OK, type, &text);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------------ */

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

/* Bytes of a stream as they come; without any the connection sleeps. */
static ssize_t read_stream(void *context, uint64_t position, char *buffer, size_t room)
{
    tern_job *j = context;
    ssize_t taken = 0;
    (void)position;
    pthread_mutex_lock(&j->lock);
    size_t left = j->out.size - j->taken;
    if (left) {
        taken = (ssize_t)(left < room ? left : room);
        memcpy(buffer, j->out.data + j->taken, (size_t)taken);
        j->taken += (size_t)taken;
    } else if (j->out.failed) {
        taken = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (j->over) {
        taken = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        j->asleep = true;
        MHD_suspend_connection(j->connection);
    }
    pthread_mutex_unlock(&j->lock);
    return taken;
}

static enum MHD_Result reply_stream(struct MHD_Connection *c, const tern_exchange *e)
{
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, e->job, NULL);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", "text/event-stream");
    MHD_add_response_header(r, "Cache-Control", "no-cache");
    enum MHD_Result result = MHD_queue_response(c, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    count(e, MHD_HTTP_OK);
    return result;
}

/* The answer of a job, or sleep until there is one. */
static enum MHD_Result answer(struct MHD_Connection *c, const tern_exchange *e)
{
    tern_job *j = e->job;
    pthread_mutex_lock(&j->lock);
    int status = j->status;
    bool stream = j->stream && status == MHD_HTTP_OK, ready = status && (stream || j->over);
    if (!ready) {
        j->asleep = true;
        MHD_suspend_connection(c);
    }
    pthread_mutex_unlock(&j->lock);
    if (!ready) return MHD_YES;
    if (stream) return reply_stream(c, e);
    return j->out.failed ? MHD_NO : reply_text(c, e, status, "application/json", &j->out);
}

/* ---- requests -------------------------------------------------------------------------------------------------------------- */

static void find_route(tern_exchange *e, const char *method, const char *path)
{
    for (size_t i = 0; i < TERN_COUNT(routes); i++) {
        size_t n = strlen(routes[i].path);
        bool more = n > 1 && routes[i].path[n - 1] == '/';
        if (more ? strncmp(path, routes[i].path, n) != 0 : strcmp(path, routes[i].path) != 0) continue;
        e->near = &routes[i];
        if (strcmp(method, routes[i].method) == 0 ||
            (strcmp(method, "HEAD") == 0 && routes[i].method[0] == 'G'))
            e->route = &routes[i];
    }
}

/* In a time that does not tell how much of it is right. */
static bool same_key(const char *given, const char *key)
{
    size_t n = strlen(given), differ = n ^ strlen(key);
    for (size_t i = 0; i < n; i++) differ |= (size_t)(given[i] ^ key[i < strlen(key) ? i : 0]);
    return differ == 0;
}

static bool let_in(struct MHD_Connection *c, const tern_exchange *e)
{
    const tern_http_options *o = &e->http->options;
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");
    bool good = !o->keys || (e->route && e->route->open);
    for (int i = 0; given && !good && strncmp(given, "Bearer ", 7) == 0 && i < o->key_count; i++)
        good = same_key(given + 7, o->keys[i]);
    return good;
}

/* A page of another origin, which a browser shows, has no business here unless it has the key. */
static bool is_foreign(struct MHD_Connection *c, const tern_exchange *e)
{
    const char *origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin");
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    const char *name = origin ? strstr(origin, "://") : NULL;
    return origin && !e->http->options.keys && (!name || !host || strcmp(name + 3, host) != 0);
}

static tern_line *line_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void wait_on(const tern_exchange *e, struct MHD_Connection *c, bool served)
{
    tern_line *line = line_of(c);
    pthread_mutex_lock(&e->http->lock);
    if (line) {
        line->served = served;
        line->since = tern_now();
    }
    pthread_mutex_unlock(&e->http->lock);
}

/* The headers are there. */
static enum MHD_Result begin(tern_http *h, struct MHD_Connection *c, const char *method, const char *path,
                             void **state)
{
    const union MHD_ConnectionInfo *socket = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    tern_exchange *e = tern_take(sizeof *e);
    if (!e) return MHD_NO;
    *state = e;
    *e = (tern_exchange){.http = h, .begun = tern_now()};
    atomic_fetch_add(&h->exchanges, 1);
    find_route(e, method, path);
    if (!let_in(c, e))
        return reply_error(c, e, MHD_HTTP_UNAUTHORIZED,
                           "this server wants its key: Authorization: Bearer KEY");
    if (!e->route || e->route->kind != ROUTE_JOB) return MHD_YES;
    e->foreign = is_foreign(c, e);
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    e->too_long = length && (strlen(length) > 15 || strtoull(length, NULL, 10) > h->options.most_body);
    if (tern_job_open(&e->job, e->route->ask) != TERN_OK) {
        tern_clear();
        return MHD_NO;
    }
    e->job->begun = e->job->mark = e->begun;
    count_jobs(h, 1, e->begun);
    e->job->connection = c;
    e->job->resume = resume;
    e->job->file = socket->connect_fd;
    return MHD_YES;
}

static void add_body(tern_exchange *e, const char *bytes, size_t size)
{
    if (!e->job) return;
    e->too_long |= e->job->body.size + size > e->http->options.most_body;
    if (!e->too_long) tern_text_add(&e->job->body, bytes, size);
}

/* All of the request is there. */
static enum MHD_Result respond(struct MHD_Connection *c, tern_exchange *e, const char *path)
{
    char words[96];
    if (!e->near)
        return reply_error(c, e, MHD_HTTP_NOT_FOUND,
                           "there is nothing at this path; tern serve --help names those that there are");
    if (!e->route) return reply_error(c, e, MHD_HTTP_METHOD_NOT_ALLOWED, "this path has another method");
    if (!e->job) return reply_plain(c, e, path);
    if (e->foreign)
        return reply_error(c, e, MHD_HTTP_FORBIDDEN, "pages of other origins are let in by a key alone");
    snprintf(words, sizeof words, "the request is longer than %zu bytes", e->http->options.most_body);
    if (e->too_long) return reply_error(c, e, MHD_HTTP_CONTENT_TOO_LARGE, words);
    if (e->job->body.failed) return reply_error(c, e, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
    if (!e->given) {
        e->given = true;
        wait_on(e, c, true);
        tern_job_stage(e->job, e->http->options.meter, TERN_STAGE_RECEIVE);
        e->http->options.take(e->http->options.context, e->job);
    }
    return answer(c, e);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *bytes, size_t *size, void **state)
{
    tern_exchange *e = *state;
    (void)version;
    if (!e) return begin(context, c, method, path, state);
    if (!*size) return respond(c, e, path);
    add_body(e, bytes, *size);
    *size = 0;
    return MHD_YES;
}

/* The connection is done with a request, or gone in the midst of it. */
static void completed(void *context, struct MHD_Connection *c, void **state,
                      enum MHD_RequestTerminationCode code)
{
    tern_http *h = context;
    tern_exchange *e = *state;
    if (!e) return;
    wait_on(e, c, false);
    if (e->job) {
        pthread_mutex_lock(&e->job->lock);
        bool whole = e->given && e->job->over && !e->job->left && code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
        e->job->connection = NULL;
        e->job->left = true;
        pthread_mutex_unlock(&e->job->lock);
        if (whole) {
            tern_job_stage(e->job, h->options.meter, TERN_STAGE_SEND);
            tern_meter_span(h->options.meter, TERN_SPAN_REQUEST, e->job->mark - e->begun);
        } else if (e->given) {
            tern_meter_left(h->options.meter);
        }
        double end = whole ? e->job->mark : tern_now();
        count_jobs(h, -1, end);
        if (e->given && h->options.over) h->options.over(h->options.context, e->job, end - e->begun, whole);
        tern_job_drop(e->job);
    }
    tern_release(e);
    *state = NULL;
    atomic_fetch_sub(&h->exchanges, 1);
}

/* ---- connections ----------------------------------------------------------------------------------------------------------- */

static void notice(void *context, struct MHD_Connection *c, void **state,
                   enum MHD_ConnectionNotificationCode code)
{
    tern_http *h = context;
    const union MHD_ConnectionInfo *socket = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    tern_line *line = code == MHD_CONNECTION_NOTIFY_STARTED ? tern_take(sizeof *line) : *state;
    pthread_mutex_lock(&h->lock);
    if (line && code == MHD_CONNECTION_NOTIFY_STARTED) {
        *line = (tern_line){.file = socket->connect_fd, .since = tern_now(), .next = h->lines};
        if (h->lines) h->lines->before = line;
        h->lines = line;
        h->line_count++;
        *state = line;
    } else if (line) {
        if (line->before) line->before->next = line->next;
        if (line->next) line->next->before = line->before;
        if (h->lines == line) h->lines = line->next;
        h->line_count--;
        *state = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    if (code != MHD_CONNECTION_NOTIFY_STARTED) tern_release(line);
}

void tern_http_tick(tern_http *h)
{
    double now = tern_now();
    pthread_mutex_lock(&h->lock);
    for (tern_line *line = h->lines; line; line = line->next)
        if (!line->served && now - line->since > h->options.seconds) shutdown(line->file, SHUT_RDWR);
    pthread_mutex_unlock(&h->lock);
}

/* ---- opening --------------------------------------------------------------------------------------------------------------- */

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
    int error = errno;
    freeaddrinfo(found);
    if (*file < 0)
        return tern_fail(TERN_FAILED, "cannot listen at %s, port %d: %s", host, h->options.port,
                         strerror(error));
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    if (getsockname(*file, (struct sockaddr *)&bound, &size) == 0)
        h->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                    : ((struct sockaddr_in *)&bound)->sin_port);
    return TERN_OK;
}

enum {
    OTHER_FILES = 24
}; /* of a process that serves: standard ones, the socket that listens, the library's own */

/* As many open files as connections want: the soft limit goes up where the hard one allows it. */
static tern_status allow_files(int connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted)
        return TERN_OK;
    rlim_t most = limit.rlim_max;
    limit.rlim_cur = wanted;
    if ((most == RLIM_INFINITY || most >= wanted) && setrlimit(RLIMIT_NOFILE, &limit) == 0) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     "%d connections want %llu open files, and this process may have %llu: ask for fewer "
                     "connections, or raise the limit (ulimit -n)",
                     connections, (unsigned long long)wanted, (unsigned long long)most);
}

tern_status tern_http_open(tern_http **http, const tern_http_options *options)
{
    int file = -1;
    tern_http *h = tern_take(sizeof *h);
    if (!h) return tern_no_memory(sizeof *h, "a server");
    h->options = *options;
    h->started = (int64_t)time(NULL);
    pthread_mutex_init(&h->lock, NULL);
    tern_status status = allow_files(options->connections);
    if (status == TERN_OK) status = open_socket(h, &file);
    if (status == TERN_OK) {
        h->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle,
            h, MHD_OPTION_LISTEN_SOCKET, file, MHD_OPTION_NOTIFY_COMPLETED, completed, h,
            MHD_OPTION_NOTIFY_CONNECTION, notice, h, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned)options->connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->seconds + 1,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_END);
        if (!h->daemon) {
            close(file);
            status = tern_fail(TERN_FAILED, "the HTTP library does not start");
        }
    }
    if (status == TERN_OK)
        *http = h;
    else
        tern_http_close(h);
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
    if (http->daemon) MHD_stop_daemon(http->daemon);
    pthread_mutex_destroy(&http->lock);
    tern_release(http);
}

#endif
