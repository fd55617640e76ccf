/* Counters of a server, and their exposition. */
#include "serve/meter.h"

const char *const tern_stage_names[] = {"receive", "held",   "read",   "tokenize", "queue",
                                        "prefill", "decode", "answer", "send"};
static const int statuses[TERN_METER_STATUSES] = {200, 400, 401, 404, 413, 429, 503, 0}; /* 0: any other */
static const double bounds[TERN_BUCKETS] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                            0.5,   1,     2,     5,    10,   20,   60,  300};

void tern_meter_open(tern_meter *m)
{
    *m = (tern_meter){0};
    pthread_mutex_init(&m->lock, NULL);
}

void tern_meter_free(tern_meter *m)
{
    pthread_mutex_destroy(&m->lock);
}

void tern_meter_stage(tern_meter *m, tern_stage_kind stage, double seconds)
{
    pthread_mutex_lock(&m->lock);
    m->seconds[stage] += seconds;
    m->stages[stage]++;
    pthread_mutex_unlock(&m->lock);
}

void tern_meter_span(tern_meter *m, tern_span_kind span, double seconds)
{
    int b = 0;
    while (b < TERN_BUCKETS && seconds > bounds[b]) b++;
    pthread_mutex_lock(&m->lock);
    m->buckets[span][b]++;
    m->sums[span] += seconds;
    pthread_mutex_unlock(&m->lock);
}

void tern_meter_answered(tern_meter *m, int path, int status)
{
    int s = 0;
    while (s + 1 < TERN_METER_STATUSES && statuses[s] != status) s++;
    pthread_mutex_lock(&m->lock);
    m->requests[path < TERN_METER_PATHS ? path : TERN_METER_PATHS - 1][s]++;
    pthread_mutex_unlock(&m->lock);
}

void tern_meter_tokens(tern_meter *m, int prompt, int reused, int made)
{
    pthread_mutex_lock(&m->lock);
    m->prompt += (uint64_t)prompt;
    m->reused += (uint64_t)reused;
    m->made += (uint64_t)made;
    pthread_mutex_unlock(&m->lock);
}

void tern_meter_parts(tern_meter *m, double sampler, double detokenizer)
{
    pthread_mutex_lock(&m->lock);
    m->sampler += sampler;
    m->detokenizer += detokenizer;
    pthread_mutex_unlock(&m->lock);
}

void tern_meter_left(tern_meter *m)
{
    pthread_mutex_lock(&m->lock);
    m->left++;
    pthread_mutex_unlock(&m->lock);
}

/* ---- exposition ----------------------------------------------------------------------------------------------------------- */

static void head(tern_text *out, const char *name, const char *type, const char *help)
{
    tern_text_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(tern_text *out, const char *name, const char *type, const char *help, double value)
{
    head(out, name, type, help);
    tern_text_format(out, "%s %.9g\n", name, value);
}

static void print_requests(const tern_meter *m, const char *const *paths, int count, tern_text *out)
{
    head(out, "tern_requests_total", "counter", "Requests that were answered, by path and HTTP status.");
    for (int p = 0; p < count; p++)
        for (int s = 0; s < TERN_METER_STATUSES; s++) {
            if (!m->requests[p][s]) continue;
            tern_text_format(out, "tern_requests_total{path=\"%s\",status=\"", paths[p]);
            if (statuses[s])
                tern_text_format(out, "%d", statuses[s]);
            else
                tern_text_put(out, "other");
            tern_text_format(out, "\"} %llu\n", (unsigned long long)m->requests[p][s]);
        }
}

static void print_stages(const tern_meter *m, tern_text *out)
{
    head(out, "tern_stage_seconds_total", "counter",
         "Time of requests by stage; the stages follow one another.");
    for (int s = 0; s < TERN_STAGES; s++)
        tern_text_format(out, "tern_stage_seconds_total{stage=\"%s\"} %.9g\n", tern_stage_names[s],
                         m->seconds[s]);
    head(out, "tern_stage_requests_total", "counter", "Requests that came through a stage.");
    for (int s = 0; s < TERN_STAGES; s++)
        tern_text_format(out, "tern_stage_requests_total{stage=\"%s\"} %llu\n", tern_stage_names[s],
                         (unsigned long long)m->stages[s]);
    one(out, "tern_sampler_seconds_total", "counter", "Of prefill and decode: picking tokens.", m->sampler);
    one(out, "tern_detokenizer_seconds_total", "counter", "Of prefill and decode: tokens to text.",
        m->detokenizer);
}

static void print_span(const tern_meter *m, tern_span_kind span, const char *name, const char *help,
                       tern_text *out)
{
    uint64_t count = 0;
    head(out, name, "histogram", help);
    for (int b = 0; b < TERN_BUCKETS; b++) {
        count += m->buckets[span][b];
        tern_text_format(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[b], (unsigned long long)count);
    }
    count += m->buckets[span][TERN_BUCKETS];
    tern_text_format(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name,
                     (unsigned long long)count, name, m->sums[span], name, (unsigned long long)count);
}

static void print_batch(const tern_batch_state *b, tern_text *out)
{
    head(out, "tern_cache_pages", "gauge",
         "Pages of keys and values: in use, kept for prompts that begin alike, free.");
    tern_text_format(out,
                     "tern_cache_pages{state=\"used\"} %d\ntern_cache_pages{state=\"kept\"} %d\n"
                     "tern_cache_pages{state=\"free\"} %d\n",
                     b->used, b->kept, b->pages - b->used - b->kept);
    one(out, "tern_steps_total", "counter", "Steps of the model.", (double)b->steps);
    one(out, "tern_step_tokens_total", "counter", "Tokens that went through it.", (double)b->rows);
    one(out, "tern_begun_again_total", "counter", "Answers that gave up their pages and began again.",
        (double)b->again);
}

void tern_meter_print(tern_meter *m, const tern_gauges *g, const char *const *paths, int path_count,
                      tern_text *out)
{
    pthread_mutex_lock(&m->lock);
    print_requests(m, paths, path_count, out);
    print_stages(m, out);
    print_span(m, TERN_SPAN_FIRST, "tern_first_token_seconds", "From a request to its first token.", out);
    print_span(m, TERN_SPAN_BETWEEN, "tern_between_tokens_seconds",
               "From one token of an answer to the next.", out);
    print_span(m, TERN_SPAN_REQUEST, "tern_request_seconds", "From a request to the last byte of its answer.",
               out);
    head(out, "tern_tokens_total", "counter", "Tokens: of prompts, of them those that the cache had, made.");
    tern_text_format(out,
                     "tern_tokens_total{kind=\"prompt\"} %llu\ntern_tokens_total{kind=\"reused\"} %llu\n"
                     "tern_tokens_total{kind=\"made\"} %llu\n",
                     (unsigned long long)m->prompt, (unsigned long long)m->reused,
                     (unsigned long long)m->made);
    one(out, "tern_clients_left_total", "counter", "Requests whose client left before the answer.",
        (double)m->left);
    pthread_mutex_unlock(&m->lock);
    one(out, "tern_requests_waiting", "gauge", "Requests that wait for the model.", g->waiting);
    one(out, "tern_requests_seconds_total", "counter",
        "Requests from their headers to the last byte of their answers, integrated over time: its rate is "
        "their mean number.",
        g->integral);
    one(out, "tern_requests_running", "gauge", "Requests that the model works on.", g->running);
    print_batch(&g->batch, out);
    one(out, "tern_connections", "gauge", "Open connections.", g->connections);
    one(out, "process_resident_memory_bytes", "gauge", "Main memory of the process.", g->resident);
}
