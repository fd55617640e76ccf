/* tern show MODEL --tokenize TEXT: a text as the model's tokens. */
#include "cli/show_model.h"
#include "llm/tokenizer.h"

#include <string.h>

/* Bytes as one cell of a table: what is not printable, or no whole character, as escapes. */
static void put_cell(tern_text *out, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint8_t c = (uint8_t)bytes[i];
        size_t length = c < 0x80 ? 1 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 0;
        bool whole = length && i + length <= size && (length == 1 || c > 0xC1);
        for (size_t k = 1; k < length && whole; k++) whole = ((uint8_t)bytes[i + k] & 0xC0) == 0x80;
        if (c == '\n' || c == '\t' || c == '\r')
            tern_text_put(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        else if (c == '|') /* separates cells */
            tern_text_put(out, "\\x7c");
        else if (!whole || c < 32 || c == 127)
            tern_text_format(out, "\\x%02x", c);
        else
            tern_text_add(out, bytes + i, length);
        i += whole ? length : 1;
    }
}

static tern_status print_table(const tern_tokenizer *t, const tern_tokens *ids, size_t bytes)
{
    tern_grid table = {0};
    tern_text cell = {0};
    tern_grid_row(&table, "token|text");
    for (size_t i = 0; i < ids->count; i++) {
        size_t size;
        const char *text = tern_token_bytes(t, ids->ids[i], &size);
        cell.size = 0;
        tern_text_put(&cell, "\"");
        put_cell(&cell, text, size);
        tern_text_put(&cell, tern_token_is_control(t, ids->ids[i]) ? "\" control" : "\"");
        tern_grid_row(&table, "%d|%s", ids->ids[i], cell.data ? cell.data : "");
    }
    tern_status status = tern_text_status(&cell);
    tern_text_free(&cell);
    if (status == TERN_OK) status = tern_grid_print(&table, stdout);
    tern_grid_free(&table);
    printf("%zu tokens, %zu bytes\n", ids->count, bytes);
    return status;
}

/* Texts of tokens may be no UTF-8 by themselves: then null. */
static tern_status print_json(const tern_tokenizer *t, const tern_tokens *ids)
{
    json_t *tokens = json_array(), *texts = json_array();
    for (size_t i = 0; i < ids->count; i++) {
        size_t size;
        const char *text = tern_token_bytes(t, ids->ids[i], &size);
        json_t *value = json_stringn(text, size);
        json_array_append_new(tokens, json_integer(ids->ids[i]));
        json_array_append_new(texts, value ? value : json_null());
    }
    return tern_print_json(json_pack("{s:o,s:o}", "tokens", tokens, "texts", texts));
}

tern_status tern_show_tokens(const tern_cli *cli, const char *path)
{
    const char *text = tern_cli_text(cli, "tokenize");
    unsigned flags = tern_cli_has(cli, "plain") ? 0 : TERN_ENCODE_ENDS | TERN_ENCODE_SPECIAL;
    tern_tokenizer *t;
    tern_tokens ids = {0};
    TERN_TRY(tern_tokenizer_read(&t, path));
    tern_status status = tern_encode(t, text, strlen(text), flags, &ids);
    if (status == TERN_OK) status = cli->json ? print_json(t, &ids) : print_table(t, &ids, strlen(text));
    tern_tokens_free(&ids);
    tern_tokenizer_close(t);
    return status;
}
