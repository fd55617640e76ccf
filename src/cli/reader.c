/* A language model that reads a whole text at once. */
#include "cli/reader.h"

#include "llm/adapter.h"
#include "llm/hugging_face.h"

tern_status tern_reader_open(tern_reader *r, const char *path, const char *text, size_t size)
{
    TERN_TRY(tern_weights_open(&r->weights, path));
    TERN_TRY(tern_import_hugging_face(&r->weights));
    TERN_TRY(tern_transformer_read(&r->about, &r->weights));
    TERN_TRY(tern_tokenizer_read(&r->tokenizer, path));
    return tern_encode(r->tokenizer, text, size, TERN_ENCODE_ENDS, &r->ids);
}

void tern_reader_close(tern_reader *r)
{
    tern_tokens_free(&r->ids);
    tern_tokenizer_close(r->tokenizer);
    tern_adapters_close(&r->about);
    tern_weights_close(&r->weights);
}
