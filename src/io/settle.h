/* Weights that move from their files' pages to large ones.  Files' pages are small and lie apart: a processor looks up their addresses again
 * and again while it reads all weights for each token. */
#ifndef TERN_IO_SETTLE_H
#define TERN_IO_SETTLE_H

#include "io/io.h"

typedef struct tern_settling {
    const tern_weights *weights;
    size_t *settled; /* [map_count]: up to where each file is */
    size_t bytes;    /* that have moved */
} tern_settling;

/* The weights outlive it and stay as they are but for tern_settling_on. */
tern_status tern_settling_open(tern_settling *s, const tern_weights *weights);
/* What has moved is no longer counted: for when the weights go. */
void tern_settling_close(tern_settling *s);
/* Up to `most` bytes more, beneath the same addresses; the files' pages are given back.  *left: whether others are still in files.  Anybody
 * may read the weights meanwhile.  TERN_NO_MEMORY: what has moved stays there. */
tern_status tern_settling_on(tern_settling *s, tern_pool *pool, size_t most, bool *left);

#endif
