// SPDX-License-Identifier: Apache-2.0
//
// What windows add to a stage.
#include "ctl/rollout/plan/hours.h"

struct week {
    uint64_t open_min, longest_min; // shut, at a time
};

static struct week week_of(const struct bundle_window_list *windows) {
    struct week week = {0, 0};
    for (unsigned at = 0; at < BUNDLE_WINDOW_WEEK_MIN; at++) {
        unsigned wait =
            bundle_window_wait_min(windows, at / BUNDLE_WINDOW_DAY_MIN, at % BUNDLE_WINDOW_DAY_MIN);
        week.open_min += wait == 0;
        week.longest_min = wait > week.longest_min ? wait : week.longest_min;
    }
    return week;
}

uint64_t plan_hours_find(const struct bundle_windows *windows, uint64_t calls_s) {
    struct week download = week_of(&windows->download), install = week_of(&windows->install);
    uint64_t least = download.open_min < install.open_min ? download.open_min : install.open_min;
    least = least > 0 ? least : 1;
    uint64_t stretch_s =
        (uint64_t)((unsigned __int128)calls_s * (BUNDLE_WINDOW_WEEK_MIN - least) / least);
    return 60 * (download.longest_min + install.longest_min) + stretch_s;
}
