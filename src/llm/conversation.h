/* conversation: who said what, and the prompt that a model's chat template makes of it. */
#ifndef TERN_LLM_CONVERSATION_H
#define TERN_LLM_CONVERSATION_H

#include "llm/template.h"
#include "llm/tokenizer.h"

typedef struct tern_message_said {
    const char *role; /* "system", "user", "assistant": of the program's own memory */
    char *content;    /* UTF-8 */
} tern_message_said;

/* Zero-initialise; release with tern_conversation_free. */
typedef struct tern_conversation {
    tern_message_said *messages;
    int count, capacity;
} tern_conversation;
/* Copies the content; what is no UTF-8 in it becomes U+FFFD. */
tern_status tern_conversation_add(tern_conversation *conversation, const char *role, const char *content,
                                  size_t size);
/* Forget the messages from `first` on. */
void tern_conversation_cut(tern_conversation *conversation, int first);
void tern_conversation_free(tern_conversation *conversation);

/* The template that a GGUF file carries (tokenizer.chat_template), or, where `name` is a folder, that folder; NULL in *t when it
 * has none. */
tern_status tern_template_of(tern_template **t, const tern_weights *weights, const char *name);

/* Adds the prompt: all messages, and the beginning of the assistant's answer. */
tern_status tern_conversation_render(const tern_conversation *conversation, const tern_template *t,
                                     const tern_vocabulary *vocabulary, tern_text *out);

#endif
