/* <name>.c: weights, memory, a function for each step, and the run. */
#include "emit/emit.h"
#include "quant/quant.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

char *tern_emit_capitals(char out[64], const char *name)
{
    int i = 0;
    for (; name[i] && i < 63; i++)
        out[i] = isalnum((unsigned char)name[i]) ? (char)toupper((unsigned char)name[i]) : '_';
    out[i] = 0;
    return out;
}

tern_status tern_emit_name(char out[64], const char *given, const char *net)
{
    const char *name = given ? given : net;
    size_t length = strlen(name);
    bool good = length > 0 && length < 40 && !isdigit((unsigned char)*name);
    for (size_t i = 0; i <= length && i < 64; i++) {
        out[i] = !given && name[i] == '-' ? '_' : name[i];
        good = good && (i == length || isalnum((unsigned char)out[i]) || out[i] == '_');
    }
    if (good) return TERN_OK;
    return tern_fail(TERN_USAGE, "--name %s is no name in C: letters, digits and _, fewer than 40", name);
}

const char *tern_emit_type(tern_dtype dtype)
{
    switch (dtype) {
    case TERN_F32:
        return "float";
    case TERN_I32:
        return "int32_t";
    case TERN_I16:
        return "int16_t";
    case TERN_F16: /* as they lie in memory */
    case TERN_BF16:
        return "uint16_t";
    case TERN_I8:
        return "int8_t";
    case TERN_U8:
    case TERN_BIT:
        return "uint8_t";
    default:
        return NULL;
    }
}

/* ---- what is stored ------------------------------------------------------------------------------------------ */

/* A parameter that the program changes. */
static bool is_learned(const tern_program *p, int value)
{
    return p->graph->values[value].kind == TERN_VALUE_PARAM && p->graph->values[value].next.id;
}

bool tern_emit_is_state(const tern_program *p, int value)
{
    const tern_value_info *v = &p->graph->values[value];
    return is_learned(p, value) || (v->kind == TERN_VALUE_STATE && (!v->kept || v->next.id));
}

bool tern_emit_is_constant(const tern_program *p, int value)
{
    tern_space space = p->places[value].space;
    if (space == TERN_SPACE_PREPARED || space == TERN_SPACE_CONSTANT) return true;
    return space == TERN_SPACE_STORE && !tern_emit_is_state(p, p->places[value].root);
}

static bool is_written(const tern_program *p, int s)
{
    return s >= p->prepare_count && !(p->steps[s].node->op->flags & TERN_OP_VIEW);
}

/* The first step of each run that reads a root, and as which operand; -1: none. */
static int reader_of(const tern_program *p, int root, int *operand)
{
    for (int s = 0; s < p->step_count; s++) {
        const tern_node *node = p->steps[s].node;
        for (int i = 0; is_written(p, s) && i < node->nin; i++) {
            *operand = i;
            if (node->in[i].id && p->places[node->in[i].id].root == root) return s;
        }
    }
    return -1;
}

static bool is_stored(const tern_program *p, int root)
{
    int operand;
    return p->places[root].root == root && tern_emit_is_constant(p, root) &&
           reader_of(p, root, &operand) >= 0;
}

static int64_t elements_of(const tern_program *p, int value)
{
    return tern_elements(&p->graph->values[value].type.shape);
}

/* States stand one behind the other, each aligned to 8 bytes. */
size_t tern_emit_state_offset(const tern_program *p, int value)
{
    size_t at = 0;
    for (int i = 1; i < value; i++)
        if (tern_emit_is_state(p, i)) at += (p->places[i].bytes + 7) / 8 * 8;
    return at;
}

void tern_emit_sizes_of(const tern_program *p, tern_emit_sizes *sizes)
{
    *sizes =
        (tern_emit_sizes){.arena = p->arena_bytes, .state = tern_emit_state_offset(p, p->graph->value_count)};
    for (int i = 1; i < p->graph->value_count; i++)
        if (is_stored(p, i) || is_learned(p, i)) sizes->weights += p->places[i].bytes;
}

/* "conv1_weight", or where a folded constant is read: "conv1_operand1"; of what is learned, what it begins with. */
static void constant_name(const tern_program *p, int root, char out[128])
{
    const tern_value_info *v = &p->graph->values[root];
    int operand = 0, reader = reader_of(p, root, &operand);
    if (v->name) /* names of files may begin with a digit */
        snprintf(out, 128, "%s%.100s%s", isdigit((unsigned char)*v->name) ? "w" : "", v->name,
                 is_learned(p, root) ? "_start" : "");
    else
        snprintf(out, 128, "%.80s_operand%d_%d", p->steps[reader].node->layer, operand, root);
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
}

static tern_status write_floats(const float *x, int64_t n, const char *name, tern_text *t)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return tern_fail(TERN_FAILED, "%s: element %lld is %g; C takes finite numbers", name,
                             (long long)i, (double)x[i]);
        tern_text_format(t, i % 8 == 7 || i == n - 1 ? "%af,\n" : "%af, ", (double)x[i]);
    }
    return TERN_OK;
}

static tern_status write_constant(const tern_emit_source *source, int root, tern_text *t)
{
    const tern_program *p = source->program;
    const tern_type *type = &p->graph->values[root].type;
    char name[128], shape[96];
    constant_name(p, root, name);
    const char *c_type = tern_emit_type(type->dtype);
    if (!c_type || type->dtype == TERN_BIT)
        return tern_fail(TERN_USAGE, "%s is %s; constants of C are f32, f16, bf16, i32, i16, i8 or u8", name,
                         tern_dtype_of(type->dtype)->name);
    const void *x = tern_session_memory(source->session, (tern_value){root});
    int64_t n = elements_of(p, root);
    tern_text_format(t, "static const %s %s[%lld] = { /* %s */\n", c_type, name, (long long)n,
                     tern_shape_text(shape, &type->shape));
    if (type->dtype == TERN_F32) TERN_TRY(write_floats(x, n, name, t));
    tern_tensor tensor = {type->dtype, type->shape, (void *)(uintptr_t)x};
    bool halves = type->dtype == TERN_F16 || type->dtype == TERN_BF16;
    for (int64_t i = 0; type->dtype != TERN_F32 && i < n; i++) {
        double value = halves ? (double)((const uint16_t *)x)[i] : tern_get(&tensor, i);
        if (value == INT32_MIN) /* has no literal of its own type */
            tern_text_put(t, "INT32_MIN");
        else
            tern_text_format(t, "%.0f", value);
        tern_text_put(t, i % 16 == 15 || i == n - 1 ? ",\n" : ", ");
    }
    tern_text_put(t, "};\n\n");
    return TERN_OK;
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

static tern_status check_operand(const tern_node *node, const tern_tensor *t)
{
    char shape[96];
    if (tern_emit_type(t->dtype) && tern_elements(&t->shape) <= INT_MAX) return TERN_OK;
    return tern_fail(TERN_USAGE,
                     "layer %s: %s of %s %s is not emitted: expected f32, f16, bf16, i32, i16, i8, u8 or "
                     "bits, fewer than 2^31",
                     node->layer, node->op->name, tern_dtype_of(t->dtype)->name,
                     tern_shape_text(shape, &t->shape));
}

/* Marks the operands that are there, as emit functions expect it. */
static tern_status open_call(const tern_program *p, const tern_node *node, tern_call *call,
                             tern_tensor *tensors)
{
    static char here;
    *call = tern_call_of(p->graph, node, tensors, tensors + node->nin);
    for (int i = 0; i < node->nin; i++)
        if (node->in[i].id) tensors[i].data = &here;
    for (int i = 0; i < node->nout; i++)
        if (p->places[node->out[i].id].space != TERN_SPACE_NONE) tensors[node->nin + i].data = &here;
    for (int i = 0; i < node->nin + node->nout; i++)
        if (tensors[i].data) TERN_TRY(check_operand(node, &tensors[i]));
    return TERN_OK;
}

tern_status tern_emit_function(const tern_call *call, const char *name, tern_emit *to)
{
    tern_text *t = to->text;
    const char *comma = "";
    tern_text_format(t, "APART static void %s(", name);
    for (int i = 0; i < call->nin + call->nout; i++) {
        bool in = i < call->nin;
        const tern_tensor *operand = in ? &call->in[i] : &call->out[i - call->nin];
        if (!operand->data) continue;
        const char *type = tern_emit_type(operand->dtype);
        if (i == 0 && tern_int8_streams(call->op, call->args)) type = "rows_source";
        tern_text_format(t, "%s%s%s *%s%d", comma, in ? "const " : "", type, in ? "in" : "out",
                         in ? i : i - call->nin);
        comma = ", ";
    }
    if (call->op->scratch && call->op->scratch(call)) tern_text_format(t, "%svoid *scratch", comma);
    tern_text_put(t, ")\n{\n");
    tern_status status = call->op->emit(call, to);
    tern_text_put(t, "}\n\n");
    return status;
}

/* The function of a step, for so many cores: a shared one knows its core, and where cores meet, which part is next. */
static void put_function(const char *function, const char *name, int cores, tern_text *to)
{
    bool shared = cores > 1 && tern_emit_is_shared(function);
    const char *open = strstr(function, name) + strlen(name) + 1;
    tern_text_add(to, function, (size_t)(open - function));
    if (shared) tern_text_put(to, tern_emit_meets(function) ? "int core, int phase, " : "int core, ");
    tern_emit_spread(open, shared ? cores : 1, to);
}

static tern_status write_step(const tern_emit_source *source, int s, tern_emit *to, char *kinds)
{
    const tern_program *p = source->program;
    const tern_node *node = p->steps[s].node;
    tern_call call;
    char shape[96];
    if (!node->op->emit)
        return tern_fail(TERN_USAGE, "layer %s: the operator %s cannot be written as C yet", node->layer,
                         node->op->name);
    tern_tensor *tensors = tern_take_array((size_t)(node->nin + node->nout) + 1, sizeof *tensors);
    if (!tensors) return tern_no_memory(64, "a step");
    tern_status status = open_call(p, node, &call, tensors);
    if (status == TERN_OK) {
        char name[96];
        snprintf(name, sizeof name, "step%d_%.64s", s - p->prepare_count, node->op->name);
        tern_text_format(to->text, "/* %s: %s", node->layer, node->op->name);
        for (int i = 0; i < node->nin; i++)
            if (node->in[i].id) tern_text_format(to->text, " %s", tern_shape_text(shape, &call.in[i].shape));
        tern_text_format(to->text, " -> %s */\n", tern_shape_text(shape, &call.out[0].shape));
        tern_text function = {0};
        tern_emit own = {.text = &function};
        status = tern_emit_function(&call, name, &own);
        if (status == TERN_OK) status = tern_text_status(&function);
        to->math = to->math || own.math;
        if (status == TERN_OK) {
            kinds[s] = (char)(tern_emit_is_shared(function.data) + tern_emit_meets(function.data));
            put_function(function.data, name, source->cores, to->text);
        }
        tern_text_free(&function);
        if (status != TERN_OK) status = tern_in(status, "layer %s", node->layer);
    }
    tern_release(tensors);
    return status;
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

/* A value as an expression: "(void *)(arena + 32)", "conv1_weight", "image". */
static void write_value(const tern_program *p, int value, tern_text *t)
{
    const tern_place *place = &p->places[value];
    char name[128];
    if (place->space == TERN_SPACE_ARENA)
        tern_text_format(t, "(void *)(arena + %zu)", place->offset);
    else if (tern_emit_is_constant(p, value))
        constant_name(p, place->root, name), tern_text_put(t, name);
    else if (place->space == TERN_SPACE_STORE)
        tern_text_format(t, "(void *)(state + %zu)", tern_emit_state_offset(p, place->root));
    else
        tern_text_put(t, p->graph->values[place->root].name);
}

static void write_call(const tern_program *p, int s, const char *before, tern_text *t)
{
    const tern_node *node = p->steps[s].node;
    const char *comma = "";
    tern_text_format(t, "step%d_%s(%s", s - p->prepare_count, node->op->name, before);
    for (int i = 0; i < node->nin + node->nout; i++) {
        bool in = i < node->nin;
        int value = in ? node->in[i].id : node->out[i - node->nin].id;
        if (!value || p->places[value].space == TERN_SPACE_NONE) continue;
        tern_text_put(t, comma);
        write_value(p, value, t);
        comma = ", ";
    }
    if (p->steps[s].scratch_bytes)
        tern_text_format(t, "%s(void *)(arena + %zu)", comma, p->steps[s].scratch_offset);
    tern_text_format(t, "); /* %s */\n", node->layer);
}

const tern_node *tern_emit_streamer(const tern_emit_source *source)
{
    const tern_graph *g = source->program->graph;
    for (int n = 0; n < g->node_count; n++)
        if (tern_int8_streams(g->nodes[n]->op, g->nodes[n]->args)) return g->nodes[n];
    return NULL;
}

void tern_emit_signature(const tern_emit_source *source, tern_text *t)
{
    const tern_graph *g = source->program->graph;
    char upper[64], value[64];
    const char *comma = "";
    tern_emit_capitals(upper, source->name);
    tern_text_format(t, "void %s_%s(", source->name, source->learns ? "train_step" : "run");
    for (int i = 1; i < g->value_count; i++) {
        if (g->values[i].kind != TERN_VALUE_INPUT) continue;
        if (tern_int8_is_streamed(g, (tern_value){i}))
            tern_text_format(t, "%sconst %s_rows *%s", comma, source->name, g->values[i].name);
        else
            tern_text_format(t, "%sconst %s %s[%s_%s_LENGTH]", comma, tern_emit_type(g->values[i].type.dtype),
                             g->values[i].name, upper, tern_emit_capitals(value, g->values[i].name));
        comma = ", ";
    }
    for (int i = 0; i < g->output_count; i++) {
        const tern_type *type = &g->values[g->outputs[i].value.id].type;
        tern_text_format(t, "%s%s %s[%s_%s_LENGTH]", comma, tern_emit_type(type->dtype), g->outputs[i].name,
                         upper, tern_emit_capitals(value, g->outputs[i].name));
        comma = ", ";
    }
    tern_text_put(t, ")");
}

/* Outputs and states are copied where they belong. */
static void write_end_of_run(const tern_emit_source *source, tern_text *t)
{
    const tern_program *p = source->program;
    const tern_graph *g = p->graph;
    for (int i = 0; i < g->output_count; i++) {
        tern_text_format(t, "    memcpy(%s, ", g->outputs[i].name);
        write_value(p, g->outputs[i].value.id, t);
        tern_text_format(t, ", sizeof *%s * %lld);\n", g->outputs[i].name,
                         (long long)elements_of(p, g->outputs[i].value.id));
    }
    for (int c = 0; c < p->copy_count; c++) {
        tern_text_put(t, "    memcpy(");
        write_value(p, p->copies[c].state, t);
        tern_text_put(t, ", ");
        write_value(p, p->copies[c].next, t);
        tern_text_format(t, ", %zu);\n", p->places[p->copies[c].state].bytes);
    }
    tern_text_put(t, "}\n");
}

static void write_run(const tern_emit_source *source, tern_text *t)
{
    const tern_program *p = source->program;
    tern_emit_signature(source, t);
    tern_text_put(t, "\n{\n");
    for (int s = 0; s < p->step_count; s++)
        if (is_written(p, s)) tern_text_put(t, "    "), write_call(p, s, "", t);
    write_end_of_run(source, t);
}

/* The parts of one core, or of all in turn while `now` is read: "begin" and "end" stand around each.  How many there are. */
static int write_cores_steps(const tern_program *p, const char *kinds, const char *begin, const char *end,
                             tern_text *t)
{
    int parts = 0;
    for (int s = 0; s < p->step_count; s++)
        for (int phase = 0; is_written(p, s) && phase < (kinds[s] > 1 ? 2 : 1); phase++) {
            char before[32] = "";
            if (kinds[s]) snprintf(before, sizeof before, kinds[s] > 1 ? "core, %d, " : "core, ", phase);
            tern_text_format(t, "%s%s", begin, kinds[s] ? "" : "if (core == 0) ");
            write_call(p, s, before, t);
            tern_text_put(t, end);
            parts++;
        }
    return parts;
}

/* Core 0 runs, the others serve; each does its part of each step.  What is given lies where all find it. */
static void write_cores(const tern_emit_source *source, const char *kinds, tern_text *t)
{
    const tern_graph *g = source->program->graph;
    tern_text names = {0};
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind != TERN_VALUE_INPUT) continue;
        tern_text_format(t, "static const %s *given_%s;\n", tern_emit_type(v->type.dtype), v->name);
        tern_text_format(&names, "    given_%s = %s;\n", v->name, v->name);
    }
    tern_text_format(t, "\nstatic void work(int core)\n{\n");
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind == TERN_VALUE_INPUT)
            tern_text_format(t, "    const %s *%s = given_%s;\n", tern_emit_type(v->type.dtype), v->name,
                             v->name);
    }
    write_cores_steps(source->program, kinds, "    ", "    meet(core);\n", t);
    tern_text_format(t, "}\n\nvoid %s_serve(int core)\n{\n", source->name);
    tern_text_format(t,
                     "    for (uint32_t seen = 0;; seen++) {\n"
                     "        while (__atomic_load_n(&runs, __ATOMIC_ACQUIRE) == seen) %s_wait(core);\n"
                     "        work(core);\n    }\n}\n\n",
                     source->name);
    tern_text_format(t,
                     "uint64_t %s_in_turn(uint64_t (*now)(void), uint64_t spent[CORES], int *parts)\n{\n"
                     "    uint64_t most = 0, sum = 0, reading = now();\n"
                     "    reading = now() - reading;\n",
                     source->name);
    for (int i = 1; i < g->value_count; i++) {
        const tern_value_info *v = &g->values[i];
        if (v->kind == TERN_VALUE_INPUT)
            tern_text_format(t, "    const %s *%s = given_%s;\n", tern_emit_type(v->type.dtype), v->name,
                             v->name);
    }
    int parts = write_cores_steps(source->program, kinds,
                                  "    most = 0;\n    for (int core = 0; core < CORES; core++) {\n        "
                                  "uint64_t begun = now();\n        ",
                                  "        begun = now() - begun - reading;\n        spent[core] += begun;\n"
                                  "        if (begun > most) most = begun;\n    }\n    sum += most;\n",
                                  t);
    tern_text_format(t, "    *parts = %d;\n    return sum;\n}\n\n", parts);
    tern_emit_signature(source, t);
    tern_text_format(t, "\n{\n%s", names.data ? names.data : "");
    tern_text_format(t,
                     "    __atomic_add_fetch(&runs, 1, __ATOMIC_RELEASE);\n"
                     "    for (int other = 1; other < CORES; other++) %s_wake(other);\n"
                     "    work(0);\n",
                     source->name);
    write_end_of_run(source, t);
    tern_text_free(&names);
}

/* States go back to their initial values. */
static tern_status write_init(const tern_emit_source *source, tern_text *t)
{
    const tern_program *p = source->program;
    tern_text_format(t, "void %s_init(void)\n{\n", source->name);
    for (int i = 1; i < p->graph->value_count; i++) {
        const tern_value_info *v = &p->graph->values[i];
        char start[128]; /* name of the constant that it begins as */
        if (!tern_emit_is_state(p, i)) continue;
        if (is_learned(p, i)) {
            constant_name(p, i, start);
            tern_text_format(t, "    memcpy(state + %zu, %s, sizeof %s);\n", tern_emit_state_offset(p, i),
                             start, start);
            continue;
        }
        bool plain = v->init.kind == TERN_INIT_ZERO || v->init.kind == TERN_INIT_CONSTANT;
        const char *type = tern_emit_type(v->type.dtype);
        if (!plain || v->kept || !type || v->type.dtype == TERN_BIT)
            return tern_fail(TERN_USAGE,
                             "state \"%s\" does not begin with one number everywhere: not emitted", v->name);
        double first = v->init.kind == TERN_INIT_ZERO ? 0 : v->init.scale;
        tern_text_format(t, "    for (int i = 0; i < %lld; i++) ((%s *)(void *)(state + %zu))[i] = ",
                         (long long)elements_of(p, i), type, tern_emit_state_offset(p, i));
        tern_text_format(t, v->type.dtype == TERN_F32 ? "%af; /* %s */\n" : "%.0f; /* %s */\n",
                         (double)(float)first, v->name);
    }
    tern_text_put(t, "}\n\n");
    if (source->learns)
        tern_text_format(t, "const uint8_t *%s_learned(void)\n{\n    return state;\n}\n\n", source->name);
    return TERN_OK;
}

/* Arena and states; the arena may be the caller's. */
static void write_memory(const tern_emit_source *source, const tern_emit_sizes *sizes, tern_text *t)
{
    char upper[64];
    tern_emit_capitals(upper, source->name);
    tern_text_format(t,
                     "/* Working memory; -D%s_ARENA=<array> puts it elsewhere, aligned to 8 bytes. */\n"
                     "#ifdef %s_ARENA\n"
                     "extern uint8_t %s_ARENA[%s_ARENA_BYTES];\n"
                     "#define arena %s_ARENA\n"
                     "#else\n"
                     "static union {\n    uint8_t bytes[%s_ARENA_BYTES];\n    double aligned;\n} memory;\n"
                     "#define arena memory.bytes\n"
                     "#endif\n\n",
                     upper, upper, upper, upper, upper, upper);
    if (sizes->state)
        tern_text_format(t,
                         "static union {\n    uint8_t bytes[%s_STATE_BYTES];\n    double aligned;\n} kept;\n"
                         "#define state kept.bytes\n\n",
                         upper);
}

tern_status tern_emit_code(const tern_emit_source *source, tern_text *code)
{
    const tern_program *p = source->program;
    tern_text steps = {0};
    tern_emit to = {.text = &steps};
    tern_emit_sizes sizes;
    char *kinds = tern_take((size_t)p->step_count + 1); /* [step]: 1 shared, 2 in two parts */
    tern_status status = kinds ? TERN_OK : tern_no_memory((size_t)p->step_count, "steps");
    tern_emit_sizes_of(p, &sizes);
    for (int s = 0; status == TERN_OK && s < p->step_count; s++)
        if (is_written(p, s)) status = write_step(source, s, &to, kinds);
    if (status == TERN_OK) status = tern_text_status(&steps);
    if (status == TERN_OK && source->cores > 1 && !(steps.data && strstr(steps.data, "share_of(")))
        status = tern_fail(TERN_USAGE,
                           "--cores: no step of this net can be shared yet; those of nets of 16 bits and of "
                           "classic learners can");
    if (status == TERN_OK) {
        tern_text_format(
            code, "/* %s: %s\n * Written by tern " TERN_VERSION "; compile with -ffp-contract=off. */\n",
            source->name, source->about);
        tern_text_format(code, "#include \"%s.h\"\n\n%s#include <string.h>\n\n", source->name,
                         to.math ? "#include <math.h>\n" : "");
        if (tern_emit_streamer(source))
            tern_text_format(code, "typedef %s_rows rows_source;\n\n", source->name);
        write_memory(source, &sizes, code);
        for (int i = 1; status == TERN_OK && i < p->graph->value_count; i++)
            if (is_stored(p, i) || is_learned(p, i)) status = write_constant(source, i, code);
        if (source->cores > 1) {
            const char *const pairs[][2] = {{"name", source->name}, {NULL, NULL}};
            tern_text_format(code, "enum { CORES = %d };\n\n", source->cores);
            tern_emit_fill(code, tern_emit_cores_text, pairs);
        }
        tern_emit_prelude(&steps, code);
        tern_text_add(code, steps.data, steps.size);
        if (status == TERN_OK) status = write_init(source, code);
        if (source->cores > 1)
            write_cores(source, kinds, code);
        else
            write_run(source, code);
    }
    tern_release(kinds);
    tern_text_free(&steps);
    return status == TERN_OK ? tern_text_status(code) : status;
}
