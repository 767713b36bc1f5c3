// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/events.h"

#include <criterion/criterion.h>

#include "tests/support/dice.h"

static double nats(int64_t log) {
    return evidence_num_nats(log);
}

#define EXPECT_NEAR(log, expected)                                                                 \
    cr_expect(nats(log) > (expected)-1e-6 && nats(log) <= (expected), "%.9f, not %.9f", nats(log), \
              (double)(expected))

// Freireich et al., Blood 21, 1963: weeks of remission of 21 patients with and 21 without 6-MP, the
// example of most books on the log-rank test. Here "treated" is the worse arm, without 6-MP.
// Negative: censored.
static const int remission[2][21] = {
    {6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35},
    {1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23}};

static unsigned count(int arm, int week) {
    unsigned n = 0;
    for (int i = 0; i < 21; i++)
        n += remission[arm][i] == week;
    return n;
}

static void follow_remission(struct evidence_events *state) {
    struct evidence_risk risk = {.comparison = 21, .treated = 21};
    for (int week = 1; week <= 35; week++) {
        evidence_events_add(state, &risk, count(0, week), count(1, week));
        risk.comparison -= count(0, -week);
        risk.treated -= count(1, -week);
    }
    cr_assert_eq(risk.comparison + risk.treated, 0);
}

static unsigned best(const int64_t *logs) {
    unsigned node = 0;
    for (unsigned i = 1; i < EVIDENCE_EVENTS_NODES; i++)
        node = logs[i] > logs[node] ? i : node;
    return node;
}

Test(evidence_events, the_published_example_has_the_published_hazard_ratio) {
    struct evidence_events state = {.scored = 0};
    follow_remission(&state);
    cr_expect_eq(state.scored, 30); // 9 and 21
    // Cox's exact estimate is 5.09 (Kalbfleisch and Prentice); ties in the two extreme orders lie
    // on both sides of it.
    double low = evidence_events_ratio(best(state.at_most));
    double high = evidence_events_ratio(best(state.at_least));
    cr_expect(low > 4.7 && low < 4.8 && high > 5.6 && high < 5.7, "%g %g", low, high);
    EXPECT_NEAR(state.at_most[21], 7.832478427);
    EXPECT_NEAR(evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL), 6.288243438);
}

Test(evidence_events, one_event_has_the_factor_of_the_partial_likelihood) {
    struct evidence_risk risk = {.comparison = 30, .treated = 10};
    int64_t treated[EVIDENCE_EVENTS_NODES], compared[EVIDENCE_EVENTS_NODES];
    evidence_events_score(&risk, 1, treated);
    evidence_events_score(&risk, 0, compared);
    // r = 2: 2 * 40 / 50 and 40 / 50.
    EXPECT_NEAR(treated[16], 0.47000362924573563);
    EXPECT_NEAR(compared[16], -0.22314355131420976);
    cr_expect_eq(treated[EVIDENCE_EVENTS_EQUAL], 0);
    // Under equal hazards the mean factor is 1, for every ratio.
    for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++) {
        double mean =
            0.25 * evidence_num_value(treated[i]) + 0.75 * evidence_num_value(compared[i]);
        cr_expect(mean <= 1 && mean > 1 - 1e-8, "node %u: %.12f", i, mean);
    }
}

Test(evidence_events, the_mean_over_the_grid_is_an_e_value_for_every_smaller_ratio) {
    struct evidence_risk risk = {.comparison = 70, .treated = 30};
    for (unsigned truth = 0; truth < EVIDENCE_EVENTS_NODES; truth++) {
        double chance =
            evidence_events_ratio(truth) * 30 / (70 + evidence_events_ratio(truth) * 30);
        for (unsigned node = 0; node < EVIDENCE_EVENTS_NODES; node++) {
            double worse = 0, better = 0;
            for (uint64_t treated = 0; treated <= 1; treated++) {
                struct evidence_risk at_risk = risk;
                struct evidence_events state = {.scored = 0};
                evidence_events_add(&state, &at_risk, 1 - treated, treated);
                double weight = treated ? chance : 1 - chance;
                worse += weight * evidence_num_value(evidence_events_worse(&state, node));
                better += weight * evidence_num_value(evidence_events_better(&state, node));
            }
            cr_expect(truth > node || worse <= 1, "worse %u %u: %.9f", truth, node, worse);
            cr_expect(truth < node || better <= 1, "better %u %u: %.9f", truth, node, better);
        }
    }
}

// All orders of two and three tied events: what is scored is the least of them.
Test(evidence_events, a_tie_is_scored_in_the_order_that_claims_least) {
    static const int orders[3][3] = {{0, 1, 1}, {1, 0, 1}, {1, 1, 0}};
    struct evidence_events tied = {.scored = 0}, each[3] = {{.scored = 0}};
    struct evidence_risk risk = {.comparison = 9, .treated = 4};
    evidence_events_add(&tied, &risk, 1, 2);
    cr_expect(risk.comparison == 8 && risk.treated == 2 && tied.scored == 3);
    for (int i = 0; i < 3; i++) {
        risk = (struct evidence_risk){.comparison = 9, .treated = 4};
        for (int j = 0; j < 3; j++)
            evidence_events_add(&each[i], &risk, !orders[i][j], (uint64_t)orders[i][j]);
    }
    for (unsigned node = 0; node + 1 < EVIDENCE_EVENTS_NODES; node++) {
        int64_t worse = EVIDENCE_LOG_MAX, better = EVIDENCE_LOG_MAX;
        for (int i = 0; i < 3; i++) {
            int64_t w = evidence_events_worse(&each[i], node);
            int64_t b = evidence_events_better(&each[i], node);
            worse = w < worse ? w : worse;
            better = b < better ? b : better;
        }
        cr_expect_eq(evidence_events_worse(&tied, node), worse);
        cr_expect_eq(evidence_events_better(&tied, node), better);
    }
}

Test(evidence_events, an_empty_arm_says_nothing) {
    struct evidence_events state = {.scored = 0};
    struct evidence_risk none = {.comparison = 0, .treated = 50}, all = {.comparison = 50};
    evidence_events_add(&state, &none, 0, 50);
    evidence_events_add(&state, &all, 50, 0);
    cr_expect(none.treated == 0 && all.comparison == 0 && state.scored == 100);
    cr_expect_leq(evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL), 0);
    cr_expect_gt(evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL), -100);
}

Test(evidence_events, a_tie_of_a_whole_fleet_ends_and_leaves_the_rest) {
    struct evidence_events state = {.scored = 0};
    struct evidence_risk risk = {.comparison = 3000, .treated = 500};
    evidence_events_add(&state, &risk, 1000, 400);
    cr_expect(risk.comparison == 2000 && risk.treated == 100 && state.scored == 1400);
    cr_expect_gt(evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL), evidence_num_level(25000));
}

Test(evidence_events, strata_are_counted_by_themselves) {
    // One hundred events, in proportion to the arms of each stratum: nothing is found, though the
    // stratum with most treated devices has by far the most events.
    struct evidence_events state = {.scored = 0};
    for (int i = 0; i < 20; i++) {
        struct evidence_risk calm = {.comparison = 900, .treated = 100};
        struct evidence_risk bad = {.comparison = 100, .treated = 400};
        evidence_events_add(&state, &bad, i % 5 == 0, i % 5 != 0);
        evidence_events_add(&state, &calm, i % 10 != 0, i % 10 == 0);
    }
    cr_expect_lt(evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL), 0);
    cr_expect_lt(evidence_events_better(&state, EVIDENCE_EVENTS_EQUAL), 0);
}

Test(evidence_events, bounds_are_nested_and_hold_the_estimate) {
    struct evidence_events state = {.scored = 0};
    int lower = 0, upper = 0, wide_lower = 0, wide_upper = 0;
    evidence_events_bounds(&state, evidence_num_level(50000), &lower, &upper);
    cr_expect(lower == -1 && upper == EVIDENCE_EVENTS_NODES);
    follow_remission(&state);
    evidence_events_bounds(&state, evidence_num_level(50000), &lower, &upper);
    evidence_events_bounds(&state, evidence_num_level(1000), &wide_lower, &wide_upper);
    cr_expect(lower >= EVIDENCE_EVENTS_EQUAL && lower < 21, "%d", lower);
    cr_expect(upper > 22 && upper < EVIDENCE_EVENTS_NODES, "%d", upper);
    cr_expect(wide_lower <= lower && wide_upper >= upper);
}

Test(evidence_events, each_event_in_the_treated_arm_speaks_against_the_release) {
    struct evidence_events bad = {.scored = 0}, good = {.scored = 0};
    int64_t before_bad = INT64_MIN, before_good = INT64_MAX;
    for (int i = 0; i < 200; i++) {
        struct evidence_risk a = {.comparison = 400, .treated = 100}, b = a;
        evidence_events_add(&bad, &a, 0, 1);
        evidence_events_add(&good, &b, 1, 0);
        int64_t worse = evidence_events_worse(&bad, EVIDENCE_EVENTS_EQUAL);
        int64_t less = evidence_events_worse(&good, EVIDENCE_EVENTS_EQUAL);
        cr_assert(worse > before_bad && less < before_good, "after %d", i);
        before_bad = worse;
        before_good = less;
    }
}

Test(evidence_events, the_order_of_events_among_the_same_devices_does_not_matter) {
    struct dice dice = {5};
    struct evidence_events one = {.scored = 0}, other = {.scored = 0};
    int arms[300];
    for (int i = 0; i < 300; i++)
        arms[i] = dice_chance(&dice, 0.3);
    for (int i = 0; i < 300; i++) {
        // Who had an event was replaced at once by another one of the same arm.
        struct evidence_risk a = {.comparison = 70, .treated = 30}, b = a;
        evidence_events_add(&one, &a, !arms[i], (uint64_t)arms[i]);
        evidence_events_add(&other, &b, !arms[299 - i], (uint64_t)arms[299 - i]);
    }
    cr_expect_arr_eq(one.at_most, other.at_most, sizeof one.at_most);
    cr_expect_arr_eq(one.at_least, other.at_least, sizeof one.at_least);
}

// ln of the likelihood ratio of a node against 1 after n events of the treated and 2 n of the
// others.
static double exact(unsigned node, double n) {
    double r = evidence_events_ratio(node), against = evidence_num_ln(1000 / (700 + r * 300));
    return n * evidence_num_ln(r) + 3 * n * against;
}

Test(evidence_events, however_many_scores_are_rounded_no_more_is_claimed) {
    struct evidence_events state = {.scored = 0};
    const uint64_t n = 3000;
    for (uint64_t i = 0; i < 3 * n; i++) {
        struct evidence_risk risk = {.comparison = 700, .treated = 300};
        evidence_events_add(&state, &risk, i % 3 != 0, i % 3 == 0);
    }
    for (unsigned node = 0; node + 1 < EVIDENCE_EVENTS_NODES; node++) {
        double most = -1e300, sum = 0, own = exact(node, (double)n);
        for (unsigned i = node + 1; i < EVIDENCE_EVENTS_NODES; i++)
            most = exact(i, (double)n) > most ? exact(i, (double)n) : most;
        for (unsigned i = node + 1; i < EVIDENCE_EVENTS_NODES; i++)
            sum += evidence_num_exp(exact(i, (double)n) - most);
        double nats = most - own + evidence_num_ln(sum / (EVIDENCE_EVENTS_NODES - 1 - node));
        double stored = evidence_num_nats(evidence_events_worse(&state, node));
        cr_expect(stored <= nats && stored > nats - 1e-4, "node %u: %.9f, not %.9f", node, stored,
                  nats);
    }
}

Test(evidence_events, nodes_are_quarter_octaves) {
    cr_expect_eq(evidence_events_ratio(EVIDENCE_EVENTS_EQUAL), 1);
    cr_expect_eq(evidence_events_ratio(0), 0.125);
    cr_expect_eq(evidence_events_ratio(EVIDENCE_EVENTS_NODES - 1), 128);
    for (unsigned i = 4; i < EVIDENCE_EVENTS_NODES; i++)
        cr_expect_eq(evidence_events_ratio(i), 2 * evidence_events_ratio(i - 4));
}

Test(evidence_events, margins_are_rounded_so_that_less_is_claimed) {
    cr_expect_eq(evidence_events_tolerable(1000000), EVIDENCE_EVENTS_EQUAL);
    cr_expect_eq(evidence_events_tolerable(1000001), EVIDENCE_EVENTS_EQUAL + 1);
    cr_expect_eq(evidence_events_tolerable(0), 0);
    cr_expect_eq(evidence_events_tolerable(UINT64_MAX), EVIDENCE_EVENTS_NODES - 1);
    cr_expect_eq(evidence_events_intolerable(2000000), EVIDENCE_EVENTS_EQUAL + 4);
    cr_expect_eq(evidence_events_intolerable(1999999), EVIDENCE_EVENTS_EQUAL + 3);
    cr_expect_eq(evidence_events_intolerable(0), 0);
    cr_expect_eq(evidence_events_intolerable(UINT64_MAX), EVIDENCE_EVENTS_NODES - 1);
}

Test(evidence_events, a_hundred_million_devices_and_as_few_as_two_are_no_trouble) {
    struct evidence_events state = {.scored = 0};
    struct evidence_risk huge = {.comparison = 100000000, .treated = 1};
    struct evidence_risk tiny = {.comparison = 1, .treated = 1};
    evidence_events_add(&state, &huge, 0, 1);
    evidence_events_add(&state, &tiny, 1, 1);
    for (unsigned i = 0; i < EVIDENCE_EVENTS_NODES; i++) {
        cr_expect(state.at_most[i] > -20 * EVIDENCE_NAT && state.at_most[i] < 20 * EVIDENCE_NAT);
        cr_expect_leq(evidence_events_worse(&state, i), 20 * EVIDENCE_NAT);
    }
    cr_expect_eq(evidence_events_worse(&state, EVIDENCE_EVENTS_NODES - 1), EVIDENCE_LOG_ZERO);
    cr_expect_eq(evidence_events_better(&state, 0), EVIDENCE_LOG_ZERO);
}
