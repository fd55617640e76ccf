/* tern run MODEL -p TEXT --beams N: the text that is likely as a whole. */
#include "cli/run_beams.h"

#include "llm/beam.h"

#include <string.h>

static tern_status add_json(const tern_language *l, const tern_beam *b, json_t *list)
{
    tern_text text = {0};
    json_t *tokens = json_array();
    tern_status status = tern_decode_all(tern_speaker_tokenizer(l->speaker), &b->tokens, &text);
    for (size_t i = 0; i < b->tokens.count; i++)
        json_array_append_new(tokens, json_integer(b->tokens.ids[i]));
    if (status == TERN_OK)
        json_array_append_new(
            list, json_pack("{s:o,s:O,s:f,s:f,s:s}", "text", json_stringn(text.data, text.size), "tokens",
                            tokens, "log_probability", b->log_probability, "score", b->score, "finish",
                            tern_finish_names[b->ended ? TERN_FINISH_END : TERN_FINISH_LENGTH]));
    json_decref(tokens);
    tern_text_free(&text);
    return status;
}

static tern_status print_json(const tern_language *l, const tern_tokens *prompt, const tern_beams *beams)
{
    json_t *list = json_array();
    tern_status status = TERN_OK;
    for (int i = 0; status == TERN_OK && i < beams->count; i++) status = add_json(l, &beams->list[i], list);
    if (status != TERN_OK) {
        json_decref(list);
        return status;
    }
    json_t *best = json_array_get(list, 0);
    return tern_print_json(json_pack(
        "{s:O,s:O,s:s,s:i,s:f,s:f,s:i,s:o}", "text", json_object_get(best, "text"), "tokens",
        json_object_get(best, "tokens"), "finish", json_string_value(json_object_get(best, "finish")),
        "prompt_tokens", (int)prompt->count, "prompt_seconds", beams->prompt_seconds, "seconds",
        beams->made_seconds, "steps", beams->steps, "beams", list));
}

static tern_status print_text(const tern_language *l, const tern_tokens *prompt, const tern_beams *beams)
{
    tern_text text = {0};
    tern_status status = tern_decode_all(tern_speaker_tokenizer(l->speaker), &beams->list[0].tokens, &text);
    tern_text_put(&text, "\n");
    if (status == TERN_OK) status = tern_text_status(&text);
    if (status == TERN_OK) status = tern_say_text(NULL, text.data, text.size);
    tern_text_free(&text);
    if (status != TERN_OK || l->cli->quiet) return status;
    fprintf(stderr,
            "%zu tokens of prompt in %.2f s, %d steps in %.2f s; best of %d: log-probability %.4f, score "
            "%.4f, the last %.4f\n",
            prompt->count, beams->prompt_seconds, beams->steps, beams->made_seconds, beams->count,
            beams->list[0].log_probability, beams->list[0].score, beams->list[beams->count - 1].score);
    return TERN_OK;
}

tern_status tern_run_beams(tern_language *l, const tern_tokens *prompt)
{
    tern_beam_options o = {.beams = tern_cli_whole(l->cli, "beams"),
                           .most =
                               tern_cli_has(l->cli, "generate") ? tern_cli_whole(l->cli, "generate") : 512,
                           .length_penalty = tern_cli_number(l->cli, "length-penalty"),
                           .early = tern_cli_has(l->cli, "early")};
    tern_beams beams = {0};
    o.ends = tern_speaker_ends(l->speaker, &o.end_count);
    if (o.most < 1) return tern_fail(TERN_USAGE, "--generate is 0, expected 1 or more with --beams");
    tern_catch_interrupts();
    tern_status status = tern_beam_search(tern_speaker_model(l->speaker), prompt, &o, &beams);
    if (status == TERN_OK)
        status = l->cli->json ? print_json(l, prompt, &beams) : print_text(l, prompt, &beams);
    tern_beams_free(&beams);
    return status;
}
