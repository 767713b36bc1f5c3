// SPDX-License-Identifier: Apache-2.0
//
// Verdicts in the store.
#include "ctl/store/verdict.h"

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/store/sql.h"

// Two of one second are the same one, found again.
int store_verdict_add(struct store_db *db, const char *rollout, uint64_t run, int64_t at_s,
                      const json_t *body, struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT OR REPLACE INTO verdict VALUES(?,?,?,?)", "tiij",
                         rollout, (int64_t)run, at_s, body);
}

static int add_row(void *context, sqlite3_stmt *row, struct err *e) {
    json_t *list = context;
    OWN(json) json_t *body = NULL;
    if (store_sql_json(row, 2, &body, e) < 0)
        return -1;
    if (json_object_set_new(body, "run", json_integer(store_sql_int(row, 0))) < 0 ||
        json_object_set_new(body, "at_s", json_integer(store_sql_int(row, 1))) < 0 ||
        json_array_append(list, body) < 0)
        return err_set(e, &err_bad_store, "reading the store: a verdict is damaged");
    return 0;
}

int store_verdict_list(struct store_db *db, const char *rollout, json_t **ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    OWN(json) json_t *list = json_array();
    if (store_sql_query(db, &row, e,
                        "SELECT run,at_s,body FROM verdict WHERE rollout=? ORDER BY run,at_s", "t",
                        rollout) < 0)
        return -1;
    if (store_sql_each(db, row, add_row, list, e) < 0)
        return -1;
    *ret = own_take(&list);
    return 0;
}
