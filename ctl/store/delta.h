// SPDX-License-Identifier: Apache-2.0
//
// Deltas that are stored: other packings of published bundles, for devices that hold another one
// (bundle/delta.h). A delta is known by the digest of its head's signed part, which names all of
// its frames; of one pair of bundles there may be several, and the repository's targets say which
// of them devices use. The file is HEAD.delta beside the bundles' files, put there before its row.
#pragma once

#include "bundle/limits.h"
#include "ctl/store/db.h"
#include "keys/digest.h"

#define STORE_DELTA_FILE_BYTES (KEYS_DIGEST_HEX + sizeof ".delta" - 1)

struct store_delta {
    char head[KEYS_DIGEST_HEX];   // digest of the head's signed part
    char bundle[KEYS_DIGEST_HEX]; // id of the bundle that it makes
    char base[KEYS_DIGEST_HEX];   // id of the bundle that it starts from
    uint64_t head_bytes;          // length of the head's signed part
    uint64_t size;                // bytes of the file
    int64_t created_s;
    char actor[BUNDLE_NAME_MAX + 1]; // who sent it; STORE_DELTA_MADE: the controller made it
};
#define STORE_DELTA_MADE "serve" // as the audit calls the controller itself

// STORE_DELTA_KNOWN when this very delta is there. Its size becomes that of the file that came last: signatures and
// spaces of the head are no part of what the head is called by.
enum { STORE_DELTA_KNOWN = 1 };
int store_delta_add(struct store_db *db, const struct store_delta *delta, struct err *e)
    __attribute__((nonnull));
// By the head's digest. STORE_ABSENT when there is none.
int store_delta_get(struct store_db *db, const char *head, struct store_delta *ret, struct err *e)
    __attribute__((nonnull));
typedef int (*store_delta_visit)(void *context, const struct store_delta *delta, struct err *e);
// Those that make a bundle (NULL: all), by bundle, base, and then the newest first; visit < 0
// fails, > 0 ends early.
int store_delta_list(struct store_db *db, const char *bundle, store_delta_visit visit,
                     void *context, struct err *e) __attribute__((nonnull(1, 3, 5)));
// Forgets it; the file is the caller's to remove once this is durable. Nothing happens when it is
// not there.
int store_delta_drop(struct store_db *db, const char *head, struct err *e) __attribute__((nonnull));

// The name of its file, into ret, which is returned.
char *store_delta_file(const char *head, char ret[static STORE_DELTA_FILE_BYTES])
    __attribute__((nonnull));
