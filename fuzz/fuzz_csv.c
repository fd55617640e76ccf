/* CSV with labels by name or in the last column. */
#include "fuzz.h"

#include "io/io.h"

static tern_status parse(const uint8_t *bytes, size_t count)
{
    tern_table t = {0};
    TERN_TRY(tern_csv_parse(bytes, count, "fuzz", &(tern_csv_options){.label = "label|-1"}, &t));
    tern_table_free(&t);
    return TERN_OK;
}

TERN_FUZZER(parse)
