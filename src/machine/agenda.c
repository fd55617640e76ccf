/* A binary heap of (time, sequence). */
#include "machine/agenda.h"

static bool before(const tern_event *a, const tern_event *b)
{
    return a->time < b->time || (a->time == b->time && a->sequence < b->sequence);
}

tern_status tern_agenda_put(tern_agenda *agenda, double time, int what, int who)
{
    if (agenda->count == agenda->room) {
        size_t room = agenda->room ? 2 * agenda->room : 64, size = sizeof *agenda->heap;
        tern_event *more = tern_resize(agenda->heap, agenda->room * size, room * size);
        if (!more) return tern_no_memory(room * size, "a simulation");
        agenda->heap = more;
        agenda->room = room;
    }
    tern_event event = {time, agenda->sequence++, what, who};
    size_t i = agenda->count++;
    while (i > 0 && before(&event, &agenda->heap[(i - 1) / 2])) {
        agenda->heap[i] = agenda->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    agenda->heap[i] = event;
    return TERN_OK;
}

bool tern_agenda_take(tern_agenda *agenda, tern_event *event)
{
    if (agenda->count == 0) return false;
    *event = agenda->heap[0];
    tern_event last = agenda->heap[--agenda->count];
    size_t i = 0;
    for (size_t child = 1; child < agenda->count; child = 2 * i + 1) {
        if (child + 1 < agenda->count && before(&agenda->heap[child + 1], &agenda->heap[child])) child++;
        if (!before(&agenda->heap[child], &last)) break;
        agenda->heap[i] = agenda->heap[child];
        i = child;
    }
    agenda->heap[i] = last;
    return true;
}

void tern_agenda_free(tern_agenda *agenda)
{
    tern_release(agenda->heap);
    *agenda = (tern_agenda){0};
}
