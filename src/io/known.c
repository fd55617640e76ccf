/* Data sets by name: what they are, where they are looked for, how to get them. */
#define _POSIX_C_SOURCE 200809L
#include "io/known.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_DATA  "/usr/share/datasets" /* where Debian's data packages install */
#define DEFAULT_DATA "../shared/data"

static const char *const garments[] = {"t-shirt/top", "trouser", "pullover", "dress", "coat",
                                       "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};
static const char *const messages[] = {"normal", "dos", "fuzzy", "spoof"};
static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

static tern_status load_sign_digits(tern_dataset *dataset, const char *path,
                                    const tern_dataset_options *options)
{
    tern_dataset_options sized = *options;
    if (!sized.height) sized.height = 32;
    if (!sized.width) sized.width = 32;
    return tern_load_image_folder(dataset, path, &sized);
}

static const tern_known known[] = {
    {{"fashion-mnist", "grey photographs of garments, 28x28, 10 classes, 60,000 to train and 10,000 to test",
      "MIT", "apt-get install dataset-fashion-mnist"},
     "fashion-mnist",
     "t10k-labels-idx1-ubyte.gz",
     10,
     garments,
     tern_load_idx_folder,
     false},
    {{"mnist",
      "handwritten digits, 28x28, 10 classes; with the test files alone, 8,000 of its images train and 2,000 "
      "test",
      "CC BY-SA 3.0", "put the IDX files (.gz) into $TERN_DATA/mnist"},
     "mnist",
     "t10k-labels-idx1-ubyte.gz",
     10,
     digits,
     tern_load_idx_folder,
     false},
    {{"sign-language-digits",
      "colour photographs of hands, 2,062, brought to 32x32, 10 classes; a fifth is held out to test",
      "Apache-2.0", "put its class folders into $TERN_DATA/images/sign-language-digits"},
     "images/sign-language-digits",
     "9",
     10,
     NULL,
     load_sign_digits,
     false},
    {{"n-mnist",
      "event camera recordings of MNIST, 1,000 to train and 100 to test, as frames of counted events "
      "[T,2,34,34]",
      "CC BY-SA 4.0", "put the recordings, train1K.txt and test100.txt into $TERN_DATA/nmnist"},
     "nmnist",
     "train1K.txt",
     10,
     digits,
     tern_load_nmnist,
     false},
    {{"motion-8",
      "made: garments that move in 8 ways, seen by an event camera, as frames of counted events [T,2,64,64]",
      "MIT", "made from fashion-mnist: apt-get install dataset-fashion-mnist"},
     "fashion-mnist",
     "t10k-labels-idx1-ubyte.gz",
     8,
     NULL,
     tern_load_motion,
     false},
    {{"video-moving", "made: garments that glide over a still background, clips [16,1,64,64], 10 classes",
      "MIT", "made from fashion-mnist: apt-get install dataset-fashion-mnist"},
     "fashion-mnist",
     "t10k-labels-idx1-ubyte.gz",
     10,
     garments,
     tern_load_video,
     false},
    {{"can-attack",
      "made: messages of a CAN bus, 80 bits each, with three kinds of attack among them; the first 65 % of "
      "time trains",
      "GPL-3.0 (the log of ICSim)", "put sample-can.log of ICSim into $TERN_DATA/can"},
     "can",
     "sample-can.log",
     4,
     messages,
     tern_load_can,
     true},
    {{"pulses",
      "made: detector pulses of 64 samples at 47.4 dB, to tell time and energy of (targets, no classes)",
      "MIT", "made of its numbers and a seed"},
     "",
     NULL,
     1,
     NULL,
     tern_load_pulses,
     true},
    {{"pulses-clean", "made: the same pulses, and as targets what they are without noise", "MIT",
      "made of its numbers and a seed"},
     "",
     NULL,
     1,
     NULL,
     tern_load_clean_pulses,
     true},
    {{"showers",
      "made: shares of charge of 48 trigger cells in crossings of beams, [3,4,4], which are their own "
      "targets",
      "MIT", "made of its numbers and a seed"},
     "",
     NULL,
     1,
     NULL,
     tern_load_showers,
     true},
    {{"showers-wide", "made: those of another module, whose clusters are wide", "MIT",
      "made of its numbers and a seed"},
     "",
     NULL,
     1,
     NULL,
     tern_load_wide_showers,
     true},
    {{"hcrl-car-hacking",
      "messages of a car's CAN bus under attack (HCRL), 80 bits each; the first 65 % of each file trains",
      "research use, from its authors",
      "put the four CSV files of HCRL's Car-Hacking data into $TERN_DATA/can/hcrl"},
     "can/hcrl",
     "DoS_dataset.csv",
     4,
     messages,
     tern_load_hcrl,
     true},
};

const tern_known_dataset *tern_dataset_known(int index)
{
    return index >= 0 && (size_t)index < TERN_COUNT(known) ? &known[index].about : NULL;
}

const tern_known *tern_known_find(const char *name)
{
    for (size_t i = 0; i < TERN_COUNT(known); i++)
        if (strcmp(known[i].about.name, name) == 0) return &known[i];
    return NULL;
}

tern_status tern_dataset_locate(const tern_known_dataset *about, tern_arena *arena, char **searched,
                                char **found)
{
    const tern_known *set = tern_known_find(about->name);
    const char *own = getenv("TERN_DATA");
    const char *roots[] = {own && own[0] ? own : DEFAULT_DATA, SYSTEM_DATA};
    *found = NULL;
    *searched = tern_arena_string(arena, "");
    if (!set->evidence) *found = tern_arena_string(arena, "(made)");
    if (!set->evidence) return *found && *searched ? TERN_OK : tern_no_memory(64, "paths of data sets");
    for (size_t i = 0; i < TERN_COUNT(roots) && *searched; i++) {
        char *folder = tern_arena_format(arena, "%s/%s", roots[i], set->folder);
        char *file = tern_arena_format(arena, "%s/%s/%s", roots[i], set->folder, set->evidence);
        if (!folder || !file) return tern_no_memory(64, "paths of data sets");
        if (!*found && access(file, R_OK) == 0) *found = folder;
        *searched = tern_arena_format(arena, "%s%s%s", *searched, i ? "\n" : "", folder);
    }
    return *searched ? TERN_OK : tern_no_memory(64, "paths of data sets");
}
