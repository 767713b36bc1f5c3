// SPDX-License-Identifier: Apache-2.0
//
// When somebody should be told that metadata expires. People renew what is signed offline, within
// days. The online roles live for days only and are renewed when half of that is over, so what has
// less than a quarter left is not being renewed: its keys are missing, or nobody serves.
#pragma once

#include <jansson.h>

#include "keys/envelope.h"

#define CMD_EXPIRY_WARN_DAYS 30

bool cmd_expiry_is_soon(const char *role, const struct keys_header *header, int64_t now_s,
                        uint64_t within_days) __attribute__((nonnull));
// Whoever publishes under a root that has expired, or does within CMD_EXPIRY_WARN_DAYS, is told on
// standard error: devices would not follow. *ret is for --json, the caller's: [] or
// [{"expired", "expires", "name", "version"}]. Kind memory.
int cmd_expiry_tell_root(const struct keys_header *root, int64_t now_s, json_t **ret, struct err *e)
    __attribute__((nonnull));
