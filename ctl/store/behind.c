// SPDX-License-Identifier: Apache-2.0
//
// Who did not go back: what devices were told, what they said to it, and their tasks.
#include "ctl/store/behind.h"

#include <assert.h>

#include "ctl/rollout/task.h"
#include "ctl/store/device.h"
#include "ctl/store/sql.h"

// The numbers of task states stand in the texts.
static_assert(ROLLOUT_TASK_OFFERED == 1 && ROLLOUT_TASK_STAGED == 2 &&
                  ROLLOUT_TASK_ACTIVATED == 3 && ROLLOUT_TASK_COMMITTED == 4 &&
                  ROLLOUT_TASK_LOST == 7 && STORE_DEVICE_ACCEPTED == 1,
              "numbers of tasks and states");

#define KIND "CASE WHEN u.code<>'' THEN 0 WHEN u.at_s IS NOT NULL THEN 1 ELSE 2 END"
// Who could not is listed whatever it does now; others, while the release is what they were told last.
#define FROM                                                                                       \
    " FROM device d LEFT JOIN undone u ON u.bucket=d.bucket AND u.device=d.id AND u.name=?2"       \
    " AND u.version=?3 AND u.rollout=?1 WHERE d.state=1 AND (u.code<>'' OR (d.task_rollout=?1"     \
    " AND (d.task_state IN (1,2,3,7) OR (d.task_state=4 AND ?4=0))))"
static_assert(STORE_BEHIND_FAILED == 0 && STORE_BEHIND_TOLD == 1 && STORE_BEHIND_UNHEARD == 2,
              "numbers in this text");

struct visit {
    store_behind_visit fn;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_behind behind = {.state = (enum store_behind_state)store_sql_int(row, 1),
                                  .told_s = store_sql_int(row, 4),
                                  .seen_s = store_sql_int(row, 5)};
    if (store_sql_text(row, 0, behind.device, sizeof behind.device, e) < 0 ||
        store_sql_text(row, 2, behind.code, sizeof behind.code, e) < 0 ||
        store_sql_text(row, 3, behind.text, sizeof behind.text, e) < 0)
        return -1;
    return visit->fn(visit->context, &behind, e);
}

int store_behind_list(struct store_db *db, const struct store_behind_of *of,
                      const struct store_behind_page *page, store_behind_visit visit, void *context,
                      struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT d.id," KIND
                        ",coalesce(u.code,''),coalesce(u.text,''),coalesce(u.at_s,0),"
                        "d.seen_s" FROM " AND d.id>?5 ORDER BY d.id LIMIT ?6",
                        "tttiti", of->rollout, of->name, of->version, (int64_t)of->committed_stay,
                        page->after, (int64_t)page->max) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

static int count_row(void *context, sqlite3_stmt *row, struct err *e) {
    uint64_t *ret = context;
    (void)e;
    ret[store_sql_int(row, 0)] = (uint64_t)store_sql_int(row, 1);
    return 0;
}

int store_behind_count(struct store_db *db, const struct store_behind_of *of,
                       uint64_t ret[static STORE_BEHIND_STATES], struct err *e) {
    sqlite3_stmt *row = NULL;
    for (size_t i = 0; i < STORE_BEHIND_STATES; i++)
        ret[i] = 0;
    if (store_sql_query(db, &row, e, "SELECT " KIND ",count(*)" FROM " GROUP BY 1", "ttti",
                        of->rollout, of->name, of->version, (int64_t)of->committed_stay) < 0)
        return -1;
    return store_sql_each(db, row, count_row, ret, e);
}
