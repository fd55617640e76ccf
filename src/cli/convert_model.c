/* tern convert MODEL --format NAME -o FILE: what each tensor becomes, its bytes and its error. */
#include "cli/convert_model.h"

#include "llm/convert.h"
#include "llm/hugging_face.h"
#include "llm/models.h"

#include <string.h>

typedef struct tern_totals {
    double old_bytes, bytes, elements;
} tern_totals;

static tern_totals totals_of(const tern_model_changes *changes)
{
    tern_totals t = {0};
    for (int i = 0; i < changes->count; i++) {
        t.old_bytes += changes->list[i].old_bytes;
        t.bytes += changes->list[i].bytes;
        t.elements += (double)tern_elements(&changes->list[i].shape);
    }
    return t;
}

static const char *format_of(const tern_model_change *c)
{
    return c->to == TERN_I8 && c->from != TERN_I8 ? "int8-outlier" : tern_dtype_of(c->to)->name;
}

static tern_status report_json(const char *path, const tern_model_changes *changes)
{
    json_t *list = json_array();
    tern_totals t = totals_of(changes);
    char shape[96];
    for (int i = 0; i < changes->count; i++) {
        const tern_model_change *c = &changes->list[i];
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:s,s:f,s:f,s:f,s:f,s:s?}", "name", c->name, "shape",
                            tern_shape_text(shape, &c->shape), "from", tern_dtype_of(c->from)->name, "to",
                            format_of(c), "old_bytes", c->old_bytes, "bytes", c->bytes, "error",
                            tern_recoding_error(&c->error), "largest_error", c->error.most, "why", c->why));
    }
    return tern_print_json(json_pack("{s:s,s:f,s:f,s:f,s:o}", "file", path, "old_bytes", t.old_bytes, "bytes",
                                     t.bytes, "bits_each", t.elements > 0 ? 8 * t.bytes / t.elements : 0,
                                     "tensors", list));
}

static tern_status report(const char *path, const tern_model_changes *changes)
{
    tern_grid grid = {0};
    tern_totals t = totals_of(changes);
    char shape[96], size[24], old[24];
    bool reasons = false;
    for (int i = 0; i < changes->count; i++) reasons |= changes->list[i].why != NULL;
    tern_grid_row(&grid, "tensor|shape|from|to|bytes|relative error|largest%s", reasons ? "|" : "");
    for (int i = 0; i < changes->count; i++) {
        const tern_model_change *c = &changes->list[i];
        tern_grid_row(&grid, "%s|%s|%s|%s|%s|%.3g|%.3g%s%s", c->name, tern_shape_text(shape, &c->shape),
                      tern_dtype_of(c->from)->name, format_of(c), tern_human(size, c->bytes, "B"),
                      tern_recoding_error(&c->error), c->error.most, reasons ? "|" : "",
                      c->why ? c->why : "");
    }
    TERN_TRY(tern_grid_print(&grid, stdout));
    printf("%s: %s, was %s; %.3f bits an element\n", path, tern_human(size, t.bytes, "B"),
           tern_human(old, t.old_bytes, "B"), t.elements > 0 ? 8 * t.bytes / t.elements : 0);
    return TERN_OK;
}

tern_status tern_convert_model(tern_cli *cli)
{
    const char *out = tern_cli_text(cli, "out"), *name = tern_cli_text(cli, "format");
    tern_model_format format = {.threshold = tern_cli_number(cli, "outlier-threshold"),
                                .lossy = tern_cli_has(cli, "lossy")};
    tern_model_changes changes;
    tern_weights weights;
    char path[4096];
    if (!out) return tern_fail(TERN_USAGE, "convert --format: expected --out FILE, .gguf or .safetensors");
    TERN_TRY(tern_model_format_find(name, &format));
    if (tern_cli_has(cli, "head-format"))
        TERN_TRY(tern_model_format_head(tern_cli_text(cli, "head-format"), &format));
    TERN_TRY(tern_model_find(path, cli->arguments[0]));
    if (strcmp(path, out) == 0)
        return tern_fail(TERN_USAGE, "%s would replace what it is made from: give another --out", out);
    TERN_TRY(tern_weights_open(&weights, path));
    tern_status status = tern_import_hugging_face(&weights);
    if (status == TERN_OK) status = tern_model_convert(&weights, &format, out, cli->pool, &changes);
    if (status == TERN_OK) {
        status = cli->json ? report_json(out, &changes) : report(out, &changes);
        tern_model_changes_free(&changes);
    }
    tern_weights_close(&weights);
    return status == TERN_OK ? status : tern_in(status, "%s", path);
}
