/* tern run MODEL -p TEXT: one prompt, one reply, streamed. */
#include "cli/run_prompt.h"

#include "cli/run_beams.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* The text of --prompt or --file; "-" is standard input. */
static tern_status read_text(const tern_cli *cli, tern_text *out)
{
    const char *file = tern_cli_text(cli, "file"), *text = tern_cli_text(cli, "prompt");
    char *bytes, part[4096];
    size_t size;
    tern_text_put(out, "");
    if (strcmp(file ? file : text, "-") == 0) {
        while ((size = fread(part, 1, sizeof part, stdin)) > 0) tern_text_add(out, part, size);
        if (ferror(stdin)) return tern_fail(TERN_FAILED, "cannot read standard input: %s", strerror(errno));
        return tern_text_status(out);
    }
    if (!file) {
        tern_text_put(out, text);
        return tern_text_status(out);
    }
    TERN_TRY(tern_read_file(file, &bytes, &size));
    tern_text_add(out, bytes, size);
    tern_release(bytes);
    return tern_text_status(out);
}

/* The prompt as tokens: as it is, or as the user's part of a conversation. */
static tern_status encode(const tern_language *l, const tern_text *text, tern_tokens *prompt)
{
    const char *system = tern_cli_text(l->cli, "system");
    tern_conversation c = {0};
    tern_text rendered = {0};
    tern_status status = TERN_OK;
    if (tern_cli_has(l->cli, "raw")) return tern_speaker_encode(l->speaker, text->data, text->size, prompt);
    if (!l->template)
        return tern_fail(TERN_USAGE,
                         "%s has no chat template: use --raw to have the text gone on with, or give one with "
                         "--template FILE",
                         l->path);
    if (system) status = tern_conversation_add(&c, "system", system, strlen(system));
    if (status == TERN_OK) status = tern_conversation_add(&c, "user", text->data, text->size);
    if (status == TERN_OK)
        status = tern_conversation_render(
            &c, l->template, tern_tokenizer_vocabulary(tern_speaker_tokenizer(l->speaker)), &rendered);
    if (status == TERN_OK) status = tern_speaker_encode(l->speaker, rendered.data, rendered.size, prompt);
    tern_text_free(&rendered);
    tern_conversation_free(&c);
    return status;
}

/* What a token adds, as a cell of a table. */
static void put_token(tern_text *out, const tern_language *l, int32_t id)
{
    size_t size;
    const char *bytes = tern_token_bytes(tern_speaker_tokenizer(l->speaker), id, &size);
    tern_text_put(out, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c < 32 || c == 127 || c == '|' || c == '"')
            tern_text_format(out, "\\x%02x", c);
        else
            tern_text_add(out, bytes + i, 1);
    }
    tern_text_put(out, "\"");
}

static tern_status print_probabilities(const tern_language *l, const tern_reply *r, int alternatives)
{
    tern_grid grid = {0};
    tern_text own = {0}, others = {0};
    tern_grid_row(&grid, "token|text|log-probability|likeliest");
    for (size_t i = 0; i < r->tokens.count; i++) {
        own.size = others.size = 0;
        tern_text_put(&others, "");
        put_token(&own, l, r->tokens.ids[i]);
        for (int k = 0; k < alternatives; k++) {
            const tern_log_probability *p = &r->likeliest[i * (size_t)alternatives + (size_t)k];
            if (k) tern_text_put(&others, "  ");
            put_token(&others, l, p->id);
            tern_text_format(&others, " %.4f", p->log_probability);
        }
        tern_grid_row(&grid, "%d|%s|%.4f|%s", r->tokens.ids[i], own.data ? own.data : "",
                      r->log_probabilities[i], others.data ? others.data : "");
    }
    tern_status status = tern_text_status(&own) == TERN_OK ? tern_text_status(&others) : TERN_NO_MEMORY;
    if (status == TERN_OK) status = tern_grid_print(&grid, stdout);
    tern_grid_free(&grid);
    tern_text_free(&own);
    tern_text_free(&others);
    return status;
}

static tern_status answer(tern_language *l, const tern_tokens *prompt, tern_reply *reply)
{
    const tern_cli *cli = l->cli;
    bool probabilities = tern_cli_has(cli, "logprobs");
    int most = tern_cli_has(cli, "generate") ? tern_cli_whole(cli, "generate") : 512;
    tern_request request = tern_language_request(l, most);
    if (probabilities) request.alternatives = tern_cli_whole(cli, "logprobs");
    if (!cli->json) request.on_text = tern_say_text;
    tern_catch_interrupts();
    TERN_TRY(tern_speak(l->speaker, prompt, &request, reply));
    if (cli->json) TERN_TRY(tern_print_json(tern_reply_json(l, reply)));
    if (!cli->json) TERN_TRY(tern_say_text(NULL, "\n", 1));
    if (!cli->json && probabilities) TERN_TRY(print_probabilities(l, reply, request.alternatives));
    tern_language_summary(l, reply);
    return reply->finish == TERN_FINISH_INTERRUPTED ? tern_fail(TERN_INTERRUPTED, "interrupted") : TERN_OK;
}

tern_status tern_run_prompt(tern_cli *cli)
{
    tern_language l = {0};
    tern_text text = {0};
    tern_tokens prompt = {0};
    tern_reply reply = {0};
    tern_status status = read_text(cli, &text);
    if (status == TERN_OK && !text.size)
        status = tern_fail(TERN_USAGE, "the prompt is empty: expected a text");
    if (status == TERN_OK) status = tern_language_open(&l, cli);
    if (status == TERN_OK) status = encode(&l, &text, &prompt);
    if (status == TERN_OK)
        status = tern_cli_has(cli, "beams") ? tern_run_beams(&l, &prompt) : answer(&l, &prompt, &reply);
    tern_reply_free(&reply);
    tern_tokens_free(&prompt);
    tern_text_free(&text);
    tern_language_close(&l);
    return status;
}
