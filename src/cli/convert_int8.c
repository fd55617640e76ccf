/* tern convert --to int8: calibration, and what is told about it. */
#include "cli/convert_int8.h"

static void note_format(void *context, const char *layer, const tern_range *range,
                        const tern_int8_format *format)
{
    json_array_append_new(context,
                          json_pack("{s:s,s:f,s:f,s:f,s:i}", "layer", layer, "low", range->low, "high",
                                    range->high, "scale", format->scale, "zero", format->zero));
}

static tern_status print_formats(const json_t *list, bool wide)
{
    double lowest = wide ? -32768 : -128, highest = wide ? 32767 : 127;
    tern_grid t = {0};
    size_t i;
    const json_t *f;
    tern_grid_row(&t, "result of|lowest|highest|scale|zero|codes reach from|to");
    json_array_foreach(list, i, f)
    {
        double scale = json_number_value(json_object_get(f, "scale"));
        int zero = (int)json_integer_value(json_object_get(f, "zero"));
        tern_grid_row(&t, "%s|%.4g|%.4g|%.5g|%d|%.4g|%.4g", json_string_value(json_object_get(f, "layer")),
                      json_number_value(json_object_get(f, "low")),
                      json_number_value(json_object_get(f, "high")), scale, zero, scale * (lowest - zero),
                      scale * (highest - zero));
    }
    return tern_grid_print(&t, stdout);
}

tern_status tern_convert_run_int8(tern_cli *cli, tern_subject *from, const tern_net *int8,
                                  const void *parameters, const tern_samples *train, tern_store *to,
                                  json_t **formats)
{
    json_t *list = json_array();
    int images = tern_cli_whole(cli, "calib");
    if (!tern_cli_has(cli, "calib") && train->images.shape.dim[0] < images)
        images = (int)train->images.shape.dim[0];
    tern_int8_conversion c = {.net = from->net,
                              .int8 = int8,
                              .parameters = from->parameters,
                              .int8_parameters = parameters,
                              .samples = train,
                              .images = images,
                              .seed = cli->seed,
                              .calibrator = (tern_calibrator)tern_cli_pick(cli, "calibrate"),
                              .percentile = tern_cli_number(cli, "percentile"),
                              .formats = note_format,
                              .context = list};
    tern_status status = tern_convert_int8(&c, &from->store, to, cli->pool);
    double bits = 8;
    if (status == TERN_OK) status = tern_net_get(int8, parameters, "act-bits", &bits);
    if (status == TERN_OK && !cli->json) status = print_formats(list, bits == 16);
    *formats = list;
    return status;
}
