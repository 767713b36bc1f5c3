// SPDX-License-Identifier: Apache-2.0
//
// The windows of a rollout (bundle/window.h) as a simulated device sees them: by its own zone, whose
// clock never changes to summer time. Pure.
#pragma once

#include "bundle/window.h"
#include "ctl/sim/world.h"

// When one opens that the device may go by: now_s when one is open, or there is none.
int64_t sim_hours_open_s(const struct sim_world *world, size_t device,
                         const struct bundle_window_list *windows, int64_t now_s)
    __attribute__((nonnull));
// Until when they are open from now_s on, when they are open now; at most end_s.
int64_t sim_hours_end_s(const struct sim_world *world, size_t device,
                        const struct bundle_window_list *windows, int64_t now_s, int64_t end_s)
    __attribute__((nonnull));
