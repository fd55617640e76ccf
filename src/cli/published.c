/* Results of others, line by line. */
#include "cli/published.h"

#include <string.h>

const char *const tern_published_columns[] = {"framework",    "model",    "dataset",
                                              "quantization", "accuracy", "std_err"};

void tern_published_free(tern_published *p)
{
    tern_release(p->rows);
    tern_release(p->text);
    *p = (tern_published){0};
}

/* Cuts a line at its commas; returns how many cells it has. */
static int cut(char *line, tern_published_row *row)
{
    int count = 0;
    line[strcspn(line, "\r")] = '\0';
    for (char *cell = line; cell; count++) {
        char *comma = strchr(cell, ',');
        if (comma) *comma = '\0';
        if (count < TERN_PUBLISHED_COLUMNS) row->cells[count] = cell;
        cell = comma ? comma + 1 : NULL;
    }
    return count;
}

static tern_status read_rows(tern_published *p, const char *path, const char *dataset)
{
    char *next;
    int number = 0;
    for (char *line = p->text; line && *line; line = next) {
        tern_published_row row;
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        int cells = cut(line, &row);
        number++;
        if (cells == 1 && !*row.cells[0]) continue; /* an empty line */
        if (cells != TERN_PUBLISHED_COLUMNS)
            return tern_fail(TERN_FAILED, "%s:%d: expected %d columns, framework to std_err, found %d", path,
                             number, TERN_PUBLISHED_COLUMNS, cells);
        if (number > 1 && (!dataset || strcmp(row.cells[2], dataset) == 0)) p->rows[p->count++] = row;
    }
    return p->count ? TERN_OK
                    : tern_fail(TERN_FAILED, "%s has no results%s%s", path, dataset ? " of " : "",
                                dataset ? dataset : "");
}

tern_status tern_published_read(tern_published *p, const char *path, const char *dataset)
{
    size_t size, lines = 1;
    TERN_TRY(tern_read_file(path, &p->text, &size));
    for (size_t i = 0; i < size; i++) lines += p->text[i] == '\n';
    p->rows = tern_take_array(lines, sizeof *p->rows);
    if (!p->rows) return tern_no_memory(lines * sizeof *p->rows, path);
    return read_rows(p, path, dataset);
}
