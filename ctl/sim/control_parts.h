// SPDX-License-Identifier: Apache-2.0
//
// What the files of the simulator's controller (control.h) share.
#pragma once

#include "ctl/sim/control.h"

// Notes what happened to a device. Kind memory.
int sim_control_note(struct sim_control *c, size_t device, enum sim_control_note_kind kind,
                     unsigned what, struct err *e) __attribute__((nonnull));
// The device's task becomes another one: tallies, score, progress. Kinds: those of the score.
int sim_control_move(struct sim_control *c, size_t device, enum rollout_task to, int64_t now_s,
                     struct err *e) __attribute__((nonnull));
// Where its rank is now.
enum rollout_admission sim_control_admission(const struct sim_control *c, size_t device)
    __attribute__((nonnull));
// Decides, and notes what the device becomes.
int sim_control_decide(struct sim_control *c, size_t device, const struct sim_device_checkin *m,
                       int64_t now_s, struct sim_device_answer *ret, struct err *e)
    __attribute__((nonnull));
