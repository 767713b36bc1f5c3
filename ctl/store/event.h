// SPDX-License-Identifier: Apache-2.0
//
// News for those who watch: the last STORE_EVENT_KEPT. An id is the time in microseconds, made to
// rise strictly within this controller, so that no sequence is drawn.
#pragma once

#include <jansson.h>

#include "bundle/limits.h"
#include "ctl/store/db.h"

#define STORE_EVENT_KEPT 100000

struct store_event {
    uint64_t id;
    int64_t at_s;
    char kind[ERR_NAME_BYTES];             // "device_committed", "stage_done", …
    char subject[2 * BUNDLE_NAME_MAX + 4]; // a device, a rollout, a release
    char rollout[BUNDLE_NAME_MAX + 1];
    char code[ERR_NAME_BYTES];
    char text[BUNDLE_REPORT_TEXT_MAX + 1];
};

// id, when 0, is chosen: after the last and not before at_ms.
int store_event_add(struct store_db *db, struct store_event *io, int64_t at_ms, struct err *e)
    __attribute__((nonnull));
int store_event_last(struct store_db *db, uint64_t *ret, struct err *e) __attribute__((nonnull));
// Oldest first after an id; visit < 0 fails, > 0 ends.
int store_event_list(struct store_db *db, uint64_t after,
                     int (*visit)(void *context, const struct store_event *event, struct err *e),
                     void *context, struct err *e) __attribute__((nonnull(1, 3, 5)));
// Drops all but the last STORE_EVENT_KEPT.
int store_event_trim(struct store_db *db, struct err *e) __attribute__((nonnull));
