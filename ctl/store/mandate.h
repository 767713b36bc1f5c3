// SPDX-License-Identifier: Apache-2.0
//
// Mandates that are stored (bundle/mandate.h): what people signed for, which is handed to devices with
// what they are told. One is known by the digest of its file, ID.mandate beside the bundles' files,
// put there before its row. They are kept: a device may ask for one as long as it is at work.
#pragma once

#include "bundle/limits.h"
#include "ctl/store/db.h"
#include "keys/digest.h"

#define STORE_MANDATE_FILE_BYTES (KEYS_DIGEST_HEX + sizeof ".mandate" - 1)

struct store_mandate {
    char id[KEYS_DIGEST_HEX];
    char rollout[BUNDLE_NAME_MAX + 1];     // "" for a pinned device
    char device[BUNDLE_DEVICE_ID_MAX + 1]; // that is pinned; "" for a rollout
    char name[BUNDLE_NAME_MAX + 1];        // of the release
    char release[BUNDLE_RELEASE_MAX + 1];
    uint64_t version;
    uint64_t signed_stages;
    bool baseline;
    uint64_t size; // bytes of the file
    int64_t expires_s, created_s;
    char actor[BUNDLE_NAME_MAX + 1];
};

// Nothing changes when it is there.
int store_mandate_add(struct store_db *db, const struct store_mandate *mandate, struct err *e)
    __attribute__((nonnull));
// The newest, by version, of a rollout; of a device that is pinned to a release; of a release that
// may be brought outside of its rollout. STORE_ABSENT when there is none.
int store_mandate_of_rollout(struct store_db *db, const char *rollout, struct store_mandate *ret,
                             struct err *e) __attribute__((nonnull));
int store_mandate_of_pin(struct store_db *db, const char *device, const char *name,
                         const char *release, struct store_mandate *ret, struct err *e)
    __attribute__((nonnull));
int store_mandate_of_baseline(struct store_db *db, const char *name, const char *release,
                              struct store_mandate *ret, struct err *e) __attribute__((nonnull));

// The name of its file, into ret, which is returned.
char *store_mandate_file(const char *id, char ret[static STORE_MANDATE_FILE_BYTES])
    __attribute__((nonnull));
