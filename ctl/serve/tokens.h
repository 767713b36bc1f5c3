// SPDX-License-Identifier: Apache-2.0
//
// The admin API's tokens: ctl/openapi.json says what each does. The store's
// thread only.
#pragma once

#include "ctl/serve/call.h"

int serve_tokens_whoami(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_tokens_list(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_tokens_create(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
int serve_tokens_revoke(struct store_db *db, struct serve_call *call, struct err *e)
    __attribute__((nonnull));
