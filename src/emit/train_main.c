/* main.c of a net that learns, here or on a board: every step's loss, logits and all that has been learned are compared with
 * what tern computed, and the loss of samples that it does not learn from is told before and after. */
#include "emit/emit.h"
#include "emit/words.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
/* The services that the rest asks for, on a computer. */
static const char on_host[] =
    "#include <stdio.h>\n"
    "#include <string.h>\n"
    "\n"
    "static FILE *files[2];\n"
    "\n"
    "static int open_files(void)\n"
    "{\n"
    "    files[0] = fopen(\"calls.bin\", \"rb\");\n"
    "    files[1] = fopen(\"expected.bin\", \"rb\");\n"
    "    return files[0] && files[1];\n"
    "}\n"
    "\n"
    "static int get(int file, void *to, size_t bytes)\n"
    "{\n"
    "    return fread(to, 1, bytes, files[file]) == bytes;\n"
    "}\n"
    "\n"
    "static void say(const char *text)\n"
    "{\n"
    "    fputs(text, stdout);\n"
    "}\n"
    "\n"
    "static uint64_t instructions(void)\n"
    "{\n"
    "    return 0;\n"
    "}\n"
    "\n";

static const char on_board[] =
    "#include \"board.h\"\n"
    "\n"
    "#include <string.h>\n"
    "\n"
    "/* In a section of its own, so that the linker holds it to its size. */\n"
    "extern uint8_t bench_arena[@NAME@_ARENA_BYTES];\n"
    "__attribute__((section(\".arena\"), aligned(8))) uint8_t bench_arena[@NAME@_ARENA_BYTES];\n"
    "static int files[2];\n"
    "\n"
    "static int open_files(void)\n"
    "{\n"
    "    files[0] = board_open(\"calls.bin\", 0);\n"
    "    files[1] = board_open(\"expected.bin\", 0);\n"
    "    return files[0] >= 0 && files[1] >= 0;\n"
    "}\n"
    "\n"
    "static int get(int file, void *to, uint32_t bytes)\n"
    "{\n"
    "    return board_read(files[file], to, bytes) == bytes;\n"
    "}\n"
    "\n"
    "static void say(const char *text)\n"
    "{\n"
    "    board_print(text);\n"
    "}\n"
    "\n"
    "static uint64_t instructions(void)\n"
    "{\n"
    "    return board_instructions();\n"
    "}\n"
    "\n";

static const char image_own[] = "static @in_type@ image[@NAME@_IMAGE_LENGTH];\n";
static const char image_inside[] = "static @in_type@ *const image = (void *)(bench_arena + @NAME@_IMAGE_ROOM);\n";

static const char *const body[] = {
    "enum { CALLS = @calls@, HELD = @held@ };\n"
    "\n"
    "static int32_t labels[@NAME@_LABELS_LENGTH], step[1];\n"
    "static float rate[1], loss[1], logits[@NAME@_LOGITS_LENGTH], expected[@NAME@_LOGITS_LENGTH + 1];\n"
    "static char line[640];\n"
    "\n"
    "@words@"
    "/* Four decimals. */\n"
    "static void put_real(float x)\n"
    "{\n"
    "    uint32_t parts = (uint32_t)(x * 10000 + 0.5f);\n"
    "    put_number(parts / 10000);\n"
    "    put(\".\");\n"
    "    for (uint32_t unit = 1000; unit; unit /= 10) put_number(parts / unit % 10);\n"
    "}\n"
    "\n"
    "/* FNV-1a of all that has been learned. */\n"
    "static uint32_t hash(void)\n"
    "{\n"
    "    const uint8_t *bytes = @name@_learned();\n"
    "    uint32_t h = 2166136261u;\n"
    "    for (int i = 0; i < @NAME@_STATE_BYTES; i++) h = (h ^ bytes[i]) * 16777619u;\n"
    "    return h;\n"
    "}\n"
    "\n"
    "typedef struct {\n"
    "    uint32_t equal, steps;\n"
    "    float before, after; /* mean losses of held-out samples */\n"
    "    uint64_t count;      /* instructions of the steps that learn */\n"
    "} result;\n"
    "\n"
    "static int run_call(int call, result *r)\n"
    "{\n"
    "    uint32_t learned;\n"
    "    if (!get(0, image, @NAME@_IMAGE_LENGTH * sizeof *image) || !get(0, labels, sizeof labels) || !get(0, rate, sizeof rate) ||\n"
    "        !get(0, step, sizeof step) || !get(1, expected, sizeof expected) || !get(1, &learned, sizeof learned))\n"
    "        return 0;\n"
    "    uint64_t begun = instructions();\n"
    "    @name@_train_step(image, labels, rate, @step@loss, logits);\n"
    "    if (rate[0] > 0) r->count += instructions() - begun, r->steps++;\n"
    "    if (call < HELD) r->before += loss[0] / HELD;\n"
    "    if (call >= CALLS - HELD) r->after += loss[0] / HELD;\n"
    "    r->equal += memcmp(loss, expected, sizeof loss) == 0 && memcmp(logits, expected + 1, sizeof logits) == 0 &&\n"
    "                hash() == learned;\n"
    "    return 1;\n"
    "}\n"
    "\n",
    "static void tell(const result *r)\n"
    "{\n"
    "    put(\"@name@ on @target@: \");\n"
    "    put_number(r->equal);\n"
    "    put(\" of \");\n"
    "    put_number(CALLS);\n"
    "    put(\" steps bit for bit; loss of \");\n"
    "    put_number(HELD);\n"
    "    put(\" held-out samples \");\n"
    "    put_real(r->before);\n"
    "    put(\" before, \");\n"
    "    put_real(r->after);\n"
    "    put(\" after \");\n"
    "    put_number(r->steps);\n"
    "    put(\" steps of learning\\n\");\n"
    "}\n"
    "\n",
    NULL};

static const char board_end[] =
    "@field@"
    "/* Memory, as it was used, and result.json. */\n"
    "static void tell_memory(const result *r, int status)\n"
    "{\n"
    "    const uint32_t fixed = board_data_used() + board_bss_used(), stack = board_stack_used();\n"
    "    put(\"RAM: \");\n"
    "    put_number(fixed + @NAME@_ARENA_BYTES + stack);\n"
    "    put(\" of \");\n"
    "    put_number(BENCH_RAM);\n"
    "    put(\" bytes: arena @arena@; learned parameters @state@, other data \");\n"
    "    put_number(fixed - @state@);\n"
    "    put(\", stack \");\n"
    "    put_number(stack);\n"
    "    put(\" of \");\n"
    "    put_number(BENCH_STACK);\n"
    "    put(\"\\nflash: \");\n"
    "    put_number(board_flash_used());\n"
    "    put(\" bytes, of them weights @weights@\\ninstructions a step: \");\n"
    "    put_number(r->steps ? r->count / r->steps : 0);\n"
    "    put(\"\\n\");\n"
    "    board_print(line);\n"
    "    line[0] = 0;\n"
    "    put(\"{\\\"net\\\": \\\"@name@\\\", \\\"target\\\": \\\"@target@\\\", \");\n"
    "    put_field(\"calls\", CALLS);\n"
    "    put_field(\"equal\", r->equal);\n"
    "    put_field(\"steps\", r->steps);\n"
    "    put(\"\\\"loss_before\\\": \");\n"
    "    put_real(r->before);\n"
    "    put(\", \\\"loss_after\\\": \");\n"
    "    put_real(r->after);\n"
    "    put(\", \");\n"
    "    put_field(\"arena\", @arena@);\n"
    "    put_field(\"state\", @state@);\n"
    "    put_field(\"weights\", @weights@);\n"
    "    put_field(\"data\", board_data_used());\n"
    "    put_field(\"bss\", board_bss_used());\n"
    "    put_field(\"stack\", stack);\n"
    "    put_field(\"ram\", fixed + @NAME@_ARENA_BYTES + stack);\n"
    "    put_field(\"flash\", board_flash_used());\n"
    "    put_field(\"instructions\", r->steps ? r->count / r->steps : 0);\n"
    "@busiest@"
    "    put(\"\\\"status\\\": \");\n"
    "    put_number((uint64_t)status);\n"
    "    put(\"}\\n\");\n"
    "    board_write(board_open(\"result.json\", 1), line);\n"
    "}\n"
    "\n";

static const char end[] =
    "int main(void)\n"
    "{\n"
    "    result r = {0, 0, 0, 0, 0};\n"
    "    int found = open_files();\n"
    "    @name@_init();\n"
    "    for (int call = 0; call < CALLS; call++) {\n"
    "        if (found && run_call(call, &r)) continue;\n"
    "        say(\"calls.bin or expected.bin is missing or too short\\n\");\n"
    "        return 72;\n"
    "    }\n"
    "    int status = @status@r.equal == CALLS ? 0 : 1;\n"
    "    tell(&r);\n"
    "    @finish@;\n"
    "    return status;\n"
    "}\n";
/* clang-format on */

static tern_status input_of(const tern_emit_source *source, const char *name, const tern_type **type)
{
    tern_value value = tern_find_value(source->program->graph, name);
    if (!value.id) return tern_fail(TERN_FAILED, "a training step without the input \"%s\"", name);
    *type = &source->program->graph->values[value.id].type;
    return TERN_OK;
}

tern_status tern_emit_train_main(const tern_emit_source *source, const tern_emit_target *target,
                                 const tern_emit_samples *samples, tern_text *t)
{
    const tern_type *image = NULL;
    tern_emit_sizes s;
    char upper[64], numbers[5][24];
    size_t room;
    bool board = target->board != NULL, steps = tern_find_value(source->program->graph, "step").id != 0;
    TERN_TRY(input_of(source, "image", &image));
    tern_emit_sizes_of(source->program, &s);
    const size_t values[] = {(size_t)samples->count, (size_t)samples->held, s.arena, s.state, s.weights};
    for (size_t i = 0; i < TERN_COUNT(values); i++) snprintf(numbers[i], sizeof numbers[i], "%zu", values[i]);
    const char *const pairs[][2] = {{"name", source->name},
                                    {"NAME", tern_emit_capitals(upper, source->name)},
                                    {"in_type", tern_emit_type(image->dtype)},
                                    {"words", tern_emit_words},
                                    {"field", tern_emit_field},
                                    {"target", target->name},
                                    {"calls", numbers[0]},
                                    {"held", numbers[1]},
                                    {"arena", numbers[2]},
                                    {"state", numbers[3]},
                                    {"weights", numbers[4]},
                                    {"step", steps ? "step, " : ""},
                                    {"status", board ? "board_stack_used() >= BENCH_STACK ? 71 : " : ""},
                                    {"busiest", source->cores > 1 ? tern_emit_cores_told : ""},
                                    {"finish", board ? "tell_memory(&r, status)" : "say(line)"},
                                    {NULL, NULL}};
    tern_text_format(
        t,
        "/* Trains %s on the samples of calls.bin and compares with expected.bin, what tern computed, bit by "
        "bit.\n * Status: 0 all bits are equal, 1 they are not, 70 a fault, 71 the stack was too small, 72 "
        "a file is missing. */\n#include \"%s.h\"\n\n",
        source->name, source->name);
    tern_emit_fill(t, board ? on_board : on_host, pairs);
    if (source->cores > 1) tern_emit_fill(t, tern_emit_cores_board, pairs);
    tern_emit_fill(t, board && tern_emit_room(source, &room) ? image_inside : image_own, pairs);
    for (int i = 0; body[i]; i++) tern_emit_fill(t, body[i], pairs);
    if (board) tern_emit_fill(t, board_end, pairs);
    tern_emit_fill(t, end, pairs);
    return tern_text_status(t);
}

/* FNV-1a of the states as they lie in the memory of the C. */
static tern_status hash_of(const tern_emit_source *source, uint32_t *hash)
{
    const tern_program *p = source->program;
    size_t bytes = tern_emit_state_offset(p, p->graph->value_count);
    uint8_t *state = tern_take(bytes + 1);
    if (!state) return tern_no_memory(bytes, "states");
    for (int i = 1; i < p->graph->value_count; i++)
        if (tern_emit_is_state(p, i))
            memcpy(state + tern_emit_state_offset(p, i),
                   tern_session_memory(source->session, (tern_value){i}), p->places[i].bytes);
    *hash = 2166136261u;
    for (size_t i = 0; i < bytes; i++) *hash = (*hash ^ state[i]) * 16777619u;
    tern_release(state);
    return TERN_OK;
}

tern_status tern_emit_train_files(const tern_emit_source *source, const tern_emit_samples *samples,
                                  tern_text *calls, tern_text *expected)
{
    const tern_type *image = NULL, *labels = NULL;
    bool steps = tern_find_value(source->program->graph, "step").id != 0;
    TERN_TRY(input_of(source, "image", &image));
    TERN_TRY(input_of(source, "labels", &labels));
    size_t bytes = tern_bytes_of(image->dtype, tern_elements(&image->shape));
    int64_t batch = tern_elements(&labels->shape);
    for (int32_t c = 0; c < samples->count; c++) {
        const char *x = (const char *)samples->images + (size_t)c * bytes;
        const int32_t *label = samples->labels + c * batch;
        tern_tensor loss, logits;
        uint32_t hash;
        TERN_TRY(tern_session_bind(source->session, "image", x));
        TERN_TRY(tern_session_bind(source->session, "labels", label));
        TERN_TRY(tern_session_bind(source->session, "rate", &samples->rates[c]));
        if (steps) TERN_TRY(tern_session_bind(source->session, "step", &c));
        TERN_TRY(tern_session_run(source->session, 0));
        TERN_TRY(tern_session_output(source->session, "loss", &loss));
        TERN_TRY(tern_session_output(source->session, "logits", &logits));
        TERN_TRY(hash_of(source, &hash));
        tern_text_add(calls, x, bytes);
        tern_text_add(calls, (const char *)label, (size_t)batch * sizeof *label);
        tern_text_add(calls, (const char *)&samples->rates[c], sizeof *samples->rates);
        tern_text_add(calls, (const char *)&c, sizeof c);
        tern_text_add(expected, loss.data, sizeof(float));
        tern_text_add(expected, logits.data, (size_t)tern_elements(&logits.shape) * sizeof(float));
        tern_text_add(expected, (const char *)&hash, sizeof hash);
    }
    TERN_TRY(tern_text_status(calls));
    return tern_text_status(expected);
}
