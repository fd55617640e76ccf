/* TensorFlow Lite Micro on the board that tern emit writes for: the same samples, results compared with Tern's, the same counters. */
#include <cstring>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" {
#include "board.h"
extern const uint8_t model_bytes[];
void DebugLog(const char *, va_list) {}
int DebugVsnprintf(char *, size_t, const char *, va_list) { return 0; }
void __cxa_pure_virtual() { board_exit(70); }
void _init() {}
void *__dso_handle = nullptr;
}

extern uint8_t bench_arena[ARENA_ROOM];
__attribute__((section(".arena"), aligned(16))) uint8_t bench_arena[ARENA_ROOM];

static char line[256];

static void put_field(const char *name, uint64_t number, const char *behind)
{
    char digits[24];
    int at = sizeof digits - 1;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    strcat(strcat(strcat(strcat(strcat(line, "\""), name), "\": "), digits + at), behind);
}

int main()
{
    static tflite::MicroMutableOpResolver<16> operators;
    REGISTER
    static tflite::MicroInterpreter interpreter(tflite::GetModel(model_bytes), operators, bench_arena, ARENA_ROOM);
    if (interpreter.AllocateTensors() != kTfLiteOk) board_exit(3);
    TfLiteTensor *in = interpreter.input(0), *out = interpreter.output(0);
    int images = board_open("images.bin", 0), answers = board_open("expected.bin", 0);
    uint64_t instructions = 0;
    uint32_t equal = 0, samples = 0;
    float expected;
    for (; samples < SAMPLES; samples++) {
        if (board_read(images, in->data.int8, (uint32_t)in->bytes) != in->bytes) board_exit(72);
        uint64_t begun = board_instructions();
        if (interpreter.Invoke() != kTfLiteOk) board_exit(1);
        instructions += board_instructions() - begun;
        bool same = true;
        for (size_t i = 0; i < out->bytes; i++) {
            if (board_read(answers, &expected, sizeof expected) != sizeof expected) board_exit(72);
            same = same && expected == (float)(out->data.int8[i] - out->params.zero_point) * out->params.scale;
        }
        equal += same;
    }
    strcat(line, "{");
    put_field("samples", samples, ", ");
    put_field("equal", equal, ", ");
    put_field("arena", interpreter.arena_used_bytes(), ", ");
    put_field("flash", board_flash_used(), ", ");
    put_field("stack", board_stack_used(), ", ");
    put_field("instructions", instructions / samples, "}\n");
    board_write(board_open("tflm.json", 1), line);
    return 0;
}
