// SPDX-License-Identifier: Apache-2.0
//
// The admin API's rollouts and releases: ctl/openapi.json says what each does. The store's thread
// only.
#pragma once

#include "ctl/serve/call.h"

int serve_rollouts_list(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_apply(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_show(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_approve(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_pause(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_resume(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_abort(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_revert(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_list_releases(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_rollouts_show_release(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
