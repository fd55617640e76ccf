/* Sensors of power as Linux shows them, and their sum over time. */
#define _DEFAULT_SOURCE
#include "machine/power.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SENSORS = 16, FIRST_SAMPLES = 1024 };

/* ---- energy ------------------------------------------------------------------------------------------------------ */

/* The power at a moment within [a, b]. */
static double between(const tern_power_sample *a, const tern_power_sample *b, double at)
{
    double span = b->seconds - a->seconds;
    return span > 0 ? a->watts + (b->watts - a->watts) * (at - a->seconds) / span : b->watts;
}

bool tern_power_energy(const tern_power_sample *s, int count, double from, double to, double *joules)
{
    *joules = 0;
    if (count < 2 || from > to || s[0].seconds > from || s[count - 1].seconds < to) return false;
    for (int i = 0; i + 1 < count; i++) {
        double low = s[i].seconds > from ? s[i].seconds : from;
        double high = s[i + 1].seconds < to ? s[i + 1].seconds : to;
        if (high <= low) continue;
        if (s[i].watts < 0 || s[i + 1].watts < 0) return false;
        *joules += (between(&s[i], &s[i + 1], low) + between(&s[i], &s[i + 1], high)) / 2 * (high - low);
    }
    return true;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* A line "<key>   123 kB" of /proc/self/status */
static double status_bytes(const char *key)
{
    char line[256];
    double kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0) kilobytes = strtod(line + strlen(key), NULL);
    if (f) fclose(f);
    return kilobytes * 1024;
}

double tern_resident_peak(void)
{
    return status_bytes("VmHWM:");
}

/* ---- sensors ----------------------------------------------------------------------------------------------------- */

typedef enum tern_sensor_kind { COUNTER, POWER, PRODUCT } tern_sensor_kind;
typedef struct tern_sensor {
    tern_sensor_kind kind;
    char path[512], other[512]; /* PRODUCT: current and voltage */
    double last, at;            /* COUNTER: joules and when; below 0: not read yet */
} tern_sensor;

struct tern_watch {
    tern_sensor sensors[MOST_SENSORS];
    int sensor_count;
    const char *source;
    double period;
    tern_power_sample *samples;
    int count, capacity;
    bool stop, running, failed;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static bool read_number(const char *path, double *value)
{
    char text[64], *end = text;
    FILE *f = fopen(path, "r");
    bool good = f && fgets(text, sizeof text, f);
    if (f) fclose(f);
    if (good) *value = strtod(text, &end);
    return good && end > text;
}

static bool read_text(const char *path, char *text, int size)
{
    FILE *f = fopen(path, "r");
    bool good = f && fgets(text, size, f);
    if (f) fclose(f);
    return good;
}

static void add_sensor(tern_watch *w, tern_sensor_kind kind, const char *folder, const char *file,
                       const char *other)
{
    double value;
    if (w->sensor_count == MOST_SENSORS) return;
    tern_sensor *s = &w->sensors[w->sensor_count];
    *s = (tern_sensor){.kind = kind, .last = -1};
    if (snprintf(s->path, sizeof s->path, "%s/%s", folder, file) >= (int)sizeof s->path) return;
    if (other && snprintf(s->other, sizeof s->other, "%s/%s", folder, other) >= (int)sizeof s->other) return;
    if (!read_number(s->path, &value) || (other && !read_number(s->other, &value))) return;
    w->sensor_count++;
}

static void try_package(tern_watch *w, const char *folder)
{
    char path[512], name[64] = "";
    if (snprintf(path, sizeof path, "%s/name", folder) < (int)sizeof path)
        if (read_text(path, name, sizeof name) && strncmp(name, "package", 7) == 0)
            add_sensor(w, COUNTER, folder, "energy_uj", NULL);
}

static void try_monitor(tern_watch *w, const char *folder)
{
    add_sensor(w, POWER, folder, "power1_input", NULL);
}

static void try_battery(tern_watch *w, const char *folder)
{
    char path[512], state[64] = "";
    if (snprintf(path, sizeof path, "%s/status", folder) >= (int)sizeof path) return;
    if (!read_text(path, state, sizeof state) || strncmp(state, "Discharging", 11) != 0) return;
    int before = w->sensor_count;
    add_sensor(w, POWER, folder, "power_now", NULL);
    if (w->sensor_count == before) add_sensor(w, PRODUCT, folder, "current_now", "voltage_now");
}

static void find_sensors(tern_watch *w, const char *root)
{
    static const struct {
        const char *folder, *source;
        void (*attempt)(tern_watch *w, const char *folder);
    } places[] = {{"sys/class/powercap", "powercap", try_package},
                  {"sys/class/hwmon", "hwmon", try_monitor},
                  {"sys/class/power_supply", "battery", try_battery}};
    for (size_t i = 0; i < TERN_COUNT(places) && !w->sensor_count; i++) {
        char path[256], inner[512];
        if (snprintf(path, sizeof path, "%s/%s", root, places[i].folder) >= (int)sizeof path) continue;
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d)) != NULL;)
            if (e->d_name[0] != '.' &&
                snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) < (int)sizeof inner)
                places[i].attempt(w, inner);
        if (d) closedir(d);
        if (w->sensor_count) w->source = places[i].source;
    }
}

/* Watts of one sensor now; below 0: not known (yet). */
static double read_sensor(tern_sensor *s, double now)
{
    double value, other = 0;
    if (!read_number(s->path, &value) || (s->kind == PRODUCT && !read_number(s->other, &other))) return -1;
    if (s->kind == POWER) return value * 1e-6;
    if (s->kind == PRODUCT) return value * 1e-6 * other * 1e-6;
    double joules = value * 1e-6, before = s->last, at = s->at;
    s->last = joules;
    s->at = now;
    if (before < 0 || joules < before || now <= at) return -1; /* the counter began anew */
    return (joules - before) / (now - at);
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void sample(tern_watch *w)
{
    tern_power_sample s = {.seconds = tern_now(), .watts = w->sensor_count ? 0 : -1};
    for (int i = 0; i < w->sensor_count; i++) {
        double watts = read_sensor(&w->sensors[i], s.seconds);
        s.watts = watts < 0 || s.watts < 0 ? -1 : s.watts + watts;
    }
    s.resident = tern_resident_bytes();
    if (w->count == w->capacity) {
        size_t old = (size_t)w->capacity * sizeof s, more = old ? 2 * old : FIRST_SAMPLES * sizeof s;
        tern_power_sample *samples = tern_resize(w->samples, old, more);
        w->failed |= !samples; /* the trace ends here */
        if (!samples) return;
        w->samples = samples;
        w->capacity = (int)(more / sizeof s);
    }
    w->samples[w->count++] = s;
}

static void *watching(void *context)
{
    tern_watch *w = context;
    pthread_mutex_lock(&w->lock);
    while (!w->stop && !w->failed) {
        struct timespec until;
        sample(w);
        clock_gettime(CLOCK_REALTIME, &until);
        double at = (double)until.tv_sec + (double)until.tv_nsec * 1e-9 + w->period;
        until.tv_sec = (time_t)at;
        until.tv_nsec = (long)((at - (double)until.tv_sec) * 1e9);
        pthread_cond_timedwait(&w->wake, &w->lock, &until);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

tern_status tern_watch_open(tern_watch **watch, const char *root, double hertz)
{
    tern_watch *w = tern_take(sizeof *w);
    if (!w) return tern_no_memory(sizeof *w, "a watch on power");
    w->period = 1 / hertz;
    find_sensors(w, root);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->running = pthread_create(&w->thread, NULL, watching, w) == 0;
    if (!w->running) {
        tern_watch_close(w);
        return tern_fail(TERN_FAILED, "cannot start a thread that watches power and memory");
    }
    *watch = w;
    return TERN_OK;
}

const char *tern_watch_source(const tern_watch *watch)
{
    return watch->source;
}

void tern_watch_mark(tern_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    if (!watch->failed) sample(watch);
    pthread_mutex_unlock(&watch->lock);
}

const tern_power_sample *tern_watch_stop(tern_watch *watch, int *count)
{
    pthread_mutex_lock(&watch->lock);
    watch->stop = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    if (watch->running) pthread_join(watch->thread, NULL);
    watch->running = false;
    *count = watch->count;
    return watch->samples;
}

void tern_watch_close(tern_watch *watch)
{
    int count;
    if (!watch) return;
    tern_watch_stop(watch, &count);
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    tern_release(watch->samples);
    tern_release(watch);
}
