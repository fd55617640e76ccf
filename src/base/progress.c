/* Clock, interruption, and the line that shows how far a long job is. */
#define _POSIX_C_SOURCE 200809L
#include "base/base.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

double tern_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal_number)
{
    if (interrupts++) _exit(128 + signal_number);
}

void tern_catch_interrupts(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool tern_interrupted(void)
{
    return interrupts != 0;
}

void tern_forget_interrupts(void)
{
    interrupts = 0;
}

void tern_progress_open(tern_progress *progress, const char *title, bool quiet)
{
    *progress = (tern_progress){.title = title, .started = tern_now(), .quiet = quiet};
    progress->terminal = isatty(STDERR_FILENO) != 0;
    progress->drawn = progress->terminal ? 0 : progress->started;
}

void tern_progress_show(tern_progress *progress, double fraction, const char *format, ...)
{
    double now = tern_now();
    if (progress->quiet || now - progress->drawn < (progress->terminal ? 0.1 : 10)) return;
    progress->drawn = now;
    char rest[256], bar[25];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rest, sizeof rest, format, arguments);
    va_end(arguments);
    int filled = (int)(fraction * 24 + 0.5);
    for (int i = 0; i < 24; i++) bar[i] = i < filled ? '#' : '.';
    bar[24] = 0;
    double left = fraction > 0 ? (now - progress->started) * (1 / fraction - 1) : 0;
    if (progress->terminal)
        fprintf(stderr, "\r%s [%s] %s  %d:%02d left\033[K", progress->title, bar, rest, (int)left / 60,
                (int)left % 60);
    else
        fprintf(stderr, "%s %3.0f%% %s  %d:%02d left\n", progress->title, 100 * fraction, rest,
                (int)left / 60, (int)left % 60);
    fflush(stderr);
}

void tern_progress_close(tern_progress *progress, const char *format, ...)
{
    if (progress->quiet) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s%s ", progress->terminal ? "\r" : "", progress->title);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "%s\n", progress->terminal ? "\033[K" : "");
    va_end(arguments);
}
