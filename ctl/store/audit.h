// SPDX-License-Identifier: Apache-2.0
//
// Who changed what. Rows are only ever added (triggers refuse the rest) and each holds the hash of
// the one before, so that a row that was changed, removed or put in later is found:
//
//   hash = BLAKE2b-256 of the canonical JSON of
//          {"action":…,"actor":…,"at":…,"data":{…},"number":N,"previous":HEX,"subject":…}
//
// The first row's previous is 64 zeros. Cutting off the end is found by comparing with a head that
// was noted elsewhere (`edgectl audit` prints it).
#pragma once

#include <jansson.h>

#include "ctl/store/db.h"
#include "keys/digest.h"

#define STORE_AUDIT_DATA_MAX_BYTES (128 * 1024)

// data: borrowed object, NULL for {}.
int store_audit_add(struct store_db *db, int64_t at_s, const char *actor, const char *action,
                    const char *subject, const json_t *data, struct err *e)
    __attribute__((nonnull(1, 3, 4, 5, 7)));

// At most `max` rows after a number, oldest first: an array that is the caller's.
int store_audit_list(struct store_db *db, uint64_t after, uint64_t max, json_t **ret,
                     uint64_t *ret_next, struct err *e) __attribute__((nonnull));

struct store_audit_state {
    uint64_t rows;
    struct keys_digest head;
};
// Walks the whole chain. Kind audit_broken says at which row, *ret is set to what held until there.
int store_audit_verify(struct store_db *db, struct store_audit_state *ret, struct err *e)
    __attribute__((nonnull));
