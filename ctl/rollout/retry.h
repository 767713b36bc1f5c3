// SPDX-License-Identifier: Apache-2.0
//
// Whether a device that failed gets another attempt, and when. Attempts of one device within one
// attempt of the rollout are numbered on from the rollout's: a device refuses a bundle that failed
// there before unless the attempt is higher (agent, I4). So a resumed rollout's attempt is higher
// than those of all retries of the one before: it rises by rollout_retry_step. Pure.
#pragma once

#include "ctl/rollout/downtime.h"
#include "ctl/rollout/policy.h"
#include "ctl/rollout/task.h"

// How much the attempt of the rollout rises when it is resumed after a failure: 1 without retries.
uint64_t rollout_retry_step(const struct rollout_policy *policy) __attribute__((nonnull));
// Whether the policy gives it another attempt: task FAILED with one of the codes (any when none is
// named), or REVERTED with one that is named, and fewer retries than allowed. first: the rollout's
// attempt; attempt: the device's last; code: what it reported, "" unknown.
bool rollout_retry_left(const struct rollout_policy *policy, enum rollout_task task, uint64_t first,
                        uint64_t attempt, const char *code) __attribute__((nonnull));
// When, since_s being when it failed.
int64_t rollout_retry_due_s(const struct rollout_policy *policy, uint64_t first, uint64_t attempt,
                            int64_t since_s) __attribute__((nonnull));
// How long a device may be silent at work on an offer: its phase's timeout, or the policy's.
uint64_t rollout_retry_silence_s(const struct rollout_policy *policy, enum rollout_task task)
    __attribute__((nonnull));
// How long a device may be as far as it is with an offer though it calls.
uint64_t rollout_retry_stuck_s(const struct rollout_policy *policy) __attribute__((nonnull));

// A device that failed, and when it was heard of.
struct rollout_retry_wait {
    uint64_t first, attempt; // as of rollout_retry_left
    enum rollout_task task;
    const char *code;
    int64_t since_s;  // when it failed
    int64_t seen_s;   // last
    int64_t silent_s; // what the fleet was silent for until then does not count; INT64_MIN nothing
};
// Whether a try is left to it that it does not return for: it has been due, and nothing was heard of
// the device, for as long as is waited for one that took the offer.
bool rollout_retry_gone(const struct rollout_policy *policy, const struct rollout_retry_wait *wait,
                        const struct rollout_downtime *down, int64_t now_s)
    __attribute__((nonnull));
