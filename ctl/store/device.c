// SPDX-License-Identifier: Apache-2.0
//
// Devices in the store.
#include "ctl/store/device.h"

#include <assert.h>

#include "ctl/store/dry.h"
#include "ctl/store/ran.h"
#include "ctl/store/sql.h"
#include "ctl/store/undone.h"

#define COLUMNS                                                                                    \
    "id,state,key,created_s,seen_s,token_epoch,sequence,nonce,nonce_before,clone_s,report_acked,"  \
    "held,pin_name,pin_version,direct_attempt,task_rollout,task_attempt,task_state,task_stage,"    \
    "task_stratum,task_since_s,task_bundle,why_code,why_text,labels,said,facts,facts_digest,"      \
    "held_s,spent,token,task_code,gaps"

static const char *const state_names[STORE_DEVICE_STATES] = {"pending", "accepted", "rejected",
                                                             "retired", "replacing"};

const char *store_device_state_name(enum store_device_state state) {
    assert(state < STORE_DEVICE_STATES);
    return state_names[state];
}

void store_device_clear(struct store_device *device) {
    json_decref(device->labels);
    json_decref(device->said);
    json_decref(device->facts);
    json_decref(device->spent);
    device->labels = device->said = device->facts = device->spent = NULL;
}

static int read_task(sqlite3_stmt *row, struct store_device_task *ret, struct err *e) {
    ret->attempt = (uint64_t)store_sql_int(row, 16);
    ret->state = (enum rollout_task)store_sql_int(row, 17);
    ret->stage = (uint64_t)store_sql_int(row, 18);
    ret->stratum = (uint64_t)store_sql_int(row, 19);
    ret->since_s = store_sql_int(row, 20);
    if (store_sql_text(row, 15, ret->rollout, sizeof ret->rollout, e) < 0 ||
        store_sql_text(row, 31, ret->code, sizeof ret->code, e) < 0)
        return -1;
    return store_sql_blob(row, 21, ret->bundle.bytes, sizeof ret->bundle.bytes, e);
}

static int read_texts(sqlite3_stmt *row, struct store_device *ret, struct err *e) {
    if (store_sql_text(row, 0, ret->id, sizeof ret->id, e) < 0 ||
        store_sql_blob(row, 2, ret->key, sizeof ret->key, e) < 0 ||
        store_sql_text(row, 7, ret->nonce, sizeof ret->nonce, e) < 0 ||
        store_sql_text(row, 8, ret->nonce_before, sizeof ret->nonce_before, e) < 0 ||
        store_sql_text(row, 12, ret->pin_name, sizeof ret->pin_name, e) < 0 ||
        store_sql_text(row, 13, ret->pin_version, sizeof ret->pin_version, e) < 0 ||
        store_sql_text(row, 22, ret->why_code, sizeof ret->why_code, e) < 0 ||
        store_sql_text(row, 23, ret->why_text, sizeof ret->why_text, e) < 0 ||
        store_sql_text(row, 30, ret->token, sizeof ret->token, e) < 0 ||
        store_sql_blob(row, 32, ret->gaps.count, sizeof ret->gaps.count, e) < 0)
        return -1;
    return store_sql_text(row, 27, ret->facts_digest, sizeof ret->facts_digest, e);
}

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_device *ret = context;
    *ret = (struct store_device){.state = (enum store_device_state)store_sql_int(row, 1),
                                 .created_s = store_sql_int(row, 3),
                                 .seen_s = store_sql_int(row, 4),
                                 .token_epoch = (uint64_t)store_sql_int(row, 5),
                                 .sequence = (uint64_t)store_sql_int(row, 6),
                                 .clone_s = store_sql_int(row, 9),
                                 .report_acked = (uint64_t)store_sql_int(row, 10),
                                 .held = store_sql_int(row, 11) != 0,
                                 .held_s = store_sql_int(row, 28),
                                 .direct_attempt = (uint64_t)store_sql_int(row, 14)};
    if (read_texts(row, ret, e) < 0 || read_task(row, &ret->task, e) < 0 ||
        store_sql_json(row, 24, &ret->labels, e) < 0 ||
        store_sql_json(row, 25, &ret->said, e) < 0 || store_sql_json(row, 26, &ret->facts, e) < 0 ||
        store_sql_json(row, 29, &ret->spent, e) < 0) {
        store_device_clear(ret);
        return -1;
    }
    return 0;
}

int store_device_get(struct store_db *db, const char *id, struct store_device *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM device WHERE bucket=? AND id=?", "it",
                        (int64_t)store_db_bucket(id), id) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_device_add(struct store_db *db, const struct store_device *d, struct err *e) {
    if (store_sql_run(db, NULL, e,
                      "INSERT INTO device(bucket,id,state,key,created_s,seen_s,token_epoch,"
                      "sequence,nonce,nonce_before,clone_s,report_acked,held,pin_name,pin_version,"
                      "direct_attempt,task_rollout,task_attempt,task_state,task_stage,task_stratum,"
                      "task_since_s,task_bundle,why_code,why_text,labels,said,facts,facts_digest)"
                      " VALUES(?,?,?,?,?,0,0,0,'','',0,0,0,'','',1,'',0,0,0,0,0,zeroblob(32),'','',"
                      "NULL,NULL,NULL,'')",
                      "itibi", (int64_t)store_db_bucket(d->id), d->id, (int64_t)d->state, d->key,
                      sizeof d->key, d->created_s) < 0)
        return -1;
    if (store_device_put(db, d, e) < 0)
        return -1;
    return store_device_put_facts(db, d, e);
}

int store_device_put(struct store_db *db, const struct store_device *d, struct err *e) {
    const struct store_device_task *t = &d->task;
    return store_sql_run(
        db, NULL, e,
        "UPDATE device SET state=?,key=?,created_s=?,seen_s=?,token_epoch=?,sequence=?,nonce=?,"
        "nonce_before=?,clone_s=?,report_acked=?,held=?,pin_name=?,pin_version=?,direct_attempt=?,"
        "task_rollout=?,task_attempt=?,task_state=?,task_stage=?,task_stratum=?,task_since_s=?,"
        "task_bundle=?,why_code=?,why_text=?,said=?,held_s=?,spent=?,token=?,task_code=?,gaps=? "
        "WHERE "
        "bucket=? AND id=?",
        "ibiiiittiiittitiiiiibttjijttbit", (int64_t)d->state, d->key, sizeof d->key, d->created_s,
        d->seen_s, (int64_t)d->token_epoch, (int64_t)d->sequence, d->nonce, d->nonce_before,
        d->clone_s, (int64_t)d->report_acked, (int64_t)d->held, d->pin_name, d->pin_version,
        (int64_t)d->direct_attempt, t->rollout, (int64_t)t->attempt, (int64_t)t->state,
        (int64_t)t->stage, (int64_t)t->stratum, t->since_s, t->bundle.bytes, sizeof t->bundle.bytes,
        d->why_code, d->why_text, d->said, d->held_s, d->spent, d->token, t->code, d->gaps.count,
        sizeof d->gaps.count, (int64_t)store_db_bucket(d->id), d->id);
}

int store_device_put_facts(struct store_db *db, const struct store_device *d, struct err *e) {
    return store_sql_run(
        db, NULL, e, "UPDATE device SET labels=?,facts=?,facts_digest=? WHERE bucket=? AND id=?",
        "jjtit", d->labels, d->facts, d->facts_digest, (int64_t)store_db_bucket(d->id), d->id);
}

int store_device_remove(struct store_db *db, const char *id, struct err *e) {
    int64_t bucket = store_db_bucket(id);
    if (store_sql_run(db, NULL, e, "DELETE FROM report WHERE bucket=? AND device=?", "it", bucket,
                      id) < 0)
        return -1;
    if (store_sql_run(db, NULL, e, "DELETE FROM part WHERE bucket=? AND device=?", "it", bucket,
                      id) < 0)
        return -1;
    if (store_undone_forget(db, id, e) < 0 || store_ran_forget(db, id, e) < 0 ||
        store_dry_forget_device(db, id, e) < 0)
        return -1;
    return store_sql_run(db, NULL, e, "DELETE FROM device WHERE bucket=? AND id=?", "it", bucket,
                         id);
}

struct visit {
    store_device_visit fn;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_device device;
    if (read_row(&device, row, e) < 0)
        return -1;
    int done = visit->fn(visit->context, &device, e);
    store_device_clear(&device);
    return done;
}

int store_device_list(struct store_db *db, const char *after, store_device_visit visit,
                      void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM device WHERE id>? ORDER BY id", "t",
                        after) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_device_silent(struct store_db *db, const struct store_device_silence *silence,
                        uint64_t max, store_device_visit visit, void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM device WHERE task_state BETWEEN 1 AND 3 AND"
                        " task_state=? AND seen_s<? AND task_rollout=? ORDER BY seen_s LIMIT ?",
                        "iiti", (int64_t)silence->task, silence->before_s, silence->rollout,
                        (int64_t)max) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_device_stuck(struct store_db *db, const char *rollout, int64_t before_s, uint64_t max,
                       store_device_visit visit, void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM device WHERE task_state BETWEEN 1 AND 3 AND"
                        " task_rollout=? AND task_since_s<? ORDER BY task_since_s LIMIT ?",
                        "tii", rollout, before_s, (int64_t)max) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_device_held(struct store_db *db, const char *rollout, int64_t before_s, uint64_t max,
                      store_device_visit visit, void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT " COLUMNS " FROM device WHERE held=1 AND"
                        " task_state BETWEEN 1 AND 2 AND task_rollout=? AND held_s<?"
                        " ORDER BY held_s LIMIT ?",
                        "tii", rollout, before_s, (int64_t)max) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_device_count_held(struct store_db *db, const char *rollout, uint64_t *ret,
                            struct err *e) {
    return store_sql_count(db, ret, e,
                           "SELECT count(*) FROM device WHERE held=1 AND"
                           " task_state BETWEEN 1 AND 2 AND task_rollout=?",
                           "t", rollout);
}

int store_device_set_back(struct store_db *db, int64_t now_s, struct err *e) {
    return store_sql_run(db, NULL, e,
                         "UPDATE device SET seen_s=min(seen_s,?1),"
                         "task_since_s=min(task_since_s,?1),held_s=min(held_s,?1)"
                         " WHERE seen_s>?1 OR task_since_s>?1 OR held_s>?1",
                         "i", now_s);
}

int store_device_took(struct store_db *db, const char *rollout, uint64_t *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT task_state,count(*) FROM device WHERE task_rollout=? AND state=?"
                        " GROUP BY task_state",
                        "ti", rollout, (int64_t)STORE_DEVICE_ACCEPTED) < 0)
        return -1;
    int found = 0;
    uint64_t n = 0;
    while ((found = store_sql_row(db, row, e)) == 0)
        if (rollout_task_took((enum rollout_task)store_sql_int(row, 0)))
            n += (uint64_t)store_sql_int(row, 1);
    if (found < 0)
        return -1;
    *ret = n;
    return 0;
}

int store_device_count(struct store_db *db, enum store_device_state state, uint64_t *ret,
                       struct err *e) {
    return store_sql_count(db, ret, e, "SELECT count(*) FROM device WHERE state=?", "i",
                           (int64_t)state);
}
