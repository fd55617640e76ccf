/* template: chat templates as model files carry them, a subset of Jinja (Jinja 3.1) rendered as Hugging Face's transformers
 * does: trim_blocks and lstrip_blocks on, no escaping, a single newline at the end dropped.
 *
 * Statements: for (with unpacking, if, else, break, continue), if, set (names, namespaces, blocks), macro, generation.
 * Expressions: literals, operators, conditionals, attributes, subscripts, slices, filters, tests, string and dictionary
 * methods, range, namespace, dict, raise_exception, strftime_now.  Anything else is named with its line. */
#ifndef TERN_LLM_TEMPLATE_H
#define TERN_LLM_TEMPLATE_H

#include "base/base.h"

typedef struct tern_template tern_template;

/* `name` is for messages. */
tern_status tern_template_open(tern_template **t, const char *source, size_t size, const char *name);
void tern_template_close(tern_template *t);

/* Adds the text that the template makes of `variables`, a JSON object: messages (a list of {"role", "content"}),
 * add_generation_prompt, bos_token, eos_token, tools ..; now_seconds (since 1970) sets strftime_now's clock. */
tern_status tern_template_render(const tern_template *t, const char *variables, size_t size, tern_text *out);

#endif
