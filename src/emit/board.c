/* Boards: how a net is compiled for each, linked inside its memory, and run in an emulator. */
#include "emit/emit.h"
#include "plan/ram.h"
#include "quant/quant.h"

#include <stdio.h>
#include <string.h>

/* Memory maps are those of QEMU 7.2.  -ffp-contract=off: a fused product and sum has other last bits. */
#define ARM(cpu, machine, flash)                                                                             \
    {                                                                                                        \
        "arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi", cpu " -mthumb --specs=nano.specs", \
            "qemu-system-arm", "qemu-system-arm", machine, 0, 0x20000000, flash, 4 << 20                     \
    }
#define RISCV(isa, machine)                                                                                  \
    {                                                                                                        \
        "riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",                   \
            isa " -misa-spec=2.2 --specs=picolibc.specs", "qemu-system-riscv32", "qemu-system-misc",         \
            machine, 0x80000000, 0x82000000, 32 << 20, 32 << 20                                              \
    }
static const tern_emit_board cortex_m4 = ARM("-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
                                             "mps2-an386", 4 << 20),
                             cortex_m7 = ARM("-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16", "mps2-an500",
                                             4 << 20),
                             cortex_m55 = ARM("-mcpu=cortex-m55 -mfloat-abi=hard", "mps3-an547", 512 << 10),
                             rv32imac = RISCV("-march=rv32imac -mabi=ilp32", "virt -bios none"),
                             rv32imafdc = RISCV("-march=rv32imafdc -mabi=ilp32d", "virt -bios none"),
                             zfh = RISCV("-march=rv32imafdc -mabi=ilp32d -DRISCV_ZFH",
                                         "virt -bios none -cpu rv32,Zfh=true");

const tern_emit_target tern_emit_targets[] = {
    {"c99", "freestanding C99, with a main that checks it", false, NULL, false, 0},
    {"host", "the same; its main also reads images from a file and measures time", true, NULL, false, 0},
    {"cortex-m", "a program for a Cortex-M7", false, &cortex_m7, false, 0},
    {"cortex-m4", "for a Cortex-M4F, which has no doubles", false, &cortex_m4, false, 0},
    {"cortex-m7", "for a Cortex-M7", false, &cortex_m7, false, 0},
    {"cortex-m55", "for a Cortex-M55", false, &cortex_m55, false, 0},
    {"riscv", "for RV32IMAFDC", false, &rv32imafdc, false, 8},
    {"riscv-zfh", "the same with arithmetic of f16", false, &zfh, false, 8},
    {"rv32imac", "for RV32IMAC, which has no floats", false, &rv32imac, false, 8},
    {"verilog", "logic, of nets in integers", false, NULL, true, 0},
    {0},
};

/* ---- what fits ---------------------------------------------------------------------------------------------------- */

bool tern_emit_room(const tern_emit_source *source, size_t *offset)
{
    const tern_graph *g = source->program->graph;
    tern_value image = tern_find_value(g, "image");
    for (int i = 1; !source->learns && i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_STATE) return false; /* the next step may see the same image */
    return source->cores <= 1 && image.id && !tern_emit_streamer(source) &&
           tern_program_room(source->program, image, offset);
}

size_t tern_emit_bench_bytes(const tern_emit_source *source)
{
    const tern_graph *g = source->program->graph;
    size_t bytes = 0, offset;
    int inside = tern_emit_room(source, &offset) ? tern_find_value(g, "image").id : 0;
    for (int i = 1; i < g->value_count; i++)
        if (g->values[i].kind == TERN_VALUE_INPUT && i != inside &&
            !tern_int8_is_streamed(g, (tern_value){i}))
            bytes += source->program->places[i].bytes;
    for (int i = 0; i < g->output_count; i++) { /* what comes out, and what should */
        const tern_type *type = &g->values[g->outputs[i].value.id].type;
        bytes += 2 * tern_bytes_of(type->dtype, tern_elements(&type->shape));
    }
    return bytes;
}

tern_status tern_emit_fits(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_limits *limits)
{
    const tern_emit_board *b = target->board;
    tern_emit_sizes s;
    char need[24], have[24], board[24];
    tern_emit_sizes_of(source->program, &s);
    size_t io = tern_emit_bench_bytes(source),
           stacks = limits->stack * (source->cores > 1 ? (size_t)source->cores : 1);
    size_t ram = s.arena + s.state + io + stacks;
    if (limits->ram > b->ram_bytes || limits->flash > b->flash_bytes) {
        bool is_ram = limits->ram > b->ram_bytes;
        return tern_fail(TERN_USAGE, "--%s: the emulated board (%s) has %s", is_ram ? "ram" : "flash",
                         b->machine,
                         tern_human(board, (double)(is_ram ? b->ram_bytes : b->flash_bytes), "B"));
    }
    if (limits->stack < 256)
        return tern_fail(TERN_USAGE, "--stack %zu: the start-up code alone needs 256 bytes", limits->stack);
    if (ram > limits->ram)
        return tern_fail(TERN_NO_FIT,
                         "does not fit: %zu bytes of RAM are needed (arena %zu, state %zu, input and output "
                         "%zu, stack %zu), %zu are there",
                         ram, s.arena, s.state, io, stacks, limits->ram);
    if (s.weights > limits->flash)
        return tern_fail(TERN_NO_FIT, "does not fit: the weights take %s, the flash has %s",
                         tern_human(need, (double)s.weights, "B"),
                         tern_human(have, (double)limits->flash, "B"));
    return TERN_OK;
}

/* ---- link.ld ------------------------------------------------------------------------------------------------------ */

static const char link_script[] =
    "/* Memory as the Makefile gives it (RAM, FLASH, STACK, ARENA): what needs more does not link. */\n"
    "MEMORY\n{\n"
    "    FLASH (rx) : ORIGIN = FLASH_AT, LENGTH = FLASH_BYTES\n"
    "    RAM (rwx) : ORIGIN = RAM_AT, LENGTH = RAM_BYTES\n"
    "}\n"
    "ENTRY(board_start)\n"
    "SECTIONS\n{\n"
    "    .text : {\n        board_flash_start = .;\n        KEEP(*(.start))\n        *(.text .text.*)\n"
    "        *(.rodata .rodata.* .srodata .srodata.*)\n        . = ALIGN(8);\n    } > FLASH\n"
    "    .ARM.exidx : { *(.ARM.exidx*) } > FLASH\n"
    "    .data : ALIGN(8) {\n        board_data = .;\n        __global_pointer$ = . + 0x800;\n"
    "        *(.data .data.* .sdata .sdata.*)\n        . = ALIGN(8);\n        board_data_end = .;\n"
    "    } > RAM AT > FLASH\n"
    "    board_data_source = LOADADDR(.data);\n"
    "    .bss (NOLOAD) : ALIGN(8) {\n        board_bss = .;\n        *(.bss .bss.* .sbss .sbss.* COMMON)\n"
    "        . = ALIGN(8);\n        board_bss_end = .;\n    } > RAM\n"
    "    .arena (NOLOAD) : ALIGN(8) {\n        board_arena = .;\n        *(.arena)\n"
    "        board_arena_end = .;\n    } > RAM\n"
    "    board_stack_top = ORIGIN(RAM) + LENGTH(RAM) / 8 * 8;\n"
    "    board_stack_limit = board_stack_top - STACK_BYTES;\n"
    "    ASSERT(STACK_BYTES >= 256, \"STACK is below 256 bytes: not even the start-up code runs\")\n"
    "    ASSERT(board_arena_end <= board_stack_limit,\n"
    "           \"does not fit: data, arena and stack are larger than RAM\")\n"
    "    ASSERT(board_arena_end - board_arena <= ARENA_BYTES,\n"
    "           \"does not fit: the net's arena is larger than ARENA\")\n"
    "}\n";

/* ---- Makefile ------------------------------------------------------------------------------------------------------ */

static const char makefile[] =
    "# make check: compile for @target@, run in the emulator, compare with what tern computed bit by bit.\n"
    "# make run: the same as one line of JSON.  What needs more than these bytes does not link:\n"
    "RAM ?= @ram@\nFLASH ?= @flash@\nSTACK ?= @stack@\nARENA ?= @arena@\n\n"
    "CC = @compiler@\n"
    "EMULATOR = @emulator@\n"
    "CFLAGS ?= -O2\n"
    "FLAGS = @flags@ -std=gnu11 -Wall -Wextra -Wconversion \\\n"
    "    -ffp-contract=off -ffunction-sections -fdata-sections -nostartfiles -D@NAME@_ARENA=bench_arena \\\n"
    "    -DBENCH_RAM=$(RAM) -DBENCH_FLASH=$(FLASH) -DBENCH_STACK=$(STACK)@cores@\n"
    "LIMITS = -Wl,--defsym=FLASH_AT=@flash_at@,--defsym=RAM_AT=@ram_at@,--defsym=FLASH_BYTES=$(FLASH),"
    "--defsym=RAM_BYTES=$(RAM),--defsym=STACK_BYTES=$(STACK),--defsym=ARENA_BYTES=$(ARENA)\n"
    "SECONDS ?= 3600\n\n"
    "@name@.elf: @name@.c @name@.h main.c board.c board.h link.ld Makefile@floats@\n"
    "\t@command -v $(CC) >/dev/null || { echo \"$(CC) is not here: install @compiler_package@\" >&2; exit 1; "
    "}\n"
    "\t$(CC) $(FLAGS) $(CFLAGS) -o $@ @name@.c main.c board.c@floats@ -T link.ld -Wl,--gc-sections "
    "-Wl,-Map=@name@.map $(LIMITS) -lm\n\n"
    "# -icount shift=0: an instruction takes a nanosecond of the emulated clock, so that instructions can be "
    "counted.\n"
    "check: @name@.elf\n"
    "\t@command -v $(EMULATOR) >/dev/null || { echo \"$(EMULATOR) is not here: install @emulator_package@\" "
    ">&2; exit "
    "1; }\n"
    "\t@rm -f result.json\n"
    "\t@timeout $(SECONDS) $(EMULATOR) -M @machine@@harts@ -nographic -monitor none -serial none -icount "
    "shift=0 "
    "\\\n"
    "\t    -semihosting-config enable=on,target=native -kernel @name@.elf </dev/null\n\n"
    "run:\n"
    "\t@$(MAKE) -s check >run.log 2>&1 || { cat run.log >&2; exit 1; }\n"
    "\t@cat result.json\n\n"
    "clean:\n"
    "\trm -f @name@.elf @name@.map result.json run.log\n\n"
    ".PHONY: @name@.elf check run clean\n";

void tern_emit_link_script(tern_text *script)
{
    tern_text_put(script, link_script);
}

void tern_emit_fill(tern_text *t, const char *text, const char *const (*pairs)[2])
{
    while (*text) {
        const char *at = strchr(text, '@'), *end = at ? strchr(at + 1, '@') : NULL;
        int key = -1;
        for (int i = 0; end && pairs[i][0]; i++)
            if (strlen(pairs[i][0]) == (size_t)(end - at - 1) &&
                strncmp(pairs[i][0], at + 1, (size_t)(end - at - 1)) == 0)
                key = i;
        size_t plain = key >= 0 ? (size_t)(at - text) : at ? (size_t)(at - text) + 1 : strlen(text);
        tern_text_add(t, text, plain);
        if (key >= 0) tern_text_put(t, pairs[key][1]);
        text = key >= 0 ? end + 1 : text + plain;
    }
}

void tern_emit_board_build(const tern_emit_source *source, const tern_emit_target *target,
                           const tern_emit_limits *limits, tern_text *script, tern_text *make)
{
    const tern_emit_board *b = target->board;
    tern_emit_sizes s;
    char upper[64], ram[24], flash[24], stack[24], arena[24], ram_at[24], flash_at[24], cores[32], harts[24];
    bool several = source->cores > 1;
    tern_emit_capitals(upper, source->name);
    tern_emit_sizes_of(source->program, &s);
    snprintf(ram, sizeof ram, "%zu", limits->ram);
    snprintf(flash, sizeof flash, "%zu", limits->flash);
    snprintf(stack, sizeof stack, "%zu", limits->stack);
    snprintf(arena, sizeof arena, "%zu", s.arena);
    snprintf(ram_at, sizeof ram_at, "0x%08x", b->ram_at);
    snprintf(flash_at, sizeof flash_at, "0x%08x", b->flash_at);
    snprintf(cores, sizeof cores, " -DBENCH_CORES=%d", source->cores);
    snprintf(harts, sizeof harts, " -smp %d", source->cores);
    const char *const pairs[][2] = {{"name", source->name},
                                    {"NAME", upper},
                                    {"target", target->name},
                                    {"ram", ram},
                                    {"flash", flash},
                                    {"stack", stack},
                                    {"arena", arena},
                                    {"compiler", b->compiler},
                                    {"compiler_package", b->compiler_package},
                                    {"flags", b->flags},
                                    {"emulator", b->emulator},
                                    {"emulator_package", b->emulator_package},
                                    {"machine", b->machine},
                                    {"cores", several ? cores : ""},
                                    {"harts", several ? harts : ""},
                                    {"floats", source->fast_floats ? " soft_float.c" : ""},
                                    {"ram_at", ram_at},
                                    {"flash_at", flash_at},
                                    {NULL, NULL}};
    tern_emit_link_script(script);
    tern_emit_fill(make, makefile, pairs);
}
