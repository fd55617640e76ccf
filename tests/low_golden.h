/* Quantisers of few bits against golden/brevitas: what Brevitas computes of the same tensors.  For the test and the proof. */
#ifndef TERN_LOW_GOLDEN_H
#define TERN_LOW_GOLDEN_H

#include "graph/graph.h"
#include "io/io.h"
#include "op/fixed.h"
#include "run/run.h"

#include <math.h>
#include <stdio.h>

/* The largest errors so far: of values, absolute; of gradients, relative from 1 on. */
typedef struct low_errors {
    int tensors;
    double value, gradient;
} low_errors;

static inline void low_gradient(low_errors *e, double got, double expected)
{
    e->gradient = fmax(e->gradient, fabs(got - expected) / fmax(1, fabs(expected)));
}

/* y = step level(w) and dL/dw of each row, by the graph of the layers. */
static inline tern_status low_weights(const tern_bundle *b, int bits, low_errors *e)
{
    const tern_tensor *x = tern_bundle_find(b, "x"), *up = tern_bundle_find(b, "g"),
                      *y = tern_bundle_find(b, "y"), *dx = tern_bundle_find(b, "dx");
    int64_t n = x->shape.dim[1];
    tern_graph *g;
    tern_program *p = NULL;
    tern_session *s = NULL;
    tern_store store = {0};
    tern_tensor out, grad;
    TERN_TRY(tern_graph_open(&g, &(tern_graph_options){.training = true}));
    tern_value w = tern_input(g, "w", TERN_F32, TERN_SHAPE(n)),
               u = tern_input(g, "up", TERN_F32, TERN_SHAPE(n)), d = {0};
    tern_levelled k = tern_low_levels(g, w, bits);
    tern_value value = tern_multiply(g, k.k, k.step);
    tern_value loss =
        tern_reshape(g, tern_sum(g, tern_multiply(g, value, u), .axis = 0, .axes = 1), TERN_SHAPE(1));
    tern_status status = tern_gradients(g, loss, &w, 1, &d);
    tern_output(g, "y", value);
    tern_output(g, "d", d);
    if (status == TERN_OK) status = tern_plan(&p, g, NULL);
    if (status == TERN_OK) status = tern_session_open(&s, p, &store, NULL);
    for (int64_t t = 0; status == TERN_OK && t < x->shape.dim[0]; t++, e->tensors++) {
        status = tern_session_bind(s, "w", (const float *)x->data + t * n);
        if (status == TERN_OK) status = tern_session_bind(s, "up", (const float *)up->data + t * n);
        if (status == TERN_OK) status = tern_session_run(s, 0);
        if (status == TERN_OK) status = tern_session_output(s, "y", &out);
        if (status == TERN_OK) status = tern_session_output(s, "d", &grad);
        for (int64_t i = 0; status == TERN_OK && i < n; i++) {
            e->value = fmax(e->value, fabs(tern_get(&out, i) - tern_get(y, t * n + i)));
            low_gradient(e, tern_get(&grad, i), tern_get(dx, t * n + i));
        }
    }
    tern_session_close(s);
    tern_program_close(p);
    tern_graph_close(g);
    tern_store_close(&store);
    return status;
}

/* The same of activations, which are below 0, too: values in f32 as they are trained, gradients in double. */
static inline void low_activations(const tern_bundle *b, int bits, low_errors *e)
{
    enum { N = 16 };
    const tern_tensor *x = tern_bundle_find(b, "x"), *step = tern_bundle_find(b, "s"),
                      *up = tern_bundle_find(b, "g"), *y = tern_bundle_find(b, "y"),
                      *dx = tern_bundle_find(b, "dx"), *ds = tern_bundle_find(b, "ds");
    tern_uniform_op op = {0, (1 << bits) - 1, false, false};
    for (int64_t t = 0; t < x->shape.dim[0]; t++, e->tensors++) {
        float relu[N], value[N], s = (float)tern_get(step, t);
        double wide[N], g[N], to_x[N], to_s, s_wide = (double)s;
        for (int i = 0; i < N; i++) {
            relu[i] = (float)fmax(0, tern_get(x, t * N + i));
            wide[i] = (double)relu[i];
            g[i] = tern_get(up, t * N + i);
        }
        tern_tensor in[] = {{TERN_F32, TERN_SHAPE(N), relu}, {TERN_F32, TERN_SHAPE(1), &s}},
                    out = {TERN_F32, TERN_SHAPE(N), value};
        tern_tensor in64[] = {{TERN_F64, TERN_SHAPE(N), wide},
                              {TERN_F64, TERN_SHAPE(1), &s_wide},
                              {TERN_F64, TERN_SHAPE(N), g}};
        tern_tensor out64[] = {{TERN_F64, TERN_SHAPE(N), to_x}, {TERN_F64, TERN_SHAPE(1), &to_s}};
        tern_op_uniform.run(
            &(tern_call){.op = &tern_op_uniform, .args = &op, .nin = 2, .nout = 1, .in = in, .out = &out});
        tern_op_uniform_grad.run(&(tern_call){
            .op = &tern_op_uniform_grad, .args = &op, .nin = 3, .nout = 2, .in = in64, .out = out64});
        for (int i = 0; i < N; i++) {
            e->value = fmax(e->value, fabs((double)value[i] - tern_get(y, t * N + i)));
            low_gradient(e, tern_get(x, t * N + i) > 0 ? to_x[i] : 0, tern_get(dx, t * N + i));
        }
        low_gradient(e, to_s, tern_get(ds, t));
    }
}

/* All files of a folder of golden files: 2, 3, 4 and 8 bits. */
static inline tern_status low_compare(const char *golden, low_errors *e)
{
    static const int bits[] = {2, 3, 4, 8};
    char path[512];
    tern_bundle b = {0};
    *e = (low_errors){0};
    for (size_t i = 0; i < TERN_COUNT(bits); i++) {
        snprintf(path, sizeof path, "%s/brevitas/weights-%d.safetensors", golden, bits[i]);
        TERN_TRY(tern_safetensors_read(path, &b));
        tern_status status = low_weights(&b, bits[i], e);
        tern_bundle_free(&b);
        TERN_TRY(status);
        snprintf(path, sizeof path, "%s/brevitas/activations-%d.safetensors", golden, bits[i]);
        TERN_TRY(tern_safetensors_read(path, &b));
        low_activations(&b, bits[i], e);
        tern_bundle_free(&b);
    }
    return TERN_OK;
}

#endif
