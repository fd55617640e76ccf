/* tern show MODEL --embed TEXT | --outliers FILE: what a model makes of a text: its embedding, and the columns of activations
 * that hold outliers. */
#include "cli/reader.h"
#include "cli/show_model.h"

#include <string.h>

static tern_status print_embedding(const tern_cli *cli, const tern_reader *r)
{
    int width = r->about.width;
    float *vector = tern_take_array((size_t)width, sizeof *vector);
    if (!vector) return tern_no_memory((size_t)width * sizeof *vector, "an embedding");
    tern_status status =
        tern_embed_text(&r->about, r->ids.ids, (int)r->ids.count, TERN_POOL_MEAN, true, cli->pool, vector);
    if (status == TERN_OK && cli->json) {
        json_t *list = json_array();
        for (int i = 0; i < width; i++) json_array_append_new(list, json_real((double)vector[i]));
        status = tern_print_json(json_pack("{s:i,s:o}", "tokens", (int)r->ids.count, "embedding", list));
    } else if (status == TERN_OK) {
        for (int i = 0; i < width; i++)
            printf("%.7g%c", (double)vector[i], i % 8 == 7 || i + 1 == width ? '\n' : ' ');
    }
    tern_release(vector);
    return status;
}

tern_status tern_show_embedding(const tern_cli *cli, const char *path)
{
    tern_reader r = {0};
    const char *text = tern_cli_text(cli, "embed");
    tern_status status = tern_reader_open(&r, path, text, strlen(text));
    if (status == TERN_OK) status = print_embedding(cli, &r);
    tern_reader_close(&r);
    return status;
}

static tern_status print_outliers(const tern_cli *cli, const tern_outlier_report *o)
{
    json_t *list = json_array();
    tern_grid table = {0};
    tern_grid_row(&table, "read by|column|layers|positions|largest");
    for (int i = 0; i < o->count; i++) {
        const tern_outlier_column *c = &o->list[i];
        const char *input = c->input ? c->input : "attention and feed-forward (normed rows)";
        if (cli->json)
            json_array_append_new(list, json_pack("{s:s?,s:i,s:f,s:f,s:f}", "input", c->input, "column",
                                                  c->column, "layers", c->layers, "positions", c->positions,
                                                  "largest", c->magnitude));
        else
            tern_grid_row(&table, "%s|%d|%.0f %%|%.1f %%|%.1f", input, c->column, 100 * c->layers,
                          100 * c->positions, c->magnitude);
    }
    if (cli->json) {
        tern_grid_free(&table);
        return tern_print_json(json_pack("{s:f,s:I,s:f,s:o}", "threshold", o->threshold, "positions",
                                         (json_int_t)o->positions, "apart", o->apart, "columns", list));
    }
    json_decref(list);
    TERN_TRY(tern_grid_print(&table, stdout));
    printf("%lld positions; columns with an element of %g or more hold %.2f %% of what products read\n",
           (long long)o->positions, o->threshold, 100 * o->apart);
    return TERN_OK;
}

tern_status tern_show_outliers(const tern_cli *cli, const char *path)
{
    enum { WINDOW = 256, MOST = 16 };
    tern_reader r = {0};
    tern_outlier_report report = {0};
    char *text;
    size_t size;
    TERN_TRY(tern_read_file(tern_cli_text(cli, "outliers"), &text, &size));
    tern_status status = tern_reader_open(&r, path, text, size < 65536 ? size : 65536);
    int count = (int)(r.ids.count / WINDOW), window = count ? WINDOW : (int)r.ids.count;
    if (status == TERN_OK && window < 1) status = tern_fail(TERN_USAGE, "the text has no tokens");
    if (status == TERN_OK)
        status = tern_outliers_find(&report, &r.about, r.ids.ids, window,
                                    count < 1      ? 1
                                    : count < MOST ? count
                                                   : MOST,
                                    cli->pool);
    if (status == TERN_OK) status = print_outliers(cli, &report);
    tern_outliers_free(&report);
    tern_reader_close(&r);
    tern_release(text);
    return status;
}
