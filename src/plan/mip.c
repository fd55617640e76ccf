/* Columns and rows as they are added, their way into CBC, and their text. */
#include "plan/mip.h"

#include <math.h>
#include <string.h>

const char *const tern_mip_answers[] = {"optimal", "infeasible", "not proven"};

/* Room for one more element in an array of `size` bytes each. */
static bool grow(tern_mip *m, void **array, int count, int room, size_t size)
{
    void *more = tern_resize(*array, (size_t)count * size, (size_t)room * size);
    if (more) *array = more;
    m->failed |= more == NULL;
    return more != NULL;
}

int tern_mip_column(tern_mip *m, double low, double high, double cost, bool whole)
{
    if (m->failed) return 0;
    if (m->columns == m->column_room) {
        int n = m->columns, room = n ? 2 * n : 256;
        if (!grow(m, (void **)&m->low, n, room, sizeof *m->low) ||
            !grow(m, (void **)&m->high, n, room, sizeof *m->high) ||
            !grow(m, (void **)&m->cost, n, room, sizeof *m->cost) ||
            !grow(m, (void **)&m->whole, n, room, sizeof *m->whole))
            return 0;
        m->column_room = room;
    }
    m->low[m->columns] = low;
    m->high[m->columns] = high;
    m->cost[m->columns] = cost;
    m->whole[m->columns] = whole;
    return m->columns++;
}

void tern_mip_term(tern_mip *m, int column, double factor)
{
    if (m->failed || column < 0) return;
    if (m->terms == m->term_room) {
        int n = m->terms, room = n ? 2 * n : 1024;
        if (!grow(m, (void **)&m->column, n, room, sizeof *m->column) ||
            !grow(m, (void **)&m->factor, n, room, sizeof *m->factor))
            return;
        m->term_room = room;
    }
    m->column[m->terms] = column;
    m->factor[m->terms++] = factor;
}

void tern_mip_row(tern_mip *m, double least, double most)
{
    if (m->failed) return;
    if (m->rows + 1 >= m->row_room) {
        int n = m->row_room, room = n ? 2 * n : 256;
        if (!grow(m, (void **)&m->least, n, room, sizeof *m->least) ||
            !grow(m, (void **)&m->most, n, room, sizeof *m->most) ||
            !grow(m, (void **)&m->begin, n, room, sizeof *m->begin))
            return;
        m->row_room = room;
        if (n == 0) m->begin[0] = 0;
    }
    m->least[m->rows] = least;
    m->most[m->rows++] = most;
    m->begin[m->rows] = m->terms;
}

void tern_mip_free(tern_mip *m)
{
    tern_release(m->low);
    tern_release(m->high);
    tern_release(m->cost);
    tern_release(m->whole);
    tern_release(m->least);
    tern_release(m->most);
    tern_release(m->begin);
    tern_release(m->column);
    tern_release(m->factor);
    *m = (tern_mip){0};
}

static void write_sum(const tern_mip *m, int row, tern_text *t)
{
    for (int i = m->begin[row]; i < m->begin[row + 1]; i++)
        tern_text_format(t, " %+.15g x%d", m->factor[i], m->column[i]);
}

void tern_mip_write(const tern_mip *m, tern_text *t)
{
    tern_text_put(t, "Minimize\n obj: 0 x0");
    for (int i = 0; i < m->columns; i++)
        if (m->cost[i] != 0) tern_text_format(t, "\n %+.15g x%d", m->cost[i], i);
    tern_text_put(t, "\nSubject To\n");
    for (int r = 0; r < m->rows; r++) {
        for (int side = 0; side < 2; side++) {
            double bound = side ? m->most[r] : m->least[r];
            bool equal = m->least[r] == m->most[r];
            if (!isfinite(bound) || (side && equal)) continue;
            tern_text_format(t, " r%d%s:", r, side ? "u" : "l");
            write_sum(m, r, t);
            tern_text_format(t, " %s %.15g\n", equal ? "=" : side ? "<=" : ">=", bound);
        }
    }
    tern_text_put(t, "Bounds\n");
    for (int i = 0; i < m->columns; i++)
        tern_text_format(t, " %.15g <= x%d <= %.15g\n", m->low[i], i, m->high[i]);
    tern_text_put(t, "Generals\n");
    for (int i = 0; i < m->columns; i++)
        if (m->whole[i]) tern_text_format(t, " x%d\n", i);
    tern_text_put(t, "End\n");
}

#ifdef TERN_HAVE_CBC

#include <Cbc_C_Interface.h>

bool tern_mip_available(void)
{
    return true;
}

/* Terms by column, as CBC takes them. */
static tern_status load(const tern_mip *m, Cbc_Model *model)
{
    int *start = tern_take_array((size_t)m->columns + 2, sizeof *start);
    int *row = tern_take_array((size_t)m->terms + 1, sizeof *row);
    double *value = tern_take_array((size_t)m->terms + 1, sizeof *value);
    tern_status status = start && row && value ? TERN_OK : tern_no_memory((size_t)m->terms * 12, "a program");
    if (status == TERN_OK) {
        for (int i = 0; i < m->terms; i++) start[m->column[i] + 2]++;
        for (int c = 0; c < m->columns; c++) start[c + 2] += start[c + 1];
        for (int r = 0; r < m->rows; r++)
            for (int i = m->begin[r]; i < m->begin[r + 1]; i++) {
                int at = start[m->column[i] + 1]++;
                row[at] = r;
                value[at] = m->factor[i];
            }
        Cbc_loadProblem(model, m->columns, m->rows, start, row, value, m->low, m->high, m->cost, m->least,
                        m->most);
        for (int c = 0; c < m->columns; c++)
            if (m->whole[c]) Cbc_setInteger(model, c);
    }
    tern_release(start);
    tern_release(row);
    tern_release(value);
    return status;
}

tern_status tern_mip_solve(const tern_mip *mip, double seconds, tern_mip_answer *answer, bool *found,
                           double *x, double *bound)
{
    if (mip->failed) return tern_no_memory((size_t)mip->terms * 12, "a mixed-integer program");
    Cbc_Model *model = Cbc_newModel();
    Cbc_setLogLevel(model, 0);
    tern_status status = load(mip, model);
    if (status == TERN_OK) {
        Cbc_setParameter(model, "timeMode", "elapsed");
        Cbc_setMaximumSeconds(model, seconds);
        Cbc_solve(model);
        /* CBC says infeasible, too, where only the time was up */
        bool finished = Cbc_status(model) == 0 && !Cbc_isSecondsLimitReached(model);
        const double *best = Cbc_bestSolution(model);
        bool infeasible = finished && (Cbc_isProvenInfeasible(model) || !best);
        *found = best != NULL && !infeasible;
        *answer = infeasible                                         ? TERN_MIP_INFEASIBLE
                  : finished && Cbc_isProvenOptimal(model) && *found ? TERN_MIP_OPTIMAL
                                                                     : TERN_MIP_UNPROVEN;
        *bound = *answer == TERN_MIP_OPTIMAL ? Cbc_getObjValue(model) : Cbc_getBestPossibleObjValue(model);
        if (*found) memcpy(x, best, (size_t)mip->columns * sizeof *x);
    }
    Cbc_deleteModel(model);
    return status;
}

#else

bool tern_mip_available(void)
{
    return false;
}

tern_status tern_mip_solve(const tern_mip *mip, double seconds, tern_mip_answer *answer, bool *found,
                           double *x, double *bound)
{
    (void)mip, (void)seconds, (void)answer, (void)found, (void)x, (void)bound;
    return tern_fail(TERN_FAILED, "this build solves no mixed-integer programs: it was made without CBC "
                                  "(coinor-libcbc-dev)");
}

#endif
