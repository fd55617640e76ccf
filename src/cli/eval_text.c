/* tern eval MODEL --perplexity FILE: how well a language model foresees a text. */
#include "cli/eval.h"

#include "cli/language.h"
#include "cli/reader.h"
#include "llm/adapter.h"
#include "llm/models.h"

#include <math.h>

typedef struct tern_score {
    double sum, squares, seconds; /* of -ln p of a window's tokens, means by window */
    int64_t count;                /* tokens scored */
    int windows;
} tern_score;

/* Windows of `tokens` tokens, one behind the other, each without what stood before it; where the model has a first token, it
 * takes the place of the window's.  The tokens of a window's second half are scored, as llama.cpp does it, so that each has half
 * a window of context or more. */
static tern_status score(tern_cli *cli, tern_reader *r, int tokens, tern_score *s)
{
    tern_text_window *window = NULL;
    const tern_vocabulary *v = tern_tokenizer_vocabulary(r->tokenizer);
    int all = (int)(r->ids.count / (size_t)tokens), most = tern_cli_whole(cli, "limit");
    if (most > 0 && most < all) all = most;
    double begun = tern_now();
    tern_status status = tern_window_open(&window, &r->about, tokens, cli->pool);
    for (int i = 0; status == TERN_OK && i < all && !tern_interrupted(); i++) {
        int32_t *ids = r->ids.ids + (size_t)i * (size_t)tokens;
        double sum = 0;
        int64_t count = 0;
        if (v->prefix_count > 0) ids[0] = v->prefix[0];
        status = tern_window_loss(window, ids, tokens / 2 + 1, &sum, &count);
        if (status != TERN_OK) break;
        s->sum += sum;
        s->squares += sum / (double)count * (sum / (double)count);
        s->count += count;
        s->windows++;
        if (!cli->json && !cli->quiet)
            fprintf(stderr, "window %d/%d  perplexity %.4f\n", i + 1, all, exp(s->sum / (double)s->count));
    }
    s->seconds = tern_now() - begun;
    tern_window_close(window);
    return status == TERN_OK && tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : status;
}

static tern_status print_score(const tern_cli *cli, const tern_score *s, int tokens)
{
    double mean = s->sum / (double)s->count, n = s->windows;
    double spread = n > 1 ? sqrt(fmax(0, s->squares / n - mean * mean) / (n - 1)) : 0, perplexity = exp(mean);
    double rate = s->seconds > 0 ? n * tokens / s->seconds : 0;
    if (cli->json)
        return tern_print_json(json_pack("{s:f,s:f,s:f,s:I,s:i,s:i,s:f,s:f}", "perplexity", perplexity,
                                         "standard_error", perplexity * spread, "loss", mean, "tokens_scored",
                                         (json_int_t)s->count, "windows", s->windows, "window", tokens,
                                         "seconds", s->seconds, "tokens_per_second", rate));
    printf("perplexity %.4f +- %.4f (%.4f nats a token) over %lld tokens, the second halves of %d windows of "
           "%d; "
           "%.0f tokens/s\n",
           perplexity, perplexity * spread, mean, (long long)s->count, s->windows, tokens, rate);
    return TERN_OK;
}

static tern_status read_and_score(tern_cli *cli, tern_reader *r, const tern_loras *loras, const char *text,
                                  size_t size)
{
    char path[4096];
    tern_score s = {0};
    int tokens = tern_cli_whole(cli, "window");
    TERN_TRY(tern_model_find(path, cli->arguments[0]));
    tern_status status = tern_reader_open(r, path, text, size);
    if (status != TERN_OK) return tern_in(status, "%s", path);
    TERN_TRY(tern_adapters_open(&r->about, (const char *const *)loras->paths, loras->weights, loras->count));
    if (tokens > r->about.context)
        return tern_fail(TERN_USAGE, "--window %d: the model was made for contexts of %d tokens", tokens,
                         r->about.context);
    if (r->ids.count < (size_t)tokens)
        return tern_fail(TERN_USAGE,
                         "%s has %zu tokens, expected a window of %d at least: use a smaller --window",
                         tern_cli_text(cli, "perplexity"), r->ids.count, tokens);
    TERN_TRY(score(cli, r, tokens, &s));
    return print_score(cli, &s, tokens);
}

tern_status tern_eval_text(tern_cli *cli)
{
    tern_reader r = {0};
    tern_loras loras;
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(tern_cli_text(cli, "perplexity"), &text, &size));
    tern_catch_interrupts();
    tern_status status = tern_loras_read(cli, &loras);
    if (status == TERN_OK) status = read_and_score(cli, &r, &loras, text, size);
    tern_reader_close(&r);
    tern_loras_free(&loras);
    tern_release(text);
    return status;
}
