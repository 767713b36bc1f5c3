// SPDX-License-Identifier: Apache-2.0
//
// Requests for dry probes: of whom a plan asks what a release's own probes say of it today
// (bundle/FORMAT.md 13.3), and what each came to. A request has a sample of devices, chosen when it is
// made, and a time after which nobody is asked any more; it is forgotten with the ones of a week ago.
#pragma once

#include "bundle/checkin.h"
#include "bundle/stratum.h"
#include "ctl/store/db.h"

#define STORE_DRY_ID_BYTES 17 // 16 hex digits

struct store_dry {
    char id[STORE_DRY_ID_BYTES];
    char name[BUNDLE_NAME_MAX + 1]; // of the release
    char version[BUNDLE_RELEASE_MAX + 1];
    char scope[BUNDLE_PREDICATE_MAX + 1]; // of whoever asked
    char actor[BUNDLE_NAME_MAX + 1];
    int64_t created_s, expires_s;
};

// A device of the sample, and what it was told and said.
struct store_dry_device {
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    char stratum[BUNDLE_STRATUM_KEY_MAX_BYTES + 1];
    char bundle[KEYS_DIGEST_HEX]; // that fits it
    uint64_t asks;
    int64_t answered_s;        // 0: it did not
    char code[ERR_NAME_BYTES]; // why it ran none; "" it did
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
    json_t *probes; // as it said them: an array of {"code", "name"}; borrowed; NULL before
};

int store_dry_add(struct store_db *db, const struct store_dry *dry, struct err *e)
    __attribute__((nonnull));
int store_dry_add_device(struct store_db *db, const char *id, const struct store_dry_device *device,
                         struct err *e) __attribute__((nonnull));
// STORE_ABSENT when there is none.
int store_dry_get(struct store_db *db, const char *id, struct store_dry *ret, struct err *e)
    __attribute__((nonnull));
// The sample, by stratum and device; visit < 0 fails.
typedef int (*store_dry_visit)(void *context, const struct store_dry_device *device, struct err *e);
int store_dry_list(struct store_db *db, const char *id, store_dry_visit visit, void *context,
                   struct err *e) __attribute__((nonnull(1, 2, 3, 5)));

// When the last request ends, 0 when there is none; and how many have not ended.
int store_dry_until(struct store_db *db, int64_t *ret, struct err *e) __attribute__((nonnull));
int store_dry_live(struct store_db *db, int64_t now_s, uint64_t *ret, struct err *e)
    __attribute__((nonnull));

// What the device may be asked now, oldest first: requests that have not ended, which it has not
// answered and about which it was told fewer than `most` times, not since `since_s`. visit < 0 fails, > 0
// ends early.
struct store_dry_due {
    char id[STORE_DRY_ID_BYTES];
    char bundle[KEYS_DIGEST_HEX];
};
struct store_dry_when {
    int64_t now_s, since_s;
    uint64_t most;
};
typedef int (*store_dry_visit_due)(void *context, const struct store_dry_due *due, struct err *e);
int store_dry_due(struct store_db *db, const char *device, const struct store_dry_when *when,
                  store_dry_visit_due visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 3, 4, 6)));
// It is asked with an instruction of this sequence.
int store_dry_asked(struct store_db *db, const char *device, const char *id, uint64_t sequence,
                    int64_t now_s, struct err *e) __attribute__((nonnull));
// It answered the instruction; one that nobody knows of is nobody's.
int store_dry_answered(struct store_db *db, const char *device,
                       const struct bundle_checkin_probed *probed, int64_t now_s, struct err *e)
    __attribute__((nonnull));

// Forgets requests that ended before, with their samples; and a device.
int store_dry_forget(struct store_db *db, int64_t before_s, struct err *e) __attribute__((nonnull));
int store_dry_forget_device(struct store_db *db, const char *device, struct err *e)
    __attribute__((nonnull));
