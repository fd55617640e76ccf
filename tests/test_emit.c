/* Emitted C: every operator that can be written gives the bits of its definition when it is compiled; what can't be
 * emitted is said by layer and operator; nothing is left behind when memory runs out. */
#define _XOPEN_SOURCE 700
#include "op_memory.h"

#include "emit/emit.h"
#include "train/train.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUNDS = 5 };

static char folder[] = "/tmp/tern-emit-XXXXXX";

static int open_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int close_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void write_text(const char *name, tern_text *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(tern_text_status(text));
    assert_ok(tern_write_file(path, text->data, text->size));
    tern_text_free(text);
}

static size_t bytes_of(const tern_tensor *t)
{
    return tern_bytes_of(t->dtype, tern_elements(&t->shape));
}

/* "static const float name[] = {..};", or integers; `value` false: an array to be written. */
static void write_array(tern_text *t, const tern_tensor *x, const char *name, int number, int operand,
                        bool value)
{
    bool bits = x->dtype == TERN_BIT, halves = x->dtype == TERN_F16 || x->dtype == TERN_BF16;
    size_t count = bits ? bytes_of(x) : (size_t)tern_elements(&x->shape);
    tern_text_format(t, "    static %s%s %s%d_%d[%zu]", value ? "const " : "", tern_emit_type(x->dtype), name,
                     number, operand, count);
    for (size_t i = 0; value && i < count; i++)
        tern_text_format(t, x->dtype != TERN_F32 ? "%s%.0f" : "%s%af", i ? ", " : " = {",
                         bits     ? (double)((const uint8_t *)x->data)[i]
                         : halves ? (double)((const uint16_t *)x->data)[i]
                                  : tern_get(x, (int64_t)i));
    tern_text_put(t, value ? "};\n" : ";\n");
}

static bool emittable(const memory *m)
{
    for (int i = 0; i < m->nin + m->nout; i++) {
        const tern_tensor *t = i < m->nin ? &m->in[i] : &m->out[i - m->nin];
        if (t->data && t->dtype == TERN_F64) return false;
    }
    return true;
}

/* One case: its function, and a call of it in main that compares all outputs. */
static bool write_case(size_t c, int number, tern_emit *to, tern_text *calls)
{
    spec s;
    memory m;
    char name[64];
    make(c, &s);
    open_memory(&m, &s);
    tern_call call = call_of(&s, &m);
    snprintf(name, sizeof name, "%s_%d", cases[c].name, number);
    tern_text function = {0};
    tern_emit own = {.text = &function};
    bool written = emittable(&m) && tern_emit_function(&call, name, &own) == TERN_OK;
    tern_clear();
    if (written) tern_emit_spread(function.data, 1, to->text);
    tern_text_free(&function);
    if (written) {
        run_with(s.op->run, s.op->scratch, &call);
        tern_text_put(calls, "    {\n");
        for (int i = 0; i < m.nin; i++)
            if (m.in[i].data) write_array(calls, &m.in[i], "in", number, i, true);
        for (int i = 0; i < m.nout; i++) {
            write_array(calls, &m.out[i], "want", number, i, true);
            write_array(calls, &m.out[i], "got", number, i, false);
        }
        tern_text_format(calls, "    %s(", name);
        const char *comma = "";
        for (int i = 0; i < m.nin + m.nout; i++) {
            bool in = i < m.nin;
            if (in && !m.in[i].data) continue;
            tern_text_format(calls, "%s%s%d_%d", comma, in ? "in" : "got", number, in ? i : i - m.nin);
            comma = ", ";
        }
        if (s.op->scratch && s.op->scratch(&call)) tern_text_put(calls, ", scratch");
        tern_text_put(calls, ");\n");
        for (int i = 0; i < m.nout; i++)
            tern_text_format(calls,
                             "    if (memcmp(want%d_%d, got%d_%d, sizeof want%d_%d)) wrong += printf(\"%s: "
                             "output %d\\n\");\n",
                             number, i, number, i, number, i, name, i);
        tern_text_put(calls, "    }\n");
    }
    close_memory(&m);
    return written;
}

/* All cases of operators whose name has `part` in it, into a program of C; returns how many operators they are of. */
static int write_operators(const char *part, const char *file)
{
    tern_text functions = {0}, calls = {0}, code = {0};
    tern_emit to = {.text = &functions};
    int number = 0, operators = 0;
    for (size_t c = 0; c < TERN_COUNT(cases); c++) {
        if (!tern_operator_find(cases[c].name)->emit || !strstr(cases[c].name, part)) continue;
        int written = 0;
        for (int round = 0; round < 8 * ROUNDS && written < ROUNDS; round++) {
            size_t before = functions.size;
            if (write_case(c, number, &to, &calls))
                written++, number++;
            else /* a form that is refused, such as a norm that trains */
                functions.size = before;
        }
        if (!written) fail_msg("no case of %s can be emitted", cases[c].name);
        operators++;
    }
    tern_text_put(&code,
                  "#include <math.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n\n");
    tern_emit_prelude(&functions, &code);
    tern_text_add(&code, functions.data, functions.size);
    tern_text_put(&code, "int main(void)\n{\n    static double scratch[4096];\n    int wrong = 0;\n");
    tern_text_add(&code, calls.data, calls.size);
    tern_text_put(&code, "    return wrong != 0;\n}\n");
    tern_text_free(&functions);
    tern_text_free(&calls);
    write_text(file, &code);
    return operators;
}

static void run_in_folder(const char *line)
{
    char command[1024];
    snprintf(command, sizeof command, "cd %s && %s", folder, line);
    assert_int_equal(system(command), 0);
}

static void test_operators(void **state)
{
    (void)state;
    assert_true(write_operators("", "operators.c") > 40);
    run_in_folder(
        "${CC:-cc} -std=c99 -Wall -Wextra -Werror -Wconversion -Wno-unused-parameter -ffp-contract=off -O1 "
        "-o operators operators.c -lm && ./operators");
}

/* The same of bytes on a Cortex-M7, whose DSP extension has ways of its own: vectors that begin where newlib does, and its printf
 * through the emulator. */
static void test_operators_on_arm(void **state)
{
    (void)state;
    if (system("command -v arm-none-eabi-gcc qemu-system-arm >/dev/null")) skip();
    tern_text vectors = {0};
    assert_true(write_operators("int8", "bytes.c") > 15);
    tern_text_put(
        &vectors,
        "void _start(void);\nconst void *const vectors[16]\n"
        "    __attribute__((section(\".vectors\"), used)) = {(void *)0x203ffff0, (void *)_start};\n");
    write_text("vectors.c", &vectors);
    run_in_folder("arm-none-eabi-gcc -std=gnu11 -mcpu=cortex-m7 -mthumb -Wall -Wextra "
                  "-Werror -Wconversion -Wno-unused-parameter -ffp-contract=off -O2 --specs=rdimon.specs "
                  "-Wl,--section-start=.vectors=0,-Tdata=0x20000000 -o bytes.elf bytes.c vectors.c -lm && "
                  "timeout 100 qemu-system-arm -M mps2-an500 -nographic -monitor none -serial none "
                  "-semihosting-config enable=on,target=native -kernel bytes.elf </dev/null");
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

typedef struct subject {
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    tern_store store;
} subject;

static tern_status open_subject(subject *s)
{
    const tern_net *net = tern_net_find("spiking-mlp");
    void *parameters = NULL;
    *s = (subject){0};
    TERN_TRY(tern_net_parameters(net, &parameters));
    tern_status status = tern_net_set(net, parameters, "hidden", 5);
    if (status == TERN_OK)
        status = tern_model_step_graph(&s->graph, net, parameters, &TERN_SHAPE(1, 3, 3), 1, 1);
    tern_net_free(parameters);
    TERN_TRY(status);
    TERN_TRY(tern_plan(&s->program, s->graph, &(tern_plan_options){.reference = true}));
    return tern_session_open(&s->session, s->program, &s->store, NULL);
}

static void close_subject(subject *s)
{
    tern_session_close(s->session);
    tern_program_close(s->program);
    tern_graph_close(s->graph);
    tern_store_close(&s->store);
}

static tern_status emit_subject(subject *s, int target, const char *path)
{
    static const float image[9] = {0.5f, 1, -2};
    TERN_TRY(tern_session_bind(s->session, "image", image));
    TERN_TRY(tern_session_run(s->session, 0));
    tern_emit_source source = {
        .program = s->program, .session = s->session, .name = "small", .about = "a test"};
    static const int32_t labels[] = {1};
    return tern_emit_folder(&source, &tern_emit_targets[target], &(tern_emit_limits){1 << 16, 1 << 16, 1024},
                            &(tern_emit_samples){.images = image, .labels = labels, .count = 1, .steps = 3},
                            path);
}

static tern_status cycle(int target, const char *path)
{
    subject s;
    tern_status status = open_subject(&s);
    if (status == TERN_OK) status = emit_subject(&s, target, path);
    close_subject(&s);
    return status;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/small", folder);
    assert_survives_out_of_memory(cycle(1, path)); /* host */
    assert_survives_out_of_memory(cycle(2, path)); /* a board */
}

static void test_weights_are_finite(void **state)
{
    (void)state;
    subject s;
    char path[128];
    struct stat about;
    snprintf(path, sizeof path, "%s/infinite", folder);
    assert_ok(open_subject(&s));
    tern_set(&s.store.tensors[tern_store_find(&s.store, "linear1.weight")], 3, INFINITY);
    assert_error(emit_subject(&s, 1, path), TERN_FAILED, "linear1_weight: element 3 is inf");
    assert_true(stat(path, &about) != 0); /* nothing was made */
    close_subject(&s);
}

static void test_operators_that_cannot(void **state)
{
    (void)state;
    tern_graph *g;
    tern_program *p;
    tern_text code = {0};
    assert_ok(tern_graph_open(&g, NULL));
    tern_layer(g, "middle", NULL);
    tern_value image = tern_input(g, "image", TERN_F32, TERN_SHAPE(2, 2));
    tern_output(g, "logits", tern_matmul(g, image, image));
    assert_ok(tern_plan(&p, g, &(tern_plan_options){.reference = true}));
    tern_emit_source source = {.program = p, .name = "small", .about = "a test"};
    assert_error(tern_emit_code(&source, &code), TERN_USAGE, "layer middle1: the operator");
    tern_text_free(&code);
    tern_program_close(p);
    tern_graph_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_operators_on_arm),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_weights_are_finite),
        cmocka_unit_test(test_operators_that_cannot),
    };
    return cmocka_run_group_tests_name("emit", tests, open_folder, close_folder);
}
