/* The data sets that have a name. */
#ifndef TERN_IO_KNOWN_H
#define TERN_IO_KNOWN_H

#include "io/dataset.h"

typedef struct tern_known {
    tern_known_dataset about;
    const char *folder;   /* below a data folder */
    const char *evidence; /* a file or folder that is there when the data are; NULL: made of nothing */
    int classes;          /* 0: as found */
    const char *const *class_names;
    tern_dataset_loader *load;
    bool plain; /* values are not normalised */
} tern_known;

const tern_known *tern_known_find(const char *name);

#endif
