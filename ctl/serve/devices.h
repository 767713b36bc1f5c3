// SPDX-License-Identifier: Apache-2.0
//
// The admin API's devices: ctl/openapi.json says what each does. All run in the store's thread.
#pragma once

#include "ctl/serve/call.h"

int serve_devices_list(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_show(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_why(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_accept(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_reject(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_retire(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_label(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_pin(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_hold(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_replace(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_devices_remove(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
