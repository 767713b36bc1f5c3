// SPDX-License-Identifier: Apache-2.0
//
// How many devices a controller that was taken over could bring the release to, by what people sign
// of a plan (bundle/mandate.h). Within ctl/rollout/plan*.
#pragma once

#include "ctl/rollout/plan.h"

// Fills reach of the plan and of its ramps, whose bounds and shares are found: the devices that a
// stage, one before it, or the steps of it so far would let through.
void plan_reach_find(const struct rollout_policy *policy, const struct rollout_plan_census *census,
                     struct rollout_plan *io) __attribute__((nonnull));
