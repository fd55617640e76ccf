/* Published accuracies of language models, as MELT's authors keep them: a CSV file of framework, model, dataset, quantization,
 * accuracy, std_err. */
#ifndef TERN_CLI_PUBLISHED_H
#define TERN_CLI_PUBLISHED_H

#include "base/base.h"

enum { TERN_PUBLISHED_COLUMNS = 6 };
extern const char *const tern_published_columns[TERN_PUBLISHED_COLUMNS];

typedef struct tern_published_row {
    const char *cells[TERN_PUBLISHED_COLUMNS];
} tern_published_row;

/* Zero-initialise; release with tern_published_free. */
typedef struct tern_published {
    tern_published_row *rows;
    int count;
    char *text; /* what the cells point into */
} tern_published;

/* The rows below the names of the columns; dataset: those of one data set, or NULL.  Fails with the line that has other columns, and where
 * there are no results of the data set. */
tern_status tern_published_read(tern_published *published, const char *path, const char *dataset);
void tern_published_free(tern_published *published);

#endif
