/* Transformers in bytes as boards run them, on the command line: what tern plan and tern emit share. */
#ifndef TERN_CLI_BLOCKS_H
#define TERN_CLI_BLOCKS_H

#include "cli/cli.h"
#include "quant/quant.h"

#define TERN_BLOCK_OPTIONS                                                                                   \
    {"tile",                                                                                                 \
     0,                                                                                                      \
     TERN_TEXT,                                                                                              \
     "tokens=N",                                                                                             \
     NULL,                                                                                                   \
     "of an int8 transformer: how many tokens go through a block at a time (default 1); tern plan also "     \
     "takes tokens=auto, the most that fit",                                                                 \
     NULL},                                                                                                  \
        {"no-overwrite",                                                                                     \
         0,                                                                                                  \
         TERN_FLAG,                                                                                          \
         NULL,                                                                                               \
         NULL,                                                                                               \
         "of an int8 net: never let a result take the place of its operands",                                \
         NULL},                                                                                              \
        {"no-stream",                                                                                        \
         0,                                                                                                  \
         TERN_FLAG,                                                                                          \
         NULL,                                                                                               \
         NULL,                                                                                               \
         "of an int8 transformer on a board: keep the whole image in memory, instead of reading rows as "    \
         "they are needed",                                                                                  \
         NULL},                                                                                              \
    {                                                                                                        \
        "no-fuse", 0, TERN_FLAG, NULL, NULL,                                                                 \
            "of an int8 transformer: run operators one by one, each over all tokens, instead of whole "      \
            "blocks",                                                                                        \
            NULL                                                                                             \
    }

/* What --tile and --no-fuse say; *automatic: tokens=auto.  stream: whether rows may be asked for at all. */
tern_status tern_blocks_of(const tern_cli *cli, bool stream, tern_int8_blocks *blocks, bool *automatic);
/* Replaces a graph of bytes by the same in blocks. */
tern_status tern_take_blocks(tern_graph **graph, const tern_int8_blocks *blocks);

/* Bytes of the largest memory that forgets without power, or (persistent) that does not. */
double tern_largest_memory(const tern_machine *machine, bool persistent);

/* What --budget says: bytes, with or without "sram=" before them. */
tern_status tern_budget_of(const tern_cli *cli, double *bytes);
/* tern search NET --space. */
tern_status tern_search_family(tern_cli *cli);

/* tern plan of a net in bytes for a board: definitions, bytes that come in, blocks. */
tern_status tern_plan_board(tern_cli *cli);
bool tern_plans_board(const tern_cli *cli);

#endif
