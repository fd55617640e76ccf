/* Completion for shells, from the command records. */
#include "cli/cli.h"

#include <string.h>

/* Options that begin with --, separated by spaces. */
static void option_words(tern_text *out, const tern_command *c)
{
    for (int list = 0; list < 2; list++)
        for (const tern_cli_option *o = list ? tern_common_options : c->options; o && o->name; o++)
            tern_text_format(out, " --%s", o->name);
}

/* What may stand first behind a command: nets, or the words of its usage ("nets|operators|..."). */
static void argument_words(tern_text *out, const tern_command *c)
{
    if (c->net_options)
        for (int i = 0; tern_net_at(i); i++) tern_text_format(out, " %s", tern_net_at(i)->name);
    for (int i = 0; tern_classic_at(i); i++) tern_text_format(out, " %s", tern_classic_at(i)->name);
    for (const char *word = c->usage; *word;) {
        size_t n = strcspn(word, " |[]");
        if (n && word[0] >= 'a' && word[0] <= 'z') tern_text_format(out, " %.*s", (int)n, word);
        word += n + (word[n] != 0);
    }
}

/* Values of options that are picked from a list:  "train:--optimiser") words="sgd adam adamw" ;; */
static void picked_words(tern_text *out, const tern_command *c)
{
    for (const tern_cli_option *o = c->options; o && o->name; o++) {
        if (o->kind != TERN_PICK) continue;
        tern_text_format(out, "    %s:--%s) words=\"", c->name, o->name);
        for (const char *p = o->allowed; *p; p++) tern_text_add(out, *p == '|' ? " " : p, 1);
        tern_text_put(out, "\" ;;\n");
    }
}

static void bash(tern_text *out)
{
    tern_text_put(
        out, "_tern() {\n"
             "  local current=${COMP_WORDS[COMP_CWORD]} words=\n"
             "  local before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
             "  if [ \"$COMP_CWORD\" -eq 1 ] || [ \"$command:$COMP_CWORD\" = help:2 ]; then words=\"help");
    for (int i = 0; tern_commands[i]; i++) tern_text_format(out, " %s", tern_commands[i]->name);
    tern_text_put(out, "\"\n  else case $command:$before in\n");
    for (int i = 0; tern_commands[i]; i++) picked_words(out, tern_commands[i]);
    tern_text_put(out, "    *) case $command in\n");
    for (int i = 0; tern_commands[i]; i++) {
        tern_text_format(out, "      %s) words=\"", tern_commands[i]->name);
        argument_words(out, tern_commands[i]);
        option_words(out, tern_commands[i]);
        tern_text_put(out, "\" ;;\n");
    }
    tern_text_put(out, "    esac ;;\n  esac; fi\n"
                       "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                       "  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$current\"))\n"
                       "}\ncomplete -o filenames -F _tern tern\n");
}

/* Text between single quotes. */
static void quoted(tern_text *out, const char *text)
{
    tern_text_put(out, "'");
    for (const char *c = text; *c; c++) {
        if (*c == '\'') tern_text_put(out, "\\");
        tern_text_add(out, c, 1);
    }
    tern_text_put(out, "'");
}

static void fish_options(tern_text *out, const char *command, const tern_cli_option *options)
{
    for (const tern_cli_option *o = options; o && o->name; o++) {
        tern_text_put(out, "complete -c tern");
        if (command) tern_text_format(out, " -n '__fish_seen_subcommand_from %s'", command);
        tern_text_format(out, " -l %s", o->name);
        if (o->letter) tern_text_format(out, " -s %c", o->letter);
        if (o->kind != TERN_FLAG) tern_text_put(out, " -r");
        if (o->kind == TERN_PICK) {
            tern_text_put(out, " -f -a '");
            for (const char *p = o->allowed; *p; p++) tern_text_add(out, *p == '|' ? " " : p, 1);
            tern_text_put(out, "'");
        }
        tern_text_put(out, " -d ");
        quoted(out, o->doc);
        tern_text_put(out, "\n");
    }
}

static void fish(tern_text *out)
{
    fish_options(out, NULL, tern_common_options);
    for (int i = 0; tern_commands[i]; i++) {
        const tern_command *c = tern_commands[i];
        tern_text_format(out, "complete -c tern -n __fish_use_subcommand -f -a %s -d ", c->name);
        quoted(out, c->about);
        tern_text_format(out, "\ncomplete -c tern -n '__fish_seen_subcommand_from %s' -a '", c->name);
        argument_words(out, c);
        tern_text_put(out, "'\n");
        fish_options(out, c->name, c->options);
    }
}

tern_status tern_cli_completion(tern_text *out, const char *shell)
{
    static const char *const known[] = {"bash", "zsh", "fish"};
    if (strcmp(shell, "fish") == 0) {
        fish(out);
    } else if (strcmp(shell, "zsh") == 0) {
        tern_text_put(out, "#compdef tern\nautoload -U +X bashcompinit && bashcompinit\n");
        bash(out);
    } else if (strcmp(shell, "bash") == 0) {
        bash(out);
    } else {
        return tern_unknown("shell", shell, known, TERN_COUNT(known));
    }
    return TERN_OK;
}
