// SPDX-License-Identifier: Apache-2.0
//
// Windows in a device's zone.
#include "ctl/sim/hours.h"

#define DAY_S     86400
#define MINUTE_S  60
#define EPOCH_DAY 4 // 1970-01-01 was a Thursday

// How much longer it waits, in minutes that began before now_s.
static int64_t wait_min(const struct sim_world *world, size_t device,
                        const struct bundle_window_list *windows, int64_t now_s) {
    int64_t local_s = now_s + (int64_t)world->devices[device].zone_min * MINUTE_S;
    unsigned weekday = (unsigned)((local_s / DAY_S + EPOCH_DAY) % 7);
    return bundle_window_wait_min(windows, weekday, (unsigned)(local_s % DAY_S / MINUTE_S));
}

int64_t sim_hours_open_s(const struct sim_world *world, size_t device,
                         const struct bundle_window_list *windows, int64_t now_s) {
    int64_t wait = windows->n == 0 ? 0 : wait_min(world, device, windows, now_s);
    return wait == 0 ? now_s : now_s - now_s % MINUTE_S + wait * MINUTE_S;
}

int64_t sim_hours_end_s(const struct sim_world *world, size_t device,
                        const struct bundle_window_list *windows, int64_t now_s, int64_t end_s) {
    int64_t at_s = now_s;
    if (windows->n == 0)
        return end_s;
    while (at_s < end_s && wait_min(world, device, windows, at_s) == 0)
        at_s += MINUTE_S - at_s % MINUTE_S;
    return at_s < end_s ? at_s : end_s;
}
