// SPDX-License-Identifier: Apache-2.0
//
// Requests for dry probes in the store.
#include "ctl/store/dry.h"

#include "base/own.h"
#include "ctl/store/sql.h"

int store_dry_add(struct store_db *db, const struct store_dry *dry, struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT INTO dry VALUES(?,?,?,?,?,?,?)", "tttttii", dry->id,
                         dry->name, dry->version, dry->scope, dry->actor, dry->created_s,
                         dry->expires_s);
}

int store_dry_add_device(struct store_db *db, const char *id, const struct store_dry_device *device,
                         struct err *e) {
    return store_sql_run(db, NULL, e, "INSERT INTO dry_device VALUES(?,?,?,?,?,0,0,0,0,'','',NULL)",
                         "itttt", (int64_t)store_db_bucket(device->device), device->device, id,
                         device->stratum, device->bundle);
}

static int read_dry(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_dry *ret = context;
    ret->created_s = store_sql_int(row, 5);
    ret->expires_s = store_sql_int(row, 6);
    if (store_sql_text(row, 0, ret->id, sizeof ret->id, e) < 0 ||
        store_sql_text(row, 1, ret->name, sizeof ret->name, e) < 0 ||
        store_sql_text(row, 2, ret->version, sizeof ret->version, e) < 0 ||
        store_sql_text(row, 3, ret->scope, sizeof ret->scope, e) < 0)
        return -1;
    return store_sql_text(row, 4, ret->actor, sizeof ret->actor, e);
}

int store_dry_get(struct store_db *db, const char *id, struct store_dry *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT id,name,version,scope,actor,created_s,expires_s FROM dry"
                        " WHERE id=?",
                        "t", id) < 0)
        return -1;
    return store_sql_one(db, row, read_dry, ret, e);
}

struct visit {
    store_dry_visit fn;
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    OWN(json) json_t *probes = NULL;
    struct store_dry_device device = {.asks = (uint64_t)store_sql_int(row, 3),
                                      .answered_s = store_sql_int(row, 4)};
    if (store_sql_text(row, 0, device.device, sizeof device.device, e) < 0 ||
        store_sql_text(row, 1, device.stratum, sizeof device.stratum, e) < 0 ||
        store_sql_text(row, 2, device.bundle, sizeof device.bundle, e) < 0 ||
        store_sql_text(row, 5, device.code, sizeof device.code, e) < 0 ||
        store_sql_text(row, 6, device.text, sizeof device.text, e) < 0 ||
        store_sql_json(row, 7, &probes, e) < 0)
        return -1;
    device.probes = probes;
    return visit->fn(visit->context, &device, e);
}

int store_dry_list(struct store_db *db, const char *id, store_dry_visit visit, void *context,
                   struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT device,stratum,bundle,asks,answered_s,code,text,probes"
                        " FROM dry_device WHERE request=? ORDER BY stratum, device",
                        "t", id) < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_dry_until(struct store_db *db, int64_t *ret, struct err *e) {
    uint64_t until = 0;
    if (store_sql_count(db, &until, e, "SELECT coalesce(max(expires_s),0) FROM dry", "") < 0)
        return -1;
    *ret = (int64_t)until;
    return 0;
}

int store_dry_live(struct store_db *db, int64_t now_s, uint64_t *ret, struct err *e) {
    return store_sql_count(db, ret, e, "SELECT count(*) FROM dry WHERE expires_s>?", "i", now_s);
}

struct visit_due {
    store_dry_visit_due fn;
    void *context;
};

static int visit_due(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit_due *visit = context;
    struct store_dry_due due;
    if (store_sql_text(row, 0, due.id, sizeof due.id, e) < 0 ||
        store_sql_text(row, 1, due.bundle, sizeof due.bundle, e) < 0)
        return -1;
    return visit->fn(visit->context, &due, e);
}

int store_dry_due(struct store_db *db, const char *device, const struct store_dry_when *when,
                  store_dry_visit_due visit, void *context, struct err *e) {
    struct visit_due each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e,
                        "SELECT d.request,d.bundle FROM dry_device d JOIN dry ON dry.id=d.request"
                        " WHERE d.bucket=? AND d.device=? AND d.answered_s=0 AND d.asks<? AND"
                        " d.asked_s<? AND dry.expires_s>? ORDER BY dry.created_s,dry.id",
                        "itiii", (int64_t)store_db_bucket(device), device, (int64_t)when->most,
                        when->since_s, when->now_s) < 0)
        return -1;
    return store_sql_each(db, row, visit_due, &each, e);
}

int store_dry_asked(struct store_db *db, const char *device, const char *id, uint64_t sequence,
                    int64_t now_s, struct err *e) {
    return store_sql_run(db, NULL, e,
                         "UPDATE dry_device SET sequence=?,asks=asks+1,asked_s=? WHERE bucket=?"
                         " AND device=? AND request=?",
                         "iiitt", (int64_t)sequence, now_s, (int64_t)store_db_bucket(device),
                         device, id);
}

static json_t *probes_json(const struct bundle_checkin_probed *probed) {
    OWN(json) json_t *all = json_array();
    for (size_t i = 0; i < probed->n; i++)
        if (json_array_append_new(all, json_pack("{s:s, s:s}", "code", probed->probes[i].code,
                                                 "name", probed->probes[i].name)) < 0)
            return NULL;
    return own_take(&all);
}

int store_dry_answered(struct store_db *db, const char *device,
                       const struct bundle_checkin_probed *probed, int64_t now_s, struct err *e) {
    OWN(json) json_t *probes = probes_json(probed);
    char hex[KEYS_DIGEST_HEX];
    if (probes == NULL)
        return err_set(e, &err_memory, "keeping what probes came to: out of memory");
    return store_sql_run(db, NULL, e,
                         "UPDATE dry_device SET answered_s=?,code=?,text=?,probes=? WHERE bucket=?"
                         " AND device=? AND sequence=? AND bundle=? AND answered_s=0",
                         "ittjitit", now_s, probed->code, probed->text, probes,
                         (int64_t)store_db_bucket(device), device, (int64_t)probed->sequence,
                         keys_digest_hex(&probed->bundle, hex));
}

int store_dry_forget(struct store_db *db, int64_t before_s, struct err *e) {
    if (store_sql_run(db, NULL, e,
                      "DELETE FROM dry_device WHERE request IN"
                      " (SELECT id FROM dry WHERE expires_s<?)",
                      "i", before_s) < 0)
        return -1;
    return store_sql_run(db, NULL, e, "DELETE FROM dry WHERE expires_s<?", "i", before_s);
}

int store_dry_forget_device(struct store_db *db, const char *device, struct err *e) {
    return store_sql_run(db, NULL, e, "DELETE FROM dry_device WHERE bucket=? AND device=?", "it",
                         (int64_t)store_db_bucket(device), device);
}
