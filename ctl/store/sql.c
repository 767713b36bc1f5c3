// SPDX-License-Identifier: Apache-2.0
//
// Statements, values, errors.
#include "ctl/store/sql.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "bundle/message.h"
#include "ctl/kind.h"

struct code_kind {
    int code;
    const struct err_kind *kind;
};

static const struct err_kind *kind_of(int code) {
    const struct code_kind table[] = {
        {SQLITE_BUSY, &err_busy},        {SQLITE_LOCKED, &err_busy},
        {SQLITE_FULL, &err_no_space},    {SQLITE_READONLY, &err_read_only},
        {SQLITE_NOMEM, &err_memory},     {SQLITE_CORRUPT, &err_bad_store},
        {SQLITE_NOTADB, &err_bad_store}, {SQLITE_CONSTRAINT, &err_exists},
        {SQLITE_PERM, &err_permission},  {SQLITE_CANTOPEN, &err_io},
        {SQLITE_AUTH, &err_permission},  {SQLITE_TOOBIG, &err_limit},
        {SQLITE_MISUSE, &err_internal},  {SQLITE_RANGE, &err_internal},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].code == (code & 0xff))
            return table[i].kind;
    return &err_io;
}

// What SQLite calls an I/O error may be one that people can do something about.
static const struct err_kind *kind_of_system(struct store_db *db, const struct err_kind *kind) {
    int cause = db->handle == NULL || kind != &err_io ? 0 : sqlite3_system_errno(db->handle);
    if (cause == EROFS)
        return &err_read_only;
    return cause == ENOSPC || cause == EDQUOT ? &err_no_space : kind;
}

int store_sql_failed(struct store_db *db, int code, const char *doing, struct err *e) {
    const char *text = db->handle == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db->handle);
    const char *advice =
        (code & 0xff) == SQLITE_BUSY ? " (another controller is running on it)" : "";
    return err_set(e, kind_of_system(db, kind_of(code)), "%s the store: %s%s", doing, text, advice);
}

static int find(struct store_db *db, const char *text, sqlite3_stmt **ret, struct err *e) {
    for (size_t i = 0; i < db->n_cached; i++)
        if (db->cached[i].text == text) {
            *ret = db->cached[i].statement;
            return 0;
        }
    assert(db->n_cached < STORE_SQL_STATEMENTS_MAX);
    sqlite3_stmt *made = NULL;
    int code = sqlite3_prepare_v3(db->handle, text, -1, SQLITE_PREPARE_PERSISTENT, &made, NULL);
    if (code != SQLITE_OK)
        return store_sql_failed(db, code, "preparing a statement of", e);
    db->cached[db->n_cached++] = (struct store_sql_cached){.text = text, .statement = made};
    *ret = made;
    return 0;
}

static int bind_json(sqlite3_stmt *statement, int at, const json_t *value) {
    if (value == NULL)
        return sqlite3_bind_null(statement, at);
    struct err none = ERR_NONE;
    struct buf text;
    buf_init(&text, INT_MAX - 1);
    if (bundle_message_dump(value, &text, &none) < 0) {
        buf_clear(&text);
        return SQLITE_NOMEM;
    }
    // Its memory is the statement's from now on.
    return sqlite3_bind_text(statement, at, (const char *)text.data, (int)text.len, free);
}

static int bind(sqlite3_stmt *statement, const char *format, va_list args) {
    int code = SQLITE_OK;
    for (int at = 1; *format != '\0' && code == SQLITE_OK; format++, at++) {
        switch (*format) {
        case 't':
            code =
                sqlite3_bind_text(statement, at, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
            break;
        case 'i':
            code = sqlite3_bind_int64(statement, at, va_arg(args, int64_t));
            break;
        case 'b': {
            const void *data = va_arg(args, const void *);
            size_t len = va_arg(args, size_t);
            code = sqlite3_bind_blob64(statement, at, data, len, SQLITE_TRANSIENT);
            break;
        }
        case 'j':
            code = bind_json(statement, at, va_arg(args, const json_t *));
            break;
        default:
            assert(*format == 'n');
            code = sqlite3_bind_null(statement, at);
        }
    }
    return code;
}

static int query(struct store_db *db, sqlite3_stmt **ret, struct err *e, const char *text,
                 const char *format, va_list args) {
    sqlite3_stmt *statement = NULL;
    if (find(db, text, &statement, e) < 0)
        return -1;
    assert(!sqlite3_stmt_busy(statement)); // a query inside the same query
    assert(sqlite3_bind_parameter_count(statement) == (int)strlen(format));
    int code = bind(statement, format, args);
    if (code != SQLITE_OK) {
        store_sql_reset(statement);
        return store_sql_failed(db, code, "asking", e);
    }
    *ret = statement;
    return 0;
}

int store_sql_query(struct store_db *db, sqlite3_stmt **ret, struct err *e, const char *text,
                    const char *format, ...) {
    va_list args;
    va_start(args, format);
    int done = query(db, ret, e, text, format, args);
    va_end(args);
    return done;
}

int store_sql_row(struct store_db *db, sqlite3_stmt *statement, struct err *e) {
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 0;
    int done = code == SQLITE_DONE ? STORE_SQL_END : store_sql_failed(db, code, "using", e);
    store_sql_reset(statement);
    return done;
}

void store_sql_reset(sqlite3_stmt *statement) {
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement); // what was bound may be large
}

int store_sql_one(struct store_db *db, sqlite3_stmt *statement, store_sql_read read, void *context,
                  struct err *e) {
    int found = store_sql_row(db, statement, e);
    if (found != 0)
        return found < 0 ? -1 : STORE_ABSENT;
    int done = read(context, statement, e);
    store_sql_reset(statement);
    return done;
}

int store_sql_each(struct store_db *db, sqlite3_stmt *statement, store_sql_read read, void *context,
                   struct err *e) {
    int found = 0;
    while ((found = store_sql_row(db, statement, e)) == 0) {
        int done = read(context, statement, e);
        if (done != 0) {
            store_sql_reset(statement);
            return done < 0 ? -1 : 0;
        }
    }
    return found < 0 ? -1 : 0;
}

int store_sql_count(struct store_db *db, uint64_t *ret, struct err *e, const char *text,
                    const char *format, ...) {
    sqlite3_stmt *statement = NULL;
    va_list args;
    va_start(args, format);
    int done = query(db, &statement, e, text, format, args);
    va_end(args);
    if (done < 0 || store_sql_row(db, statement, e) < 0)
        return -1;
    *ret = (uint64_t)store_sql_int(statement, 0);
    store_sql_reset(statement);
    return 0;
}

int store_sql_run(struct store_db *db, int64_t *ret_changes, struct err *e, const char *text,
                  const char *format, ...) {
    sqlite3_stmt *statement = NULL;
    va_list args;
    va_start(args, format);
    int done = query(db, &statement, e, text, format, args);
    va_end(args);
    if (done < 0)
        return -1;
    done = store_sql_row(db, statement, e);
    if (done < 0)
        return -1;
    assert(done == STORE_SQL_END);
    if (ret_changes != NULL)
        *ret_changes = sqlite3_changes64(db->handle);
    return 0;
}

int store_sql_script(struct store_db *db, const char *text, struct err *e) {
    int code = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? 0 : store_sql_failed(db, code, "setting up", e);
}

static int damaged(sqlite3_stmt *statement, int column, struct err *e) {
    return err_set(e, &err_bad_store,
                   "reading the store: column %s holds what this program never writes; restore it "
                   "from a backup",
                   sqlite3_column_name(statement, column));
}

int store_sql_text(sqlite3_stmt *statement, int column, char *ret, size_t ret_bytes,
                   struct err *e) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    int len = sqlite3_column_bytes(statement, column);
    if (text == NULL)
        len = 0;
    if ((size_t)len >= ret_bytes)
        return damaged(statement, column, e);
    if (len > 0)
        memcpy(ret, text, (size_t)len);
    ret[len] = '\0';
    return 0;
}

int store_sql_blob(sqlite3_stmt *statement, int column, void *ret, size_t len, struct err *e) {
    const void *data = sqlite3_column_blob(statement, column);
    if (data == NULL || (size_t)sqlite3_column_bytes(statement, column) != len)
        return damaged(statement, column, e);
    memcpy(ret, data, len);
    return 0;
}

int store_sql_json(sqlite3_stmt *statement, int column, json_t **ret, struct err *e) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    json_error_t detail;
    json_t *value = NULL;
    if (text != NULL) {
        value = json_loadb((const char *)text, (size_t)sqlite3_column_bytes(statement, column),
                           JSON_DECODE_ANY, &detail);
        if (value == NULL)
            return damaged(statement, column, e);
    }
    *ret = value;
    return 0;
}

int64_t store_sql_int(sqlite3_stmt *statement, int column) {
    return sqlite3_column_int64(statement, column);
}
