/* tern serve: a language model behind HTTP. */
#include "cli/language.h"
#include "serve/serve.h"

#include "llm/hugging_face.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const tern_cli_option options[] = {
    {"host", 0, TERN_TEXT, "ADDRESS", "127.0.0.1",
     "address to listen at; 0.0.0.0 lets other computers in, :: over IPv6 too", NULL},
    {"port", 'p', TERN_WHOLE, "N", "8080", "port to listen at; 0: any free one", "0..65535"},
    {"name", 0, TERN_TEXT, "NAME", NULL, "what clients call the model (default: what it is called here)",
     NULL},
    {"keys", 0, TERN_TEXT, "FILE", NULL,
     "file of the keys that clients may use, one a line (default: the key in TERN_API_KEY, if any)", NULL},
    {"embeddings", 0, TERN_TEXT, "MODEL", NULL, "a second model, for embeddings", NULL},
    {"requests", 0, TERN_WHOLE, "N", "64",
     "most requests that wait or run at a time; more are answered with status 429", "1..100000"},
    {"patience", 0, TERN_NUMBER, "SECONDS", "600", "most seconds for an answer, which is then cut short",
     "0.001..1e6"},
    {"arrival", 0, TERN_NUMBER, "SECONDS", "30",
     "most seconds for a request to arrive, and for silence on a connection", "0.1..1e6"},
    {"body", 0, TERN_BYTES, "BYTES", "4M", "most bytes of a request", NULL},
    {"connections", 0, TERN_WHOLE, "N", "1000", "most open connections", "1..100000"},
    {"log", 0, TERN_TEXT, "FILE", NULL,
     "append a line of JSON for each request, which says where its time went", NULL},
    {"template", 0, TERN_TEXT, "FILE", NULL, "chat template (Jinja) instead of the model's own", NULL},
    {"context", 'c', TERN_WHOLE, "N", "0",
     "tokens of a request, prompt and answer; 0: 2048, or the model's limit if that is less", "0..1000000"},
    {"parallel", 0, TERN_WHOLE, "N", "8", "how many answers are made at the same time", "1..1024"},
    {"cache", 0, TERN_PICK, "FORMAT", "f32", "number format of the keys and values in the cache",
     "f32|f16|q8_0"},
    {"cache-tokens", 0, TERN_WHOLE, "N", "0",
     "tokens of all requests that the cache has room for; 0: twice the context", "0..100000000"},
    {"chunk", 0, TERN_WHOLE, "N", "256", "how many tokens are computed at once", "1..4096"},
    {"lora", 0, TERN_TEXT, "FILE[=X]", NULL,
     "add a LoRA adapter, scaled by X (default 1); may be given several times", NULL},
    {"huge-pages", 0, TERN_FLAG, NULL, NULL, TERN_HUGE_PAGES_HELP, NULL},
    {"reference", 0, TERN_FLAG, NULL, NULL, "use the reference kernels only: slow, and exact", NULL},
    {0},
};

enum { MOST_KEYS = 256 };

/* All that a server stands on. */
typedef struct tern_serving {
    tern_batch *batch; /* NULL: the model makes embeddings alone */
    tern_template *template;
    tern_loras loras;
    tern_server_options o;
    char name[256], encoder_name[256];
    tern_weights weights; /* of the encoder */
    tern_transformer about;
    tern_tokenizer *tokenizer;
    char *key_file;
    FILE *log;
    const char *keys[MOST_KEYS];
} tern_serving;

/* The name of a file without its folder and .gguf. */
static void name_of(char out[256], const char *argument)
{
    const char *slash = strrchr(argument, '/');
    snprintf(out, 256, "%s", slash && slash[1] ? slash + 1 : argument);
    size_t length = strlen(out);
    if (length > 5 && strcmp(out + length - 5, ".gguf") == 0) out[length - 5] = 0;
}

/* Keys of the file, one a line, or of the environment. */
static tern_status read_keys(tern_serving *s, const tern_cli *cli)
{
    const char *path = tern_cli_text(cli, "keys"), *own = getenv("TERN_API_KEY");
    size_t size;
    s->o.keys = path || (own && *own) ? s->keys : NULL;
    if (!path) {
        if (s->o.keys) s->keys[s->o.key_count++] = own;
        return TERN_OK;
    }
    TERN_TRY(tern_read_file(path, &s->key_file, &size));
    for (char *at = s->key_file, *end; *at; at = end) {
        size_t length = strcspn(at, "\r\n");
        end = at + length + strspn(at + length, "\r\n");
        at[length] = 0;
        if (!length) continue;
        if (s->o.key_count == MOST_KEYS)
            return tern_fail(TERN_USAGE, "%s: more than %d keys", path, MOST_KEYS);
        s->keys[s->o.key_count++] = at;
    }
    return s->o.key_count ? TERN_OK : tern_fail(TERN_USAGE, "%s: there is no key in it", path);
}

static tern_status load_encoder(tern_serving *s, const char *path)
{
    TERN_TRY(tern_weights_open(&s->weights, path));
    TERN_TRY(tern_import_hugging_face(&s->weights));
    TERN_TRY(tern_transformer_read(&s->about, &s->weights));
    return tern_tokenizer_read(&s->tokenizer, path);
}

/* The model of --embeddings. */
static tern_status open_encoder(tern_serving *s, const char *name)
{
    char path[4096];
    TERN_TRY(tern_model_find(path, name));
    tern_status status = load_encoder(s, path);
    if (status != TERN_OK) return tern_in(status, "%s", path);
    if (!s->about.architecture->encoder)
        return tern_fail(TERN_USAGE, "%s is no encoder: embeddings come from bert", path);
    name_of(s->encoder_name, name);
    s->o.encoder = (tern_server_encoder){s->encoder_name, &s->about, s->tokenizer};
    return TERN_OK;
}

static tern_status is_encoder(bool *encoder, const char *name)
{
    char path[4096];
    tern_weights w = {0};
    tern_transformer about = {0};
    TERN_TRY(tern_model_find(path, name));
    tern_status status = tern_weights_open(&w, path);
    if (status == TERN_OK) status = tern_import_hugging_face(&w);
    if (status == TERN_OK) status = tern_transformer_read(&about, &w);
    *encoder = status == TERN_OK && about.architecture->encoder;
    tern_weights_close(&w);
    return tern_in(status, "%s", path);
}

/* The model that speaks, and its template. */
static tern_status open_batch(tern_serving *s, const tern_cli *cli)
{
    static const tern_dtype formats[] = {TERN_F32, TERN_F16, TERN_Q8_0};
    char path[4096];
    TERN_TRY(tern_loras_read(cli, &s->loras));
    TERN_TRY(tern_model_find(path, cli->arguments[0]));
    tern_batch_options o = {.sequences = tern_cli_whole(cli, "parallel"),
                            .context = tern_cli_whole(cli, "context"),
                            .chunk = tern_cli_whole(cli, "chunk"),
                            .cache_tokens = tern_cli_whole(cli, "cache-tokens"),
                            .cache = formats[tern_cli_pick(cli, "cache")],
                            .reference = tern_cli_has(cli, "reference"),
                            .copied = tern_cli_has(cli, "huge-pages"),
                            .loras = (const char *const *)s->loras.paths,
                            .lora_weights = s->loras.weights,
                            .lora_count = s->loras.count,
                            .pool = cli->pool};
    TERN_TRY(tern_batch_open(&s->batch, path, &o));
    TERN_TRY(tern_language_template(&s->template, cli, tern_llm_weights(tern_batch_model(s->batch)), path));
    s->o.template = s->template;
    return TERN_OK;
}

static tern_status load(tern_serving *s, tern_cli *cli)
{
    bool encoder;
    const char *model = cli->arguments[0], *second = tern_cli_text(cli, "embeddings");
    double body;
    TERN_TRY(tern_parse_bytes(tern_cli_text(cli, "body"), &body));
    s->o = (tern_server_options){.host = tern_cli_text(cli, "host"),
                                 .port = tern_cli_whole(cli, "port"),
                                 .most_requests = tern_cli_whole(cli, "requests"),
                                 .most_body = (size_t)body,
                                 .most_connections = tern_cli_whole(cli, "connections"),
                                 .arrival = tern_cli_number(cli, "arrival"),
                                 .patience = tern_cli_number(cli, "patience"),
                                 .seed = cli->seed,
                                 .pool = cli->pool};
    name_of(s->name, model);
    s->o.name = tern_cli_has(cli, "name") ? tern_cli_text(cli, "name") : s->name;
    TERN_TRY(read_keys(s, cli));
    TERN_TRY(is_encoder(&encoder, model));
    if (encoder && second)
        return tern_fail(TERN_USAGE, "%s makes embeddings itself: --embeddings is for models that speak",
                         model);
    if (encoder || second) TERN_TRY(open_encoder(s, encoder ? model : second));
    if (encoder) return TERN_OK;
    return open_batch(s, cli);
}

static tern_status announce(const tern_serving *s, const tern_cli *cli, const tern_server *server)
{
    const char *name = s->batch ? s->o.name : s->encoder_name;
    bool colons = strchr(s->o.host, ':') != NULL;
    tern_text url = {0};
    tern_text_format(&url, "http://%s%s%s:%d", colons ? "[" : "", s->o.host, colons ? "]" : "",
                     tern_server_port(server));
    tern_status status = tern_text_status(&url);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(
            json_pack("{s:s,s:s,s:i}", "model", name, "url", url.data, "port", tern_server_port(server)));
    fflush(stdout);
    if (status == TERN_OK && !cli->quiet && !cli->json)
        fprintf(stderr, "%s at %s, OpenAI's API below %s/v1; Ctrl-C ends it\n", name, url.data, url.data);
    tern_text_free(&url);
    return status;
}

static tern_status open_log(tern_serving *s, const tern_cli *cli)
{
    const char *path = tern_cli_text(cli, "log");
    if (!path) return TERN_OK;
    s->log = s->o.log = fopen(path, "a");
    return s->log ? TERN_OK : tern_fail(TERN_FAILED, "--log: cannot write %s: %s", path, strerror(errno));
}

/* A disk that is full is told at the end. */
static tern_status close_log(tern_serving *s, const tern_cli *cli, tern_status status)
{
    if (!s->log) return status;
    bool failed = ferror(s->log) != 0;
    failed |= fclose(s->log) != 0;
    if (!failed || status != TERN_OK) return status;
    return tern_fail(TERN_FAILED, "--log: %s could not be written to its end", tern_cli_text(cli, "log"));
}

static tern_status run_serve(tern_cli *cli)
{
    tern_server *server = NULL;
    tern_serving *s = tern_take(sizeof *s);
    if (!s) return tern_no_memory(sizeof *s, "a server");
    tern_status status = load(s, cli);
    if (status == TERN_OK) status = open_log(s, cli);
    if (status == TERN_OK) status = tern_server_open(&server, s->batch, &s->o);
    if (status == TERN_OK) status = announce(s, cli, server);
    if (status == TERN_OK) tern_server_run(server);
    tern_server_close(server);
    status = close_log(s, cli, status);
    tern_template_close(s->template);
    tern_batch_close(s->batch);
    tern_loras_free(&s->loras);
    tern_tokenizer_close(s->tokenizer);
    tern_weights_close(&s->weights);
    tern_release(s->key_file);
    tern_release(s);
    return status;
}

const tern_command tern_command_serve = {
    .name = "serve",
    .about = "serve a language model over HTTP, with OpenAI's API",
    .usage = "MODEL",
    .more = "tern serve smollm2\n"
            "tern serve smollm2 --embeddings minilm.gguf --host 0.0.0.0 --keys keys.txt\n"
            "curl http://127.0.0.1:8080/v1/chat/completions \\\n"
            "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n"
            "\n"
            "Paths: POST /v1/chat/completions and /v1/completions (both also with \"stream\"), POST "
            "/v1/embeddings;\n"
            "GET / (a chat page), /v1/models, /health, and /metrics (for Prometheus: where the time of "
            "requests goes).\n"
            "\n"
            "Besides the fields of OpenAI's API a request may have top_k, min_p, typical_p, repeat_penalty, "
            "penalty_last,\n"
            "dry_multiplier, dry_base, dry_allowed, mirostat, mirostat_tau, mirostat_eta and grammar (GBNF); "
            "a JSON schema is a\n"
            "response_format.  Unknown fields are refused.  With use_beam_search the n answers are the texts "
            "that are likeliest as a\n"
            "whole, of best_of beams (default n), which count towards --parallel; length_penalty and "
            "early_stopping are as for\n"
            "tern run --beams.\n"
            "\n"
            "Up to --parallel answers are made at the same time.  A client that leaves, or closes its end "
            "for writing, gets no further\n"
            "answer.  SIGINT and SIGTERM end the server once the requests that it holds are answered.  With "
            "keys, every path but\n"
            "/health needs the header \"Authorization: Bearer KEY\"; without keys, requests from web pages "
            "of other origins are refused.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run_serve,
};
