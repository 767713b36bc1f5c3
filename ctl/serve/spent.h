// SPDX-License-Identifier: Apache-2.0
//
// What updates cost the links of devices, as their reports say it (bundle/report.h): the last one
// of each device is kept with it, and the sums of a rollout are counted as reports arrive, once per
// device, rollout and attempt. A report says what the update cost so far, so a later one of the same
// update counts with what it says more. What a device says of a rollout that it is no part of is not
// counted. The store's thread only.
#pragma once

#include "bundle/report.h"
#include "ctl/serve/fleet.h"

// In the order of serve_spent_kinds.
enum serve_spent_kind {
    SERVE_SPENT_DELTA,
    SERVE_SPENT_RANGE,
    SERVE_SPENT_FULL,
    SERVE_SPENT_INDEX,
    SERVE_SPENT_CACHE,
    SERVE_SPENT_REUSED
};
extern const char *const serve_spent_kinds[SERVE_SPENT_KINDS];

// Takes the bytes of a report that was not known before: into device->spent, which is the caller's
// to put, and into the sums of its rollout in store and memory.
int serve_spent_take(const struct serve_fleet *fleet, struct store_device *device,
                     const struct bundle_report *report, struct err *e) __attribute__((nonnull));
// Reads the sums of a rollout from the store.
int serve_spent_load(struct store_db *db, struct serve_engine_rollout *rollout, struct err *e)
    __attribute__((nonnull));
// {"delta":N, …} of sums; the caller's, NULL without memory.
json_t *serve_spent_show(const uint64_t sums[static SERVE_SPENT_KINDS]) __attribute__((nonnull));
