// SPDX-License-Identifier: Apache-2.0
//
// Events in the store.
#include "ctl/store/event.h"

#include "ctl/store/sql.h"

int store_event_last(struct store_db *db, uint64_t *ret, struct err *e) {
    return store_sql_count(db, ret, e, "SELECT max(id) FROM event", "");
}

int store_event_add(struct store_db *db, struct store_event *io, int64_t at_ms, struct err *e) {
    uint64_t last = 0, now = (uint64_t)at_ms * 1000;
    if (store_event_last(db, &last, e) < 0)
        return -1;
    io->id = now > last ? now : last + 1;
    io->at_s = at_ms / 1000;
    return store_sql_run(db, NULL, e, "INSERT INTO event VALUES(?,?,?,?,?,?,?)", "iittttt",
                         (int64_t)io->id, io->at_s, io->kind, io->subject, io->rollout, io->code,
                         io->text);
}

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_event *ret = context;
    *ret =
        (struct store_event){.id = (uint64_t)store_sql_int(row, 0), .at_s = store_sql_int(row, 1)};
    if (store_sql_text(row, 2, ret->kind, sizeof ret->kind, e) < 0 ||
        store_sql_text(row, 3, ret->subject, sizeof ret->subject, e) < 0 ||
        store_sql_text(row, 4, ret->rollout, sizeof ret->rollout, e) < 0 ||
        store_sql_text(row, 5, ret->code, sizeof ret->code, e) < 0)
        return -1;
    return store_sql_text(row, 6, ret->text, sizeof ret->text, e);
}

struct visit {
    int (*fn)(void *context, const struct store_event *event, struct err *e);
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_event one;
    if (read_row(&one, row, e) < 0)
        return -1;
    return visit->fn(visit->context, &one, e);
}

int store_event_list(struct store_db *db, uint64_t after,
                     int (*visit)(void *context, const struct store_event *event, struct err *e),
                     void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT id,at_s,kind,subject,rollout,code,text FROM event WHERE id>?"
                        " ORDER BY id",
                        "i", (int64_t)after) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_event_trim(struct store_db *db, struct err *e) {
    return store_sql_run(db, NULL, e,
                         "DELETE FROM event WHERE id<=(SELECT id FROM event ORDER BY id DESC"
                         " LIMIT 1 OFFSET ?)",
                         "i", (int64_t)STORE_EVENT_KEPT);
}
