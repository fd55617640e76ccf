/* What tern bench tells: of runs here, of a modelled machine, of another program's log. */
#ifndef TERN_CLI_BENCH_REPORT_H
#define TERN_CLI_BENCH_REPORT_H

#include "cli/cli.h"
#include "llm/account.h"
#include "llm/bench.h"
#include "llm/sustain.h"

/* What a bench came to.  Parts that were not asked for, or are not known, are left out. */
typedef struct tern_bench_result {
    const tern_cli *cli;
    tern_bench *bench; /* measured; NULL: shapes alone */
    const tern_llm_account *account;
    int prompt, generate;  /* tokens of a turn */
    tern_machine *machine; /* modelled; NULL */
    tern_cost ask, token;  /* on it: the prompt, the reply's middle token */
    tern_machine *here;    /* what tern probe measured; NULL */
    tern_cost ask_here, token_here;
    tern_llm_effort ask_effort, token_effort;
    const tern_sustained *sustained; /* NULL */
} tern_bench_result;

tern_status tern_bench_print(tern_bench_result *result);
/* Events, one a line. */
tern_status tern_bench_csv(const tern_bench *bench, const char *path);
/* Of runs that another program has told. */
tern_status tern_bench_print_told(const tern_cli *cli, tern_bench *bench);
/* --events and --log. */
tern_status tern_bench_told(const tern_cli *cli, const char *path);
tern_status tern_bench_log(const tern_cli *cli, const char *path);
/* Six classic learners on a RISC-V board in QEMU, with an FPU and with two libraries of floats. */
tern_status tern_bench_softfloat(const tern_cli *cli);

#endif
