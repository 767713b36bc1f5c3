// SPDX-License-Identifier: Apache-2.0
//
// The tests of plans: a policy is read, its plan is written, and numbers are read of that.
#pragma once

#include <criterion/criterion.h>

#include "base/own.h"
#include "ctl/rollout/plan.h"

// What the ranks of devices and sites are made with.
static const uint8_t seed[BUNDLE_RANK_SEED_BYTES] = {9};

static inline void read_policy(const char *text, struct rollout_policy *ret) {
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    struct err e = ERR_NONE;
    cr_assert_not_null(document, "%s", text);
    cr_assert_eq(rollout_policy_parse(document, "policy", ret, &e), 0, "%s", e.text);
}

static inline json_t *format_plan(const struct rollout_policy *policy,
                                  const struct rollout_plan_census *census,
                                  const struct rollout_plan *plan) {
    json_t *document = NULL;
    struct err e = ERR_NONE;
    cr_assert_eq(rollout_plan_format(policy, census, plan, &document, &e), 0, "%s", e.text);
    return document;
}

static inline json_int_t number(const json_t *object, const char *key) {
    cr_assert(json_is_integer(json_object_get(object, key)), "%s", key);
    return json_integer_value(json_object_get(object, key));
}
