/* The RAM of a board. */
#include "plan/ram.h"

#include "quant/quant.h"

typedef struct busy {
    size_t from, to;
} busy;

/* The last step that reads a value or a view of it; -1: none. */
static int last_reader(const tern_program *p, tern_value input)
{
    int last = -1;
    for (int s = 0; s < p->step_count; s++)
        for (int k = 0; k < p->steps[s].node->nin; k++) {
            int id = p->steps[s].node->in[k].id;
            if (id && p->places[id].root == p->places[input.id].root) last = s;
        }
    return last;
}

/* What is written up to and with step `last`; list[value_count + step_count]. */
static int busy_until(const tern_program *p, int last, busy *list)
{
    int count = 0;
    for (int i = 1; i < p->graph->value_count; i++) {
        const tern_place *place = &p->places[i];
        if (place->space == TERN_SPACE_ARENA && place->root == i && place->first <= last)
            list[count++] = (busy){place->offset, place->offset + place->bytes};
    }
    for (int s = 0; s <= last; s++)
        if (p->steps[s].scratch_bytes)
            list[count++] =
                (busy){p->steps[s].scratch_offset, p->steps[s].scratch_offset + p->steps[s].scratch_bytes};
    return count;
}

static bool is_free(const busy *list, int count, size_t from, size_t to)
{
    for (int i = 0; i < count; i++)
        if (list[i].from < to && from < list[i].to) return false;
    return true;
}

bool tern_program_room(const tern_program *p, tern_value input, size_t *offset)
{
    size_t bytes = p->places[input.id].bytes, most = (size_t)p->graph->value_count + (size_t)p->step_count;
    busy *list = tern_take_array(most + 1, sizeof *list);
    if (!list) return false; /* the caller has memory of its own for it */
    int count = busy_until(p, last_reader(p, input), list);
    list[count] = (busy){0, 0}; /* the beginning of the arena */
    bool found = false;
    for (int i = 0; i <= count; i++) {
        size_t from = (list[i].to + 7) / 8 * 8;
        if (from + bytes > p->arena_bytes || (found && from >= *offset)) continue;
        if (!is_free(list, count, from, from + bytes)) continue;
        *offset = from;
        found = true;
    }
    tern_release(list);
    return found;
}

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
    size_t offset;
    tern_value image = tern_find_value(g, "image");
    if (image.id && !ram->state && ram->input == program->places[image.id].bytes &&
        tern_program_room(program, image, &offset))
        ram->input = 0;
    for (int i = 0; i < g->output_count; i++) {
        const tern_type *type = &g->values[g->outputs[i].value.id].type;
        ram->output += tern_bytes_of(type->dtype, tern_elements(&type->shape));
    }
    ram->all = ram->arena + ram->state + ram->input + ram->output;
}

/* ---- an input inside the arena -------------------------------------------------------------------------------------------- */
