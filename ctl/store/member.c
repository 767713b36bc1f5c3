// SPDX-License-Identifier: Apache-2.0
//
// Devices of sites in the store.
#include "ctl/store/member.h"

#include "base/own.h"
#include "ctl/rollout/score_state.h"
#include "ctl/store/sql.h"

static int parse(sqlite3_stmt *row, int column, const struct rollout_gates *gates,
                 struct rollout_score_member *ret, struct err *e) {
    const unsigned char *line = sqlite3_column_text(row, column);
    if (line == NULL)
        return err_set(e, &err_memory, "reading the store: out of memory");
    return rollout_score_state_parse_member((const char *)line, gates, ret, e);
}

struct get {
    const struct rollout_gates *gates;
    char *unit;
    struct rollout_score_member *ret;
};

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct get *get = context;
    if (store_sql_text(row, 0, get->unit, ROLLOUT_UNIT_ID_MAX + 1, e) < 0)
        return -1;
    return parse(row, 1, get->gates, get->ret, e);
}

int store_member_get(const struct store_cohort *of, const char *device,
                     char ret_unit[static ROLLOUT_UNIT_ID_MAX + 1],
                     struct rollout_score_member *ret, struct err *e) {
    struct get get = {of->gates, ret_unit, ret};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT unit,body FROM member WHERE rollout=? AND device=?", "tt",
                        of->rollout, device) < 0)
        return -1;
    return store_sql_one(of->db, row, read_row, &get, e);
}

int store_member_put(const struct store_cohort *of, const char *device, const char *unit,
                     const struct rollout_score_member *m, struct err *e) {
    OWN(buf) struct buf line;
    buf_init(&line, ROLLOUT_SCORE_LINE_MAX_BYTES);
    if (rollout_score_state_format_member(m, of->gates, &line, e) < 0)
        return -1;
    return store_sql_run(of->db, NULL, e,
                         "INSERT INTO member VALUES(?,?,?,?,?,?) ON CONFLICT(rollout,device) DO"
                         " UPDATE SET unit=excluded.unit, waits=excluded.waits,"
                         " seen_s=excluded.seen_s, body=excluded.body",
                         "tttiit", of->rollout, device, unit, (int64_t)(m->waits ? m->run : 0),
                         m->heard_s, buf_text(&line));
}

// ── Searches ──

struct search {
    const struct store_cohort *of;
    store_member_visit visit;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct search *search = context;
    char device[BUNDLE_DEVICE_ID_MAX + 1], unit[ROLLOUT_UNIT_ID_MAX + 1];
    struct rollout_score_member member;
    if (store_sql_text(row, 0, device, sizeof device, e) < 0 ||
        store_sql_text(row, 1, unit, sizeof unit, e) < 0 ||
        parse(row, 2, search->of->gates, &member, e) < 0)
        return -1;
    return search->visit(search->context, device, unit, &member, e);
}

int store_member_of(const struct store_cohort *of, const char *unit, store_member_visit visit,
                    void *context, struct err *e) {
    struct search search = {of, visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,unit,body FROM member WHERE rollout=? AND unit=?"
                        " ORDER BY device",
                        "tt", of->rollout, unit) < 0)
        return -1;
    return store_sql_each(of->db, row, visit_row, &search, e);
}

int store_member_count_silent(const struct store_cohort *of, uint32_t run, int64_t before_s,
                              uint64_t max, uint64_t *ret, struct err *e) {
    return store_sql_count(of->db, ret, e,
                           "SELECT count(*) FROM (SELECT 1 FROM member WHERE rollout=? AND waits>0"
                           " AND waits=? AND seen_s<? LIMIT ?)",
                           "tiii", of->rollout, (int64_t)run, before_s, (int64_t)max);
}

int store_member_silent(const struct store_cohort *of, uint32_t run, int64_t before_s, uint64_t max,
                        store_member_visit visit, void *context, struct err *e) {
    struct search search = {of, visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,unit,body FROM member WHERE rollout=? AND waits>0 AND"
                        " waits=? AND seen_s<? ORDER BY seen_s LIMIT ?",
                        "tiii", of->rollout, (int64_t)run, before_s, (int64_t)max) < 0)
        return -1;
    return store_sql_each(of->db, row, visit_row, &search, e);
}

int store_member_set_back(const struct store_cohort *of, int64_t now_s, struct err *e) {
    return store_sql_run(of->db, NULL, e,
                         "UPDATE member SET seen_s=?1 WHERE rollout=?2 AND waits>0 AND seen_s>?1",
                         "it", now_s, of->rollout);
}

int store_member_forget(struct store_db *db, const char *rollout, uint64_t max, uint64_t *ret,
                        struct err *e) {
    int64_t n = 0;
    if (store_sql_run(db, &n, e,
                      "DELETE FROM member WHERE rollout=?1 AND device IN"
                      " (SELECT device FROM member WHERE rollout=?1 LIMIT ?2)",
                      "ti", rollout, (int64_t)max) < 0)
        return -1;
    *ret = (uint64_t)n;
    return 0;
}
