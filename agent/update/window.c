// SPDX-License-Identifier: Apache-2.0
//
// The windows of this device and of the rollout that offered the update under way: both must be
// open. They are spans of the local day by the best clock there is (agent_state_best_s); a device
// that knows no better time than the wall's goes by that, as for everything it only waits for.
#include <stdio.h>
#include <time.h>

#include "agent/kind.h"
#include "agent/update/engine.h"
#include "bundle/kind.h"

static bool is_closed(const struct agent_state *state, const struct bundle_window_list *windows,
                      const struct err_kind *kind, const char *whose, struct err *why) {
    struct tm local;
    time_t now = (time_t)agent_state_best_s(state);
    if (windows->n == 0 || !localtime_r(&now, &local))
        return false;
    unsigned weekday = (unsigned)local.tm_wday;
    unsigned minute = (unsigned)(local.tm_hour * 60 + local.tm_min);
    unsigned wait_min = bundle_window_wait_min(windows, weekday, minute);
    if (wait_min == 0)
        return false;
    unsigned opens = weekday * BUNDLE_WINDOW_DAY_MIN + minute + wait_min;
    const char *day = bundle_window_days[opens / BUNDLE_WINDOW_DAY_MIN % 7];
    bool far = wait_min >= BUNDLE_WINDOW_DAY_MIN;
    err_set(why, kind, "the %s window opens %s%sat %02u:%02u", whose, far ? day : "",
            far ? " " : "", opens % BUNDLE_WINDOW_DAY_MIN / 60, opens % 60);
    return true;
}

bool update_window_is_closed(const struct agent_update *u, enum update_window what,
                             struct err *ret_why) {
    const struct agent_state *state = u->host.state;
    const struct bundle_windows *rollout = &update_engine_record(u)->update.windows;
    if (what == UPDATE_WINDOW_DOWNLOAD)
        return is_closed(state, &rollout->download, &err_outside_rollout_window,
                         "rollout's download", ret_why);
    return is_closed(state, &state->config->window, &err_outside_window, "maintenance", ret_why) ||
           is_closed(state, &rollout->install, &err_outside_rollout_window, "rollout's install",
                     ret_why);
}
