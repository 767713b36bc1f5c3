// SPDX-License-Identifier: Apache-2.0
//
// Readings of metrics by slots of time, inside score.h: each device keeps sums of the last
// ROLLOUT_SCORE_SLOTS slots, which is as much as a window with its grace needs. Slots are counted
// from 1970, so that all devices of a set are read over the same clock times.
#pragma once

#include "ctl/rollout/score.h"

// The slot of an instant.
int64_t rollout_score_slots_of(const struct rollout_gates *gates, int64_t at_s)
    __attribute__((nonnull));
// Takes the readings of a check-in, and brings the guards' sums up to date.
void rollout_score_slots_hear(struct rollout_score *score, const struct rollout_gates *gates,
                              const struct rollout_score_checkin *checkin,
                              struct rollout_score_device *device, struct rollout_score_news *ret)
    __attribute__((nonnull));
// The same, of a device of a site: its first reading in each slot is one of the site's. true when its row
// changed.
struct rollout_score_member;
bool rollout_score_slots_join(struct rollout_score *score, const struct rollout_gates *gates,
                              const struct rollout_score_checkin *checkin,
                              struct rollout_score_member *member,
                              struct rollout_score_device *unit, struct rollout_score_news *ret)
    __attribute__((nonnull));
// What was heard in slots first … last (those that are still kept).
struct rollout_score_mean rollout_score_slots_sum(const struct rollout_score_history *history,
                                                  int64_t first, int64_t last)
    __attribute__((nonnull));
// What was heard of it in the window up to now is what it was before.
void rollout_score_slots_freeze(const struct rollout_gates *gates, int64_t now_s,
                                struct rollout_score_device *io) __attribute__((nonnull));
// n must not be 0.
int64_t rollout_score_slots_mean(const struct rollout_score_mean *sum) __attribute__((nonnull));
