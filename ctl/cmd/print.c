// SPDX-License-Identifier: Apache-2.0
//
// JSON, fields and tables on standard output.
#include "ctl/cmd/print.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/own.h"
#include "base/text.h"

#define CELL_BYTES  1024
#define FIELD_WIDTH 12

// Escapes what a terminal would act upon, but leaves a backslash single: much of what is shown was
// escaped before by whoever quoted it, and here people read.
static const char *escape(const char *text, char *ret, size_t ret_bytes) {
    char *to = text_safe(text, ret, ret_bytes);
    for (const char *from = ret; *from; from++) {
        from += from[0] == '\\' && from[1] == '\\';
        *to++ = *from;
    }
    *to = '\0';
    return ret;
}

static size_t safe_flag(void) {
    return isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0;
}

void cmd_print_json(const json_t *value) {
    (void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | safe_flag());
    (void)putchar('\n');
}

void cmd_print_json_line(const json_t *value) {
    (void)json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY | safe_flag());
    (void)putchar('\n');
    (void)fflush(stdout);
}

void cmd_print_text(const char *text) {
    char shown[CELL_BYTES];
    (void)fputs(escape(text, shown, sizeof shown), stdout);
}

void cmd_print_field(const char *title, const char *text) {
    if (!*text)
        return;
    (void)printf("%s:%*s ", title, (int)(FIELD_WIDTH - strlen(title)), "");
    cmd_print_text(text);
    (void)putchar('\n');
}

const char *cmd_print_string(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_int_t cmd_print_integer(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static int add_cell(struct cmd_print_table *table, const char *text, struct err *e) {
    if (table->n_cells == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 64;
        char **cells = reallocarray(table->cells, capacity, sizeof *cells);
        if (!cells)
            return err_set(e, &err_memory, "printing a table: no memory");
        table->cells = cells;
        table->capacity = capacity;
    }
    char *copy = strdup(text);
    if (!copy)
        return err_set(e, &err_memory, "printing a table: no memory");
    table->cells[table->n_cells++] = copy;
    return 0;
}

int cmd_print_begin(struct cmd_print_table *table, size_t n_columns, const char *const *titles,
                    struct err *e) {
    assert(n_columns > 0 && n_columns <= CMD_PRINT_COLUMNS_MAX);
    cmd_print_drop(table);
    table->n_columns = n_columns;
    for (size_t i = 0; i < n_columns; i++)
        if (add_cell(table, titles[i], e) < 0)
            return -1;
    return 0;
}

int cmd_print_cell(struct cmd_print_table *table, const char *text, struct err *e) {
    char shown[CELL_BYTES];
    return add_cell(table, *escape(text, shown, sizeof shown) ? shown : "-", e);
}

int cmd_print_cell_format(struct cmd_print_table *table, struct err *e, const char *format, ...) {
    char text[CELL_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return cmd_print_cell(table, text, e);
}

// Characters, not bytes.
static size_t width_of(const char *text) {
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static bool has_titles(const struct cmd_print_table *table) {
    for (size_t i = 0; i < table->n_columns; i++)
        if (table->cells[i][0])
            return true;
    return false;
}

void cmd_print_end(struct cmd_print_table *table) {
    size_t widths[CMD_PRINT_COLUMNS_MAX] = {0};
    size_t columns = table->n_columns;
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % columns])
            widths[i % columns] = width;
    }
    for (size_t i = has_titles(table) ? 0 : columns; i < table->n_cells; i++) {
        size_t column = i % columns;
        bool last = column + 1 == columns;
        int pad = last ? 0 : (int)(widths[column] - width_of(table->cells[i]));
        (void)printf("%s%*s%s", table->cells[i], pad, "", last ? "\n" : "  ");
    }
    cmd_print_drop(table);
}

void cmd_print_drop(struct cmd_print_table *table) {
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct cmd_print_table)CMD_PRINT_TABLE_NONE;
}

// Behind what is there, as far as there is room.
__attribute__((format(printf, 2, 3))) static void append(char text[static CMD_PRINT_BYTES_TEXT],
                                                         const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text + used, CMD_PRINT_BYTES_TEXT - used, format, args);
    va_end(args);
}

static uint64_t amount(const json_t *bytes, const char *kind) {
    json_int_t n = cmd_print_integer(bytes, kind);
    return n > 0 ? (uint64_t)n : 0;
}

char *cmd_print_bytes(const json_t *bytes, char ret[static CMD_PRINT_BYTES_TEXT]) {
    static const char *const kinds[] = {"delta", "range", "full", "index"};
    char size[NUM_SIZE_TEXT];
    uint64_t link = 0;
    bool first = true;
    ret[0] = '\0';
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (__builtin_add_overflow(link, amount(bytes, kinds[i]), &link))
            link = UINT64_MAX;
    uint64_t cache = amount(bytes, "cache"), reused = amount(bytes, "reused");
    if (link == 0 && reused == 0)
        return ret;
    append(ret, "%s over the link", num_format_size(link, size));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (amount(bytes, kinds[i]) == 0)
            continue;
        append(ret, "%s%s %s", first ? " (" : ", ", kinds[i],
               num_format_size(amount(bytes, kinds[i]), size));
        first = false;
    }
    append(ret, "%s", first ? "" : ")");
    if (cache > 0)
        append(ret, ", %s of it from a site cache", num_format_size(cache, size));
    if (reused > 0)
        append(ret, ", %s reused", num_format_size(reused, size));
    return ret;
}
