// SPDX-License-Identifier: Apache-2.0
//
// The part of advance.h that gates of evidence have in it. For ctl/rollout/advance.c.
#pragma once

#include "ctl/rollout/advance.h"

// Acts on a stop: fails the rollout, or pauses it when the verdict is in doubt. true when the
// rollout is not the running one any more that it was (or stays paused for another reason).
bool rollout_advance_gates_stop(const struct rollout_policy *policy,
                                const struct rollout_counts *counts, struct rollout_progress *io)
    __attribute__((nonnull));
// Pauses while the fleet is silent, and goes on when it is heard of.
void rollout_advance_gates_silence(const struct rollout_counts *counts, struct rollout_progress *io)
    __attribute__((nonnull));
// Whether the open stage, which is complete, may be left as far as evidence goes; else why says
// what it waits for, or it is paused.
bool rollout_advance_gates_pass(const struct rollout_policy *policy,
                                const struct rollout_counts *counts, struct rollout_progress *io)
    __attribute__((nonnull));
// The last stage and its hold-back: true when the stage is not done because of it (it was
// released just now, or waits for its time, which why says). passed: all else is done.
bool rollout_advance_gates_hold(const struct rollout_policy *policy,
                                const struct rollout_counts *counts, bool passed,
                                struct rollout_progress *io) __attribute__((nonnull));
// Notes when a pause began and ended, of what was `before`.
void rollout_advance_gates_pause(const struct rollout_policy *policy,
                                 const struct rollout_progress *before, int64_t now_s,
                                 struct rollout_progress *io) __attribute__((nonnull));
