/* tern: finds the command, parses, runs, and turns a failure into one line and an exit status. */
#include "cli/cli.h"

#include "kernel/kernel.h"

#include <errno.h>
#include <locale.h>
#include <string.h>

extern const tern_command tern_command_train, tern_command_eval, tern_command_run, tern_command_cost,
    tern_command_plan, tern_command_simulate, tern_command_emit, tern_command_data, tern_command_show,
    tern_command_convert, tern_command_chat, tern_command_list, tern_command_report, tern_command_probe,
    tern_command_search, tern_command_serve, tern_command_fit, tern_command_bench;

const tern_command *const tern_commands[] = {
    &tern_command_train,
    &tern_command_convert,
    &tern_command_eval,
    &tern_command_run,
    &tern_command_chat,
    &tern_command_serve,
    &tern_command_bench,
    &tern_command_cost,
    &tern_command_plan,
    &tern_command_simulate,
    &tern_command_emit,
    &tern_command_data,
    &tern_command_show,
    &tern_command_list,
    &tern_command_report,
    &tern_command_probe,
    &tern_command_search,
    &tern_command_fit,
    NULL,
};

static int report(tern_status status)
{
    if (status == TERN_OK) return 0;
    bool colour = tern_coloured(stderr);
    fprintf(stderr, "%stern:%s %s\n", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "",
            tern_message()[0] ? tern_message() : "failed");
    return status == TERN_NO_MEMORY ? 1 : (int)status;
}

/* Help; for a command and, where it is named, a net. */
static tern_status help(FILE *out, const tern_command *command, const tern_net *net)
{
    tern_text text = {0};
    tern_cli_help(&text, command, net);
    tern_status status = tern_text_status(&text);
    if (status == TERN_OK) fputs(text.data, out);
    tern_text_free(&text);
    return status;
}

static const tern_command *find_command(const char *name)
{
    for (int i = 0; tern_commands[i]; i++)
        if (strcmp(tern_commands[i]->name, name) == 0) return tern_commands[i];
    return NULL;
}

static tern_status unknown_command(const char *name)
{
    const char *known[TERN_CLI_MAX];
    size_t count = 0;
    for (; tern_commands[count]; count++) known[count] = tern_commands[count]->name;
    return tern_unknown("command", name, known, count);
}

static tern_status run(const tern_command *command, int argc, char **argv)
{
    tern_cli cli;
    TERN_TRY(tern_cli_parse(&cli, command, argc, argv));
    if (tern_cli_has(&cli, "help")) return help(stdout, command, cli.net);
    TERN_TRY(tern_isa_select(NULL));
    TERN_TRY(tern_pool_open(&cli.pool, cli.threads));
    tern_status status = command->run(&cli);
    tern_pool_close(cli.pool);
    return status;
}

/* argc >= 2. */
static tern_status dispatch(int argc, char **argv)
{
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        printf("tern %s\n", TERN_VERSION);
        return TERN_OK;
    }
    bool asks = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    if (asks && argc == 2) return help(stdout, NULL, NULL);
    const tern_command *command = find_command(asks ? argv[2] : word);
    if (!command) return unknown_command(asks ? argv[2] : word);
    return asks ? help(stdout, command, argc > 3 ? tern_net_find(argv[3]) : NULL)
                : run(command, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    json_set_alloc_funcs(tern_take, tern_release);
    if (argc < 2) {
        help(stderr, NULL, NULL);
        return TERN_USAGE;
    }
    int status = report(dispatch(argc, argv));
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (written || status) return status; /* one failure is told, the first */
    fprintf(stderr, "tern: cannot write to standard output: %s\n", strerror(errno));
    return TERN_FAILED;
}
