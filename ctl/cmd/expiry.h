// SPDX-License-Identifier: Apache-2.0
//
// When somebody should be told that metadata expires. People renew what is signed offline, within
// days. The online roles live for days only and are renewed when half of that is over, so what has
// less than a quarter left is not being renewed: its keys are missing, or nobody serves.
#pragma once

#include "keys/envelope.h"

#define CMD_EXPIRY_WARN_DAYS 30

bool cmd_expiry_is_soon(const char *role, const struct keys_header *header, int64_t now_s,
                        uint64_t within_days) __attribute__((nonnull));
