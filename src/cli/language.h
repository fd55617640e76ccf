/* What the commands that let a language model speak share: options, the model with its tokenizer and chat template, the
 * sampler's settings, reports. */
#ifndef TERN_CLI_LANGUAGE_H
#define TERN_CLI_LANGUAGE_H

#include "cli/window.h"
#include "llm/conversation.h"
#include "llm/generate.h"
#include "llm/models.h"

#define TERN_HUGE_PAGES_HELP                                                                                 \
    "copy the weights into large pages before the model is ready, for more tokens a second; weights of up "  \
    "to 2 GiB and a quarter of main memory are copied anyway, some with each token"

/* Of every command that loads a model. */
#define TERN_MODEL_OPTIONS                                                                                   \
    {"context",   'c', TERN_WHOLE,                                                                           \
     "N",         "0", "tokens that the cache holds; 0: 2048, or the model's limit if that is less",         \
     "0..1000000"},                                                                                          \
        {"chunk", 0, TERN_WHOLE, "N", "256", "tokens of the prompt that are computed at once", "1..4096"},   \
        {"cache",  0, TERN_PICK, "FORMAT", "f32", "number format of the keys and values in the cache",       \
         "f32|f16"},                                                                                         \
        {"lora",     0,    TERN_TEXT,                                                                        \
         "FILE[=X]", NULL, "add a LoRA adapter, scaled by X (default 1); may be given several times",        \
         NULL},                                                                                              \
        {"memory",                                                                                           \
         'm',                                                                                                \
         TERN_BYTES,                                                                                         \
         "BYTES",                                                                                            \
         NULL,                                                                                               \
         "run in so much memory: weights that do not fit are read from the file, in windows of layers",      \
         NULL},                                                                                              \
        {"superpipeline",                                                                                    \
         0,                                                                                                  \
         TERN_TEXT,                                                                                          \
         "K,M|auto",                                                                                         \
         NULL,                                                                                               \
         "keep the weights of K layers in memory, and move M layers at a time; auto: the fastest by times "  \
         "measured here",                                                                                    \
         NULL},                                                                                              \
        {"slack", 0,    TERN_FLAG,                                                                           \
         NULL,    NULL, "--superpipeline: room for M more layers, so that loading need not wait",            \
         NULL},                                                                                              \
        {"huge-pages", 0, TERN_FLAG, NULL, NULL, TERN_HUGE_PAGES_HELP, NULL},                                \
    {                                                                                                        \
        "reference", 0, TERN_FLAG, NULL, NULL, "use the reference kernels only: slow, and exact", NULL       \
    }

/* How tokens are picked, with the command's own default temperature. */
#define TERN_SAMPLING_OPTIONS(temperature, top_k, top_p)                                                     \
    {"temperature", 't',         TERN_NUMBER,                                                                \
     "T",           temperature, "temperature of sampling; 0: always take the likeliest token",              \
     "0..1000"},                                                                                             \
        {"top-k", 0, TERN_WHOLE, "N", top_k, "sample from the N likeliest tokens only; 0: from all", NULL},  \
        {"top-p", 0,     TERN_NUMBER,                                                                        \
         "P",     top_p, "sample from the likeliest tokens whose probabilities sum to P; 1: from all",       \
         "0..1"},                                                                                            \
        {"min-p", 0, TERN_NUMBER, "P", "0", "drop tokens that are less likely than P times the likeliest",   \
         "0..1"},                                                                                            \
        {"typical-p",                                                                                        \
         0,                                                                                                  \
         TERN_NUMBER,                                                                                        \
         "P",                                                                                                \
         "1",                                                                                                \
         "sample from the tokens whose surprise is nearest to the entropy and whose probabilities sum to "   \
         "P; 1: from all",                                                                                   \
         "0..1"},                                                                                            \
        {"repeat-penalty",                                                                                   \
         0,                                                                                                  \
         TERN_NUMBER,                                                                                        \
         "X",                                                                                                \
         "1",                                                                                                \
         "divide the logits of tokens that are in the text by X; 1: off",                                    \
         "0.01..100"},                                                                                       \
        {"frequency-penalty",                                                                                \
         0,                                                                                                  \
         TERN_NUMBER,                                                                                        \
         "X",                                                                                                \
         "0",                                                                                                \
         "subtract X from a token's logit for each time that it is in the text",                             \
         "-100..100"},                                                                                       \
        {"presence-penalty",                                                                                 \
         0,                                                                                                  \
         TERN_NUMBER,                                                                                        \
         "X",                                                                                                \
         "0",                                                                                                \
         "subtract X from the logits of tokens that are in the text",                                        \
         "-100..100"},                                                                                       \
        {"penalty-last",                                                                                     \
         0,                                                                                                  \
         TERN_WHOLE,                                                                                         \
         "N",                                                                                                \
         "64",                                                                                               \
         "how many tokens the penalties look back on; 0: all",                                               \
         NULL},                                                                                              \
        {"dry-multiplier", 0, TERN_NUMBER, "X", "0", "DRY penalty, against continuing a repetition; 0: off", \
         "0..100"},                                                                                          \
        {"dry-base", 0,      TERN_NUMBER,                                                                    \
         "X",        "1.75", "how fast the DRY penalty grows with the length of the repetition",             \
         "1..100"},                                                                                          \
        {"dry-allowed", 0, TERN_WHOLE, "N", "2", "repetitions of up to N tokens have no DRY penalty",        \
         "1..1000"},                                                                                         \
        {"mirostat",                                                                                         \
         0,                                                                                                  \
         TERN_WHOLE,                                                                                         \
         "N",                                                                                                \
         "0",                                                                                                \
         "version of Mirostat, 1 or 2, which keeps the surprise constant instead of dropping tokens; 0: "    \
         "off",                                                                                              \
         "0..2"},                                                                                            \
        {"mirostat-tau", 0, TERN_NUMBER, "BITS", "5", "surprise that Mirostat aims at", "0..100"},           \
        {"mirostat-eta", 0, TERN_NUMBER, "X", "0.1", "learning rate of Mirostat", "0..1"},                   \
        {"samplers",                                                                                         \
         0,                                                                                                  \
         TERN_TEXT,                                                                                          \
         "LIST",                                                                                             \
         "penalties;dry;top_k;typ_p;top_p;min_p;temperature",                                                \
         "steps of the sampler, in order",                                                                   \
         NULL},                                                                                              \
        {"logit-bias", 0,    TERN_TEXT,                                                                      \
         "LIST",       NULL, "add X to the logit of token ID: ID=X,ID=X; -inf forbids a token",              \
         NULL},                                                                                              \
        {"grammar", 0, TERN_TEXT, "FILE", NULL, "allow only text that this grammar accepts (GBNF)", NULL},   \
        {"json-schema", 0, TERN_TEXT, "FILE", NULL, "allow only JSON that matches this schema", NULL},       \
        {"stop", 0, TERN_TEXT, "TEXT", NULL, "stop before this text; may be given several times", NULL},     \
        {"lookup",                                                                                           \
         0,                                                                                                  \
         TERN_WHOLE,                                                                                         \
         "N",                                                                                                \
         "0",                                                                                                \
         "speculative decoding: guess N tokens at once from the text so far (15 is good); the text stays "   \
         "the same, and comes sooner where it repeats itself",                                               \
         "0..32"},                                                                                           \
        {"draft",                                                                                            \
         0,                                                                                                  \
         TERN_TEXT,                                                                                          \
         "MODEL",                                                                                            \
         NULL,                                                                                               \
         "speculative decoding: a smaller model with the same vocabulary guesses; the text stays the same",  \
         NULL},                                                                                              \
        {"draft-tokens", 0, TERN_WHOLE, "N", "4", "tokens that the smaller model guesses at once", "1..32"}, \
        {"template", 0, TERN_TEXT, "FILE", NULL, "chat template (Jinja) instead of the model's own", NULL},  \
    {                                                                                                        \
        "system", 0, TERN_TEXT, "TEXT", NULL, "system prompt", NULL                                          \
    }

/* Adapters as the command line names them. */
typedef struct tern_loras {
    char *paths[8];
    double weights[8];
    int count;
} tern_loras;

/* Those of --lora FILE[=X]; to be freed also after a failure. */
tern_status tern_loras_read(const tern_cli *cli, tern_loras *loras);
/* What TERN_MODEL_OPTIONS say; *options refers to *loras, which is to be freed also after a failure. */
tern_status tern_model_options(const tern_cli *cli, tern_loras *loras, tern_llm_options *options);
void tern_loras_free(tern_loras *loras);
/* --memory: a window of layers where the model does not fit otherwise. */
tern_status tern_model_fit(const tern_cli *cli, const char *path, tern_llm_options *options);

#define TERN_MOST_STOPS 16

/* A model that is ready to speak. */
typedef struct tern_language {
    tern_cli *cli;
    char path[4096];
    tern_loras loras;
    tern_speaker *speaker;
    tern_template *template; /* NULL: the model has none */
    tern_sampling sampling;
    int32_t *breakers;
    tern_logit_bias *bias;
    tern_grammar *grammar;
    tern_constraint *constraint; /* NULL: anything may be said */
    const char *stops[TERN_MOST_STOPS];
    int stop_count;
    double load_seconds;
    double resident_before; /* bytes of the process before loading */
} tern_language;

/* By the options above; close also after a failure. */
tern_status tern_language_open(tern_language *language, tern_cli *cli);
void tern_language_close(tern_language *language);

/* The chat template of --template, else the model's own; NULL: it has none. */
tern_status tern_language_template(tern_template **template, const tern_cli *cli, const tern_weights *weights,
                                   const char *model);

/* A request with the settings of the command line for at most so many tokens. */
tern_request tern_language_request(const tern_language *language, int most);

/* "31 tokens of prompt (12 of them known) at 480.1/s, 40 made at 160.2/s; .." on standard error, unless --quiet. */
void tern_language_summary(const tern_language *language, const tern_reply *reply);
json_t *tern_reply_json(const tern_language *language, const tern_reply *reply);

/* Text to standard output at once; fails when it can't be written. */
tern_status tern_say_text(void *context, const char *text, size_t size);

#endif
