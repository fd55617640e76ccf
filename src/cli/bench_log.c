/* tern bench --log and --events: what other programs wrote down, times by operator of llama.cpp or MLC, or events of any. */
#include "cli/bench_report.h"

#include "llm/ggml_log.h"
#include "llm/mlc_log.h"

static tern_status print_ggml(const tern_cli *cli, const tern_ggml_log *log)
{
    tern_grid grid = {0};
    if (cli->json) {
        json_t *list = json_array();
        for (int i = 0; i < log->operator_count; i++) {
            const tern_ggml_operator *o = &log->operators[i];
            json_array_append_new(list, json_pack("{s:s,s:i,s:f,s:i,s:f,s:f}", "operator", o->name,
                                                  "evaluations", o->evaluations, "milliseconds", o->total,
                                                  "nodes", o->nodes, "processor_milliseconds", o->processor,
                                                  "wall_milliseconds", o->wall));
        }
        return tern_print_json(json_pack("{s:i,s:f,s:i,s:i,s:i,s:o}", "tensors", log->tensors, "elements",
                                         log->elements, "graphs", log->graphs, "nodes", log->nodes,
                                         "total_lines", log->totals, "operators", list));
    }
    tern_grid_row(&grid, "operator|evaluations|ms|nodes|processor ms|wall ms");
    for (int i = 0; i < log->operator_count; i++) {
        const tern_ggml_operator *o = &log->operators[i];
        tern_grid_row(&grid, "%s|%d|%.3f|%d|%.3f|%.3f", o->name, o->evaluations, o->total, o->nodes,
                      o->processor, o->wall);
    }
    TERN_TRY(tern_grid_print(&grid, stdout));
    printf("%d tensors of %.4g elements, %d graphs with %d nodes, %d totals of operators\n", log->tensors,
           log->elements, log->graphs, log->nodes, log->totals);
    return TERN_OK;
}

static tern_status ggml(const tern_cli *cli, const char *text, size_t size, const char *path)
{
    tern_ggml_log *log = tern_take(sizeof *log);
    if (!log) return tern_no_memory(sizeof *log, "a log");
    tern_status status = tern_ggml_log_parse(log, text, size, path);
    if (status == TERN_OK) status = print_ggml(cli, log);
    tern_release(log);
    return status;
}

static tern_status print_mlc(const tern_cli *cli, const tern_mlc_log *log)
{
    tern_grid grid = {0};
    double all = 0;
    if (cli->json) {
        json_t *list = json_array();
        for (int i = 0; i < log->count; i++) {
            const tern_mlc_operator *o = &log->operators[i];
            json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:f,s:f}", "function", o->function,
                                                  "operator", o->name, "device", o->device, "calls", o->calls,
                                                  "milliseconds", o->microseconds / 1e3));
        }
        return tern_print_json(
            json_pack("{s:i,s:i,s:o}", "reports", log->reports, "entries", log->entries, "operators", list));
    }
    tern_grid_row(&grid, "function|operator|device|calls|ms");
    for (int i = 0; i < log->count; i++) {
        const tern_mlc_operator *o = &log->operators[i];
        all += o->microseconds / 1e3;
        tern_grid_row(&grid, "%s|%s|%s|%.0f|%.3f", o->function, o->name, o->device, o->calls,
                      o->microseconds / 1e3);
    }
    TERN_TRY(tern_grid_print(&grid, stdout));
    printf("%d reports with %d entries, %.3f ms\n", log->reports, log->entries, all);
    return TERN_OK;
}

static tern_status mlc(const tern_cli *cli, const char *text, size_t size, const char *path)
{
    tern_mlc_log log = {0};
    tern_status status = tern_mlc_log_parse(&log, text, size, path);
    if (status == TERN_OK) status = print_mlc(cli, &log);
    tern_mlc_log_free(&log);
    return status;
}

tern_status tern_bench_log(const tern_cli *cli, const char *path)
{
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(path, &text, &size));
    tern_status status =
        tern_mlc_log_is(text, size) ? mlc(cli, text, size, path) : ggml(cli, text, size, path);
    tern_release(text);
    return status;
}

tern_status tern_bench_told(const tern_cli *cli, const char *path)
{
    tern_bench bench = {0};
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(path, &text, &size));
    tern_status status = tern_bench_events(&bench, text, size, path);
    if (status == TERN_OK) status = tern_bench_print_told(cli, &bench);
    if (status == TERN_OK && tern_cli_has(cli, "csv"))
        status = tern_bench_csv(&bench, tern_cli_text(cli, "csv"));
    tern_release(text);
    tern_bench_free(&bench);
    return status;
}
