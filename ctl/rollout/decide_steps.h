// SPDX-License-Identifier: Apache-2.0
//
// What the steps of a decision share. For ctl/rollout/decide*.c.
#pragma once

#include "ctl/rollout/decide.h"

// The device's task is this candidate's.
bool rollout_decide_is_part(const struct rollout_device *device, const struct rollout_candidate *c)
    __attribute__((nonnull));
// And it was offered that, and has not activated it.
bool rollout_decide_awaits(const struct rollout_device *device, const struct rollout_candidate *c)
    __attribute__((nonnull));
// The time that the policy names in until is over.
bool rollout_decide_too_late(const struct rollout_candidate *c, int64_t now_s)
    __attribute__((nonnull));
// It goes back, or has.
bool rollout_decide_goes_back(const struct rollout_candidate *c) __attribute__((nonnull));
// Nothing is offered or activated by a rollout in this state, or at this time. True when so.
bool rollout_decide_stands_still(const struct rollout_candidate *c, int64_t now_s,
                                 struct rollout_why *why) __attribute__((nonnull));
// Sets what is done. Always true.
bool rollout_decide_act(struct rollout_decision *ret, enum rollout_action action, size_t candidate,
                        uint64_t attempt, const struct keys_digest *bundle)
    __attribute__((nonnull));
// Step 4: true when a rollout makes an offer; else why says what is in the way of the first one.
bool rollout_decide_rollouts(const struct rollout_inputs *in, struct rollout_decision *ret)
    __attribute__((nonnull));
