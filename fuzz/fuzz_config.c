/* config.json of a folder of Hugging Face: its numbers as those of a transformer, and the graph that they ask for, up to the first
 * tensor that is not there. */
#include "fuzz.h"

#include "io/weights.h"
#include "llm/hugging_face.h"
#include "llm/model.h"

static tern_status read_config(tern_weights *w, const char *text, size_t size)
{
    static float table[8 * 16];
    tern_tensor t = {.dtype = TERN_F32, .shape = TERN_SHAPE(8, 16), .data = table};
    tern_transformer about;
    tern_llm_program program;
    TERN_TRY(tern_weights_config(w, text, size, "fuzz"));
    TERN_TRY(tern_weights_add(w, "token_embd.weight", t));
    TERN_TRY(tern_import_hugging_face(w));
    TERN_TRY(tern_transformer_read(&about, w));
    TERN_TRY(tern_llm_program_open(&program, &about, &(tern_llm_options){.context = 16}, 2, 1, false));
    tern_llm_program_close(&program);
    return TERN_OK;
}

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_weights w = {0};
    tern_status status = read_config(&w, (const char *)bytes, count);
    tern_weights_close(&w);
    return status;
}

TERN_FUZZER(parse)
