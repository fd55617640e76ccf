/* What a client sends over a connection: one server for all inputs, whose requests are answered at once.  A byte 0xff is where
 * one write ends and the next begins. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"

#include "serve/http.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static tern_http *http;
static tern_meter meter;

/* Streams for bodies that begin with "s", whole answers for others. */
static void take(void *context, tern_job *job)
{
    (void)context;
    job->stream = job->body.size && job->body.data[0] == 's';
    tern_job_send(job, 200, "{}", 2, !job->stream);
    if (job->stream) tern_job_send(job, 200, "data: [DONE]\n\n", 14, true);
}

static void look(void *context, tern_gauges *gauges)
{
    (void)context, (void)gauges;
}

static void start(void)
{
    static const char *const keys[] = {"key"};
    tern_http_options o = {.model = "m",
                           .keys = keys,
                           .key_count = 1,
                           .most_body = 4096,
                           .connections = 50,
                           .seconds = 1,
                           .meter = &meter,
                           .take = take,
                           .look = look};
    tern_meter_open(&meter);
    if (tern_http_open(&http, &o) != TERN_OK) abort();
}

static void send_all(int file, const uint8_t *bytes, size_t count)
{
    for (size_t at = 0, end; at < count; at = end + 1) {
        for (end = at; end < count && bytes[end] != 0xff;) end++;
        if (end > at && send(file, bytes + at, end - at, MSG_NOSIGNAL) < 0) return;
    }
}

static tern_status parse(const uint8_t *bytes, size_t count)
{
    char answer[4096];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)tern_http_port(http))};
    int file = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t held = tern_allocated();
    if (file < 0 || connect(file, (struct sockaddr *)&to, sizeof to) != 0) abort();
    send_all(file, bytes, count);
    shutdown(file, SHUT_WR);
    while (recv(file, answer, sizeof answer, 0) > 0) continue;
    close(file);
    /* the server's thread lets go of what it had a moment later, at the latest when the connection's time is over */
    for (int i = 0; i < 20000 && tern_allocated() > held; i++)
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    return TERN_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    start();
    return 0;
}

TERN_FUZZER(parse)
