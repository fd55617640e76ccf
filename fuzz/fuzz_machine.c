/* Machine files, and a cost on each that is read. */
#include "fuzz.h"

#include "machine/machine.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    static const tern_task_work tasks[2] = {
        {.label = "a", .work = {.macs = 1e6, .elementwise = 10}, .dtype = TERN_F32, .weight_bytes = 4e6},
        {.label = "b", .work = {.accumulates = 1e6, .specials = 1}, .dtype = TERN_I8, .read_bytes = 1e3},
    };
    const tern_cost_query query = {.tasks = tasks, .count = 2, .weights = 4e6, .arena = 1e5};
    tern_machine *m;
    tern_cost cost;
    TERN_TRY(tern_machine_parse(&m, (const char *)bytes, count, "fuzz"));
    tern_machine_cost(m, &query, &cost, NULL);
    tern_machine_close(m);
    if (!(cost.seconds >= 0)) abort();
    return TERN_OK;
}

TERN_FUZZER(parse)
