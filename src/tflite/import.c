/* The graph of a TFLite file, operator by operator. */
#include "tflite/import.h"

#include <string.h>

static tern_status add_operator(tern_tflite_call *call)
{
    const tern_tflite_operator *op = call->op;
    call->row = tern_tflite_find_operator(op->code);
    if (!call->row)
        return tern_fail(TERN_FAILED, "%s: operator %d of the schema is not known to Tern",
                         call->model->flat.file, op->code);
    if (op->input_count < call->row->least || op->input_count > call->row->most || op->output_count < 1)
        return tern_tflite_fail(call, "%d inputs and %d outputs, expected %d to %d, and at least one",
                                op->input_count, op->output_count, call->row->least, call->row->most);
    for (int i = 0; i < call->row->least; i++)
        if (op->inputs[i] < 0) return tern_tflite_fail(call, "input %d is missing", i);
    for (int i = 0; i < op->output_count; i++)
        if (op->outputs[i] < 0) return tern_tflite_fail(call, "output %d is missing", i);
    tern_layer(call->graph, call->row->layer, NULL);
    TERN_TRY(call->row->function(call));
    tern_status status = tern_graph_status(call->graph);
    return status == TERN_OK ? tern_flat_status(&call->model->flat)
                             : tern_tflite_fail(call, "%s", tern_message());
}

static tern_value scale_parameter(tern_tflite_call *call, const char *name, bool scale, double number)
{
    return tern_tflite_parameter_of(call, name,
                                    (tern_tflite_parameter){.dtype = scale ? TERN_F32 : TERN_I32,
                                                            .shape = TERN_SHAPE(1),
                                                            .kind = TERN_TFLITE_NUMBER,
                                                            .number = number});
}

/* The input, in bytes or 16 bits where the file has it so. */
static tern_status take_input(tern_tflite_call *call, tern_value image)
{
    const tern_tflite *m = call->model;
    const tern_tflite_tensor *t = &m->tensors[m->input];
    tern_tflite_value *v = &call->values[m->input];
    if (t->bytes.count) return tern_fail(TERN_FAILED, "%s: the input is a constant", m->flat.file);
    tern_shape s = tern_shape_of(call->graph, image);
    tern_value *own = m->image_first ? &v->image : &v->plain;
    v->shape = m->image_first && s.rank == 4 ? TERN_SHAPE(s.dim[0], s.dim[2], s.dim[3], s.dim[1]) : s;
    *own = image;
    if (t->type == TERN_TFLITE_F32) return tern_graph_status(call->graph);
    tern_layer(call->graph, "input", "input");
    tern_value in[] = {image, scale_parameter(call, "image.scale", true, t->scale),
                       scale_parameter(call, "image.zero", false, t->zero)};
    const tern_op *op = t->type == TERN_TFLITE_I16 ? &tern_op_quantise_int16 : &tern_op_quantise_int8;
    *own = tern_apply(call->graph, op, NULL, in, 3, NULL);
    return tern_graph_status(call->graph);
}

/* Output i as floats. */
static tern_status take_output(tern_tflite_call *call, int i, tern_value *result)
{
    tern_tflite *m = call->model;
    const tern_tflite_tensor *t = &m->tensors[m->outputs[i]];
    tern_tflite_operator whole = {.inputs = &m->outputs[i], .input_count = 1};
    static const tern_tflite_row row = {.name = "output"};
    char name[32];
    tern_tflite_call of = *call;
    of.op = &whole;
    of.row = &row;
    tern_layer(call->graph, "output", NULL);
    tern_value x = tern_tflite_plain(&of, 0);
    if (t->type == TERN_TFLITE_I8 || t->type == TERN_TFLITE_I16) {
        snprintf(name, sizeof name, "output%d.scale", i);
        tern_value scale = scale_parameter(call, name, true, m->beta > 0 ? m->beta * t->scale : t->scale);
        snprintf(name, sizeof name, "output%d.zero", i);
        tern_value in[] = {x, scale, scale_parameter(call, name, false, t->zero)};
        x = tern_apply(call->graph, &tern_op_dequantise_int8, NULL, in, 3, NULL);
    }
    if (i == 0)
        *result = x;
    else
        tern_output(call->graph, tern_tflite_output_of(m, i), x);
    return tern_graph_status(call->graph);
}

static tern_status build(tern_tflite_call *call, tern_value image, tern_value *result)
{
    tern_tflite *m = call->model;
    tern_shape s = tern_shape_of(call->graph, image);
    call->batch = s.dim[0];
    call->file_batch = m->tensors[m->input].shape.dim[0];
    TERN_TRY(take_input(call, image));
    for (int i = 0; i < m->operator_count; i++) {
        call->op = &m->operators[i];
        TERN_TRY(add_operator(call));
    }
    for (int i = 0; i < m->output_count; i++) TERN_TRY(take_output(call, i, result));
    return TERN_OK;
}

tern_value tern_tflite_build(tern_tflite *model, tern_graph *graph, tern_value image)
{
    tern_value result = {0};
    if (graph->status != TERN_OK) return result;
    tern_tflite_call call = {.model = model, .graph = graph};
    call.values = tern_take_array((size_t)model->tensor_count + 1, sizeof *call.values);
    if (!call.values) return tern_graph_no_memory(graph);
    tern_status status = build(&call, image, &result);
    tern_release(call.values);
    return status == TERN_OK ? result : tern_graph_keep(graph, status);
}
