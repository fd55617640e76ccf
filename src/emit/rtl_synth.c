/* What yosys makes of an emitted circuit, module by module: the cells that it counts. */
#include "emit/rtl.h"

#include <stdlib.h>
#include <string.h>

typedef struct chip {
    const char *name, *script; /* behind the reading of the file; the name of the top is filled in */
} chip;

static const chip chips[] = {
    [TERN_RTL_XILINX] = {"xilinx", "synth_xilinx -top %s -family xcup -noiopad"},
    [TERN_RTL_ICE40] = {"ice40", "synth_ice40 -top %s -noflatten -dsp"},
};

/* ---- what a cell counts as ---------------------------------------------------------------------------------------------- */

typedef struct cell {
    const char *prefix;
    size_t field; /* of tern_rtl_cells */
    double weight;
} cell;

#define FIELD(name) offsetof(tern_rtl_cells, name)

/* LUT RAM in the look-up tables of the slices that it takes (UG574: 8 in RAM64M8 and RAM32M16). */
static const cell cells_of[] = {
    {"LUT", FIELD(luts), 1},          {"INV", FIELD(luts), 1},       {"SRL", FIELD(luts), 1},
    {"RAM64M8", FIELD(luts), 8},      {"RAM32M16", FIELD(luts), 8},  {"RAM64M", FIELD(luts), 4},
    {"RAM32M", FIELD(luts), 4},       {"RAM32X1D", FIELD(luts), 2},  {"RAM64X1D", FIELD(luts), 2},
    {"RAM128X1D", FIELD(luts), 4},    {"RAM256X1D", FIELD(luts), 8}, {"RAM512X1S", FIELD(luts), 8},
    {"RAM256X1S", FIELD(luts), 4},    {"RAM128X1S", FIELD(luts), 2}, {"RAM64X1S", FIELD(luts), 1},
    {"RAM32X1S", FIELD(luts), 1},     {"FD", FIELD(flip_flops), 1},  {"RAMB18", FIELD(bram), 1},
    {"RAMB36", FIELD(bram), 2},       {"DSP", FIELD(dsp), 1},        {"SB_LUT4", FIELD(luts), 1},
    {"SB_DFF", FIELD(flip_flops), 1}, {"SB_RAM", FIELD(bram), 1},    {"SB_MAC16", FIELD(dsp), 1},
};

static void count_cell(tern_rtl_cells *c, const char *kind, double count)
{
    for (size_t i = 0; i < TERN_COUNT(cells_of); i++) {
        if (strncmp(kind, cells_of[i].prefix, strlen(cells_of[i].prefix)) != 0) continue;
        *(double *)(void *)((char *)c + cells_of[i].field) += cells_of[i].weight * count;
        return;
    }
}

/* The place of a module: that of block i, or the last for what stands between blocks. */
static tern_rtl_cells *place_of(const char *module, const char *name, tern_rtl_cells *cells, int count)
{
    size_t n = strlen(name);
    char *end;
    if (strncmp(module, name, n) != 0 || strncmp(module + n, "_block", 6) != 0) return &cells[count];
    long i = strtol(module + n + 6, &end, 10);
    return i >= 0 && i < count ? &cells[i] : &cells[count];
}

/* The tables of `stat`: "=== module ===", then a line a kind of cell; behind the modules comes their sum. */
tern_status tern_rtl_read_cells(const char *text, const char *name, tern_rtl_cells *cells, int count)
{
    tern_rtl_cells *now = NULL;
    int modules = 0;
    memset(cells, 0, ((size_t)count + 1) * sizeof *cells);
    for (const char *line = text, *end = text; *end; line = end + 1) {
        char word[128];
        double number;
        int whole = 0;
        end = line + strcspn(line, "\n");
        line += strspn(line, " ");
        if (line == end) continue;
        if (strncmp(line, "=== design hierarchy", 20) == 0) break;
        if (sscanf(line, "=== %127s ===%n", word, &whole) == 1 && whole) {
            now = place_of(word, name, cells, count);
            modules++;
        } else if (now && sscanf(line, "%127s %lf", word, &number) == 2) {
            count_cell(now, word, number);
        }
    }
    if (modules > count) return TERN_OK;
    return tern_fail(TERN_FAILED, "yosys: statistics of %d modules, expected %d blocks and the top", modules,
                     count);
}

/* ---- running it ----------------------------------------------------------------------------------------------------------- */

/* Runs yosys with an option and its value in a folder, and waits; what it says goes into `log` there. */
static tern_status run_yosys(const char *folder, const char *option, const char *value, const char *log)
{
    char *const arguments[] = {"yosys", "-q", (char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL};
    return tern_emit_tool(folder, arguments, log, "scripts/setup --rtl, or apt-get install yosys");
}

/* Runs a script that leaves statistics in a file of the folder, whose text the caller releases. */
static tern_status statistics_of(const char *folder, const char *script, const char *log, const char *file,
                                 char **text)
{
    char path[4096];
    size_t size;
    TERN_TRY(run_yosys(folder, "-p", script, log));
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return tern_read_file(path, text, &size);
}

tern_status tern_rtl_find_yosys(void)
{
    return run_yosys(".", "-V", NULL, "/dev/null");
}

/* What is below a top, `label` in the names of the files that yosys leaves. */
static tern_status synthesise(const char *folder, const char *name, const char *top, const char *label,
                              tern_rtl_chip chip, tern_rtl_cells *cells, int count)
{
    char log[64], statistics[64], tool[192], script[512];
    char *text = NULL;
    snprintf(log, sizeof log, "yosys-%s.log", label);
    snprintf(statistics, sizeof statistics, "yosys-%s.txt", label);
    snprintf(tool, sizeof tool, chips[chip].script, top);
    snprintf(script, sizeof script, "read_verilog %s.v; %s; tee -q -o %s stat", name, tool, statistics);
    TERN_TRY(statistics_of(folder, script, log, statistics, &text));
    tern_status status = tern_rtl_read_cells(text, name, cells, count);
    tern_release(text);
    return status;
}

tern_status tern_rtl_synthesise(const char *folder, const char *name, tern_rtl_chip chip,
                                tern_rtl_cells *cells, int count)
{
    return synthesise(folder, name, name, chips[chip].name, chip, cells, count);
}

tern_status tern_rtl_synthesise_block(const char *folder, const char *name, tern_rtl_chip chip, int i,
                                      tern_rtl_cells *cells)
{
    char top[128], label[48];
    snprintf(top, sizeof top, "%s_block%d", name, i);
    snprintf(label, sizeof label, "%s-block%d", chips[chip].name, i);
    return synthesise(folder, name, top, label, chip, cells, 0);
}

/* Where a module keeps others, the last count is that of all. */
static tern_status read_transistors(const char *text, const char *module, double *count)
{
    static const char line[] = "Estimated number of transistors:";
    *count = -1;
    for (const char *at = text; (at = strstr(at, line)); at++) *count = strtod(at + sizeof line - 1, NULL);
    if (*count >= 0) return TERN_OK;
    return tern_fail(TERN_FAILED, "yosys: its statistics of %s have no number of transistors", module);
}

tern_status tern_rtl_synthesise_gates(const char *folder, const char *name, const char *module, int bits,
                                      double *gates)
{
    char log[128], statistics[128], parameter[128] = "", script[768];
    char *text = NULL;
    snprintf(log, sizeof log, "yosys-%s.log", module);
    snprintf(statistics, sizeof statistics, "yosys-%s.txt", module);
    if (bits) snprintf(parameter, sizeof parameter, "chparam -set BITS %d %s; ", bits, module);
    snprintf(script, sizeof script,
             "read_verilog %s.v; %ssynth -noabc -flatten -top %s; abc -fast -g cmos4; opt_clean; tee -q -o "
             "%s stat "
             "-tech cmos",
             name, parameter, module, statistics);
    TERN_TRY(statistics_of(folder, script, log, statistics, &text));
    tern_status status = read_transistors(text, module, gates);
    *gates /= 4;
    tern_release(text);
    return status;
}
