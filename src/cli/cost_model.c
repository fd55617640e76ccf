/* tern cost MODEL: a language model from its metadata: what it holds, whether that fits, and what tokens take on each machine. */
#include "cli/cost_model.h"

#include "llm/account.h"
#include "llm/models.h"

#include <string.h>

/* What is asked of the machines: a prompt, the token behind it, and the last one that the context has room for. */
typedef enum tern_moment { FIRST, NEXT, LAST, MOMENTS } tern_moment;
static const char *const moment_names[MOMENTS] = {"first_token", "next_token", "last_token"};

typedef struct tern_model_bill {
    tern_cli *cli;
    tern_llm_account *account;
    tern_machine *machines[TERN_CLI_MAX];
    int count;
    int prompt;
    tern_cost costs[MOMENTS][TERN_CLI_MAX];
    tern_llm_effort effort[MOMENTS];
    tern_llm_share shares[MOMENTS][TERN_LLM_SHARES]; /* on the first machine */
} tern_model_bill;

bool tern_cost_means_model(const tern_cli *cli)
{
    char path[4096];
    const char *name = cli->arguments[0];
    if (cli->net) return cli->net->decoder && tern_cli_has(cli, "context");
    if (tern_file_named(name)) return false;
    if (tern_model_named(name)) return true;
    json_t *config = NULL; /* of a folder of Hugging Face; that of a run has no such key */
    if (snprintf(path, sizeof path, "%s/config.json", name) < (int)sizeof path)
        config = json_load_file(path, 0, NULL);
    bool means = json_is_string(json_object_get(config, "model_type"));
    json_decref(config);
    return means;
}

/* ---- the machines --------------------------------------------------------------------------------------------------- */

static tern_status open_machines(tern_model_bill *b)
{
    const char *machine = tern_cli_text(b->cli, "machine");
    tern_text names = {0};
    tern_status status = TERN_OK;
    if (strcmp(machine, "all") == 0)
        status = tern_machine_names(&names);
    else
        tern_text_format(&names, "%s\n", machine);
    if (status == TERN_OK) status = tern_text_status(&names);
    for (char *p = names.data, *end; status == TERN_OK && p && *p; p = end + 1) {
        end = strchr(p, '\n');
        *end = 0;
        if (b->count == TERN_CLI_MAX)
            status = tern_fail(TERN_FAILED, "there are more than %d machines", TERN_CLI_MAX);
        else
            status = tern_machine_open(&b->machines[b->count], p);
        if (status == TERN_OK) b->count++;
    }
    tern_text_free(&names);
    return status;
}

static tern_status compute(tern_model_bill *b)
{
    int rows = b->account->rows, prompt = tern_cli_whole(b->cli, "prompt");
    b->prompt = tern_cli_has(b->cli, "prompt") || prompt < rows ? prompt : rows - 1;
    if (b->prompt < 1 || b->prompt >= rows)
        return tern_fail(TERN_USAGE, "--prompt %d: expected 1 to %d tokens in a context of %d", b->prompt,
                         rows - 1, rows);
    const int position[MOMENTS] = {0, b->prompt, rows - 1}, count[MOMENTS] = {b->prompt, 1, 1};
    for (int i = 0; i < MOMENTS; i++)
        TERN_TRY(tern_llm_account_cost(b->account, b->machines, b->count, position[i], count[i], b->costs[i],
                                       &b->effort[i], b->shares[i]));
    return TERN_OK;
}

/* ---- what is told ----------------------------------------------------------------------------------------------------- */

static tern_status print_need(const tern_model_bill *b)
{
    const tern_llm_need *n = &b->account->need;
    const tern_transformer *t = &b->account->about;
    char head[96];
    snprintf(head, sizeof head, "keys and values of %d tokens in %s", b->account->rows,
             tern_dtype_of(strcmp(tern_cli_text(b->cli, "cache"), "f16") == 0 ? TERN_F16 : TERN_F32)->name);
    const struct {
        const char *name;
        double bytes;
        const char *about;
    } rows[] = {{"weights", n->weights, "as they lie in the file, mapped or copied"},
                {"metadata", n->metadata, "of the file: tokens, numbers"},
                {"prepared", n->prepared, "what follows from weights, computed once"},
                {"cache", n->cache, head},
                {"scratch", n->scratch, "arenas: a chunk of the prompt, a token"},
                {"tokenizer", n->tokenizer, "made of the metadata"},
                {"plans", n->plans, "graphs and programs"},
                {"process", n->process, "libraries, code, stacks: with any model"},
                {"all", tern_llm_need_total(n), ""}};
    tern_grid grid = {0};
    char human[24];
    printf("%s, %d layers, %d wide, %d tokens known\n", t->architecture->name, t->layers, t->width,
           t->vocabulary);
    tern_grid_row(&grid, "memory|bytes||what");
    for (size_t i = 0; i < TERN_COUNT(rows); i++)
        tern_grid_row(&grid, "%s|%.0f|%s|%s", rows[i].name, rows[i].bytes,
                      tern_human(human, rows[i].bytes, "B"), rows[i].about);
    TERN_TRY(tern_grid_print(&grid, stdout));
    puts("");
    return TERN_OK;
}

static tern_status print_shares(const tern_model_bill *b)
{
    static const char *const titles[MOMENTS] = {"the prompt", "the next token", "the last token"};
    char macs[24], bytes[24], time[24], joules[24];
    for (int i = 0; i < MOMENTS; i++) {
        tern_grid grid = {0};
        tern_grid_row(&grid, "%s|steps|MACs|bytes moved|time|energy", titles[i]);
        for (const tern_llm_share *s = b->shares[i]; s->name; s++)
            tern_grid_row(&grid, "%s|%d|%s|%s|%s|%s", s->name, s->steps, tern_human(macs, s->work.macs, ""),
                          tern_human(bytes, s->bytes, "B"), tern_human(time, s->seconds, "s"),
                          tern_human(joules, s->joules, "J"));
        TERN_TRY(tern_grid_print(&grid, stdout));
        puts("");
    }
    return TERN_OK;
}

static tern_status print_machines(const tern_model_bill *b)
{
    tern_grid grid = {0};
    char time[MOMENTS][24], joules[24], bytes[24];
    tern_grid_row(&grid, "machine|first token|next|last|energy|memory|bound by|fits|note");
    for (int m = 0; m < b->count; m++) {
        const tern_cost *c = &b->costs[NEXT][m];
        for (int i = 0; i < MOMENTS; i++) tern_human(time[i], b->costs[i][m].seconds, "s");
        if (c->fits)
            tern_grid_row(&grid, "%s|%s|%s|%s|%s|%s|%s|yes|%s", b->machines[m]->name, time[FIRST], time[NEXT],
                          time[LAST], c->joules > 0 ? tern_human(joules, c->joules, "J") : "-",
                          tern_human(bytes, c->peak_bytes, "B"), c->bound, c->reason);
        else
            tern_grid_row(&grid, "%s|-|-|-|-|%s|-|no|%s", b->machines[m]->name,
                          tern_human(bytes, c->peak_bytes, "B"), c->reason);
    }
    TERN_TRY(tern_grid_print(&grid, stdout));
    printf(
        "modelled: the time to the first token behind a prompt of %d, to the next one, and to the last that "
        "the context has room for; energy is that of the next token\n",
        b->prompt);
    return TERN_OK;
}

static json_t *moment_json(const tern_cost *c)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:s}", "seconds", c->seconds, "energy_joules", c->joules,
                     "compute_joules", c->compute_joules, "memory_joules", c->memory_joules, "idle_joules",
                     c->idle_joules, "bound", c->bound);
}

static json_t *machines_json(const tern_model_bill *b)
{
    json_t *list = json_array();
    for (int m = 0; m < b->count; m++) {
        const tern_cost *c = &b->costs[NEXT][m];
        json_t *one = json_pack("{s:s,s:b,s:s,s:f,s:s,s:s,s:s}", "machine", b->machines[m]->name, "fits",
                                c->fits, "reason", c->reason, "peak_bytes", c->peak_bytes, "weights_in",
                                c->weights_in, "cache_in", c->activations_in, "energy", "modelled");
        for (int i = 0; c->fits && i < MOMENTS; i++)
            json_object_set_new(one, moment_names[i], moment_json(&b->costs[i][m]));
        json_array_append_new(list, one);
    }
    return list;
}

static tern_status print_json(const tern_model_bill *b)
{
    const tern_llm_need *n = &b->account->need;
    json_t *all = json_pack(
        "{s:s,s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:o}", "architecture",
        b->account->about.architecture->name, "context", b->account->rows, "prompt", b->prompt,
        "weight_bytes", n->weights, "metadata_bytes", n->metadata, "prepared_bytes", n->prepared,
        "cache_bytes", n->cache, "scratch_bytes", n->scratch, "tokenizer_bytes", n->tokenizer, "plan_bytes",
        n->plans, "process_bytes", n->process, "bytes", tern_llm_need_total(n), "machines", machines_json(b));
    for (int i = 0; all && i < MOMENTS; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s_work", moment_names[i]);
        json_object_set_new(all, key, tern_work_json(&b->effort[i].work));
        snprintf(key, sizeof key, "%s_bytes", moment_names[i]);
        json_object_set_new(all, key, json_real(b->effort[i].bytes));
    }
    return tern_print_json(all);
}

static tern_status show(const tern_model_bill *b)
{
    bool one = strcmp(tern_cli_text(b->cli, "machine"), "all") != 0;
    if (b->cli->json) {
        TERN_TRY(print_json(b));
    } else {
        TERN_TRY(print_need(b));
        if (one && b->costs[NEXT][0].fits) TERN_TRY(print_shares(b));
        TERN_TRY(print_machines(b));
    }
    if (one && !b->costs[NEXT][0].fits)
        return tern_fail(TERN_NO_FIT, "%.40s: %s", b->machines[0]->name, b->costs[NEXT][0].reason);
    return TERN_OK;
}

tern_llm_options tern_cost_model_options(const tern_cli *cli)
{
    bool half = strcmp(tern_cli_text(cli, "cache"), "f16") == 0;
    return (tern_llm_options){.context = tern_cli_whole(cli, "context"),
                              .chunk = tern_cli_whole(cli, "chunk"),
                              .cache = half ? TERN_F16 : TERN_F32,
                              .pool = cli->pool};
}

tern_status tern_cost_open_account(const tern_cli *cli, const tern_llm_options *options,
                                   tern_llm_account **account)
{
    char path[4096];
    tern_subject subject;
    tern_model_format format = {0};
    const char *name = tern_cli_text(cli, "as"), *head = tern_cli_text(cli, "head-format");
    if (name) TERN_TRY(tern_model_format_find(name, &format));
    if (head && !name) return tern_fail(TERN_USAGE, "--head-format has no effect without --as");
    if (head) TERN_TRY(tern_model_format_head(head, &format));
    if (!cli->net) {
        TERN_TRY(tern_model_find(path, cli->arguments[0]));
        return tern_llm_account_open(account, path, name ? &format : NULL, options);
    }
    TERN_TRY(tern_subject_open(&subject, cli, cli->arguments[0]));
    tern_status status =
        tern_llm_account_shapes(account, subject.net, subject.parameters, name ? &format : NULL, options);
    tern_subject_close(&subject);
    return status;
}

static tern_status check(const tern_cli *cli)
{
    static const char *const others[] = {"batch", "density", "stepping", "trained", "input", NULL};
    return tern_cli_refuse(cli, others, "on a language model");
}

tern_status tern_cost_model(tern_cli *cli)
{
    TERN_TRY(check(cli));
    tern_model_bill *b = tern_take(sizeof *b);
    if (!b) return tern_no_memory(sizeof *b, "a cost");
    b->cli = cli;
    tern_llm_options o = tern_cost_model_options(cli);
    tern_status status = tern_cost_open_account(cli, &o, &b->account);
    if (status == TERN_OK) status = open_machines(b);
    if (status == TERN_OK) status = compute(b);
    if (status == TERN_OK) status = show(b);
    for (int i = 0; i < b->count; i++) tern_machine_close(b->machines[i]);
    tern_llm_account_close(b->account);
    tern_release(b);
    return status;
}
