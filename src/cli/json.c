/* JSON documents: read, written whole, printed; and what several commands put into them. */
#include "cli/cli.h"
#include "io/io.h"

#include <string.h>

static char *dump(json_t *document)
{
    char *text = json_dumps(document, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    json_decref(document);
    return text;
}

tern_status tern_print_json(json_t *document)
{
    char *text = document ? dump(document) : NULL;
    if (!text) return tern_no_memory(0, "a JSON document");
    puts(text);
    tern_release(text);
    return TERN_OK;
}

tern_status tern_write_json(const char *path, json_t *document)
{
    char *text = document ? dump(document) : NULL;
    if (!text) return tern_no_memory(0, "a JSON document");
    tern_status status = tern_write_file(path, text, strlen(text));
    tern_release(text);
    return status;
}

tern_status tern_read_json(const char *path, json_t **document)
{
    char *text;
    size_t count;
    json_error_t error;
    TERN_TRY(tern_read_file(path, &text, &count));
    *document = json_loadb(text, count, JSON_REJECT_DUPLICATES, &error);
    tern_release(text);
    if (*document) return TERN_OK;
    return tern_fail(TERN_FAILED, "%s:%d:%d: %s", path, error.line, error.column, error.text);
}

json_t *tern_parameters_json(const tern_net *net, const void *parameters)
{
    json_t *object = json_object();
    for (const tern_option *o = net->options; o->name; o++) {
        double value = 0;
        tern_net_get(net, parameters, o->name, &value);
        json_object_set_new(object, o->name, o->real ? json_real(value) : json_integer((json_int_t)value));
    }
    return object;
}

json_t *tern_work_json(const tern_work *work)
{
    return json_pack("{s:f,s:f,s:f,s:f}", "macs", work->macs, "accumulates", work->accumulates, "specials",
                     work->specials, "elementwise", work->elementwise);
}
