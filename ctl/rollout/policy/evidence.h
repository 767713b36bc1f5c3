// SPDX-License-Identifier: Apache-2.0
//
// The member "evidence" of a policy with gates. Within ctl/rollout/policy*.
#pragma once

#include "base/doc.h"
#include "ctl/rollout/gates.h"

extern const char *const policy_evidence_members[];

// Fills everything but the gates, with defaults where the policy says nothing.
int policy_evidence_parse(const struct doc_at *root, struct rollout_gates *io, struct err *e)
    __attribute__((nonnull));
// Null without gates; NULL when memory ran out.
json_t *policy_evidence_format(const struct rollout_gates *gates) __attribute__((nonnull));
