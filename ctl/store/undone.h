// SPDX-License-Identifier: Apache-2.0
//
// Which releases a device was told to go back from: at most once for each, whatever rollout brings
// the release again. The rows outlive rollouts and go with the device.
#pragma once

#include "base/err.h"
#include "bundle/limits.h"
#include "ctl/store/db.h"

struct store_undone {
    char rollout[BUNDLE_NAME_MAX + 1]; // that went back
    int64_t at_s;
};

// STORE_ABSENT when it was not.
int store_undone_get(struct store_db *db, const char *device, const char *name, const char *version,
                     struct store_undone *ret, struct err *e) __attribute__((nonnull));
// Notes it; what was noted first stays.
int store_undone_add(struct store_db *db, const char *device, const char *name, const char *version,
                     const struct store_undone *undone, struct err *e) __attribute__((nonnull));
// It reported to have gone back ("" as code), or why it cannot. Nothing when it was told by another one.
struct store_undone_said {
    const char *rollout, *code, *text;
};
int store_undone_say(struct store_db *db, const char *device, const char *name, const char *version,
                     const struct store_undone_said *said, struct err *e) __attribute__((nonnull));
int store_undone_forget(struct store_db *db, const char *device, struct err *e)
    __attribute__((nonnull));
