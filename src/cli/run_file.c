/* tern run NET.onnx or NET.tflite: a file's outputs for an array, or for noise. */
#include "cli/run_file.h"

#include "io/io.h"

#include <math.h>
#include <string.h>

typedef struct tern_file_run {
    tern_cli *cli;
    tern_subject subject;
    tern_tensor input; /* f32 [batch,sample..] */
    tern_model model;
    double seconds;
} tern_file_run;

/* Bytes, or 16 bits, of an array stand for the numbers that the net's own do. */
static void scale_bytes(const tern_file_run *r, tern_dtype dtype)
{
    tern_file_about about = tern_subject_about(&r->subject);
    float *x = r->input.data;
    if (dtype != (about.wide ? TERN_I16 : TERN_I8) || about.scale == 0) return;
    for (int64_t i = 0; i < tern_elements(&r->input.shape); i++)
        x[i] = (float)about.scale * (x[i] - (float)about.zero);
}

/* The array of --data as f32, which says the shape of a sample, too. */
static tern_status read_input(tern_file_run *r, const char *path)
{
    tern_tensor array = {0};
    tern_shape *sample = &r->subject.sample;
    char found[96], expected[96];
    TERN_TRY(tern_npy_read(path, &array));
    tern_shape s = array.shape, said = r->subject.net->sample;
    bool fits = s.rank == said.rank + 1 && s.dim[0] > 0 && s.dim[0] <= 65536;
    for (int d = 0; fits && d < said.rank; d++) fits = said.dim[d] == 0 || said.dim[d] == s.dim[d + 1];
    tern_status status = TERN_OK;
    if (!fits)
        status = tern_fail(TERN_USAGE, "%s is %s, the net takes [batch] and %s behind it (0: any)", path,
                           tern_shape_text(found, &s), tern_shape_text(expected, &said));
    if (status == TERN_OK) status = tern_tensor_new(&r->input, TERN_F32, &s);
    if (status == TERN_OK) status = tern_tensor_cast(&r->input, &array);
    if (status == TERN_OK) scale_bytes(r, array.dtype);
    tern_tensor_free(&array);
    sample->rank = said.rank;
    for (int d = 0; d < said.rank; d++) sample->dim[d] = s.dim[d + 1];
    return status;
}

/* One sample, normally distributed. */
static tern_status make_input(tern_file_run *r)
{
    tern_shape s = {.rank = r->subject.sample.rank + 1, .dim = {1}};
    memcpy(s.dim + 1, r->subject.sample.dim, (size_t)r->subject.sample.rank * sizeof *s.dim);
    TERN_TRY(tern_tensor_new(&r->input, TERN_F32, &s));
    for (int64_t i = 0; i < tern_elements(&s); i++)
        tern_set(&r->input, i, tern_rng_normal((tern_rng){r->cli->seed, 77}, (uint64_t)i));
    return TERN_OK;
}

/* Output i of the file: the first is what the net gives. */
static tern_status output(const tern_file_run *r, int i, tern_tensor *out)
{
    return tern_session_output(r->model.session, tern_subject_output(&r->subject, i).value, out);
}

/* What is to be seen of an output at a glance. */
typedef struct tern_glance {
    double lowest, highest, mean;
    int64_t at; /* of the highest */
} tern_glance;

static tern_glance look(const tern_tensor *t)
{
    tern_glance g = {INFINITY, -INFINITY, 0, 0};
    int64_t n = tern_elements(&t->shape);
    for (int64_t i = 0; i < n; i++) {
        double x = tern_get(t, i);
        if (x > g.highest) g.at = i;
        g.lowest = fmin(g.lowest, x);
        g.highest = fmax(g.highest, x);
        g.mean += x / (double)n;
    }
    return g;
}

static tern_status print(const tern_file_run *r)
{
    tern_file_about about = tern_subject_about(&r->subject);
    tern_grid table = {0};
    json_t *all = json_array();
    char shape[96], time[24];
    tern_grid_row(&table, "output|shape|lowest|highest|at|mean");
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < about.outputs; i++) {
        tern_tensor t;
        status = output(r, i, &t);
        if (status != TERN_OK) break;
        tern_glance g = look(&t);
        const char *name = tern_subject_output(&r->subject, i).name;
        tern_shape_text(shape, &t.shape);
        tern_grid_row(&table, "%s|%s|%.6g|%.6g|%lld|%.6g", name, shape, g.lowest, g.highest, (long long)g.at,
                      g.mean);
        json_array_append_new(all, json_pack("{s:s,s:s,s:f,s:f,s:I,s:f}", "name", name, "shape", shape,
                                             "lowest", g.lowest, "highest", g.highest, "highest_at",
                                             (json_int_t)g.at, "mean", g.mean));
    }
    tern_shape_text(shape, &r->input.shape);
    if (status == TERN_OK && r->cli->json) {
        status = tern_print_json(json_pack("{s:s,s:s,s:f,s:O}", "net", r->subject.net->name, "input", shape,
                                           "seconds", r->seconds, "outputs", all));
    } else if (status == TERN_OK) {
        status = tern_grid_print(&table, stdout);
        printf("%s %s in %s\n", about.input, shape, tern_human(time, r->seconds, "s"));
    }
    tern_grid_free(&table);
    json_decref(all);
    return status;
}

static tern_status write_output(const tern_file_run *r)
{
    const char *path = tern_cli_text(r->cli, "out"), *name = tern_cli_text(r->cli, "output");
    const char *known[64];
    size_t count = 0;
    tern_tensor t;
    int outputs = tern_subject_about(&r->subject).outputs;
    if (!path && name) return tern_fail(TERN_USAGE, "--output has no effect without --out");
    if (!path) return TERN_OK;
    for (int i = 0; i < outputs; i++) {
        const char *this = tern_subject_output(&r->subject, i).name;
        if (count < TERN_COUNT(known)) known[count++] = this;
        if (name && strcmp(this, name) != 0) continue;
        TERN_TRY(output(r, i, &t));
        return tern_npy_write(path, &t);
    }
    return tern_unknown("output", name, known, count);
}

static tern_status run(tern_file_run *r)
{
    tern_subject *s = &r->subject;
    const char *data = tern_cli_text(r->cli, "data");
    TERN_TRY(tern_subject_open(s, r->cli, r->cli->arguments[0]));
    TERN_TRY(data ? read_input(r, data) : make_input(r));
    TERN_TRY(tern_subject_weights(s));
    TERN_TRY(tern_model_open(&r->model, s->net, s->parameters, &s->sample, (int)r->input.shape.dim[0], NULL,
                             &s->store, r->cli->pool));
    TERN_TRY(tern_session_bind(r->model.session, "image", r->input.data));
    TERN_TRY(tern_session_run(r->model.session, 0)); /* prepares what follows from the weights */
    tern_session_reset(r->model.session);
    double begun = tern_now();
    TERN_TRY(tern_session_run(r->model.session, 0));
    r->seconds = tern_now() - begun;
    TERN_TRY(write_output(r));
    return print(r);
}

tern_status tern_run_file(tern_cli *cli)
{
    tern_file_run r = {.cli = cli};
    tern_status status = run(&r);
    tern_model_close(&r.model);
    tern_tensor_free(&r.input);
    tern_subject_close(&r.subject);
    return status;
}
