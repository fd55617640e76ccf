/* The RAM of a board. */
#include "plan/ram.h"

#include "quant/quant.h"

void tern_program_ram(const tern_program *program, tern_ram *ram)
{
    const tern_graph *g = program->graph;
    *ram = (tern_ram){.arena = program->arena_bytes};
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        bool streamed = v->kind == TERN_VALUE_INPUT && tern_int8_is_streamed(g, (tern_value){i});
        if (v->kind == TERN_VALUE_INPUT && !streamed) ram->input += program->places[i].bytes;
        if (v->kind == TERN_VALUE_STATE) ram->state += program->places[i].bytes;
    }
    for (int i = 0; i < g->output_count; i++) {
        const tern_type *type = &g->values[g->outputs[i].value.id].type;
        ram->output += tern_bytes_of(type->dtype, tern_elements(&type->shape));
    }
    ram->all = ram->arena + ram->state + ram->input + ram->output;
}
