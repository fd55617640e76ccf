/* Machine files: YAML, read by the tables of schema.c.  libyaml's document is walked here, because every error must say
 * line and column. */
#include "machine/schema.h"

#include <stdlib.h>
#include <string.h>

#ifdef TERN_HAVE_YAML
#include <yaml.h>

#define MOST_HEIRS 8
#define MOST_ITEMS 4096 /* of a list that is no part of the machine */

/* A machine while its file, and those that it inherits from, are read. */
typedef struct tern_draft {
    tern_machine *m;
    uint32_t per_cycle[TERN_MACHINE_PARTS]
                      [TERN_OPERATIONS]; /* bit d: rate[..][d] is per cycle, not per second */
    tern_text warnings;
} tern_draft;

typedef struct tern_reader {
    const char *path;
    yaml_document_t *document;
    tern_draft *draft;
    int inherited[TERN_LISTS];      /* items of each list that an ancestor brought */
    const struct tern_reader *heir; /* the file that inherits from this one, or NULL */
    bool placed;                    /* the message of the failure says where */
} tern_reader;

/* Puts the place before the message; only the innermost caller's place counts. */
static tern_status at(tern_reader *r, const yaml_node_t *node, tern_status status, const char *field)
{
    if (r->placed) return status;
    r->placed = true;
    return tern_in(status, "%s:%zu:%zu: %s", r->path, node->start_mark.line + 1, node->start_mark.column + 1,
                   field);
}

static const char *form_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE ? "keys" : node->type == YAML_SEQUENCE_NODE ? "a list" : "a text";
}

/* The text of a scalar as it stands in the document; NULL and a message for anything else. */
static const char *scalar(const yaml_node_t *node, const char *expected)
{
    if (node->type != YAML_SCALAR_NODE) {
        tern_fail(TERN_FAILED, "found %s, expected %s", form_of(node), expected);
        return NULL;
    }
    const char *text = (const char *)node->data.scalar.value;
    if (strlen(text) == node->data.scalar.length && *text) return text;
    tern_fail(TERN_FAILED, "found %s, expected %s", *text ? "a text with a zero byte" : "nothing", expected);
    return NULL;
}

static tern_status read_text(tern_reader *r, const yaml_node_t *node, const char **out)
{
    const char *text = scalar(node, "a text");
    if (!text) return TERN_FAILED;
    *out = tern_arena_string(&r->draft->m->arena, text);
    return *out ? TERN_OK : tern_no_memory(strlen(text), "a machine");
}

static tern_status read_truth(const yaml_node_t *node, bool *out)
{
    const char *text = scalar(node, "true or false");
    if (!text) return TERN_FAILED;
    *out = strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0) return TERN_OK;
    return tern_fail(TERN_FAILED, "found \"%.60s\", expected true or false", text);
}

/* A plain number: a share up to 1, a whole count, or any from 0. */
static tern_status read_plain(const yaml_node_t *node, tern_form form, double *out)
{
    bool whole = form == TERN_FORM_COUNT, any = form == TERN_FORM_NUMBER;
    const char *expected = whole ? "a whole number from 1"
                           : any ? "a number from 0 without a unit"
                                 : "a share above 0 and up to 1";
    const char *text = scalar(node, expected);
    if (!text) return TERN_FAILED;
    char *end;
    double most = whole ? 1e9 : any ? 1e30 : 1, number = strtod(text, &end);
    bool good = !*end && (number > 0 || (any && number == 0)) && number <= most &&
                (!whole || number == (double)(int64_t)number);
    if (!good) return tern_fail(TERN_FAILED, "found \"%.60s\", expected %s", text, expected);
    *out = number;
    return TERN_OK;
}

/* One of the names, as its index. */
static tern_status read_name(const yaml_node_t *node, const char *const *names, int count, int *index)
{
    tern_text all = {0};
    for (int i = 0; i < count; i++)
        tern_text_format(&all, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", names[i]);
    tern_status status = tern_text_status(&all);
    const char *text = status == TERN_OK ? scalar(node, all.data) : NULL;
    if (status == TERN_OK && !text) status = TERN_FAILED;
    for (*index = 0; text && *index < count; ++*index)
        if (strcmp(names[*index], text) == 0) break;
    if (text && *index == count)
        status = tern_fail(TERN_FAILED, "found \"%.60s\", expected %s", text, all.data);
    tern_text_free(&all);
    return status;
}

static tern_status read_kind(const yaml_node_t *node, tern_unit_kind *kind)
{
    int index;
    TERN_TRY(read_name(node, tern_unit_kind_names, TERN_UNIT_KINDS, &index));
    *kind = (tern_unit_kind)index;
    return TERN_OK;
}

static tern_status read_dataflow(const yaml_node_t *node, tern_dataflow *dataflow)
{
    int index;
    TERN_TRY(read_name(node, tern_dataflow_names, TERN_DATAFLOWS, &index));
    *dataflow = (tern_dataflow)index;
    return TERN_OK;
}

static tern_status read_amount(const yaml_node_t *node, tern_quantity quantity, double *out, bool *per_cycle)
{
    const char *text = scalar(node, "a number with a unit");
    return text ? tern_parse_quantity(text, quantity, out, per_cycle) : TERN_FAILED;
}

/* {f32: 2 mac/cycle, i8: ..} into an array by number format; *cycles gets a bit for each that is per cycle. */
static tern_status read_by_dtype(tern_reader *r, const yaml_node_t *node, tern_quantity quantity, double *out,
                                 uint32_t *cycles)
{
    if (node->type != YAML_MAPPING_NODE)
        return tern_fail(TERN_FAILED, "found %s, expected number formats, for example {f32: .., i8: ..}",
                         form_of(node));
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(r->document, p->key);
        const char *name = scalar(key, "a number format");
        tern_dtype d;
        bool per_cycle = false;
        if (!name || tern_dtype_find(name, &d) != TERN_OK) return at(r, key, TERN_FAILED, "number format");
        yaml_node_t *value = yaml_document_get_node(r->document, p->value);
        tern_status status = read_amount(value, quantity, &out[d], &per_cycle);
        if (status != TERN_OK) return at(r, value, status, name);
        *cycles = (*cycles & ~(1u << d)) | (uint32_t)per_cycle << d;
    }
    return TERN_OK;
}

static tern_status read_list(tern_reader *r, const yaml_node_t *node, int list);

static tern_status read_field(tern_reader *r, const tern_field *f, const yaml_node_t *value, void *into)
{
    void *out = (char *)into + f->offset;
    tern_draft *d = r->draft;
    uint32_t *cycles, none = 0;
    switch (f->form) {
    case TERN_FORM_TEXT:
        return read_text(r, value, out);
    case TERN_FORM_TRUTH:
        return read_truth(value, out);
    case TERN_FORM_AMOUNT:
        return read_amount(value, f->detail, out, NULL);
    case TERN_FORM_SHARE:
    case TERN_FORM_COUNT:
    case TERN_FORM_NUMBER:
        return read_plain(value, f->form, out);
    case TERN_FORM_KIND:
        return read_kind(value, out);
    case TERN_FORM_DATAFLOW:
        return read_dataflow(value, out);
    case TERN_FORM_RATES:
        cycles = &d->per_cycle[(tern_unit *)into - d->m->units]
                              [(f->offset - offsetof(tern_unit, rate)) / sizeof(double[TERN_DTYPES])];
        return read_by_dtype(r, value, f->detail, out, cycles);
    case TERN_FORM_ENERGIES:
        return read_by_dtype(r, value, f->detail, out, &none);
    case TERN_FORM_LIST:
        return read_list(r, value, f->detail);
    default:
        return TERN_OK;
    }
}

static tern_status unknown_key(const tern_list *keys, const char *name)
{
    const char *known[32];
    for (size_t i = 0; i < keys->field_count; i++) known[i] = keys->fields[i].name;
    const char *near = tern_nearest(name, known, keys->field_count);
    return tern_fail(TERN_FAILED, "unknown key \"%.60s\"%s%s%s", name, near ? "; did you mean \"" : "",
                     near ? near : "", near ? "\"?" : "");
}

/* Every key of a mapping into the struct; each must be known and stand there once. */
static tern_status read_mapping(tern_reader *r, const yaml_node_t *node, const tern_list *keys, void *into)
{
    uint32_t seen = 0;
    if (node->type != YAML_MAPPING_NODE)
        return at(r, node, tern_fail(TERN_FAILED, "found %s, expected key: value pairs", form_of(node)),
                  keys->what);
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(r->document, p->key);
        const char *name = scalar(key, "a key");
        size_t k = 0;
        if (!name) return at(r, key, TERN_FAILED, keys->what);
        while (k < keys->field_count && strcmp(keys->fields[k].name, name) != 0) k++;
        if (k == keys->field_count) return at(r, key, unknown_key(keys, name), keys->what);
        if (seen & 1u << k)
            return at(r, key, tern_fail(TERN_FAILED, "the key \"%s\" stands there twice", name), keys->what);
        seen |= 1u << k;
        yaml_node_t *value = yaml_document_get_node(r->document, p->value);
        tern_status status = read_field(r, &keys->fields[k], value, into);
        if (status != TERN_OK) return at(r, value, status, name);
    }
    return TERN_OK;
}

static yaml_node_t *find_value(const tern_reader *r, const yaml_node_t *node, const char *name)
{
    if (node->type != YAML_MAPPING_NODE) return NULL;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(r->document, p->key);
        if (key->type == YAML_SCALAR_NODE && strcmp((const char *)key->data.scalar.value, name) == 0)
            return yaml_document_get_node(r->document, p->value);
    }
    return NULL;
}

static bool can_do(const tern_unit *u, int operation)
{
    for (int d = 0; d < TERN_DTYPES; d++)
        if (u->rate[operation][d] > 0) return true;
    return false;
}

/* What an item must have, and defaults. */
static tern_status check_item(tern_draft *d, int list, int index)
{
    tern_machine *m = d->m;
    if (list == TERN_LIST_UNITS) {
        tern_unit *u = &m->units[index];
        uint32_t cycles = 0;
        double rates = 0;
        for (int op = 0; op < TERN_OPERATIONS; op++) {
            cycles |= d->per_cycle[index][op];
            for (int k = 0; k < TERN_DTYPES; k++) rates += u->rate[op][k];
        }
        if (u->efficiency == 0) u->efficiency = 1;
        if (u->count == 0) u->count = 1;
        if (rates == 0) return tern_fail(TERN_FAILED, "expected a rate: mac, add, element or special");
        if (cycles && u->clock == 0)
            return tern_fail(TERN_FAILED, "rates per cycle need a \"clock\", for example clock: 216 MHz");
        if ((u->rows > 0) != (u->columns > 0) ||
            (u->rows > 0 && (u->kind != TERN_UNIT_SYSTOLIC || u->clock == 0)))
            return tern_fail(TERN_FAILED,
                             "\"rows\" and \"columns\" go together, in a systolic unit with a \"clock\"");
        if (u->core_memory > 0 && (!can_do(u, TERN_ADD) || !can_do(u, TERN_ELEMENT)))
            return tern_fail(TERN_FAILED,
                             "event cores, which have a \"core_memory\", need rates for add and element");
    } else if (list == TERN_LIST_TIERS) {
        tern_tier *t = &m->tiers[index];
        if (t->size == 0 || t->bandwidth == 0)
            return tern_fail(TERN_FAILED, "expected a \"size\" and a \"bandwidth\"");
        if (t->write == 0) t->write = t->read;
        if (t->efficiency == 0) t->efficiency = 1;
    } else if (list == TERN_LIST_BODIES) {
        if (m->bodies[index].capacity == 0 || m->bodies[index].resistance == 0)
            return tern_fail(TERN_FAILED, "expected a \"capacity\" and a \"resistance\"");
    } else if (list == TERN_LIST_MEASURED) {
        if (!m->measured[index].unit) return tern_fail(TERN_FAILED, "expected a \"unit\"");
    } else if (list == TERN_LIST_KERNELS) {
        tern_kernel_point *k = &m->kernels[index];
        if (!k->kernel || k->median == 0 || (k->bytes == 0 && k->m * k->n * k->k * k->count == 0))
            return tern_fail(TERN_FAILED, "expected a \"kernel\", a \"median\", and \"bytes\" or the "
                                          "sizes of a product: \"m\", \"n\", \"k\" and \"count\"");
        if (k->density == 0) k->density = 1;
        if (k->spread == 0) k->spread = 1;
    } else {
        tern_link *l = &m->links[index];
        if (l->bandwidth == 0) return tern_fail(TERN_FAILED, "expected a \"bandwidth\"");
        if (l->efficiency == 0) l->efficiency = 1;
    }
    return TERN_OK;
}

static void warn(tern_reader *r, const yaml_node_t *node, const char *what, const char *name)
{
    tern_text_format(&r->draft->warnings, "%s:%zu:%zu: %s %s: its figures have no source\n", r->path,
                     node->start_mark.line + 1, node->start_mark.column + 1, what, name);
}

/* The items of a list; their first members are the name and the source. */
static char *items_of(tern_machine *m, int list)
{
    char *items = (char *)m + tern_lists[list].items;
    return tern_lists[list].far ? *(char **)(void *)items : items;
}

/* Whether the struct is marked as recalled; NULL: its list has no such mark. */
static bool *mark_of(const tern_list *l, void *item)
{
    for (size_t k = 0; k < l->field_count; k++)
        if (strcmp(l->fields[k].name, "recalled") == 0) return (bool *)((char *)item + l->fields[k].offset);
    return NULL;
}

/* Whether figures stand in a mapping, of a machine its own ones. */
static bool has_figures(const tern_reader *r, const yaml_node_t *node, const tern_list *keys)
{
    for (size_t k = 0; k < keys->field_count; k++) {
        tern_form form = keys->fields[k].form;
        bool figure = form == TERN_FORM_AMOUNT || form == TERN_FORM_SHARE || form == TERN_FORM_COUNT ||
                      form == TERN_FORM_NUMBER || form == TERN_FORM_RATES || form == TERN_FORM_ENERGIES;
        if (figure && find_value(r, node, keys->fields[k].name)) return true;
    }
    return false;
}

/* Reads a mapping and warns where it has figures, but neither a source nor a mark of its own: what it inherits speaks of other
 * figures. */
static tern_status read_sourced(tern_reader *r, const yaml_node_t *node, const tern_list *keys, void *item,
                                const char *name)
{
    const char **source = item;
    source += keys == &tern_machine_keys ? offsetof(tern_machine, source) / sizeof *source : 1;
    bool *mark = mark_of(keys, item), recalled = mark && *mark;
    const char *inherited = *source;
    *source = NULL;
    if (mark) *mark = false;
    TERN_TRY(read_mapping(r, node, keys, item));
    bool sourced = *source || (mark && *mark);
    if (!*source) *source = inherited;
    if (mark) *mark |= recalled;
    if (!sourced && has_figures(r, node, keys)) {
        if (!name) name = r->draft->m->name ? r->draft->m->name : "";
        warn(r, node, keys->what, name);
    }
    return TERN_OK;
}

/* One unit, memory or link: a new one, or changes to the inherited one of the same name. */
static tern_status read_item(tern_reader *r, const yaml_node_t *node, int list)
{
    const tern_list *l = &tern_lists[list];
    char *machine = (char *)r->draft->m;
    int *count = (int *)(void *)(machine + l->count), index = 0;
    yaml_node_t *named = find_value(r, node, "name");
    if (node->type == YAML_MAPPING_NODE && !named) return tern_fail(TERN_FAILED, "expected a \"name\"");
    const char *name = named ? scalar(named, "a name") : "";
    if (!name) return TERN_FAILED;
    char *items = items_of(r->draft->m, list);
    for (; index < *count; index++)
        if (strcmp(*(const char **)(void *)(items + (size_t)index * l->size), name) == 0) break;
    if (index < *count && index >= r->inherited[list])
        return tern_fail(TERN_FAILED, "a second %s of the name \"%.60s\"", l->what, name);
    if (index == TERN_MACHINE_PARTS && !l->far)
        return tern_fail(TERN_FAILED, "expected at most %d", TERN_MACHINE_PARTS);
    void *item = items + (size_t)index * l->size;
    TERN_TRY(read_sourced(r, node, l, item, name));
    TERN_TRY(check_item(r->draft, list, index));
    if (index == *count) ++*count;
    return TERN_OK;
}

/* Room for `more` items behind those that were inherited. */
static tern_status make_room(tern_reader *r, int list, size_t more)
{
    const tern_list *l = &tern_lists[list];
    tern_machine *m = r->draft->m;
    size_t count = (size_t)r->inherited[list];
    if (count + more > MOST_ITEMS) return tern_fail(TERN_FAILED, "expected at most %d items", MOST_ITEMS);
    char *items = tern_arena_take(&m->arena, (count + more + 1) * l->size);
    if (!items) return tern_no_memory((count + more) * l->size, "a machine");
    if (count) memcpy(items, items_of(m, list), count * l->size);
    *(char **)(void *)((char *)m + l->items) = items;
    return TERN_OK;
}

static tern_status read_list(tern_reader *r, const yaml_node_t *node, int list)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return tern_fail(TERN_FAILED, "found %s, expected a list", form_of(node));
    if (tern_lists[list].far)
        TERN_TRY(
            make_room(r, list, (size_t)(node->data.sequence.items.top - node->data.sequence.items.start)));
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        yaml_node_t *item = yaml_document_get_node(r->document, *i);
        tern_status status = read_item(r, item, list);
        if (status != TERN_OK) return at(r, item, status, tern_lists[list].what);
    }
    return TERN_OK;
}

static tern_status read_yaml(tern_draft *draft, const char *text, size_t count, const char *path,
                             const tern_reader *heir);

/* Reads the machine that this one is a change of. */
static tern_status read_ancestor(tern_reader *r, const yaml_node_t *node)
{
    char path[4096], *text;
    size_t count;
    int depth = 0;
    const char *name = scalar(node, "the name or path of a machine");
    if (!name) return TERN_FAILED;
    TERN_TRY(tern_machine_find(path, name, r->path));
    for (const tern_reader *h = r; h; h = h->heir, depth++)
        if (strcmp(h->path, path) == 0 || depth == MOST_HEIRS)
            return tern_fail(TERN_FAILED, "%s inherits from itself%s", h->path,
                             depth == MOST_HEIRS ? ", or over more than 8 files" : "");
    TERN_TRY(tern_read_file(path, &text, &count));
    tern_status status = read_yaml(r->draft, text, count, path, r);
    tern_release(text);
    return status;
}

static tern_status read_document(tern_reader *r)
{
    yaml_node_t *root = yaml_document_get_root_node(r->document);
    tern_machine *m = r->draft->m;
    if (!root) return tern_fail(TERN_FAILED, "%s: the file is empty, expected a machine", r->path);
    yaml_node_t *ancestor = find_value(r, root, "inherits");
    if (ancestor) {
        tern_status status = read_ancestor(r, ancestor);
        /* an unknown name is a fault of the file here, not of the command line */
        if (status == TERN_USAGE) status = TERN_FAILED;
        if (status != TERN_OK) return at(r, ancestor, status, "inherits");
    }
    m->name = NULL; /* the one thing that is not inherited */
    r->inherited[TERN_LIST_UNITS] = m->unit_count;
    r->inherited[TERN_LIST_TIERS] = m->tier_count;
    r->inherited[TERN_LIST_LINKS] = m->link_count;
    r->inherited[TERN_LIST_BODIES] = m->body_count;
    r->inherited[TERN_LIST_MEASURED] = m->measured_count;
    r->inherited[TERN_LIST_KERNELS] = m->kernel_count;
    TERN_TRY(read_sourced(r, root, &tern_machine_keys, m, NULL));
    if (!m->name) return at(r, root, tern_fail(TERN_FAILED, "expected a \"name\""), "machine");
    if (m->unit_count == 0 || m->tier_count == 0)
        return at(r, root,
                  tern_fail(TERN_FAILED, "expected at least one of \"units\" and one of \"memories\""),
                  "machine");
    if (m->air == 0) m->air = 25;
    if (m->trip == 0) m->trip = 85;
    if (m->hysteresis == 0) m->hysteresis = 5;
    if (m->clock_step == 0) m->clock_step = 0.1;
    if (m->least_clock == 0) m->least_clock = 0.3;
    return TERN_OK;
}

static tern_status yaml_failure(const yaml_parser_t *parser, const char *path)
{
    if (parser->error == YAML_MEMORY_ERROR) return tern_no_memory(0, path);
    return tern_fail(TERN_FAILED, "%s:%zu:%zu: no YAML: %s", path, parser->problem_mark.line + 1,
                     parser->problem_mark.column + 1, parser->problem ? parser->problem : "unreadable");
}

static tern_status read_yaml(tern_draft *draft, const char *text, size_t count, const char *path,
                             const tern_reader *heir)
{
    yaml_parser_t parser;
    yaml_document_t document, next;
    if (!yaml_parser_initialize(&parser)) return tern_no_memory(0, path);
    draft->m->hash = draft->m->hash * 31 + tern_hash(text, count);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, count);
    if (!yaml_parser_load(&parser, &document)) {
        tern_status status = yaml_failure(&parser, path);
        yaml_parser_delete(&parser);
        return status;
    }
    tern_status status =
        read_document(&(tern_reader){.path = path, .document = &document, .draft = draft, .heir = heir});
    bool empty = !yaml_document_get_root_node(&document);
    yaml_document_delete(&document);
    if (status == TERN_OK && !empty) {
        if (!yaml_parser_load(&parser, &next)) {
            status = yaml_failure(&parser, path);
        } else {
            if (yaml_document_get_root_node(&next))
                status = tern_fail(TERN_FAILED, "%s:%zu: a second document; expected one machine a file",
                                   path, next.start_mark.line + 1);
            yaml_document_delete(&next);
        }
    }
    yaml_parser_delete(&parser);
    return status;
}

/* Rates per cycle become rates per second, rates of one unit those of all. */
static void settle_rates(tern_draft *d)
{
    for (int i = 0; i < d->m->unit_count; i++) {
        tern_unit *u = &d->m->units[i];
        for (int op = 0; op < TERN_OPERATIONS; op++)
            for (int k = 0; k < TERN_DTYPES; k++)
                u->rate[op][k] *= u->count * (d->per_cycle[i][op] & 1u << k ? u->clock : 1);
    }
}

tern_status tern_machine_parse(tern_machine **machine, const char *text, size_t count, const char *path)
{
    tern_draft draft = {.m = tern_take(sizeof *draft.m)};
    if (!draft.m) return tern_no_memory(sizeof *draft.m, "a machine");
    draft.m->about = draft.m->warnings = "";
    tern_status status = read_yaml(&draft, text, count, path, NULL);
    if (status == TERN_OK) status = tern_text_status(&draft.warnings);
    if (status == TERN_OK && draft.warnings.size) {
        draft.m->warnings = tern_arena_string(&draft.m->arena, draft.warnings.data);
        if (!draft.m->warnings) status = tern_no_memory(draft.warnings.size, "a machine");
    }
    tern_text_free(&draft.warnings);
    if (status == TERN_OK) {
        settle_rates(&draft);
        *machine = draft.m;
    } else {
        tern_machine_close(draft.m);
    }
    return status;
}

#else /* without libyaml */

tern_status tern_machine_parse(tern_machine **machine, const char *text, size_t count, const char *path)
{
    (void)machine, (void)text, (void)count;
    return tern_fail(TERN_FAILED, "%s: this build reads no machine files: it was made without libyaml", path);
}

#endif

void tern_machine_close(tern_machine *machine)
{
    if (!machine) return;
    tern_arena_free(&machine->arena);
    tern_release(machine);
}
