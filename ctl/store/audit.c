// SPDX-License-Identifier: Apache-2.0
//
// The audit chain.
#include "ctl/store/audit.h"

#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "ctl/kind.h"
#include "ctl/store/sql.h"
#include "keys/canon.h"

#define TEXT_MAX 256

// A row as the object that is hashed. data is borrowed. NULL when memory is out.
static json_t *row_json(uint64_t number, int64_t at_s, const char *actor, const char *action,
                        const char *subject, const json_t *data,
                        const struct keys_digest *previous) {
    char at[CHRONO_TEXT_BYTES], hex[KEYS_DIGEST_HEX];
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:O, s:s}", "number", (json_int_t)number, "at",
                     chrono_format(at_s, at), "actor", actor, "action", action, "subject", subject,
                     "data", data, "previous", keys_digest_hex(previous, hex));
}

static int hash_row(const json_t *row, struct keys_digest *ret, struct err *e) {
    OWN(buf) struct buf text;
    buf_init(&text, STORE_AUDIT_DATA_MAX_BYTES + 4096);
    if (keys_canon_format(row, &text, e) < 0)
        return err_prefix(e, "writing the audit log");
    keys_digest_of(text.data, text.len, ret);
    return 0;
}

static int last(struct store_db *db, uint64_t *ret_number, struct keys_digest *ret_hash,
                struct err *e) {
    sqlite3_stmt *row = NULL;
    *ret_number = 0;
    *ret_hash = (struct keys_digest){{0}};
    if (store_sql_query(db, &row, e, "SELECT number,hash FROM audit ORDER BY number DESC LIMIT 1",
                        "") < 0)
        return -1;
    int found = store_sql_row(db, row, e);
    if (found != 0)
        return found < 0 ? -1 : 0;
    *ret_number = (uint64_t)store_sql_int(row, 0);
    int done = store_sql_blob(row, 1, ret_hash->bytes, sizeof ret_hash->bytes, e);
    store_sql_reset(row);
    return done;
}

int store_audit_add(struct store_db *db, int64_t at_s, const char *actor, const char *action,
                    const char *subject, const json_t *data, struct err *e) {
    OWN(json) json_t *none = json_object();
    struct keys_digest previous, hash;
    uint64_t number = 0;
    if (last(db, &number, &previous, e) < 0)
        return -1;
    const json_t *kept = data == NULL ? none : data;
    OWN(json)
    json_t *row = row_json(number + 1, at_s, actor, action, subject, kept, &previous);
    if (row == NULL)
        return err_set(e, &err_memory, "writing the audit log: out of memory");
    if (hash_row(row, &hash, e) < 0)
        return -1;
    return store_sql_run(db, NULL, e, "INSERT INTO audit VALUES(?,?,?,?,?,?,?,?)", "iitttjbb",
                         (int64_t)(number + 1), at_s, actor, action, subject, kept, previous.bytes,
                         sizeof previous.bytes, hash.bytes, sizeof hash.bytes);
}

// The current row as the object that was hashed, and the hash that is stored with it.
static int read_row(sqlite3_stmt *row, json_t **ret, struct keys_digest *ret_hash, struct err *e) {
    char actor[TEXT_MAX], action[TEXT_MAX], subject[TEXT_MAX];
    struct keys_digest previous;
    OWN(json) json_t *data = NULL;
    if (store_sql_text(row, 2, actor, sizeof actor, e) < 0 ||
        store_sql_text(row, 3, action, sizeof action, e) < 0 ||
        store_sql_text(row, 4, subject, sizeof subject, e) < 0 ||
        store_sql_json(row, 5, &data, e) < 0 ||
        store_sql_blob(row, 6, previous.bytes, sizeof previous.bytes, e) < 0 ||
        store_sql_blob(row, 7, ret_hash->bytes, sizeof ret_hash->bytes, e) < 0)
        return -1;
    *ret = row_json((uint64_t)store_sql_int(row, 0), store_sql_int(row, 1), actor, action, subject,
                    data, &previous);
    return *ret == NULL ? err_set(e, &err_memory, "reading the audit log: out of memory") : 0;
}

int store_audit_list(struct store_db *db, uint64_t after, uint64_t max, json_t **ret,
                     uint64_t *ret_next, struct err *e) {
    sqlite3_stmt *row = NULL;
    OWN(json) json_t *list = json_array();
    uint64_t next = after;
    int found = 0;
    if (store_sql_query(db, &row, e, "SELECT * FROM audit WHERE number>? ORDER BY number LIMIT ?",
                        "ii", (int64_t)after, (int64_t)max) < 0)
        return -1;
    while ((found = store_sql_row(db, row, e)) == 0) {
        struct keys_digest hash;
        char hex[KEYS_DIGEST_HEX];
        json_t *made = NULL;
        if (read_row(row, &made, &hash, e) < 0) {
            store_sql_reset(row);
            return -1;
        }
        (void)json_object_set_new(made, "hash", json_string(keys_digest_hex(&hash, hex)));
        (void)json_array_append_new(list, made);
        next = (uint64_t)store_sql_int(row, 0);
    }
    if (found < 0)
        return -1;
    *ret = own_take(&list);
    *ret_next = next;
    return 0;
}

// Whether the row continues the chain; moves *io on when it does.
static int check_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_audit_state *io = context;
    OWN(json) json_t *made = NULL;
    struct keys_digest stored, computed;
    char hex[KEYS_DIGEST_HEX];
    uint64_t number = (uint64_t)store_sql_int(row, 0);
    if (number != io->rows + 1)
        return err_set(e, &err_audit_broken, "the audit log: row %llu is missing",
                       (unsigned long long)io->rows + 1);
    if (read_row(row, &made, &stored, e) < 0 || hash_row(made, &computed, e) < 0) {
        err_clear(e);
        return err_set(e, &err_audit_broken, "the audit log: row %llu is damaged",
                       (unsigned long long)number);
    }
    const char *previous = json_string_value(json_object_get(made, "previous"));
    if (!keys_digest_equal(&stored, &computed) ||
        strcmp(previous, keys_digest_hex(&io->head, hex)) != 0)
        return err_set(e, &err_audit_broken, "the audit log: row %llu was changed",
                       (unsigned long long)number);
    io->rows = number;
    io->head = stored;
    return 0;
}

int store_audit_verify(struct store_db *db, struct store_audit_state *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    *ret = (struct store_audit_state){.rows = 0};
    if (store_sql_query(db, &row, e, "SELECT * FROM audit ORDER BY number", "") < 0)
        return -1;
    return store_sql_each(db, row, check_row, ret, e);
}
