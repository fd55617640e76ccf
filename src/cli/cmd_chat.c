/* tern chat: a conversation with a language model, on a terminal or through pipes. */
#define _POSIX_C_SOURCE 200809L
#include "cli/language.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const tern_cli_option options[] = {
    {"generate", 'n', TERN_WHOLE, "N", "1024", "most tokens of an answer", "1..1000000"},
    TERN_SAMPLING_OPTIONS("0.7", "40", "0.95"),
    TERN_MODEL_OPTIONS,
    {0},
};

static const tern_exclusion exclusions[] = {
    {"grammar", "json-schema", "only one of them can constrain the answers"},
    {0},
};

static const char help[] =
    "/help          this\n"
    "/clear         forget the conversation\n"
    "/undo          forget the last question and its answer\n"
    "/retry         answer the last question anew\n"
    "/system TEXT   what the model is told before the conversation, which begins anew\n"
    "/history       the conversation so far\n"
    "/save FILE     the conversation as JSON\n"
    "/stats         speed and memory of the last answer\n"
    "/quit          end; so does the end of the input\n"
    "A line that ends in \\ goes on in the next.  Ctrl-C ends an answer, and at the prompt the program.\n";

typedef struct tern_chat {
    tern_language l;
    tern_conversation talk;
    tern_reply reply;
    json_t *turns; /* of --json */
    int attempt;   /* so many times /retry was said: each has a seed of its own */
    bool terminal, over;
} tern_chat;

/* ---- one answer -------------------------------------------------------------------------------------------------- */

static tern_status render(tern_chat *c, tern_tokens *prompt)
{
    tern_text text = {0};
    prompt->count = 0;
    tern_status status = tern_conversation_render(
        &c->talk, c->l.template, tern_tokenizer_vocabulary(tern_speaker_tokenizer(c->l.speaker)), &text);
    if (status == TERN_OK) status = tern_speaker_encode(c->l.speaker, text.data, text.size, prompt);
    tern_text_free(&text);
    return status;
}

static int first_turn(const tern_chat *c)
{
    return c->talk.count && strcmp(c->talk.messages[0].role, "system") == 0;
}

/* Forget the oldest question and its answer. */
static void forget_oldest(tern_chat *c)
{
    tern_conversation *t = &c->talk;
    int first = first_turn(c), count = t->count - first < 2 ? t->count - first : 2;
    for (int i = 0; i < count; i++) tern_release(t->messages[first + i].content);
    memmove(t->messages + first, t->messages + first + count,
            (size_t)(t->count - first - count) * sizeof *t->messages);
    t->count -= count;
}

/* The prompt, with room behind it: old turns are forgotten until it fits.  TERN_NO_FIT when the question alone is too long. */
static tern_status fit(tern_chat *c, tern_tokens *prompt)
{
    int rows = tern_llm_rows(tern_speaker_model(c->l.speaker)), forgotten = 0;
    TERN_TRY(render(c, prompt));
    for (; (int)prompt->count >= rows && c->talk.count - first_turn(c) > 2; forgotten++) {
        forget_oldest(c);
        TERN_TRY(render(c, prompt));
    }
    if (forgotten && !c->l.cli->quiet)
        fprintf(stderr,
                "(the conversation exceeds the context of %d tokens: %d old questions are forgotten)\n", rows,
                forgotten);
    if ((int)prompt->count < rows) return TERN_OK;
    return tern_fail(TERN_NO_FIT,
                     "the question has %zu tokens, which exceed the context of %d: use a larger --context",
                     prompt->count, rows);
}

static tern_status answer(tern_chat *c, tern_tokens *prompt)
{
    tern_cli *cli = c->l.cli;
    TERN_TRY(fit(c, prompt));
    c->l.sampling.seed = cli->seed + (uint64_t)c->attempt;
    tern_request request = tern_language_request(&c->l, tern_cli_whole(cli, "generate"));
    if (!cli->json) request.on_text = tern_say_text;
    tern_reply_free(&c->reply);
    tern_status status = tern_speak(c->l.speaker, prompt, &request, &c->reply);
    if (status != TERN_OK && status != TERN_INTERRUPTED) return status;
    if (!cli->json) TERN_TRY(tern_say_text(NULL, "\n", 1));
    if (status == TERN_OK && c->terminal) tern_language_summary(&c->l, &c->reply);
    if (status == TERN_OK && cli->json) json_array_append_new(c->turns, tern_reply_json(&c->l, &c->reply));
    tern_forget_interrupts();
    tern_clear();
    const char *said = c->reply.text.data ? c->reply.text.data : "";
    return tern_conversation_add(&c->talk, "assistant", said, strlen(said));
}

/* A question that fails is not part of the conversation. */
static tern_status ask(tern_chat *c, const char *text, size_t size)
{
    tern_tokens prompt = {0};
    int before = c->talk.count;
    tern_status status = tern_conversation_add(&c->talk, "user", text, size);
    if (status == TERN_OK) status = answer(c, &prompt);
    if (status != TERN_OK && c->talk.count > before) tern_conversation_cut(&c->talk, before);
    tern_tokens_free(&prompt);
    return status;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static json_t *conversation_json(const tern_chat *c)
{
    json_t *all = json_array();
    for (int i = 0; i < c->talk.count; i++)
        json_array_append_new(all, json_pack("{s:s,s:s}", "role", c->talk.messages[i].role, "content",
                                             c->talk.messages[i].content));
    return all;
}

static void undo(tern_chat *c)
{
    int count = c->talk.count - 2;
    if (count >= first_turn(c)) tern_conversation_cut(&c->talk, count);
}

static tern_status begin(tern_chat *c, const char *system)
{
    tern_conversation_cut(&c->talk, 0);
    return system && *system ? tern_conversation_add(&c->talk, "system", system, strlen(system)) : TERN_OK;
}

static tern_status retry(tern_chat *c)
{
    if (c->talk.count - first_turn(c) < 2) return tern_fail(TERN_USAGE, "/retry: nothing was asked yet");
    tern_tokens prompt = {0};
    tern_conversation_cut(&c->talk, c->talk.count - 1);
    c->attempt++;
    tern_status status = answer(c, &prompt);
    tern_tokens_free(&prompt);
    return status;
}

static tern_status save(const tern_chat *c, const char *path)
{
    if (!*path) return tern_fail(TERN_USAGE, "/save: the name of a file is missing");
    return tern_write_json(path, json_pack("{s:o}", "messages", conversation_json(c)));
}

/* "/name rest" */
static tern_status command(tern_chat *c, const char *line)
{
    static const char *const known[] = {"help",    "clear", "undo",  "retry", "system",
                                        "history", "save",  "stats", "quit",  "exit"};
    char name[16] = "";
    size_t length = strcspn(line + 1, " ");
    const char *rest = line + 1 + length + strspn(line + 1 + length, " ");
    snprintf(name, sizeof name, "%.*s", (int)length, line + 1);
    if (strcmp(name, "help") == 0)
        fputs(help, stderr);
    else if (strcmp(name, "quit") == 0 || strcmp(name, "exit") == 0)
        c->over = true;
    else if (strcmp(name, "clear") == 0)
        tern_conversation_cut(&c->talk, first_turn(c));
    else if (strcmp(name, "undo") == 0)
        undo(c);
    else if (strcmp(name, "retry") == 0)
        return retry(c);
    else if (strcmp(name, "system") == 0)
        return begin(c, rest);
    else if (strcmp(name, "save") == 0)
        return save(c, rest);
    else if (strcmp(name, "stats") == 0)
        tern_language_summary(&c->l, &c->reply);
    else if (strcmp(name, "history") == 0)
        for (int i = 0; i < c->talk.count; i++)
            fprintf(stderr, "%s: %s\n", c->talk.messages[i].role, c->talk.messages[i].content);
    else
        return tern_unknown("command", name, known, TERN_COUNT(known));
    return TERN_OK;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* A question: lines until one that does not end in a backslash.  *more false: the input has ended. */
static tern_status read_question(tern_chat *c, tern_text *out, bool *more)
{
    char *line = NULL;
    size_t room = 0;
    bool on = true;
    out->size = 0;
    tern_text_put(out, "");
    *more = false;
    while (on) {
        if (c->terminal) fputs(*more ? ". " : "> ", stderr);
        errno = 0;
        ssize_t length = getline(&line, &room, stdin);
        if (length < 0) break;
        *more = true;
        while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
        on = length && line[length - 1] == '\\';
        tern_text_add(out, line, (size_t)(length - on));
        if (on) tern_text_put(out, "\n");
    }
    int error = ferror(stdin) ? errno : 0;
    free(line);
    if (tern_interrupted()) {
        if (c->terminal) fputs("\n", stderr);
        return tern_fail(TERN_INTERRUPTED, "interrupted");
    }
    if (error) return tern_fail(TERN_FAILED, "cannot read standard input: %s", strerror(error));
    return tern_text_status(out);
}

/* On a terminal a question that fails is told, and the conversation goes on. */
static tern_status tell(const tern_chat *c, tern_status status)
{
    if (status == TERN_OK || !c->terminal || status == TERN_NO_MEMORY || ferror(stdout)) return status;
    fprintf(stderr, "%s\n", tern_message());
    tern_clear();
    return TERN_OK;
}

static tern_status talk(tern_chat *c)
{
    tern_text question = {0};
    tern_status status = TERN_OK;
    bool more = true;
    while (status == TERN_OK && !c->over) {
        status = read_question(c, &question, &more);
        if (status != TERN_OK || !more) break;
        if (question.data[0] == '/')
            status = tell(c, command(c, question.data));
        else if (question.size)
            status = tell(c, ask(c, question.data, question.size));
    }
    if (c->terminal && !more) fputs("\n", stderr);
    tern_text_free(&question);
    return status;
}

static tern_status open_chat(tern_chat *c, tern_cli *cli)
{
    TERN_TRY(tern_language_open(&c->l, cli));
    if (!c->l.template)
        return tern_fail(TERN_USAGE,
                         "%s has no chat template: it goes on with texts (tern run --raw); or give one with "
                         "--template FILE",
                         c->l.path);
    c->terminal = isatty(STDIN_FILENO) && !cli->quiet;
    c->turns = json_array();
    if (c->terminal) fprintf(stderr, "%s; /help lists the commands\n", c->l.path);
    tern_catch_interrupts();
    return begin(c, tern_cli_text(cli, "system"));
}

static tern_status run_chat(tern_cli *cli)
{
    tern_chat c = {0};
    tern_status status = open_chat(&c, cli);
    if (status == TERN_OK) status = talk(&c);
    if (status == TERN_OK && cli->json)
        status = tern_print_json(json_pack("{s:o,s:O}", "messages", conversation_json(&c), "turns", c.turns));
    json_decref(c.turns);
    tern_reply_free(&c.reply);
    tern_conversation_free(&c.talk);
    tern_language_close(&c.l);
    return status;
}

const tern_command tern_command_chat = {
    .name = "chat",
    .about = "talk with a language model",
    .usage = "MODEL",
    .more = "tern chat smollm2\n"
            "tern chat smollm2 --system \"Answer in one sentence.\" --lookup 15\n"
            "printf 'Hello.\\nAnd in French?\\n' | tern chat smollm2 --json\n"
            "\n"
            "Each line is a question; /help lists what else can be typed.  What the cache holds of the "
            "conversation is not computed\n"
            "again.  When a conversation grows beyond the context, its oldest questions are dropped, and "
            "tern says so.",
    .options = options,
    .exclusions = exclusions,
    .least = 1,
    .most = 1,
    .run = run_chat,
};
