/* Machine files: YAML against a schema.  libyaml's document is walked by hand, because every error must say line and
 * column. */
#include "machine/machine.h"

#ifdef TERN_HAVE_YAML
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct tern_reader {
    const char *path;
    yaml_document_t *document;
    tern_machine *m;
} tern_reader;

static tern_status at(const tern_reader *r, const yaml_node_t *node, tern_status status, const char *field)
{
    return tern_in(status, "%s:%zu:%zu: %s", r->path, node->start_mark.line + 1, node->start_mark.column + 1,
                   field);
}

static tern_status read_text(const tern_reader *r, yaml_node_t *node, const char *field, const char **out)
{
    if (node->type != YAML_SCALAR_NODE) return at(r, node, tern_fail(TERN_FAILED, "expected a text"), field);
    *out = tern_arena_string(&r->m->arena, (const char *)node->data.scalar.value);
    return *out ? TERN_OK : tern_no_memory(node->data.scalar.length, r->path);
}

/* A quantity above 0. */
static tern_status read_quantity(const tern_reader *r, yaml_node_t *node, const char *field,
                                 tern_quantity quantity, double clock, double *out)
{
    bool per_cycle = false;
    if (node->type != YAML_SCALAR_NODE)
        return at(r, node, tern_fail(TERN_FAILED, "expected a number with a unit"), field);
    tern_status status =
        tern_parse_quantity((const char *)node->data.scalar.value, quantity, out, &per_cycle);
    if (status == TERN_OK && per_cycle && clock <= 0)
        status = tern_fail(TERN_FAILED, "\"/cycle\" needs a clock before it in the unit");
    if (status == TERN_OK && per_cycle) *out *= clock;
    if (status == TERN_OK && *out <= 0)
        status = tern_fail(TERN_FAILED, "must be above 0; leave it out where it is unknown");
    return status == TERN_OK ? TERN_OK : at(r, node, status, field);
}

/* {f32: 2 /cycle, i8: ..} into an array by format. */
static tern_status read_by_dtype(const tern_reader *r, yaml_node_t *node, const char *field,
                                 tern_quantity quantity, double clock, double *out)
{
    if (node->type != YAML_MAPPING_NODE)
        return at(r, node, tern_fail(TERN_FAILED, "expected formats, for example {f32: 1 /cycle}"), field);
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(r->document, p->key),
                    *value = yaml_document_get_node(r->document, p->value);
        tern_dtype dtype;
        tern_status status = tern_dtype_find((const char *)key->data.scalar.value, &dtype);
        if (status != TERN_OK) return at(r, key, TERN_FAILED, field);
        TERN_TRY(read_quantity(r, value, field, quantity, clock, &out[dtype]));
    }
    return TERN_OK;
}

typedef tern_status tern_field_reader(const tern_reader *r, yaml_node_t *value, int field, void *into);

/* Every key of a mapping must be one of `keys`; each is handed to `read`. */
static tern_status read_mapping(const tern_reader *r, yaml_node_t *node, const char *what,
                                const char *const *keys, size_t count, tern_field_reader *read, void *into)
{
    if (node->type != YAML_MAPPING_NODE)
        return at(r, node, tern_fail(TERN_FAILED, "expected key: value pairs"), what);
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(r->document, p->key),
                    *value = yaml_document_get_node(r->document, p->value);
        if (key->type != YAML_SCALAR_NODE) return at(r, key, tern_fail(TERN_FAILED, "expected a key"), what);
        const char *name = (const char *)key->data.scalar.value;
        size_t k = 0;
        while (k < count && strcmp(keys[k], name) != 0) k++;
        if (k == count) {
            const char *near = tern_nearest(name, keys, count);
            return at(r, key,
                      tern_fail(TERN_FAILED, "unknown key \"%s\"%s%s%s", name,
                                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : ""),
                      what);
        }
        TERN_TRY(read(r, value, (int)k, into));
    }
    return TERN_OK;
}

enum {
    UNIT_NAME,
    UNIT_KIND,
    UNIT_CLOCK,
    UNIT_MAC,
    UNIT_ADD,
    UNIT_MAC_ENERGY,
    UNIT_ADD_ENERGY,
    UNIT_EFFICIENCY,
    UNIT_SOURCE
};
static const char *const unit_keys[] = {"name",       "kind",       "clock",      "mac",   "add",
                                        "mac_energy", "add_energy", "efficiency", "source"};
static const char *const unit_kinds[TERN_UNIT_KINDS] = {"simd", "matrix", "systolic", "event"};

static tern_status read_kind(const tern_reader *r, yaml_node_t *node, tern_unit_kind *kind)
{
    const char *name;
    TERN_TRY(read_text(r, node, "kind", &name));
    for (int i = 0; i < TERN_UNIT_KINDS; i++) {
        if (strcmp(unit_kinds[i], name) != 0) continue;
        *kind = (tern_unit_kind)i;
        return TERN_OK;
    }
    return at(r, node, tern_fail(TERN_FAILED, "found \"%s\", expected simd, matrix, systolic or event", name),
              "kind");
}

static tern_status read_unit_field(const tern_reader *r, yaml_node_t *value, int field, void *into)
{
    tern_unit *u = into;
    const char *name = unit_keys[field];
    char none[] = "", *end = none;
    switch (field) {
    case UNIT_NAME:
        return read_text(r, value, name, &u->name);
    case UNIT_KIND:
        return read_kind(r, value, &u->kind);
    case UNIT_CLOCK:
        return read_quantity(r, value, name, TERN_IN_HERTZ, 0, &u->clock);
    case UNIT_MAC:
        return read_by_dtype(r, value, name, TERN_IN_OPERATIONS, u->clock, u->mac);
    case UNIT_ADD:
        return read_by_dtype(r, value, name, TERN_IN_OPERATIONS, u->clock, u->add);
    case UNIT_MAC_ENERGY:
        return read_by_dtype(r, value, name, TERN_IN_JOULES, 0, u->mac_energy);
    case UNIT_ADD_ENERGY:
        return read_by_dtype(r, value, name, TERN_IN_JOULES, 0, u->add_energy);
    case UNIT_SOURCE:
        return read_text(r, value, name, &u->source);
    default:
        break;
    }
    u->efficiency =
        value->type == YAML_SCALAR_NODE ? strtod((const char *)value->data.scalar.value, &end) : 0;
    if (u->efficiency > 0 && u->efficiency <= 1 && !*end) return TERN_OK;
    return at(r, value, tern_fail(TERN_FAILED, "expected a share above 0 and up to 1"), name);
}

enum {
    TIER_NAME,
    TIER_SIZE,
    TIER_BANDWIDTH,
    TIER_LATENCY,
    TIER_READ,
    TIER_WRITE,
    TIER_PERSISTENT,
    TIER_SOURCE
};
static const char *const tier_keys[] = {"name", "size",  "bandwidth",  "latency",
                                        "read", "write", "persistent", "source"};

static tern_status read_tier_field(const tern_reader *r, yaml_node_t *value, int field, void *into)
{
    tern_tier *t = into;
    const char *name = tier_keys[field], *text;
    switch (field) {
    case TIER_NAME:
        return read_text(r, value, name, &t->name);
    case TIER_SIZE:
        return read_quantity(r, value, name, TERN_IN_BYTES, 0, &t->size);
    case TIER_BANDWIDTH:
        return read_quantity(r, value, name, TERN_IN_BYTES_PER_SECOND, 0, &t->bandwidth);
    case TIER_LATENCY:
        return read_quantity(r, value, name, TERN_IN_SECONDS, 0, &t->latency);
    case TIER_READ:
        return read_quantity(r, value, name, TERN_IN_JOULES_PER_BYTE, 0, &t->read);
    case TIER_WRITE:
        return read_quantity(r, value, name, TERN_IN_JOULES_PER_BYTE, 0, &t->write);
    case TIER_SOURCE:
        return read_text(r, value, name, &t->source);
    default:
        break;
    }
    TERN_TRY(read_text(r, value, name, &text));
    t->persistent = strcmp(text, "true") == 0;
    if (t->persistent || strcmp(text, "false") == 0) return TERN_OK;
    return at(r, value, tern_fail(TERN_FAILED, "found \"%s\", expected true or false", text), name);
}

/* A list of units or memories. */
static tern_status read_list(const tern_reader *r, yaml_node_t *node, bool units)
{
    tern_machine *m = r->m;
    const char *what = units ? "units" : "memories";
    if (node->type != YAML_SEQUENCE_NODE) return at(r, node, tern_fail(TERN_FAILED, "expected a list"), what);
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        yaml_node_t *item = yaml_document_get_node(r->document, *i);
        int *count = units ? &m->unit_count : &m->tier_count;
        if (*count == TERN_MACHINE_PARTS)
            return at(r, item, tern_fail(TERN_FAILED, "more than %d", TERN_MACHINE_PARTS), what);
        if (units) {
            tern_unit *u = &m->units[*count];
            u->efficiency = 1;
            TERN_TRY(read_mapping(r, item, what, unit_keys, TERN_COUNT(unit_keys), read_unit_field, u));
            if (!u->name) return at(r, item, tern_fail(TERN_FAILED, "a unit needs a name"), what);
        } else {
            tern_tier *t = &m->tiers[*count];
            TERN_TRY(read_mapping(r, item, what, tier_keys, TERN_COUNT(tier_keys), read_tier_field, t));
            if (!t->name || t->size <= 0 || t->bandwidth <= 0)
                return at(r, item, tern_fail(TERN_FAILED, "a memory needs a name, a size and a bandwidth"),
                          what);
            if (t->write <= 0) t->write = t->read;
        }
        (*count)++;
    }
    return TERN_OK;
}

enum { NAME, ABOUT, SOURCE, UNITS, MEMORIES, IDLE, LAUNCH };
static const char *const machine_keys[] = {"name", "about", "source", "units", "memories", "idle", "launch"};

static tern_status read_machine_field(const tern_reader *r, yaml_node_t *value, int field, void *into)
{
    tern_machine *m = into;
    switch (field) {
    case NAME:
        return read_text(r, value, "name", &m->name);
    case ABOUT:
        return read_text(r, value, "about", &m->about);
    case SOURCE:
        return read_text(r, value, "source", &m->source);
    case UNITS:
        return read_list(r, value, true);
    case MEMORIES:
        return read_list(r, value, false);
    case IDLE:
        return read_quantity(r, value, "idle", TERN_IN_WATTS, 0, &m->idle);
    default:
        return read_quantity(r, value, "launch", TERN_IN_SECONDS, 0, &m->launch);
    }
}

static tern_status read_document(const tern_reader *r)
{
    yaml_node_t *root = yaml_document_get_root_node(r->document);
    tern_machine *m = r->m;
    if (!root) return tern_fail(TERN_FAILED, "%s: the file is empty, expected a machine", r->path);
    TERN_TRY(read_mapping(r, root, "machine", machine_keys, TERN_COUNT(machine_keys), read_machine_field, m));
    if (!m->name) return tern_fail(TERN_FAILED, "%s: \"name\" is missing", r->path);
    if (!m->about) m->about = "";
    if (m->unit_count == 0 || m->tier_count == 0)
        return tern_fail(TERN_FAILED, "%s: a machine needs at least one of \"units\" and one of \"memories\"",
                         r->path);
    return TERN_OK;
}

tern_status tern_machine_parse(tern_machine **machine, const char *text, size_t count, const char *path)
{
    yaml_parser_t parser;
    yaml_document_t document;
    tern_machine *m = tern_take(sizeof *m);
    if (!m || !yaml_parser_initialize(&parser)) {
        tern_release(m);
        return tern_no_memory(sizeof *m, path);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, count);
    tern_status status;
    if (!yaml_parser_load(&parser, &document)) {
        status = tern_fail(TERN_FAILED, "%s:%zu:%zu: %s", path, parser.problem_mark.line + 1,
                           parser.problem_mark.column + 1, parser.problem ? parser.problem : "not YAML");
    } else {
        status = read_document(&(tern_reader){path, &document, m});
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    if (status == TERN_OK)
        *machine = m;
    else
        tern_machine_close(m);
    return status;
}
#else
tern_status tern_machine_parse(tern_machine **machine, const char *text, size_t count, const char *path)
{
    (void)machine, (void)text, (void)count;
    return tern_fail(TERN_FAILED,
                     "%s: this build of Tern has no libyaml: install its headers and build again", path);
}
#endif

void tern_machine_close(tern_machine *machine)
{
    if (!machine) return;
    tern_arena_free(&machine->arena);
    tern_release(machine);
}
