/* tern emit --target verilog --machine pulsedl2: the array, its program, and what each layer takes. */
#include "cli/emit_array.h"

/* Units and elements of the machine's array. */
static tern_status size_of(const tern_cli *cli, int *elements, int *units, double *clock)
{
    tern_machine *m;
    TERN_TRY(tern_open_array(&m, cli));
    *elements = 0;
    for (int i = 0; i < m->unit_count && !*elements; i++) {
        const tern_unit *u = &m->units[i];
        if (u->rows < 1 || u->dataflow != TERN_BROADCAST) continue;
        *elements = (int)u->columns;
        *units = (int)u->rows;
        *clock = u->clock;
    }
    tern_machine_close(m);
    if (*elements) return TERN_OK;
    return tern_fail(TERN_USAGE, "--machine %s: no array with dataflow broadcast; pulsedl2 has one",
                     tern_cli_text(cli, "machine"));
}

static tern_status report(const tern_cli *cli, const tern_array *a, double clock, const char *name,
                          const char *folder)
{
    static const char *const kinds[] = {"convolution", "transposed", "dense", "sum"};
    tern_grid t = {0};
    json_t *layers = json_array();
    char time[24];
    double total = tern_array_total(a);
    tern_grid_row(&t, "layer|kind|from|to|window|cycles|writes");
    for (int i = 0; i < a->count; i++) {
        const tern_array_layer *l = &a->layers[i];
        tern_array_write writes[TERN_ARRAY_REGISTERS];
        int count = tern_array_program(a, l, writes), window = tern_array_steps_of(a, l).window;
        double cycles = tern_array_cycles(a, l);
        tern_grid_row(&t, "%s|%s|%dx%d|%dx%d|%d|%.0f|%d", l->name, kinds[l->kind], l->in_c, l->in_l, l->out_c,
                      l->out_l, window, cycles, count);
        json_array_append_new(layers, json_pack("{s:s,s:s,s:f,s:i}", "layer", l->name, "kind", kinds[l->kind],
                                                "cycles", cycles, "writes", count));
    }
    if (cli->json) {
        tern_grid_free(&t);
        return tern_print_json(json_pack("{s:s,s:s,s:s,s:i,s:i,s:f,s:i,s:o}", "folder", folder, "name", name,
                                         "target", "verilog", "elements", a->elements, "units", a->units,
                                         "cycles", total, "memory_bytes", 2 * a->bytes * a->memory, "layers",
                                         layers));
    }
    json_decref(layers);
    TERN_TRY(tern_grid_print(&t, stdout));
    printf("%s: %s.v, %s_tb.v, driver.c, Makefile; %d elements of %d units, two memories of %d bytes; %.0f "
           "cycles a "
           "sample with its registers, %s\n",
           folder, name, name, a->elements, a->units, a->bytes * a->memory, total,
           tern_human(time, total / clock, "s"));
    printf("check it: make -C %s check driver lint; make -C %s synth\n", folder, folder);
    return TERN_OK;
}

tern_status tern_emit_array(tern_cli *cli, const char *name, const char *about, const tern_program *program,
                            tern_session *session, const tern_emit_samples *samples, const char *folder)
{
    tern_array a;
    int elements = 0, units = 0;
    double clock = 1;
    tern_shape image = tern_shape_of(program->graph, tern_find_value(program->graph, "image"));
    TERN_TRY(size_of(cli, &elements, &units, &clock));
    TERN_TRY(tern_array_open(&a, program, session, elements, units));
    tern_status status = tern_array_folder(&a, name, about, session, samples->images, tern_elements(&image),
                                           samples->count, folder);
    if (status == TERN_OK) status = report(cli, &a, clock, name, folder);
    tern_array_free(&a);
    return status;
}
