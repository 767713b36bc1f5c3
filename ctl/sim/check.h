// SPDX-License-Identifier: Apache-2.0
//
// What must hold when a simulated rollout is over, found again from what was noted on the way and from
// the devices themselves.
#pragma once

#include "ctl/sim/control.h"

#define SIM_CHECK_TEXT_BYTES 256

// Counts what is broken; text says what was first (untouched when nothing is).
//
//   tallies   the counts equal a recount of all notes from the beginning
//   ends      every device that was offered the release is committed, reverted, refused, given up or
//             lost, and the device itself says the same, unless it is not heard of any more
//   bounds    no stratum had more known devices offered to than were planned, and no offer was beyond the bounds,
//             the limits, or given while the rollout did not run
uint64_t sim_check_end(const struct sim_control *control, const struct sim_device *devices,
                       char text[static SIM_CHECK_TEXT_BYTES]) __attribute__((nonnull));
// A device begins to activate the release: 1, and a text, when no window of the policy for that is open
// where it is.
uint64_t sim_check_window(const struct sim_world *world, size_t device, int64_t now_s,
                          char text[static SIM_CHECK_TEXT_BYTES]) __attribute__((nonnull));
// The tallies alone: at any instant.
uint64_t sim_check_tallies(const struct sim_control *control,
                           char text[static SIM_CHECK_TEXT_BYTES]) __attribute__((nonnull));
