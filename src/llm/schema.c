/* JSON schemas to GBNF: a rule for each schema, and for each place among an object's properties. */
#include "llm/grammar.h"

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>
#include <string.h>

#define MOST_RULES 20000
#define MOST_DEPTH 64

/* The rules that all share.  Strings hold no raw control characters; numbers are of a length that readers take. */
static const char common[] = "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n"
                             "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" "
                             "([0-9a-cefA-CEF] [0-9a-fA-F] | [dD] [0-7]) [0-9a-fA-F]{2})\n"
                             "plain ::= [^\"\\\\\\x00-\\x1F\\x7F]\n"
                             "string ::= \"\\\"\" char* \"\\\"\"\n"
                             "integer ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15})\n"
                             "number ::= integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?\n"
                             "boolean ::= \"true\" | \"false\"\n"
                             "null ::= \"null\"\n"
                             "value ::= object | array | string | number | boolean | null\n"
                             "member ::= string ws \":\" ws value\n"
                             "object ::= \"{\" ws (member ws (\",\" ws member ws)*)? \"}\"\n"
                             "array ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n";

typedef struct tern_schema_reader {
    json_t *root;
    json_t *made; /* a list of schemas that were put together here */
    json_t **seen;
    size_t seen_count; /* rule i is of seen[i]; NULL: of no schema */
    tern_text *out;
    int depth;
} tern_schema_reader;

static tern_status schema_fail(const char *what, const char *name)
{
    return tern_fail(TERN_FAILED, "JSON schema: %s \"%s\"", what, name);
}

static tern_status visit(tern_schema_reader *r, json_t *schema, size_t *rule);

static tern_status new_rule(tern_schema_reader *r, json_t *schema, size_t *rule)
{
    if (r->seen_count == MOST_RULES)
        return tern_fail(TERN_FAILED, "JSON schema: more than %d rules", MOST_RULES);
    *rule = r->seen_count;
    r->seen[r->seen_count++] = schema;
    return TERN_OK;
}

/* "r<rule> ::= body"; frees the body. */
static tern_status put_rule(tern_schema_reader *r, size_t rule, tern_text *body, tern_status status)
{
    if (status == TERN_OK) status = tern_text_status(body);
    if (status == TERN_OK) {
        tern_text_format(r->out, "r%zu ::= ", rule);
        tern_text_add(r->out, body->data ? body->data : "\"\"", body->data ? body->size : 2);
        tern_text_put(r->out, "\n");
        status = tern_text_status(r->out);
    }
    tern_text_free(body);
    return status;
}

/* ---- literals ---------------------------------------------------------------------------------------------------------- */

static void put_literal_byte(tern_text *out, char c)
{
    if (c == '"' || c == '\\')
        tern_text_format(out, "\\%c", c);
    else if ((uint8_t)c < 32 || c == 127)
        tern_text_format(out, "\\x%02X", (uint8_t)c);
    else
        tern_text_add(out, &c, 1);
}

static int put_literal(const char *bytes, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) put_literal_byte(out, bytes[i]);
    return 0;
}

/* A value as JSON has it, in quotes of GBNF. */
static tern_status put_constant(tern_text *out, json_t *value)
{
    tern_text_put(out, "\"");
    if (json_dump_callback(value, put_literal, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        return tern_no_memory(0, "a JSON schema");
    tern_text_put(out, "\"");
    return tern_text_status(out);
}

/* ---- objects ------------------------------------------------------------------------------------------------------------ */

/* Names that no property has: beside each prefix of one go other characters, or the end where it is no whole name.  Names
 * are in order, [low, high) share `depth` bytes. */
static tern_status other_names(tern_schema_reader *r, const char **names, size_t low, size_t high,
                               size_t depth, size_t *rule)
{
    tern_text body = {0}, others = {0};
    tern_status status = new_rule(r, NULL, rule);
    bool ends = low < high && !names[low][depth];
    if (++r->depth > MOST_DEPTH * 4)
        return tern_fail(TERN_FAILED, "JSON schema: the name of a property is too long");
    for (size_t i = low + ends, end; i < high && status == TERN_OK; i = end) {
        size_t inner, size = 1;
        const char *at = names[i] + depth;
        while (((uint8_t)at[size] & 0xC0) == 0x80) size++;
        for (end = i + 1; end < high && strncmp(names[end] + depth, at, size) == 0; end++) {
        }
        status = other_names(r, names, i, end, depth + size, &inner);
        tern_text_put(&body, body.size ? " | \"" : "\"");
        for (size_t k = 0; k < size; k++) put_literal_byte(&body, at[k]);
        tern_text_format(&body, "\" r%zu", inner);
        for (size_t k = 0; k < size; k++) {
            if (strchr("]^-\\[", at[k])) tern_text_put(&others, "\\");
            tern_text_add(&others, at + k, 1);
        }
    }
    r->depth--;
    tern_text_format(&body, "%s[^\"\\\\\\x00-\\x1F\\x7F", body.size ? " | " : "");
    if (others.data) tern_text_add(&body, others.data, others.size);
    tern_text_put(&body, ends ? "] plain*" : "] plain* | \"\"");
    if (others.failed) body.failed = true;
    tern_text_free(&others);
    return put_rule(r, *rule, &body, status);
}

/* How properties go that the schema does not name: "" when there are none. */
static tern_status additional(tern_schema_reader *r, json_t *schema, tern_text *member)
{
    json_t *more = json_object_get(schema, "additionalProperties"),
           *named = json_object_get(schema, "properties");
    size_t value, name, count = json_object_size(named), i = 0;
    if (!more ? count != 0 : json_is_false(more)) return TERN_OK;
    if (json_is_true(more) || !more)
        tern_text_put(member, "value");
    else {
        TERN_TRY(visit(r, more, &value));
        tern_text_format(member, "r%zu", value);
    }
    tern_text whole = {0};
    if (!count) {
        tern_text_format(&whole, "string ws \":\" ws %s", member->data ? member->data : "");
    } else {
        const char **names = tern_take_array(count, sizeof *names), *key;
        json_t *unused;
        if (!names) return tern_no_memory(count * sizeof *names, "a JSON schema");
        json_object_foreach(named, key, unused)
        {
            names[i++] = key;
        }
        qsort(names, count, sizeof *names, tern_by_text);
        tern_status status = other_names(r, names, 0, count, 0, &name);
        tern_release(names);
        TERN_TRY(status);
        tern_text_format(&whole, "\"\\\"\" r%zu \"\\\"\" ws \":\" ws %s", name,
                         member->data ? member->data : "");
    }
    if (whole.failed) member->failed = true;
    tern_text_free(member);
    *member = whole;
    return tern_text_status(member);
}

static bool is_required(json_t *schema, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(schema, "required"), i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), name) == 0) return true;
    }
    return false;
}

/* Rules for what can follow from property i on: first (nothing yet), and rest (behind another).  Made from the last one. */
static tern_status members(tern_schema_reader *r, json_t *schema, const char *more, size_t out[2])
{
    json_t *named = json_object_get(schema, "properties");
    size_t count = json_object_size(named), at = count, rules[2] = {0}, next[2];
    const char **names = tern_take_array(count + 1, sizeof *names), *key;
    json_t *unused;
    tern_status status = names ? TERN_OK : tern_no_memory(count * sizeof *names, "a JSON schema");
    if (status == TERN_OK) {
        at = 0;
        json_object_foreach(named, key, unused)
        {
            names[at++] = key;
        }
    }
    for (int rest = 0; rest < 2 && status == TERN_OK; rest++) { /* behind the last property */
        tern_text body = {0};
        status = new_rule(r, NULL, &rules[rest]);
        if (more[0] && rest) tern_text_format(&body, "(\",\" ws %s ws)*", more);
        if (more[0] && !rest) tern_text_format(&body, "(%s ws (\",\" ws %s ws)*)?", more, more);
        status = put_rule(r, rules[rest], &body, status);
    }
    while (at && status == TERN_OK) {
        size_t value = 0;
        const char *name = names[--at];
        memcpy(next, rules, sizeof next);
        status = visit(r, json_object_get(named, name), &value);
        for (int rest = 0; rest < 2 && status == TERN_OK; rest++) {
            tern_text body = {0};
            json_t *text = json_string(name);
            status = new_rule(r, NULL, &rules[rest]);
            if (rest) tern_text_put(&body, "\",\" ws ");
            if (status == TERN_OK)
                status = text ? put_constant(&body, text) : tern_no_memory(0, "a JSON schema");
            tern_text_format(&body, " ws \":\" ws r%zu ws r%zu", value, next[1]);
            if (!is_required(schema, name)) tern_text_format(&body, " | r%zu", next[rest]);
            json_decref(text);
            status = put_rule(r, rules[rest], &body, status);
        }
    }
    tern_release(names);
    memcpy(out, rules, sizeof rules);
    return status;
}

static tern_status object(tern_schema_reader *r, json_t *schema, tern_text *body)
{
    size_t rules[2] = {0}, i;
    json_t *name, *named = json_object_get(schema, "properties");
    tern_text more = {0};
    json_array_foreach(json_object_get(schema, "required"), i, name)
    {
        const char *text = json_is_string(name) ? json_string_value(name) : "?";
        if (!json_object_get(named, text))
            return schema_fail("required, but not among the properties:", text);
    }
    tern_status status = additional(r, schema, &more);
    if (status == TERN_OK) status = members(r, schema, more.data ? more.data : "", rules);
    tern_text_free(&more);
    tern_text_format(body, "\"{\" ws r%zu \"}\"", rules[0]);
    return status;
}

/* ---- arrays, strings ------------------------------------------------------------------------------------------------------ */

/* A bound of the schema: -1 when it is not there. */
static tern_status bound(json_t *schema, const char *key, json_int_t *out)
{
    json_t *value = json_object_get(schema, key);
    *out = -1;
    if (!value) return TERN_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 50000)
        return schema_fail("expected a whole number from 0 to 50000 as", key);
    *out = json_integer_value(value);
    return TERN_OK;
}

static tern_status array(tern_schema_reader *r, json_t *schema, tern_text *body)
{
    json_t *items = json_object_get(schema, "items"), *first = json_object_get(schema, "prefixItems"), *item;
    json_int_t least, most, fixed = (json_int_t)json_array_size(first);
    size_t rule = 0, i;
    char name[32] = "value";
    TERN_TRY(bound(schema, "minItems", &least));
    TERN_TRY(bound(schema, "maxItems", &most));
    if (least < 0) least = 0;
    if (most >= 0 && (most < least || most < fixed))
        return schema_fail("fewer items than are asked for:", "maxItems");
    if (items && !json_is_boolean(items)) {
        TERN_TRY(visit(r, items, &rule));
        snprintf(name, sizeof name, "r%zu", rule);
    }
    tern_text_put(body, "\"[\" ws ");
    json_array_foreach(first, i, item)
    {
        TERN_TRY(visit(r, item, &rule));
        tern_text_format(body, "%sr%zu ws ", i ? "\",\" ws " : "", rule);
    }
    bool open = items ? !json_is_false(items) : !fixed;
    json_int_t low = least > fixed ? least - fixed : 0, high = most >= 0 ? most - fixed : -1;
    if (!open && low) return schema_fail("more items than the schema has:", "minItems");
    if (open && high != 0 && fixed) {
        tern_text_format(body, "(\",\" ws %s ws){%lld,", name, (long long)low);
        tern_text_format(body, high < 0 ? "}" : "%lld}", (long long)high);
    } else if (open && high != 0) {
        tern_text_format(body, "(%s ws (\",\" ws %s ws){%lld,", name, name, (long long)(low ? low - 1 : 0));
        tern_text_format(body, high < 0 ? "})" : "%lld})", (long long)(high - 1));
        if (!low) tern_text_put(body, "?");
    }
    tern_text_put(body, " \"]\"");
    return TERN_OK;
}

static tern_status string(json_t *schema, tern_text *body)
{
    json_int_t least, most;
    TERN_TRY(bound(schema, "minLength", &least));
    TERN_TRY(bound(schema, "maxLength", &most));
    if (most >= 0 && most < least) return schema_fail("fewer characters than are asked for:", "maxLength");
    tern_text_format(body, "\"\\\"\" char{%lld,", (long long)(least < 0 ? 0 : least));
    tern_text_format(body, most < 0 ? "} \"\\\"\"" : "%lld} \"\\\"\"", (long long)most);
    return TERN_OK;
}

/* ---- schemas -------------------------------------------------------------------------------------------------------------- */

static tern_status one_type(tern_schema_reader *r, json_t *schema, const char *type, tern_text *body)
{
    static const char *const plain[] = {"integer", "number", "boolean", "null"};
    for (size_t i = 0; i < TERN_COUNT(plain); i++)
        if (strcmp(type, plain[i]) == 0) {
            tern_text_put(body, type);
            return TERN_OK;
        }
    if (strcmp(type, "string") == 0) return string(schema, body);
    if (strcmp(type, "object") == 0) return object(r, schema, body);
    if (strcmp(type, "array") == 0) return array(r, schema, body);
    return schema_fail("unknown type", type);
}

/* The type that the keywords speak of, where none is given; NULL: any. */
static const char *type_of(json_t *schema)
{
    static const char *const keys[][2] = {
        {"properties", "object"}, {"required", "object"},   {"additionalProperties", "object"},
        {"items", "array"},       {"prefixItems", "array"}, {"minItems", "array"},
        {"maxItems", "array"},    {"minLength", "string"},  {"maxLength", "string"}};
    for (size_t i = 0; i < TERN_COUNT(keys); i++)
        if (json_object_get(schema, keys[i][0])) return keys[i][1];
    return NULL;
}

/* "#/$defs/name": the schema there; "~1" is "/", "~0" is "~". */
static tern_status resolve(tern_schema_reader *r, const char *reference, json_t **out)
{
    json_t *at = r->root;
    const char *p = reference;
    if (*p != '#') return schema_fail("only references within the document are supported, not", reference);
    for (p++; *p == '/' && at;) {
        char key[256];
        size_t size = 0;
        for (p++; *p && *p != '/' && size < sizeof key - 1; p++) {
            bool escape = *p == '~' && (p[1] == '0' || p[1] == '1');
            key[size++] = escape ? (p[1] == '0' ? '~' : '/') : *p;
            p += escape;
        }
        key[size] = 0;
        at =
            json_is_array(at) ? json_array_get(at, (size_t)strtoul(key, NULL, 10)) : json_object_get(at, key);
    }
    if (!at || *p) return schema_fail("nothing is at", reference);
    *out = at;
    return TERN_OK;
}

static tern_status alternatives(tern_schema_reader *r, json_t *list, tern_text *body)
{
    size_t i, rule;
    json_t *item;
    if (!json_array_size(list)) return schema_fail("expected a list of schemas as", "anyOf");
    json_array_foreach(list, i, item)
    {
        TERN_TRY(visit(r, item, &rule));
        tern_text_format(body, "%sr%zu", i ? " | " : "", rule);
    }
    return TERN_OK;
}

/* allOf: objects whose properties are put together. */
static tern_status together(tern_schema_reader *r, json_t *schema, tern_text *body)
{
    json_t *list = json_object_get(schema, "allOf"), *whole = json_object(), *item, *value;
    json_t *properties = json_object(), *required = json_array();
    const char *key;
    size_t i, k, count = json_array_size(list);
    tern_status status = TERN_OK;
    json_object_set_new(whole, "type", json_string("object"));
    json_object_set_new(whole, "properties", properties);
    json_object_set_new(whole, "required", required);
    json_array_append_new(r->made, whole);
    for (i = 0; i <= count && status == TERN_OK; i++) {
        item = i < count ? json_array_get(list, i) : schema;
        json_t *reference = json_object_get(item, "$ref");
        if (json_is_string(reference)) status = resolve(r, json_string_value(reference), &item);
        json_object_foreach(item, key, value)
        {
            static const char *const known[] = {
                "type",  "properties",  "required", "allOf",  "title", "description", "additionalProperties",
                "$defs", "definitions", "$ref",     "$schema"};
            bool good = false;
            for (k = 0; k < TERN_COUNT(known); k++) good = good || strcmp(key, known[k]) == 0;
            if (strcmp(key, "allOf") == 0 && i < count) good = false;
            if (!good && status == TERN_OK)
                status = schema_fail("allOf is supported for plain objects, not with", key);
        }
        json_object_foreach(json_object_get(item, "properties"), key, value)
        {
            json_object_set(properties, key, value);
        }
        json_array_extend(required, json_object_get(item, "required"));
        value = json_object_get(item, "additionalProperties");
        if (value) json_object_set(whole, "additionalProperties", value);
    }
    return status == TERN_OK ? object(r, whole, body) : status;
}

static tern_status check_keywords(json_t *schema)
{
    static const char *const unsupported[] = {"pattern",
                                              "minimum",
                                              "maximum",
                                              "exclusiveMinimum",
                                              "exclusiveMaximum",
                                              "multipleOf",
                                              "uniqueItems",
                                              "minProperties",
                                              "maxProperties",
                                              "not",
                                              "if",
                                              "then",
                                              "else",
                                              "contains",
                                              "patternProperties",
                                              "propertyNames",
                                              "dependentRequired",
                                              "dependentSchemas",
                                              "dependencies",
                                              "unevaluatedProperties",
                                              "unevaluatedItems",
                                              "minContains",
                                              "maxContains",
                                              "$dynamicRef"};
    for (size_t i = 0; i < TERN_COUNT(unsupported); i++)
        if (json_object_get(schema, unsupported[i]))
            return schema_fail("this keyword is not supported:", unsupported[i]);
    return TERN_OK;
}

static tern_status any_of_types(tern_schema_reader *r, json_t *schema, json_t *types, tern_text *body)
{
    size_t i;
    json_t *type;
    if (!json_array_size(types)) return schema_fail("expected a text or a list as", "type");
    json_array_foreach(types, i, type)
    {
        if (i) tern_text_put(body, " | ");
        TERN_TRY(one_type(r, schema, json_is_string(type) ? json_string_value(type) : "?", body));
    }
    return TERN_OK;
}

static tern_status describe(tern_schema_reader *r, json_t *schema, tern_text *body)
{
    json_t *reference = json_object_get(schema, "$ref"), *list = json_object_get(schema, "enum"), *item;
    json_t *any = json_object_get(schema, "anyOf"), *type = json_object_get(schema, "type");
    size_t i, rule;
    if (json_is_boolean(schema)) {
        tern_text_put(body, "value");
        return json_is_true(schema) ? TERN_OK : schema_fail("nothing satisfies", "false");
    }
    if (!json_is_object(schema))
        return tern_fail(TERN_FAILED, "JSON schema: a schema is neither an object nor true or false");
    TERN_TRY(check_keywords(schema));
    if (!any) any = json_object_get(schema, "oneOf");
    if (json_is_string(reference)) {
        json_t *there;
        TERN_TRY(resolve(r, json_string_value(reference), &there));
        TERN_TRY(visit(r, there, &rule));
        tern_text_format(body, "r%zu", rule);
        return TERN_OK;
    }
    if (json_object_get(schema, "const")) return put_constant(body, json_object_get(schema, "const"));
    if (list && !json_array_size(list)) return schema_fail("expected a list of values as", "enum");
    json_array_foreach(list, i, item)
    {
        if (i) tern_text_put(body, " | ");
        TERN_TRY(put_constant(body, item));
    }
    if (list) return TERN_OK;
    if (json_object_get(schema, "allOf")) return together(r, schema, body);
    if (any && type_of(schema))
        return schema_fail("anyOf and oneOf are not supported together with other keywords, such as those of",
                           type_of(schema));
    if (any) return alternatives(r, any, body);
    if (json_is_string(type)) return one_type(r, schema, json_string_value(type), body);
    if (type) return any_of_types(r, schema, type, body);
    if (type_of(schema)) return one_type(r, schema, type_of(schema), body);
    tern_text_put(body, "value");
    return TERN_OK;
}

/* The rule of a schema: made once, so that schemas may refer to themselves. */
static tern_status visit(tern_schema_reader *r, json_t *schema, size_t *rule)
{
    tern_text body = {0};
    for (size_t i = 0; i < r->seen_count && json_is_object(schema); i++)
        if (r->seen[i] == schema) {
            *rule = i;
            return TERN_OK;
        }
    if (++r->depth > MOST_DEPTH)
        return tern_fail(TERN_FAILED, "JSON schema: nests deeper than %d", MOST_DEPTH);
    TERN_TRY(new_rule(r, schema, rule));
    tern_status status = describe(r, schema, &body);
    r->depth--;
    return put_rule(r, *rule, &body, status);
}

tern_status tern_schema_grammar(tern_text *gbnf, const char *schema, size_t size)
{
    json_error_t error;
    json_t *root = json_loadb(schema, size, JSON_DECODE_ANY, &error);
    size_t rule;
    if (!root)
        return tern_fail(TERN_FAILED, "JSON schema: no valid JSON at line %d column %d: %s", error.line,
                         error.column, error.text);
    tern_schema_reader r = {.root = root, .made = json_array(), .out = gbnf};
    r.seen = tern_take_array(MOST_RULES, sizeof *r.seen);
    tern_status status =
        r.seen && r.made ? TERN_OK : tern_no_memory(MOST_RULES * sizeof *r.seen, "a JSON schema");
    tern_text_put(gbnf, common);
    if (status == TERN_OK) status = visit(&r, root, &rule);
    tern_text_put(gbnf, "root ::= r0\n");
    if (status == TERN_OK) status = tern_text_status(gbnf);
    tern_release(r.seen);
    json_decref(r.made);
    json_decref(root);
    return status;
}
#else
tern_status tern_schema_grammar(tern_text *gbnf, const char *schema, size_t size)
{
    (void)gbnf, (void)schema, (void)size;
    return tern_fail(
        TERN_FAILED,
        "this build of Tern has no jansson and cannot read JSON schemas: install jansson's headers "
        "and build again");
}
#endif
