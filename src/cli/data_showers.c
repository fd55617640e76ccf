/* tern data fit showers: what the classical encoders of a detector's front end lose of showers, at equal bits. */
#include "cli/data_pulses.h"

#include "train/shower.h"

#include <stdlib.h>

enum { MOST_RATES = 8 };

static tern_status rates_of(const tern_cli *cli, int rates[MOST_RATES], int *count)
{
    const char *text = tern_cli_text(cli, "bits"), *at = text;
    *count = 0;
    while (*count < MOST_RATES) {
        char *end;
        long bits = strtol(at, &end, 10);
        if (end == at || bits < 24 || bits > 4096 || (*end && *end != ',')) break;
        rates[(*count)++] = (int)bits;
        if (!*end) return TERN_OK;
        at = end + 1;
    }
    return tern_fail(TERN_USAGE,
                     "--bits is \"%s\", expected up to %d numbers of 24 to 4096 with commas between", text,
                     MOST_RATES);
}

tern_status tern_data_fit_showers(tern_cli *cli)
{
    int rates[MOST_RATES], count, crossings = tern_cli_whole(cli, "test");
    tern_shower_options o = {.seed = tern_shower_seed(cli->seed, true)};
    tern_shower_score scores[TERN_SHOWER_ENCODERS];
    tern_grid t = {0};
    json_t *rows = json_array();
    tern_status status = rates_of(cli, rates, &count);
    tern_grid_row(&t, "encoder|bits|distance, cells|middle 68 %%|few cells|many cells");
    for (int r = 0; status == TERN_OK && r < count; r++) {
        status = tern_shower_compare(&o, crossings, rates[r], cli->pool, scores);
        for (int e = 0; status == TERN_OK && e < TERN_SHOWER_ENCODERS; e++) {
            const tern_shower_score *s = &scores[e];
            tern_grid_row(&t, "%s|%.1f|%.4f|%.4f to %.4f|%.4f|%.4f", tern_shower_encoder_names[e], s->bits,
                          s->mean, s->low, s->high, s->sparse, s->dense);
            json_array_append_new(rows, json_pack("{s:s,s:i,s:f,s:f,s:f,s:f,s:f,s:f}", "encoder",
                                                  tern_shower_encoder_names[e], "rate", rates[r], "bits",
                                                  s->bits, "distance", s->mean, "low", s->low, "high",
                                                  s->high, "sparse", s->sparse, "dense", s->dense));
        }
    }
    if (status == TERN_OK && cli->json) status = tern_print_json(json_incref(rows));
    if (status == TERN_OK && !cli->json) {
        status = tern_grid_print(&t, stdout);
        printf("\n%d crossings; earth mover's distance of shares of charge, whose sum is sent apart\n",
               crossings);
    }
    tern_grid_free(&t);
    json_decref(rows);
    return status;
}
