/* tern emit: a net as C that runs without this program. */
#include "cli/blocks.h"
#include "cli/emit_array.h"
#include "cli/emit_logic.h"
#include "cli/learning.h"
#include "emit/emit.h"
#include "emit/rtl.h"
#include "kernel/int16.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"target", 't', TERN_PICK, "NAME", "c99",
     "c99: freestanding C and a main that checks it; host: the same, whose main also reads images from a "
     "file and measures time; the others: a program for a board with its linker script, run in an emulator "
     "by "
     "make check (cortex-m: a Cortex-M7, riscv: RV32IMAFDC, riscv-zfh: with halves); verilog: logic, of nets "
     "in integers, with a "
     "test bench",
     "c99|host|cortex-m|cortex-m4|cortex-m7|cortex-m55|riscv|riscv-zfh|rv32imac|verilog"},
    {"out", 'o', TERN_TEXT, "DIR", NULL, "folder (default emit/NAME)", NULL},
    {"name", 'n', TERN_TEXT, "NAME", NULL, "prefix of functions and files (default: the net's name)", NULL},
    {"stepping", 0, TERN_FLAG, NULL, NULL, "write one time step a run, with membranes kept between runs",
     NULL},
    {"bytes-in", 0, TERN_FLAG, NULL, NULL,
     "of a net of bytes (or 16 bits): its input is, too, a quarter (half) of the memory; else it makes them "
     "of floats",
     NULL},
    TERN_BLOCK_OPTIONS,
    {"train", 0, TERN_FLAG, NULL, NULL,
     "of a run or a TFLite file in bytes, or of a run in 16 bits: a training step (--update), checked over "
     "--steps of them between two "
     "looks at "
     "--samples of the "
     "test split",
     NULL},
    TERN_UPDATE_OPTION,
    {"steps", 0, TERN_WHOLE, "N", "20", "--train: how many steps to learn, of one sample each", "1..100000"},
    {"rate", 0, TERN_NUMBER, "R", "0.01", "--train: learning rate of these steps", "0.."},
    {"cores", 0, TERN_WHOLE, "N", "1",
     "on riscv boards: cores that share each training step of a net of 16 bits, or each decision of a "
     "classic learner; the bits stay the same",
     "1..8"},
    {"float", 0, TERN_PICK, "HOW", "soft",
     "on rv32imac, which has no floats: the compiler's library (soft), or one of Tern's own that takes fewer "
     "instructions and gives the same bits (soft-fast)",
     "soft|soft-fast"},
    {"samples", 0, TERN_WHOLE, "N", "4", "how many test samples main.c checks", "1..10000"},
    {"data", 'd', TERN_TEXT, "DATA", NULL,
     "data set of the samples (default: that of the run; of a plain net: noise)", NULL},
    {"ram", 0, TERN_BYTES, "BYTES", "320KiB",
     "on boards: RAM that the program may use; the linker refuses more", NULL},
    {"flash", 0, TERN_BYTES, "BYTES", "1MiB",
     "on boards: flash that the program may take (cortex-m55: at most 512KiB)", NULL},
    {"cycles", 0, TERN_WHOLE, "N", "1024",
     "of verilog: most cycles of a block for a sample, as far as divisors allow", "2..1000000000"},
    {"budget", 0, TERN_TEXT, "WHAT=N,..", NULL,
     "of verilog, instead of --cycles: limits on luts, bram18 and dsp (estimated), and on interval and "
     "latency (cycles); of the foldings that keep them, the one with the least interval, or, where that is "
     "given, with the fewest look-up tables",
     NULL},
    {"fold", 0, TERN_TEXT, "PE:SIMD,..", NULL,
     "of verilog, instead of --cycles: how many results (PE) and operands (SIMD) of each product are "
     "computed at once",
     NULL},
    {"synthesise", 0, TERN_PICK, "CHIP", NULL,
     "of verilog: have yosys synthesise each block for an UltraScale+ (xilinx) or an iCE40, and print that "
     "beside the estimate; with --reloadable, each part in gates of a chip (cmos), beside the model",
     "xilinx|ice40|cmos"},
    {"reloadable", 0, TERN_FLAG, NULL, NULL,
     "of verilog: take a sample every cycle, and keep weights in a chain of registers that can be loaded and "
     "read back without a reset",
     NULL},
    {"tmr", 0, TERN_FLAG, NULL, NULL,
     "--reloadable: triple each register, with votes that mend a copy in which a bit has flipped", NULL},
    {"weights", 0, TERN_TEXT, "RUN", NULL,
     "--reloadable: run with the same binary points, whose weights the test bench loads second (default: the "
     "first weights, each tensor back to front)",
     NULL},
    {"machine", 'm', TERN_TEXT, "M", NULL,
     "of verilog: write the array of this machine (pulsedl2), which runs one layer after the other, instead "
     "of a block for each layer",
     NULL},
    {"array", 0, TERN_TEXT, "UxP", NULL,
     "with --machine: another size, units of an element by elements, such as 8x16", NULL},
    {"stack", 0, TERN_BYTES, "BYTES", "4KiB", "on boards: part of the RAM that is kept for the stack", NULL},
    {0},
};

/* What an emission is made of. */
typedef struct tern_emission {
    tern_cli *cli;
    tern_subject subject;
    tern_dataset dataset;
    tern_graph *graph;
    tern_program *program;
    tern_session *session;
    float *images;
    int32_t *labels;
    double mean[8], std[8];
    double scale; /* of bytes that come in, else 0 */
    int zero;
    char name[64];
    tern_text about;
} tern_emission;

static void close_emission(tern_emission *e)
{
    tern_session_close(e->session);
    tern_program_close(e->program);
    tern_graph_close(e->graph);
    tern_dataset_close(&e->dataset);
    tern_subject_close(&e->subject);
    tern_release(e->images);
    tern_release(e->labels);
    tern_text_free(&e->about);
}

/* The data of the samples: named on the command line, or that of the run. */
static tern_status open_data(tern_emission *e)
{
    tern_subject *s = &e->subject;
    const char *name = tern_cli_text(e->cli, "data");
    if (!name && s->config) name = json_string_value(json_object_get(s->config, "data"));
    if (!name) return TERN_OK;
    tern_dataset_options few = {.train_limit = 8, .test_limit = tern_cli_whole(e->cli, "samples")};
    TERN_TRY(tern_open_data(&e->dataset, name, few, e->cli, s));
    char a[96], b[96];
    if (s->config && !tern_shape_equal(&s->sample, &e->dataset.sample))
        return tern_fail(TERN_USAGE, "samples of %s are %s, the net was trained on %s", name,
                         tern_shape_text(a, &e->dataset.sample), tern_shape_text(b, &s->sample));
    s->sample = e->dataset.sample;
    for (size_t i = 0; i < 8; i++) {
        e->mean[i] = e->dataset.mean[i];
        e->std[i] = e->dataset.std[i];
        if (!s->config) continue; /* as in training */
        e->mean[i] = json_number_value(json_array_get(json_object_get(s->config, "mean"), i));
        e->std[i] = json_number_value(json_array_get(json_object_get(s->config, "std"), i));
    }
    return TERN_OK;
}

/* Transformers in blocks; boards ask for the rows of their image. */
static tern_status take_blocks(tern_emission *e, const tern_emit_target *target)
{
    tern_int8_blocks blocks;
    bool automatic;
    TERN_TRY(tern_blocks_of(e->cli, target->board != NULL, &blocks, &automatic));
    if (automatic)
        return tern_fail(TERN_USAGE, "--tile tokens=auto: tern plan finds how many; give that number");
    return tern_take_blocks(&e->graph, &blocks);
}

/* The program of one sample, or of one frame of it. */
static tern_status plan(tern_emission *e)
{
    tern_subject *s = &e->subject;
    bool step = tern_cli_has(e->cli, "stepping");
    tern_shape sample = s->sample;
    if (step && tern_net_steps(s->net, s->parameters) < 1)
        return tern_fail(TERN_USAGE, "--stepping: net %s has no time steps", s->net->name);
    bool bytes = s->net->int8 || (s->tflite && tern_subject_about(s).scale > 0);
    if (tern_cli_has(e->cli, "bytes-in") && !bytes)
        return tern_fail(TERN_USAGE, "--bytes-in: net %s computes in floats; see tern convert --to int8",
                         s->net->name);
    if (step && tern_net_sees_clip(s->net, &sample))
        memmove(sample.dim, sample.dim + 1, (size_t)--sample.rank * sizeof *sample.dim);
    TERN_TRY((step ? tern_model_step_graph : tern_model_graph)(&e->graph, s->net, s->parameters, &sample, 1,
                                                               e->cli->seed));
    if (tern_cli_has(e->cli, "bytes-in")) TERN_TRY(tern_int8_take_bytes(&e->graph));
    const tern_emit_target *target = &tern_emit_targets[tern_cli_pick(e->cli, "target")];
    bool logic = target->logic;
    if (s->net->int8 && !logic) TERN_TRY(take_blocks(e, target));
    if (logic) TERN_TRY((tern_cli_has(e->cli, "machine") ? tern_array_mark : tern_rtl_mark)(e->graph));
    tern_plan_options how = {
        .reference = !logic, .compact = !logic, .apart = tern_cli_has(e->cli, "no-overwrite")};
    TERN_TRY(tern_plan(&e->program, e->graph, &how));
    return tern_session_open(&e->session, e->program, &s->store, e->cli->pool);
}

/* Samples as the net takes them; with --stepping, first frames. */
static tern_status take_samples(tern_emission *e, tern_emit_samples *samples)
{
    tern_value image = tern_find_value(e->graph, "image");
    tern_shape shape = tern_shape_of(e->graph, image);
    size_t size = (size_t)tern_elements(&shape), count = (size_t)tern_cli_whole(e->cli, "samples");
    int64_t all = e->dataset.test.images.shape.dim[0];
    if (e->dataset.test.images.data && (int64_t)count > all) count = (size_t)all;
    e->images = tern_take_array(count * size, sizeof *e->images);
    e->labels = tern_take_array(count, sizeof *e->labels);
    if (!e->images || !e->labels) return tern_no_memory(count * size * sizeof *e->images, "samples");
    samples->images = e->images;
    samples->count = (int)count;
    samples->steps =
        tern_cli_has(e->cli, "stepping") ? tern_net_steps(e->subject.net, e->subject.parameters) : 1;
    if (!e->dataset.test.images.data) {
        for (size_t i = 0; i < count * size; i++)
            e->images[i] = (float)tern_rng_normal((tern_rng){e->cli->seed, 77}, i);
        return TERN_OK;
    }
    tern_samples test = tern_samples_of(&e->dataset, false);
    memcpy(test.mean, e->mean, sizeof test.mean);
    memcpy(test.std, e->std, sizeof test.std);
    tern_loader *loader = NULL;
    TERN_TRY(tern_loader_open(&loader, &test, &(tern_loader_options){.batch = 1}));
    tern_loader_begin(loader, 0, 0);
    for (size_t s = 0; s < count; s++) {
        const tern_batch *batch = tern_loader_next(loader);
        memcpy(e->images + s * size, batch->images, size * sizeof *e->images);
        e->labels[s] = batch->labels[0];
    }
    samples->labels = e->labels;
    tern_loader_close(loader);
    return TERN_OK;
}

/* Samples as bytes or 16 bits, in the memory of the floats. */
static void to_bytes(tern_emission *e, int64_t count)
{
    const tern_graph *g = e->graph;
    bool wide = tern_value_of(g, tern_find_value(g, "image"))->type.dtype == TERN_I16;
    const tern_store *store = &e->subject.store;
    int scale = tern_store_find(store, "image.scale"), zero = tern_store_find(store, "image.zero");
    int8_t *bytes = (int8_t *)e->images;
    int16_t *shorts = (int16_t *)(void *)e->images;
    e->scale = scale >= 0 ? tern_get(&store->tensors[scale], 0) : 0;
    e->zero = zero >= 0 ? (int)tern_get(&store->tensors[zero], 0) : 0;
    for (int64_t i = 0; i < count; i++) {
        if (wide)
            shorts[i] = tern_float_to_short(e->images[i], (float)e->scale, e->zero);
        else
            bytes[i] = tern_float_to_byte(e->images[i], (float)e->scale, e->zero);
    }
}

static tern_status report(const tern_emission *e, const char *folder)
{
    tern_emit_sizes sizes;
    char arena[24], weights[24];
    tern_emit_sizes_of(e->program, &sizes);
    if (e->cli->json)
        return tern_print_json(json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "folder", folder, "name", e->name,
                                         "target", tern_cli_text(e->cli, "target"), "arena_bytes",
                                         (json_int_t)sizes.arena, "state_bytes", (json_int_t)sizes.state,
                                         "weight_bytes", (json_int_t)sizes.weights));
    bool board = tern_emit_targets[tern_cli_pick(e->cli, "target")].board != NULL;
    printf(
        "%s: %s.c, %s.h, main.c, %sMakefile; arena %zu bytes (%s), state %zu bytes, weights %zu bytes (%s)\n",
        folder, e->name, e->name, board ? "start-up code, linker script, samples, " : "", sizes.arena,
        tern_human(arena, (double)sizes.arena, "B"), sizes.state, sizes.weights,
        tern_human(weights, (double)sizes.weights, "B"));
    printf("check it: make -C %s check\n", folder);
    return TERN_OK;
}

/* Options that the target has no use for. */
static tern_status check_target(const tern_cli *cli, const tern_emit_target *target)
{
    static const char *const limits[] = {"ram", "flash", "stack", NULL};
    static const char *const of_training[] = {"update", "steps", "rate", NULL};
    static const char *const of_folding[] = {"cycles", "budget", "fold", NULL};
    static const char *const of_logic[] = {"reloadable", "machine", "array", "synthesise", NULL};
    static const char *const of_reloadable[] = {"tmr", "weights", NULL};
    const char *name = target->name;
    TERN_TRY(tern_cli_refuse(cli, of_training, "without --train"));
    if (!target->board)
        TERN_TRY(
            tern_cli_refuse(cli, limits, "on target %s; choose a board, such as --target cortex-m", name));
    if (!target->logic) {
        TERN_TRY(tern_cli_refuse(cli, of_folding, "on target %s; choose --target verilog", name));
        TERN_TRY(tern_cli_refuse(cli, of_logic, "on target %s; choose --target verilog", name));
    }
    if (target->logic && tern_cli_has(cli, "stepping"))
        return tern_fail(TERN_USAGE, "--target verilog does not take --stepping");
    TERN_TRY(tern_cli_has(cli, "reloadable")
                 ? tern_cli_refuse(cli, of_folding, "with --reloadable, which takes a sample every cycle")
                 : tern_cli_refuse(cli, of_reloadable, "without --reloadable"));
    if (tern_cli_has(cli, "synthesise") &&
        tern_cli_has(cli, "reloadable") != (strcmp(tern_cli_text(cli, "synthesise"), "cmos") == 0))
        return tern_fail(TERN_USAGE,
                         "--synthesise %s: cmos is of --reloadable, xilinx and ice40 are of blocks",
                         tern_cli_text(cli, "synthesise"));
    if (!target->board && !target->logic && tern_cli_whole(cli, "samples") > 1000)
        return tern_fail(TERN_USAGE, "--samples %d: target %s keeps them in main.c, at most 1000",
                         tern_cli_whole(cli, "samples"), target->name);
    return TERN_OK;
}

tern_status tern_emit_check_cores(const tern_cli *cli, const tern_emit_target *target)
{
    int cores = tern_cli_whole(cli, "cores");
    if (cores > (target->cores ? target->cores : 1))
        return tern_fail(TERN_USAGE, "--cores %d: target %s has one core; choose --target riscv", cores,
                         target->name);
    if (tern_cli_pick(cli, "float") > 0 && strcmp(target->name, "rv32imac") != 0)
        return tern_fail(TERN_USAGE, "--float %s has no effect on target %s; choose --target rv32imac",
                         tern_cli_text(cli, "float"), target->name);
    return TERN_OK;
}

static tern_status emit(tern_emission *e)
{
    tern_emit_samples samples = {0};
    const tern_emit_target *target = &tern_emit_targets[tern_cli_pick(e->cli, "target")];
    TERN_TRY(check_target(e->cli, target));
    TERN_TRY(tern_emit_check_cores(e->cli, target));
    char path[128];
    const char *folder = tern_cli_text(e->cli, "out");
    TERN_TRY(tern_subject_open(&e->subject, e->cli, e->cli->arguments[0]));
    TERN_TRY(tern_subject_weights(&e->subject));
    TERN_TRY(tern_emit_name(e->name, tern_cli_text(e->cli, "name"), e->subject.net->name));
    TERN_TRY(open_data(e));
    TERN_TRY(plan(e));
    TERN_TRY(take_samples(e, &samples));
    if (tern_cli_has(e->cli, "bytes-in")) to_bytes(e, samples.count * tern_elements(&e->subject.sample));
    TERN_TRY(tern_session_bind(e->session, "image", samples.images));
    TERN_TRY(tern_session_run(e->session, 0)); /* what is prepared */
    const tern_shape *sample = &e->subject.sample;
    tern_text_format(&e->about, "%s%s%s", e->subject.net->doc, e->subject.folder ? ", from " : "",
                     e->subject.folder ? e->subject.folder : "");
    TERN_TRY(tern_text_status(&e->about));
    snprintf(path, sizeof path, "emit/%s", e->name);
    if (!folder) folder = path;
    if (target->logic && tern_cli_has(e->cli, "machine"))
        return tern_emit_array(e->cli, e->name, e->about.data, e->program, e->session, &samples, folder);
    if (target->logic) {
        tern_logic_job job = {.cli = e->cli,
                              .name = e->name,
                              .about = e->about.data,
                              .folder = folder,
                              .program = e->program,
                              .session = e->session,
                              .store = &e->subject.store,
                              .samples = &samples};
        return (tern_cli_has(e->cli, "reloadable") ? tern_emit_reloadable : tern_emit_logic)(&job);
    }
    int64_t channels = sample->rank > 2 ? sample->dim[sample->rank - 3] : 1;
    tern_emit_source source = {.program = e->program,
                               .session = e->session,
                               .name = e->name,
                               .about = e->about.data,
                               .mean = e->dataset.test.images.data ? e->mean : NULL,
                               .std = e->std,
                               .scale = e->scale,
                               .zero = e->zero,
                               .channels = (int)(channels < 8 ? channels : 8),
                               .cores = tern_cli_whole(e->cli, "cores"),
                               .fast_floats = tern_cli_pick(e->cli, "float") > 0};
    tern_emit_limits limits = {.ram = (size_t)tern_cli_number(e->cli, "ram"),
                               .flash = (size_t)tern_cli_number(e->cli, "flash"),
                               .stack = (size_t)tern_cli_number(e->cli, "stack")};
    if (target->board && limits.flash > target->board->flash_bytes && !tern_cli_has(e->cli, "flash"))
        limits.flash = target->board->flash_bytes;
    TERN_TRY(tern_emit_folder(&source, target, &limits, &samples, folder));
    return report(e, folder);
}

static tern_status run_emit(tern_cli *cli)
{
    tern_emission e = {.cli = cli};
    if (tern_cli_has(cli, "train")) return tern_emit_learning(cli);
    tern_status status = emit(&e);
    close_emission(&e);
    return status;
}

static const tern_exclusion exclusions[] = {
    {"train", "stepping", "nets in bytes have no time steps"},
    {"machine", "reloadable", "an array has its weights in memories"},
    {"machine", "fold", "an array has the size that its machine says, or --array"},
    {"fold", "budget", "each of them says how far blocks are folded"},
    {"fold", "cycles", "each of them says how far blocks are folded"},
    {"budget", "cycles", "cycles of a sample are interval=N of a budget"},
    {"machine", "budget", "an array has the size that its machine says, or --array"},
    {"machine", "cycles", "an array has the size that its machine says, or --array"},
    {"machine", "synthesise", "the estimate is of blocks: make synth in the folder counts an array's cells"},
    {0},
};

const tern_command tern_command_emit = {
    .name = "emit",
    .about = "write a net and its weights as C without dynamic memory, or as Verilog",
    .usage = "NET|RUN|NET.onnx|NET.tflite",
    .more =
        "tern emit run/lenet -o build/lenet && make -C build/lenet check\n"
        "tern emit spiking-mlp --stepping                     # one time step a call\n"
        "tern emit run/cnn-int8 --target cortex-m4 --bytes-in\n"
        "tern emit run/lenet --target cortex-m --ram 64K -o build/m7 && make -C build/m7 check   # in QEMU\n"
        "tern emit run/cnn-int8 --train --update bias=3,linear1=0.25,head --target cortex-m --ram 256K   "
        "# "
        "learns on the board\n"
        "tern emit run/lenet-qfx-fixed --target verilog --cycles 20000 --samples 1000 -o build/rtl   # then "
        "make check\n"
        "tern emit run/pulse-int8 --target verilog --machine pulsedl2 --array 8x16 --samples 1000 -o "
        "build/pulse\n"
        "\n"
        "The C has one arena, of exactly the bytes that `tern plan --reference` prints, and gives the bits "
        "of the operators'\n"
        "definitions, which sum in double.\n"
        "\n"
        "Boards.  `make check` compiles the program, runs the samples in an emulator and compares the bits.  "
        "It prints the RAM,\n"
        "arena and stack that were used, the flash, and the number of instructions (not of cycles); `make "
        "run` prints the same as\n"
        "JSON.  RAM, FLASH, STACK and ARENA are limits that the linker enforces: `make check ARENA=511` "
        "fails where 512 bytes are\n"
        "planned.  A Cortex-M4 and RV32IMAC sum in double by software; exponentials and the like come from "
        "the board's C library,\n"
        "whose last bits may not be those of this computer.  Compilers and emulators: scripts/setup --edge.\n"
        "\n"
        "Verilog, a block for each layer.  It is made of nets in integers (tern convert RUN --to fixed): "
        "blocks are folded to\n"
        "--cycles, both ends are streams with valid and ready (AXI), and weights are in ROM.  `make check` "
        "simulates it by\n"
        "verilator and iverilog, with and without stalls, and compares the results with the host's and the "
        "cycles with the\n"
        "model's; there are also `make lint` and `make synth` (yosys).  Estimates follow FINN's formulas and "
        "are no results of\n"
        "synthesis; --synthesise has yosys make one, and prints both.  Simulators and yosys: scripts/setup "
        "--rtl.\n"
        "\n"
        "Verilog with --reloadable.  Every weight has a multiplier and registers of its own, so that "
        "detectors that are radiated\n"
        "can load the weights, read them back and mend them (--tmr).  Shifts are logic: weights that are "
        "loaded later must have\n"
        "the same binary points (tern train NET --insert qfx --from RUN --frozen 1, then emit --weights).  "
        "Its gates are\n"
        "modelled, in NANDs: a product of x by w bits takes 1.5 x w + 7.5 x (w - 1), each sum 7.5 a bit, a "
        "register 5.5, with\n"
        "--tmr two more registers and a vote of 3.5, and a place of the chain 3.  In 65 nm low power "
        "(figures from memory) a NAND\n"
        "takes 1.44 um2, NANDs are 80 % of the core, and a toggle takes 2.2 fJ; sums toggle 1.5 times the "
        "share of bits of codes\n"
        "that change from sample to sample, registers with their clock.  --synthesise cmos has yosys make "
        "one result of each\n"
        "layer and one bit of each sort of register, which are multiplied by how many there are; a gate "
        "stands for 4 transistors\n"
        "of static CMOS, and yosys counts 16 for a register.\n"
        "\n"
        "Verilog, one array for all layers (--machine pulsedl2).  int8 nets along time (convolutions, "
        "transposed convolutions,\n"
        "dense layers, sums; tern convert RUN --to int8 --multiplier-bits 16) run layer by layer, as "
        "registers of the array say.\n"
        "What is written: the Verilog, the contents of its memories, the register program, a test bench that "
        "runs it (`make\n"
        "check`), and a driver for RISC-V that writes the same registers, in QEMU (`make driver` compares "
        "the logs).  A layer of W\n"
        "windows takes groups of channels * positions * ceil(W / U) cycles, and 8 + log2 U to fill; a "
        "register takes two cycles;\n"
        "activations of 16 bits (--act-bits 16) take twice the cycles, half by half.",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .net_options = true,
    .run = run_emit,
};
