// SPDX-License-Identifier: Apache-2.0
//
// Attempts at deltas in the store.
#include "ctl/store/making.h"

#include "ctl/store/sql.h"

#define COLUMNS "bundle,base,head,at_s,code,text"

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_making *ret = context;
    struct store_making making = {.at_s = store_sql_int(row, 3)};
    if (store_sql_text(row, 0, making.bundle, sizeof making.bundle, e) < 0 ||
        store_sql_text(row, 1, making.base, sizeof making.base, e) < 0 ||
        store_sql_text(row, 2, making.head, sizeof making.head, e) < 0 ||
        store_sql_text(row, 4, making.code, sizeof making.code, e) < 0 ||
        store_sql_text(row, 5, making.text, sizeof making.text, e) < 0)
        return -1;
    *ret = making;
    return 0;
}

int store_making_put(struct store_db *db, const struct store_making *m, struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT OR REPLACE INTO making VALUES(?,?,?,?,?,?)", "tttitt",
                         m->bundle, m->base, m->head, m->at_s, m->code, m->text);
}

int store_making_get(struct store_db *db, const char *bundle, const char *base,
                     struct store_making *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM making WHERE bundle=? AND base=?",
                        "tt", bundle, base) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

struct visit {
    store_making_visit fn;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_making one;
    if (read_row(&one, row, e) < 0)
        return -1;
    return visit->fn(visit->context, &one, e);
}

int store_making_list(struct store_db *db, const char *bundle, store_making_visit visit,
                      void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM making WHERE ?1='' OR bundle=?1"
                        " ORDER BY at_s, bundle, base",
                        "t", bundle == NULL ? "" : bundle) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_making_drop(struct store_db *db, const char *bundle, const char *base, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM making WHERE bundle=? AND base=?", "tt", bundle,
                         base);
}
