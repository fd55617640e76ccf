/* tern probe: measure this computer and write its machine file. */
#include "cli/cli.h"
#include "machine/machine.h"
#include "machine/opencl.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", NULL,
     "where to write (default: the user's data folder, as machine \"here\")", NULL},
    {"quick", 0, TERN_FLAG, NULL, NULL, "fewer and shorter runs", NULL},
    {"only", 0, TERN_TEXT, "PARTS", NULL,
     "measure and print only these, joined by commas: rates, cache, bw, disk, links, kernels", NULL},
    {"disk", 0, TERN_TEXT, "FOLDER", ".", "a folder on the disk to measure", NULL},
    {"mpi", 0, TERN_FLAG, NULL, NULL,
     "also measure messages and sums between two ranks of Open MPI: mpirun -n 2 tern probe --mpi", NULL},
    {"opencl", 0, TERN_FLAG, NULL, NULL,
     "measure an OpenCL device (a graphics processor, or this processor through PoCL) instead; --out writes "
     "its machine file",
     NULL},
    {"device", 0, TERN_TEXT, "NAME", NULL,
     "with --opencl: the device whose name contains this (default: the first accelerator, else the first "
     "device)",
     NULL},
    {"compare", 0, TERN_FLAG, NULL, NULL,
     "compare two machine files of tern probe: the share of figures that agree", NULL},
    {"within", 0, TERN_NUMBER, "SHARE", "0.1",
     "with --compare: how much figures may differ and still agree, as a share", "0..10"},
    {0},
};

static const tern_exclusion exclusions[] = {
    {"compare", "out", "--compare measures nothing"},
    {"compare", "quick", "--compare measures nothing"},
    {"compare", "only", "--compare measures nothing"},
    {"compare", "disk", "--compare measures nothing"},
    {"only", "out", "a machine file has all parts"},
    {"compare", "opencl", "--compare measures nothing"},
    {"compare", "mpi", "--compare measures nothing"},
    {"opencl", "mpi", "a device has no ranks"},
    {"opencl", "only", "all of a device is measured"},
    {"opencl", "disk", "an OpenCL device has no disk"},
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
    if (probe->kernel_count) printf("%d kernels measured\n", probe->kernel_count);
    if (!path) return TERN_OK;
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

/* "rates,disk" as parts. */
static tern_status read_parts(const char *text, unsigned *parts)
{
    static const struct {
        const char *name;
        unsigned part;
    } known[] = {{"rates", TERN_PROBE_RATES},    {"flops", TERN_PROBE_RATES}, {"cache", TERN_PROBE_CACHES},
                 {"bw", TERN_PROBE_MEMORY},      {"disk", TERN_PROBE_DISK},   {"links", TERN_PROBE_LINKS},
                 {"kernels", TERN_PROBE_KERNELS}};
    for (const char *at = text; at && *at;) {
        size_t length = strcspn(at, ","), k = 0;
        while (k < TERN_COUNT(known) &&
               (strlen(known[k].name) != length || strncmp(known[k].name, at, length) != 0))
            k++;
        if (k == TERN_COUNT(known))
            return tern_fail(TERN_USAGE,
                             "--only: expected rates, cache, bw, disk, links or kernels, found \"%.*s\"",
                             (int)(length < 40 ? length : 40), at);
        *parts |= known[k].part;
        at += length + (at[length] == ',');
    }
    return TERN_OK;
}

/* ---- two files ------------------------------------------------------------------------------------------------- */

static tern_status print_agreement(const tern_cli *cli, const tern_agreement *rows, int count, int within)
{
    double by = tern_cli_number(cli, "within"), share = (double)within / count;
    tern_grid t = {0};
    char a[24], b[24];
    if (cli->json) {
        json_t *others = json_array();
        for (int i = 0; i < count - within; i++)
            json_array_append_new(others,
                                  json_pack("{s:s,s:s,s:f,s:f}", "name", rows[i].name, "unit", rows[i].unit,
                                            "first", rows[i].first, "second", rows[i].second));
        return tern_print_json(json_pack("{s:i,s:i,s:f,s:f,s:o}", "figures", count, "within", within, "share",
                                         share, "by", by, "others", others));
    }
    tern_grid_row(&t, "figure|first|second|ratio");
    for (int i = 0; i < count - within; i++)
        tern_grid_row(&t, "%s|%s|%s|%.3f", rows[i].name, tern_human(a, rows[i].first, rows[i].unit),
                      tern_human(b, rows[i].second, rows[i].unit), rows[i].second / rows[i].first);
    tern_status status = within < count ? tern_grid_print(&t, stdout) : TERN_OK;
    tern_grid_free(&t);
    printf("%d of %d figures agree within %g %%: %.1f %%\n", within, count, 100 * by, 100 * share);
    return status;
}

static tern_status compare(tern_cli *cli)
{
    tern_machine *a = NULL, *b = NULL;
    int within = 0, count = 0;
    if (cli->count != 2) return tern_fail(TERN_USAGE, "probe --compare: expected two machine files");
    TERN_TRY(tern_machine_open(&a, cli->arguments[0]));
    tern_status status = tern_machine_open(&b, cli->arguments[1]);
    tern_agreement *rows = NULL;
    if (status == TERN_OK) {
        rows = tern_take_array((size_t)(a->measured_count + 2 * a->kernel_count) + 1, sizeof *rows);
        if (!rows) status = tern_no_memory(sizeof *rows, "a comparison");
    }
    if (rows) count = tern_probe_compare(a, b, tern_cli_number(cli, "within"), rows, &within);
    if (rows && !count)
        status = tern_fail(TERN_FAILED, "%s and %s have no figure in common that tern probe measured",
                           cli->arguments[0], cli->arguments[1]);
    if (status == TERN_OK) status = print_agreement(cli, rows, count, within);
    tern_release(rows);
    tern_machine_close(a);
    tern_machine_close(b);
    return status;
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

static json_t *kernels_json(const tern_probe *probe)
{
    json_t *all = json_array();
    for (int i = 0; i < probe->kernel_count; i++) {
        const tern_kernel_point *k = &probe->kernels[i];
        json_array_append_new(all, json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}",
                                             "kernel", k->kernel, "m", k->m, "n", k->n, "k", k->k, "count",
                                             k->count, "density", k->density, "bytes", k->bytes, "written",
                                             k->written, "operations", k->operations, "spread", k->spread,
                                             "median", k->median, "lower_quartile", k->lower,
                                             "upper_quartile", k->upper, "far", k->far));
    }
    return all;
}

/* The machine file; "" where none is wanted. */
static tern_status write_machine(const tern_probe *probe, const char *path,
                                 tern_status (*write)(const tern_probe *, tern_text *), tern_text *text)
{
    tern_machine *m = NULL;
    if (!path) return TERN_OK;
    TERN_TRY(write(probe, text));
    TERN_TRY(tern_machine_parse(&m, text->data, text->size, path)); /* it can be read again */
    tern_machine_close(m);
    return tern_write_file(path, text->data, text->size);
}

static tern_status print(tern_cli *cli, const tern_probe *probe, const char *out, const tern_text *text)
{
    if (!cli->json) return print_figures(probe, out);
    return tern_print_json(json_pack("{s:s,s:s,s:f,s:f,s:o,s:o,s:s}", "file", out ? out : "", "processor",
                                     probe->processor, "seconds", probe->seconds, "foreign_share",
                                     probe->foreign_share, "figures", figures_json(probe), "kernels",
                                     kernels_json(probe), "machine", text->data ? text->data : ""));
}

static tern_status measure(tern_cli *cli, const char *out, const tern_probe_options *how, tern_probe *probe)
{
    tern_text text = {0};
    TERN_TRY(tern_probe_run(probe, cli->pool, how));
    if (probe->rank > 0) return TERN_OK; /* rank 0 has it all */
    tern_status status = write_machine(probe, out, tern_probe_write, &text);
    if (status == TERN_OK) status = print(cli, probe, out, &text);
    tern_text_free(&text);
    return status;
}

static tern_status measure_opencl(tern_cli *cli, const char *out, tern_probe *probe)
{
    tern_opencl_options how = {.quick = tern_cli_has(cli, "quick"),
                               .quiet = cli->quiet || cli->json,
                               .device = tern_cli_text(cli, "device")};
    tern_text text = {0};
    TERN_TRY(tern_opencl_probe(probe, &how));
    tern_status status = write_machine(probe, out, tern_opencl_write, &text);
    if (status == TERN_OK) status = print(cli, probe, out, &text);
    tern_text_free(&text);
    return status;
}

static tern_status run_probe(tern_cli *cli)
{
    char path[4096];
    const char *out = tern_cli_text(cli, "out"), *only = tern_cli_text(cli, "only");
    tern_probe_options how = {.quick = tern_cli_has(cli, "quick"),
                              .quiet = cli->quiet || cli->json,
                              .mpi = tern_cli_has(cli, "mpi"),
                              .folder = tern_cli_text(cli, "disk")};
    if (tern_cli_has(cli, "compare")) return compare(cli);
    if (cli->count) return tern_fail(TERN_USAGE, "probe: expected no arguments; files go with --compare");
    TERN_TRY(read_parts(only, &how.parts));
    if (tern_cli_text(cli, "device") && !tern_cli_has(cli, "opencl"))
        return tern_fail(TERN_USAGE, "probe --device: chooses an OpenCL device: give --opencl, too");
    if (!out && !only && !tern_cli_has(cli, "opencl")) {
        TERN_TRY(here(path));
        out = path;
    }
    tern_probe *probe = tern_take(sizeof *probe);
    if (!probe) return tern_no_memory(sizeof *probe, "the probe");
    tern_catch_interrupts();
    tern_status status =
        tern_cli_has(cli, "opencl") ? measure_opencl(cli, out, probe) : measure(cli, out, &how, probe);
    tern_probe_close(probe);
    tern_release(probe);
    return status;
}

const tern_command tern_command_probe = {
    .name = "probe",
    .about = "measure this computer, and write its machine file, \"here\"",
    .usage = "[--compare FIRST SECOND]",
    .more = "tern probe\ntern cost spiking-cnn --machine here\ntern probe --only rates,bw\n"
            "tern probe --compare first.yaml second.yaml\ntern probe --opencl -o gpu.yaml\n"
            "mpirun -n 2 --bind-to none tern probe --mpi",
    .options = options,
    .exclusions = exclusions,
    .most = 2,
    .run = run_probe,
};
