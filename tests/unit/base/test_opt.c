// SPDX-License-Identifier: Apache-2.0
//
// Command lines: what is accepted, and that every refusal says what to do.

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "base/own.h"
#include "tests/support/alloc_fault.h"

static const struct opt options[] = {
    {"output", 'o', false, "FILE", "where to write"},
    {"component", 0, true, "NAME=PATH", "a component; can be given several times"},
    {"json", 0, false, NULL, "print JSON"},
    {"verbose", 'v', true, NULL, "say more"},
    {.name = NULL},
};
static const struct opt no_options[] = {{.name = NULL}};

static const struct opt_command table[] = {
    {"bundle create", "FILE…", 1, 2, "Make a bundle", options, NULL},
    {"bundle verify", "FILE", 1, 1, "Check a bundle", no_options, NULL},
    {"serve", "", 0, 0, "Run the controller", options, NULL},
    {.name = NULL},
};

// Words as main gets them: its argv promises less than ours keeps.
#define WORDS(...)                                                                                 \
    (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                                 \
        (char *const *)(const char *[]) {                                                          \
        __VA_ARGS__                                                                                \
    }
#define PARSE(command, ret, e, ...) opt_parse(command, WORDS(__VA_ARGS__), ret, e)

static void own_drop_args(struct opt_args **args) {
    opt_free(*args);
}

Test(opt, values_come_attached_or_in_the_next_word) {
    OWN(args) struct opt_args *args = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(PARSE(&table[0], &args, &e, "--component=a=b", "x", "--component", "c=d", "-o",
                       "out", "--json"),
                 0, "%s", e.text);
    cr_assert_str_eq(opt_get(args, "output"), "out");
    cr_assert_eq(opt_count(args, "component"), 2);
    cr_assert_str_eq(opt_get_at(args, "component", 0), "a=b");
    cr_assert_str_eq(opt_get_at(args, "component", 1), "c=d");
    cr_assert_null(opt_get_at(args, "component", 2));
    cr_assert_str_eq(opt_get(args, "component"), "c=d");
    cr_assert(opt_given(args, "json"));
    cr_assert_str_eq(opt_get(args, "json"), "");
    cr_assert_not(opt_given(args, "verbose"));
    cr_assert_null(opt_get(args, "verbose"));
    cr_assert_eq(opt_operands(args), 1);
    cr_assert_str_eq(opt_operand(args, 0), "x");
    cr_assert_null(opt_operand(args, 1));
}

Test(opt, letters_dashes_and_empty_values_mean_what_they_say) {
    OWN(args) struct opt_args *args = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(
        PARSE(&table[0], &args, &e, "-oout", "-v", "-", "-v", "--component=", "--", "--json"), 0,
        "%s", e.text);
    cr_assert_str_eq(opt_get(args, "output"), "out");
    cr_assert_eq(opt_count(args, "verbose"), 2);
    cr_assert_str_eq(opt_get(args, "component"), "");
    cr_assert_str_eq(opt_operand(args, 0), "-");
    cr_assert_str_eq(opt_operand(args, 1), "--json", "behind -- everything is an operand");
    cr_assert_not(opt_given(args, "json"));
}

Test(opt, what_is_wrong_is_said) {
    const struct {
        const struct opt_command *command;
        const char *words[4];
        const char *sentence;
    } rows[] = {
        {&table[0],
         {"--ouput", "x"},
         "bundle create: unknown option --ouput; did you mean --output?"},
        {&table[0],
         {"--colour"},
         "bundle create: unknown option --colour; --help lists those there are"},
        {&table[0], {"-x"}, "bundle create: unknown option -x; --help lists those there are"},
        {&table[0],
         {"--\x1b[2J"},
         "bundle create: unknown option --\\x1B[2J; --help lists those there are"},
        {&table[0], {"--outp=x"}, "bundle create: unknown option --outp=x; did you mean --output?"},
        {&table[0], {"x", "-o"}, "bundle create: --output needs a value: FILE"},
        {&table[0], {"x", "-o", "--json"}, "bundle create: --output needs a value: FILE"},
        {&table[0], {"x", "--json=yes"}, "bundle create: --json takes no value"},
        {&table[0], {"-oa", "-ob", "x"}, "bundle create: --output is given more than once"},
        {&table[0], {"--json", "--json", "x"}, "bundle create: --json is given more than once"},
        {&table[0],
         {"--jsn=--output"},
         "bundle create: unknown option --jsn=--output; did you mean --json?"},
        {&table[0], {"--json"}, "bundle create: missing operands: expected FILE…"},
        {&table[0],
         {"a", "b", "c\n"},
         "bundle create: at most 2 operands (FILE…), then found \"c\\n\""},
        {&table[1], {"a", "b"}, "bundle verify: at most 1 operand (FILE), then found \"b\""},
        {&table[2], {"a"}, "serve: takes no operands, found \"a\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct opt_args *args = NULL;
        struct err e = ERR_NONE;
        int argc = 0;
        while (argc < 4 && rows[i].words[argc])
            argc++;
        cr_assert_eq(opt_parse(rows[i].command, argc, (char *const *)rows[i].words, &args, &e), -1,
                     "row %zu", i);
        cr_assert_str_eq(e.text, rows[i].sentence);
        cr_assert(err_is(&e, &err_usage));
        cr_assert_null(args);
    }
}

Test(opt, counts_have_ceilings) {
    static const char *words[OPT_REPEAT_MAX + 2];
    for (size_t i = 0; i < OPT_REPEAT_MAX + 1; i++)
        words[i] = "-v";
    words[OPT_REPEAT_MAX + 1] = "x";
    struct opt_args *args = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(opt_parse(&table[0], OPT_REPEAT_MAX + 1, (char *const *)(words + 1), &args, &e), 0,
                 "%s", e.text);
    opt_free(args);
    args = NULL;
    cr_assert_eq(opt_parse(&table[0], OPT_REPEAT_MAX + 2, (char *const *)words, &args, &e), -1);
    cr_assert_str_eq(e.text, "bundle create: --verbose is given more than 256 times");

    const struct opt_command many = {"many", "FILE…", 0, SIZE_MAX, "Take many", no_options, NULL};
    static const char *files[OPT_OPERANDS_MAX + 1];
    for (size_t i = 0; i < OPT_OPERANDS_MAX + 1; i++)
        files[i] = "f";
    err_clear(&e);
    cr_assert_eq(opt_parse(&many, OPT_OPERANDS_MAX, (char *const *)files, &args, &e), 0);
    opt_free(args);
    cr_assert_eq(opt_parse(&many, OPT_OPERANDS_MAX + 1, (char *const *)files, &args, &e), -1);
}

Test(opt, a_command_is_found_by_its_words) {
    const struct opt_command *found = NULL;
    int words = 0;
    struct err e = ERR_NONE;
    cr_assert_eq(opt_find_command(table, WORDS("bundle", "verify", "x"), &found, &words, &e), 0);
    cr_assert_eq(found, &table[1]);
    cr_assert_eq(words, 2);
    cr_assert_eq(opt_find_command(table, WORDS("serve", "verify"), &found, &words, &e), 0);
    cr_assert_eq(found, &table[2]);
    cr_assert_eq(words, 1);
}

Test(opt, a_command_that_is_not_found_leads_to_one_that_is) {
    const struct {
        const char *words[3];
        const char *sentence;
    } rows[] = {
        {{NULL}, "no command given; --help lists those there are"},
        {{"bundle"}, "bundle what? There is: create, verify"},
        {{"bundle", "frobnicate"}, "bundle what? There is: create, verify"},
        {{"bundle", "crate"}, "unknown command \"bundle crate\"; did you mean \"bundle create\"?"},
        {{"bundel", "create"},
         "unknown command \"bundel create\"; did you mean \"bundle create\"?"},
        {{"sreve"}, "unknown command \"sreve\"; did you mean \"serve\"?"},
        {{"frobnicate"}, "unknown command \"frobnicate\"; --help lists those there are"},
        {{"x\x1b"}, "unknown command \"x\\x1B\"; --help lists those there are"},
        {{""}, "unknown command \"\"; --help lists those there are"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct opt_command *found = NULL;
        int words = 77;
        int argc = 0;
        struct err e = ERR_NONE;
        while (argc < 3 && rows[i].words[argc])
            argc++;
        cr_assert_eq(
            opt_find_command(table, argc, (char *const *)rows[i].words, &found, &words, &e), -1);
        cr_assert_str_eq(e.text, rows[i].sentence);
        cr_assert(err_is(&e, &err_usage));
        cr_assert_null(found);
        cr_assert_eq(words, 77);
    }
}

Test(opt, help_is_wanted_only_before_the_operands_are_closed) {
    cr_assert(opt_wants_help(WORDS("x", "--help")));
    cr_assert(opt_wants_help(WORDS("-h")));
    cr_assert_not(opt_wants_help(WORDS("--", "--help")));
    cr_assert_not(opt_wants_help(WORDS("--helpme")));
    cr_assert_not(opt_wants_help(0, (char *[]){NULL}));
}

// What a printing function prints.
static char *printed(void (*print)(FILE *out)) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    print(out);
    fclose(out);
    return text;
}

static void print_help(FILE *out) {
    opt_print_help(out, "edgectl", &table[0]);
}

static void print_overview(FILE *out) {
    opt_print_overview(out, "edgectl", table);
}

static void print_dump(FILE *out) {
    opt_print_dump(out, table);
}

Test(opt, help_is_made_from_the_table) {
    OWN(mem) char *help = printed(print_help);
    cr_assert_str_eq(help, "Usage: edgectl bundle create [OPTION…] FILE…\n"
                           "\n"
                           "Make a bundle.\n"
                           "\n"
                           "Options:\n"
                           "  -o, --output FILE          where to write\n"
                           "      --component NAME=PATH  a component; can be given several times\n"
                           "      --json                 print JSON\n"
                           "  -v, --verbose              say more\n");
    OWN(mem) char *overview = printed(print_overview);
    cr_assert_str_eq(overview, "Usage: edgectl COMMAND [OPTION…]\n"
                               "\n"
                               "Commands:\n"
                               "  bundle create  Make a bundle\n"
                               "  bundle verify  Check a bundle\n"
                               "  serve          Run the controller\n"
                               "\n"
                               "edgectl COMMAND --help says more about one of them.\n");
    OWN(mem) char *dump = printed(print_dump);
    cr_assert(strstr(dump, "bundle create\t\tFILE…\tMake a bundle\n"
                           "bundle create\toutput\tFILE\twhere to write\n"));
    cr_assert(strstr(dump, "bundle create\tjson\t\tprint JSON\n"));
}

Test(opt, without_memory_parsing_fails_and_leaks_nothing) {
    bool hit = true;
    size_t n = 0;
    for (; hit; n++) {
        struct opt_args *args = NULL;
        struct err e = ERR_NONE;
        alloc_fault_begin(n, false);
        int done = PARSE(&table[0], &args, &e, "x", "-v");
        hit = alloc_fault_end();
        cr_assert_eq(done, hit ? -1 : 0);
        cr_assert(!hit || err_is(&e, &err_memory));
        opt_free(args);
    }
    cr_assert_gt(n, 3);
}
