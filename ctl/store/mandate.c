// SPDX-License-Identifier: Apache-2.0
//
// Mandates in the store.
#include "ctl/store/mandate.h"

#include <stdio.h>

#include "ctl/store/sql.h"

#define COLUMNS                                                                                    \
    "id,rollout,device,name,release,version,signed_stages,baseline,size,expires_s,created_s,actor"

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_mandate *ret = context;
    struct store_mandate m = {.version = (uint64_t)store_sql_int(row, 5),
                              .signed_stages = (uint64_t)store_sql_int(row, 6),
                              .baseline = store_sql_int(row, 7) != 0,
                              .size = (uint64_t)store_sql_int(row, 8),
                              .expires_s = store_sql_int(row, 9),
                              .created_s = store_sql_int(row, 10)};
    if (store_sql_text(row, 0, m.id, sizeof m.id, e) < 0 ||
        store_sql_text(row, 1, m.rollout, sizeof m.rollout, e) < 0 ||
        store_sql_text(row, 2, m.device, sizeof m.device, e) < 0 ||
        store_sql_text(row, 3, m.name, sizeof m.name, e) < 0 ||
        store_sql_text(row, 4, m.release, sizeof m.release, e) < 0 ||
        store_sql_text(row, 11, m.actor, sizeof m.actor, e) < 0)
        return -1;
    *ret = m;
    return 0;
}

int store_mandate_add(struct store_db *db, const struct store_mandate *m, struct err *e) {
    return store_sql_run(
        db, NULL, e, "INSERT OR IGNORE INTO mandate(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
        "tttttiiiiiit", m->id, m->rollout, m->device, m->name, m->release, (int64_t)m->version,
        (int64_t)m->signed_stages, (int64_t)m->baseline, (int64_t)m->size, m->expires_s,
        m->created_s, m->actor);
}

int store_mandate_of_rollout(struct store_db *db, const char *rollout, struct store_mandate *ret,
                             struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM mandate WHERE rollout=? AND rollout<>''"
                        " ORDER BY version DESC, id LIMIT 1",
                        "t", rollout) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_mandate_of_pin(struct store_db *db, const char *device, const char *name,
                         const char *release, struct store_mandate *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM mandate WHERE rollout='' AND device=? AND name=?"
                        " AND release=? ORDER BY version DESC, id LIMIT 1",
                        "ttt", device, name, release) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_mandate_of_baseline(struct store_db *db, const char *name, const char *release,
                              struct store_mandate *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM mandate WHERE baseline=1 AND name=? AND release=?"
                        " ORDER BY created_s DESC, version DESC, id LIMIT 1",
                        "tt", name, release) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

char *store_mandate_file(const char *id, char ret[static STORE_MANDATE_FILE_BYTES]) {
    (void)snprintf(ret, STORE_MANDATE_FILE_BYTES, "%s.mandate", id);
    return ret;
}
