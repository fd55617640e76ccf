/* tern train --report grad-cos: gradients of two rules side by side. */
#include "cli/cosines.h"

#include <math.h>

static json_t *real_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *tern_cosines_json(const tern_cosines cosines[2])
{
    static const char *const when[] = {"before", "after"};
    if (!cosines[1].count) return NULL;
    json_t *all = json_object();
    for (int w = 0; w < 2; w++) {
        json_t *one = json_object();
        const tern_cosines *c = &cosines[w];
        for (int i = 0; i < c->count; i++)
            json_object_set_new(one, c->items[i].weight, real_or_null(c->items[i].cosine));
        json_object_set_new(one, "mean", real_or_null(c->mean));
        json_object_set_new(all, when[w], one);
    }
    return all;
}

tern_status tern_print_cosines(const tern_cosines cosines[2])
{
    const tern_cosines *c = cosines;
    tern_grid t = {0};
    if (!c[1].count) return TERN_OK;
    tern_grid_row(&t, "cosine of sltt to bptt|before|after training");
    for (int i = 0; i < c[1].count; i++)
        tern_grid_row(&t, "%s|%.4f|%.4f", c[1].items[i].weight, c[0].items[i].cosine, c[1].items[i].cosine);
    tern_grid_row(&t, "mean|%.4f|%.4f", c[0].mean, c[1].mean);
    return tern_grid_print(&t, stdout);
}
