// SPDX-License-Identifier: Apache-2.0
//
// Who is told, and when: at, below and above each bound.
#include "ctl/cmd/expiry.h"

#include <criterion/criterion.h>

#define DAY_S 86400LL

static bool soon(const char *role, int64_t life_s, int64_t left_s, uint64_t days) {
    const int64_t now_s = 1800000000;
    const struct keys_header header = {
        .version = 1, .issued_s = now_s + left_s - life_s, .expires_s = now_s + left_s};
    return cmd_expiry_is_soon(role, &header, now_s, days);
}

Test(expiry, people_are_told_when_the_days_begin) {
    cr_expect_not(soon("targets", 365 * DAY_S, 30 * DAY_S + 1, 30));
    cr_expect(soon("targets", 365 * DAY_S, 30 * DAY_S, 30));
    cr_expect(soon("root", 365 * DAY_S, 0, 0));
    cr_expect_not(soon("root", 365 * DAY_S, 1, 0));
    cr_expect(soon("models", 365 * DAY_S, -1, 0));
}

Test(expiry, online_roles_count_once_nobody_renews_them) {
    cr_expect_not(soon("timestamp", 4 * DAY_S, DAY_S, 30));
    cr_expect(soon("timestamp", 4 * DAY_S, DAY_S - 1, 30));
    cr_expect_not(soon("snapshot", 16 * DAY_S, 4 * DAY_S, 36500));
    cr_expect(soon("snapshot", 16 * DAY_S, -1, 0));
    cr_expect_not(soon("deltas", 16 * DAY_S, 4 * DAY_S, 30), "the controller's own");
    cr_expect(soon("deltas", 16 * DAY_S, 4 * DAY_S - 1, 0));
}
