/* CSV (RFC 4180): quoted fields, \n or \r\n, commas, semicolons or tabs.  Two passes: the first counts, the second
 * reads. */
#include "io/io.h"
#include "io/source.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LABEL 65535

typedef struct tern_cursor {
    const char *name; /* the file */
    const char *at, *end;
    char separator;
    int line, column; /* of the field that was read last, from 1 */
    tern_text field;
    bool row_ends;
} tern_cursor;

static tern_status at_field(const tern_cursor *c, const char *expected)
{
    char found[32];
    snprintf(found, sizeof found, "%.31s", c->field.data ? c->field.data : "");
    return tern_fail(TERN_FAILED, "%s: line %d column %d: expected %s, found \"%s\"", c->name, c->line,
                     c->column, expected, found);
}

/* Skip empty lines; false at the end of the file. */
static bool begin_row(tern_cursor *c)
{
    while (c->at < c->end && (*c->at == '\n' || *c->at == '\r')) {
        c->line += *c->at == '\n';
        c->at++;
    }
    c->column = 0;
    return c->at < c->end;
}

/* The inside of a quoted field; "" is one quote. */
static tern_status take_quoted(tern_cursor *c)
{
    int line = c->line;
    for (c->at++; c->at < c->end; c->at++) {
        if (*c->at == '"') {
            c->at++;
            if (c->at == c->end || *c->at != '"') return TERN_OK;
        }
        c->line += *c->at == '\n';
        tern_text_add(&c->field, c->at, 1);
    }
    return tern_fail(TERN_FAILED, "%s: line %d column %d: the quote is never closed", c->name, line,
                     c->column);
}

/* The next field of a row into c->field. */
static tern_status take_field(tern_cursor *c)
{
    c->column++;
    c->field.size = 0;
    tern_text_add(&c->field, "", 0);
    if (c->at < c->end && *c->at == '"') TERN_TRY(take_quoted(c));
    const char *start = c->at;
    while (c->at < c->end && *c->at != c->separator && *c->at != '\n' && *c->at != '\r') c->at++;
    tern_text_add(&c->field, start, (size_t)(c->at - start));
    TERN_TRY(tern_text_status(&c->field));
    if (memchr(c->field.data, 0, c->field.size)) return at_field(c, "text, not a zero byte");
    c->row_ends = c->at == c->end || *c->at != c->separator;
    if (!c->row_ends) c->at++;
    return TERN_OK;
}

/* Of comma, semicolon and tab the one that the first line has most of. */
static char guess_separator(const char *p, const char *end)
{
    static const char candidates[] = ",;\t";
    int count[3] = {0};
    for (; p < end && *p != '\n'; p++)
        for (int i = 0; i < 3; i++) count[i] += *p == candidates[i];
    int best = 0;
    for (int i = 1; i < 3; i++) best = count[i] > count[best] ? i : best;
    return candidates[best];
}

static bool to_number(const char *text, double *out)
{
    char *end;
    while (*text == ' ') text++;
    if (!*text) return false;
    *out = strtod(text, &end);
    while (*end == ' ') end++;
    return *end == 0;
}

/* ---- the first pass -------------------------------------------------------------------------------------------- */

typedef struct tern_layout {
    int64_t rows;       /* without the header */
    int columns, label; /* label: column from 0, or -1 */
    bool header;
} tern_layout;

/* The first row: names of columns when any field is no number (or as the options say). */
static tern_status read_first(tern_cursor *c, const tern_csv_options *o, tern_layout *l, tern_table *table)
{
    bool numbers = true;
    double value;
    if (!begin_row(c))
        return tern_fail(TERN_FAILED, "%s: the file is empty, expected rows of numbers", c->name);
    do {
        TERN_TRY(take_field(c));
        numbers = numbers && to_number(c->field.data, &value);
        TERN_TRY(tern_bundle_add_text(&table->columns, c->field.data, ""));
    } while (!c->row_ends);
    l->columns = table->columns.texts;
    l->header = o->header == TERN_CSV_HEADER || (o->header == TERN_CSV_GUESS && !numbers);
    return TERN_OK;
}

/* The column from 0 that one alternative means, or -1. */
static int one_label(const char *text, size_t length, const tern_layout *l, const tern_table *table)
{
    for (int i = 0; i < l->columns && l->header; i++) {
        const char *name = table->columns.keys[i];
        if (strlen(name) == length && memcmp(name, text, length) == 0) return i;
    }
    char *end;
    long number = strtol(text, &end, 10);
    if (length == 0 || end != text + length) return -1;
    if (number >= 1 && number <= l->columns) return (int)number - 1;
    return number < 0 && -number <= l->columns ? l->columns + (int)number : -1;
}

static tern_status find_label(const tern_cursor *c, const tern_csv_options *o, tern_layout *l,
                              const tern_table *table)
{
    l->label = -1;
    if (!o->label) return TERN_OK;
    for (const char *text = o->label;;) {
        size_t length = strcspn(text, "|");
        l->label = one_label(text, length, l, table);
        if (l->label >= 0) return TERN_OK;
        if (!text[length]) break;
        text += length + 1;
    }
    const char *near =
        l->header ? tern_nearest(o->label, (const char *const *)table->columns.keys, (size_t)l->columns)
                  : NULL;
    return tern_fail(TERN_FAILED,
                     "%s: no column \"%s\": expected a column's name or a number from 1 to %d%s%s%s", c->name,
                     o->label, l->columns, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static tern_status count_rows(tern_cursor *c, tern_layout *l)
{
    l->rows = l->header ? 0 : 1;
    for (; begin_row(c); l->rows++) {
        do TERN_TRY(take_field(c));
        while (!c->row_ends);
        if (c->column != l->columns)
            return tern_fail(TERN_FAILED, "%s: line %d has %d columns, expected %d as in the first line",
                             c->name, c->line, c->column, l->columns);
    }
    if (l->rows == 0) return tern_fail(TERN_FAILED, "%s: a header but no rows", c->name);
    return TERN_OK;
}

/* ---- the second pass ------------------------------------------------------------------------------------------- */

/* All labels as texts, in the order of rows: column names' list serves again as a list of texts. */
static tern_status read_rows(tern_cursor *c, const tern_layout *l, tern_table *table, tern_bundle *labels)
{
    float *out = table->values.data;
    if (l->header) {
        begin_row(c);
        do TERN_TRY(take_field(c));
        while (!c->row_ends);
    }
    while (begin_row(c)) {
        do {
            double value;
            TERN_TRY(take_field(c));
            if (c->column - 1 == l->label) {
                TERN_TRY(tern_bundle_add_text(labels, c->field.data, ""));
                continue;
            }
            if (!to_number(c->field.data, &value)) return at_field(c, "a number");
            if (!isfinite((float)value)) return at_field(c, "a finite number of 32 bits");
            *out++ = (float)value;
        } while (!c->row_ends);
    }
    return TERN_OK;
}

static bool whole_label(const char *text, int32_t *out)
{
    double value;
    if (!to_number(text, &value) || !(value >= 0 && value <= MOST_LABEL) || value != floor(value))
        return false;
    *out = (int32_t)value;
    return true;
}

/* Labels that are whole numbers are classes as they stand; others are texts, classes in the order of their bytes. */
static tern_status number_labels(const tern_cursor *c, const tern_bundle *texts, tern_table *table)
{
    int32_t *out = table->labels.data, label = 0;
    int count = texts->texts, classes = 0;
    bool whole = true;
    for (int i = 0; i < count; i++) {
        whole = whole && whole_label(texts->keys[i], &label);
        out[i] = label;
        classes = label >= classes ? label + 1 : classes;
    }
    table->classes = classes;
    if (whole) return TERN_OK;
    char **sorted = tern_take_array((size_t)count, sizeof *sorted);
    if (!sorted) return tern_no_memory((size_t)count * sizeof *sorted, c->name);
    memcpy(sorted, texts->keys, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, tern_by_text);
    int distinct = 0;
    tern_status status = TERN_OK;
    for (int i = 0; i < count; i++)
        if (i == 0 || strcmp(sorted[i], sorted[distinct - 1]) != 0) sorted[distinct++] = sorted[i];
    if (distinct > MOST_LABEL + 1)
        status =
            tern_fail(TERN_FAILED, "%s: the label column has %d different texts, expected at most %d classes",
                      c->name, distinct, MOST_LABEL + 1);
    for (int i = 0; i < distinct && status == TERN_OK; i++)
        status = tern_bundle_add_text(&table->class_names, sorted[i], "");
    for (int i = 0; i < count && status == TERN_OK; i++) {
        char **found = bsearch(&texts->keys[i], sorted, (size_t)distinct, sizeof *sorted, tern_by_text);
        out[i] = (int32_t)(found - sorted);
    }
    tern_release(sorted);
    table->classes = distinct;
    return status;
}

static tern_status read_table(tern_cursor *c, const tern_csv_options *o, tern_table *table)
{
    const char *start = c->at;
    tern_layout l = {0};
    tern_bundle labels = {0};
    TERN_TRY(read_first(c, o, &l, table));
    TERN_TRY(find_label(c, o, &l, table));
    TERN_TRY(count_rows(c, &l));
    int values = l.columns - (l.label >= 0);
    TERN_TRY(tern_tensor_new(&table->values, TERN_F32, &TERN_SHAPE(l.rows, values)));
    if (l.label >= 0) TERN_TRY(tern_tensor_new(&table->labels, TERN_I32, &TERN_SHAPE(l.rows)));
    c->at = start;
    c->line = 1;
    tern_status status = read_rows(c, &l, table, &labels);
    if (status == TERN_OK && l.label >= 0) status = number_labels(c, &labels, table);
    tern_bundle_free(&labels);
    if (!l.header) tern_bundle_free(&table->columns);
    return status;
}

/* ---- face --------------------------------------------------------------------------------------------------------- */

void tern_table_free(tern_table *table)
{
    tern_tensor_free(&table->values);
    tern_tensor_free(&table->labels);
    tern_bundle_free(&table->columns);
    tern_bundle_free(&table->class_names);
    table->classes = 0;
}

static tern_status parse_plain(const char *text, size_t count, const char *name, const tern_csv_options *o,
                               tern_table *out)
{
    tern_table table = {0};
    const char *bom = "\xef\xbb\xbf";
    if (count >= 3 && memcmp(text, bom, 3) == 0) text += 3, count -= 3;
    tern_cursor c = {.name = name, .at = text, .end = text + count, .line = 1};
    c.separator = o->separator ? o->separator : guess_separator(text, text + count);
    tern_status status = read_table(&c, o, &table);
    tern_text_free(&c.field);
    if (status != TERN_OK)
        tern_table_free(&table);
    else
        *out = table;
    return status;
}

tern_status tern_csv_parse(const void *bytes, size_t count, const char *name, const tern_csv_options *options,
                           tern_table *out)
{
    static const tern_csv_options defaults = {0};
    if (!options) options = &defaults;
    if (tern_packing_of(bytes, count) == TERN_PLAIN) return parse_plain(bytes, count, name, options, out);
    tern_source source;
    char *text = NULL;
    size_t length = 0;
    TERN_TRY(tern_source_open(&source, bytes, count, TERN_GZIP, name));
    tern_status status = tern_source_all(&source, (size_t)4 << 30, &text, &length);
    tern_source_close(&source);
    if (status == TERN_OK) status = parse_plain(text, length, name, options, out);
    tern_release(text);
    return status;
}

tern_status tern_csv_read(const char *path, const tern_csv_options *options, tern_table *out)
{
    char *bytes;
    size_t count;
    TERN_TRY(tern_read_file(path, &bytes, &count));
    tern_status status = tern_csv_parse(bytes, count, path, options, out);
    tern_release(bytes);
    return status;
}
