// SPDX-License-Identifier: Apache-2.0
//
// Tokens of people, CI and devices that enrol. A secret is 32 random bytes in hex behind a prefix
// ("edge-op-", "edge-en-"); only its hash is stored, and found by it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bundle/limits.h"
#include "ctl/store/db.h"
#include "keys/digest.h"

#define STORE_TOKEN_ID_BYTES        17 // 16 hex digits and a NUL
#define STORE_TOKEN_SECRET_BYTES    73 // prefix, 64 hex digits and a NUL
#define STORE_TOKEN_SERIALS_MAX     1000
#define STORE_TOKEN_ENROLL_PREFIX   "edge-en-"
#define STORE_TOKEN_OPERATOR_PREFIX "edge-op-"

enum store_token_kind { STORE_TOKEN_ENROLL, STORE_TOKEN_OPERATOR };
enum store_role {
    STORE_ROLE_VIEWER,
    STORE_ROLE_PUBLISHER,
    STORE_ROLE_DEPLOYER,
    STORE_ROLE_OPERATOR,
    STORE_ROLE_ADMIN,
    STORE_ROLES
};
extern const char *const store_token_roles[STORE_ROLES];

struct store_token {
    char id[STORE_TOKEN_ID_BYTES];
    enum store_token_kind kind;
    char name[BUNDLE_NAME_MAX + 1];          // whose; shown in the audit log
    enum store_role role;                    // operator
    char selector[BUNDLE_PREDICATE_MAX + 1]; // operator: devices it may see; "" all
    json_t *labels;                          // enroll: owned object, given to the devices; or NULL
    json_t *serials;                         // enroll: owned array of device ids; NULL any
    uint64_t max_uses;                       // enroll; 0 no limit
    uint64_t uses;
    int64_t created_s;
    int64_t expires_s;
    int64_t revoked_s;                     // 0 not
    char device[BUNDLE_DEVICE_ID_MAX + 1]; // enroll: only this id (replaced hardware); "" any
};

void store_token_clear(struct store_token *token) __attribute__((nonnull));
#define own_drop_store_token store_token_clear

// Makes a secret for io (its id is set) and stores it.
int store_token_add(struct store_db *db, struct store_token *io,
                    char ret_secret[static STORE_TOKEN_SECRET_BYTES], struct err *e)
    __attribute__((nonnull));
// By secret or by id. STORE_ABSENT when there is none. Expiry and revocation are the caller's to
// check.
int store_token_find(struct store_db *db, const char *secret, struct store_token *ret,
                     struct err *e) __attribute__((nonnull));
int store_token_get(struct store_db *db, const char *id, struct store_token *ret, struct err *e)
    __attribute__((nonnull));
int store_token_put(struct store_db *db, const struct store_token *token, struct err *e)
    __attribute__((nonnull));
// Newest first.
int store_token_list(struct store_db *db,
                     int (*visit)(void *context, const struct store_token *token, struct err *e),
                     void *context, struct err *e) __attribute__((nonnull(1, 2, 4)));
// How many operator tokens of role admin without selector hold at now_s.
int store_token_admins(struct store_db *db, int64_t now_s, uint64_t *ret, struct err *e)
    __attribute__((nonnull));
