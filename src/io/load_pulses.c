/* pulses: time and energy of detector pulses (io/pulse.h); pulses-clean: the pulses without their noise. */
#include "io/dataset.h"
#include "io/pulse.h"

static tern_status load(tern_dataset *d, const tern_dataset_options *o, bool clean)
{
    tern_pulse_model model = tern_pulse_default();
    model.seed = tern_hash("pulses", 6) + o->seed;
    int counts[2] = {o->train_limit ? o->train_limit : 50000, o->test_limit ? o->test_limit : 10000};
    for (int s = 0; s < 2; s++) {
        tern_split *split = s ? &d->test : &d->train;
        TERN_TRY(tern_pulse_tensors(&model, s, counts[s], clean, &split->images, &split->targets));
        TERN_TRY(tern_tensor_new(&split->labels, TERN_I32, &TERN_SHAPE(counts[s])));
    }
    return tern_pulse_units(&model, clean, &d->units);
}

tern_status tern_load_pulses(tern_dataset *dataset, const char *path, const tern_dataset_options *options)
{
    (void)path;
    return load(dataset, options, false);
}

tern_status tern_load_clean_pulses(tern_dataset *dataset, const char *path,
                                   const tern_dataset_options *options)
{
    (void)path;
    return load(dataset, options, true);
}
