// SPDX-License-Identifier: Apache-2.0
//
// Expiry, seen from the one who has to act; see expiry.h.
#include "ctl/cmd/expiry.h"

#include <stdio.h>
#include <string.h>

#include "base/chrono.h"
#include "base/own.h"
#include "ctl/repo/targets.h"

#define DAY_S 86400LL

bool cmd_expiry_is_soon(const char *role, const struct keys_header *header, int64_t now_s,
                        uint64_t within_days) {
    bool online = strcmp(role, "timestamp") == 0 || strcmp(role, "snapshot") == 0 ||
                  strcmp(role, REPO_TARGETS_DELTAS_ROLE) == 0;
    int64_t left_s = header->expires_s - now_s;
    int64_t life_s = header->expires_s - header->issued_s;
    return online ? left_s < life_s / 4 : left_s <= (int64_t)within_days * DAY_S;
}

int cmd_expiry_tell_root(const struct keys_header *root, int64_t now_s, json_t **ret,
                         struct err *e) {
    char expires[CHRONO_TEXT_BYTES];
    bool expired = root->expires_s <= now_s;
    bool soon = cmd_expiry_is_soon("root", root, now_s, CMD_EXPIRY_WARN_DAYS);
    OWN(json) json_t *rows = json_array();
    (void)chrono_format(root->expires_s, expires);
    if (!rows ||
        (soon && json_array_append_new(rows, json_pack("{s:b,s:s,s:s,s:I}", "expired", expired,
                                                       "expires", expires, "name", "root",
                                                       "version", (json_int_t)root->version)) < 0))
        return err_set(e, &err_memory, "printing: no memory");
    if (soon)
        (void)fprintf(stderr,
                      "edgectl: WARNING: version %llu of the root %s %s; %s the next one is in "
                      "force (edgectl key rotate ROLE makes it, edgectl root publish puts it in "
                      "force)\n",
                      (unsigned long long)root->version, expired ? "expired" : "expires", expires,
                      expired ? "devices install nothing until"
                              : "from then on devices install nothing until");
    *ret = own_take(&rows);
    return 0;
}
