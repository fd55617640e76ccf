/* tern probe: measure this computer and write its machine file. */
#include "cli/cli.h"
#include "machine/machine.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", NULL,
     "where to write (default: the user's data folder, as machine \"here\")", NULL},
    {0},
};

static tern_status run_probe(tern_cli *cli)
{
    char path[4096];
    const char *out = tern_cli_text(cli, "out");
    tern_text text = {0};
    if (!out) {
        TERN_TRY(tern_machine_here_path(path));
        char *slash = strrchr(path, '/');
        *slash = 0;
        TERN_TRY(tern_make_folder(path));
        *slash = '/';
        out = path;
    }
    if (!cli->quiet) fprintf(stderr, "measuring, about ten seconds\n");
    tern_status status = tern_probe(cli->pool, &text);
    if (status == TERN_OK) status = tern_write_file(out, text.data, text.size);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_pack("{s:s,s:s}", "file", out, "machine", text.data));
    else if (status == TERN_OK)
        printf("%s%s\n", text.data, out);
    tern_text_free(&text);
    return status;
}

const tern_command tern_command_probe = {
    .name = "probe",
    .about = "measure this computer and write its machine file, \"here\"",
    .usage = "",
    .more = "tern probe\ntern cost spiking-cnn --machine here",
    .options = options,
    .run = run_probe,
};
