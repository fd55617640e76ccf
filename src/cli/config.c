/* config.json. */
#include "cli/config.h"

json_t *tern_config_json(const tern_cli *cli, const char *command, const tern_net *net,
                         const void *parameters, const tern_dataset *d)
{
    json_t *sample = json_array(), *mean = json_array(), *std = json_array();
    for (int i = 0; i < d->sample.rank; i++) json_array_append_new(sample, json_integer(d->sample.dim[i]));
    for (int i = 0; i < 8; i++) {
        json_array_append_new(mean, json_real(d->mean[i]));
        json_array_append_new(std, json_real(d->std[i]));
    }
    return json_pack("{s:s,s:s,s:s,s:o,s:s,s:o,s:o,s:o,s:I}", "tern", TERN_VERSION, "command", command, "net",
                     net->name, "parameters", tern_parameters_json(net, parameters), "data",
                     tern_cli_text(cli, "data"), "sample", sample, "mean", mean, "std", std, "seed",
                     (json_int_t)cli->seed);
}
