/* The systolic array that a command line describes: a machine, and what of its array is to be another. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* "64x32" into the array of the machine; the rates of products follow. */
static tern_status resize(tern_machine *m, const char *text)
{
    char *end, *last;
    long rows = strtol(text, &end, 10), columns = *end == 'x' ? strtol(end + 1, &last, 10) : 0;
    if (rows < 1 || columns < 1 || rows > 65536 || columns > 65536 || *last)
        return tern_fail(TERN_USAGE, "--array is \"%s\", expected rows and columns, for example 64x64", text);
    for (int i = 0; i < m->unit_count; i++) {
        tern_unit *u = &m->units[i];
        if (u->rows == 0) continue;
        double more = (double)rows * (double)columns / (u->rows * u->columns);
        for (int op = 0; op < TERN_OPERATIONS; op++)
            for (int d = 0; d < TERN_DTYPES; d++) u->rate[op][d] *= more;
        u->rows = (double)rows;
        u->columns = (double)columns;
    }
    return TERN_OK;
}

static void set_dataflow(tern_machine *m, const char *name)
{
    for (int i = 0; i < m->unit_count; i++)
        for (int d = 0; d < TERN_DATAFLOWS; d++)
            if (strcmp(name, tern_dataflow_names[d]) == 0) m->units[i].dataflow = (tern_dataflow)d;
}

tern_status tern_open_array(tern_machine **machine, const tern_cli *cli)
{
    const char *array = tern_cli_text(cli, "array"), *dataflow = tern_cli_text(cli, "dataflow");
    TERN_TRY(tern_machine_open(machine, tern_cli_text(cli, "machine")));
    if (dataflow) set_dataflow(*machine, dataflow);
    tern_status status = array ? resize(*machine, array) : TERN_OK;
    if (status == TERN_OK) return TERN_OK;
    tern_machine_close(*machine);
    *machine = NULL;
    return status;
}
