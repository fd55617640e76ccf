/* Orders that many need. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void tern_sort_numbers(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_number);
}

int tern_by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
