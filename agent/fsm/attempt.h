// SPDX-License-Identifier: Apache-2.0
//
// Which bundles are not tried again (I4), and when restarts are too many (I3). Pure.
#pragma once

#include "agent/fsm/record.h"

// Notes that an attempt at a bundle failed here. A higher attempt replaces a lower one; when the
// list is full the entry that was noted first goes.
void fsm_attempt_failed(struct fsm_record *record, const struct keys_digest *bundle,
                        uint64_t attempt) __attribute__((nonnull));

// What was committed here is no failure, whatever an earlier attempt at it was.
void fsm_attempt_forget(struct fsm_record *record, const struct keys_digest *bundle)
    __attribute__((nonnull));

// The highest attempt at the bundle that failed here, or 0.
uint64_t fsm_attempt_last(const struct fsm_record *record, const struct keys_digest *bundle)
    __attribute__((nonnull));

// I4: true unless this attempt, or a later one, failed already.
bool fsm_attempt_admits(const struct fsm_record *record, const struct keys_digest *bundle,
                        uint64_t attempt) __attribute__((nonnull));

// I3: whether the update under way was interrupted by more restarts than allowed. After the swap
// the bundle says how many; before it FSM_RESTARTS_STAGING_MAX.
bool fsm_attempt_interrupted(const struct fsm_record *record) __attribute__((nonnull));
