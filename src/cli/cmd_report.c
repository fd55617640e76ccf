/* tern report: a run folder as one page that opens anywhere; nets and machines as a roofline. */
#include "cli/report.h"
#include "cli/roofline.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", NULL,
     "the page (default: report.html in the run folder), or the picture (roofline.svg)", NULL},
    {"machine", 'm', TERN_TEXT, "M,..", "reference-45nm", "of a roofline: machines, joined by commas", NULL},
    {"operators", 0, TERN_FLAG, NULL, NULL,
     "of a roofline: draw operators instead of whole nets (always so for one net)", NULL},
    {"format", 0, TERN_TEXT, "F", "f32", "of a roofline: number format whose rates are the roofs", NULL},
    {"batch", 'b', TERN_WHOLE, "N", "1", "of a roofline: samples of a batch", "1..65536"},
    {"density", 0, TERN_NUMBER, "D", "0.1", "of a roofline: share of neurons that fire in a time step",
     "0..1"},
    TERN_INPUT_OPTION,
    {0},
};

/* Options of a roofline mean nothing for a run's page. */
static tern_status check(const tern_cli *cli)
{
    static const char *const others[] = {"machine", "operators", "format", "batch", "density", "input"};
    for (size_t i = 0; i < TERN_COUNT(others); i++)
        if (tern_cli_has(cli, others[i]))
            return tern_fail(TERN_USAGE, "report: --%s is for tern report roofline NET..", others[i]);
    if (cli->count > 1) return tern_fail(TERN_USAGE, "report: expected one run folder, or roofline NET..");
    return TERN_OK;
}

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
    if (strcmp(cli->arguments[0], "roofline") == 0) return tern_report_roofline(cli);
    TERN_TRY(check(cli));
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
    .about = "make one self-contained page of a run (curves, mistakes, examples, costs), or draw a roofline "
             "of nets and machines",
    .usage = "RUN | roofline [NET..]",
    .more = "tern report run/spiking-cnn -o report.html\ntern report roofline resnet --machine here -o "
            "roofline.svg\n"
            "tern report roofline cnn resnet vit --machine raspberry-pi-5,jetson-agx-orin,h100-sxm",
    .options = options,
    .least = 1,
    .most = 64,
    .run = run_report,
};
