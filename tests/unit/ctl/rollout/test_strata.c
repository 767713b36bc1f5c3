// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/strata.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

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

// Sites of one to seven devices: the i-th device is of site i % 40 or, of the first ones, of a larger one.
static size_t sites(struct rollout_member *members, size_t n, uint32_t (*of)(size_t)) {
    for (size_t i = 0; i < n; i++) {
        char id[32];
        size_t site = i % 7 == 0 ? i % 40 : 40 + i / 7;
        (void)snprintf(id, sizeof id, "site:%zu", site);
        members[i] = (struct rollout_member){.stratum = of(site), .rank = bundle_rank(id, seed)};
    }
    return 40 + (n + 6) / 7;
}

static size_t sites_admitted(const struct rollout_policy *policy,
                             const struct rollout_member *units, size_t n,
                             const struct rollout_stratum_plan *plans, size_t stage) {
    return (size_t)admitted(policy, units, n, plans, stage);
}

Test(rollout_strata, where_sites_are_drawn_bounds_and_counts_are_of_sites) {
    struct rollout_policy p = {
        .n_stages = 3,
        .gates = {.n = 1, .unit = ROLLOUT_UNIT_SITE},
        .stages = {by_count(3), by_percent(50), by_percent(100)},
    };
    struct rollout_member members[700];
    struct rollout_stratum_plan plan;
    size_t n_sites = sites(members, 700, one);
    size_t n = rollout_strata_plan(&p, members, 700, &plan, 1);
    cr_assert_eq(n, n_sites);
    for (size_t i = 1; i < n; i++)
        cr_assert_lt(members[i - 1].rank, members[i].rank, "each unit once, in order");
    cr_assert_eq(sites_admitted(&p, members, n, &plan, 0), 3);
    cr_assert_eq(sites_admitted(&p, members, n, &plan, 1), n / 2);
    cr_assert_eq(sites_admitted(&p, members, n, &plan, 2), n);
    // What is planned is devices: all of the sites, and nobody is lost on the way.
    cr_assert_eq(plan.planned[0], admitted(&p, members, 700, &plan, 0));
    cr_assert_gt(plan.planned[0], 3);
    cr_assert_eq(plan.planned[0] + plan.planned[1] + plan.planned[2], 700);
    p.gates.unit = ROLLOUT_UNIT_DEVICE;
    cr_assert_eq(rollout_strata_plan(&p, members, 700, &plan, 1), 700);
}

// Whoever enrols later is of a stage by its share of the sites.
Test(rollout_strata, newcomers_of_a_new_stratum_are_as_many_sites) {
    struct rollout_policy p = {.n_stages = 2,
                               .gates = {.n = 1, .unit = ROLLOUT_UNIT_SITE},
                               .stages = {by_count(14), by_percent(100)}};
    struct rollout_member members[700];
    struct rollout_stratum_plan plans[2], newcomer;
    size_t n = sites(members, 700, one);
    cr_assert_eq(rollout_strata_plan(&p, members, 700, plans, 2), n);
    rollout_strata_newcomer(&p, n, &newcomer);
    cr_assert_eq(plans[1].bound[0], newcomer.bound[0], "of a stratum without members");
}

// Four sites of many devices are as few as four devices.
Test(rollout_strata, a_stratum_of_few_sites_is_small_however_many_devices_it_has) {
    struct rollout_policy p = {.n_stages = 2,
                               .gates = {.n = 1, .unit = ROLLOUT_UNIT_SITE},
                               .stages = {by_percent(20), by_percent(100)}};
    struct rollout_member members[120];
    struct rollout_stratum_plan plans[3];
    for (size_t i = 0; i < 120; i++) {
        char id[32];
        size_t site = i % 12;
        (void)snprintf(id, sizeof id, "site:%zu", site);
        members[i] = (struct rollout_member){.stratum = site < 3   ? 0
                                                        : site < 7 ? 1
                                                                   : 2,
                                             .rank = bundle_rank(id, seed)};
    }
    cr_assert_eq(rollout_strata_plan(&p, members, 120, plans, 3), 12);
    cr_assert_eq(plans[0].pool, 1);
    cr_assert_eq(plans[1].pool, 1);
    cr_assert_eq(plans[2].pool, 0);
    cr_assert_eq(plans[0].planned[0] + plans[1].planned[0], 20, "two of seven sites");
    cr_assert_eq(plans[2].planned[0], 10, "one of five");
}

// A third is of the second kind, and two are of a third.
static uint32_t mixed(size_t i) {
    return i < 2 ? 2 : i % 3 == 0;
}

Test(rollout_strata, a_plan_lies_below_the_most_that_its_sizes_allow) {
    struct rollout_policy p = {
        .n_stages = 4, .stages = {by_percent(2), by_count(40), by_percent(30), by_percent(100)}};
    struct rollout_member members[1000];
    struct rollout_stratum_plan plans[3], most[3];
    size_t sizes[3] = {0};
    for (uint8_t draw = 0; draw < 100; draw++) {
        uint8_t drawn[BUNDLE_RANK_SEED_BYTES] = {draw};
        memset(sizes, 0, sizeof sizes);
        p.gates.n = draw % 2; // which makes pools of small strata
        for (size_t i = 0; i < 1000; i++) {
            char id[32];
            (void)snprintf(id, sizeof id, "device-%zu", i);
            members[i] =
                (struct rollout_member){.stratum = mixed(i), .rank = bundle_rank(id, drawn)};
            sizes[mixed(i)]++;
        }
        rollout_strata_plan(&p, members, 1000, plans, 3);
        rollout_strata_most(&p, sizes, 3, most);
        for (size_t s = 0; s < 3; s++)
            for (size_t i = 0; i < p.n_stages; i++)
                cr_expect_leq(plans[s].bound[i], most[s].bound[i],
                              "draw %u, stratum %zu, stage %zu", draw, s, i);
    }
}

Test(rollout_strata, of_many_devices_the_most_is_little_above_the_share) {
    struct rollout_policy p = {.n_stages = 3,
                               .stages = {by_percent(1), {.by_device = true}, by_percent(100)}};
    const size_t sizes[] = {1000000, 1000, 1};
    struct rollout_stratum_plan most[3];
    rollout_strata_most(&p, sizes, 3, most);
    cr_expect_leq(most[0].bound[0], UINT64_MAX / 1000000 * 10600);
    cr_expect_leq(most[1].bound[0], UINT64_MAX / 100 * 4);
    cr_expect_geq(most[1].bound[0], UINT64_MAX / 100);
    cr_expect_geq(most[2].bound[0], UINT64_MAX / 1000000 * 999999); // one device, of any rank
    for (size_t s = 0; s < 3; s++) {
        cr_expect_eq(most[s].bound[1], most[s].bound[0]); // who is named has no share of ranks
        cr_expect_eq(most[s].bound[2], UINT64_MAX);
    }
    struct rollout_policy named = {.n_stages = 2, .stages = {{.by_device = true}, by_percent(100)}};
    rollout_strata_most(&named, sizes, 3, most);
    cr_expect_eq(most[0].bound[0], 0);
}

Test(rollout_strata, of_kinds_that_are_pooled_the_most_is_that_of_all_of_them) {
    struct rollout_policy p = {.n_stages = 2, .stages = {by_percent(10), by_percent(100)}};
    size_t sizes[BUNDLE_STRATA_MAX];
    struct rollout_stratum_plan most[BUNDLE_STRATA_MAX];
    for (size_t s = 0; s < BUNDLE_STRATA_MAX; s++)
        sizes[s] = ROLLOUT_STRATA_POOL_MIN - 1;
    rollout_strata_most(&p, sizes, BUNDLE_STRATA_MAX, most);
    cr_expect_geq(most[0].bound[0], UINT64_MAX / 2); // one of four
    p.gates.n = 1;
    rollout_strata_most(&p, sizes, BUNDLE_STRATA_MAX, most);
    for (size_t s = 0; s < BUNDLE_STRATA_MAX; s++)
        cr_expect_leq(most[s].bound[0], UINT64_MAX / 100 * 16); // a tenth of a thousand
}
