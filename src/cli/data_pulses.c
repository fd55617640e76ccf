/* tern data make pulses, tern data fit pulses: pulses of any model into a file, and what can be known of them. */
#include "cli/data_pulses.h"

#include "classic/pulse.h"

#include <string.h>

static tern_status model_of(const tern_cli *cli, tern_pulse_model *m)
{
    const char *shaper = tern_cli_text(cli, "shaper"),
               *range = strncmp(shaper, "crrc", 4) == 0 ? shaper + 4 : "";
    *m = tern_pulse_default();
    if (strlen(range) != 1 || *range < '1' || *range > '8')
        return tern_fail(TERN_USAGE, "--shaper is \"%s\", expected crrc1 to crrc8", shaper);
    m->order = *range - '0';
    m->snr = tern_cli_number(cli, "snr");
    m->tau = tern_cli_number(cli, "tau");
    m->samples = tern_cli_whole(cli, "window");
    m->period = tern_cli_number(cli, "period");
    m->pink = tern_cli_number(cli, "pink");
    m->drift = tern_cli_number(cli, "drift");
    m->pile_up = tern_cli_number(cli, "pile-up");
    m->jitter = tern_cli_number(cli, "jitter");
    m->bits = tern_cli_whole(cli, "adc");
    m->seed = tern_hash("pulses", 6) + cli->seed;
    return tern_pulse_check(m);
}

tern_status tern_data_make(tern_cli *cli)
{
    enum { X_TRAIN, Y_TRAIN, X_TEST, Y_TEST, UNITS, ARRAYS };
    static const char *const names[ARRAYS] = {"x_train", "y_train", "x_test", "y_test", "units"};
    const char *out = tern_cli_text(cli, "out");
    bool clean = tern_cli_has(cli, "clean");
    tern_pulse_model m;
    tern_tensor t[ARRAYS] = {{0}};
    TERN_TRY(model_of(cli, &m));
    if (!tern_ends_with(out, ".npz"))
        return tern_fail(TERN_USAGE, "--out is %s, expected a file that ends in .npz", out);
    int64_t train = tern_cli_whole(cli, "count"), test = tern_cli_whole(cli, "test");
    tern_status status = tern_pulse_tensors(&m, 0, train, clean, &t[X_TRAIN], &t[Y_TRAIN]);
    if (status == TERN_OK) status = tern_pulse_tensors(&m, 1, test, clean, &t[X_TEST], &t[Y_TEST]);
    if (status == TERN_OK) status = tern_pulse_units(&m, clean, &t[UNITS]);
    if (status == TERN_OK) status = tern_npz_write(out, t, names, ARRAYS);
    for (int i = 0; i < ARRAYS; i++) tern_tensor_free(&t[i]);
    TERN_TRY(status);
    if (cli->json)
        return tern_print_json(json_pack("{s:s,s:I,s:I,s:i,s:f}", "file", out, "train", (json_int_t)train,
                                         "test", (json_int_t)test, "samples", m.samples, "sigma",
                                         tern_pulse_sigma(&m)));
    printf("%s: %lld pulses to train and %lld to test, %d samples each, noise %.5f rms\n", out,
           (long long)train, (long long)test, m.samples, tern_pulse_sigma(&m));
    return TERN_OK;
}

static json_t *row_json(const char *name, const tern_pulse_error *e, tern_pulse bound)
{
    return json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f}", "method", name, "time_rms", e->rms.start, "time_bias",
                     e->bias.start, "time_over_bound", e->rms.start / bound.start, "energy_rms",
                     e->rms.amplitude, "energy_bias", e->bias.amplitude, "energy_over_bound",
                     e->rms.amplitude / bound.amplitude);
}

tern_status tern_data_fit(tern_cli *cli)
{
    tern_pulse_model m;
    tern_pulse bound;
    tern_pulse_error errors[TERN_PULSE_METHODS];
    TERN_TRY(model_of(cli, &m));
    TERN_TRY(tern_pulse_compare(&m, 1, tern_cli_whole(cli, "test"), errors, &bound, cli->pool));
    tern_pulse_error least = {.rms = bound};
    json_t *rows = json_array();
    tern_grid t = {0};
    tern_grid_row(
        &t, "method|time, samples rms|ps rms|mean error|over the bound|energy rms|mean error|over the bound");
    for (int i = -1; i < TERN_PULSE_METHODS; i++) {
        const tern_pulse_error *e = i < 0 ? &least : &errors[i];
        const char *name = i < 0 ? "Cramer-Rao bound" : tern_pulse_method_names[i];
        tern_grid_row(&t, "%s|%.5f|%.1f|%.5f|%.3f|%.6f|%.6f|%.3f", name, e->rms.start,
                      1e3 * m.period * e->rms.start, e->bias.start, e->rms.start / bound.start,
                      e->rms.amplitude, e->bias.amplitude, e->rms.amplitude / bound.amplitude);
        json_array_append_new(rows, row_json(name, e, bound));
    }
    tern_status status = TERN_OK;
    if (cli->json) {
        tern_grid_free(&t);
        status = tern_print_json(json_incref(rows));
    } else {
        status = tern_grid_print(&t, stdout);
        printf("\n%d pulses; the bound is that of white noise alone\n", tern_cli_whole(cli, "test"));
    }
    json_decref(rows);
    return status;
}
