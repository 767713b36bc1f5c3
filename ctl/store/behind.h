// SPDX-License-Identifier: Apache-2.0
//
// Of a rollout that goes back, or went: the devices that did not. Whoever was told to and could not is
// listed for good (ctl/store/undone.h keeps what it said); the others as long as the release is what they
// were told last. Each call walks the fleet.
#pragma once

#include "base/err.h"
#include "bundle/limits.h"
#include "ctl/store/db.h"

enum store_behind_state {
    STORE_BEHIND_FAILED,  // was told to, and reported that it could not
    STORE_BEHIND_TOLD,    // was told to, and said nothing of it since
    STORE_BEHIND_UNHEARD, // took the release, and has not called since the rollout goes back
    STORE_BEHIND_STATES
};
struct store_behind {
    char device[BUNDLE_DEVICE_ID_MAX + 1];
    enum store_behind_state state;
    char code[ERR_NAME_BYTES]; // failed: what it was reported with
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
    int64_t told_s, seen_s; // told_s 0: it was not
};
struct store_behind_of {
    const char *rollout, *name, *version; // and its release
    bool committed_stay;                  // whoever committed keeps it
};
// Accepted devices by id, after `after`, at most `max`; visit < 0 fails.
typedef int (*store_behind_visit)(void *context, const struct store_behind *behind, struct err *e);
struct store_behind_page {
    const char *after;
    uint64_t max;
};
int store_behind_list(struct store_db *db, const struct store_behind_of *of,
                      const struct store_behind_page *page, store_behind_visit visit, void *context,
                      struct err *e) __attribute__((nonnull(1, 2, 3, 4, 6)));
// How many there are of each.
int store_behind_count(struct store_db *db, const struct store_behind_of *of,
                       uint64_t ret[static STORE_BEHIND_STATES], struct err *e)
    __attribute__((nonnull));
