/* tern serve: a language model behind HTTP. */
#include "cli/language.h"
#include "serve/serve.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"host", 0, TERN_TEXT, "ADDRESS", "127.0.0.1",
     "where to listen; 0.0.0.0 lets other computers in, :: over IPv6 too", NULL},
    {"port", 'p', TERN_WHOLE, "N", "8080", "port to listen at; 0: any that is free", "0..65535"},
    {"name", 0, TERN_TEXT, "NAME", NULL, "what clients call the model (default: what it is called here)",
     NULL},
    {"template", 0, TERN_TEXT, "FILE", NULL, "chat template (Jinja) instead of the model's own", NULL},
    TERN_MODEL_OPTIONS,
    {0},
};

/* The name of a file without its folder and .gguf. */
static void name_of(char out[256], const char *argument)
{
    const char *slash = strrchr(argument, '/');
    snprintf(out, 256, "%s", slash && slash[1] ? slash + 1 : argument);
    size_t length = strlen(out);
    if (length > 5 && strcmp(out + length - 5, ".gguf") == 0) out[length - 5] = 0;
}

static tern_status announce(const tern_cli *cli, const tern_server *server, const char *name)
{
    const char *host = tern_cli_text(cli, "host");
    bool colons = strchr(host, ':') != NULL;
    tern_text url = {0};
    tern_text_format(&url, "http://%s%s%s:%d", colons ? "[" : "", host, colons ? "]" : "",
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

static tern_status run_serve(tern_cli *cli)
{
    tern_language l = {0};
    char name[256];
    tern_server *server = NULL;
    name_of(name, cli->arguments[0]);
    tern_status status = tern_language_load(&l, cli, 0);
    tern_server_options o = {.host = tern_cli_text(cli, "host"),
                             .port = tern_cli_whole(cli, "port"),
                             .name = tern_cli_has(cli, "name") ? tern_cli_text(cli, "name") : name,
                             .template = l.template};
    if (status == TERN_OK) status = tern_server_open(&server, l.speaker, &o);
    if (status == TERN_OK) status = announce(cli, server, o.name);
    if (status == TERN_OK) tern_server_run(server);
    tern_server_close(server);
    tern_language_close(&l);
    return status;
}

const tern_command tern_command_serve = {
    .name = "serve",
    .about = "a language model behind HTTP, spoken to as OpenAI's API is",
    .usage = "MODEL",
    .more = "tern serve smollm2\n"
            "curl http://127.0.0.1:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\", "
            "\"content\": \"Hello\"}]}'\n"
            "\n"
            "Paths: /v1/chat/completions, /v1/completions, /v1/models, /health.  One request is answered "
            "after the\n"
            "other.  SIGINT and SIGTERM end the server when the requests that it has are answered.",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run_serve,
};
