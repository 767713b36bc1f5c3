// SPDX-License-Identifier: Apache-2.0
//
// What devices reported, the last STORE_REPORT_PER_DEVICE of each. The key is (device, report id),
// so a report that comes twice is kept once.
#pragma once

#include "bundle/report.h"
#include "ctl/store/db.h"

#define STORE_REPORT_PER_DEVICE 128

// 1 when it was there already. Drops what is too old.
enum { STORE_REPORT_KNOWN = 1 };
int store_report_add(struct store_db *db, const char *device, const struct bundle_report *report,
                     int64_t received_s, struct err *e) __attribute__((nonnull));
// The newest `max`, newest first, as JSON (bundle/report.h's form and "received"); *ret is the
// caller's.
int store_report_list(struct store_db *db, const char *device, uint64_t max, json_t **ret,
                      struct err *e) __attribute__((nonnull));
// The newest that says that something went wrong (refused, reverted, failed); STORE_ABSENT.
int store_report_failure(struct store_db *db, const char *device, json_t **ret, struct err *e)
    __attribute__((nonnull));
// Forgets all of a device (its hardware was replaced: the ids begin anew).
int store_report_forget(struct store_db *db, const char *device, struct err *e)
    __attribute__((nonnull));
