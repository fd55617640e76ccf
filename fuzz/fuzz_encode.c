/* Any bytes through tokenizers of each kind and back: byte-level ones must give the text back, mended. */
#include "fuzz.h"

#include "llm/tokenizer.h"
#include "llm/unicode.h"

#include <string.h>

static const char *const files[] = {"bpe-smollm.json", "bpe-llama3.json", "bpe-gemma.json",
                                    "unigram.json",    "wordpiece.json",  "sp-bpe.model"};
static tern_tokenizer *tokenizers[TERN_COUNT(files)];

static void check_back(const tern_text *decoded, const char *text, size_t size)
{
    tern_text mended = {0};
    tern_utf8_mend(&mended, text, size, false);
    if (decoded->size != mended.size || (mended.size && memcmp(decoded->data, mended.data, mended.size) != 0))
        abort();
    tern_text_free(&mended);
}

static tern_status encode(const uint8_t *bytes, size_t count)
{
    if (!count) return TERN_OK;
    size_t which = bytes[0] % TERN_COUNT(files);
    const char *text = (const char *)bytes + 1;
    tern_tokens ids = {0};
    tern_text back = {0};
    tern_decoder d = {.specials = true};
    tern_status status =
        tern_encode(tokenizers[which], text, count - 1, bytes[0] & 0x80 ? TERN_ENCODE_SPECIAL : 0, &ids);
    for (size_t i = 0; i < ids.count && status == TERN_OK; i++)
        status = tern_decode(tokenizers[which], &d, ids.ids[i], &back);
    if (status == TERN_OK) status = tern_decode_end(&d, &back);
    if (status == TERN_OK && which == 0) check_back(&back, text, count - 1);
    tern_text_free(&back);
    tern_tokens_free(&ids);
    return status;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[256];
    (void)argc, (void)argv;
    for (size_t i = 0; i < TERN_COUNT(files); i++) {
        snprintf(path, sizeof path, "tests/golden/llm/%s", files[i]); /* scripts/fuzz runs at the root */
        if (tern_tokenizer_read(&tokenizers[i], path) != TERN_OK) {
            fprintf(stderr, "%s\n", tern_message());
            exit(1);
        }
    }
    return 0;
}

TERN_FUZZER(encode)
