/* Mixed-integer programs: minimise cost x over rows of linear constraints and bounds, some x whole; solved by CBC where it was
 * found when Tern was built. */
#ifndef TERN_MIP_H
#define TERN_MIP_H

#include "base/base.h"

typedef enum tern_mip_answer {
    TERN_MIP_OPTIMAL,    /* proven */
    TERN_MIP_INFEASIBLE, /* proven */
    TERN_MIP_UNPROVEN,   /* the time was up: there may be a solution, and better ones */
} tern_mip_answer;
extern const char *const tern_mip_answers[];

typedef struct tern_mip {
    int columns, rows, terms;
    double *low, *high, *cost; /* [columns] */
    bool *whole;
    double *least, *most; /* [rows]: bounds of the sums */
    int *begin;           /* [rows + 1]: first term of each row */
    int *column;          /* [terms] */
    double *factor;
    int column_room, row_room, term_room;
    bool failed; /* an allocation did */
} tern_mip;

/* A new column, its number returned.  Rows are built term by term, then closed with their bounds. */
int tern_mip_column(tern_mip *mip, double low, double high, double cost, bool whole);
void tern_mip_term(tern_mip *mip, int column, double factor); /* column < 0: nothing */
void tern_mip_row(tern_mip *mip, double least, double most);
void tern_mip_free(tern_mip *mip);

/* Whether Tern was built with CBC. */
bool tern_mip_available(void);

/* x[columns] is written when *found; *bound: no solution can cost less.  TERN_FAILED without CBC. */
tern_status tern_mip_solve(const tern_mip *mip, double seconds, tern_mip_answer *answer, bool *found,
                           double *x, double *bound);

/* The program in the LP format of CPLEX, which other solvers read. */
void tern_mip_write(const tern_mip *mip, tern_text *text);

#endif
