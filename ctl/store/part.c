// SPDX-License-Identifier: Apache-2.0
//
// Devices and the rollouts that are not their task's.
#include "ctl/store/part.h"

#include <stdio.h>

#include "ctl/store/sql.h"

static int read_row(sqlite3_stmt *row, const char *rollout, struct store_device_task *ret,
                    struct err *e) {
    struct store_device_task task = {.attempt = (uint64_t)store_sql_int(row, 0),
                                     .state = (enum rollout_task)store_sql_int(row, 1),
                                     .stage = (uint64_t)store_sql_int(row, 2),
                                     .stratum = (uint64_t)store_sql_int(row, 3),
                                     .since_s = store_sql_int(row, 4)};
    (void)snprintf(task.rollout, sizeof task.rollout, "%s", rollout);
    if (store_sql_blob(row, 5, task.bundle.bytes, sizeof task.bundle.bytes, e) < 0)
        return -1;
    *ret = task;
    return 0;
}

int store_part_get(struct store_db *db, const char *device, const char *rollout,
                   struct store_device_task *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT attempt,state,stage,stratum,since_s,bundle FROM part"
                        " WHERE bucket=? AND device=? AND rollout=?",
                        "itt", (int64_t)store_db_bucket(device), device, rollout) < 0)
        return -1;
    int found = store_sql_row(db, row, e);
    if (found != 0)
        return found < 0 ? -1 : STORE_ABSENT;
    int done = read_row(row, rollout, ret, e);
    store_sql_reset(row);
    return done;
}

int store_part_put(struct store_db *db, const char *device, const struct store_device_task *task,
                   struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT OR REPLACE INTO part VALUES(?,?,?,?,?,?,?,?,?)",
                         "ittiiiiib", (int64_t)store_db_bucket(device), device, task->rollout,
                         (int64_t)task->attempt, (int64_t)task->state, (int64_t)task->stage,
                         (int64_t)task->stratum, task->since_s, task->bundle.bytes,
                         sizeof task->bundle.bytes);
}

int store_part_drop(struct store_db *db, const char *device, const char *rollout, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM part WHERE bucket=? AND device=? AND rollout=?",
                         "itt", (int64_t)store_db_bucket(device), device, rollout);
}

int store_part_forget(struct store_db *db, const char *rollout, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM part WHERE rollout=?", "t", rollout);
}
