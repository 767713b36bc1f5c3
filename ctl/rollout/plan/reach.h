// SPDX-License-Identifier: Apache-2.0
//
// How many devices a controller that was taken over could bring the release to, by what people sign
// of a plan (bundle/mandate.h). Within ctl/rollout/plan*.
#pragma once

#include "ctl/rollout/plan.h"

// Fills reach of the plan, whose bounds are found: for each stage the devices that it, or one before
// it, would let through by what they know of themselves. A device does not know its labels: of the
// strata that differ in these alone the highest bound counts, newcomers' among them.
void plan_reach_find(const struct rollout_policy *policy, const struct rollout_plan_census *census,
                     struct rollout_plan *io) __attribute__((nonnull));
