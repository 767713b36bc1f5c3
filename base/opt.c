// SPDX-License-Identifier: Apache-2.0
//
// One table read three ways: to parse, to print help, and to dump for the lint.

#include "base/opt.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/text.h"

#define SHOWN_BYTES    80
#define LEFT_WIDTH_MAX 30 // wider left columns put the help on the next line

struct opt_value {
    const struct opt *option;
    const char *text; // "" for a flag
};

struct opt_args {
    size_t values_count, operands_count;
    struct opt_value *values; // in the order given
    const char **operands;
};

struct parse {
    const struct opt_command *command;
    char *const *at, *const *end;
    struct opt_args *args;
    struct err *e;
};

void opt_free(struct opt_args *args) {
    if (!args)
        return;
    free(args->values);
    free((void *)args->operands);
    free(args);
}

static void own_drop_args(struct opt_args **args) {
    opt_free(*args);
}

static struct opt_args *new_args(size_t words) {
    OWN(args) struct opt_args *args = calloc(1, sizeof *args);
    if (!args)
        return NULL;
    args->values = calloc(words + 1, sizeof *args->values);
    args->operands = calloc(words + 1, sizeof *args->operands);
    if (!args->values || !args->operands)
        return NULL;
    return own_take(&args);
}

static const struct opt *find_option(const struct opt_command *command, const char *name,
                                     size_t len) {
    for (const struct opt *option = command->options; option->name; option++) {
        if (strncmp(option->name, name, len) == 0 && option->name[len] == '\0')
            return option;
    }
    return NULL;
}

static const struct opt *find_letter(const struct opt_command *command, char letter) {
    for (const struct opt *option = command->options; option->name; option++) {
        if (option->letter && option->letter == letter)
            return option;
    }
    return NULL;
}

static int unknown_option(const struct parse *p, const char *word) {
    char shown[SHOWN_BYTES];
    text_safe(word, shown, sizeof shown);
    char name[SHOWN_BYTES];
    const char *given = word + strspn(word, "-");
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "="), given);
    const struct opt *best = NULL;
    size_t best_edits = 0;
    for (const struct opt *option = p->command->options; option->name; option++) {
        size_t edits;
        if (text_is_near(name, option->name, &edits) && (!best || edits < best_edits)) {
            best = option;
            best_edits = edits;
        }
    }
    if (best)
        return err_set(p->e, &err_usage, "%s: unknown option %s; did you mean --%s?",
                       p->command->name, shown, best->name);
    return err_set(p->e, &err_usage, "%s: unknown option %s; --help lists those there are",
                   p->command->name, shown);
}

static int add_value(struct parse *p, const struct opt *option, const char *text) {
    size_t count = opt_count(p->args, option->name);
    if (count > 0 && !option->repeat)
        return err_set(p->e, &err_usage, "%s: --%s is given more than once", p->command->name,
                       option->name);
    if (count == OPT_REPEAT_MAX)
        return err_set(p->e, &err_usage, "%s: --%s is given more than %d times", p->command->name,
                       option->name, OPT_REPEAT_MAX);
    p->args->values[p->args->values_count++] = (struct opt_value){option, text};
    return 0;
}

// `attached` is the value in the same word, or NULL. Takes the next word when a value is needed.
static int take_option(struct parse *p, const struct opt *option, const char *attached) {
    if (!option->value) {
        if (attached)
            return err_set(p->e, &err_usage, "%s: --%s takes no value", p->command->name,
                           option->name);
        return add_value(p, option, "");
    }
    if (!attached) {
        // What looks like a long option is one: `--output --json` is a forgotten value, not a file
        // named "--json".
        if (p->at == p->end || strncmp(*p->at, "--", 2) == 0)
            return err_set(p->e, &err_usage, "%s: --%s needs a value: %s", p->command->name,
                           option->name, option->value);
        attached = *p->at++;
    }
    return add_value(p, option, attached);
}

static int take_operand(struct parse *p, const char *word) {
    size_t max = p->command->operands_max;
    if (max > OPT_OPERANDS_MAX)
        max = OPT_OPERANDS_MAX;
    if (p->args->operands_count == max) {
        char shown[SHOWN_BYTES];
        text_safe(word, shown, sizeof shown);
        if (max == 0)
            return err_set(p->e, &err_usage, "%s: takes no operands, found \"%s\"",
                           p->command->name, shown);
        return err_set(p->e, &err_usage, "%s: at most %zu operand%s (%s), then found \"%s\"",
                       p->command->name, max, max == 1 ? "" : "s", p->command->operands, shown);
    }
    p->args->operands[p->args->operands_count++] = word;
    return 0;
}

static int take_long(struct parse *p, const char *word) {
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const struct opt *option = find_option(p->command, name, len);
    if (!option)
        return unknown_option(p, word);
    return take_option(p, option, name[len] == '=' ? name + len + 1 : NULL);
}

static int take_word(struct parse *p, const char *word) {
    if (word[0] != '-' || word[1] == '\0')
        return take_operand(p, word);
    if (word[1] == '-')
        return take_long(p, word);
    const struct opt *option = find_letter(p->command, word[1]);
    if (!option)
        return unknown_option(p, word);
    return take_option(p, option, word[2] ? word + 2 : NULL);
}

int opt_parse(const struct opt_command *command, int argc, char *const *argv, struct opt_args **ret,
              struct err *e) {
    OWN(args) struct opt_args *args = new_args(argc > 0 ? (size_t)argc : 0);
    if (!args)
        return err_set(e, &err_memory, "no memory for the command line");
    struct parse p = {command, argv, argv + (argc > 0 ? argc : 0), args, e};
    while (p.at < p.end && strcmp(*p.at, "--") != 0) {
        const char *word = *p.at++;
        if (take_word(&p, word) < 0)
            return -1;
    }
    if (p.at < p.end)
        p.at++;
    while (p.at < p.end) {
        if (take_operand(&p, *p.at++) < 0)
            return -1;
    }
    if (args->operands_count < command->operands_min)
        return err_set(e, &err_usage, "%s: missing operands: expected %s", command->name,
                       command->operands);
    *ret = own_take(&args);
    return 0;
}

bool opt_wants_help(int argc, char *const *argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

size_t opt_count(const struct opt_args *args, const char *name) {
    size_t count = 0;
    for (size_t i = 0; i < args->values_count; i++)
        count += strcmp(args->values[i].option->name, name) == 0;
    return count;
}

const char *opt_get_at(const struct opt_args *args, const char *name, size_t index) {
    for (size_t i = 0; i < args->values_count; i++) {
        if (strcmp(args->values[i].option->name, name) == 0 && index-- == 0)
            return args->values[i].text;
    }
    return NULL;
}

const char *opt_get(const struct opt_args *args, const char *name) {
    size_t count = opt_count(args, name);
    return count == 0 ? NULL : opt_get_at(args, name, count - 1);
}

bool opt_given(const struct opt_args *args, const char *name) {
    return opt_count(args, name) > 0;
}

size_t opt_operands(const struct opt_args *args) {
    return args->operands_count;
}

const char *opt_operand(const struct opt_args *args, size_t index) {
    return index < args->operands_count ? args->operands[index] : NULL;
}

// How many words of argv a command's name is; 0 when it is not this command.
static int match(const char *name, int argc, char *const *argv) {
    int words = 0;
    for (;;) {
        size_t len = strcspn(name, " ");
        if (words == argc || strncmp(argv[words], name, len) != 0 || argv[words][len])
            return 0;
        words++;
        if (!name[len])
            return words;
        name += len + 1;
    }
}

// The name nearest to the first one or two words, or NULL.
static const char *near_command(const struct opt_command *table, int argc, char *const *argv) {
    char two[2 * SHOWN_BYTES];
    (void)snprintf(two, sizeof two, "%s %s", argv[0], argc > 1 ? argv[1] : "");
    const char *best = NULL;
    size_t best_edits = 0;
    for (; table->name; table++) {
        size_t edits;
        const char *given = strchr(table->name, ' ') ? two : argv[0];
        if (text_is_near(given, table->name, &edits) && (!best || edits < best_edits)) {
            best = table->name;
            best_edits = edits;
        }
    }
    return best;
}

// "list, show, why": the verbs of a noun; "" when the word is no noun.
static void list_verbs(const struct opt_command *table, const char *noun, char *ret,
                       size_t ret_bytes) {
    size_t len = strlen(noun);
    size_t used = 0;
    ret[0] = '\0';
    for (; table->name; table++) {
        if (strncmp(table->name, noun, len) != 0 || table->name[len] != ' ')
            continue;
        int wrote =
            snprintf(ret + used, ret_bytes - used, "%s%s", used ? ", " : "", table->name + len + 1);
        if (wrote < 0 || (size_t)wrote >= ret_bytes - used) {
            ret[used] = '\0';
            return;
        }
        used += (size_t)wrote;
    }
}

int opt_find_command(const struct opt_command *table, int argc, char *const *argv,
                     const struct opt_command **ret, int *ret_words, struct err *e) {
    const struct opt_command *found = NULL;
    int most = 0;
    for (const struct opt_command *command = table; command->name; command++) {
        int words = match(command->name, argc, argv);
        if (words > most) {
            found = command;
            most = words;
        }
    }
    if (found) {
        *ret = found;
        *ret_words = most;
        return 0;
    }
    if (argc <= 0)
        return err_set(e, &err_usage, "no command given; --help lists those there are");
    char shown[SHOWN_BYTES], verb[SHOWN_BYTES], verbs[256];
    text_safe(argv[0], shown, sizeof shown);
    const char *meant = near_command(table, argc, argv);
    if (meant)
        return err_set(e, &err_usage, "unknown command \"%s%s%s\"; did you mean \"%s\"?", shown,
                       argc > 1 ? " " : "", argc > 1 ? text_safe(argv[1], verb, sizeof verb) : "",
                       meant);
    list_verbs(table, argv[0], verbs, sizeof verbs);
    if (verbs[0])
        return err_set(e, &err_usage, "%s what? There is: %s", shown, verbs);
    return err_set(e, &err_usage, "unknown command \"%s\"; --help lists those there are", shown);
}

// Characters, not bytes: the tables contain "…".
static size_t width_of(const char *text) {
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void print_row(FILE *out, const char *left, size_t left_width, const char *help) {
    size_t width = width_of(left);
    if (width > left_width) {
        (void)fprintf(out, "  %s\n  %*s  %s\n", left, (int)left_width, "", help);
        return;
    }
    (void)fprintf(out, "  %s%*s  %s\n", left, (int)(left_width - width), "", help);
}

static const char *show_option(const struct opt *option, char *ret, size_t ret_bytes) {
    char letter[5] = "    ";
    if (option->letter)
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    (void)snprintf(ret, ret_bytes, "%s--%s%s%s", letter, option->name, option->value ? " " : "",
                   option->value ? option->value : "");
    return ret;
}

void opt_print_help(FILE *out, const char *program, const struct opt_command *command) {
    (void)fprintf(out, "Usage: %s %s%s%s%s\n\n%s.\n", program, command->name,
                  command->options->name ? " [OPTION…]" : "", command->operands[0] ? " " : "",
                  command->operands, command->help);
    if (!command->options->name)
        return;
    char left[128];
    size_t widest = 0;
    for (const struct opt *option = command->options; option->name; option++) {
        size_t width = width_of(show_option(option, left, sizeof left));
        if (width <= LEFT_WIDTH_MAX && width > widest)
            widest = width;
    }
    (void)fprintf(out, "\nOptions:\n");
    for (const struct opt *option = command->options; option->name; option++)
        print_row(out, show_option(option, left, sizeof left), widest, option->help);
}

void opt_print_overview(FILE *out, const char *program, const struct opt_command *table) {
    size_t widest = 0;
    for (const struct opt_command *command = table; command->name; command++) {
        size_t width = width_of(command->name);
        widest = width > widest ? width : widest;
    }
    (void)fprintf(out, "Usage: %s COMMAND [OPTION…]\n\nCommands:\n", program);
    for (const struct opt_command *command = table; command->name; command++)
        print_row(out, command->name, widest, command->help);
    (void)fprintf(out, "\n%s COMMAND --help says more about one of them.\n", program);
}

void opt_print_dump(FILE *out, const struct opt_command *table) {
    for (const struct opt_command *command = table; command->name; command++) {
        (void)fprintf(out, "%s\t\t%s\t%s\n", command->name, command->operands, command->help);
        for (const struct opt *option = command->options; option->name; option++)
            (void)fprintf(out, "%s\t%s\t%s\t%s\n", command->name, option->name,
                          option->value ? option->value : "", option->help);
    }
}
