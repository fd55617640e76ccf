/* llm: grammars and JSON schemas: which texts they have, masks of tokens against every token tried, random texts under a
 * grammar, which must be among its texts (and, of a schema, satisfy it by a check of its own). */
#include "damage.h"

#include "llm/grammar.h"

#include <stdio.h>

#if __has_include(<jansson.h>)
#include <jansson.h>

static tern_tokenizer *tokenizer; /* byte-level: characters come in parts */

static bool matches(const char *gbnf, const char *text, bool *begins)
{
    tern_grammar *g;
    bool whole;
    assert_ok(tern_grammar_open(&g, gbnf, strlen(gbnf)));
    assert_ok(tern_grammar_match(g, text, strlen(text), begins, &whole));
    tern_grammar_close(g);
    return whole;
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *gbnf, *yes, *no; /* texts, separated by | */
    } cases[] = {
        {"root ::= \"a\" | \"bc\"", "a|bc", "b|c|abc|"},
        {"root ::= [a-c]+ [^a-c]", "ax|abc1|bb ", "a|x|abca"},
        {"root ::= x{2,3} y?\nx ::= \"no\" # twice or three times\ny ::= .",
         "nono|nonono|nono!|nonono\xE2\x82\xAC", "no|nonononono"},
        {"root ::= (\"ab\" | \"c\")* \"d\"", "d|abd|cabcd", "a|abc"},
        {"root ::= \"(\" root \")\" | \"\"", "|()|((()))", "(|())|)("},
        {"root ::= \"x\"{3} \"yz\"{0,1} [0-9]{1,}", "xxx1|xxxyz42", "xx1|xxx|xxxyzyz1"},
        {"root ::= a |\n  b\n  | c\na ::= \"1\"\nb ::= \"2\"\nc ::= \"3\"", "1|2|3", "4"},
        {"root ::= [\\x41-\\u005A\\n\\]\\\\\\-] \"\\\"\\\\\"", "A\"\\|Z\"\\|\n\"\\|]\"\\|\\\"\\|-\"\\",
         "a\"\\"},
        {"root ::= [\xC3\xA4-\xC3\xBC]+ [^\xE2\x82\xAC\xF0\x9F\x98\x80]",
         "\xC3\xA4\xC3\xB6x|\xC3\xBC\xE2\x82\xAB", "\xC3\xBF|\xC3\xA4\xE2\x82\xAC|\xC3\xA4\xF0\x9F\x98\x80"},
        {"root ::= (a b)? c\na ::= \"x\"?\nb ::= \"y\"?\nc ::= \"z\"", "z|xz|yz|xyz", "x|yxz"},
        {"root ::= \"a\"++++++++++++++++++++++++ \"b\"?? \"c\"?+ \"d\"+?{2}", "a|aab|abcc|addd",
         "b|abbc|ada"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++)
        for (int no = 0; no < 2; no++) {
            char texts[256], *at = texts, *end;
            snprintf(texts, sizeof texts, "%s|", no ? cases[i].no : cases[i].yes);
            for (; (end = strchr(at, '|')) != NULL; at = end + 1) {
                bool begins;
                *end = 0;
                if (matches(cases[i].gbnf, at, &begins) == no)
                    fail_msg("grammar %zu %s \"%s\"", i, no ? "takes" : "refuses", at);
            }
        }
    bool begins;
    assert_false(matches("root ::= \"\xE2\x82\xAC\"", "\xE2\x82", &begins));
    assert_true(begins);
    assert_false(matches("root ::= \"\xE2\x82\xAC\"", "\xE2\x83", &begins));
    assert_false(begins);
    assert_false(matches("root ::= .", "\xED\xA0", &begins)); /* the beginning of half a surrogate pair */
    assert_false(begins);
}

static tern_status open_text(const char *text, size_t size)
{
    tern_grammar *g;
    bool begins, whole;
    TERN_TRY(tern_grammar_open(&g, text, size));
    tern_status status = tern_grammar_match(g, "{\"a\": [1, 2]}", 13, &begins, &whole);
    tern_grammar_close(g);
    return status;
}

static tern_status open_bytes(const void *bytes, size_t count)
{
    return open_text(bytes, count);
}

/* Each level doubles the ways to read a text: an error, and soon. */
static void test_too_ambiguous(void **state)
{
    (void)state;
    char gbnf[256] = "root ::= ";
    for (int i = 0; i < 24; i++) strcat(gbnf, "(");
    strcat(gbnf, ".");
    for (int i = 0; i < 24; i++) strcat(gbnf, "+)");
    assert_error(open_text(gbnf, strlen(gbnf)), TERN_FAILED, "too ambiguous");
}

static tern_status schema_bytes(const void *bytes, size_t count)
{
    tern_text gbnf = {0};
    tern_status status = tern_schema_grammar(&gbnf, bytes, count);
    if (status == TERN_OK) status = open_text(gbnf.data, gbnf.size);
    tern_text_free(&gbnf);
    return status;
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *gbnf, *message;
    } grammars[] = {
        {"", "there is no rule \"root\""},
        {"root ::= a", "the rule \"a\" is used, but not defined"},
        {"root ::= \"a", "line 1: quotes that do not end"},
        {"root ::= \"a\"\n\nx = y", "line 3: expected ::="},
        {"root ::= (\"a\"", "\"(\" without \")\""},
        {"root ::= [z-a]", "a range whose end comes before"},
        {"root ::= \"\\q\"", "an unknown escape"},
        {"root ::= root \"a\" | \"b\"", "the rule \"root\" can begin with itself"},
        {"root ::= a\na ::= \"\" b\nb ::= a", "can begin with itself"},
        {"root ::= (\"a\"?)*", "(a group)\" can begin with itself"},
        {"root ::= \"a\"{3,2}", "with m <= n"},
        {"root ::= \"a\"\nroot ::= \"b\"", "line 2: a rule of this name is there already"},
        {"root ::= \"a\" )", "expected the end of the line"},
    };
    static const struct {
        const char *schema, *message;
    } schemas[] = {
        {"{", "no valid JSON at line 1"},
        {"7", "neither an object nor true or false"},
        {"{\"type\":\"strange\"}", "unknown type \"strange\""},
        {"{\"type\":\"string\",\"pattern\":\"a\"}", "not supported: \"pattern\""},
        {"{\"$ref\":\"#/$defs/x\"}", "nothing is at \"#/$defs/x\""},
        {"{\"$ref\":\"http://x\"}", "only references within the document"},
        {"{\"$ref\":\"#\"}", "can begin with itself"},
        {"{\"properties\":{},\"required\":[\"a\"]}", "not among the properties: \"a\""},
        {"{\"minItems\":3,\"maxItems\":2}", "fewer items than are asked for"},
        {"{\"type\":\"array\",\"minItems\":-1}", "as \"minItems\""},
        {"false", "nothing satisfies"},
        {"{\"allOf\":[{\"enum\":[1]}]}", "not with \"enum\""},
    };
    for (size_t i = 0; i < TERN_COUNT(grammars); i++)
        assert_error(open_text(grammars[i].gbnf, strlen(grammars[i].gbnf)), TERN_FAILED, grammars[i].message);
    for (size_t i = 0; i < TERN_COUNT(schemas); i++)
        assert_error(schema_bytes(schemas[i].schema, strlen(schemas[i].schema)), TERN_FAILED,
                     schemas[i].message);
}

/* ---- tokens -------------------------------------------------------------------------------------------------------------- */

static bool allowed(const uint64_t *mask, int32_t id)
{
    return mask[id / 64] >> (id % 64) & 1;
}

static int count_allowed(const uint64_t *mask, int32_t n)
{
    int count = 0;
    for (int32_t id = 0; id < n; id++) count += allowed(mask, id);
    return count;
}

static int32_t nth_allowed(const uint64_t *mask, int32_t n, uint64_t nth)
{
    for (int32_t id = 0; id < n; id++)
        if (allowed(mask, id) && nth-- == 0) return id;
    return -1;
}

/* Every bit of the mask against the text with that token behind it. */
static void check_mask(const tern_grammar *g, const tern_text *text, const uint64_t *mask)
{
    int32_t n = tern_tokenizer_vocabulary(tokenizer)->count;
    for (int32_t id = 0; id < n; id++) {
        size_t size;
        const char *bytes = tern_token_bytes(tokenizer, id, &size);
        bool begins, whole;
        tern_text next = {0};
        if (tern_token_is_control(tokenizer, id)) continue;
        if (text->size) tern_text_add(&next, text->data, text->size);
        tern_text_add(&next, bytes, size);
        assert_ok(tern_grammar_match(g, next.data, next.size, &begins, &whole));
        if (begins != allowed(mask, id))
            fail_msg("behind \"%s\" token %d \"%.*s\": mask says %d", text->data ? text->data : "", id,
                     (int)size, bytes, !begins);
        tern_text_free(&next);
    }
}

/* A random text under the grammar: each token is one of those that are allowed; towards the end, the end when it can be,
 * or a token that closes something.  False when it got too long. */
static bool random_text(const tern_grammar *g, uint64_t seed, tern_text *text)
{
    tern_constraint *c;
    int32_t n = tern_tokenizer_vocabulary(tokenizer)->count, end = tern_token_find(tokenizer, "</s>", 4);
    tern_rng rng = {seed, 9};
    bool done = false;
    assert_ok(tern_constraint_open(&c, g, tokenizer, &end, 1));
    text->size = 0;
    tern_text_put(text, "");
    for (uint64_t i = 0; i < 600 && !done; i++) {
        const uint64_t *mask;
        size_t size;
        assert_ok(tern_constraint_mask(c, &mask));
        int count = count_allowed(mask, n);
        if (!count) fail_msg("nothing can follow \"%s\"", text->data);
        if (i < 3 && seed < 3) check_mask(g, text, mask);
        int32_t id = nth_allowed(mask, n, tern_rng_below(rng, 2 * i, (uint64_t)count));
        assert_int_equal(allowed(mask, end), tern_constraint_may_end(c));
        for (const char *close = i > 40 ? "\"]}," : ""; *close; close++) { /* likelier to come to an end */
            int32_t closing = tern_token_find(tokenizer, close, 1);
            if (closing >= 0 && allowed(mask, closing) && tern_rng_below(rng, 2 * i + 1, 3)) id = closing;
        }
        if (i > 40 && allowed(mask, end)) id = end;
        assert_ok(tern_constraint_accept(c, id));
        done = id == end;
        const char *bytes = tern_token_bytes(tokenizer, id, &size);
        if (!done) tern_text_add(text, bytes, size);
    }
    tern_constraint_close(c);
    return done;
}

static const char json_gbnf[] =
    "root ::= object\nvalue ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\" ws\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | [\\\\] ([\"\\\\bfnrt] | \"u\" [0-9a-bA-B]{4}))* "
    "\"\\\"\" ws\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,1})? ws\n"
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

static void test_random_texts(void **state)
{
    (void)state;
    static const char *const grammars[] = {
        json_gbnf,
        "root ::= [\xC3\xA0-\xC3\xBF\xF0\x9F\x98\x80-\xF0\x9F\x98\x8F]{3,9} \" \" [^ -~]+ | (\"the\" | "
        "\"then\" | \"the n\")+",
        "root ::= sum\nsum ::= product ([-+] product)*\nproduct ::= atom ([*/] atom)*\natom ::= [0-9]+ | "
        "\"(\" sum \")\" | [a-z]+",
    };
    tern_text text = {0};
    int whole_texts = 0;
    for (size_t i = 0; i < TERN_COUNT(grammars); i++) {
        tern_grammar *g;
        assert_ok(tern_grammar_open(&g, grammars[i], strlen(grammars[i])));
        for (uint64_t seed = 0; seed < 60; seed++) {
            bool begins, whole, done = random_text(g, seed, &text);
            assert_ok(tern_grammar_match(g, text.data, text.size, &begins, &whole));
            assert_true(begins);
            if (done) assert_true(whole);
            whole_texts += done;
            json_t *j = done && i == 0 ? json_loadb(text.data, text.size, JSON_ALLOW_NUL, NULL) : NULL;
            if (done && i == 0 && !j) fail_msg("no JSON: %s", text.data);
            json_decref(j);
        }
        tern_grammar_close(g);
    }
    tern_text_free(&text);
    if (whole_texts < 140) fail_msg("only %d of 180 texts came to an end", whole_texts);
}

static void test_constraint_ends(void **state)
{
    (void)state;
    tern_grammar *g;
    tern_constraint *c;
    const uint64_t *mask;
    int32_t end = tern_token_find(tokenizer, "</s>", 4), a = tern_token_find(tokenizer, "a", 1),
            b = tern_token_find(tokenizer, "b", 1);
    int32_t n = tern_tokenizer_vocabulary(tokenizer)->count;
    assert_ok(tern_grammar_open(&g, "root ::= \"a\"", 12));
    assert_ok(tern_constraint_open(&c, g, tokenizer, &end, 1));
    for (int round = 0; round < 2; round++) {
        assert_ok(tern_constraint_mask(c, &mask));
        assert_true(allowed(mask, a) && count_allowed(mask, n) == 1);
        assert_error(tern_constraint_accept(c, b), TERN_FAILED, "\"b\" is not what the grammar allows here");
        assert_error(tern_constraint_accept(c, end), TERN_FAILED, "is not what the grammar allows here");
        assert_ok(tern_constraint_accept(c, a));
        assert_ok(tern_constraint_mask(c, &mask));
        assert_true(allowed(mask, end) && count_allowed(mask, n) == 1);
        assert_ok(tern_constraint_accept(c, end));
        assert_ok(tern_constraint_mask(c, &mask));
        assert_true(allowed(mask, end) && count_allowed(mask, n) == 1);
        assert_ok(tern_constraint_reset(c));
    }
    tern_constraint_close(c);
    tern_grammar_close(g);
    assert_ok(tern_grammar_open(&g, "root ::= \"a\"", 12));
    assert_error(tern_constraint_open(&c, g, tokenizer, &n, 1), TERN_USAGE, "end token");
    tern_grammar_close(g);
}

/* ---- schemas ---------------------------------------------------------------------------------------------------------------- */

/* Is the value as the schema says?  The keywords of the tests below, by their definitions in the JSON Schema standard. */
static bool valid(json_t *root, json_t *schema, json_t *v)
{
    static const char *const types[] = {"object", "array", "string", "integer",
                                        "real",   "true",  "false",  "null"};
    json_t *x, *any = json_object_get(schema, "anyOf"), *all = json_object_get(schema, "allOf"),
               *p = json_object_get(schema, "properties");
    size_t i;
    const char *key;
    if (json_is_boolean(schema)) return json_is_true(schema);
    if ((x = json_object_get(schema, "$ref")) != NULL)
        return valid(
            root,
            strcmp(json_string_value(x), "#") == 0
                ? root
                : json_object_get(json_object_get(root, "$defs"), strrchr(json_string_value(x), '/') + 1),
            v);
    if ((x = json_object_get(schema, "const")) != NULL && !json_equal(x, v)) return false;
    bool one = !json_object_get(schema, "enum");
    json_array_foreach(json_object_get(schema, "enum"), i, x) one = one || json_equal(x, v);
    bool some = !any;
    json_array_foreach(any, i, x) some = some || valid(root, x, v);
    json_array_foreach(all, i, x) some = some && valid(root, x, v);
    json_t *type = json_object_get(schema, "type"), *list = json_is_array(type) ? json_incref(type)
                                                            : type              ? json_pack("[O]", type)
                                                                                : json_array();
    bool typed = !type;
    json_array_foreach(list, i, x)
    {
        const char *name = json_string_value(x), *own = types[json_typeof(v)];
        typed = typed || strcmp(name, own) == 0 || (strcmp(name, "number") == 0 && json_is_number(v)) ||
                (strcmp(name, "boolean") == 0 && json_is_boolean(v));
    }
    json_decref(list);
    if (!one || !some || !typed) return false;
    if (json_is_string(v)) {
        size_t length = 0;
        for (const char *c = json_string_value(v); c < json_string_value(v) + json_string_length(v); c++)
            length += ((uint8_t)*c & 0xC0) != 0x80;
        if ((x = json_object_get(schema, "minLength")) != NULL && (json_int_t)length < json_integer_value(x))
            return false;
        if ((x = json_object_get(schema, "maxLength")) != NULL && (json_int_t)length > json_integer_value(x))
            return false;
    }
    if (json_is_array(v)) {
        size_t fixed = json_array_size(json_object_get(schema, "prefixItems"));
        if ((x = json_object_get(schema, "minItems")) != NULL &&
            (json_int_t)json_array_size(v) < json_integer_value(x))
            return false;
        if ((x = json_object_get(schema, "maxItems")) != NULL &&
            (json_int_t)json_array_size(v) > json_integer_value(x))
            return false;
        json_array_foreach(v, i, x)
        {
            json_t *item = i < fixed ? json_array_get(json_object_get(schema, "prefixItems"), i)
                                     : json_object_get(schema, "items");
            if (item && !valid(root, item, x)) return false;
        }
    }
    if (!json_is_object(v)) return true;
    json_array_foreach(json_object_get(schema, "required"), i,
                       x) if (!json_object_get(v, json_string_value(x))) return false;
    json_object_foreach(v, key, x)
    {
        json_t *known = json_object_get(p, key), *more = json_object_get(schema, "additionalProperties");
        if (!valid(root, known ? known : more ? more : json_true(), x)) return false;
    }
    return true;
}

static const char *const schemas[] = {
    "{}",
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":5},"
    "\"age\":{\"type\":\"integer\"},"
    "\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\\\"\",3,null]},\"minItems\":1,\"maxItems\":"
    "3}},\"required\":[\"name\",\"tags\"]}",
    "{\"properties\":{\"a\":{\"type\":\"boolean\"},\"ab\":{\"type\":\"null\"},\"\\u00e4b\":{\"const\":{\"x\":"
    "[1]}}},\"additionalProperties\":{\"type\":\"integer\"}}",
    "{\"$ref\":\"#/$defs/"
    "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":[\"number\",\"string\"]}"
    ","
    "\"next\":{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/"
    "node\"}]}},\"required\":[\"v\",\"next\"],\"additionalProperties\":false}}}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":{\"type\":"
    "\"boolean\"},\"maxItems\":4,\"minItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\"},\"maxItems\":0}",
    "{\"allOf\":[{\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"]},{\"properties\":{\"y\":"
    "{\"type\":\"null\"}},\"required\":[\"y\"]}]}",
    "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"array\",\"minItems\":2,\"items\":{\"type\":"
    "\"integer\"}}}",
    "{\"anyOf\":[{\"const\":\"yes\"},{\"enum\":[1,2.5,true]},{\"type\":\"object\",\"properties\":{}}]}",
};

static void test_schemas(void **state)
{
    (void)state;
    tern_text text = {0};
    int done = 0;
    for (size_t i = 0; i < TERN_COUNT(schemas); i++) {
        tern_text gbnf = {0};
        tern_grammar *g;
        json_t *schema = json_loads(schemas[i], 0, NULL);
        assert_ok(tern_schema_grammar(&gbnf, schemas[i], strlen(schemas[i])));
        assert_ok(tern_grammar_open(&g, gbnf.data, gbnf.size));
        for (uint64_t seed = 10; seed < 50; seed++) {
            if (!random_text(g, seed, &text)) continue;
            done++;
            json_t *value = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            if (!value) fail_msg("schema %zu: no JSON: %s", i, text.data);
            if (!valid(schema, schema, value)) fail_msg("schema %zu is not satisfied by %s", i, text.data);
            json_decref(value);
        }
        tern_grammar_close(g);
        tern_text_free(&gbnf);
        json_decref(schema);
    }
    tern_text_free(&text);
    if (done < 200) fail_msg("only %d of 360 texts came to an end", done);
}

/* What a schema's grammar must take, and must not. */
static void test_schema_texts(void **state)
{
    (void)state;
    static const struct {
        int schema;
        bool whole;
        const char *text;
    } cases[] = {
        {1, true, "{\"name\":\"Bob\",\"tags\":[\"a\"]}"},
        {1, true, "{ \"name\": \"B\\u00e4b\", \"age\": -12, \"tags\": [ \"b\\\"\", 3, null ] }"},
        {1, false, "{\"name\":\"Bob\"}"},
        {1, false, "{\"name\":\"B\",\"tags\":[\"a\"]}"},
        {1, false, "{\"name\":\"Bob\",\"tags\":[]}"},
        {1, false, "{\"name\":\"Bob\",\"tags\":[\"a\"],\"x\":1}"},
        {2, true, "{}"},
        {2, true, "{\"a\":true,\"ac\":5,\"b\":6,\"\":7}"},
        {2, false, "{\"ab\":5}"},
        {2, true, "{\"\xC3\xA4\x62\":{\"x\":[1]},\"\xC3\xA4\":1,\"\xC3\xA5\":2}"},
        {3, true, "{\"v\":1.5e3,\"next\":{\"v\":\"x\",\"next\":null}}"},
        {3, false, "{\"v\":true,\"next\":null}"},
        {4, true, "[1, \"x\", true]"},
        {4, false, "[1, \"x\"]"},
        {5, true, "[]"},
        {5, false, "[1]"},
        {0, true, "{\"a\":[1,{\"b\":null}],\"c\":\"\\n\"}"},
        {0, false, "{\"a\":01}"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++) {
        tern_text gbnf = {0};
        bool begins;
        assert_ok(tern_schema_grammar(&gbnf, schemas[cases[i].schema], strlen(schemas[cases[i].schema])));
        if (matches(gbnf.data, cases[i].text, &begins) != cases[i].whole)
            fail_msg("schema %d %s %s", cases[i].schema, cases[i].whole ? "refuses" : "takes", cases[i].text);
        tern_text_free(&gbnf);
    }
}

static tern_status constrain(void)
{
    tern_grammar *g;
    tern_constraint *c = NULL;
    const uint64_t *mask;
    TERN_TRY(tern_grammar_open(&g, json_gbnf, sizeof json_gbnf - 1));
    tern_status status = tern_constraint_open(&c, g, tokenizer, NULL, 0);
    for (const char *p = "{\"a\":[1]"; *p && status == TERN_OK; p++) {
        status = tern_constraint_mask(c, &mask);
        if (status == TERN_OK) status = tern_constraint_accept(c, tern_token_find(tokenizer, p, 1));
    }
    tern_constraint_close(c);
    tern_grammar_close(g);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(constrain());
    assert_survives_out_of_memory(open_text(json_gbnf, sizeof json_gbnf - 1));
    for (size_t i = 1; i < 5; i++)
        assert_survives_out_of_memory(schema_bytes(schemas[i], strlen(schemas[i])));
}

static void test_damage(void **state)
{
    (void)state;
    damage_cut(open_bytes, json_gbnf, sizeof json_gbnf - 1);
    damage_flip(open_bytes, json_gbnf, sizeof json_gbnf - 1, 2000);
    for (size_t i = 1; i < TERN_COUNT(schemas); i++) {
        damage_cut(schema_bytes, schemas[i], strlen(schemas[i]));
        damage_flip(schema_bytes, schemas[i], strlen(schemas[i]), 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),           cmocka_unit_test(test_too_ambiguous),
        cmocka_unit_test(test_messages),        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_constraint_ends), cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_schema_texts),    cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_damage),
    };
    if (tern_tokenizer_read(&tokenizer, TERN_TESTS "/golden/llm/bpe-gpt2.json") != TERN_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tern_tokenizer_close(tokenizer);
    return failed;
}
#else
int main(void)
{
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#endif
