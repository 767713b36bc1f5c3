// SPDX-License-Identifier: Apache-2.0
//
// `edgectl completion SHELL`: a script that completes commands, options and files, made from the
// tables, so that it knows what this program knows.
#include <stdio.h>
#include <string.h>

#include "ctl/cmd/nouns.h"
#include "ctl/cmd/table.h"

static const struct opt options[] = {CMD_OPTION_END};

// The first word of a command's name.
static int noun_len(const struct opt_command *command) {
    return (int)strcspn(command->name, " ");
}

static const char *verb_of(const struct opt_command *command) {
    const char *blank = strchr(command->name, ' ');
    return blank ? blank + 1 : "";
}

// Nouns stand together in the table, so each is printed once.
static bool is_first_of_noun(const struct opt_command *table, const struct opt_command *command) {
    return command == table || noun_len(command - 1) != noun_len(command) ||
           strncmp(command[-1].name, command->name, (size_t)noun_len(command)) != 0;
}

static void print_nouns(const struct opt_command *table) {
    for (const struct opt_command *c = table; c->name; c++)
        if (is_first_of_noun(table, c))
            (void)printf("%s%.*s", c == table ? "" : " ", noun_len(c), c->name);
}

static void print_verbs(const struct opt_command *table, const struct opt_command *first) {
    for (const struct opt_command *c = first; c->name; c++) {
        if (c != first && is_first_of_noun(table, c))
            return;
        (void)printf("%s%s", c == first ? "" : " ", verb_of(c));
    }
}

static void print_options(const struct opt_command *command) {
    (void)fputs("--help", stdout);
    for (const struct opt *o = command->options; o->name; o++)
        (void)printf(" --%s", o->name);
}

static bool takes_path(const struct opt *option) {
    return option->value && (strstr(option->value, "FILE") || strstr(option->value, "DIR") ||
                             strstr(option->value, "PATH") || strstr(option->value, "POLICY"));
}

static void print_cases(const struct opt_command *table) {
    (void)puts("    case \"$noun $verb\" in");
    for (const struct opt_command *c = table; c->name; c++) {
        (void)printf("    '%s%s') words='", c->name, strchr(c->name, ' ') ? "" : " '*'");
        print_options(c);
        (void)puts("' ;;");
    }
    (void)puts("    esac");
}

static void print_bash(const struct opt_command *table) {
    (void)puts("# bash completion for edgectl: source <(edgectl completion bash)\n"
               "_edgectl() {\n"
               "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
               "    local noun=${COMP_WORDS[1]} verb=${COMP_WORDS[2]} words=''\n"
               "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    (void)fputs("        COMPREPLY=($(compgen -W '", stdout);
    print_nouns(table);
    (void)puts(" --help --version' -- \"$cur\"))\n        return\n    fi");
    (void)puts("    if [ \"$COMP_CWORD\" -eq 2 ]; then\n        case $noun in");
    for (const struct opt_command *c = table; c->name; c++) {
        if (!is_first_of_noun(table, c) || !*verb_of(c))
            continue;
        (void)printf("        %.*s) COMPREPLY=($(compgen -W '", noun_len(c), c->name);
        print_verbs(table, c);
        (void)puts("' -- \"$cur\")); return ;;");
    }
    (void)puts("        esac\n    fi");
    print_cases(table);
    (void)puts("    case $cur in\n"
               "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
               "    *) COMPREPLY=($(compgen -f -- \"${cur#*=}\")) ;;\n"
               "    esac\n"
               "}\n"
               "complete -o filenames -F _edgectl edgectl");
}

// zsh runs bash's completions; one script is kept right more easily than two.
static void print_zsh(const struct opt_command *table) {
    (void)puts("#compdef edgectl\n# source <(edgectl completion zsh)\n"
               "autoload -Uz compinit && compinit -C\n"
               "autoload -Uz bashcompinit && bashcompinit");
    print_bash(table);
}

// A help text within single quotes.
static void print_quoted(const char *text) {
    (void)putchar('\'');
    for (; *text; text++)
        (void)fputs(*text == '\'' ? "\\'" : (char[]){*text, '\0'}, stdout);
    (void)putchar('\'');
}

static void print_fish_command(const struct opt_command *table, const struct opt_command *c) {
    const char *verb = verb_of(c);
    if (is_first_of_noun(table, c)) {
        (void)printf("complete -c edgectl -n __fish_use_subcommand -f -a %.*s", noun_len(c),
                     c->name);
        (void)fputs(*verb ? "" : " -d ", stdout);
        if (!*verb)
            print_quoted(c->help);
        (void)putchar('\n');
    }
    char when[160];
    (void)snprintf(when, sizeof when, "__fish_seen_subcommand_from %.*s%s%s", noun_len(c), c->name,
                   *verb ? "; and __fish_seen_subcommand_from " : "", verb);
    if (*verb) {
        (void)printf("complete -c edgectl -n '__fish_seen_subcommand_from %.*s; and test (count "
                     "(commandline -opc)) -eq 2' -f -a %s -d ",
                     noun_len(c), c->name, verb);
        print_quoted(c->help);
        (void)putchar('\n');
    }
    for (const struct opt *o = c->options; o->name; o++) {
        (void)printf("complete -c edgectl -n '%s' -l %s%s -d ", when, o->name,
                     !o->value       ? ""
                     : takes_path(o) ? " -r -F"
                                     : " -x");
        print_quoted(o->help);
        (void)putchar('\n');
    }
}

static void print_fish(const struct opt_command *table) {
    (void)puts("# fish completion for edgectl: edgectl completion fish | source");
    for (const struct opt_command *c = table; c->name; c++)
        print_fish_command(table, c);
}

static int run_completion(void *context, const struct opt_args *args, struct err *e) {
    static const struct {
        const char *shell;
        void (*print)(const struct opt_command *table);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    (void)context;
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shells[i].shell, opt_operand(args, 0)) == 0) {
            shells[i].print(cmd_table_get());
            return 0;
        }
    }
    return err_set(e, &err_usage, "completion: for which shell? There are bash, zsh and fish");
}

const struct opt_command cmd_completion[] = {{.name = "completion",
                                              .operands = "bash|zsh|fish",
                                              .operands_min = 1,
                                              .operands_max = 1,
                                              .help = "Print a completion script for a shell",
                                              .options = options,
                                              .run = run_completion},
                                             {.name = NULL}};
