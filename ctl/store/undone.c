// SPDX-License-Identifier: Apache-2.0
//
// Releases that devices went back from, in the store.
#include "ctl/store/undone.h"

#include "ctl/store/sql.h"

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_undone *ret = context;
    ret->at_s = store_sql_int(row, 1);
    return store_sql_text(row, 0, ret->rollout, sizeof ret->rollout, e);
}

int store_undone_get(struct store_db *db, const char *device, const char *name, const char *version,
                     struct store_undone *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT rollout,at_s FROM undone WHERE bucket=? AND device=? AND name=?"
                        " AND version=?",
                        "ittt", (int64_t)store_db_bucket(device), device, name, version) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_undone_add(struct store_db *db, const char *device, const char *name, const char *version,
                     const struct store_undone *undone, struct err *e) {
    return store_sql_run(db, NULL, e,
                         "INSERT OR IGNORE INTO undone(bucket,device,name,version,rollout,at_s)"
                         " VALUES(?,?,?,?,?,?)",
                         "itttti", (int64_t)store_db_bucket(device), device, name, version,
                         undone->rollout, undone->at_s);
}

int store_undone_say(struct store_db *db, const char *device, const char *name, const char *version,
                     const struct store_undone_said *said, struct err *e) {
    return store_sql_run(db, NULL, e,
                         "UPDATE undone SET code=?,text=? WHERE bucket=? AND device=? AND name=?"
                         " AND version=? AND rollout=?",
                         "ttitttt", said->code, said->text, (int64_t)store_db_bucket(device),
                         device, name, version, said->rollout);
}

int store_undone_forget(struct store_db *db, const char *device, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM undone WHERE bucket=? AND device=?", "it",
                         (int64_t)store_db_bucket(device), device);
}
