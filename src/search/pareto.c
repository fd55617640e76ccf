/* The archive of what is not dominated. */
#include "search/search.h"

#include <math.h>
#include <string.h>

bool tern_dominates(const tern_pareto *archive, const double *a, const double *b)
{
    bool better = false;
    for (int i = 0; i < archive->objectives; i++) {
        double mine = archive->largest[i] ? a[i] : -a[i], other = archive->largest[i] ? b[i] : -b[i];
        if (mine < other || (isnan(mine) && !isnan(other))) return false;
        better |= mine > other || (isnan(other) && !isnan(mine));
    }
    return better;
}

static tern_status grow(tern_pareto *a)
{
    if (a->count < a->capacity) return TERN_OK;
    size_t old = (size_t)a->capacity, wanted = old ? 2 * old : 16;
    tern_pareto_point *points = tern_resize(a->points, old * sizeof *points, wanted * sizeof *points);
    if (!points) return tern_no_memory(wanted * sizeof *points, "a Pareto archive");
    a->points = points;
    a->capacity = (int)wanted;
    return TERN_OK;
}

tern_status tern_pareto_add(tern_pareto *archive, const double *value, int item)
{
    TERN_TRY(grow(archive));
    int kept = 0;
    for (int i = 0; i < archive->count; i++)
        if (tern_dominates(archive, archive->points[i].value, value)) return TERN_OK;
    for (int i = 0; i < archive->count; i++)
        if (!tern_dominates(archive, value, archive->points[i].value))
            archive->points[kept++] = archive->points[i];
    archive->points[kept] = (tern_pareto_point){.item = item};
    memcpy(archive->points[kept].value, value, (size_t)archive->objectives * sizeof *value);
    archive->count = kept + 1;
    return TERN_OK;
}

bool tern_pareto_has(const tern_pareto *archive, int item)
{
    for (int i = 0; i < archive->count; i++)
        if (archive->points[i].item == item) return true;
    return false;
}

void tern_pareto_free(tern_pareto *archive)
{
    tern_release(archive->points);
    archive->points = NULL;
    archive->count = archive->capacity = 0;
}
