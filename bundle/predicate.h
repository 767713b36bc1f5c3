// SPDX-License-Identifier: Apache-2.0
//
// Predicates on facts: what a bundle requires of a device, and which devices a rollout selects. One
// evaluator for agent and controller.
//
//   or    = and { "or" and }
//   and   = not { "and" not }
//   not   = ["not"] atom
//   atom  = "(" or ")" | "true" | "false" | "known" "(" name ")"
//         | name op value | name "in" "(" value {"," value} ")" | name
//   op    = "==" | "!=" | "<" | "<=" | ">" | ">=" | "has" | "~"     ("~" matches a glob of * and ?)
//   value = "text" | integer | decimal | true | false
//
// A string compares with == as bytes and with < <= > >= as a version (text_compare_version);
// numbers as numbers; `has` looks into a list; a bare name is a boolean fact. Logic has three
// values: a comparison with an unknown fact or with a value of another type is unknown, not/and/or
// follow Kleene, and an unknown result counts as false, with a reason that names the fact. The
// empty predicate is true.
//
// Text is UTF-8 in double quotes, \" and \\ stand for " and \, control characters are refused.
// The words above in quotes are reserved and cannot be names. A decimal fact is a string in JSON:
// it is read as a number when it is compared with one.
//
// Neither reading nor evaluating recurses: a predicate is kept as its leaves and connectives in
// postfix order.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define BUNDLE_PREDICATE_REASON_BYTES 160
#define BUNDLE_PREDICATE_DEPTH_MAX    32  // parentheses within each other
#define BUNDLE_PREDICATE_NODES_MAX    256 // comparisons and connectives; and as many values

struct bundle_predicate;
struct bundle_facts;

// Reads a predicate of at most BUNDLE_PREDICATE_MAX bytes. *ret is the caller's
// (bundle_predicate_free). Kind bad_predicate with the position.
int bundle_predicate_parse(const char *text, struct bundle_predicate **ret, struct err *e)
    __attribute__((nonnull));
void bundle_predicate_free(struct bundle_predicate *predicate);
static inline void own_drop_predicate(struct bundle_predicate **predicate) {
    bundle_predicate_free(*predicate);
    *predicate = NULL;
}

// True or false; when false, ret_reason says why ("arch is \"armhf\", wanted == \"arm64\"";
// "accel.edgetpu is unknown"), safe for a terminal and cut with "…" where it is too long; when true
// it is "". Changes nothing, so that threads may share a predicate and facts.
bool bundle_predicate_holds(const struct bundle_predicate *predicate,
                            const struct bundle_facts *facts,
                            char ret_reason[static BUNDLE_PREDICATE_REASON_BYTES])
    __attribute__((nonnull));

// Whether it could hold if facts whose names begin with `prefix` were something, or unknown: for
// whoever does not know those. Each place where one stands is taken by itself, so that what no facts
// at all would fulfil ("label.a == 1 and label.a == 2") may be said to hold. The reason as above.
bool bundle_predicate_may_hold(const struct bundle_predicate *predicate,
                               const struct bundle_facts *facts, const char *prefix,
                               char ret_reason[static BUNDLE_PREDICATE_REASON_BYTES])
    __attribute__((nonnull));
