// SPDX-License-Identifier: Apache-2.0
//
// Command lines from tables. One table per command is the source of parsing, of --help, of shell
// completion and of the check that the man page tells the truth. Long options only with `--name
// VALUE` or `--name=VALUE`, a few with a one-letter form; options and operands may be mixed; `--`
// ends options; repeating a single-valued option is an error. A value that begins with "--" must be
// attached: `--name=--value`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

#define OPT_REPEAT_MAX   256 // values of one repeatable option
#define OPT_OPERANDS_MAX 256 // operands of one command

struct opt {
    const char *name;  // "component"; NULL ends a table
    char letter;       // 'o' or 0
    bool repeat;       // may be given several times
    const char *value; // "NAME=PATH", or NULL for a flag
    const char *help;  // one line
};

struct opt_args;

struct opt_command {
    const char *name;     // "bundle create"
    const char *operands; // "FILE…", or "" for none: for the usage line
    size_t operands_min;
    size_t operands_max;
    const char *help;          // one line
    const struct opt *options; // ends with a row whose name is NULL
    int (*run)(void *context, const struct opt_args *args, struct err *e);
};

// struct opt_args is what was given; all strings in it are borrowed from argv.

// Parses argv[0..argc) (the words after the command's own name). *ret is the caller's (opt_free).
// Kind: usage.
int opt_parse(const struct opt_command *command, int argc, char *const *argv, struct opt_args **ret,
              struct err *e) __attribute__((nonnull));
void opt_free(struct opt_args *args);
// Whether --help or -h stands before any "--": asked before opt_parse, which would miss the
// operands.
bool opt_wants_help(int argc, char *const *argv) __attribute__((nonnull));

// The value of an option (the last one when repeatable), or NULL; opt_get_at the n-th. For a flag:
// "" when given.
const char *opt_get(const struct opt_args *args, const char *name) __attribute__((nonnull));
size_t opt_count(const struct opt_args *args, const char *name) __attribute__((nonnull));
const char *opt_get_at(const struct opt_args *args, const char *name, size_t index)
    __attribute__((nonnull));
bool opt_given(const struct opt_args *args, const char *name) __attribute__((nonnull));
size_t opt_operands(const struct opt_args *args) __attribute__((nonnull));
const char *opt_operand(const struct opt_args *args, size_t index) __attribute__((nonnull));

// Finds the command whose (one- or two-word) name begins argv; *ret_words says how many words it
// took. The error (usage) suggests a near spelling. Table ends with a row whose name is NULL.
int opt_find_command(const struct opt_command *table, int argc, char *const *argv,
                     const struct opt_command **ret, int *ret_words, struct err *e)
    __attribute__((nonnull));

void opt_print_help(FILE *out, const char *program, const struct opt_command *command)
    __attribute__((nonnull));
void opt_print_overview(FILE *out, const char *program, const struct opt_command *table)
    __attribute__((nonnull));
// `command<TAB>option<TAB>value<TAB>help` lines, for the man page lint; one with no option and the
// operands as its value begins each command.
void opt_print_dump(FILE *out, const struct opt_command *table) __attribute__((nonnull));
