// SPDX-License-Identifier: Apache-2.0
//
// Sums of bytes in the store.
#include "ctl/store/traffic.h"

#include "ctl/store/sql.h"

int store_traffic_add(struct store_db *db, const char *device, const char *rollout,
                      const char *kind, uint64_t bytes, struct err *e) {
    if (bytes == 0)
        return 0;
    // A sum that would pass what the column holds stays there: it came from false reports.
    return store_sql_run(db, NULL, e,
                         "INSERT INTO traffic VALUES(?1,?2,?3,min(?4,?5))"
                         " ON CONFLICT(bucket,rollout,kind) DO UPDATE SET"
                         " bytes=min(bytes+excluded.bytes,?5)",
                         "ittii", (int64_t)store_db_bucket(device), rollout, kind, (int64_t)bytes,
                         INT64_MAX / (2 * STORE_DB_BUCKETS));
}

struct visit {
    int (*fn)(void *context, const char *kind, uint64_t bytes, struct err *e);
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    char kind[ERR_NAME_BYTES];
    if (store_sql_text(row, 0, kind, sizeof kind, e) < 0)
        return -1;
    return visit->fn(visit->context, kind, (uint64_t)store_sql_int(row, 1), e);
}

int store_traffic_list(struct store_db *db, const char *rollout,
                       int (*visit)(void *context, const char *kind, uint64_t bytes, struct err *e),
                       void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT kind,sum(bytes) FROM traffic WHERE rollout=? GROUP BY kind"
                        " ORDER BY kind",
                        "t", rollout) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}
