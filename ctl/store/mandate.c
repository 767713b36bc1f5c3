// SPDX-License-Identifier: Apache-2.0
//
// Mandates in the store.
#include "ctl/store/mandate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/store/sql.h"

#define COLUMNS                                                                                    \
    "id,rollout,device,name,release,version,signed_stages,baseline,size,expires_s,created_s,"      \
    "actor,starts"
#define STARTS_BYTES (BUNDLE_MANDATE_STAGES_MAX * sizeof "-9223372036854775808 ")

static void format_starts(const struct store_mandate *m, char ret[static STARTS_BYTES]) {
    size_t at = 0;
    for (size_t i = 0; i < BUNDLE_MANDATE_STAGES_MAX; i++)
        at += (size_t)snprintf(ret + at, STARTS_BYTES - at, "%" PRId64 " ", m->starts_s[i]);
}

static void read_starts(const char *text, struct store_mandate *io) {
    for (size_t i = 0; i < BUNDLE_MANDATE_STAGES_MAX && *text != '\0'; i++) {
        char *end = NULL;
        io->starts_s[i] = strtoll(text, &end, 10);
        text = *end == ' ' ? end + 1 : "";
    }
}

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_mandate *ret = context;
    struct store_mandate m = {.version = (uint64_t)store_sql_int(row, 5),
                              .signed_stages = (uint64_t)store_sql_int(row, 6),
                              .baseline = store_sql_int(row, 7) != 0,
                              .size = (uint64_t)store_sql_int(row, 8),
                              .expires_s = store_sql_int(row, 9),
                              .created_s = store_sql_int(row, 10)};
    char starts[STARTS_BYTES];
    if (store_sql_text(row, 0, m.id, sizeof m.id, e) < 0 ||
        store_sql_text(row, 1, m.rollout, sizeof m.rollout, e) < 0 ||
        store_sql_text(row, 2, m.device, sizeof m.device, e) < 0 ||
        store_sql_text(row, 3, m.name, sizeof m.name, e) < 0 ||
        store_sql_text(row, 4, m.release, sizeof m.release, e) < 0 ||
        store_sql_text(row, 11, m.actor, sizeof m.actor, e) < 0 ||
        store_sql_text(row, 12, starts, sizeof starts, e) < 0)
        return -1;
    read_starts(starts, &m);
    *ret = m;
    return 0;
}

int store_mandate_add(struct store_db *db, const struct store_mandate *m, struct err *e) {
    char starts[STARTS_BYTES];
    format_starts(m, starts);
    return store_sql_run(
        db, NULL, e, "INSERT OR IGNORE INTO mandate(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
        "tttttiiiiiitt", m->id, m->rollout, m->device, m->name, m->release, (int64_t)m->version,
        (int64_t)m->signed_stages, (int64_t)m->baseline, (int64_t)m->size, m->expires_s,
        m->created_s, m->actor, starts);
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
