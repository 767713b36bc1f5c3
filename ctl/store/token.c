// SPDX-License-Identifier: Apache-2.0
//
// Tokens in the store.
#include "ctl/store/token.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "ctl/store/sql.h"

#define COLUMNS                                                                                    \
    "id,kind,name,role,selector,labels,serials,max_uses,uses,created_s,expires_s,revoked_s,device"

const char *const store_token_roles[STORE_ROLES] = {"viewer", "publisher", "deployer", "operator",
                                                    "admin"};

void store_token_clear(struct store_token *token) {
    json_decref(token->labels);
    json_decref(token->serials);
    token->labels = token->serials = NULL;
}

static int read_row(void *context, sqlite3_stmt *row, struct err *e) {
    struct store_token *ret = context;
    *ret = (struct store_token){.kind = (enum store_token_kind)store_sql_int(row, 1),
                                .role = (enum store_role)store_sql_int(row, 3),
                                .max_uses = (uint64_t)store_sql_int(row, 7),
                                .uses = (uint64_t)store_sql_int(row, 8),
                                .created_s = store_sql_int(row, 9),
                                .expires_s = store_sql_int(row, 10),
                                .revoked_s = store_sql_int(row, 11)};
    if (store_sql_text(row, 0, ret->id, sizeof ret->id, e) < 0 ||
        store_sql_text(row, 2, ret->name, sizeof ret->name, e) < 0 ||
        store_sql_text(row, 4, ret->selector, sizeof ret->selector, e) < 0 ||
        store_sql_text(row, 12, ret->device, sizeof ret->device, e) < 0 ||
        store_sql_json(row, 5, &ret->labels, e) < 0 ||
        store_sql_json(row, 6, &ret->serials, e) < 0) {
        store_token_clear(ret);
        return -1;
    }
    return 0;
}

int store_token_add(struct store_db *db, struct store_token *io,
                    char ret_secret[static STORE_TOKEN_SECRET_BYTES], struct err *e) {
    uint8_t secret[32], id[8];
    char hex[2 * sizeof secret + 1];
    struct keys_digest hash;
    random_fill(secret, sizeof secret);
    random_fill(id, sizeof id);
    text_hex(secret, sizeof secret, hex);
    text_hex(id, sizeof id, io->id);
    (void)snprintf(ret_secret, STORE_TOKEN_SECRET_BYTES, "%s%s",
                   io->kind == STORE_TOKEN_ENROLL ? STORE_TOKEN_ENROLL_PREFIX
                                                  : STORE_TOKEN_OPERATOR_PREFIX,
                   hex);
    keys_digest_of(ret_secret, strlen(ret_secret), &hash);
    return store_sql_run(db, NULL, e, "INSERT INTO token VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                         "tbititjjiiiiit", io->id, hash.bytes, sizeof hash.bytes, (int64_t)io->kind,
                         io->name, (int64_t)io->role, io->selector, io->labels, io->serials,
                         (int64_t)io->max_uses, (int64_t)io->uses, io->created_s, io->expires_s,
                         io->revoked_s, io->device);
}

int store_token_find(struct store_db *db, const char *secret, struct store_token *ret,
                     struct err *e) {
    sqlite3_stmt *row = NULL;
    struct keys_digest hash;
    keys_digest_of(secret, strlen(secret), &hash);
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM token WHERE hash=?", "b", hash.bytes,
                        sizeof hash.bytes) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_token_get(struct store_db *db, const char *id, struct store_token *ret, struct err *e) {
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM token WHERE id=?", "t", id) < 0)
        return -1;
    return store_sql_one(db, row, read_row, ret, e);
}

int store_token_put(struct store_db *db, const struct store_token *token, struct err *e) {
    return store_sql_run(db, NULL, e, "UPDATE token SET uses=?,revoked_s=? WHERE id=?", "iit",
                         (int64_t)token->uses, token->revoked_s, token->id);
}

struct visit {
    int (*fn)(void *context, const struct store_token *token, struct err *e);
    void *context;
};

static int visit_row(void *context, sqlite3_stmt *row, struct err *e) {
    const struct visit *visit = context;
    struct store_token token;
    if (read_row(&token, row, e) < 0)
        return -1;
    int done = visit->fn(visit->context, &token, e);
    store_token_clear(&token);
    return done;
}

int store_token_list(struct store_db *db,
                     int (*visit)(void *context, const struct store_token *token, struct err *e),
                     void *context, struct err *e) {
    struct visit each = {visit, context};
    sqlite3_stmt *row = NULL;
    if (store_sql_query(db, &row, e, "SELECT " COLUMNS " FROM token ORDER BY created_s DESC, id",
                        "") < 0)
        return -1;
    return store_sql_each(db, row, visit_row, &each, e);
}

int store_token_admins(struct store_db *db, int64_t now_s, uint64_t *ret, struct err *e) {
    return store_sql_count(db, ret, e,
                           "SELECT count(*) FROM token WHERE kind=? AND role=? AND selector='' AND"
                           " revoked_s=0 AND (expires_s=0 OR expires_s>?)",
                           "iii", (int64_t)STORE_TOKEN_OPERATOR, (int64_t)STORE_ROLE_ADMIN, now_s);
}
