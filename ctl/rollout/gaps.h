// SPDX-License-Identifier: Apache-2.0
//
// How long a device was silent between its check-ins, remembered in sixteen bytes: a count for each
// doubling of seconds, from under a minute to more than a fortnight. When a count is full all are halved,
// so that what was long ago weighs less. A plan makes of it when devices are to be expected: seen at any
// time, a device calls again after what is left of a gap, and longer gaps are met more often: of a gap of
// g seconds each moment up to g is as likely, with a weight of g. So check-ins in haste, while an update is
// under way, hardly count beside the hours of silence in between.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ROLLOUT_GAPS_CLASSES 16
#define ROLLOUT_GAPS_LEAST   8 // gaps that make a history

struct rollout_gaps {
    uint8_t count[ROLLOUT_GAPS_CLASSES];
};

void rollout_gaps_note(struct rollout_gaps *io, uint64_t gap_s) __attribute__((nonnull));
// The middle of a class, in seconds.
uint64_t rollout_gaps_middle(unsigned class);
// Divides `weight` among the classes by the share of time that gaps of each make up; false, and nothing
// is added, where there is no history.
bool rollout_gaps_weigh(const struct rollout_gaps *gaps, uint64_t weight,
                        uint64_t io[static ROLLOUT_GAPS_CLASSES]) __attribute__((nonnull));
