// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/strata.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "bundle/rank.h"

static const uint8_t seed[BUNDLE_RANK_SEED_BYTES] = {7};

static struct rollout_stage_policy by_count(uint64_t count) {
    return (struct rollout_stage_policy){.by_count = true, .count = count};
}

static struct rollout_stage_policy by_percent(uint32_t percent) {
    return (struct rollout_stage_policy){.ppm = percent * 10000};
}

// n devices, dealt over the strata by `of` (device number → stratum).
static void census(struct rollout_member *members, size_t n, uint32_t (*of)(size_t)) {
    for (size_t i = 0; i < n; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "device-%zu", i);
        members[i] = (struct rollout_member){.stratum = of(i), .rank = bundle_rank(id, seed)};
    }
}

static uint32_t one(size_t i) {
    (void)i;
    return 0;
}

// 1 % of the fleet is of the rare kind.
static uint32_t rare(size_t i) {
    return i % 100 == 99;
}

static uint64_t admitted(const struct rollout_policy *policy, const struct rollout_member *members,
                         size_t n, const struct rollout_stratum_plan *plans, size_t stage) {
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += rollout_strata_stage(policy, &plans[members[i].stratum], members[i].rank) <= stage;
    return count;
}

Test(rollout_strata, a_stage_by_count_admits_just_that_many) {
    struct rollout_policy p = {.n_stages = 3,
                               .stages = {by_count(2), by_percent(30), by_percent(100)}};
    struct rollout_member members[1000];
    struct rollout_stratum_plan plan;
    census(members, 1000, one);
    rollout_strata_plan(&p, members, 1000, &plan, 1);
    cr_assert_eq(admitted(&p, members, 1000, &plan, 0), 2);
    cr_assert_eq(admitted(&p, members, 1000, &plan, 1), 300);
    cr_assert_eq(admitted(&p, members, 1000, &plan, 2), 1000);
    cr_assert_eq(plan.planned[0], 2);
    cr_assert_eq(plan.planned[1], 298);
    cr_assert_eq(plan.planned[2], 700);
}

Test(rollout_strata, the_smallest_canary_sees_every_kind) {
    struct rollout_policy p = {.n_stages = 2, .stages = {by_percent(1), by_percent(100)}};
    struct rollout_member members[300];
    struct rollout_stratum_plan plans[2];
    census(members, 300, rare);
    rollout_strata_plan(&p, members, 300, plans, 2);
    cr_assert_eq(plans[0].planned[0], 3);
    cr_assert_eq(plans[1].planned[0], 1);
    p.stages[0] = by_count(4);
    rollout_strata_plan(&p, members, 300, plans, 2);
    cr_assert_eq(plans[0].planned[0] + plans[1].planned[0], 4);
    cr_assert_geq(plans[1].planned[0], 1);
    p.stages[0] = by_count(1); // fewer than there are kinds: one of each
    rollout_strata_plan(&p, members, 300, plans, 2);
    cr_assert_eq(plans[0].planned[0], 1);
    cr_assert_eq(plans[1].planned[0], 1);
}

Test(rollout_strata, newcomers_fall_into_place) {
    struct rollout_policy p = {.n_stages = 2, .stages = {by_percent(10), by_percent(100)}};
    struct rollout_member members[2000];
    struct rollout_stratum_plan plan;
    census(members, 2000, one);
    rollout_strata_plan(&p, members, 1000, &plan, 1);
    cr_assert_eq(admitted(&p, members, 2000, &plan, 1), 2000);
    uint64_t early = admitted(&p, members, 2000, &plan, 0);
    cr_assert(early > 150 && early < 250, "%llu of 2000 in a tenth", (unsigned long long)early);
    rollout_strata_newcomer(&p, 1000, &plan);
    early = admitted(&p, members, 2000, &plan, 0);
    cr_assert(early > 150 && early < 250);
}

// Who comes before the fleet was counted would all be canaries otherwise.
Test(rollout_strata, a_stage_by_count_takes_nobody_before_the_fleet_is_counted) {
    struct rollout_policy policy = {
        .n_stages = 2, .stages = {{.by_count = true, .count = 1}, {.ppm = ROLLOUT_PPM}}};
    struct rollout_stratum_plan plan;
    rollout_strata_newcomer(&policy, 0, &plan);
    for (uint64_t rank = 1; rank != 0; rank <<= 1)
        cr_assert_eq(rollout_strata_stage(&policy, &plan, rank), 1);
}

Test(rollout_strata, nobody_is_planned_for_an_empty_fleet) {
    struct rollout_policy p = {.n_stages = 2, .stages = {by_count(5), by_percent(100)}};
    struct rollout_stratum_plan plan;
    rollout_strata_plan(&p, NULL, 0, &plan, 0);
    rollout_strata_newcomer(&p, 0, &plan);
    cr_assert_eq(plan.planned[0], 0);
    cr_assert_eq(plan.bound[1], UINT64_MAX);
}

Test(rollout_strata, a_named_device_is_admitted_by_the_stage_that_names_it) {
    static struct rollout_policy p = {.n_stages = 3,
                                      .n_devices = 2,
                                      .devices = {"device-9", "device-3"},
                                      .stages = {{.by_device = true, .n_devices = 2},
                                                 {.ppm = ROLLOUT_PPM / 2},
                                                 {.ppm = ROLLOUT_PPM}}};
    struct rollout_member members[10];
    struct rollout_stratum_plan plan;
    census(members, 10, one);
    for (size_t i = 0; i < 10; i++)
        members[i].named = i == 9 || i == 3 ? 1 : 0;
    rollout_strata_plan(&p, members, 10, &plan, 1);
    cr_assert_eq(plan.bound[0], 0);
    cr_assert_eq(plan.planned[0], 2);
    cr_assert_eq(plan.planned[0] + plan.planned[1] + plan.planned[2], 10);
    for (size_t i = 0; i < 10; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "device-%zu", i);
        uint64_t rank = bundle_rank(id, seed);
        size_t by_rank = rollout_strata_stage(&p, &plan, rank);
        cr_assert_geq(by_rank, 1);
        cr_assert_eq(rollout_strata_admits(&p, &plan, id, rank), i == 9 || i == 3 ? 0 : by_rank);
    }
}

// 100 devices of one kind, and three each of four rare ones.
static uint32_t rare_kinds(size_t i) {
    return i < 100 ? 2 : (uint32_t)((i - 100) / 3) + ((i - 100) / 3 >= 2);
}

Test(rollout_strata, with_gates_small_strata_are_planned_as_one) {
    struct rollout_policy p = {
        .gates = {.n = 1}, .n_stages = 2, .stages = {by_percent(25), by_percent(100)}};
    struct rollout_member members[112];
    struct rollout_stratum_plan plans[5];
    census(members, 112, rare_kinds);
    rollout_strata_plan(&p, members, 112, plans, 5);
    uint64_t rare_first = 0;
    for (size_t s = 0; s < 5; s++) {
        if (s == 2)
            continue;
        cr_assert_eq(plans[s].pool, 1, "stratum %zu", s);
        cr_assert_eq(rollout_strata_pool(&plans[s], s), 0);
        cr_assert_eq(plans[s].bound[0], plans[0].bound[0]);
        cr_assert_eq(plans[s].planned[0] + plans[s].planned[1], 3);
        rare_first += plans[s].planned[0];
    }
    cr_assert_eq(rare_first, 3, "a quarter of twelve, not one of each kind");
    cr_assert_eq(plans[2].pool, 0);
    cr_assert_eq(rollout_strata_pool(&plans[2], 2), 2);
    cr_assert_eq(plans[2].planned[0], 25);
    p.gates.n = 0; // thresholds: every kind is among the first
    rollout_strata_plan(&p, members, 112, plans, 5);
    for (size_t s = 0; s < 5; s++)
        cr_assert(plans[s].pool == 0 && plans[s].planned[0] >= 1, "stratum %zu", s);
}

Test(rollout_strata, with_gates_a_share_is_rounded_up) {
    struct rollout_policy p = {.stages = {by_percent(1), by_percent(100)}, .n_stages = 2};
    struct rollout_member members[130];
    struct rollout_stratum_plan plan;
    census(members, 130, one);
    rollout_strata_plan(&p, members, 130, &plan, 1);
    cr_assert_eq(plan.planned[0], 1);
    p.gates.n = 1;
    rollout_strata_plan(&p, members, 130, &plan, 1);
    cr_assert_eq(plan.planned[0], 2);
}
