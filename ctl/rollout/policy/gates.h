// SPDX-License-Identifier: Apache-2.0
//
// The members "gates" and "evidence" of a policy (ctl/rollout/gates.h says what they are). Within
// ctl/rollout/policy*.
#pragma once

#include "base/doc.h"
#include "ctl/rollout/gates.h"

extern const char *const policy_gates_members[]; // of a gate

// Leaves *ret all zero when the policy has no gates.
int policy_gates_parse(const struct doc_at *root, struct rollout_gates *ret, struct err *e)
    __attribute__((nonnull));
// Null without gates; NULL when memory ran out.
json_t *policy_gates_format(const struct rollout_gates *gates) __attribute__((nonnull));
