// SPDX-License-Identifier: Apache-2.0
//
// The members of a policy that say how fast and when: "batch", "windows", "retries", "timeouts",
// "priority", "stepping_stones", "revert_scope", "revert_rate" and "offer_rate". Within ctl/rollout/policy*.
#pragma once

#include "base/doc.h"
#include "ctl/rollout/policy.h"

extern const char *const policy_pace_batch_members[];
extern const char *const policy_pace_windows_members[];
extern const char *const policy_pace_window_members[];
extern const char *const policy_pace_retries_members[];
extern const char *const policy_pace_timeouts_members[];

// After gates: a policy with gates has batches.
int policy_pace_parse(const struct doc_at *root, struct rollout_policy *ret, struct err *e)
    __attribute__((nonnull));
// Adds the members to an object; -1 when memory ran out.
int policy_pace_format(const struct rollout_policy *policy, json_t *io) __attribute__((nonnull));
