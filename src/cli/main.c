/* tern: finds the command, parses, runs, and turns a failure into one line and an exit status. */
#include "cli/cli.h"

#include "kernel/kernel.h"

#include <locale.h>
#include <string.h>

extern const tern_command tern_command_train, tern_command_eval, tern_command_cost, tern_command_plan,
    tern_command_data, tern_command_show, tern_command_list, tern_command_report;

const tern_command *const tern_commands[] = {
    &tern_command_train, &tern_command_eval,   &tern_command_cost,
    &tern_command_plan,  &tern_command_data,   &tern_command_show,
    &tern_command_list,  &tern_command_report, NULL,
};

static int report(tern_status status)
{
    if (status == TERN_OK) return 0;
    fprintf(stderr, "tern: %s\n", tern_message()[0] ? tern_message() : "failed");
    return status == TERN_NO_MEMORY ? 1 : (int)status;
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
    if (tern_cli_has(&cli, "help")) {
        tern_cli_help(stdout, command);
        return TERN_OK;
    }
    TERN_TRY(tern_isa_select(NULL));
    TERN_TRY(tern_pool_open(&cli.pool, cli.threads));
    tern_status status = command->run(&cli);
    tern_pool_close(cli.pool);
    return status;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    json_set_alloc_funcs(tern_take, tern_release);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        tern_cli_help(argc < 2 ? stderr : stdout, NULL);
        return argc < 2 ? TERN_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tern %s\n", TERN_VERSION);
        return 0;
    }
    bool help = strcmp(argv[1], "help") == 0;
    if (help && argc < 3) {
        tern_cli_help(stdout, NULL);
        return 0;
    }
    const tern_command *command = find_command(argv[help ? 2 : 1]);
    if (!command) return report(unknown_command(argv[help ? 2 : 1]));
    if (help) {
        tern_cli_help(stdout, command);
        return 0;
    }
    int status = report(run(command, argc - 2, argv + 2));
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "tern: cannot write to standard output: is the disk full?\n");
        return status ? status : TERN_FAILED;
    }
    return status;
}
