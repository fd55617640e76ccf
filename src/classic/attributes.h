/* Attributes of an estimator in a JSON document, checked. */
#ifndef TERN_CLASSIC_ATTRIBUTES_H
#define TERN_CLASSIC_ATTRIBUTES_H

#include "classic/classic.h"

#ifdef TERN_HAVE_JANSSON
#include <jansson.h>

typedef struct tern_attributes {
    const char *name; /* of the file */
    json_t *root;
    tern_classic *out;
    tern_arena arena; /* arrays that were read */
} tern_attributes;

/* Numbers of a nested list as doubles, in the arena: dims[rank] are what is expected, -1 where any length from 1 on will do,
 * and are set to what was found. */
tern_status tern_attribute_array(tern_attributes *from, json_t *object, const char *key, int rank,
                                 int64_t *dims, double **values);
/* A whole number in low .. high. */
tern_status tern_attribute_whole(tern_attributes *from, const char *key, int64_t low, int64_t high,
                                 int64_t *value);
/* A text that is one of "a|b"; where the key is not there, the first. */
tern_status tern_attribute_text(tern_attributes *from, const char *key, const char *allowed,
                                const char **value);

/* Reads the trees of "estimators_", or the one that the document is. */
tern_status tern_scikit_trees(tern_attributes *from);
#endif

#endif
