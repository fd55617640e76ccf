/* A language model that reads a whole text at once: its net over windows, its tokenizer, the text as tokens. */
#ifndef TERN_CLI_READER_H
#define TERN_CLI_READER_H

#include "cli/cli.h"
#include "llm/tokenizer.h"
#include "llm/window.h"

typedef struct tern_reader {
    tern_weights weights;
    tern_transformer about;
    tern_tokenizer *tokenizer; /* of a GGUF file its own, of a folder tokenizer.json */
    tern_tokens ids;
} tern_reader;

/* path: a file or folder.  Close also after a failure. */
tern_status tern_reader_open(tern_reader *reader, const char *path, const char *text, size_t size);
void tern_reader_close(tern_reader *reader);

#endif
