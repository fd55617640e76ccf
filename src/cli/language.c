/* A language model as the command line asks for it. */
#include "cli/language.h"

#include "cli/plan_windows.h"
#include "llm/lanes.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---------------------------------------------------------------------------------------------------- */

/* ID=X,ID=X */
static tern_status read_bias(tern_language *l, const char *list)
{
    int room = 1;
    for (const char *c = list; *c; c++) room += *c == ',';
    l->bias = tern_take_array((size_t)room, sizeof *l->bias);
    if (!l->bias) return tern_no_memory((size_t)room * sizeof *l->bias, "--logit-bias");
    for (const char *p = list; *p;) {
        char *equals, *end;
        errno = 0;
        long id = strtol(p, &equals, 10);
        bool good = equals > p && *equals == '=' && !errno && id >= 0 && id <= INT32_MAX;
        double x = good ? strtod(equals + 1, &end) : 0;
        if (!good || end == equals + 1 || (*end && *end != ',') || isnan(x) || x == INFINITY)
            return tern_fail(TERN_USAGE,
                             "--logit-bias: \"%s\" does not begin with ID=X, as in 198=-inf,7=1.5", p);
        l->bias[l->sampling.bias_count++] = (tern_logit_bias){(int32_t)id, (float)x};
        p = *end ? end + 1 : end;
    }
    l->sampling.bias = l->bias;
    return TERN_OK;
}

/* No repetition goes across a line, a colon, a quote or a star: all tokens that contain one. */
static tern_status find_breakers(tern_language *l)
{
    const tern_tokenizer *t = tern_speaker_tokenizer(l->speaker);
    int32_t count = tern_tokenizer_vocabulary(t)->count;
    l->breakers = tern_take_array((size_t)count, sizeof *l->breakers);
    if (!l->breakers) return tern_no_memory((size_t)count * sizeof *l->breakers, "a sampler");
    for (int32_t id = 0; id < count; id++) {
        size_t size;
        const char *bytes = tern_token_bytes(t, id, &size);
        for (size_t i = 0; i < size; i++) {
            if (!strchr("\n:\"*", bytes[i]) || !bytes[i]) continue;
            l->breakers[l->sampling.dry_breaker_count++] = id;
            break;
        }
    }
    l->sampling.dry_breakers = l->breakers;
    return TERN_OK;
}

static tern_status read_sampling(tern_language *l)
{
    const tern_cli *cli = l->cli;
    int last = tern_cli_whole(cli, "penalty-last");
    l->sampling = tern_sampling_standard();
    tern_sampling *s = &l->sampling;
    s->temperature = tern_cli_number(cli, "temperature");
    s->top_k = tern_cli_whole(cli, "top-k");
    s->top_p = tern_cli_number(cli, "top-p");
    s->min_p = tern_cli_number(cli, "min-p");
    s->typical_p = tern_cli_number(cli, "typical-p");
    s->repeat_penalty = tern_cli_number(cli, "repeat-penalty");
    s->frequency_penalty = tern_cli_number(cli, "frequency-penalty");
    s->presence_penalty = tern_cli_number(cli, "presence-penalty");
    s->penalty_last = last ? last : -1;
    s->dry_multiplier = tern_cli_number(cli, "dry-multiplier");
    s->dry_base = tern_cli_number(cli, "dry-base");
    s->dry_allowed = tern_cli_whole(cli, "dry-allowed");
    s->mirostat = tern_cli_whole(cli, "mirostat");
    s->mirostat_tau = tern_cli_number(cli, "mirostat-tau");
    s->mirostat_eta = tern_cli_number(cli, "mirostat-eta");
    s->seed = cli->seed;
    if (tern_sampling_order(s, tern_cli_text(cli, "samplers")) != TERN_OK)
        return tern_in(TERN_USAGE, "--samplers");
    if (tern_cli_has(cli, "logit-bias")) TERN_TRY(read_bias(l, tern_cli_text(cli, "logit-bias")));
    return s->dry_multiplier > 0 ? find_breakers(l) : TERN_OK;
}

static tern_status read_grammar(tern_language *l)
{
    const char *file = tern_cli_text(l->cli, "grammar"), *schema = tern_cli_text(l->cli, "json-schema");
    const char *path = file ? file : schema;
    char *bytes = NULL;
    size_t size;
    int ends;
    tern_text gbnf = {0};
    if (!path) return TERN_OK;
    TERN_TRY(tern_read_file(path, &bytes, &size));
    tern_status status = file ? TERN_OK : tern_schema_grammar(&gbnf, bytes, size);
    if (status == TERN_OK)
        status = tern_grammar_open(&l->grammar, file ? bytes : gbnf.data, file ? size : gbnf.size);
    tern_release(bytes);
    tern_text_free(&gbnf);
    if (status != TERN_OK) return tern_in(status, "%s", path);
    const int32_t *end = tern_speaker_ends(l->speaker, &ends);
    return tern_constraint_open(&l->constraint, l->grammar, tern_speaker_tokenizer(l->speaker), end, ends);
}

tern_status tern_language_template(tern_template **template, const tern_cli *cli, const tern_weights *weights,
                                   const char *model)
{
    const char *path = tern_cli_text(cli, "template");
    char *bytes;
    size_t size;
    if (!path) return tern_template_of(template, weights, model);
    TERN_TRY(tern_read_file(path, &bytes, &size));
    tern_status status = tern_template_open(template, bytes, size, path);
    tern_release(bytes);
    return status;
}

static tern_status read_stops(tern_language *l)
{
    for (int i = 0; i < l->cli->given_count; i++) {
        if (strcmp(l->cli->given[i].name, "stop") != 0) continue;
        if (!l->cli->given[i].value[0])
            return tern_fail(TERN_USAGE, "--stop is empty: it would end every text");
        if (l->stop_count == TERN_MOST_STOPS)
            return tern_fail(TERN_USAGE, "--stop is given more than %d times", TERN_MOST_STOPS);
        l->stops[l->stop_count++] = l->cli->given[i].value;
    }
    return TERN_OK;
}

/* FILE or FILE=X */
static tern_status add_lora(tern_loras *l, const char *value)
{
    const int most = (int)TERN_COUNT(l->paths);
    if (l->count == most) return tern_fail(TERN_USAGE, "--lora is given more than %d times", most);
    char *equals = strrchr(value, '='), *end = NULL;
    double weight = equals ? strtod(equals + 1, &end) : 1;
    bool weighed = equals && end > equals + 1 && !*end;
    if (weighed && !isfinite(weight))
        return tern_fail(TERN_USAGE, "--lora %s: expected a finite number behind =", value);
    char *path = tern_copy_string(value);
    if (!path) return tern_no_memory(strlen(value), "--lora");
    if (weighed) path[equals - value] = 0;
    l->paths[l->count] = path;
    l->weights[l->count++] = weighed ? weight : 1;
    return TERN_OK;
}

tern_status tern_loras_read(const tern_cli *cli, tern_loras *loras)
{
    *loras = (tern_loras){0};
    for (int i = 0; i < cli->given_count; i++)
        if (strcmp(cli->given[i].name, "lora") == 0) TERN_TRY(add_lora(loras, cli->given[i].value));
    return TERN_OK;
}

tern_status tern_model_options(const tern_cli *cli, tern_loras *loras, tern_llm_options *o)
{
    TERN_TRY(tern_loras_read(cli, loras));
    *o = (tern_llm_options){.context = tern_cli_whole(cli, "context"),
                            .chunk = tern_cli_whole(cli, "chunk"),
                            .reference = tern_cli_has(cli, "reference"),
                            .copied = tern_cli_has(cli, "huge-pages"),
                            .cache = strcmp(tern_cli_text(cli, "cache"), "f16") == 0 ? TERN_F16 : TERN_F32,
                            .loras = (const char *const *)loras->paths,
                            .lora_weights = loras->weights,
                            .lora_count = loras->count,
                            .pool = cli->pool};
    return tern_cli_window(cli, &o->window, &o->moved, &o->slack);
}

/* In windows each chunk of a prompt reads all weights, but its scratch memory is there all the time: of these, the first with which a
 * window fits. */
static const int chunks[] = {64, 32, 16};

static bool asks_for_windows(const tern_cli *cli)
{
    return tern_cli_has(cli, "superpipeline");
}

/* The account of a model with its chunk: that of --chunk, or a smaller one where layers come in windows of `memory` bytes (0: no limit). */
static tern_status open_account(const tern_cli *cli, const char *path, double memory, tern_llm_options *o,
                                tern_llm_account **account)
{
    int window, moved;
    TERN_TRY(tern_llm_account_open(account, path, NULL, o));
    bool fits = memory > 0 && tern_llm_need_total(&(*account)->need) <= memory;
    if (tern_cli_has(cli, "chunk") || (fits && !asks_for_windows(cli))) return TERN_OK;
    for (size_t i = 0; i < TERN_COUNT(chunks); i++) {
        tern_llm_account_close(*account);
        o->chunk = chunks[i];
        TERN_TRY(tern_llm_account_open(account, path, NULL, o));
        bool last = i + 1 == TERN_COUNT(chunks);
        if (last || memory <= 0 || tern_llm_account_window(*account, memory, &window, &moved) == TERN_OK)
            break;
        tern_clear();
    }
    if (!cli->quiet)
        fprintf(stderr, "prompts in chunks of %d tokens, which leave more memory to the layers (--chunk)\n",
                o->chunk);
    return TERN_OK;
}

/* --superpipeline auto: the table of windows, and the best of them. */
static tern_status choose_window(const tern_cli *cli, const tern_llm_account *account, double memory,
                                 tern_llm_options *o)
{
    tern_windows w;
    tern_window_measured m;
    tern_window_choice chosen;
    double others = tern_llm_need_total(&account->need) - account->need.weights;
    TERN_TRY(tern_llm_measure_windows(account, o->pool, &w, &m));
    tern_status status = tern_show_windows(cli, &w, &m, others, memory, &chosen, stderr);
    tern_window_measured_free(&m);
    tern_windows_free(&w);
    TERN_TRY(status);
    o->window = chosen.copied > 0 ? chosen.window : 0; /* else all layers are there */
    o->moved = chosen.moved;
    return chosen.window ? TERN_OK : tern_llm_account_window(account, memory, &o->window, &o->moved);
}

tern_status tern_model_fit(const tern_cli *cli, const char *path, tern_llm_options *o)
{
    tern_llm_account *account;
    bool limited = tern_cli_has(cli, "memory"), windows = asks_for_windows(cli);
    double memory = limited ? tern_cli_number(cli, "memory") : 0;
    if (!limited && !windows) return TERN_OK;
    if (limited && o->window)
        return tern_fail(TERN_USAGE, "--memory chooses the window, which --superpipeline gives");
    TERN_TRY(open_account(cli, path, memory, o, &account));
    tern_status status = TERN_OK;
    if (windows && !o->window)
        status = choose_window(cli, account, memory, o);
    else if (!windows)
        status = tern_llm_account_window(account, memory, &o->window, &o->moved);
    tern_llm_account_close(account);
    return status == TERN_OK ? status : tern_in(status, "%s", path);
}

void tern_loras_free(tern_loras *loras)
{
    for (int i = 0; i < loras->count; i++) tern_release(loras->paths[i]);
}

static tern_status load(tern_language *l, tern_cli *cli, int guess)
{
    *l = (tern_language){.cli = cli, .resident_before = tern_resident_bytes()};
    tern_llm_options o;
    double begun = tern_now();
    TERN_TRY(tern_model_options(cli, &l->loras, &o));
    TERN_TRY(tern_model_find(l->path, cli->arguments[0]));
    TERN_TRY(tern_model_fit(cli, l->path, &o));
    if (tern_cli_has(cli, "beams")) { /* beams share the pages of the prompt */
        o.sequences = tern_cli_whole(cli, "beams");
        o.own = tern_cli_has(cli, "generate") ? tern_cli_whole(cli, "generate") : 512;
        if (o.chunk < o.sequences) o.chunk = o.sequences;
    }
    TERN_TRY(tern_speaker_open(&l->speaker, l->path, &o, guess));
    l->load_seconds = tern_now() - begun;
    return tern_language_template(&l->template, cli, tern_llm_weights(tern_speaker_model(l->speaker)),
                                  l->path);
}

/* A smaller model that guesses for this one. */
static tern_status open_draft(tern_language *l)
{
    char path[4096];
    tern_loras none;
    tern_llm_options o;
    if (!tern_cli_has(l->cli, "draft")) return TERN_OK;
    TERN_TRY(tern_model_find(path, tern_cli_text(l->cli, "draft")));
    tern_status status = tern_model_options(l->cli, &none, &o);
    o.lora_count = 0; /* adapters are of the model */
    if (status == TERN_OK)
        status = tern_speaker_draft(l->speaker, path, &o, tern_cli_whole(l->cli, "draft-tokens"));
    tern_loras_free(&none);
    return status;
}

tern_status tern_language_open(tern_language *l, tern_cli *cli)
{
    int guess = tern_cli_whole(cli, "lookup"), drafted = tern_cli_whole(cli, "draft-tokens");
    if (tern_cli_has(cli, "draft") && drafted > guess) guess = drafted;
    TERN_TRY(load(l, cli, guess));
    TERN_TRY(open_draft(l));
    TERN_TRY(read_stops(l));
    TERN_TRY(read_sampling(l));
    return read_grammar(l);
}

void tern_language_close(tern_language *l)
{
    tern_constraint_close(l->constraint);
    tern_grammar_close(l->grammar);
    tern_template_close(l->template);
    tern_speaker_close(l->speaker);
    tern_loras_free(&l->loras);
    tern_release(l->breakers);
    tern_release(l->bias);
}

tern_request tern_language_request(const tern_language *l, int most)
{
    return (tern_request){.most = most,
                          .sampling = &l->sampling,
                          .constraint = l->constraint,
                          .stops = l->stops,
                          .stop_count = l->stop_count,
                          .guess = tern_cli_whole(l->cli, "lookup") > 0,
                          .alternatives = -1};
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

tern_status tern_say_text(void *context, const char *text, size_t size)
{
    (void)context;
    if (fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0) return TERN_OK;
    return tern_fail(TERN_FAILED, "cannot write to standard output: %s", strerror(errno));
}

static double rate(int count, double seconds)
{
    return seconds > 0 ? count / seconds : 0;
}

void tern_language_summary(const tern_language *l, const tern_reply *r)
{
    double weights, cache, arena;
    char a[24], b[24], c[24], d[24];
    if (l->cli->quiet) return;
    tern_llm_memory(tern_speaker_model(l->speaker), &weights, &cache, &arena);
    fprintf(stderr, "%d tokens of prompt", r->prompt);
    if (r->reused) fprintf(stderr, " (%d of them known)", r->reused);
    fprintf(stderr, " at %.1f/s, %zu made at %.1f/s", rate(r->prompt - r->reused, r->prompt_seconds),
            r->tokens.count, rate((int)r->tokens.count, r->made_seconds));
    if (r->guessed) fprintf(stderr, ", %d of %d guesses right", r->right, r->guessed);
    fprintf(stderr, "; ended by %s; weights %s, cache %s, scratch %s, resident %s\n",
            tern_finish_names[r->finish], tern_human(a, weights, "B"), tern_human(b, cache, "B"),
            tern_human(c, arena, "B"), tern_human(d, tern_resident_bytes() - l->resident_before, "B"));
    const tern_pager *pager = tern_llm_pager(tern_speaker_model(l->speaker));
    if (!pager) return;
    tern_pager_report report;
    tern_pager_reports(pager, &report);
    tern_pager_summary(&report, stderr);
}

static json_t *spelled(const tern_language *l, int32_t id)
{
    size_t size;
    const char *bytes = tern_token_bytes(tern_speaker_tokenizer(l->speaker), id, &size);
    json_t *text = json_stringn(bytes, size); /* NULL where the bytes are no UTF-8 by themselves */
    return text ? text : json_null();
}

/* Of each token: its own probability and the likeliest. */
static json_t *probabilities(const tern_language *l, const tern_reply *r, int alternatives)
{
    json_t *all = json_array();
    for (size_t i = 0; i < r->tokens.count; i++) {
        json_t *top = json_array();
        for (int k = 0; k < alternatives; k++) {
            const tern_log_probability *p = &r->likeliest[i * (size_t)alternatives + (size_t)k];
            json_array_append_new(top, json_pack("{s:i,s:o,s:f}", "token", p->id, "text", spelled(l, p->id),
                                                 "log_probability", p->log_probability));
        }
        json_array_append_new(all, json_pack("{s:i,s:o,s:f,s:o}", "token", r->tokens.ids[i], "text",
                                             spelled(l, r->tokens.ids[i]), "log_probability",
                                             r->log_probabilities[i], "likeliest", top));
    }
    return all;
}

json_t *tern_reply_json(const tern_language *l, const tern_reply *r)
{
    double weights, cache, arena;
    json_t *tokens = json_array();
    tern_llm_memory(tern_speaker_model(l->speaker), &weights, &cache, &arena);
    for (size_t i = 0; i < r->tokens.count; i++)
        json_array_append_new(tokens, json_integer(r->tokens.ids[i]));
    json_t *all = json_pack("{s:o,s:o,s:s,s:i,s:i,s:f,s:f,s:f,s:f,s:i,s:i,s:f,s:f,s:f,s:f,s:f}", "text",
                            json_stringn(r->text.data, r->text.size), "tokens", tokens, "finish",
                            tern_finish_names[r->finish], "prompt_tokens", r->prompt, "prompt_tokens_known",
                            r->reused, "prompt_seconds", r->prompt_seconds, "prompt_tokens_per_second",
                            rate(r->prompt - r->reused, r->prompt_seconds), "seconds", r->made_seconds,
                            "tokens_per_second", rate((int)r->tokens.count, r->made_seconds), "guessed",
                            r->guessed, "guessed_right", r->right, "load_seconds", l->load_seconds,
                            "weight_bytes", weights, "cache_bytes", cache, "arena_bytes", arena,
                            "resident_bytes", tern_resident_bytes() - l->resident_before);
    int alternatives = tern_cli_has(l->cli, "logprobs") ? tern_cli_whole(l->cli, "logprobs") : -1;
    if (all && alternatives >= 0)
        json_object_set_new(all, "log_probabilities", probabilities(l, r, alternatives));
    return all;
}
