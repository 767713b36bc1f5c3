// SPDX-License-Identifier: Apache-2.0
//
// The admin API's fleet, events and audit log: ctl/openapi.json says what each does. The store's
// thread only.
#pragma once

#include "ctl/serve/call.h"

int serve_watch_summary(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_watch_query(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_watch_events(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_watch_audit(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_watch_verify_audit(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
