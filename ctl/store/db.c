// SPDX-License-Identifier: Apache-2.0
//
// Opening the store: the schema, who may use it, transactions.
#include "ctl/store/db.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/kind.h"
#include "ctl/store/sql.h"
#include "keys/digest.h"

#define APPLICATION_ID 0x45444745 // "EDGE"

// Version 2 added the table part.
static const char schema_2[] =
    "CREATE TABLE part(bucket INTEGER NOT NULL, device TEXT NOT NULL, rollout TEXT NOT NULL,"
    " attempt INTEGER NOT NULL, state INTEGER NOT NULL, stage INTEGER NOT NULL,"
    " stratum INTEGER NOT NULL, since_s INTEGER NOT NULL, bundle BLOB NOT NULL,"
    " PRIMARY KEY(bucket, device, rollout)) WITHOUT ROWID;";

// Version 3 noted since when a device is held: one that took an offer is not waited for for ever.
static const char schema_3[] =
    "ALTER TABLE device ADD COLUMN held_s INTEGER NOT NULL DEFAULT 0;"
    "UPDATE device SET held_s=CAST(strftime('%s','now') AS INTEGER) WHERE held=1;"
    "CREATE INDEX device_held ON device(task_rollout, held_s)"
    " WHERE held=1 AND task_state BETWEEN 1 AND 2;";

// Version 4 added deltas, attempts to make them, and what updates cost: the last one of each device,
// sums of each rollout.
static const char schema_4[] =
    "CREATE TABLE delta(head TEXT PRIMARY KEY, bundle TEXT NOT NULL, base TEXT NOT NULL,"
    " head_bytes INTEGER NOT NULL, size INTEGER NOT NULL, created_s INTEGER NOT NULL,"
    " actor TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX delta_by_bundle ON delta(bundle, base);"
    "CREATE TABLE making(bundle TEXT NOT NULL, base TEXT NOT NULL, head TEXT NOT NULL,"
    " at_s INTEGER NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY(bundle, base)) WITHOUT ROWID;"
    "CREATE TABLE traffic(bucket INTEGER NOT NULL, rollout TEXT NOT NULL, kind TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, PRIMARY KEY(bucket, rollout, kind)) WITHOUT ROWID;"
    "ALTER TABLE device ADD COLUMN spent TEXT;";

// Version 5 added what rollouts are judged by (ctl/store/score.h, cohort.h, unit.h, verdict.h), which
// releases a device ran and which it went back from (undone.h), by which token it enrolled, and what
// its failure was reported with; and mandates.
static const char schema_5[] =
    "CREATE TABLE mandate(id TEXT NOT NULL, rollout TEXT NOT NULL, device TEXT NOT NULL,"
    " name TEXT NOT NULL, release TEXT NOT NULL, version INTEGER NOT NULL,"
    " signed_stages INTEGER NOT NULL, baseline INTEGER NOT NULL, size INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL, created_s INTEGER NOT NULL, actor TEXT NOT NULL,"
    " PRIMARY KEY(id, device)) WITHOUT ROWID;"
    "CREATE INDEX mandate_by_rollout ON mandate(rollout, version) WHERE rollout<>'';"
    "CREATE INDEX mandate_by_device ON mandate(device, version) WHERE device<>'';"
    "CREATE INDEX mandate_by_release ON mandate(name, release, created_s) WHERE baseline=1;"
    "CREATE TABLE score(rollout TEXT NOT NULL, run INTEGER NOT NULL, gate INTEGER NOT NULL,"
    " state TEXT NOT NULL, PRIMARY KEY(rollout, run, gate)) WITHOUT ROWID;"
    // rank: all 64 bits, less 2^63, so that order is that of the unsigned numbers.
    "CREATE TABLE cohort(rollout TEXT NOT NULL, device TEXT NOT NULL, bucket INTEGER NOT NULL,"
    " arm INTEGER NOT NULL, counted INTEGER NOT NULL, stratum INTEGER NOT NULL,"
    " rank INTEGER NOT NULL, number INTEGER NOT NULL, outcome INTEGER NOT NULL,"
    " seen_s INTEGER NOT NULL, epoch INTEGER NOT NULL, at_risk INTEGER NOT NULL,"
    " set_no INTEGER NOT NULL, place INTEGER NOT NULL, due_s INTEGER NOT NULL,"
    " body TEXT NOT NULL, site TEXT NOT NULL, token TEXT NOT NULL, enrolled_s INTEGER NOT NULL,"
    " PRIMARY KEY(rollout, device)) WITHOUT ROWID;"
    // Those that may be drawn for a set; those with a place in one; the prefix; who is silent.
    "CREATE INDEX cohort_draw ON cohort(rollout, stratum, rank)"
    " WHERE arm=1 AND counted=1 AND set_no=0;"
    "CREATE INDEX cohort_set ON cohort(rollout, set_no, place) WHERE set_no>0;"
    "CREATE INDEX cohort_due ON cohort(rollout, due_s) WHERE due_s>0 AND place=0;"
    "CREATE INDEX cohort_number ON cohort(rollout, number) WHERE number>0;"
    "CREATE INDEX cohort_silent ON cohort(rollout, epoch, seen_s) WHERE at_risk>0;"
    "CREATE TABLE unit(rollout TEXT NOT NULL, run INTEGER NOT NULL, gate INTEGER NOT NULL,"
    " unit INTEGER NOT NULL, tie INTEGER NOT NULL, device TEXT NOT NULL, a INTEGER NOT NULL,"
    " b INTEGER NOT NULL, c INTEGER NOT NULL, list TEXT NOT NULL,"
    " PRIMARY KEY(rollout, run, gate, unit)) WITHOUT ROWID;"
    "CREATE TABLE verdict(rollout TEXT NOT NULL, run INTEGER NOT NULL, at_s INTEGER NOT NULL,"
    " body TEXT NOT NULL, PRIMARY KEY(rollout, run, at_s)) WITHOUT ROWID;"
    "CREATE TABLE undone(bucket INTEGER NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL,"
    " version TEXT NOT NULL, rollout TEXT NOT NULL, at_s INTEGER NOT NULL,"
    " PRIMARY KEY(bucket, device, name, version)) WITHOUT ROWID;"
    "CREATE TABLE ran(bucket INTEGER NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL,"
    " version TEXT NOT NULL, PRIMARY KEY(bucket, device, name, version)) WITHOUT ROWID;"
    "ALTER TABLE device ADD COLUMN token TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE device ADD COLUMN task_code TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE part ADD COLUMN code TEXT NOT NULL DEFAULT '';";

// Version 6 finds devices that do not come further with an offer; it added requests for dry probes
// (ctl/store/dry.h), why a device could not go back, how long devices are silent, and what devices of
// sites bring to them (ctl/store/member.h).
static const char schema_6[] =
    "CREATE INDEX device_since ON device(task_rollout, task_since_s)"
    " WHERE task_state BETWEEN 1 AND 3;"
    "DROP INDEX cohort_silent;"
    "CREATE INDEX cohort_silent ON cohort(rollout, seen_s) WHERE at_risk>0;"
    "CREATE TABLE dry(id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL,"
    " scope TEXT NOT NULL, actor TEXT NOT NULL, created_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE dry_device(bucket INTEGER NOT NULL, device TEXT NOT NULL, request TEXT NOT NULL,"
    " stratum TEXT NOT NULL, bundle TEXT NOT NULL, sequence INTEGER NOT NULL,"
    " asks INTEGER NOT NULL, asked_s INTEGER NOT NULL, answered_s INTEGER NOT NULL,"
    " code TEXT NOT NULL, text TEXT NOT NULL, probes TEXT,"
    " PRIMARY KEY(bucket, device, request)) WITHOUT ROWID;"
    "CREATE INDEX dry_device_of ON dry_device(request);"
    // Devices of units that are sites. waits: the run in which silence is an event, 0 it is none.
    "CREATE TABLE member(rollout TEXT NOT NULL, device TEXT NOT NULL, unit TEXT NOT NULL,"
    " waits INTEGER NOT NULL, seen_s INTEGER NOT NULL, body TEXT NOT NULL,"
    " PRIMARY KEY(rollout, device)) WITHOUT ROWID;"
    "CREATE INDEX member_of ON member(rollout, unit);"
    "CREATE INDEX member_silent ON member(rollout, waits, seen_s) WHERE waits>0;"
    "ALTER TABLE undone ADD COLUMN code TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE undone ADD COLUMN text TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE device ADD COLUMN gaps BLOB NOT NULL DEFAULT x'00000000000000000000000000000000';";

// Version 1. Times are seconds since 1970; booleans 0 and 1; digests blobs.
static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE device(bucket INTEGER NOT NULL, id TEXT NOT NULL, state INTEGER NOT NULL,"
    " key BLOB NOT NULL, created_s INTEGER NOT NULL, seen_s INTEGER NOT NULL,"
    " token_epoch INTEGER NOT NULL, sequence INTEGER NOT NULL, nonce TEXT NOT NULL,"
    " nonce_before TEXT NOT NULL, clone_s INTEGER NOT NULL, report_acked INTEGER NOT NULL,"
    " held INTEGER NOT NULL, pin_name TEXT NOT NULL, pin_version TEXT NOT NULL,"
    " direct_attempt INTEGER NOT NULL, task_rollout TEXT NOT NULL, task_attempt INTEGER NOT NULL,"
    " task_state INTEGER NOT NULL, task_stage INTEGER NOT NULL, task_stratum INTEGER NOT NULL,"
    " task_since_s INTEGER NOT NULL, task_bundle BLOB NOT NULL, why_code TEXT NOT NULL,"
    " why_text TEXT NOT NULL, labels TEXT, said TEXT, facts TEXT, facts_digest TEXT NOT NULL,"
    " PRIMARY KEY(bucket, id)) WITHOUT ROWID;"
    "CREATE INDEX device_by_id ON device(id);"
    // Only devices at work are in it: what the search for lost ones walks.
    "CREATE INDEX device_at_work ON device(seen_s) WHERE task_state BETWEEN 1 AND 3;"
    "CREATE TABLE report(bucket INTEGER NOT NULL, device TEXT NOT NULL, id INTEGER NOT NULL,"
    " received_s INTEGER NOT NULL, failure INTEGER NOT NULL, body TEXT NOT NULL,"
    " PRIMARY KEY(bucket, device, id)) WITHOUT ROWID;"
    "CREATE TABLE tally(bucket INTEGER NOT NULL, rollout TEXT NOT NULL, stage INTEGER NOT NULL,"
    " stratum INTEGER NOT NULL, task INTEGER NOT NULL, n INTEGER NOT NULL,"
    " PRIMARY KEY(bucket, rollout, stage, stratum, task)) WITHOUT ROWID;"
    "CREATE TABLE rollout(name TEXT PRIMARY KEY, scope TEXT NOT NULL, actor TEXT NOT NULL,"
    " created_s INTEGER NOT NULL, seed BLOB NOT NULL, members INTEGER NOT NULL,"
    " policy TEXT NOT NULL, progress TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE stratum(rollout TEXT NOT NULL, stratum INTEGER NOT NULL, key TEXT NOT NULL,"
    " plan TEXT NOT NULL, PRIMARY KEY(rollout, stratum)) WITHOUT ROWID;"
    "CREATE TABLE bundle(id TEXT PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL,"
    " variant TEXT NOT NULL, requires TEXT NOT NULL, size INTEGER NOT NULL,"
    " serial INTEGER NOT NULL, expires_s INTEGER NOT NULL, published_s INTEGER NOT NULL,"
    " actor TEXT NOT NULL, components TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX bundle_by_release ON bundle(name, version);"
    "CREATE TABLE token(id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL,"
    " name TEXT NOT NULL, role INTEGER NOT NULL, selector TEXT NOT NULL, labels TEXT,"
    " serials TEXT, max_uses INTEGER NOT NULL, uses INTEGER NOT NULL, created_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL, revoked_s INTEGER NOT NULL, device TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE event(id INTEGER PRIMARY KEY, at_s INTEGER NOT NULL, kind TEXT NOT NULL,"
    " subject TEXT NOT NULL, rollout TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE TABLE audit(number INTEGER PRIMARY KEY, at_s INTEGER NOT NULL, actor TEXT NOT NULL,"
    " action TEXT NOT NULL, subject TEXT NOT NULL, data TEXT NOT NULL, previous BLOB NOT NULL,"
    " hash BLOB NOT NULL);"
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;"
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;";

static int read_pragma(struct store_db *db, const char *text, int64_t *ret, struct err *e) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW ? 0 : store_sql_failed(db, code, "opening", e);
}

// Takes the file for this process: in exclusive mode the lock of the first write stays until close.
static int take(struct store_db *db, struct err *e) {
    return store_sql_script(db,
                            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
                            "PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF;"
                            "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;"
                            "PRAGMA cache_size=-4096; PRAGMA journal_size_limit=8388608;"
                            "BEGIN IMMEDIATE; COMMIT;",
                            e);
}

static int set_up(struct store_db *db, struct err *e) {
    int64_t application = 0, version = 0, tables = 0;
    if (read_pragma(db, "PRAGMA application_id", &application, e) < 0 ||
        read_pragma(db, "PRAGMA user_version", &version, e) < 0 ||
        read_pragma(db, "SELECT count(*) FROM sqlite_schema", &tables, e) < 0)
        return -1;
    if (application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0))
        return err_set(e, &err_bad_store, "opening the store: it is a database of another program");
    if (version > STORE_DB_SCHEMA)
        return err_set(e, &err_newer_format,
                       "opening the store: its schema is version %lld, this program knows %d; "
                       "install the newer program, or restore a backup from before the update",
                       (long long)version, STORE_DB_SCHEMA);
    if (take(db, e) < 0 || version == STORE_DB_SCHEMA)
        return e->kind == NULL ? 0 : -1;
    if (store_sql_script(db, "BEGIN IMMEDIATE;", e) < 0 ||
        (version < 1 && store_sql_script(db, schema, e) < 0) ||
        (version < 2 && store_sql_script(db, schema_2, e) < 0) ||
        (version < 3 && store_sql_script(db, schema_3, e) < 0) ||
        (version < 4 && store_sql_script(db, schema_4, e) < 0) ||
        (version < 5 && store_sql_script(db, schema_5, e) < 0) ||
        store_sql_script(db, schema_6, e) < 0)
        return -1;
    return store_sql_script(db, "PRAGMA application_id=1162102597; PRAGMA user_version=6; COMMIT;",
                            e);
}

int store_db_open(const char *path, struct store_db **ret, struct err *e) {
    struct store_db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return err_set(e, &err_memory, "opening the store: out of memory");
    int code = sqlite3_open_v2(path, &db->handle,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                   SQLITE_OPEN_EXRESCODE,
                               NULL);
    if (code != SQLITE_OK)
        (void)store_sql_failed(db, code, "opening", e);
    else if (sqlite3_db_readonly(db->handle, "main") == 1) // what cannot be written is opened so
        (void)err_set(e, &err_read_only,
                      "opening the store: it can be read, and not written: the file belongs to "
                      "another user, or is on a disk that is read-only");
    else if (set_up(db, e) == 0) {
        *ret = db;
        return 0;
    }
    store_db_close(db);
    return err_prefix(e, "%s", path);
}

void store_db_close(struct store_db *db) {
    if (db == NULL)
        return;
    for (size_t i = 0; i < db->n_cached; i++)
        (void)sqlite3_finalize(db->cached[i].statement);
    (void)sqlite3_close(db->handle);
    free(db);
}

int store_db_begin(struct store_db *db, struct err *e) {
    return store_sql_run(db, NULL, e, "BEGIN", "");
}

int store_db_commit(struct store_db *db, struct err *e) {
    return store_sql_run(db, NULL, e, "COMMIT", "");
}

void store_db_rollback(struct store_db *db) {
    struct err ignored = ERR_NONE;
    if (!sqlite3_get_autocommit(db->handle)) // some failures have rolled back already
        (void)store_sql_run(db, NULL, &ignored, "ROLLBACK", "");
}

int store_db_mark(struct store_db *db, struct err *e) {
    return store_sql_run(db, NULL, e, "SAVEPOINT job", "");
}

int store_db_keep(struct store_db *db, struct err *e) {
    return store_sql_run(db, NULL, e, "RELEASE job", "");
}

int store_db_undo(struct store_db *db, struct err *e) {
    if (store_sql_run(db, NULL, e, "ROLLBACK TO job", "") < 0)
        return -1;
    return store_db_keep(db, e);
}

unsigned store_db_bucket(const char *device) {
    struct keys_digest digest;
    keys_digest_of(device, strlen(device), &digest);
    return digest.bytes[0];
}

int store_db_get_meta(struct store_db *db, const char *key, void *ret, size_t len, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT value FROM meta WHERE key=?", "t", key) < 0)
        return -1;
    int found = store_sql_row(db, row, e);
    if (found != 0)
        return found < 0 ? -1 : STORE_ABSENT;
    int done = store_sql_blob(row, 0, ret, len, e);
    store_sql_reset(row);
    return done;
}

int store_db_put_meta(struct store_db *db, const char *key, const void *value, size_t len,
                      struct err *e) {
    return store_sql_run(db, NULL, e,
                         "INSERT INTO meta VALUES(?,?) "
                         "ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                         "tb", key, value, len);
}
