// SPDX-License-Identifier: Apache-2.0
//
// Releases that devices ran, in the store.
#include "ctl/store/ran.h"

#include "ctl/store/sql.h"

int store_ran_add(struct store_db *db, const char *device, const char *name, const char *version,
                  struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT OR IGNORE INTO ran VALUES(?,?,?,?)", "ittt",
                         (int64_t)store_db_bucket(device), device, name, version);
}

static int note(void *context, sqlite3_stmt *row, struct err *e) {
    (void)context;
    (void)row;
    (void)e;
    return 0;
}

int store_ran_find(struct store_db *db, const char *device, const char *name, const char *version,
                   struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT 1 FROM ran WHERE bucket=? AND device=? AND name=? AND version=?",
                        "ittt", (int64_t)store_db_bucket(device), device, name, version) < 0)
        return -1;
    return store_sql_one(db, row, note, NULL, e);
}

int store_ran_forget(struct store_db *db, const char *device, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM ran WHERE bucket=? AND device=?", "it",
                         (int64_t)store_db_bucket(device), device);
}
