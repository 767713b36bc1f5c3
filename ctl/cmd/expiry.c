// SPDX-License-Identifier: Apache-2.0
//
// Expiry, seen from the one who has to act; see expiry.h.
#include "ctl/cmd/expiry.h"

#include <string.h>

#define DAY_S 86400LL

bool cmd_expiry_is_soon(const char *role, const struct keys_header *header, int64_t now_s,
                        uint64_t within_days) {
    bool online = strcmp(role, "timestamp") == 0 || strcmp(role, "snapshot") == 0;
    int64_t left_s = header->expires_s - now_s;
    int64_t life_s = header->expires_s - header->issued_s;
    return online ? left_s < life_s / 4 : left_s <= (int64_t)within_days * DAY_S;
}
