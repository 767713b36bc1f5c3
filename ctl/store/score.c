// SPDX-License-Identifier: Apache-2.0
//
// Lines of gates in the store.
#include "ctl/store/score.h"

#include "ctl/kind.h"
#include "ctl/store/sql.h"

int store_score_put(struct store_db *db, const char *rollout, uint64_t run, int gate,
                    const char *state, struct err *e) {
    return store_sql_run(db, NULL, e,
                         "INSERT INTO score VALUES(?,?,?,?) ON CONFLICT(rollout,run,gate) DO"
                         " UPDATE SET state=excluded.state",
                         "tiit", rollout, (int64_t)run, (int64_t)gate, state);
}

struct visit {
    int (*fn)(void *context, int gate, const char *state, struct err *e);
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    const unsigned char *state = sqlite3_column_text(row, 1);
    if (state == NULL)
        return err_set(e, &err_memory, "reading the store: out of memory");
    return visit->fn(visit->context, (int)store_sql_int(row, 0), (const char *)state, e);
}

int store_score_list(struct store_db *db, const char *rollout, uint64_t run,
                     int (*visit)(void *context, int gate, const char *state, struct err *e),
                     void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT gate,state FROM score WHERE rollout=? AND run=? ORDER BY gate",
                        "ti", rollout, (int64_t)run) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_score_run(struct store_db *db, const char *rollout, uint64_t *ret, struct err *e) {
    return store_sql_count(db, ret, e, "SELECT coalesce(max(run),0) FROM score WHERE rollout=?",
                           "t", rollout);
}
