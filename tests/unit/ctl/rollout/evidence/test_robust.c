// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/robust.h"

#include <criterion/criterion.h>

#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/rank.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/dice.h"

static int64_t level(void) {
    return evidence_num_level(25000);
}

#define SETS 40

static const struct evidence_rank_design design = {.intolerable = {1000}};
static const struct evidence_rank_place best = {.compared = 4};

static void add(struct evidence_rank *state, unsigned better) {
    struct evidence_rank_value treated = {.change_nano = 2 * (int64_t)better - 1}, others[4];
    for (int i = 0; i < 4; i++)
        others[i] = (struct evidence_rank_value){.change_nano = 2 * i};
    evidence_rank_add(state, &design, &treated, others, 4);
}

static bool fails(const unsigned *places, size_t n) {
    struct evidence_rank state = {.sets = 0};
    for (size_t i = 0; i < n; i++)
        add(&state, places[i]);
    return evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE) >= level();
}

static void build(const unsigned *places, size_t n, bool gains, int64_t *terms, int64_t *taken) {
    struct evidence_rank state = {.sets = 0};
    int64_t first[EVIDENCE_RANK_BETS];
    evidence_rank_score(&best, 0, first);
    for (size_t i = 0; i < n; i++) {
        struct evidence_rank_place place = {.compared = 4, .better = places[i]};
        add(&state, places[i]);
        evidence_rank_score(&place, 0, taken + i * EVIDENCE_RANK_BETS);
        for (unsigned bet = 0; bet < EVIDENCE_RANK_BETS && gains; bet++)
            taken[i * EVIDENCE_RANK_BETS + bet] -= first[bet];
    }
    evidence_rank_terms(&state, EVIDENCE_RANK_TOLERABLE, terms);
}

// The fewest sets that, moved to the best place, keep the gate from failing: the worst ones first.
static size_t by_hand(const unsigned *places, size_t n) {
    unsigned changed[SETS];
    for (size_t i = 0; i < n; i++)
        changed[i] = places[i];
    size_t m = 0;
    for (; m <= n && fails(changed, n); m++) {
        size_t worst = 0;
        for (size_t i = 1; i < n; i++)
            worst = changed[i] > changed[worst] ? i : worst;
        changed[worst] = 0;
    }
    return m;
}

Test(evidence_robust, the_fragility_of_ranks_is_the_fewest_devices_found_by_trying) {
    struct dice dice = {51};
    int decided = 0;
    for (int run = 0; run < 60; run++) {
        unsigned places[SETS];
        int64_t terms[EVIDENCE_RANK_BETS], taken[SETS * EVIDENCE_RANK_BETS];
        size_t fewest = 99;
        struct err e = ERR_NONE;
        for (int i = 0; i < SETS; i++)
            places[i] = dice_chance(&dice, 0.6) ? 4 : (unsigned)dice_below(&dice, 5);
        build(places, SETS, true, terms, taken);
        struct evidence_case of = {.terms = terms,
                                   .n_terms = EVIDENCE_RANK_BETS,
                                   .taken = taken,
                                   .n_units = SETS,
                                   .level = level()};
        cr_assert_eq(evidence_robust_fragility(&of, &fewest, &e), 0);
        cr_expect_eq(fewest, by_hand(places, SETS), "%zu, not %zu", fewest, by_hand(places, SETS));
        decided += fewest > 1;
    }
    cr_expect_gt(decided, 40);
}

Test(evidence_robust, one_event_that_decides_is_said_to) {
    struct evidence_events state = {.scored = 0};
    int64_t taken[3 * EVIDENCE_EVENTS_NODES], terms[EVIDENCE_EVENTS_NODES];
    size_t fewest = 99;
    struct err e = ERR_NONE;
    for (int i = 0; i < 3; i++) {
        struct evidence_risk risk = {.comparison = 95, .treated = 5};
        evidence_events_score(&risk, 1, taken + i * EVIDENCE_EVENTS_NODES);
        evidence_events_add(&state, &risk, 0, 1);
    }
    evidence_events_terms(&state, EVIDENCE_EVENTS_EQUAL, terms);
    int64_t all = evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL);
    struct evidence_case of = {.terms = terms,
                               .n_terms = EVIDENCE_EVENTS_NODES,
                               .taken = taken,
                               .n_units = 3,
                               .level = all};
    cr_assert_eq(evidence_robust_fragility(&of, &fewest, &e), 0);
    cr_expect_eq(fewest, 1);
    of.level = all + 1;
    cr_assert_eq(evidence_robust_fragility(&of, &fewest, &e), 0);
    cr_expect_eq(fewest, 0, "it does not reach the level at all");
    of.level = -100 * EVIDENCE_NAT;
    cr_assert_eq(evidence_robust_fragility(&of, &fewest, &e), 0);
    cr_expect_eq(fewest, 4, "not even all are enough");
}

Test(evidence_robust, installs_are_fragile_by_the_failures_above_the_bound) {
    uint64_t fewest = evidence_robust_install(100, 20, 20000, level());
    struct evidence_install stands = {100, 20 - fewest + 1}, falls = {100, 20 - fewest};
    cr_expect_geq(evidence_install_worse(&stands, NULL, 20000), level());
    cr_expect_lt(evidence_install_worse(&falls, NULL, 20000), level());
    cr_expect_eq(evidence_robust_install(100, 2, 20000, level()), 0);
    cr_expect_eq(evidence_robust_install(3, 3, 1, level()), 3);
}

static void judge_clusters(const uint32_t *clusters, struct evidence_cluster *ret) {
    unsigned places[SETS];
    int64_t terms[EVIDENCE_RANK_BETS], taken[SETS * EVIDENCE_RANK_BETS];
    struct err e = ERR_NONE;
    // Half of the sets are as bad as can be, the others in the middle.
    for (int i = 0; i < SETS; i++)
        places[i] = i % 2 == 0 ? 4 : 2;
    build(places, SETS, false, terms, taken);
    struct evidence_case of = {.terms = terms,
                               .n_terms = EVIDENCE_RANK_BETS,
                               .taken = taken,
                               .clusters = clusters,
                               .n_units = SETS,
                               .n_clusters = 5,
                               .level = level()};
    cr_assert(fails(places, SETS));
    cr_assert_eq(evidence_robust_cluster(&of, ret, &e), 0);
}

Test(evidence_robust, a_verdict_that_one_cluster_carries_is_found) {
    uint32_t clusters[SETS];
    struct evidence_cluster found;
    for (uint32_t i = 0; i < SETS; i++)
        clusters[i] = i % 2 == 0 ? 3 : i % 5 == 3 ? 4 : i % 5; // all bad ones at one site
    judge_clusters(clusters, &found);
    cr_expect(found.alone && found.cluster == 3, "%zu", found.cluster);
    cr_expect_geq(found.units, SETS / 2);
    cr_expect_lt(found.left, 0);
}

Test(evidence_robust, a_verdict_from_all_clusters_stands_without_any) {
    uint32_t clusters[SETS];
    struct evidence_cluster found;
    for (uint32_t i = 0; i < SETS; i++)
        clusters[i] = i / 2 % 5;
    judge_clusters(clusters, &found);
    cr_expect(!found.alone && found.left >= level() && found.units == SETS / 5);
}

Test(evidence_robust, some_evidence_without_a_cluster_is_not_enough) {
    const int64_t term = 10 * EVIDENCE_NAT, taken[] = {4 * EVIDENCE_NAT, 3 * EVIDENCE_NAT, 0};
    const uint32_t clusters[] = {0, 1, 1};
    struct evidence_case of = {.terms = &term,
                               .n_terms = 1,
                               .taken = taken,
                               .clusters = clusters,
                               .n_units = 3,
                               .n_clusters = 2,
                               .level = 6 * EVIDENCE_NAT + EVIDENCE_NAT / 2};
    struct evidence_cluster found;
    struct err e = ERR_NONE;
    cr_assert_eq(evidence_robust_cluster(&of, &found, &e), 0);
    cr_expect(found.alone && found.cluster == 0 && found.units == 1);
    cr_expect(found.left <= 6 * EVIDENCE_NAT && found.left > 6 * EVIDENCE_NAT - 16);
    of.level = 5 * EVIDENCE_NAT;
    cr_assert_eq(evidence_robust_cluster(&of, &found, &e), 0);
    cr_expect(!found.alone);
}

Test(evidence_robust, more_than_the_ceilings_is_refused) {
    int64_t term = 0;
    size_t fewest = 77;
    struct evidence_cluster cluster = {.units = 77};
    struct evidence_case of = {
        .terms = &term, .n_terms = 1, .n_units = EVIDENCE_ROBUST_UNITS_MAX + 1, .n_clusters = 1};
    struct err e = ERR_NONE;
    cr_expect_eq(evidence_robust_fragility(&of, &fewest, &e), -1);
    cr_expect(err_is(&e, &err_limit) && fewest == 77);
    err_clear(&e);
    of.n_units = 0;
    of.n_clusters = EVIDENCE_ROBUST_CLUSTERS_MAX + 1;
    cr_expect_eq(evidence_robust_cluster(&of, &cluster, &e), -1);
    cr_expect(err_is(&e, &err_limit) && cluster.units == 77);
}

Test(evidence_robust, each_allocation_that_fails_is_said_and_changes_nothing) {
    const int64_t term = EVIDENCE_NAT, taken = EVIDENCE_NAT;
    const uint32_t clusters = 0;
    struct evidence_case of = {.terms = &term,
                               .n_terms = 1,
                               .taken = &taken,
                               .clusters = &clusters,
                               .n_units = 1,
                               .n_clusters = 1};
    for (size_t n = 0; n < 2; n++) {
        size_t fewest = 77;
        struct evidence_cluster cluster = {.units = 77};
        struct err e = ERR_NONE;
        alloc_fault_begin(n, false);
        int done = evidence_robust_fragility(&of, &fewest, &e);
        cr_assert(alloc_fault_end());
        cr_expect(done == -1 && err_is(&e, &err_memory) && fewest == 77);
        err_clear(&e);
        alloc_fault_begin(n, false);
        done = evidence_robust_cluster(&of, &cluster, &e);
        cr_assert(alloc_fault_end());
        cr_expect(done == -1 && err_is(&e, &err_memory) && cluster.units == 77);
    }
}

Test(evidence_robust, drift_is_seen_in_either_direction_and_only_beyond_the_bound) {
    cr_expect_geq(evidence_robust_drift(90, 10, 150000), level());
    cr_expect_geq(evidence_robust_drift(10, 90, 150000), level());
    cr_expect_lt(evidence_robust_drift(64, 36, 150000), 0);
    cr_expect_lt(evidence_robust_drift(50, 50, 0), 0);
    cr_expect_leq(evidence_robust_drift(0, 0, 150000), 0);
    cr_expect_eq(evidence_robust_drift(70, 30, 100000), evidence_robust_drift(30, 70, 100000));
}

Test(evidence_robust, a_comparison_within_the_bound_is_suspected_with_at_most_alpha) {
    struct dice dice = {61};
    unsigned suspected = 0;
    for (int run = 0; run < 400; run++) {
        uint64_t worse = 0, better = 0;
        bool suspect = false;
        double chance = run % 2 == 0 ? 0.6 : 0.4;
        for (int i = 0; i < 200; i++) {
            bool is_worse = dice_chance(&dice, chance);
            worse += is_worse;
            better += !is_worse;
            suspect = suspect || evidence_robust_drift(worse, better, 100000) >= level();
        }
        suspected += suspect;
    }
    cr_expect(suspected <= 19 && suspected >= 1, "%u of 400", suspected); // 10 and three deviations
}
