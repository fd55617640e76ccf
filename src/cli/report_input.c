/* The files of a run folder, read and checked before a line of the page is written. */
#include "cli/report.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

double tern_number_in(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

const char *tern_text_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static const char *kind_of(const json_t *value)
{
    if (!value) return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a truth value";
    }
}

typedef enum tern_json_kind { AN_OBJECT, AN_ARRAY, A_TEXT, A_NUMBER, A_TRUTH_VALUE } tern_json_kind;
static const char *const kind_names[] = {"an object", "an array", "a text", "a number", "a truth value"};

static bool is_kind(const json_t *v, tern_json_kind kind)
{
    return kind == AN_OBJECT  ? json_is_object(v)
           : kind == AN_ARRAY ? json_is_array(v)
           : kind == A_TEXT   ? json_is_string(v)
           : kind == A_NUMBER ? json_is_number(v)
                              : json_is_boolean(v);
}

/* A field that a section reads. */
typedef struct tern_expected {
    const char *name; /* NULL ends a list */
    tern_json_kind kind;
    bool optional;
} tern_expected;

static tern_status check_fields(const json_t *object, const tern_expected *fields, const char *where)
{
    if (!json_is_object(object))
        return tern_fail(TERN_FAILED, "%s: expected an object, found %s", where, kind_of(object));
    for (const tern_expected *f = fields; f->name; f++) {
        const json_t *value = json_object_get(object, f->name);
        if ((!value && f->optional) || is_kind(value, f->kind)) continue;
        return tern_fail(TERN_FAILED, "%s: \"%s\": expected %s, found %s", where, f->name,
                         kind_names[f->kind], kind_of(value));
    }
    return TERN_OK;
}

/* Each element of object[name], if that is there, has the fields. */
static tern_status check_list(const json_t *object, const char *name, const tern_expected *fields,
                              const char *path)
{
    char where[4200];
    const json_t *list = json_object_get(object, name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(where, sizeof where, "%s: %s[%zu]", path, name, i);
        TERN_TRY(check_fields(json_array_get(list, i), fields, where));
    }
    return TERN_OK;
}

static tern_status check_confusion(const json_t *eval, const char *path)
{
    const json_t *rows = json_object_get(eval, "confusion");
    size_t classes = json_array_size(rows);
    for (size_t r = 0; r < classes; r++) {
        const json_t *row = json_array_get(rows, r);
        if (json_array_size(row) != classes)
            return tern_fail(TERN_FAILED, "%s: confusion[%zu]: expected %zu counts, found %zu", path, r,
                             classes, json_array_size(row));
        for (size_t c = 0; c < classes; c++)
            if (json_integer_value(json_array_get(row, c)) < 0 || !json_is_integer(json_array_get(row, c)))
                return tern_fail(TERN_FAILED, "%s: confusion[%zu][%zu] is no count", path, r, c);
    }
    size_t names = json_array_size(json_object_get(eval, "classes"));
    if (names && names != classes)
        return tern_fail(TERN_FAILED, "%s: \"classes\" has %zu names for %zu classes", path, names, classes);
    return TERN_OK;
}

/* Shape [C,H,W] or [T,C,H,W], as many pixels 0..255, and classes that exist. */
static tern_status check_sample(const json_t *sample, size_t classes, const char *path, size_t index)
{
    const json_t *shape = json_object_get(sample, "shape"), *pixels = json_object_get(sample, "pixels");
    size_t rank = json_array_size(shape), count = 1;
    bool good = rank == 3 || rank == 4;
    for (size_t i = 0; i < rank && good; i++) {
        json_int_t d = json_integer_value(json_array_get(shape, i));
        good = d >= 1 && d <= 4096 && count <= 64 << 20;
        count *= good ? (size_t)d : 1;
    }
    if (!good)
        return tern_fail(TERN_FAILED, "%s: samples[%zu]: \"shape\": expected [C,H,W] or [T,C,H,W]", path,
                         index);
    if (json_array_size(pixels) != count)
        return tern_fail(TERN_FAILED, "%s: samples[%zu]: expected %zu pixels as \"shape\" says, found %zu",
                         path, index, count, json_array_size(pixels));
    for (size_t i = 0; i < count; i++) {
        double p = json_number_value(json_array_get(pixels, i));
        if (!json_is_number(json_array_get(pixels, i)) || p < 0 || p > 255)
            return tern_fail(TERN_FAILED, "%s: samples[%zu]: pixels[%zu]: expected 0 to 255", path, index, i);
    }
    static const char *const fields[] = {"label", "predicted"};
    for (int f = 0; f < 2; f++) {
        double class = tern_number_in(sample, fields[f]);
        if (class < 0 || class >= (double)classes)
            return tern_fail(TERN_FAILED, "%s: samples[%zu]: %s is %g, there are %zu classes", path, index,
                             fields[f], class, classes);
    }
    return TERN_OK;
}

static tern_status check_eval(const json_t *eval, const char *path)
{
    static const tern_expected fields[] = {{"accuracy", A_NUMBER, false},
                                           {"loss", A_NUMBER, false},
                                           {"confusion", AN_ARRAY, false},
                                           {"classes", AN_ARRAY, true},
                                           {"samples", AN_ARRAY, true},
                                           {"layers", AN_ARRAY, true},
                                           {0}};
    static const tern_expected sample[] = {{"label", A_NUMBER, false},        {"predicted", A_NUMBER, false},
                                           {"shape", AN_ARRAY, false},        {"pixels", AN_ARRAY, false},
                                           {"probabilities", AN_ARRAY, true}, {0}};
    static const tern_expected layer[] = {{"name", A_TEXT, false},
                                          {"neurons", A_NUMBER, true},
                                          {"spikes_per_neuron", A_NUMBER, true},
                                          {"density", A_NUMBER, true},
                                          {0}};
    TERN_TRY(check_fields(eval, fields, path));
    TERN_TRY(check_confusion(eval, path));
    TERN_TRY(check_list(eval, "samples", sample, path));
    TERN_TRY(check_list(eval, "layers", layer, path));
    const json_t *samples = json_object_get(eval, "samples");
    for (size_t i = 0; i < json_array_size(samples); i++)
        TERN_TRY(check_sample(json_array_get(samples, i), json_array_size(json_object_get(eval, "confusion")),
                              path, i));
    return TERN_OK;
}

static tern_status check_cost(const json_t *cost, const char *path)
{
    static const tern_expected fields[] = {{"machines", AN_ARRAY, false}, {"layers", AN_ARRAY, true}, {0}};
    static const tern_expected machine[] = {{"machine", A_TEXT, false},        {"fits", A_TRUTH_VALUE, false},
                                            {"reason", A_TEXT, true},          {"seconds", A_NUMBER, true},
                                            {"energy_joules", A_NUMBER, true}, {"peak_bytes", A_NUMBER, true},
                                            {"bound", A_TEXT, true},           {0}};
    static const tern_expected layer[] = {{"layer", A_TEXT, false}, {"work", AN_OBJECT, false}, {0}};
    TERN_TRY(check_fields(cost, fields, path));
    TERN_TRY(check_list(cost, "machines", machine, path));
    return check_list(cost, "layers", layer, path);
}

static tern_status check_config(const json_t *config, const char *path)
{
    static const tern_expected fields[] = {
        {"net", A_TEXT, false}, {"parameters", AN_OBJECT, true}, {"data", A_TEXT, true}, {0}};
    return check_fields(config, fields, path);
}

/* One JSON document; *document stays NULL when there is no such file. */
static tern_status read_one(const char *folder, const char *file,
                            tern_status (*check)(const json_t *, const char *), json_t **document)
{
    char path[4096];
    struct stat about;
    TERN_TRY(tern_run_path(path, folder, file));
    if (stat(path, &about) != 0 && errno == ENOENT) return TERN_OK;
    TERN_TRY(tern_read_json(path, document));
    return check(*document, path);
}

/* history.jsonl: a document a line. */
static tern_status read_history(const char *folder, json_t **history)
{
    static const tern_expected fields[] = {{"epoch", A_NUMBER, false},
                                           {"train_loss", A_NUMBER, true},
                                           {"train_accuracy", A_NUMBER, true},
                                           {"test_loss", A_NUMBER, true},
                                           {"test_accuracy", A_NUMBER, true},
                                           {"seconds", A_NUMBER, true},
                                           {"images_per_second", A_NUMBER, true},
                                           {0}};
    char path[4096], where[4200], *text = NULL;
    struct stat about;
    size_t count;
    json_error_t error;
    TERN_TRY(tern_run_path(path, folder, "history.jsonl"));
    if (stat(path, &about) != 0 && errno == ENOENT) return TERN_OK;
    TERN_TRY(tern_read_file(path, &text, &count));
    *history = json_array();
    tern_status status = *history ? TERN_OK : tern_no_memory(0, "the history");
    int line = 0;
    for (char *begin = text, *end; status == TERN_OK && *begin; begin = end) {
        size_t length = strcspn(begin, "\n");
        end = begin + length + (begin[length] == '\n');
        line++;
        if (strspn(begin, " \t\r") >= length) continue;
        json_t *epoch = json_loadb(begin, length, 0, &error);
        snprintf(where, sizeof where, "%s: line %d", path, line);
        status =
            epoch ? check_fields(epoch, fields, where) : tern_fail(TERN_FAILED, "%s: %s", where, error.text);
        if (epoch && json_array_append_new(*history, epoch) != 0) status = tern_no_memory(0, "the history");
    }
    tern_release(text);
    return status;
}

tern_status tern_report_open(tern_report *report, const char *folder)
{
    *report = (tern_report){.folder = folder};
    struct stat about;
    if (stat(folder, &about) != 0) return tern_fail(TERN_FAILED, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(about.st_mode))
        return tern_fail(TERN_FAILED, "%s: expected a run folder, found a file", folder);
    tern_status status = read_one(folder, "config.json", check_config, &report->config);
    if (status == TERN_OK) status = read_history(folder, &report->history);
    if (status == TERN_OK) status = read_one(folder, "eval.json", check_eval, &report->eval);
    if (status == TERN_OK) status = read_one(folder, "cost.json", check_cost, &report->cost);
    if (status == TERN_OK && !report->config && !report->history && !report->eval && !report->cost)
        status = tern_fail(TERN_FAILED,
                           "%s: expected a run folder (config.json, history.jsonl, eval.json, cost.json), "
                           "found none of these files; tern train makes one",
                           folder);
    if (status != TERN_OK) tern_report_close(report);
    return status;
}

void tern_report_close(tern_report *report)
{
    json_decref(report->config);
    json_decref(report->history);
    json_decref(report->eval);
    json_decref(report->cost);
    *report = (tern_report){0};
}
