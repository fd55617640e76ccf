/* Runs of a language model with one clock for all that happens. */
#define _DEFAULT_SOURCE
#include "llm/bench.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *const tern_bench_kinds[] = {"load", "prompt", "reply"};
static const double samples_per_second = 10;

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static double rank(const double *sorted, int count, double share)
{
    int at = (int)ceil(share * count) - 1;
    return sorted[at < 0 ? 0 : at];
}

tern_quantiles tern_quantiles_of(double *values, int count)
{
    tern_quantiles q = {.count = count};
    if (count < 1) return q;
    tern_sort_numbers(values, (size_t)count);
    for (int i = 0; i < count; i++) q.mean += values[i] / count;
    q.p50 = rank(values, count, 0.5);
    q.p95 = rank(values, count, 0.95);
    q.p99 = rank(values, count, 0.99);
    return q;
}

tern_bench_total tern_bench_sum(const tern_bench *b, tern_bench_kind kind)
{
    tern_bench_total t = {0};
    for (int i = 0; i < b->event_count; i++) {
        const tern_bench_event *e = &b->events[i];
        if (e->kind != kind) continue;
        t.tokens += e->tokens;
        t.seconds += e->to - e->from;
        t.joules = e->joules < 0 || t.joules < 0 ? -1 : t.joules + e->joules;
    }
    return t;
}

void tern_bench_free(tern_bench *bench)
{
    tern_release(bench->events);
    tern_release(bench->first);
    tern_release(bench->between);
    *bench = (tern_bench){0};
}

/* ---- what is noted ----------------------------------------------------------------------------------------------- */

typedef struct tern_bench_run {
    tern_bench *bench;
    const tern_bench_options *options;
    const char *path;
    tern_watch *watch;
    double resident_before;
    const tern_bench_talk *talks; /* [talk_count] */
    int talk_count;
} tern_bench_run;

static tern_status grow(void *array, int count, int *room, size_t size)
{
    void **items = array;
    if (count < *room) return TERN_OK;
    int more = *room ? 2 * *room : 64;
    void *bigger = tern_resize(*items, (size_t)*room * size, (size_t)more * size);
    if (!bigger) return tern_no_memory((size_t)more * size, "a bench");
    *items = bigger;
    *room = more;
    return TERN_OK;
}

tern_status tern_bench_add_event(tern_bench *b, const tern_bench_event *event)
{
    TERN_TRY(grow(&b->events, b->event_count, &b->event_room, sizeof *b->events));
    b->events[b->event_count++] = *event;
    return TERN_OK;
}

tern_status tern_bench_add_first(tern_bench *b, double seconds)
{
    TERN_TRY(grow(&b->first, b->turns, &b->first_room, sizeof *b->first));
    b->first[b->turns] = seconds;
    return TERN_OK;
}

tern_status tern_bench_add_between(tern_bench *b, double seconds)
{
    TERN_TRY(grow(&b->between, b->between_count, &b->between_room, sizeof *b->between));
    b->between[b->between_count++] = seconds;
    return TERN_OK;
}

static tern_status note(tern_bench_run *r, tern_bench_kind kind, int tokens, double from, double to)
{
    tern_watch_mark(r->watch);
    return tern_bench_add_event(r->bench, &(tern_bench_event){.kind = kind,
                                                              .turn = r->bench->turns,
                                                              .tokens = tokens,
                                                              .from = from,
                                                              .to = to,
                                                              .resident = tern_resident_bytes(),
                                                              .joules = -1});
}

/* Ask the system to drop the pages of the file (of a folder nothing). */
static void forget_pages(const char *path)
{
    int file = open(path, O_RDONLY);
    if (file < 0) return;
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
}

/* Load, compute one token, close: what a user waits for who has just started the program. */
static tern_status load_once(tern_bench_run *r, double *seconds)
{
    tern_llm *llm;
    const float *logits;
    const int32_t token = 0;
    double begun = tern_now();
    TERN_TRY(tern_llm_open(&llm, r->path, &r->options->model));
    tern_status status = tern_llm_feed(llm, &token, 1, &logits);
    *seconds = tern_now() - begun;
    tern_llm_close(llm);
    return status;
}

static void wait_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    nanosleep(&t, NULL);
}

static tern_status begin(tern_bench_run *r)
{
    const tern_bench_options *o = r->options;
    tern_bench *b = r->bench;
    b->cold_seconds = b->idle_watts = -1;
    TERN_TRY(tern_watch_open(&r->watch, o->root ? o->root : "", samples_per_second));
    b->sensor = tern_watch_source(r->watch);
    if (b->sensor) wait_for(o->idle_seconds);
    tern_watch_mark(r->watch);
    r->resident_before = tern_resident_bytes();
    if (o->cold) {
        forget_pages(r->path);
        TERN_TRY(load_once(r, &b->cold_seconds));
    }
    return load_once(r, &b->warm_seconds);
}

/* Joules of each event from the trace, and of the time before the first one. */
static void end(tern_bench_run *r, double begun)
{
    int count;
    tern_bench *b = r->bench;
    const tern_power_sample *trace = tern_watch_stop(r->watch, &count);
    for (int i = 0; b->sensor && i < b->event_count; i++) {
        tern_bench_event *e = &b->events[i];
        if (!tern_power_energy(trace, count, e->from, e->to, &e->joules)) e->joules = -1;
    }
    double joules, from = count > 1 ? trace[1].seconds : 0, to = begun + r->options->idle_seconds;
    if (b->sensor && to > from && tern_power_energy(trace, count, from, to, &joules))
        b->idle_watts = joules / (to - from);
    b->resident = tern_resident_bytes() - r->resident_before;
    b->peak = tern_resident_peak();
}

/* ---- prompts of numbers ------------------------------------------------------------------------------------------- */

static int32_t likeliest(const float *logits, int count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static tern_status one_turn(tern_bench_run *r, tern_llm *llm, const int32_t *prompt)
{
    const tern_bench_options *o = r->options;
    const float *logits;
    int vocabulary = tern_llm_about(llm)->vocabulary;
    tern_llm_rewind(llm, 0);
    double begun = tern_now();
    TERN_TRY(tern_llm_feed(llm, prompt, o->prompt, &logits));
    double first = tern_now(), last;
    TERN_TRY(note(r, TERN_BENCH_PROMPT, o->prompt, begun, first));
    TERN_TRY(tern_bench_add_first(r->bench, first - begun));
    last = first = tern_now();
    for (int i = 0; i < o->generate; i++) {
        int32_t token = likeliest(logits, vocabulary);
        TERN_TRY(tern_llm_feed(llm, &token, 1, &logits));
        double now = tern_now();
        TERN_TRY(tern_bench_add_between(r->bench, now - last));
        last = now;
    }
    TERN_TRY(note(r, TERN_BENCH_REPLY, o->generate, first, last));
    r->bench->turns++;
    return tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : TERN_OK;
}

static tern_status run_turns(tern_bench_run *r)
{
    const tern_bench_options *o = r->options;
    tern_llm *llm = NULL;
    double begun = tern_now();
    TERN_TRY(tern_llm_open(&llm, r->path, &o->model));
    tern_status status = note(r, TERN_BENCH_LOAD, 0, begun, tern_now());
    int rows = tern_llm_rows(llm), vocabulary = tern_llm_about(llm)->vocabulary;
    if (status == TERN_OK && o->prompt + o->generate > rows)
        status = tern_fail(TERN_NO_FIT, "%d tokens of prompt and %d behind them exceed the context of %d",
                           o->prompt, o->generate, rows);
    int32_t *prompt = tern_take_array((size_t)o->prompt, sizeof *prompt);
    if (status == TERN_OK && !prompt) status = tern_no_memory((size_t)o->prompt * sizeof *prompt, "a prompt");
    for (int i = 0; status == TERN_OK && i < o->prompt; i++) /* any that are spread over the table */
        prompt[i] = (int32_t)((i + 1) * INT64_C(7919) % vocabulary);
    for (int t = 0; status == TERN_OK && t < o->turns; t++) {
        if (o->on_turn) o->on_turn(o->context, t, o->turns);
        status = one_turn(r, llm, prompt);
    }
    if (status == TERN_OK) end(r, begun);
    tern_release(prompt);
    tern_llm_close(llm);
    return status;
}

/* ---- conversations ------------------------------------------------------------------------------------------------ */

typedef struct tern_bench_speech {
    tern_bench_run *run;
    tern_speaker *speaker;
    tern_template *template;
    tern_conversation said;
} tern_bench_speech;

/* The prompt of all that was said; where that leaves no room for a reply, of the last message alone. */
static tern_status encode(tern_bench_speech *s, tern_tokens *prompt)
{
    const tern_vocabulary *v = tern_tokenizer_vocabulary(tern_speaker_tokenizer(s->speaker));
    int room = tern_llm_rows(tern_speaker_model(s->speaker)) - s->run->options->generate;
    for (int attempt = 0; attempt < 2; attempt++) {
        tern_text text = {0};
        tern_tokens_free(prompt);
        tern_status status = tern_conversation_render(&s->said, s->template, v, &text);
        if (status == TERN_OK) status = tern_speaker_encode(s->speaker, text.data, text.size, prompt);
        tern_text_free(&text);
        TERN_TRY(status);
        if ((int)prompt->count <= room || s->said.count == 1) return TERN_OK;
        tern_message_said last = s->said.messages[s->said.count - 1];
        s->said.count--;
        tern_conversation_cut(&s->said, 0);
        s->said.messages[s->said.count++] = last;
    }
    return TERN_OK;
}

static tern_status note_reply(tern_bench_speech *s, const tern_reply *r, double begun, double spoke)
{
    tern_bench *b = s->run->bench;
    int made = (int)r->tokens.count;
    double last = made ? r->seconds[made - 1] : r->prompt_seconds;
    TERN_TRY(note(s->run, TERN_BENCH_PROMPT, r->prompt - r->reused, begun, spoke + r->prompt_seconds));
    TERN_TRY(note(s->run, TERN_BENCH_REPLY, made, spoke + r->prompt_seconds, spoke + last));
    TERN_TRY(tern_bench_add_first(b, spoke - begun + (made ? r->seconds[0] : r->prompt_seconds)));
    for (int i = 1; i < made; i++) TERN_TRY(tern_bench_add_between(b, r->seconds[i] - r->seconds[i - 1]));
    b->turns++;
    return TERN_OK;
}

static tern_status ask(tern_bench_speech *s, const char *text)
{
    tern_tokens prompt = {0};
    tern_reply reply = {0};
    tern_request request = {
        .most = s->run->options->generate, .sampling = s->run->options->sampling, .alternatives = -1};
    double begun = tern_now(), spoke = begun;
    tern_status status = tern_conversation_add(&s->said, "user", text, strlen(text));
    if (status == TERN_OK) status = encode(s, &prompt);
    if (status == TERN_OK) {
        spoke = tern_now();
        status = tern_speak(s->speaker, &prompt, &request, &reply);
    }
    if (status == TERN_OK) status = note_reply(s, &reply, begun, spoke);
    if (status == TERN_OK)
        status = tern_conversation_add(&s->said, "assistant", reply.text.data, reply.text.size);
    if (status == TERN_OK && reply.finish == TERN_FINISH_INTERRUPTED)
        status = tern_fail(TERN_INTERRUPTED, "interrupted");
    tern_reply_free(&reply);
    tern_tokens_free(&prompt);
    return status;
}

static tern_status open_template(tern_bench_speech *s)
{
    const char *path = s->run->options->template;
    char *bytes;
    size_t size;
    if (!path) {
        TERN_TRY(
            tern_template_of(&s->template, tern_llm_weights(tern_speaker_model(s->speaker)), s->run->path));
        return s->template ? TERN_OK
                           : tern_fail(TERN_USAGE, "%s has no chat template: give one with --template FILE",
                                       s->run->path);
    }
    TERN_TRY(tern_read_file(path, &bytes, &size));
    tern_status status = tern_template_open(&s->template, bytes, size, path);
    tern_release(bytes);
    return status;
}

static tern_status talk_all(tern_bench_speech *s, const tern_bench_talk *talks, int count)
{
    const tern_bench_options *o = s->run->options;
    int turns = 0, turn = 0;
    for (int t = 0; t < count; t++) turns += talks[t].count;
    for (int t = 0; t < count; t++) {
        tern_conversation_cut(&s->said, 0);
        for (int i = 0; i < talks[t].count; i++) {
            if (o->on_turn) o->on_turn(o->context, turn++, turns);
            TERN_TRY(ask(s, talks[t].turns[i]));
        }
    }
    return TERN_OK;
}

static tern_status run_talks(tern_bench_run *r)
{
    tern_bench_speech s = {.run = r};
    double begun = tern_now();
    tern_status status = tern_speaker_open(&s.speaker, r->path, &r->options->model, 0);
    if (status == TERN_OK) status = note(r, TERN_BENCH_LOAD, 0, begun, tern_now());
    if (status == TERN_OK) status = open_template(&s);
    if (status == TERN_OK) status = talk_all(&s, r->talks, r->talk_count);
    if (status == TERN_OK) end(r, begun);
    tern_conversation_free(&s.said);
    tern_template_close(s.template);
    tern_speaker_close(s.speaker);
    return status;
}

/* ---- both --------------------------------------------------------------------------------------------------------- */

static tern_status run(tern_bench_run *r, tern_status (*body)(tern_bench_run *r))
{
    tern_status status = begin(r);
    if (status == TERN_OK) status = body(r);
    tern_watch_close(r->watch);
    return status;
}

tern_status tern_bench_tokens(tern_bench *bench, const char *path, const tern_bench_options *options)
{
    tern_bench_run r = {.bench = bench, .options = options, .path = path};
    if (options->prompt < 1 || options->generate < 1 || options->turns < 1)
        return tern_fail(TERN_USAGE, "%d turns of %d tokens and %d behind them: expected at least 1 of each",
                         options->turns, options->prompt, options->generate);
    return run(&r, run_turns);
}

tern_status tern_bench_talks(tern_bench *bench, const char *path, const tern_bench_talk *talks, int count,
                             const tern_bench_options *options)
{
    tern_bench_run r = {
        .bench = bench, .options = options, .path = path, .talks = talks, .talk_count = count};
    return run(&r, run_talks);
}
