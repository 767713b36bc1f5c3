// SPDX-License-Identifier: Apache-2.0
//
// What commands print: JSON for scripts, tables and lines for people. Text that comes from a
// bundle, a device or the controller is escaped here, whatever it is shown in.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/err.h"

#define CMD_PRINT_COLUMNS_MAX 12

// The value, indented, and a newline. On a terminal everything beyond ASCII is escaped.
void cmd_print_json(const json_t *value) __attribute__((nonnull));
// The value on one line: a stream of values for scripts.
void cmd_print_json_line(const json_t *value) __attribute__((nonnull));
// "title:  text", escaped, the text in one column over several calls. Nothing when text is "".
void cmd_print_field(const char *title, const char *text) __attribute__((nonnull));
// Text, escaped, as it stands in a line.
void cmd_print_text(const char *text) __attribute__((nonnull));

// Members of an object from outside: what is absent or of another type is "" or 0.
const char *cmd_print_string(const json_t *object, const char *key) __attribute__((nonnull(2)));
json_int_t cmd_print_integer(const json_t *object, const char *key) __attribute__((nonnull(2)));

// What updates cost, as reports and controllers have it ({"delta":N, …}): "1.3 MiB over the
// link (delta 1.2 MiB, index 100.0 KiB), 20.0 MiB reused", or "" when there is nothing to say.
// Returns ret.
#define CMD_PRINT_BYTES_TEXT 256
char *cmd_print_bytes(const json_t *bytes, char ret[static CMD_PRINT_BYTES_TEXT]);

// A table that is collected cell by cell, row after row, and printed with columns as wide as they
// need to be.
struct cmd_print_table {
    size_t n_columns;
    size_t n_cells, capacity;
    char **cells;
};
// titles: n_columns of them. Empty titles print no title line.
int cmd_print_begin(struct cmd_print_table *table, size_t n_columns, const char *const *titles,
                    struct err *e) __attribute__((nonnull));
int cmd_print_cell(struct cmd_print_table *table, const char *text, struct err *e)
    __attribute__((nonnull));
int cmd_print_cell_format(struct cmd_print_table *table, struct err *e, const char *format, ...)
    __attribute__((nonnull, format(printf, 3, 4)));
// Prints and empties it.
void cmd_print_end(struct cmd_print_table *table) __attribute__((nonnull));
void cmd_print_drop(struct cmd_print_table *table) __attribute__((nonnull));
#define own_drop_print_table cmd_print_drop
#define CMD_PRINT_TABLE_NONE                                                                       \
    { .n_columns = 0 }
