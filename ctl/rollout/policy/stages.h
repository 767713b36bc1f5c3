// SPDX-License-Identifier: Apache-2.0
//
// The members "stages" and "gate" of a policy. Within ctl/rollout/policy*.
#pragma once

#include "base/doc.h"
#include "ctl/rollout/policy.h"

extern const char *const policy_stages_members[];      // of a stage
extern const char *const policy_stages_gate_members[]; // of "gate"

int policy_stages_parse(const struct doc_at *root, struct rollout_policy *ret, struct err *e)
    __attribute__((nonnull));
// NULL when memory ran out.
json_t *policy_stages_format(const struct rollout_policy *policy) __attribute__((nonnull));
