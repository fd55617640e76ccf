/* tern data: which data sets are known, where they are looked for, and what was found. */
#include "cli/cli.h"

#include <string.h>

static const tern_cli_option options[] = {{0}};

static tern_status list(tern_cli *cli)
{
    tern_arena arena = {0};
    tern_grid table = {0};
    json_t *all = json_array();
    tern_status status = TERN_OK;
    tern_grid_row(&table, "name|what|licence|found");
    for (int i = 0; status == TERN_OK && tern_dataset_known(i); i++) {
        const tern_known_dataset *k = tern_dataset_known(i);
        char *searched = NULL, *found = NULL;
        status = tern_dataset_locate(k, &arena, &searched, &found);
        tern_grid_row(&table, "%s|%s|%s|%s", k->name, k->about, k->licence, found ? found : k->get);
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s?,s:s,s:s}", "name", k->name, "about", k->about,
                                             "licence", k->licence, "found", found, "searched",
                                             searched ? searched : "", "get", k->get));
    }
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_incref(all));
    else if (status == TERN_OK)
        status = tern_grid_print(&table, stdout);
    if (status == TERN_OK && !cli->json)
        puts("\nA path works too: a folder of IDX files or of image folders, a .npz or a .csv.  TERN_DATA "
             "names a folder that is searched first.");
    json_decref(all);
    tern_grid_free(&table);
    tern_arena_free(&arena);
    return status;
}

static tern_status show(tern_cli *cli, const char *name)
{
    tern_dataset d;
    char shape[96];
    TERN_TRY(tern_dataset_open(&d, name, NULL));
    long long train = d.train.labels.shape.dim[0], test = d.test.labels.shape.dim[0];
    tern_status status = TERN_OK;
    tern_shape_text(shape, &d.sample);
    if (cli->json)
        status = tern_print_json(json_pack("{s:s,s:I,s:I,s:i,s:s,s:f,s:f}", "name", d.name, "train",
                                           (json_int_t)train, "test", (json_int_t)test, "classes", d.classes,
                                           "sample", shape, "mean", d.mean[0], "std", d.std[0]));
    else
        printf(
            "%s: %lld training and %lld test samples %s %s, %d classes, mean %.4f, standard deviation %.4f\n",
            d.name, train, test, tern_dtype_of(d.train.images.dtype)->name, shape, d.classes, d.mean[0],
            d.std[0]);
    tern_dataset_close(&d);
    return status;
}

static tern_status run_data(tern_cli *cli)
{
    return cli->count ? show(cli, cli->arguments[0]) : list(cli);
}

const tern_command tern_command_data = {
    .name = "data",
    .about = "list the known data sets, or describe one",
    .usage = "[DATA]",
    .more = "tern data\ntern data fashion-mnist\ntern data ~/my-idx-files",
    .options = options,
    .most = 1,
    .run = run_data,
};
