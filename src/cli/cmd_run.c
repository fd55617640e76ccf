/* tern run: a language model says how a text goes on, or what comes behind tokens given as numbers; an ONNX file gives its
 * outputs. */
#include "cli/run_file.h"
#include "cli/run_prompt.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tern_cli_option options[] = {
    {"prompt", 'p', TERN_TEXT, "TEXT", NULL, "the prompt; - reads it from standard input", NULL},
    {"file", 'f', TERN_TEXT, "FILE", NULL, "file that holds the prompt", NULL},
    {"raw", 0, TERN_FLAG, NULL, NULL, "continue the prompt as it is, without a chat template", NULL},
    {"tokens", 0, TERN_TEXT, "LIST", NULL, "continue these tokens, each time with the likeliest: 1,2,3",
     NULL},
    {"generate", 'n', TERN_WHOLE, "N", NULL, "most tokens to make (default 512; with --tokens 0)",
     "0..1000000"},
    {"top", 0, TERN_WHOLE, "N", "10",
     "with --tokens: how many of the likeliest next tokens to show; 0 with --json: all logits", "0..1000"},
    {"logprobs", 0, TERN_WHOLE, "N", NULL,
     "print the log-probability of each token made, and of the N likeliest in its place", "0..100"},
    {"beams", 0, TERN_WHOLE, "N", NULL,
     "beam search: follow N texts at once and print the one that is likeliest as a whole", "1..64"},
    {"length-penalty", 0, TERN_NUMBER, "X", "1",
     "with --beams: divide the log-probability of a text of n tokens by n^X; 0: do not", "-10..10"},
    {"early", 0, TERN_FLAG, NULL, NULL, "with --beams: stop as soon as N texts have ended", NULL},
    {"data", 'd', TERN_TEXT, "FILE.npy", NULL,
     "of an ONNX or TFLite file: its input, [batch,..] (default: one sample of noise)", NULL},
    {"out", 'o', TERN_TEXT, "FILE.npy", NULL, "of an ONNX or TFLite file: where to write an output", NULL},
    {"output", 0, TERN_TEXT, "NAME", NULL,
     "of an ONNX or TFLite file: which output --out writes (default: the first)", NULL},
    TERN_INPUT_OPTION,
    TERN_SAMPLING_OPTIONS("0", "0", "1"),
    TERN_MODEL_OPTIONS,
    {0},
};

static const tern_exclusion exclusions[] = {
    {"prompt", "file", "each gives the prompt"},
    {"prompt", "tokens", "one is text, the other numbers"},
    {"file", "tokens", "one is text, the other numbers"},
    {"grammar", "json-schema", "only one of them can constrain the text"},
    {"raw", "system", "without a chat template there is no system prompt"},
    {"beams", "tokens", "beam search starts from a prompt"},
    {"beams", "temperature", "beam search does not sample"},
    {"beams", "logprobs", "beam search prints log-probabilities with --json"},
    {"beams", "grammar", "beam search takes no grammar"},
    {"beams", "json-schema", "beam search takes no schema"},
    {"beams", "stop", "a beam ends only at an end-of-text token"},
    {"beams", "lookup", "beam search does not guess tokens"},
    {"beams", "draft", "beam search does not guess tokens"},
    {"beams", "memory", "beam search reads the weights where the file is mapped"},
    {"beams", "superpipeline", "beam search reads the weights where the file is mapped"},
    {"raw", "template", "one leaves out the chat template that the other gives"},
    {0},
};

typedef struct tern_runner {
    tern_cli *cli;
    tern_llm *llm;
    tern_loras loras;
    tern_tokens prompt, made;
    double prompt_seconds, seconds;
} tern_runner;

static tern_status parse_tokens(const char *list, tern_tokens *out)
{
    for (const char *p = list; *p;) {
        char *end;
        errno = 0;
        long value = strtol(p, &end, 10);
        if (end == p || errno || value < 0 || value > INT32_MAX || (*end && *end != ','))
            return tern_fail(TERN_USAGE,
                             "--tokens: \"%s\" does not begin with a token, expected numbers as in 1,2,3", p);
        TERN_TRY(tern_tokens_add(out, (int32_t)value));
        p = *end ? end + 1 : end;
    }
    return TERN_OK;
}

static int32_t likeliest(const float *logits, int count)
{
    int best = 0;
    for (int i = 1; i < count; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static bool ends(const tern_runner *r, int32_t token)
{
    const tern_meta *m = tern_weights_meta(tern_llm_weights(r->llm), "tokenizer.ggml.eos_token_id");
    return m && (int32_t)tern_meta_number(m, 0) == token;
}

static tern_status generate(tern_runner *r, const float **logits)
{
    int count = tern_cli_whole(r->cli, "generate"), vocabulary = tern_llm_about(r->llm)->vocabulary;
    tern_status status = TERN_OK;
    double begun = tern_now();
    for (int i = 0; status == TERN_OK && i < count && !tern_interrupted(); i++) {
        int32_t token = likeliest(*logits, vocabulary);
        if (ends(r, token)) break;
        status = tern_tokens_add(&r->made, token);
        if (status == TERN_OK) status = tern_llm_feed(r->llm, &token, 1, logits);
    }
    r->seconds = tern_now() - begun;
    return status == TERN_OK && tern_interrupted() ? tern_fail(TERN_INTERRUPTED, "interrupted") : status;
}

/* The next `count` likeliest tokens, and the logarithm of the sum of exponentials. */
static void rank(const float *logits, int vocabulary, int32_t *top, int count, double *log_sum)
{
    double most = (double)logits[likeliest(logits, vocabulary)], sum = 0;
    int known = 0;
    for (int i = 0; i < vocabulary; i++) {
        int at = known;
        sum += exp((double)logits[i] - most);
        while (at > 0 && logits[top[at - 1]] < logits[i]) at--;
        if (at >= count) continue;
        known = known < count ? known + 1 : count;
        memmove(top + at + 1, top + at, (size_t)(known - at - 1) * sizeof *top);
        top[at] = i;
    }
    *log_sum = most + (sum > 1 ? log(sum) : 0); /* the likeliest alone adds 1 */
}

static json_t *ids(const tern_tokens *tokens)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tokens->count; i++) json_array_append_new(list, json_integer(tokens->ids[i]));
    return list;
}

static double per_second(size_t count, double seconds)
{
    return seconds > 0 ? (double)count / seconds : 0;
}

static tern_status report_json(const tern_runner *r, const float *logits, const int32_t *top, int count,
                               double log_sum)
{
    double weights, cache, arena;
    json_t *next = json_array(), *all = json_array();
    tern_llm_memory(r->llm, &weights, &cache, &arena);
    for (int i = 0; i < count; i++)
        json_array_append_new(next,
                              json_pack("{s:i,s:f,s:f}", "token", top[i], "logit", (double)logits[top[i]],
                                        "log_probability", (double)logits[top[i]] - log_sum));
    for (int i = 0; count == 0 && i < tern_llm_about(r->llm)->vocabulary; i++)
        json_array_append_new(all, json_real((double)logits[i]));
    return tern_print_json(json_pack("{s:o,s:o,s:o,s:o,s:f,s:f,s:f,s:f,s:f}", "prompt_tokens",
                                     ids(&r->prompt), "tokens", ids(&r->made), "next", next, "logits", all,
                                     "prompt_tokens_per_second",
                                     per_second(r->prompt.count, r->prompt_seconds), "tokens_per_second",
                                     per_second(r->made.count, r->seconds), "weight_bytes", weights,
                                     "cache_bytes", cache, "arena_bytes", arena));
}

static tern_status report(const tern_runner *r, const float *logits)
{
    int vocabulary = tern_llm_about(r->llm)->vocabulary, count = tern_cli_whole(r->cli, "top");
    int32_t top[1001] = {0};
    double log_sum = 0;
    if (count > vocabulary) count = vocabulary;
    rank(logits, vocabulary, top, count, &log_sum);
    if (r->cli->json) return report_json(r, logits, top, count, log_sum);
    tern_grid grid = {0};
    tern_status status = TERN_OK;
    for (size_t i = 0; i < r->made.count; i++) printf("%s%d", i ? "," : "", r->made.ids[i]);
    if (r->made.count) puts("");
    tern_grid_row(&grid, "token|logit|probability");
    for (int i = 0; i < count; i++)
        tern_grid_row(&grid, "%d|%.4f|%.4f", top[i], (double)logits[top[i]],
                      exp((double)logits[top[i]] - log_sum));
    if (!r->made.count) status = tern_grid_print(&grid, stdout);
    tern_grid_free(&grid);
    if (!r->cli->quiet)
        fprintf(stderr, "%zu tokens of prompt at %.1f/s, %zu made at %.1f/s\n", r->prompt.count,
                per_second(r->prompt.count, r->prompt_seconds), r->made.count,
                per_second(r->made.count, r->seconds));
    return status;
}

static tern_status run_model(tern_runner *r)
{
    char path[4096];
    const float *logits = NULL;
    tern_llm_options o;
    TERN_TRY(tern_model_options(r->cli, &r->loras, &o));
    TERN_TRY(tern_model_find(path, r->cli->arguments[0]));
    TERN_TRY(tern_model_fit(r->cli, path, &o));
    TERN_TRY(tern_llm_open(&r->llm, path, &o));
    TERN_TRY(parse_tokens(tern_cli_text(r->cli, "tokens"), &r->prompt));
    tern_catch_interrupts();
    double begun = tern_now();
    TERN_TRY(tern_llm_feed(r->llm, r->prompt.ids, (int)r->prompt.count, &logits));
    r->prompt_seconds = tern_now() - begun;
    TERN_TRY(generate(r, &logits));
    return report(r, logits);
}

static tern_status run_run(tern_cli *cli)
{
    static const char *const of_beams[] = {"length-penalty", "early", NULL};
    if (tern_file_named(cli->arguments[0])) return tern_run_file(cli);
    bool text = tern_cli_has(cli, "prompt") || tern_cli_has(cli, "file");
    if (!tern_cli_has(cli, "beams")) TERN_TRY(tern_cli_refuse(cli, of_beams, "without --beams"));
    if (text) return tern_run_prompt(cli);
    if (!tern_cli_has(cli, "tokens"))
        return tern_fail(TERN_USAGE, "run: expected -p TEXT, -f FILE or --tokens LIST; tern chat talks");
    tern_runner r = {.cli = cli};
    tern_status status = run_model(&r);
    tern_llm_close(r.llm);
    tern_loras_free(&r.loras);
    tern_tokens_free(&r.prompt);
    tern_tokens_free(&r.made);
    return status;
}

const tern_command tern_command_run = {
    .name = "run",
    .about = "answer a prompt with a language model, continue a text or tokens, or run an ONNX or TFLite "
             "file on an array",
    .usage = "MODEL|NET.onnx|NET.tflite",
    .more = "tern run smollm2 -p \"What is the capital of France?\"\n"
            "tern run smollm2 --raw -p \"Once upon a time\" -n 100 -t 0.8 --top-p 0.95 --seed 7\n"
            "tern run smollm2 -p \"Name a city and its country.\" --json-schema city.json\n"
            "tern run smollm2 -p \"What is the capital of France?\" --beams 4 --length-penalty 0.8\n"
            "tern run MODEL.gguf --tokens 504,3575,282,4649,314 -n 8\n"
            "tern run resnet18.onnx -d images.npy -o logits.npy\n"
            "\n"
            "MODEL is a .gguf file, or a name that tern list models shows.  The text goes to standard output "
            "as it is made.",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .run = run_run,
};
