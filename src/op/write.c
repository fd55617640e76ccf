/* What operators share when they write themselves as C. */
#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

tern_written tern_write_read(const tern_call *call, int in, const char *index)
{
    tern_written w;
    bool bits = call->in[in].dtype == TERN_BIT;
    snprintf(w.text, sizeof w.text, bits ? "get_bit(in%d, %s)" : "(double)in%d[%s]", in, index);
    return w;
}

void tern_write_loops(tern_emit *to, const tern_shape *shape)
{
    for (int d = 0; d < shape->rank; d++)
        tern_text_format(to->text, "    for (int i%d = 0; i%d < %lld; i%d++)%s\n", d, d,
                         (long long)shape->dim[d], d, d == shape->rank - 1 ? " {" : "");
    if (shape->rank == 0) tern_text_put(to->text, "    {\n");
}

void tern_write_end(tern_emit *to)
{
    tern_text_put(to->text, "    }\n");
}

tern_written tern_write_place(const tern_shape *from, const tern_shape *loops)
{
    tern_written w = {"0"};
    int length = 0, shift = loops->rank - from->rank;
    for (int d = 0; d < from->rank; d++) {
        if (from->dim[d] == 1) continue; /* the same element all along the axis */
        int64_t stride = tern_elements_from(from, d + 1);
        length += snprintf(w.text + length, sizeof w.text - (size_t)length, "%si%d * %lld",
                           length ? " + " : "", d + shift, (long long)stride);
    }
    return w;
}

void tern_write_clear(tern_emit *to, const tern_call *call, int out)
{
    if (call->out[out].dtype != TERN_BIT) return;
    size_t bytes = tern_bytes_of(TERN_BIT, tern_elements(&call->out[out].shape));
    tern_text_format(to->text, "    memset(out%d, 0, %zu);\n", out, bytes);
}

void tern_write_copy(tern_emit *to, const tern_call *call, const char *from)
{
    const tern_shape *y = &call->out[0].shape;
    tern_written at = tern_write_place(y, y);
    tern_write_clear(to, call, 0);
    tern_write_loops(to, y);
    if (call->out[0].dtype == TERN_BIT)
        tern_text_format(to->text, "        if (get_bit(in0, %s)) set_bit(out0, %s);\n", from, at.text);
    else if (call->in[0].dtype == TERN_BIT)
        tern_text_format(to->text, "        out0[%s] = (float)get_bit(in0, %s);\n", at.text, from);
    else
        tern_text_format(to->text, "        out0[%s] = in0[%s];\n", at.text, from);
    tern_write_end(to);
}

/* Sums, products and choices of floats are the same computed in float and in double, rounded once; all else is computed
 * in double. */
static bool exact_in_float(const tern_op *op)
{
    static const char *const names[] = {"add",     "subtract", "multiply", "divide", "maximum",
                                        "minimum", "where",    "relu",     "negate"};
    for (size_t i = 0; i < TERN_COUNT(names); i++)
        if (strcmp(op->name, names[i]) == 0) return true;
    return false;
}

tern_status tern_write_element(const tern_call *call, tern_emit *to, const char *expression)
{
    const tern_shape *y = &call->out[0].shape;
    bool simple = exact_in_float(call->op);
    if (call->op->args_size) {
        double a[2];
        memcpy(a, call->args, sizeof a);
        if (!isfinite(a[0]) || !isfinite(a[1]))
            return tern_fail(TERN_USAGE, "%s: its constants are not finite", call->op->name);
        tern_text_format(
            to->text,
            "    static const struct { double p, q; } constants = {%.17g, %.17g}, *a = &constants;\n", a[0],
            a[1]);
    }
    to->math |= !simple;
    tern_write_loops(to, y);
    tern_text_format(to->text, "        const %s x[] = {", simple ? "float" : "double");
    for (int i = 0; i < call->nin; i++) {
        tern_written at = tern_write_place(&call->in[i].shape, y);
        bool bits = call->in[i].dtype == TERN_BIT;
        tern_text_format(to->text, bits ? "%sget_bit(in%d, %s)" : "%sin%d[%s]", i ? ", " : "", i, at.text);
    }
    tern_text_format(to->text, "};\n        out0[%s] = (float)(%s);\n", tern_write_place(y, y).text,
                     expression);
    tern_write_end(to);
    return TERN_OK;
}
