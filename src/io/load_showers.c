/* showers: shares of charge that a module's trigger cells see (io/shower.h), [3,4,4] of sum 1; showers-wide: those of another module, whose
 * clusters are wide.  Targets are those shares again, their sums over 2 x 2 cells and over rhombi; units are such that the mean of squares
 * is, up to a factor, 4 times that of the cells, 2 times that of the 2 x 2 cells and that of the rhombi (the telescoping loss). */
#include "io/dataset.h"
#include "io/shower.h"

#include <math.h>

enum {
    CELLS = TERN_TRIGGER_CELLS,
    FOURS = CELLS / 4,
    RHOMBI = CELLS / TERN_RHOMBUS_CELLS,
    ALL = CELLS + FOURS + RHOMBI
};

static void add_levels(float target[ALL])
{
    for (int k = CELLS; k < ALL; k++) target[k] = 0;
    for (int c = 0; c < CELLS; c++) {
        target[CELLS + tern_shower_four(c)] += target[c];
        target[CELLS + FOURS + c / TERN_RHOMBUS_CELLS] += target[c];
    }
}

static tern_status make(const tern_shower_options *o, int64_t count, tern_split *split)
{
    TERN_TRY(tern_tensor_new(&split->images, TERN_F32, &TERN_SHAPE(count, RHOMBI, 4, 4)));
    TERN_TRY(tern_tensor_new(&split->targets, TERN_F32, &TERN_SHAPE(count, ALL)));
    TERN_TRY(tern_tensor_new(&split->labels, TERN_I32, &TERN_SHAPE(count)));
    for (int64_t i = 0; i < count; i++) {
        float charge[CELLS], *share = (float *)split->images.data + i * CELLS,
                             *target = (float *)split->targets.data + i * ALL;
        double sum = 0;
        tern_shower(o, (uint64_t)i, charge);
        for (int c = 0; c < CELLS; c++) sum += (double)charge[c];
        for (int c = 0; c < CELLS; c++) share[c] = target[c] = (float)((double)charge[c] / sum);
        add_levels(target);
    }
    return TERN_OK;
}

static tern_status load(tern_dataset *d, const tern_dataset_options *o, double low, double high)
{
    tern_shower_options shower = {.low = low, .high = high, .seed = tern_shower_seed(o->seed, false)};
    TERN_TRY(make(&shower, o->train_limit ? o->train_limit : 50000, &d->train));
    shower.seed = tern_shower_seed(o->seed, true);
    TERN_TRY(make(&shower, o->test_limit ? o->test_limit : 10000, &d->test));
    TERN_TRY(tern_tensor_new(&d->units, TERN_F32, &TERN_SHAPE(ALL)));
    for (int k = 0; k < ALL; k++) {
        double of = k < CELLS ? CELLS / 4.0 : k < CELLS + FOURS ? FOURS / 2.0 : RHOMBI;
        ((float *)d->units.data)[k] = (float)sqrt(of / ALL / 1000);
    }
    TERN_TRY(tern_tensor_new(&d->places, TERN_F32, &TERN_SHAPE(CELLS, 2)));
    for (int c = 0; c < CELLS; c++) {
        double x, y;
        tern_trigger_cell(c, &x, &y);
        ((float *)d->places.data)[2 * c] = (float)x;
        ((float *)d->places.data)[2 * c + 1] = (float)y;
    }
    return TERN_OK;
}

tern_status tern_load_showers(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    (void)path;
    return load(dataset, options, 0.6, 0.9);
}

tern_status tern_load_wide_showers(tern_dataset *dataset, const char *path,
                                   const tern_dataset_options *options)
{
    (void)path;
    return load(dataset, options, 0.2, 0.4);
}
