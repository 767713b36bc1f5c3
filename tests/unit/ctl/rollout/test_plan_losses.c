// SPDX-License-Identifier: Apache-2.0
//
// What a plan says of the time in which a gate of losses sees one.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "ctl/rollout/plan.h"

#define DEVICES 1000
#define POLICY                                                                                     \
    "{\"name\":\"r\",\"release\":\"app "                                                           \
    "2.0\",\"stages\":[{\"name\":\"canary\",\"percent\":10,\"soak_s\":600},{\"name\":\"all\","     \
    "\"percent\":100}]%s}"

// The first stage of the plan of this policy; *ret_next_s is after how long the second may begin.
static json_t *first_stage(const char *rest, int64_t *ret_next_s) {
    static const char *const keys[] = {"{}"};
    static struct rollout_plan plan;
    static struct rollout_member members[DEVICES];
    static const uint64_t counted[] = {DEVICES};
    struct rollout_plan_census census = {.accepted = DEVICES,
                                         .n_strata = 1,
                                         .keys = keys,
                                         .counted = counted,
                                         .members = members,
                                         .n_members = DEVICES};
    OWN(mem) struct rollout_policy *policy = calloc(1, sizeof *policy);
    OWN(json) json_t *made = NULL;
    struct err e = ERR_NONE;
    char text[1024];
    (void)snprintf(text, sizeof text, POLICY, rest);
    OWN(json) json_t *document = json_loads(text, 0, NULL);
    cr_assert(policy != NULL && document != NULL);
    cr_assert_eq(rollout_policy_parse(document, "policy", policy, &e), 0, "%s", e.text);
    for (uint64_t i = 0; i < DEVICES; i++) {
        members[i] = (struct rollout_member){.rank = i * (UINT64_MAX / DEVICES)};
        rollout_plan_age_add(&census.ages, i * 1800 / DEVICES);
    }
    plan.made_s = 1800000000;
    rollout_plan_make(policy, &census, &plan);
    cr_assert_eq(rollout_plan_format(policy, &census, &plan, &made, &e), 0, "%s", e.text);
    *ret_next_s = plan.not_before_s[1] - plan.made_s;
    return json_incref(json_array_get(json_object_get(made, "stages"), 0));
}

static json_int_t number(const json_t *object, const char *name) {
    return json_integer_value(json_object_get(object, name));
}

// What dies is seen when it has been silent for long enough, and a stage lasts as long.
Test(rollout_plan_losses, it_says_until_when_a_stage_sees_what_dies) {
    int64_t next_s = 0;
    OWN(json)
    json_t *stage =
        first_stage(",\"timeout_s\":\"6h\",\"gates\":[{\"name\":\"l\",\"kind\":\"lost\"}],"
                    "\"evidence\":{\"max_soak_s\":\"1h\"}",
                    &next_s);
    const json_t *losses = json_object_get(stage, "losses");
    cr_assert_eq(number(stage, "waits_s"), 600 + 6 * 3600, "soak, after a loss could be seen");
    cr_assert_eq(number(losses, "seen_after_s"), 6 * 3600);
    cr_assert_eq(number(losses, "by_s"), 600 + 1800, "soak and a rhythm");
    cr_assert_geq(next_s, 600 + 6 * 3600 + 1800);
}

Test(rollout_plan_losses, without_such_a_gate_nothing_is_said) {
    int64_t next_s = 0;
    OWN(json) json_t *stage = first_stage("", &next_s);
    cr_assert(json_is_null(json_object_get(stage, "losses")));
    cr_assert_eq(number(stage, "waits_s"), 600);
}
