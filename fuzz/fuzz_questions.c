/* Multiple-choice questions: those that are read have two choices or more, one of them right. */
#include "fuzz.h"

#include "llm/questions.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_questions q = {0};
    tern_status status = tern_questions_parse(&q, (const char *)bytes, count, "questions", "before", 0);
    for (int i = 0; status == TERN_OK && i < q.count; i++)
        if (q.list[i].count < 2 || q.list[i].right < 0 || q.list[i].right >= q.list[i].count) abort();
    tern_questions_free(&q);
    return status;
}

TERN_FUZZER(parse)
