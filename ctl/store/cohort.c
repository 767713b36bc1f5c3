// SPDX-License-Identifier: Apache-2.0
//
// Cohorts in the store.
#include "ctl/store/cohort.h"

#include <assert.h>
#include <stdlib.h>

#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/rollout/score_state.h"
#include "ctl/store/sql.h"

// The order of signed numbers is that of the unsigned ones they stand for.
static int64_t column_of(uint64_t rank) {
    return (int64_t)(rank ^ (UINT64_C(1) << 63));
}

static int parse(sqlite3_stmt *row, int column, const struct rollout_gates *gates,
                 struct rollout_score_device *ret, struct err *e) {
    const unsigned char *line = sqlite3_column_text(row, column);
    if (line == NULL)
        return err_set(e, &err_memory, "reading the store: out of memory");
    return rollout_score_state_parse_device((const char *)line, gates, ret, e);
}

// ── One row ──

struct get {
    const struct rollout_gates *gates;
    struct rollout_score_device *ret;
};

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct get *get = context;
    return parse(row, 0, get->gates, get->ret, e);
}

int store_cohort_get(const struct store_cohort *of, const char *device,
                     struct rollout_score_device *ret, struct err *e) {
    struct get get = {of->gates, ret};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e, "SELECT body FROM cohort WHERE rollout=? AND device=?",
                        "tt", of->rollout, device) < 0)
        return -1;
    return store_sql_one(of->db, row, read_row, &get, e);
}

static int format(const struct store_cohort *of, const struct rollout_score_device *d,
                  struct buf *ret, struct err *e) {
    buf_init(ret, ROLLOUT_SCORE_LINE_MAX_BYTES);
    return rollout_score_state_format_device(d, of->gates, ret, e);
}

int store_cohort_add(const struct store_cohort *of, const char *device,
                     const struct store_cohort_origin *origin, const struct rollout_score_device *d,
                     struct err *e) {
    OWN(buf) struct buf line;
    if (format(of, d, &line, e) < 0)
        return -1;
    return store_sql_run(
        of->db, NULL, e, "INSERT INTO cohort VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        "ttiiiiiiiiiiiiittti", of->rollout, device, (int64_t)store_db_bucket(device),
        (int64_t)d->arm, (int64_t)d->counted, (int64_t)d->stratum, column_of(d->rank),
        (int64_t)d->number, (int64_t)d->outcome, d->heard_s, (int64_t)d->epoch, (int64_t)d->at_risk,
        (int64_t)d->set_no, (int64_t)d->place, d->due_s, buf_text(&line), origin->site,
        origin->token, origin->enrolled_s);
}

int store_cohort_put(const struct store_cohort *of, const char *device,
                     const struct rollout_score_device *d, struct err *e) {
    OWN(buf) struct buf line;
    int64_t changed = 0;
    if (format(of, d, &line, e) < 0 ||
        store_sql_run(of->db, &changed, e,
                      "UPDATE cohort SET arm=?,counted=?,stratum=?,rank=?,number=?,outcome=?,"
                      "seen_s=?,epoch=?,at_risk=?,set_no=?,place=?,due_s=?,body=?"
                      " WHERE rollout=? AND device=?",
                      "iiiiiiiiiiiittt", (int64_t)d->arm, (int64_t)d->counted, (int64_t)d->stratum,
                      column_of(d->rank), (int64_t)d->number, (int64_t)d->outcome, d->heard_s,
                      (int64_t)d->epoch, (int64_t)d->at_risk, (int64_t)d->set_no, (int64_t)d->place,
                      d->due_s, buf_text(&line), of->rollout, device) < 0)
        return -1;
    assert(changed == 1);
    return 0;
}

// ── Searches ──

struct search {
    const struct store_cohort *of;
    store_cohort_visit visit;
    void *context;
    struct rollout_score_device *row; // large
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct search *search = context;
    char device[ROLLOUT_UNIT_ID_MAX + 1];
    if (store_sql_text(row, 0, device, sizeof device, e) < 0 ||
        parse(row, 1, search->of->gates, search->row, e) < 0)
        return -1;
    return search->visit(search->context, device, search->row, e);
}

static int walk(const struct store_cohort *of, sqlite3_stmt *row, store_cohort_visit visit,
                void *context, struct err *e) {
    OWN(mem) struct rollout_score_device *room = calloc(1, sizeof *room);
    struct search search = {.of = of, .visit = visit, .context = context, .row = room};
    if (room == NULL) {
        store_sql_reset(row);
        return err_set(e, &err_memory, "reading the store: out of memory");
    }
    return store_sql_each(of->db, row, visit_row, &search, e);
}

int store_cohort_draw(const struct store_cohort *of, const struct store_cohort_draw *draw,
                      store_cohort_visit visit, void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    int64_t least = INT64_MIN;
    if (draw->has_above && draw->above == UINT64_MAX)
        return 0;
    if (draw->has_above)
        least = column_of(draw->above + 1);
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,body FROM cohort WHERE rollout=? AND stratum=? AND arm=1"
                        " AND counted=1 AND set_no=0 AND rank>=? AND seen_s>=? ORDER BY rank DESC",
                        "tiii", of->rollout, (int64_t)draw->stratum, least, draw->heard_s) < 0)
        return -1;
    return walk(of, row, visit, context, e);
}

int store_cohort_due(const struct store_cohort *of, int64_t now_s, uint64_t max,
                     store_cohort_visit visit, void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,body FROM cohort WHERE rollout=? AND place=0 AND due_s>0"
                        " AND due_s<=? ORDER BY due_s LIMIT ?",
                        "tii", of->rollout, now_s, (int64_t)max) < 0)
        return -1;
    return walk(of, row, visit, context, e);
}

int store_cohort_set(const struct store_cohort *of, uint64_t set_no, store_cohort_visit visit,
                     void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,body FROM cohort WHERE rollout=? AND set_no>0 AND set_no=?"
                        " ORDER BY place",
                        "ti", of->rollout, (int64_t)set_no) < 0)
        return -1;
    return walk(of, row, visit, context, e);
}

static int read_outcome(void *context, sqlite3_stmt *row, struct err *e) {
    enum rollout_outcome *ret = context;
    int64_t outcome = store_sql_int(row, 0);
    if (outcome < ROLLOUT_OUTCOME_NONE || outcome > ROLLOUT_OUTCOME_LEFT)
        return err_set(e, &err_bad_store, "reading the store: an outcome is damaged");
    *ret = (enum rollout_outcome)outcome;
    return 0;
}

int store_cohort_number(const struct store_cohort *of, uint64_t number, enum rollout_outcome *ret,
                        struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT outcome FROM cohort WHERE rollout=? AND number>0 AND number=?",
                        "ti", of->rollout, (int64_t)number) < 0)
        return -1;
    return store_sql_one(of->db, row, read_outcome, ret, e);
}

static int read_holder(void *context, sqlite3_stmt *row, struct err *e) {
    return store_sql_text(row, 0, context, ROLLOUT_UNIT_ID_MAX + 1, e);
}

int store_cohort_holder(const struct store_cohort *of, uint64_t number,
                        char ret[static ROLLOUT_UNIT_ID_MAX + 1], struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device FROM cohort WHERE rollout=? AND number>0 AND number=?", "ti",
                        of->rollout, (int64_t)number) < 0)
        return -1;
    return store_sql_one(of->db, row, read_holder, ret, e);
}

int store_cohort_count_silent(const struct store_cohort *of,
                              const struct store_cohort_silence *silence, uint64_t max,
                              uint64_t *ret, struct err *e) {
    return store_sql_count(of->db, ret, e,
                           "SELECT count(*) FROM (SELECT 1 FROM cohort WHERE rollout=? AND epoch>=?"
                           " AND at_risk>0 AND seen_s<? AND (at_risk&?)<>0 LIMIT ?)",
                           "tiiii", of->rollout, (int64_t)silence->epoch, silence->before_s,
                           (int64_t)silence->gates, (int64_t)max);
}

int store_cohort_silent(const struct store_cohort *of, const struct store_cohort_silence *silence,
                        uint64_t max, store_cohort_visit visit, void *context, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,body FROM cohort WHERE rollout=? AND epoch>=? AND at_risk>0"
                        " AND seen_s<? AND (at_risk&?)<>0 ORDER BY seen_s LIMIT ?",
                        "tiiii", of->rollout, (int64_t)silence->epoch, silence->before_s,
                        (int64_t)silence->gates, (int64_t)max) < 0)
        return -1;
    return walk(of, row, visit, context, e);
}

int store_cohort_set_back(const struct store_cohort *of, int64_t now_s, struct err *e) {
    return store_sql_run(of->db, NULL, e,
                         "UPDATE cohort SET seen_s=?1 WHERE rollout=?2 AND at_risk>0 AND seen_s>?1",
                         "it", now_s, of->rollout);
}

struct treated {
    const struct store_cohort *of;
    store_cohort_visit_treated visit;
    void *context;
    struct rollout_score_device *row;
};

static int visit_treated(void *context, sqlite3_stmt *row, struct err *e) {
    const struct treated *treated = context;
    struct store_cohort_origin origin = {.enrolled_s = store_sql_int(row, 3)};
    if (parse(row, 0, treated->of->gates, treated->row, e) < 0 ||
        store_sql_text(row, 1, origin.site, sizeof origin.site, e) < 0 ||
        store_sql_text(row, 2, origin.token, sizeof origin.token, e) < 0)
        return -1;
    return treated->visit(treated->context, treated->row, &origin, e);
}

int store_cohort_treated(const struct store_cohort *of, uint64_t first,
                         store_cohort_visit_treated visit, void *context, struct err *e) {
    OWN(mem) struct rollout_score_device *room = calloc(1, sizeof *room);
    struct treated treated = {.of = of, .visit = visit, .context = context, .row = room};
    sqlite3_stmt *row = NULL;
    if (room == NULL)
        return err_set(e, &err_memory, "reading the store: out of memory");
    if (store_sql_query(of->db, &row, e,
                        "SELECT body,site,token,enrolled_s FROM cohort WHERE rollout=? AND"
                        " number>0 AND number>=? ORDER BY number",
                        "ti", of->rollout, (int64_t)first) < 0)
        return -1;
    return store_sql_each(of->db, row, visit_treated, &treated, e);
}

int store_cohort_list(const struct store_cohort *of, store_cohort_visit visit, void *context,
                      struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(of->db, &row, e,
                        "SELECT device,body FROM cohort WHERE rollout=? ORDER BY device", "t",
                        of->rollout) < 0)
        return -1;
    return walk(of, row, visit, context, e);
}

int store_cohort_forget(struct store_db *db, const char *rollout, uint64_t max, uint64_t *ret,
                        struct err *e) {
    int64_t n = 0;
    if (store_sql_run(db, &n, e,
                      "DELETE FROM cohort WHERE rollout=?1 AND device IN"
                      " (SELECT device FROM cohort WHERE rollout=?1 LIMIT ?2)",
                      "ti", rollout, (int64_t)max) < 0)
        return -1;
    *ret = (uint64_t)n;
    return 0;
}
