/* Multiple-choice questions from the files that their authors publish. */
#ifndef TERN_LLM_QUESTIONS_H
#define TERN_LLM_QUESTIONS_H

#include "base/base.h"

/* A choice is a text behind a context; WinoGrande has a context for each, the others one for all. */
typedef struct tern_question {
    const char **contexts, **texts; /* [count] */
    int count, right;
} tern_question;

/* Zero-initialise; release with tern_questions_free. */
typedef struct tern_questions {
    tern_question *list;
    int count, room;
    tern_arena arena;
} tern_questions;

/* A JSON list, or a question a line, of HellaSwag, ARC, WinoGrande (whose right answers are told), TruthfulQA (mc1), or {"query":
 * TEXT, "choices": [TEXT, ..], "gold": 0 ..}; written as lm-evaluation-harness shows them to a model.  preamble: stands before each
 * question, or NULL.  limit: of the first so many; 0: all.  Errors name the file and the number of the question. */
tern_status tern_questions_read(tern_questions *questions, const char *path, const char *preamble, int limit);
/* The same of a text [size bytes], `name` in messages. */
tern_status tern_questions_parse(tern_questions *questions, const char *text, size_t size, const char *name,
                                 const char *preamble, int limit);
void tern_questions_free(tern_questions *questions);

#endif
