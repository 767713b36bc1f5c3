// SPDX-License-Identifier: Apache-2.0
//
// What a device of the simulator sends of its metrics with a check-in: those that the policy has gates
// on.
#pragma once

#include "ctl/sim/device.h"
#include "ctl/sim/score.h"

// Sets given and nano of *io. counters: what each device's counters read, [device * gates + gate].
// Nothing without a score. A device that lies for the release sends what it would without it.
void sim_readings_take(const struct sim_world_luck *luck, const struct sim_score *score,
                       struct sim_device *device, uint32_t *counters, int64_t now_s,
                       struct sim_device_checkin *io) __attribute__((nonnull(1, 3, 4, 6)));
