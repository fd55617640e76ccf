/* The schema of machine files as tables; file.c reads by it. */
#ifndef TERN_MACHINE_SCHEMA_H
#define TERN_MACHINE_SCHEMA_H

#include "machine/machine.h"

typedef enum tern_form {
    TERN_FORM_TEXT,     /* const char * */
    TERN_FORM_TRUTH,    /* bool: true or false */
    TERN_FORM_AMOUNT,   /* double: a number above 0 with a unit */
    TERN_FORM_SHARE,    /* double: above 0 and up to 1, no unit */
    TERN_FORM_COUNT,    /* double: a whole number from 1, no unit */
    TERN_FORM_NUMBER,   /* double: a number from 0, no unit */
    TERN_FORM_KIND,     /* tern_unit_kind */
    TERN_FORM_DATAFLOW, /* tern_dataflow */
    TERN_FORM_RATES,    /* double[TERN_DTYPES]: {f32: 2 mac/cycle, i8: ..} */
    TERN_FORM_ENERGIES, /* double[TERN_DTYPES]: {f32: 4.6 pJ, ..} */
    TERN_FORM_LIST,     /* units, memories, links, bodies */
    TERN_FORM_INHERITS, /* read before all else */
} tern_form;

typedef struct tern_field {
    const char *name;
    tern_form form;
    int detail;    /* AMOUNT, RATES, ENERGIES: tern_quantity; LIST: index into tern_lists */
    size_t offset; /* in the struct */
} tern_field;

/* Keys of a struct, and where an array of such structs and its length are in the machine.  Their first members are the name and
 * the source. */
typedef struct tern_list {
    const char *what;
    const tern_field *fields;
    size_t field_count, size, items, count;
    bool far; /* the machine has a pointer to the array, else TERN_MACHINE_PARTS items */
} tern_list;

enum {
    TERN_LIST_UNITS,
    TERN_LIST_TIERS,
    TERN_LIST_LINKS,
    TERN_LIST_BODIES,
    TERN_LIST_PARTS, /* those before this one are parts of a machine, whose figures have paths (field.c) */
    TERN_LIST_MEASURED = TERN_LIST_PARTS,
    TERN_LIST_KERNELS,
    TERN_LISTS
};
extern const tern_list tern_lists[TERN_LISTS], tern_machine_keys;
extern const char *const tern_unit_kind_names[TERN_UNIT_KINDS];

#endif
