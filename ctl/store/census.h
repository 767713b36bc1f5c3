// SPDX-License-Identifier: Apache-2.0
//
// One pass over the whole fleet for whoever counts it: rows as they are stored, without a document
// built of any. A million devices take seconds, so nothing is done per device that can be done per
// kind of device (ctl/serve/plan_class.h).
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "ctl/rollout/gaps.h"
#include "ctl/store/db.h"

// An accepted device. Texts are borrowed for the visit: JSON as it was stored, empty when there is
// none.
struct store_census_row {
    const char *id;
    int64_t created_s, seen_s; // seen_s 0: never
    bool held, pinned, cloned;
    struct rollout_gaps gaps;
    struct slice facts, labels, said;
};
typedef int (*store_census_visit)(void *context, const struct store_census_row *row, struct err *e);
// Visits accepted devices in no order that means anything; visit < 0 fails.
int store_census_walk(struct store_db *db, store_census_visit visit, void *context, struct err *e)
    __attribute__((nonnull(1, 2, 4)));
