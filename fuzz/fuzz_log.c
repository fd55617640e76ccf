/* What other programs tell of their runs: events (a line of JSON first), MLC's log where a report of it stands in it, else llama.cpp's. */
#include "fuzz.h"

#include "llm/bench.h"
#include "llm/ggml_log.h"
#include "llm/mlc_log.h"

static tern_ggml_log ggml;

static tern_status parse(const uint8_t *bytes, size_t count)
{
    const char *text = (const char *)bytes;
    tern_mlc_log mlc = {0};
    if (count > 0 && *text == '{') {
        tern_bench bench;
        tern_status status = tern_bench_events(&bench, text, count, "events");
        tern_bench_free(&bench);
        return status;
    }
    if (!tern_mlc_log_is(text, count)) return tern_ggml_log_parse(&ggml, text, count, "log");
    tern_status status = tern_mlc_log_parse(&mlc, text, count, "log");
    tern_mlc_log_free(&mlc);
    return status;
}

TERN_FUZZER(parse)
