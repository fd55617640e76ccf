/* What the files of the report share: `tern report` turns a run folder into one page that needs nothing else. */
#ifndef TERN_CLI_REPORT_H
#define TERN_CLI_REPORT_H

#include "cli/cli.h"

/* The files of a run folder, checked: what is here has the fields and types that the sections read.  NULL: the folder
 * has no such file. */
typedef struct tern_report {
    const char *folder;
    json_t *config, *history, *eval, *cost; /* history: array, one object an epoch */
} tern_report;

/* Reads what is there; fails with file, field, what was expected and what was found. */
tern_status tern_report_open(tern_report *report, const char *folder);
void tern_report_close(tern_report *report);

/* Number and text of a field, 0 and "" where it is absent. */
double tern_number_in(const json_t *object, const char *name);
const char *tern_text_in(const json_t *object, const char *name);

/* Appends text with & < > " written as entities. */
void tern_html_escape(tern_text *page, const char *text);
/* tern_human with the micro sign. */
void tern_html_quantity(tern_text *page, double value, const char *unit);
/* "<section><h2>title</h2><p>about</p>"; about may be NULL.  The caller closes the section. */
void tern_html_section(tern_text *page, const char *title, const char *about);
/* What stands where a file is missing: the command that makes it. */
void tern_html_missing(tern_text *page, const char *what, const char *command, const char *folder);

/* ---- charts ---------------------------------------------------------------------------------------------------- */

typedef struct tern_series {
    const char *name, *style; /* style: CSS class that gives the colour */
    const double *y;          /* [count]; NaN: no point */
} tern_series;

typedef struct tern_line_chart {
    const char *title;
    const double *x; /* [count], ascending */
    int count;
    tern_series series[2];
    int series_count;
    bool percent, from_zero; /* y is shown times 100; the axis begins at 0 */
} tern_line_chart;
void tern_html_lines(tern_text *page, const tern_line_chart *chart);

/* One row of a bar chart: name, bar of `share` (0..1) of the width, value as text; a dash when share is negative. */
void tern_html_bar(tern_text *page, const char *name, double share, const char *value, const char *style);

/* ---- images ---------------------------------------------------------------------------------------------------- */

/* A PNG, uncompressed: pixels are grey [H,W] (channels 1) or RGB [H,W,3]. */
tern_status tern_png_encode(tern_text *out, const uint8_t *pixels, int width, int height, int channels);
void tern_base64(tern_text *out, const void *bytes, size_t count);

/* ---- sections -------------------------------------------------------------------------------------------------- */

extern const char *const tern_report_style[]; /* pieces of the style sheet, NULL at the end */

tern_status tern_report_page(tern_text *page, const tern_report *report);
tern_status tern_report_training(tern_text *page, const tern_report *report);
void tern_report_confusion(tern_text *page, const json_t *eval);
tern_status tern_report_samples(tern_text *page, const json_t *eval);
void tern_report_activity(tern_text *page, const json_t *eval);
tern_status tern_report_machines(tern_text *page, const json_t *cost);
void tern_report_layers(tern_text *page, const json_t *cost);

#endif
