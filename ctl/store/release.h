// SPDX-License-Identifier: Apache-2.0
//
// Bundles that were published. A release is all bundles of one name and version: one, or one for
// each kind of device (variants).
#pragma once

#include <jansson.h>

#include "bundle/limits.h"
#include "ctl/store/db.h"
#include "keys/digest.h"

struct store_bundle {
    char id[KEYS_DIGEST_HEX]; // manifest id
    char name[BUNDLE_NAME_MAX + 1];
    char version[BUNDLE_RELEASE_MAX + 1]; // what people call it
    char variant[BUNDLE_NAME_MAX + 1];
    char requires[BUNDLE_PREDICATE_MAX + 1];
    uint64_t size;   // bytes of the file
    uint64_t serial; // the signed part's version
    int64_t expires_s;
    int64_t published_s;
    char actor[BUNDLE_NAME_MAX + 1];
    json_t *components; // owned object NAME → {"security_version", "type"}
};

void store_release_clear(struct store_bundle *bundle) __attribute__((nonnull));

// STORE_RELEASE_KNOWN when this very bundle is there, the size of which becomes that of the file that came last (an id
// does not say how many signatures there are); kind exists when the release has another
// bundle of the same variant.
enum { STORE_RELEASE_KNOWN = 1 };
int store_release_add(struct store_db *db, const struct store_bundle *bundle, struct err *e)
    __attribute__((nonnull));
typedef int (*store_release_visit)(void *context, const struct store_bundle *bundle, struct err *e);
// All, by name, then the newest release first, then by variant; name and version may be NULL (any).
int store_release_list(struct store_db *db, const char *name, const char *version,
                       store_release_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 4, 6)));
int store_release_get(struct store_db *db, const char *id, struct store_bundle *ret, struct err *e)
    __attribute__((nonnull));
