/* tern data: which data sets are known, where they are looked for, what was found, and what can be made. */
#include "cli/data_pulses.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"out", 'o', TERN_TEXT, "FILE", "pulses.npz", "make: file to write", NULL},
    {"count", 0, TERN_WHOLE, "N", "50000", "make: pulses to train on", "1..100000000"},
    {"test", 0, TERN_WHOLE, "N", "10000", "make and fit: pulses to test on", "1..100000000"},
    {"clean", 0, TERN_FLAG, NULL, NULL, "make: targets are the pulses without noise", NULL},
    {"snr", 0, TERN_NUMBER, "DB", "47.4", "peak of a pulse of 1 over the noise's rms, in dB", NULL},
    {"shaper", 0, TERN_TEXT, "NAME", "crrc4", "crrc1 to crrc8: CR-RC^n", NULL},
    {"tau", 0, TERN_NUMBER, "T", "1.6", "its time constant, samples", NULL},
    {"window", 0, TERN_WHOLE, "N", "64", "samples of a pulse", NULL},
    {"period", 0, TERN_NUMBER, "NS", "10", "time between samples, ns", NULL},
    {"pink", 0, TERN_NUMBER, "R", "0",
     "rms of noise that lasts 1 to 32 samples, over that of the white noise", NULL},
    {"drift", 0, TERN_NUMBER, "D", "0", "how far the baseline may rise or fall over the window", NULL},
    {"pile-up", 0, TERN_NUMBER, "P", "0", "probability of a second pulse in the window", NULL},
    {"jitter", 0, TERN_NUMBER, "J", "0", "rms of the clock's jitter, samples", NULL},
    {"bits", 0, TERN_TEXT, "B,..", "48,96,144", "fit showers: bits of a crossing", NULL},
    {"adc", 0, TERN_WHOLE, "BITS", "0", "bits of a converter from -1/8 to 9/8, 8 to 14; 0: exact numbers",
     NULL},
    {0},
};

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
             "names a folder that is searched first; NAME:FOLDER says where a known set is.");
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
    int targets = d.train.targets.data ? (int)d.train.targets.shape.dim[1] : 0;
    tern_shape_text(shape, &d.sample);
    if (cli->json)
        status = tern_print_json(json_pack("{s:s,s:I,s:I,s:i,s:i,s:s,s:f,s:f}", "name", d.name, "train",
                                           (json_int_t)train, "test", (json_int_t)test, "classes", d.classes,
                                           "targets", targets, "sample", shape, "mean", d.mean[0], "std",
                                           d.std[0]));
    else if (targets)
        printf("%s: %lld training and %lld test samples %s %s, %d targets\n", d.name, train, test,
               tern_dtype_of(d.train.images.dtype)->name, shape, targets);
    else
        printf(
            "%s: %lld training and %lld test samples %s %s, %d classes, mean %.4f, standard deviation %.4f\n",
            d.name, train, test, tern_dtype_of(d.train.images.dtype)->name, shape, d.classes, d.mean[0],
            d.std[0]);
    tern_dataset_close(&d);
    return status;
}

/* tern data make pulses, tern data fit pulses, tern data fit showers. */
static tern_status act(tern_cli *cli)
{
    bool make = strcmp(cli->arguments[0], "make") == 0;
    if (!make && strcmp(cli->arguments[0], "fit") != 0)
        return tern_fail(TERN_USAGE,
                         "data %s %s: expected one data set, or make pulses, or fit pulses, or fit showers",
                         cli->arguments[0], cli->arguments[1]);
    bool showers = strcmp(cli->arguments[1], "showers") == 0;
    if (strcmp(cli->arguments[1], "pulses") != 0 && (make || !showers))
        return tern_fail(TERN_USAGE, "data %s: expected pulses%s, found %s", cli->arguments[0],
                         make ? "" : " or showers", cli->arguments[1]);
    for (const tern_cli_option *o = options; o->name; o++) {
        bool of_showers = strcmp(o->name, "bits") == 0, of_both = strcmp(o->name, "test") == 0;
        if (tern_cli_has(cli, o->name) && !of_both && of_showers != showers)
            return tern_fail(TERN_USAGE, "--%s has no effect on %s %s", o->name, cli->arguments[0],
                             cli->arguments[1]);
    }
    if (showers) return tern_data_fit_showers(cli);
    static const char *const of_make[] = {"out", "count", "clean", NULL};
    if (!make) TERN_TRY(tern_cli_refuse(cli, of_make, "on fit"));
    return make ? tern_data_make(cli) : tern_data_fit(cli);
}

static tern_status run_data(tern_cli *cli)
{
    if (cli->count == 2) return act(cli);
    for (const tern_cli_option *o = options; o->name; o++)
        if (tern_cli_has(cli, o->name))
            return tern_fail(TERN_USAGE, "--%s has no effect without make or fit", o->name);
    return cli->count ? show(cli, cli->arguments[0]) : list(cli);
}

const tern_command tern_command_data = {
    .name = "data",
    .about = "list the known data sets, describe one, or make one of pulses or showers",
    .usage = "[DATA | make pulses | fit pulses | fit showers]",
    .more = "tern data\n"
            "tern data fashion-mnist\n"
            "tern data ~/my-idx-files\n"
            "tern data make pulses --snr 47.4 --shaper crrc4 -o pulses.npz   # arrays that numpy reads\n"
            "tern data fit pulses --snr 40 --adc 12                          # the bound, and three "
            "classical ways\n"
            "tern data fit showers --bits 48,96,144                          # what classical encoders lose "
            "of them\n"
            "\n"
            "A pulse is s(t) = A (u/n)^n e^(n-u) with u = (t - t0)/tau, from t0 on.  t0 is uniform in 12 .. "
            "20 samples and A in\n"
            "0.2 .. 1; the white Gaussian noise has the deviation 10^(-SNR/20).  Targets are t0 - 16 and A.  "
            "In training the error of\n"
            "each is divided by its Cramer-Rao bound.  Pulses in a file train as --data pulses.npz, and "
            "those with the default options\n"
            "as --data pulses.",
    .options = options,
    .most = 2,
    .run = run_data,
};
