/* Which columns of what products read hold outliers.  The columns of normed rows are the same features in all layers: they
 * are counted together; what attention and feed-forward layers make inside is counted by layer. */
#include "llm/window.h"

#include <math.h>
#include <string.h>

/* Rows that products of a block read. */
typedef struct tern_watched_input {
    const char *input;
    char name[96]; /* of the output that is watched */
    int columns;
    bool normed;
} tern_watched_input;

typedef struct tern_outlier_job {
    const tern_transformer *t;
    tern_watched_input *inputs;
    int count, normed;
    bool *seen; /* [count][most] */
    int64_t *hits;
    float *magnitude;
    int most;
    double apart, elements;
} tern_outlier_job;

void tern_outliers_free(tern_outlier_report *report)
{
    tern_release(report->list);
    *report = (tern_outlier_report){0};
}

/* The inputs of blocks, each once: q, k and v read the same rows, and so do gate and up. */
static tern_status list_inputs(tern_outlier_job *j, const tern_text_window *window)
{
    static const char *const parts[] = {"attn_q", "attn_qkv", "ffn_up", "attn_output", "ffn_down"};
    size_t most = (size_t)j->t->layers * TERN_COUNT(parts);
    j->inputs = tern_take_array(most + 1, sizeof *j->inputs);
    if (!j->inputs) return tern_no_memory(most * sizeof *j->inputs, "inputs of products");
    for (int layer = 0; layer < j->t->layers; layer++)
        for (size_t p = 0; p < TERN_COUNT(parts); p++) {
            tern_watched_input *c = &j->inputs[j->count];
            tern_tensor x;
            snprintf(c->name, sizeof c->name, "blk.%d.%s.weight", layer, parts[p]);
            for (int i = 0; i < j->t->weights->count; i++)
                if (strcmp(j->t->weights->names[i], c->name) == 0) c->input = j->t->weights->names[i];
            if (!c->input) continue;
            snprintf(c->name, sizeof c->name, "blk.%d.%s.weight.in", layer, parts[p]);
            TERN_TRY(tern_window_output(window, c->name, &x));
            c->columns = (int)x.shape.dim[1];
            c->normed = p < 3;
            j->normed += c->normed;
            j->most = c->columns > j->most ? c->columns : j->most;
            j->count++;
        }
    size_t cells = (size_t)j->count * (size_t)j->most;
    j->seen = tern_take_array(cells + 1, sizeof *j->seen);
    j->hits = tern_take_array(cells + 1, sizeof *j->hits);
    j->magnitude = tern_take_array(cells + 1, sizeof *j->magnitude);
    return j->seen && j->hits && j->magnitude ? TERN_OK : tern_no_memory(cells * 16, "counts of outliers");
}

static tern_status count_window(tern_outlier_job *j, const tern_text_window *window)
{
    for (int i = 0; i < j->count; i++) {
        tern_tensor x;
        TERN_TRY(tern_window_output(window, j->inputs[i].name, &x));
        const float *values = x.data;
        for (int c = 0; c < j->inputs[i].columns; c++) {
            size_t cell = (size_t)i * (size_t)j->most + (size_t)c;
            int64_t hits = 0;
            for (int64_t r = 0; r < x.shape.dim[0]; r++) {
                float v = fabsf(values[r * x.shape.dim[1] + c]);
                hits += (double)v >= j->t->outliers.threshold;
                j->magnitude[cell] = fmaxf(j->magnitude[cell], v);
            }
            j->hits[cell] += hits;
            j->seen[cell] |= hits > 0;
            j->apart += hits > 0 ? (double)x.shape.dim[0] : 0;
            j->elements += (double)x.shape.dim[0];
        }
    }
    return TERN_OK;
}

/* A column over the inputs first .. last (those of normed rows, or the one). */
static tern_outlier_column sum_column(const tern_outlier_job *j, int only, int column, int64_t positions)
{
    tern_outlier_column s = {.input = only < 0 ? NULL : j->inputs[only].input, .column = column};
    double inputs = only < 0 ? j->normed : 1;
    for (int i = 0; i < j->count; i++) {
        size_t cell = (size_t)i * (size_t)j->most + (size_t)column;
        if (only < 0 ? !j->inputs[i].normed : i != only) continue;
        s.layers += j->seen[cell] / inputs;
        s.positions += (double)j->hits[cell] / ((double)positions * inputs);
        s.magnitude = fmax(s.magnitude, (double)j->magnitude[cell]);
    }
    return s;
}

static tern_status list_columns(const tern_outlier_job *j, tern_outlier_report *r)
{
    for (int only = -1; only < j->count; only++) {
        if (only >= 0 && j->inputs[only].normed) continue;
        int columns = only < 0 ? j->t->width : j->inputs[only].columns;
        for (int c = 0; c < columns; c++) {
            tern_outlier_column s = sum_column(j, only, c, r->positions);
            if (s.layers < 0.25 || s.positions < 0.06) continue;
            size_t old = (size_t)r->count * sizeof *r->list;
            void *list = tern_resize(r->list, old, old + sizeof *r->list);
            if (!list) return tern_no_memory(old, "a list of outliers");
            r->list = list;
            r->list[r->count++] = s;
        }
    }
    return TERN_OK;
}

tern_status tern_outliers_find(tern_outlier_report *report, const tern_transformer *transformer,
                               const int32_t *ids, int tokens, int count, tern_pool *pool)
{
    tern_transformer watched = *transformer;
    tern_outlier_job j = {.t = &watched};
    tern_outlier_report r = {.positions = (int64_t)tokens * count, .threshold = watched.outliers.threshold};
    tern_text_window *window = NULL;
    const float *logits;
    watched.watch = true;
    tern_status status = tern_window_open(&window, &watched, tokens, pool);
    if (status == TERN_OK) status = list_inputs(&j, window);
    for (int i = 0; status == TERN_OK && i < count; i++) {
        status = tern_window_run(window, ids + (int64_t)i * tokens, &logits);
        if (status == TERN_OK) status = count_window(&j, window);
    }
    if (status == TERN_OK) status = list_columns(&j, &r);
    r.inputs = j.count;
    r.apart = j.elements > 0 ? j.apart / j.elements : 0;
    tern_window_close(window);
    tern_release(j.inputs);
    tern_release(j.seen);
    tern_release(j.hits);
    tern_release(j.magnitude);
    if (status == TERN_OK)
        *report = r;
    else
        tern_outliers_free(&r);
    return status;
}
