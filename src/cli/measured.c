/* eval.json, as what costs and simulations start from. */
#include "cli/measured.h"

#include <string.h>

static void use_measured(json_t *layers, double samples, tern_task_work *tasks, int count)
{
    size_t index;
    json_t *layer;
    json_array_foreach(layers, index, layer)
    {
        const char *name = json_string_value(json_object_get(layer, "name"));
        double measured = json_number_value(json_object_get(layer, "accumulates")) * samples, counted = 0;
        if (!name) continue;
        for (int s = 0; s < count; s++)
            if (strcmp(tasks[s].label, name) == 0) counted += tasks[s].work.accumulates;
        for (int s = 0; counted > 0 && s < count; s++)
            if (strcmp(tasks[s].label, name) == 0) tasks[s].work.accumulates *= measured / counted;
    }
}

tern_status tern_take_measured(const char *folder, double samples, tern_task_work *tasks, int count,
                               json_t **evaluation)
{
    char path[4096];
    json_t *eval;
    TERN_TRY(tern_run_path(path, folder, "eval.json"));
    tern_status status = tern_read_json(path, &eval);
    if (status != TERN_OK) return tern_in(status, "spike rates of %s (tern eval writes them)", folder);
    json_t *layers = json_object_get(eval, "layers");
    double evaluated = json_number_value(json_object_get(eval, "sample_count"));
    if (json_is_array(layers) && evaluated >= 1)
        use_measured(layers, samples > 0 ? samples : evaluated, tasks, count);
    else
        status =
            tern_fail(TERN_FAILED, "%s: \"layers\" or \"sample_count\" is missing; run tern eval %s again",
                      path, folder);
    if (status == TERN_OK && evaluation)
        *evaluation = eval;
    else
        json_decref(eval);
    return status;
}
