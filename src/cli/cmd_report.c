/* tern report: a run folder as one page that opens anywhere. */
#include "cli/report.h"

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", NULL, "the page (default: report.html in the run folder)", NULL},
    {0},
};

static json_t *missing(const tern_report *r)
{
    json_t *list = json_array();
    if (!r->config) json_array_append_new(list, json_string("config.json"));
    if (!r->history) json_array_append_new(list, json_string("history.jsonl"));
    if (!r->eval) json_array_append_new(list, json_string("eval.json"));
    if (!r->cost) json_array_append_new(list, json_string("cost.json"));
    return list;
}

static tern_status run_report(tern_cli *cli)
{
    tern_report report;
    tern_text page = {0};
    char standard[4096];
    const char *out = tern_cli_text(cli, "out");
    TERN_TRY(tern_report_open(&report, cli->arguments[0]));
    tern_status status = out ? TERN_OK : tern_run_path(standard, report.folder, "report.html");
    if (!out) out = standard;
    if (status == TERN_OK) status = tern_report_page(&page, &report);
    if (status == TERN_OK) status = tern_write_file(out, page.data, page.size);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_pack("{s:s,s:I,s:o}", "report", out, "bytes", (json_int_t)page.size,
                                           "missing", missing(&report)));
    else if (status == TERN_OK)
        printf("%s: %zu bytes\n", out, page.size);
    tern_text_free(&page);
    tern_report_close(&report);
    return status;
}

const tern_command tern_command_report = {
    .name = "report",
    .about = "make one self-contained page of a run: curves, mistakes, examples, costs",
    .usage = "RUN",
    .more = "tern report run/spiking-cnn -o report.html",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run_report,
};
