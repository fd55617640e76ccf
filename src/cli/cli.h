/* cli: the command `tern`.  A command is one record in a file of its own and one line of the table; help, completion,
 * the manual page and the parser all read the same record. */
#ifndef TERN_CLI_H
#define TERN_CLI_H

#include "io/io.h"
#include "machine/machine.h"
#include "onnx/onnx.h"
#include "run/run.h"
#include "tflite/tflite.h"
#include "train/train.h"

#include <jansson.h>

typedef enum tern_option_kind {
    TERN_FLAG,   /* no value */
    TERN_TEXT,   /* any text */
    TERN_WHOLE,  /* a whole number >= 0 */
    TERN_NUMBER, /* a real number */
    TERN_BYTES,  /* 200M, 320KiB */
    TERN_PICK,   /* one of the names */
} tern_option_kind;

typedef struct tern_cli_option {
    const char *name; /* without --; NULL ends a list */
    char letter;      /* -o, or 0 */
    tern_option_kind kind;
    const char *value;    /* what the value is called in help: FILE */
    const char *standard; /* default as text, or NULL */
    const char *doc;
    const char *allowed; /* PICK: names separated by |; WHOLE and NUMBER: "1..", "0..1"; NULL: anything */
} tern_cli_option;

/* Two options that contradict each other. */
typedef struct tern_exclusion {
    const char *one, *other; /* NULL ends a list */
    const char *why;
} tern_exclusion;

typedef struct tern_cli tern_cli;

typedef struct tern_command {
    const char *name, *about, *usage; /* usage: the positional arguments */
    const char *more;                 /* an example, and what else is to be said: plain text */
    const tern_cli_option *options;
    const tern_exclusion *exclusions; /* NULL: none */
    int least, most;                  /* positional arguments */
    bool net_options; /* the first argument may name a net, whose parameters are options too */
    tern_status (*run)(tern_cli *cli);
} tern_command;

extern const tern_command *const tern_commands[]; /* in the order of help; NULL at the end */
extern const tern_cli_option tern_common_options[];

#define TERN_CLI_MAX 64
/* A parsed command line. */
struct tern_cli {
    const tern_command *command;
    int argc; /* behind the command's name */
    char **argv;
    const char *arguments[TERN_CLI_MAX]; /* positional */
    int count;
    const tern_net *net; /* the net that they name; NULL: none, or the command asks for none */
    struct {
        const char *name, *value;
    } given[TERN_CLI_MAX]; /* options in the order given */
    int given_count;
    bool json, quiet;
    uint64_t seed;
    int threads;
    tern_pool *pool;
};

/* The value of an option as given, else its default; NULL when there is neither. */
const char *tern_cli_text(const tern_cli *cli, const char *name);
bool tern_cli_has(const tern_cli *cli, const char *name); /* given on the command line */
double tern_cli_number(const tern_cli *cli, const char *name);
int tern_cli_whole(const tern_cli *cli, const char *name);
int tern_cli_pick(const tern_cli *cli, const char *name); /* which of the names of a PICK, from 0; -1: none */

/* TERN_USAGE, "--X has no effect <why>", when one of the options (NULL at the end) was given; or, with `only`, when any but these,
 * those of every command and the net's parameters were. */
tern_status tern_cli_refuse(const tern_cli *cli, const char *const *options, const char *why, ...)
    TERN_PRINTF(3, 4);
tern_status tern_cli_only(const tern_cli *cli, const char *const *options, const char *why, ...)
    TERN_PRINTF(3, 4);

/* As if the option had been given. */
tern_status tern_cli_give(tern_cli *cli, const char *name, const char *value);

/* Parse behind the command's name.  Every value is checked here: TERN_USAGE says which option, what was found, what was
 * expected and, for a misspelt name, what was meant. */
tern_status tern_cli_parse(tern_cli *cli, const tern_command *command, int argc, char **argv);

/* What is told about the commands, made from their records. */
void tern_cli_help(tern_text *out, const tern_command *command, const tern_net *net); /* NULL: the overview */
void tern_cli_manual(tern_text *out);                                                 /* tern.1 */
void tern_cli_page(tern_text *out, const tern_command *command);    /* docs/commands/NAME.md */
tern_status tern_cli_completion(tern_text *out, const char *shell); /* bash, zsh, fish */

/* The command line as a shell takes it: "tern train spiking-cnn --timesteps 4". */
void tern_cli_line(tern_text *out, const tern_cli *cli);
/* Whether to colour: a terminal, and no NO_COLOR (no-color.org). */
bool tern_coloured(FILE *out);

/* ---- what commands share ------------------------------------------------------------------------------------- */

/* Print one JSON document on standard output; takes the reference. */
tern_status tern_print_json(json_t *document);
/* A name that is not known, with the nearest one. */
tern_status tern_unknown(const char *what, const char *name, const char *const *known, size_t count);

/* Aligned columns for people: cells are added row by row; a column whose cells are numbers is right-aligned. */
typedef struct tern_grid {
    int columns;
    tern_arena arena;
    char **cells;
    int count, capacity;
    bool failed;
} tern_grid;
void tern_grid_row(tern_grid *table, const char *format, ...) TERN_PRINTF(2, 3); /* cells separated by | */
tern_status tern_grid_print(tern_grid *table, FILE *out); /* and frees; row 0 is the head */
void tern_grid_free(tern_grid *table);                    /* of a grid that is not printed */

/* A net named on the command line with its parameters, one from a run folder, or one from an ONNX or TFLite file. */
typedef struct tern_subject {
    const tern_net *net;
    void *parameters;
    tern_shape sample;
    tern_store store; /* of a trained run */
    tern_progress_state state;
    json_t *config;      /* config.json of a run; NULL for a plain net */
    const char *folder;  /* of a run; NULL */
    tern_onnx *onnx;     /* of an ONNX file; NULL */
    tern_tflite *tflite; /* of a TFLite file; NULL */
} tern_subject;
/* Whether a name is that of an ONNX or TFLite file: by its ending. */
bool tern_file_named(const char *name);
/* What such a file says.  scale, zero: of bytes, or, `wide`, of 16 bits that come in; scale 0: they are floats. */
typedef struct tern_file_about {
    const char *kind, *input; /* "an ONNX file", and the name of its input */
    int outputs;
    double scale;
    int zero;
    bool wide;
} tern_file_about;
tern_file_about tern_subject_about(const tern_subject *subject);
/* Output i by its name in the file, and in the graph. */
typedef struct tern_file_output {
    const char *name, *value;
} tern_file_output;
tern_file_output tern_subject_output(const tern_subject *subject, int i);
/* The weights of such a file go into the store: for commands that run a net.  Nothing for other subjects. */
tern_status tern_subject_weights(tern_subject *subject);
tern_status tern_subject_open(tern_subject *subject, const tern_cli *cli, const char *name);
/* Option of commands that look at a net without data: the shape of one sample. */
#define TERN_INPUT_OPTION                                                                                    \
    {                                                                                                        \
        "input", 0, TERN_TEXT, "CxHxW", NULL,                                                                \
            "shape of a sample, such as 3x224x224 (default: the net's own)", NULL                            \
    }
/* Options of commands that look at a systolic array, and the machine that they and --machine describe. */
#define TERN_ARRAY_OPTIONS                                                                                   \
    {"array", 0, TERN_TEXT, "RxC", NULL, "another size of the array, such as 64x64; rates grow with it",     \
     NULL},                                                                                                  \
    {                                                                                                        \
        "dataflow", 0, TERN_PICK, "D", NULL, "another dataflow of the array",                                \
            "weight-stationary|output-stationary|input-stationary|row-stationary|broadcast"                  \
    }
tern_status tern_open_array(tern_machine **machine, const tern_cli *cli);
tern_status tern_subject_open_run(tern_subject *subject, const char *folder);
void tern_subject_close(tern_subject *subject);

/* Net parameters as JSON, and back. */
json_t *tern_parameters_json(const tern_net *net, const void *parameters);

/* Run folders: config.json, model.safetensors (parameters, moments, progress), history.jsonl, eval.json. */
tern_status tern_run_path(char out[4096], const char *folder, const char *file);
tern_status tern_run_save(const char *folder, const tern_store *store, const tern_progress_state *state);
tern_status tern_run_load(const char *folder, tern_store *store, tern_progress_state *state);
tern_status tern_read_json(const char *path, json_t **document);
tern_status tern_write_json(const char *path, json_t *document); /* takes the reference */

/* Open the data of a net: clips have as many frames as the net has steps, where steps are chosen (by the command line or
 * the run), else the net takes as many steps as the clips have frames; classes are the data's, unless chosen. */
tern_status tern_open_data(tern_dataset *dataset, const char *name, tern_dataset_options options,
                           const tern_cli *cli, tern_subject *subject);

/* Pixels are normalised as in the training that this config.json is of. */
void tern_samples_normalise_as(tern_samples *samples, const json_t *config);

json_t *tern_work_json(const tern_work *work);
tern_status tern_print_targets(const tern_evaluation *evaluation); /* errors of regression as a table */
json_t *tern_evaluation_json(const tern_evaluation *evaluation, const tern_dataset *dataset);

#endif
