// SPDX-License-Identifier: Apache-2.0
//
// Deltas in the store.
#include "ctl/store/delta.h"

#include <stdio.h>

#include "ctl/store/sql.h"

#define COLUMNS "head,bundle,base,head_bytes,size,created_s,actor"

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_delta *ret = context;
    struct store_delta delta = {.head_bytes = (uint64_t)store_sql_int(row, 3),
                                .size = (uint64_t)store_sql_int(row, 4),
                                .created_s = store_sql_int(row, 5)};
    if (store_sql_text(row, 0, delta.head, sizeof delta.head, e) < 0 ||
        store_sql_text(row, 1, delta.bundle, sizeof delta.bundle, e) < 0 ||
        store_sql_text(row, 2, delta.base, sizeof delta.base, e) < 0 ||
        store_sql_text(row, 6, delta.actor, sizeof delta.actor, e) < 0)
        return -1;
    *ret = delta;
    return 0;
}

int store_delta_get(struct store_db *db, const char *head, struct store_delta *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM delta WHERE head=?", "t", head) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_delta_add(struct store_db *db, const struct store_delta *d, struct err *e) {
    int64_t added = 0;
    if (store_sql_run(db, &added, e, "INSERT OR IGNORE INTO delta VALUES(?,?,?,?,?,?,?)", "tttiiit",
                      d->head, d->bundle, d->base, (int64_t)d->head_bytes, (int64_t)d->size,
                      d->created_s, d->actor) < 0)
        return -1;
    if (added > 0)
        return 0;
    return store_sql_run(db, NULL, e, "UPDATE delta SET size=? WHERE head=?", "it",
                         (int64_t)d->size, d->head) < 0
               ? -1
               : STORE_DELTA_KNOWN;
}

struct visit {
    store_delta_visit fn;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_delta one;
    if (read_row(&one, row, e) < 0)
        return -1;
    return visit->fn(visit->context, &one, e);
}

int store_delta_list(struct store_db *db, const char *bundle, store_delta_visit visit,
                     void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM delta WHERE ?1='' OR bundle=?1"
                        " ORDER BY bundle, base, created_s DESC, head",
                        "t", bundle == NULL ? "" : bundle) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_delta_drop(struct store_db *db, const char *head, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM delta WHERE head=?", "t", head);
}

char *store_delta_file(const char *head, char ret[static STORE_DELTA_FILE_BYTES]) {
    (void)snprintf(ret, STORE_DELTA_FILE_BYTES, "%s.delta", head);
    return ret;
}
