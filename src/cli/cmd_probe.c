/* tern probe: measure this computer and write its machine file. */
#include "cli/cli.h"
#include "machine/machine.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", NULL,
     "where to write (default: the user's data folder, as machine \"here\")", NULL},
    {"quick", 0, TERN_FLAG, NULL, NULL, "fewer and shorter runs", NULL},
    {0},
};

static json_t *figures_json(const tern_probe *probe)
{
    json_t *all = json_array();
    for (int i = 0; i < probe->count; i++) {
        const tern_figure *f = &probe->figures[i];
        json_array_append_new(all, json_pack("{s:s,s:s,s:i,s:f,s:f,s:f,s:i,s:s,s:s}", "name", f->name,
                                             "level", f->level, "threads", f->threads, "median", f->median,
                                             "lower_quartile", f->lower, "upper_quartile", f->upper, "runs",
                                             f->runs, "unit", f->unit, "method", f->method));
    }
    return all;
}

static tern_status print_figures(const tern_probe *probe, const char *path)
{
    tern_grid t = {0};
    char median[24], lower[24], upper[24];
    tern_grid_row(&t, "memory|figure|threads|median|lower quartile|upper quartile");
    for (int i = 0; i < probe->count; i++) {
        const tern_figure *f = &probe->figures[i];
        tern_grid_row(&t, "%s|%s|%d|%s|%s|%s", f->level, f->name, f->threads,
                      tern_human(median, f->median, f->unit), tern_human(lower, f->lower, f->unit),
                      tern_human(upper, f->upper, f->unit));
    }
    printf("%s, %d threads\n", probe->processor, probe->threads);
    TERN_TRY(tern_grid_print(&t, stdout));
    if (probe->foreign_share >= 0)
        printf("other programs used %.1f %% of the processors meanwhile%s\n", 100 * probe->foreign_share,
               probe->foreign_share > 0.05
                   ? ": figures of all threads may be off; measure again on a quiet computer"
                   : "");
    printf("written to %s; tern cost NET --machine %s uses it\n", path,
           strcmp(path + strlen(path) - strlen("/here.yaml"), "/here.yaml") == 0 ? "here" : path);
    return TERN_OK;
}

/* The default place, whose folder is made. */
static tern_status here(char path[4096])
{
    TERN_TRY(tern_machine_here_path(path));
    char *slash = strrchr(path, '/');
    *slash = 0;
    tern_status status = tern_make_folder(path);
    *slash = '/';
    return status;
}

static tern_status run_probe(tern_cli *cli)
{
    char path[4096];
    const char *out = tern_cli_text(cli, "out");
    tern_text text = {0};
    tern_probe probe;
    tern_machine *m = NULL;
    if (!out) {
        TERN_TRY(here(path));
        out = path;
    }
    tern_catch_interrupts();
    tern_probe_options how = {.quick = tern_cli_has(cli, "quick"), .quiet = cli->quiet || cli->json};
    TERN_TRY(tern_probe_run(&probe, cli->pool, &how));
    tern_status status = tern_probe_write(&probe, &text);
    if (status == TERN_OK)
        status = tern_machine_parse(&m, text.data, text.size, out); /* it can be read again */
    if (status == TERN_OK) status = tern_write_file(out, text.data, text.size);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_pack(
            "{s:s,s:s,s:f,s:f,s:o,s:s}", "file", out, "processor", probe.processor, "seconds", probe.seconds,
            "foreign_share", probe.foreign_share, "figures", figures_json(&probe), "machine", text.data));
    else if (status == TERN_OK)
        status = print_figures(&probe, out);
    tern_machine_close(m);
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
