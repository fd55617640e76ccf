/* Conversations as prompts. */
#include "llm/conversation.h"

#include "llm/folder.h"
#include "llm/unicode.h"

#include <string.h>

tern_status tern_conversation_add(tern_conversation *c, const char *role, const char *content, size_t size)
{
    tern_text mended = {0};
    if (c->count == c->capacity) {
        int room = c->capacity ? 2 * c->capacity : 8;
        tern_message_said *bigger =
            tern_resize(c->messages, (size_t)c->capacity * sizeof *bigger, (size_t)room * sizeof *bigger);
        if (!bigger) return tern_no_memory((size_t)room * sizeof *bigger, "a conversation");
        c->messages = bigger;
        c->capacity = room;
    }
    tern_text_put(&mended, "");
    tern_utf8_mend(&mended, content, size, false);
    tern_status status = tern_text_status(&mended);
    if (status != TERN_OK) {
        tern_text_free(&mended);
        return status;
    }
    c->messages[c->count++] = (tern_message_said){role, mended.data};
    return TERN_OK;
}

void tern_conversation_cut(tern_conversation *c, int first)
{
    while (c->count > first) tern_release(c->messages[--c->count].content);
}

void tern_conversation_free(tern_conversation *c)
{
    tern_conversation_cut(c, 0);
    tern_release(c->messages);
    *c = (tern_conversation){0};
}

tern_status tern_template_of(tern_template **t, const tern_weights *weights, const char *name)
{
    const tern_meta *m = tern_weights_meta(weights, "tokenizer.chat_template");
    const uint8_t *at = NULL;
    const char *source;
    char *own = NULL;
    size_t size;
    *t = NULL;
    if (m && tern_meta_next(m, &at, &source, &size)) return tern_template_open(t, source, size, name);
    if (!tern_is_folder(name)) return TERN_OK;
    TERN_TRY(tern_folder_template(name, &own, &size));
    tern_status status = own ? tern_template_open(t, own, size, name) : TERN_OK;
    tern_release(own);
    return status;
}

/* As a JSON string. */
static void put_string(tern_text *out, const char *text, size_t size)
{
    tern_text_put(out, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            tern_text_format(out, "\\%c", c);
        else if (c < 0x20)
            tern_text_format(out, "\\u%04x", c);
        else
            tern_text_add(out, text + i, 1);
    }
    tern_text_put(out, "\"");
}

static void put_token(tern_text *out, const char *key, const tern_vocabulary *v, int32_t id)
{
    tern_text_format(out, ",\"%s\":", key);
    put_string(out, id >= 0 && id < v->count ? v->tokens[id].text : "",
               id >= 0 && id < v->count ? v->tokens[id].size : 0);
}

tern_status tern_conversation_render(const tern_conversation *c, const tern_template *t,
                                     const tern_vocabulary *vocabulary, tern_text *out)
{
    tern_text json = {0};
    tern_text_put(&json, "{\"messages\":[");
    for (int i = 0; i < c->count; i++) {
        tern_text_format(&json, "%s{\"role\":\"%s\",\"content\":", i ? "," : "", c->messages[i].role);
        put_string(&json, c->messages[i].content, strlen(c->messages[i].content));
        tern_text_put(&json, "}");
    }
    tern_text_put(&json, "],\"add_generation_prompt\":true");
    put_token(&json, "bos_token", vocabulary, vocabulary->bos);
    put_token(&json, "eos_token", vocabulary, vocabulary->eos);
    tern_text_put(&json, "}");
    tern_status status = tern_text_status(&json);
    if (status == TERN_OK) status = tern_template_render(t, json.data, json.size, out);
    tern_text_free(&json);
    return status;
}
