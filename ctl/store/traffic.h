// SPDX-License-Identifier: Apache-2.0
//
// What updates cost the links of devices: bytes of each kind (bundle/report.h), summed over a
// rollout ("" without one). They are counted as reports arrive, in the same transaction, kept per
// bucket like tallies and summed when asked for.
#pragma once

#include "ctl/store/db.h"

// Adds to a sum of a device's bucket; nothing happens with 0.
int store_traffic_add(struct store_db *db, const char *device, const char *rollout,
                      const char *kind, uint64_t bytes, struct err *e) __attribute__((nonnull));
// The sums over all buckets, by kind; kinds of which nothing was counted are left out. visit < 0
// fails.
int store_traffic_list(struct store_db *db, const char *rollout,
                       int (*visit)(void *context, const char *kind, uint64_t bytes, struct err *e),
                       void *context, struct err *e) __attribute__((nonnull(1, 2, 3, 5)));
