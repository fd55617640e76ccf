/* Tables for people. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool tern_coloured(FILE *out)
{
    const char *off = getenv("NO_COLOR");
    return isatty(fileno(out)) && !(off && *off);
}

/* Characters that a UTF-8 text shows. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void add_cell(tern_grid *t, const char *begin, size_t length)
{
    if (t->count == t->capacity) {
        size_t old = (size_t)t->capacity, wanted = old ? 2 * old : 128;
        char **cells = tern_resize(t->cells, old * sizeof *cells, wanted * sizeof *cells);
        if (!cells) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->capacity = (int)wanted;
    }
    char *cell = tern_arena_take(&t->arena, length + 1);
    if (!cell) {
        t->failed = true;
        return;
    }
    memcpy(cell, begin, length);
    t->cells[t->count++] = cell;
}

void tern_grid_row(tern_grid *table, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    int columns = 1;
    for (const char *c = line; *c; c++) columns += *c == '|';
    if (!table->columns) table->columns = columns;
    const char *cell = line;
    for (int i = 0; i < table->columns && !table->failed; i++) {
        const char *end = strchr(cell, '|');
        size_t length = end ? (size_t)(end - cell) : strlen(cell);
        add_cell(table, cell, length);
        cell = end ? end + 1 : cell + length;
    }
}

/* Whether all cells below the head begin like numbers (or are empty). */
static bool is_numeric(const tern_grid *t, int column)
{
    int numbers = 0;
    for (int i = t->columns + column; i < t->count; i += t->columns) {
        const char *c = t->cells[i];
        if (!*c || strcmp(c, "-") == 0) continue;
        if (!isdigit((unsigned char)*c) && *c != '-' && *c != '<') return false;
        numbers++;
    }
    return numbers > 0;
}

tern_status tern_grid_print(tern_grid *table, FILE *out)
{
    tern_status status =
        table->failed ? tern_no_memory((size_t)table->capacity * sizeof(char *), "a table") : TERN_OK;
    int widths[32] = {0};
    bool right[32] = {false}, colour = tern_coloured(out);
    for (int i = 0; status == TERN_OK && i < table->count; i++) {
        int w = width_of(table->cells[i]), column = i % table->columns;
        if (w > widths[column]) widths[column] = w;
    }
    for (int c = 0; status == TERN_OK && c < table->columns; c++) right[c] = is_numeric(table, c);
    for (int i = 0; status == TERN_OK && i < table->count; i++) {
        int column = i % table->columns, gap = widths[column] - width_of(table->cells[i]);
        bool last = column == table->columns - 1;
        bool head = i < table->columns && colour;
        if (right[column]) fprintf(out, "%*s", gap, "");
        if (head) fputs("\033[1m", out);
        fputs(table->cells[i], out);
        if (head) fputs("\033[0m", out);
        if (!right[column] && !last) fprintf(out, "%*s", gap, "");
        fputs(last ? "\n" : "  ", out);
    }
    tern_grid_free(table);
    return status;
}

void tern_grid_free(tern_grid *table)
{
    tern_release(table->cells);
    tern_arena_free(&table->arena);
    *table = (tern_grid){0};
}
