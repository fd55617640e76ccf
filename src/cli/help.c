/* Everything that is told about the commands, from their records: help, manual page, completion, a page each. */
#include "cli/cli.h"

#include <string.h>

/* "-o, --out FILE" */
static void option_head(char out[64], const tern_cli_option *o)
{
    char letter[5] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(out, 64, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
}

static void options_help(FILE *out, const tern_cli_option *options)
{
    char head[64];
    for (const tern_cli_option *o = options; o && o->name; o++) {
        option_head(head, o);
        fprintf(out, "  %-28s %s", head, o->doc);
        if (o->choices) fprintf(out, ": %s", o->choices);
        if (o->standard) fprintf(out, " (default %s)", o->standard);
        fputc('\n', out);
    }
}

void tern_cli_help(FILE *out, const tern_command *command)
{
    if (command) {
        fprintf(out, "tern %s: %s\n\nusage: tern %s %s [options]\n\n", command->name, command->about,
                command->name, command->usage);
        options_help(out, command->options);
        options_help(out, tern_common_options);
        if (command->net_options)
            fputs("  --PARAMETER VALUE            any parameter of the net: see tern show NET\n", out);
        if (command->more) fprintf(out, "\n%s\n", command->more);
        return;
    }
    fprintf(out, "tern %s: neural networks under a budget\n\nusage: tern COMMAND [arguments] [options]\n\n",
            TERN_VERSION);
    for (int i = 0; tern_commands[i]; i++)
        fprintf(out, "  %-10s %s\n", tern_commands[i]->name, tern_commands[i]->about);
    fputs("\ntern COMMAND --help says more.  Environment: TERN_DATA (data folder), TERN_THREADS, TERN_ISA\n"
          "(scalar, avx2, avx512), TERN_MACHINES (folder of machine files).\n"
          "Exit status: 0 done, 1 failed, 2 wrong use, 3 does not fit the budget, 130 interrupted.\n",
          out);
}

static void manual_options(FILE *out, const tern_cli_option *options)
{
    for (const tern_cli_option *o = options; o && o->name; o++) {
        fputs(".TP\n", out);
        if (o->letter) fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
        fprintf(out, "\\fB\\-\\-%s\\fR", o->name);
        if (o->value) fprintf(out, " \\fI%s\\fR", o->value);
        fprintf(out, "\n%s%s%s%s%s%s.\n", o->doc, o->choices ? ": " : "", o->choices ? o->choices : "",
                o->standard ? " (default " : "", o->standard ? o->standard : "", o->standard ? ")" : "");
    }
}

void tern_cli_manual(FILE *out)
{
    fprintf(out,
            ".TH TERN 1 \"\" \"tern %s\"\n.SH NAME\ntern \\- neural networks under a budget\n.SH SYNOPSIS\n"
            ".B tern\n.I COMMAND\n[arguments] [options]\n.SH DESCRIPTION\n"
            "Trains, compresses, plans and runs neural networks within the bytes, joules and microseconds of "
            "a machine,\n"
            "and says what they cost: measured here, or modelled for a machine that is not here.\n.SH COMMON "
            "OPTIONS\n",
            TERN_VERSION);
    manual_options(out, tern_common_options);
    for (int i = 0; tern_commands[i]; i++) {
        const tern_command *c = tern_commands[i];
        fprintf(out, ".SH tern %s\n%s.\n.PP\n.B tern %s\n.I %s\n", c->name, c->about, c->name, c->usage);
        manual_options(out, c->options);
        if (c->more) fprintf(out, ".PP\n%s\n", c->more);
    }
    fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong use, 3 does not fit the budget, 130 interrupted.\n"
          ".SH ENVIRONMENT\nTERN_DATA, TERN_THREADS, TERN_ISA, TERN_MACHINES.\n",
          out);
}

void tern_cli_page(FILE *out, const tern_command *command)
{
    fprintf(out,
            "# tern %s\n\n%s.\n\n    tern %s %s [options]\n\n| option | meaning | default |\n|---|---|---|\n",
            command->name, command->about, command->name, command->usage);
    for (int list = 0; list < 2; list++) {
        for (const tern_cli_option *o = list ? tern_common_options : command->options; o && o->name; o++) {
            char head[64];
            option_head(head, o);
            fprintf(out, "| `%s` | %s%s", head + strspn(head, " "), o->doc, o->choices ? ": " : "");
            for (const char *c = o->choices; c && *c; c++) fputs(*c == '|' ? ", " : (char[]){*c, 0}, out);
            fprintf(out, " | %s |\n", o->standard ? o->standard : "");
        }
    }
    if (command->net_options)
        fputs("\nParameters of the net (`tern show NET`) are options too: `--timesteps 8`.\n", out);
    if (command->more) fprintf(out, "\n%s\n", command->more);
}

static void words(FILE *out, const tern_command *c)
{
    for (int list = 0; list < 2; list++)
        for (const tern_cli_option *o = list ? tern_common_options : c->options; o && o->name; o++)
            fprintf(out, " --%s", o->name);
}

static void nets(FILE *out)
{
    for (int i = 0; tern_net_at(i); i++) fprintf(out, " %s", tern_net_at(i)->name);
}

tern_status tern_cli_completion(FILE *out, const char *shell)
{
    if (strcmp(shell, "fish") == 0) {
        for (int i = 0; tern_commands[i]; i++) {
            const tern_command *c = tern_commands[i];
            fprintf(out, "complete -c tern -n __fish_use_subcommand -f -a %s -d '%s'\n", c->name, c->about);
            for (const tern_cli_option *o = c->options; o && o->name; o++)
                fprintf(out, "complete -c tern -n '__fish_seen_subcommand_from %s' -l %s -d '%s'\n", c->name,
                        o->name, o->doc);
        }
        return TERN_OK;
    }
    if (strcmp(shell, "bash") != 0 && strcmp(shell, "zsh") != 0)
        return tern_fail(TERN_USAGE, "completion for \"%s\" is not known; expected bash, zsh or fish", shell);
    if (strcmp(shell, "zsh") == 0) fputs("autoload -U +X bashcompinit && bashcompinit\n", out);
    fputs("_tern() {\n  local current=${COMP_WORDS[COMP_CWORD]} words\n  if [ \"$COMP_CWORD\" -eq 1 ]; then "
          "words=\"",
          out);
    for (int i = 0; tern_commands[i]; i++) fprintf(out, "%s%s", i ? " " : "", tern_commands[i]->name);
    fputs("\"; else case ${COMP_WORDS[1]} in\n", out);
    for (int i = 0; tern_commands[i]; i++) {
        fprintf(out, "    %s) words=\"", tern_commands[i]->name);
        if (tern_commands[i]->net_options) nets(out);
        words(out, tern_commands[i]);
        fputs("\" ;;\n", out);
    }
    fputs("  esac; fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\") $(compgen -f -- "
          "\"$current\"))\n}\n"
          "complete -F _tern tern\n",
          out);
    return TERN_OK;
}
