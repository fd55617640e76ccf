/* grammar: what a model may write.  A grammar in GBNF (ggml's notation of a context-free grammar), or a JSON schema turned into
 * one, says before each token which tokens can go on; a text that ends when the grammar lets it end is one of its texts.
 *
 *     root ::= "yes" | "no" (" " [a-z]+){1,3}     # literals, classes ([^..], .), names, groups, * + ? {m} {m,} {m,n}
 *
 * The machine reads characters and keeps every way in which the text so far can be derived, as stacks that share their
 * lower parts. */
#ifndef TERN_LLM_GRAMMAR_H
#define TERN_LLM_GRAMMAR_H

#include "llm/tokenizer.h"

typedef struct tern_grammar tern_grammar;

/* Rules from "root" on.  Fails with the line; left recursion is refused. */
tern_status tern_grammar_open(tern_grammar **grammar, const char *gbnf, size_t size);
void tern_grammar_close(tern_grammar *grammar);

/* Adds the GBNF of a JSON schema: type, properties, required, additionalProperties, items, prefixItems, minItems, maxItems,
 * minLength, maxLength, enum, const, anyOf, oneOf, allOf of objects, $ref within the document.  Keywords that constrain and
 * are not among these fail by name; annotations are passed over.  Properties come in the schema's order. */
tern_status tern_schema_grammar(tern_text *gbnf, const char *schema, size_t size);

/* Whether a text is one of the grammar's (*whole), or at least begins one (*begins). */
tern_status tern_grammar_match(const tern_grammar *grammar, const char *text, size_t size, bool *begins,
                               bool *whole);

/* A grammar over the tokens of a tokenizer: both must outlive it.  `ends`: tokens that end a text. */
typedef struct tern_constraint tern_constraint;
tern_status tern_constraint_open(tern_constraint **constraint, const tern_grammar *grammar,
                                 const tern_tokenizer *tokenizer, const int32_t *ends, int end_count);
void tern_constraint_close(tern_constraint *constraint);
tern_status tern_constraint_reset(tern_constraint *constraint);
/* A bit for each token that can come next (bit id%64 of word id/64); valid until the next call. */
tern_status tern_constraint_mask(tern_constraint *constraint, const uint64_t **allowed);
/* The token that came.  Fails (TERN_FAILED) when the grammar does not allow it. */
tern_status tern_constraint_accept(tern_constraint *constraint, int32_t id);
bool tern_constraint_may_end(const tern_constraint *constraint);

#endif
