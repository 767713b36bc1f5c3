// SPDX-License-Identifier: Apache-2.0
//
// Devices and the rollouts that are not their task's.
#include "ctl/store/part.h"

#include "ctl/store/sql.h"

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_device_task *ret = context;
    struct store_device_task task = {.attempt = (uint64_t)store_sql_int(row, 0),
                                     .state = (enum rollout_task)store_sql_int(row, 1),
                                     .stage = (uint64_t)store_sql_int(row, 2),
                                     .stratum = (uint64_t)store_sql_int(row, 3),
                                     .since_s = store_sql_int(row, 4)};
    if (store_sql_text(row, 6, task.rollout, sizeof task.rollout, e) < 0 ||
        store_sql_text(row, 7, task.code, sizeof task.code, e) < 0 ||
        store_sql_blob(row, 5, task.bundle.bytes, sizeof task.bundle.bytes, e) < 0)
        return -1;
    *ret = task;
    return 0;
}

int store_part_get(struct store_db *db, const char *device, const char *rollout,
                   struct store_device_task *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT attempt,state,stage,stratum,since_s,bundle,rollout,code FROM part"
                        " WHERE bucket=? AND device=? AND rollout=?",
                        "itt", (int64_t)store_db_bucket(device), device, rollout) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_part_put(struct store_db *db, const char *device, const struct store_device_task *task,
                   struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT OR REPLACE INTO part VALUES(?,?,?,?,?,?,?,?,?,?)",
                         "ittiiiiibt", (int64_t)store_db_bucket(device), device, task->rollout,
                         (int64_t)task->attempt, (int64_t)task->state, (int64_t)task->stage,
                         (int64_t)task->stratum, task->since_s, task->bundle.bytes,
                         sizeof task->bundle.bytes, task->code);
}

int store_part_drop(struct store_db *db, const char *device, const char *rollout, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM part WHERE bucket=? AND device=? AND rollout=?",
                         "itt", (int64_t)store_db_bucket(device), device, rollout);
}

int store_part_forget(struct store_db *db, const char *rollout, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM part WHERE rollout=?", "t", rollout);
}
