/* Figures of a machine by their paths, for sweeps: memory.hbm3.bandwidth, unit.cores.mac, link.nvlink.latency, launch. */
#include "machine/schema.h"

#include <string.h>

/* The part of a path up to its next dot; *rest behind it, or NULL. */
static size_t part_of(const char *path, const char **rest)
{
    size_t length = strcspn(path, ".");
    *rest = path[length] ? path + length + 1 : NULL;
    return length;
}

static bool is_part(const char *name, const char *path, size_t length)
{
    return strlen(name) == length && strncmp(name, path, length) == 0;
}

/* "expected one of a, b, c" */
static tern_status unknown_part(const char *what, const char *path, const char *const *known, size_t count)
{
    tern_text list = {0};
    for (size_t i = 0; i < count; i++) tern_text_format(&list, "%s%s", i ? ", " : "", known[i]);
    tern_status status = tern_fail(TERN_USAGE, "no %s \"%.60s\" in the machine; expected one of %s", what,
                                   path, list.data ? list.data : "none");
    tern_text_free(&list);
    return status;
}

const tern_unit *tern_machine_array(const tern_machine *m)
{
    for (int i = 0; i < m->unit_count; i++)
        if (m->units[i].rows > 0) return &m->units[i];
    return NULL;
}

const tern_tier *tern_machine_main(const tern_machine *m)
{
    const tern_tier *most = NULL;
    for (int i = 0; i < m->tier_count; i++)
        if (!m->tiers[i].persistent && (!most || m->tiers[i].size > most->size)) most = &m->tiers[i];
    return most;
}

/* The item of a list that the path begins with; "main" is the memory with the most room. */
static tern_status find_item(tern_machine *m, int list, const char *path, void **item, const char **rest)
{
    const tern_list *l = &tern_lists[list];
    const char *names[TERN_MACHINE_PARTS];
    int count = *(int *)(void *)((char *)m + l->count);
    size_t length = part_of(path, rest);
    for (int i = 0; i < count; i++) {
        *item = (char *)m + l->items + (size_t)i * l->size;
        names[i] = *(const char **)*item;
        if (is_part(names[i], path, length)) return TERN_OK;
    }
    const tern_tier *most = tern_machine_main(m);
    if (list == TERN_LIST_TIERS && most && is_part("main", path, length)) {
        *item = &m->tiers[most - m->tiers];
        return TERN_OK;
    }
    return unknown_part(l->what, path, names, (size_t)count);
}

/* Rates and energies are by number format; without one the path means all that are there, which keep their proportions. */
static tern_status find_format(double *values, const char *rest, tern_machine_field *f)
{
    f->values = values;
    f->count = TERN_DTYPES;
    if (!rest) return TERN_OK;
    for (int d = 0; d < TERN_DTYPES; d++)
        if (strcmp(tern_dtype_of((tern_dtype)d)->name, rest) == 0) {
            f->values = &values[d];
            f->count = 1;
            return TERN_OK;
        }
    return tern_fail(TERN_USAGE, "unknown number format \"%.40s\"", rest);
}

static tern_status find_key(void *item, const tern_list *keys, const char *path, tern_machine_field *f)
{
    const char *known[32], *rest;
    size_t length = part_of(path, &rest), count = 0;
    for (size_t k = 0; k < keys->field_count; k++) {
        const tern_field *field = &keys->fields[k];
        bool rates = field->form == TERN_FORM_RATES || field->form == TERN_FORM_ENERGIES;
        if (!rates && field->form != TERN_FORM_AMOUNT && field->form != TERN_FORM_SHARE &&
            field->form != TERN_FORM_COUNT)
            continue;
        known[count++] = field->name;
        if (!is_part(field->name, path, length)) continue;
        double *values = (double *)(void *)((char *)item + field->offset);
        f->plain = field->form == TERN_FORM_SHARE || field->form == TERN_FORM_COUNT;
        f->quantity = (tern_quantity)field->detail;
        if (rates) return find_format(values, rest, f);
        if (rest) return tern_fail(TERN_USAGE, "\"%.60s\": nothing stands below %s", path, field->name);
        f->values = values;
        f->count = 1;
        return TERN_OK;
    }
    return unknown_part("figure", path, known, count);
}

tern_status tern_machine_find_field(tern_machine *m, const char *path, tern_machine_field *field)
{
    const char *rest;
    size_t length = part_of(path, &rest);
    *field = (tern_machine_field){0};
    for (int i = 0; i < TERN_LIST_PARTS; i++) {
        void *item = NULL;
        if (!is_part(tern_lists[i].what, path, length)) continue;
        if (!rest) return tern_fail(TERN_USAGE, "\"%.60s\": expected %s.NAME.FIGURE", path, path);
        TERN_TRY(find_item(m, i, rest, &item, &rest));
        if (!rest) return tern_fail(TERN_USAGE, "machine.%.60s: expected a figure of it behind a dot", path);
        return find_key(item, &tern_lists[i], rest, field);
    }
    return find_key(m, &tern_machine_keys, path, field);
}

void tern_machine_set_field(const tern_machine_field *f, double value)
{
    double most = 0;
    for (int i = 0; i < f->count; i++)
        if (f->values[i] > most) most = f->values[i];
    if (f->count == 1 || most == 0) {
        f->values[0] = value;
        return;
    }
    for (int i = 0; i < f->count; i++) f->values[i] *= value / most;
}
