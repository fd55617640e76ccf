/* llm: chat templates against jinja2's renderings (golden/llm/templates.py), messages, damage, memory that fails. */
#include "damage.h"

#include "llm/template.h"

#include <stdio.h>

#if __has_include(<jansson.h>)
#include <jansson.h>

#define GOLDEN TERN_TESTS "/golden/llm/templates.json"

static json_t *golden_templates;

/* The text, or NULL when it fails; the caller releases it. */
static char *render(const char *source, size_t size, json_t *variables, tern_text *out)
{
    tern_template *t;
    char *json = json_dumps(variables, JSON_COMPACT);
    out->size = 0;
    tern_clear();
    tern_text_put(out, "");
    tern_status status = tern_template_open(&t, source, size, "template");
    if (status == TERN_OK) {
        status = tern_template_render(t, json, strlen(json), out);
        tern_template_close(t);
    }
    free(json);
    if (status != TERN_OK && !strstr(tern_message(), "template:"))
        fail_msg("message without a line: %s", tern_message());
    return status == TERN_OK ? out->data : NULL;
}

static void test_golden(void **state)
{
    (void)state;
    size_t i, k;
    int bad = 0, all = 0;
    json_t *t, *index, *talks = json_object_get(golden_templates, "conversations");
    tern_text out = {0};
    json_array_foreach(json_object_get(golden_templates, "templates"), i, t)
    {
        json_t *source = json_object_get(t, "source"), *texts = json_object_get(t, "texts");
        json_array_foreach(json_object_get(t, "conversations"), k, index)
        {
            const char *expected = json_string_value(json_array_get(texts, k));
            json_t *talk = json_array_get(talks, (size_t)json_integer_value(index));
            const char *found = render(json_string_value(source), json_string_length(source), talk, &out);
            all++;
            if ((!found && !expected) || (found && expected && strcmp(found, expected) == 0)) continue;
            print_message("%s, conversation %d:\n  found    %s\n  expected %s\n",
                          json_string_value(json_object_get(t, "name")), (int)json_integer_value(index),
                          found ? found : tern_message(), expected ? expected : "a failure");
            bad++;
        }
    }
    tern_text_free(&out);
    assert_true(all > 130);
    assert_int_equal(bad, 0);
}

/* Templates of more models, in the folder that TERN_TEMPLATES names. */
static void test_folder(void **state)
{
    (void)state;
    const char *folder = getenv("TERN_TEMPLATES"), *name;
    json_t *hashes, *hash, *talks = json_object_get(golden_templates, "conversations");
    int same = 0, differ = 0, refused = 0;
    tern_text out = {0};
    if (!folder) skip();
    json_object_foreach(json_object_get(golden_templates, "hashes"), name, hashes)
    {
        char path[512], *source;
        size_t size, i;
        snprintf(path, sizeof path, "%s/%s.jinja", folder, name);
        assert_ok(tern_read_file(path, &source, &size));
        json_array_foreach(hashes, i, hash)
        {
            const char *expected = json_string_value(hash),
                       *found = render(source, size, json_array_get(talks, i), &out);
            bool equal = expected && found && strtoull(expected, NULL, 16) == tern_hash(out.data, out.size);
            if (equal || (!expected && !found)) {
                same++;
            } else if (!found) {
                refused++;
                print_message("%s %zu: refused: %s\n", name, i, tern_message());
            } else {
                differ++;
                print_message("%s %zu: differs%s\n", name, i, expected ? "" : ", expected a failure");
            }
        }
        tern_release(source);
    }
    tern_text_free(&out);
    print_message("%d the same, %d differ, %d refused\n", same, differ, refused);
    assert_int_equal(differ, 0);
}

static tern_status render_bytes(const void *bytes, size_t count)
{
    static const char variables[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x \xC3\xA4\"},{\"role\":\"assistant\","
        "\"content\":\"y\",\"n\":[1,2.5,null,true]}],\"bos_token\":\"<s>\"}";
    tern_template *t;
    tern_text out = {0};
    TERN_TRY(tern_template_open(&t, bytes, count, "template"));
    tern_status status = tern_template_render(t, variables, sizeof variables - 1, &out);
    tern_text_free(&out);
    tern_template_close(t);
    return status;
}

static const char everything[] =
    "{#- c #}{% set ns = namespace(a=1) %}{% macro m(x, y='z') %}{{ x ~ y }}{% endmacro %}\n"
    "{% for r, c in [(1, 2), (3, 4)] if r > 0 %}{{ m(r) ~ loop.index }}{% set ns.a = ns.a + c %}{% else "
    "%}-{% endfor %}\n"
    "{% set b %}{{ messages | map(attribute='role') | list | tojson(indent=1) }}{% endset %}{{ b | upper | "
    "replace('U', 'V') }}\n"
    "{% for m in messages[::-1] %}{% if m.content is string and not m.x is defined %}{{ m.content.split('x') "
    "| join(',') }}"
    "{% elif m %}{% break %}{% endif %}{% endfor %}{{ {'a': [1, ns.a]} }}{{ 'a' if ns.a > 3 else range(2) | "
    "list }}";

static void test_out_of_memory(void **state)
{
    (void)state;
    assert_survives_out_of_memory(render_bytes(everything, sizeof everything - 1));
}

static void test_damage(void **state)
{
    (void)state;
    assert_ok(render_bytes(everything, sizeof everything - 1));
    damage_cut(render_bytes, everything, sizeof everything - 1);
    damage_flip(render_bytes, everything, sizeof everything - 1, 3000);
}

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *source, *message;
    } cases[] = {
        {"a\nb\n{{ x", "template:3: \"{{\" without \"}}\""},
        {"{% if x %}a", "template:1: the tag ends, expected endif"},
        {"\n{% include 'x' %}", "template:2: found \"include\", expected for, if, set"},
        {"{{ 1 + }}", "expected a value"},
        {"{{ 'x }}", "a text in quotes does not end"},
        {"{{ a ? b }}", "unexpected character '?'"},
        {"\n\n{{ x.y.z }}", "template:3: \"x\" is undefined"},
        {"{{ 'a' | uper }}", "the filter \"uper\" is not supported, did you mean upper"},
        {"{{ 'a' is strange }}", "the test \"strange\" is not supported"},
        {"{{ raise_exception('no system role') }}", "the chat template refuses: no system role"},
        {"{{ 1 + 'a' }}", "an int + a text: these do not go together"},
        {"{{ 1 // 0 }}", "division by zero"},
        {"{{ messages() }}", "a list is called, expected a function"},
        {"{% set x.y = 1 %}", "expected a namespace"},
        {"{% break %}", "expected a loop around it"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "macros call each other deeper"},
        {"{% for i in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}",
         "too many steps or too much memory"},
        {"{{ 9223372036854775807 + 1 }}", "expected a number below"},
        {"{{ 999999999999999999 * 99 }}", "a number beyond 64 bits"},
    };
    for (size_t i = 0; i < TERN_COUNT(cases); i++)
        assert_error(render_bytes(cases[i].source, strlen(cases[i].source)), TERN_FAILED, cases[i].message);
    tern_template *t;
    tern_text out = {0};
    assert_ok(tern_template_open(&t, "x", 1, "template"));
    assert_error(tern_template_render(t, "[]", 2, &out), TERN_FAILED, "not a JSON object");
    assert_error(tern_template_render(t, "{", 1, &out), TERN_FAILED, "no valid JSON at line 1");
    tern_template_close(t);
    char deep[2000];
    memset(deep, '(', sizeof deep / 2);
    memset(deep + sizeof deep / 2, ')', sizeof deep / 2);
    memcpy(deep, "{{", 2);
    memcpy(deep + sizeof deep - 2, "}}", 2);
    assert_error(render_bytes(deep, sizeof deep), TERN_FAILED, "less nesting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_folder),   cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_messages),
    };
    json_error_t error;
    golden_templates = json_load_file(GOLDEN, 0, &error);
    if (!golden_templates) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(golden_templates);
    return failed;
}
#else
int main(void)
{
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#endif
