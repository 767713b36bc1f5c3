// SPDX-License-Identifier: Apache-2.0
//
// SQL for the files of this folder: statements are prepared once and found again by the address of
// their text, values are bound by a format, errors become kinds of ours. Nobody else sees SQLite.
//
// Formats, one letter a value: t const char *, i int64_t, b const void * and size_t, j json_t * (as
// text; NULL is null), n nothing (null).
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>
#include <sqlite3.h>

#include "ctl/store/db.h"

#define STORE_SQL_STATEMENTS_MAX 160

struct store_sql_cached {
    const char *text; // its address is the key
    sqlite3_stmt *statement;
};

struct store_db {
    sqlite3 *handle;
    size_t n_cached;
    struct store_sql_cached cached[STORE_SQL_STATEMENTS_MAX];
};

// Sets *e from the connection's last error. Returns -1.
int store_sql_failed(struct store_db *db, int code, const char *doing, struct err *e)
    __attribute__((nonnull));

// Prepares (once), binds, and gives the statement for store_sql_row. text must be a literal.
int store_sql_query(struct store_db *db, sqlite3_stmt **ret, struct err *e, const char *text,
                    const char *format, ...) __attribute__((nonnull(1, 2, 3, 4, 5)));
// 0 with a row; STORE_SQL_END after the last (the statement is ready for the next query); < 0. Who
// stops before the end calls store_sql_reset.
enum { STORE_SQL_END = 1 };
int store_sql_row(struct store_db *db, sqlite3_stmt *statement, struct err *e)
    __attribute__((nonnull));
void store_sql_reset(sqlite3_stmt *statement) __attribute__((nonnull));
// The one row of a query, or STORE_ABSENT (1): read takes it and leaves no trace when it fails.
typedef int (*store_sql_read)(void *context, sqlite3_stmt *row, struct err *e);
int store_sql_one(struct store_db *db, sqlite3_stmt *statement, store_sql_read read, void *context,
                  struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
// Every row of a query; read < 0 fails, > 0 ends early, which is 0 as well.
int store_sql_each(struct store_db *db, sqlite3_stmt *statement, store_sql_read read, void *context,
                   struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
// The number that a query of one row and one column gives.
int store_sql_count(struct store_db *db, uint64_t *ret, struct err *e, const char *text,
                    const char *format, ...) __attribute__((nonnull(1, 2, 3, 4, 5)));
// Runs one that gives no rows; *ret_changes (may be NULL) is how many rows it changed.
int store_sql_run(struct store_db *db, int64_t *ret_changes, struct err *e, const char *text,
                  const char *format, ...) __attribute__((nonnull(1, 3, 4, 5)));
// Runs literal SQL of several statements.
int store_sql_script(struct store_db *db, const char *text, struct err *e) __attribute__((nonnull));

// Columns of the current row, from 0. Text that does not fit and JSON that does not parse mean a
// damaged store (bad_store).
int store_sql_text(sqlite3_stmt *statement, int column, char *ret, size_t ret_bytes, struct err *e)
    __attribute__((nonnull));
int store_sql_blob(sqlite3_stmt *statement, int column, void *ret, size_t len, struct err *e)
    __attribute__((nonnull));
// A new value, NULL for null.
int store_sql_json(sqlite3_stmt *statement, int column, json_t **ret, struct err *e)
    __attribute__((nonnull));
int64_t store_sql_int(sqlite3_stmt *statement, int column) __attribute__((nonnull));
