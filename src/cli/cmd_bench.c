/* tern bench: a language model as a device has it that must answer: measured here, modelled elsewhere. */
#include "cli/bench_report.h"

#include "cli/cost_model.h"
#include "cli/language.h"
#include "llm/models.h"

#include <string.h>

static const tern_cli_option options[] = {
    {"prompt", 'p', TERN_WHOLE, "N", "512", "tokens of a prompt", "1..1000000"},
    {"generate", 'n', TERN_WHOLE, "N", "128",
     "tokens made after the prompt; in conversations, most tokens of a reply", "1..1000000"},
    {"turns", 't', TERN_WHOLE, "N", "5", "how many prompts, one after the other without a pause",
     "1..100000"},
    {"conversations", 0, TERN_TEXT, "FILE", NULL,
     "hold these conversations instead of sending prompts of made-up tokens: JSON, a list of lists of what a "
     "user says; the history is kept",
     NULL},
    {"limit", 0, TERN_WHOLE, "N", "0", "conversations to hold at most; 0: all", NULL},
    {"template", 0, TERN_TEXT, "FILE", NULL, "chat template (Jinja) instead of the model's own", NULL},
    {"temperature", 0, TERN_NUMBER, "T", "0.7",
     "temperature of sampling in conversations (top-p 0.95, top-k 40)", "0..100"},
    {"cold", 0, TERN_FLAG, NULL, NULL, "load once more after the file's pages were dropped from memory",
     NULL},
    {"machine", 'm', TERN_TEXT, "M", NULL, "also model times and energy on this machine", NULL},
    {"sustained", 0, TERN_WHOLE, "N", NULL,
     "N turns without a pause on that machine, which warms up until its clock falls", "1..100000"},
    {"watts", 0, TERN_NUMBER, "W", "0", "power of that machine at full clock; 0: as modelled", "0..100000"},
    {"battery", 0, TERN_NUMBER, "MAH", NULL, "battery of a device, in mAh: how much of it tokens take",
     "1..1000000"},
    {"volts", 0, TERN_NUMBER, "V", "3.85", "voltage of that battery", "0.1..1000"},
    {"csv", 0, TERN_TEXT, "FILE", NULL, "write the events to a file, one a line", NULL},
    {"log", 0, TERN_TEXT, "FILE", NULL,
     "instead of measuring: times by operator from a log of llama.cpp or MLC LLM", NULL},
    {"events", 0, TERN_TEXT, "FILE", NULL,
     "instead of measuring: what another program or device tells of its runs, a JSON object a line", NULL},
    {"context", 'c', TERN_WHOLE, "N", "0",
     "tokens that the cache holds; 0: 2048, or the model's limit if that is less", "0..1000000"},
    {"chunk", 0, TERN_WHOLE, "N", "256", "tokens of the prompt that are computed at once", "1..4096"},
    {"cache", 0, TERN_PICK, "FORMAT", "f32", "number format of the keys and values in the cache", "f32|f16"},
    {"huge-pages", 0, TERN_FLAG, NULL, NULL, TERN_HUGE_PAGES_HELP, NULL},
    {"as", 0, TERN_TEXT, "NAME", NULL,
     "of a model by its shapes: number format of its weights, as for tern convert --format", NULL},
    {"head-format", 0, TERN_TEXT, "NAME", NULL, "with --as: number format of the table that makes logits",
     NULL},
    {0},
};

static const tern_exclusion exclusions[] = {
    {"conversations", "turns", "conversations have their own turns"},
    {"conversations", "prompt", "conversations have their own prompts"},
    {"events", "log", "one at a time"},
    {0},
};

static void show_turn(void *context, int turn, int turns)
{
    tern_progress_show(context, (double)turn / turns, "turn %d of %d", turn + 1, turns);
}

/* ---- conversations ------------------------------------------------------------------------------------------------- */

typedef struct tern_talk_list {
    json_t *document; /* whose texts they are */
    tern_bench_talk *list;
    int count;
    tern_arena arena;
} tern_talk_list;

static tern_status wrong_talks(const char *path, size_t index)
{
    return tern_fail(TERN_FAILED, "%s: conversation %zu is no list of texts, expected [[\"Hello\", ..], ..]",
                     path, index + 1);
}

static tern_status read_talks(tern_talk_list *talks, const char *path, int limit)
{
    json_error_t error;
    char *bytes;
    size_t size, index, turn;
    json_t *talk, *text;
    TERN_TRY(tern_read_file(path, &bytes, &size));
    talks->document = json_loadb(bytes, size, 0, &error);
    tern_release(bytes);
    if (!talks->document)
        return tern_fail(TERN_FAILED, "%s: line %d column %d: %s", path, error.line, error.column,
                         error.text);
    size_t count = json_array_size(talks->document);
    if (!count)
        return tern_fail(TERN_FAILED, "%s: expected a list of conversations, [[\"Hello\", ..], ..]", path);
    if (limit > 0 && (size_t)limit < count) count = (size_t)limit;
    talks->list = tern_arena_take(&talks->arena, count * sizeof *talks->list);
    if (!talks->list) return tern_no_memory(count * sizeof *talks->list, path);
    json_array_foreach(talks->document, index, talk)
    {
        if (index == count) break;
        size_t turns = json_array_size(talk);
        if (!turns) return wrong_talks(path, index);
        char **list = tern_arena_take(&talks->arena, turns * sizeof *list);
        if (!list) return tern_no_memory(turns * sizeof *list, path);
        json_array_foreach(talk, turn, text)
        {
            if (!json_is_string(text)) return wrong_talks(path, index);
            list[turn] = (char *)(uintptr_t)json_string_value(text);
        }
        talks->list[talks->count++] = (tern_bench_talk){list, (int)turns};
    }
    return TERN_OK;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------- */

static tern_status measure(const tern_cli *cli, const char *path, const tern_llm_options *model,
                           tern_bench *b)
{
    tern_progress progress;
    tern_talk_list talks = {0};
    tern_sampling sampling = tern_sampling_standard();
    sampling.temperature = tern_cli_number(cli, "temperature");
    sampling.top_p = 0.95;
    sampling.top_k = 40;
    sampling.seed = cli->seed;
    tern_bench_options o = {.model = *model,
                            .prompt = tern_cli_whole(cli, "prompt"),
                            .generate = tern_cli_whole(cli, "generate"),
                            .turns = tern_cli_whole(cli, "turns"),
                            .cold = tern_cli_has(cli, "cold"),
                            .idle_seconds = 2,
                            .sampling = &sampling,
                            .template = tern_cli_text(cli, "template"),
                            .on_turn = show_turn,
                            .context = &progress};
    const char *file = tern_cli_text(cli, "conversations");
    tern_status status = file ? read_talks(&talks, file, tern_cli_whole(cli, "limit")) : TERN_OK;
    tern_progress_open(&progress, "bench", cli->quiet);
    tern_catch_interrupts();
    if (status == TERN_OK)
        status =
            file ? tern_bench_talks(b, path, talks.list, talks.count, &o) : tern_bench_tokens(b, path, &o);
    if (status == TERN_OK) tern_progress_close(&progress, "%d turns", b->turns);
    json_decref(talks.document);
    tern_arena_free(&talks.arena);
    return status;
}

static tern_status model_on(tern_bench_result *r, tern_machine *m, tern_cost *ask, tern_cost *token)
{
    TERN_TRY(
        tern_llm_account_cost(r->account, m ? &m : NULL, m != NULL, 0, r->prompt, ask, &r->ask_effort, NULL));
    return tern_llm_account_cost(r->account, m ? &m : NULL, m != NULL, r->prompt + r->generate / 2, 1, token,
                                 &r->token_effort, NULL);
}

/* What tern probe measured of this computer, where it did. */
static void open_here(tern_machine **here)
{
    if (tern_machine_open(here, "here") == TERN_OK) return;
    tern_clear();
    *here = NULL;
}

static tern_status model(tern_bench_result *r)
{
    const tern_cli *cli = r->cli;
    const char *machine = tern_cli_text(cli, "machine");
    int rows = r->account->rows;
    if (r->prompt + r->generate > rows)
        return tern_fail(TERN_NO_FIT, "%d tokens of prompt and %d behind them exceed the context of %d",
                         r->prompt, r->generate, rows);
    if (r->bench) open_here(&r->here);
    TERN_TRY(model_on(r, r->here, &r->ask_here, &r->token_here));
    if (!machine) return TERN_OK;
    TERN_TRY(tern_machine_open(&r->machine, machine));
    return model_on(r, r->machine, &r->ask, &r->token);
}

static tern_status sustain(tern_bench_result *r, tern_sustained *s)
{
    const tern_cli *cli = r->cli;
    if (!tern_cli_has(cli, "sustained")) return TERN_OK;
    if (!r->machine)
        return tern_fail(TERN_USAGE,
                         "bench: --sustained is for a --machine whose file says how warm it gets; "
                         "here --turns has no pause either");
    TERN_TRY(tern_sustain(s, r->account, r->machine, r->prompt, r->generate, tern_cli_whole(cli, "sustained"),
                          tern_cli_number(cli, "watts")));
    r->sustained = s;
    return TERN_OK;
}

/* The prompts of conversations are as long as they were. */
static void take_lengths(tern_bench_result *r)
{
    tern_bench_total prompt = tern_bench_sum(r->bench, TERN_BENCH_PROMPT),
                     reply = tern_bench_sum(r->bench, TERN_BENCH_REPLY);
    int turns = r->bench->turns ? r->bench->turns : 1;
    r->prompt = (int)(prompt.tokens / turns) > 0 ? (int)(prompt.tokens / turns) : 1;
    r->generate = (int)(reply.tokens / turns) > 0 ? (int)(reply.tokens / turns) : 1;
}

static tern_status bench(tern_cli *cli)
{
    char path[4096];
    tern_bench runs = {0};
    tern_sustained sustained = {0};
    tern_llm_account *account = NULL;
    tern_bench_result r = {
        .cli = cli, .prompt = tern_cli_whole(cli, "prompt"), .generate = tern_cli_whole(cli, "generate")};
    tern_llm_options o = tern_cost_model_options(cli);
    o.copied = tern_cli_has(cli, "huge-pages");
    tern_status status = tern_cost_open_account(cli, &o, &account);
    r.account = account;
    if (status == TERN_OK && !cli->net) {
        status = tern_model_find(path, cli->arguments[0]);
        r.bench = &runs;
        if (status == TERN_OK) status = measure(cli, path, &o, &runs);
        if (status == TERN_OK && tern_cli_has(cli, "conversations")) take_lengths(&r);
    }
    if (status == TERN_OK) status = model(&r);
    if (status == TERN_OK) status = sustain(&r, &sustained);
    if (status == TERN_OK) status = tern_bench_print(&r);
    if (status == TERN_OK && r.bench && tern_cli_has(cli, "csv"))
        status = tern_bench_csv(&runs, tern_cli_text(cli, "csv"));
    tern_machine_close(r.machine);
    tern_machine_close(r.here);
    tern_sustained_free(&sustained);
    tern_bench_free(&runs);
    tern_llm_account_close(account);
    return status;
}

static tern_status run_bench(tern_cli *cli)
{
    const char *log = tern_cli_text(cli, "log"), *events = tern_cli_text(cli, "events");
    if ((log || events) && cli->count)
        return tern_fail(TERN_USAGE, "bench: --%s reads a file and takes no model", log ? "log" : "events");
    if (log) return tern_bench_log(cli, log);
    if (events) return tern_bench_told(cli, events);
    if (!cli->count)
        return tern_fail(TERN_USAGE,
                         "bench: expected a model, or --log FILE, or --events FILE, or softfloat");
    if (strcmp(cli->arguments[0], "softfloat") == 0) return tern_bench_softfloat(cli);
    if (cli->net && !cli->net->decoder)
        return tern_fail(TERN_USAGE, "bench: net %s is no language model; bench/ and tern eval measure nets",
                         cli->net->name);
    if (cli->net && !tern_cli_has(cli, "machine"))
        return tern_fail(TERN_USAGE,
                         "bench: of %s only the shapes are known: give a --machine to model it on",
                         cli->net->name);
    if (!cli->net && tern_cli_has(cli, "as"))
        return tern_fail(TERN_USAGE, "bench: --as is for nets of shapes; tern convert changes a file");
    if (tern_cli_has(cli, "watts") && !tern_cli_has(cli, "sustained"))
        return tern_fail(TERN_USAGE, "bench: --watts has no effect without --sustained");
    return bench(cli);
}

const tern_command tern_command_bench = {
    .name = "bench",
    .about =
        "measure the speed, memory and energy of a language model here, or model them for another machine",
    .usage = "MODEL|softfloat",
    .more = "tern bench smollm2\n"
            "tern bench smollm2 --prompt 128 --generate 64 --machine raspberry-pi-5 --battery 5000\n"
            "tern bench smollm2 --conversations talks.json --limit 3 --csv events.csv\n"
            "tern bench llama2-7b --as q4_K_M -m snapdragon-8-gen-3 --sustained 48 --watts 10\n"
            "tern bench --log llamacpp.log\n"
            "ssh pi ./measure | tern bench --events /dev/stdin --battery 5000\n"
            "tern bench softfloat    # what floats cost on a RISC-V board without an FPU, in QEMU\n"
            "\n"
            "Energy is measured where Linux has a sensor (powercap, hwmon, a battery).  Elsewhere it is "
            "modelled for --machine, and\n"
            "marked as modelled; without --machine it is left out.\n"
            "\n"
            "--events reads what other programs and devices tell of their runs, with times in seconds of one "
            "clock:\n"
            "\n"
            "    {\"event\": \"load\", \"from\": 0, \"to\": 1.2}\n"
            "    {\"event\": \"prompt\", \"from\": 1.3, \"to\": 1.9, \"tokens\": 40}    a turn begins, until "
            "its prompt is computed\n"
            "    {\"event\": \"token\", \"at\": 1.95}                              a token of the reply\n"
            "    {\"event\": \"power\", \"at\": 1.5, \"watts\": 4.2}                what a sensor shows\n"
            "    {\"event\": \"memory\", \"at\": 1.5, \"bytes\": 1.1e9}            what the program holds",
    .options = options,
    .exclusions = exclusions,
    .least = 0,
    .most = 1,
    .net_options = true,
    .run = run_bench,
};
