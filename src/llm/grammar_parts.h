/* What the files of grammars share. */
#ifndef TERN_LLM_GRAMMAR_PARTS_H
#define TERN_LLM_GRAMMAR_PARTS_H

#include "llm/grammar.h"

typedef enum tern_element_kind {
    TERN_ELEMENT_END,   /* of an alternative */
    TERN_ELEMENT_CLASS, /* one character of ranges[first, first + count), or (negated) not of them */
    TERN_ELEMENT_RULE,  /* rule `first` */
} tern_element_kind;

typedef struct tern_element {
    tern_element_kind kind;
    bool negated;
    uint32_t first, count;
} tern_element;

typedef struct tern_range {
    uint32_t low, high;
} tern_range;

typedef struct tern_rule {
    uint32_t *alternatives; /* where each begins in `elements` */
    size_t count, capacity;
    char *name; /* NULL: made for a group or repetition */
    int line;   /* of its definition; 0: none yet */
} tern_rule;

struct tern_grammar {
    tern_rule *rules;
    size_t rule_count, rule_capacity;
    tern_element *elements;
    size_t element_count, element_capacity;
    tern_range *ranges;
    size_t range_count, range_capacity;
    uint32_t root;
};

/* ---- the machine ---------------------------------------------------------------------------------------------------- */

/* A way to go on: the element to come, then the parent's.  Equal ones are one object, and know where they lead. */
typedef struct tern_way {
    const tern_element *at; /* a class; NULL: the text may end here */
    struct tern_way *parent, *next_of_hash;
    const struct tern_ways *after; /* behind a character of the class; NULL: not known yet */
    bool marked;                   /* while sets are made */
} tern_way;

typedef struct tern_ways { /* a set, in order of being found */
    size_t count;
    tern_way *items[];
} tern_ways;

typedef struct tern_grammar_machine {
    const tern_grammar *g;
    tern_arena arena;
    tern_way **hash; /* [hash_mask + 1] */
    size_t hash_mask, way_count;
    tern_way **found; /* set under construction */
    size_t found_count, found_capacity;
    tern_way **steps; /* work list of expansion */
    size_t step_count, step_capacity;
} tern_grammar_machine;

/* Where a text has come to: the ways, and the bytes of an unfinished character. */
typedef struct tern_place {
    const tern_ways *ways; /* count 0: nowhere */
    uint32_t code;         /* bits so far */
    uint8_t missing;       /* bytes to come */
    uint32_t low;          /* the least code that is not overlong */
} tern_place;

tern_status tern_grammar_machine_open(tern_grammar_machine *m, const tern_grammar *g);
void tern_grammar_machine_close(tern_grammar_machine *m);
tern_status tern_grammar_begin(tern_grammar_machine *m, tern_place *place);
/* One byte; what cannot go on leaves a set of none. */
tern_status tern_grammar_step(tern_grammar_machine *m, tern_place *place, uint8_t byte);
bool tern_grammar_may_end(const tern_place *place);

#endif
