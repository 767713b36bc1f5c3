// SPDX-License-Identifier: Apache-2.0
#include "ctl/rollout/evidence/power.h"

#include <criterion/criterion.h>

#include "ctl/rollout/evidence/events.h"
#include "ctl/rollout/evidence/install.h"
#include "ctl/rollout/evidence/rank.h"
#include "tests/support/dice.h"

static int64_t level(void) {
    return evidence_num_level(25000);
}

static void expect_near(double is, double wanted, double within) {
    cr_expect(is > wanted - within && is < wanted + within, "%.12g, not %.12g", is, wanted);
}

// All 2^10 courses of ten installs, followed by hand.
Test(evidence_power, of_installs_is_the_sum_over_all_courses) {
    double stopped = 0, p = 0.2;
    for (unsigned course = 0; course < 1024; course++) {
        struct evidence_install state = {0, 0};
        double chance = 1;
        bool stop = false;
        for (unsigned i = 0; i < 10; i++) {
            evidence_install_add(&state, course >> i & 1);
            chance *= course >> i & 1 ? p : 1 - p;
            stop = stop || evidence_install_worse(&state, NULL, 20000) >= level();
        }
        stopped += stop ? chance : 0;
    }
    expect_near(evidence_power_install(20000, 200000, 10, level()), stopped, 1e-12);
    cr_expect_gt(stopped, 0.3);
}

Test(evidence_power, exposure_is_where_the_probability_gets_there) {
    for (uint32_t share = 100000; share <= 400000; share += 100000) {
        uint64_t n = evidence_power_exposure(20000, share, 500, level(), 500000);
        cr_expect_geq(evidence_power_install(20000, share, n, level()), 0.5);
        cr_expect_lt(evidence_power_install(20000, share, n - 1, level()), 0.5);
    }
    // A fifth fails: half of the rollouts end within 15 devices, nearly all within 50.
    uint64_t half = evidence_power_exposure(20000, 200000, 500, level(), 500000);
    uint64_t most = evidence_power_exposure(20000, 200000, 500, level(), 950000);
    cr_expect(half > 2 && half <= 15 && most > half && most <= 50, "%u %u", (unsigned)half,
              (unsigned)most);
    cr_expect_eq(evidence_power_install(20000, 20000, 10, -EVIDENCE_NAT), 1);
    cr_expect_eq(evidence_power_exposure(20000, 20000, 500, level(), 500000), 501);
    cr_expect_eq(evidence_power_exposure(20000, 0, UINT64_MAX, level(), 1),
                 EVIDENCE_POWER_STEPS_MAX + 1);
}

Test(evidence_power, of_events_is_the_sum_over_all_courses) {
    double stopped = 0, p = 8 * 0.25 / (0.75 + 8 * 0.25);
    for (unsigned course = 0; course < 4096; course++) {
        struct evidence_events state = {.scored = 0};
        double chance = 1;
        bool stop = false;
        for (unsigned i = 0; i < 12 && !stop; i++) {
            struct evidence_risk risk = {.comparison = 750000, .treated = 250000};
            evidence_events_add(&state, &risk, !(course >> i & 1), course >> i & 1);
            stop = evidence_events_worse(&state, EVIDENCE_EVENTS_EQUAL) >= level();
        }
        for (unsigned i = 0; i < 12; i++)
            chance *= course >> i & 1 ? p : 1 - p;
        stopped += stop ? chance : 0;
    }
    expect_near(evidence_power_events(250000, EVIDENCE_EVENTS_EQUAL, 8, 12, level()), stopped,
                1e-9);
    cr_expect_gt(stopped, 0.3);
}

// A release as good as what it replaces, where 32 times as many events would be intolerable.
Test(evidence_power, of_passing_is_the_sum_over_all_courses) {
    const unsigned node = evidence_events_intolerable(32000000);
    double passed = 0, p = 0.75;
    for (unsigned course = 0; course < 4096; course++) {
        struct evidence_events state = {.scored = 0};
        double chance = 1;
        bool stop = false;
        for (unsigned i = 0; i < 12; i++) {
            struct evidence_risk risk = {.comparison = 250000, .treated = 750000};
            evidence_events_add(&state, &risk, !(course >> i & 1), course >> i & 1);
            stop = stop || evidence_events_better(&state, node) >= level();
            chance *= course >> i & 1 ? p : 1 - p;
        }
        passed += stop ? chance : 0;
    }
    expect_near(evidence_power_passing_events(750000, node, 1, 12, level()), passed, 1e-9);
    cr_expect(passed > 0.3 && passed < 0.99, "%g", passed);
    cr_expect_leq(evidence_power_passing_events(750000, node, 32, 1000, level()), 0.025);
}

// Reference values by quadrature of 40 digits.
Test(evidence_power, ranks_of_a_shifted_normal_are_right) {
    static const double four[] = {0.0467856277430557, 0.0861570177143894, 0.140028188188696,
                                  0.233330303881123, 0.493698862472736};
    double chances[EVIDENCE_RANK_COMPARED_MAX + 1];
    evidence_power_ranks(4, 1, chances);
    for (int i = 0; i < 5; i++)
        expect_near(chances[i], four[i], 1e-12);
    evidence_power_ranks(9, 1, chances);
    expect_near(chances[0], 0.0152758348289312, 1e-12);
    expect_near(chances[9], 0.340935768660715, 1e-12);
    evidence_power_ranks(32, 0, chances);
    for (int i = 0; i < 33; i++)
        expect_near(chances[i], 1.0 / 33, 1e-12);
}

static double simulated(double shift, unsigned n, int runs) {
    struct dice dice = {77};
    const struct evidence_rank_design design = {.intolerable = {10 * NUM_DECIMAL_SCALE}};
    int stops = 0;
    for (int run = 0; run < runs; run++) {
        struct evidence_rank state = {.sets = 0};
        struct evidence_rank_value set[5];
        for (unsigned i = 0; i < n; i++) {
            for (int j = 0; j < 5; j++)
                set[j] = (struct evidence_rank_value){
                    .change_nano =
                        (int64_t)((dice_normal(&dice) + (j == 0 ? shift : 0)) * NUM_DECIMAL_SCALE)};
            evidence_rank_add(&state, &design, &set[0], &set[1], 4);
            if (evidence_rank_worse(&state, EVIDENCE_RANK_TOLERABLE) >= level()) {
                stops++;
                break;
            }
        }
    }
    return (double)stops / runs;
}

Test(evidence_power, of_ranks_is_a_little_below_what_is_simulated) {
    double promised = evidence_power_rank(4, 0, 1, 20, level()), seen = simulated(1, 20, 1000);
    cr_expect(promised < seen + 0.03 && promised > seen - 0.15, "%g, simulated %g", promised, seen);
    promised = evidence_power_rank(4, 0, 0.5, 60, level());
    seen = simulated(0.5, 60, 500);
    cr_expect(promised < seen + 0.04 && promised > seen - 0.15, "%g, simulated %g", promised, seen);
}

// What the project says of itself: one standard deviation, 40 treated and 160 compared devices.
Test(evidence_power, one_standard_deviation_is_seen_with_forty_devices) {
    cr_expect_gt(evidence_power_rank(4, 0, 1, 40, level()), 0.9);
    cr_expect_gt(evidence_power_rank(4, 0, 1, 40, level() - evidence_num_part(100000)), 0.8);
    cr_expect_gt(evidence_power_rank(4, 20000, 1, 40, level()), 0.8);
}

// Under the null the walk stops with at most alpha, however long it goes on.
Test(evidence_power, a_harmless_release_is_stopped_with_at_most_alpha) {
    cr_expect_leq(evidence_power_install(20000, 20000, 2000, level()), 0.025);
    cr_expect_gt(evidence_power_install(20000, 20000, 2000, level()), 0.005);
    cr_expect_leq(evidence_power_events(100000, EVIDENCE_EVENTS_EQUAL, 1, 1000, level()), 0.025);
    cr_expect_gt(evidence_power_events(100000, EVIDENCE_EVENTS_EQUAL, 1, 1000, level()), 0.005);
    cr_expect_leq(evidence_power_events(100000, 16, 2, 1000, level()), 0.025);
    cr_expect_leq(evidence_power_rank(4, 0, 0, 1000, level()), 0.025);
}

Test(evidence_power, it_rises_with_the_effect_and_with_the_sample) {
    double install = 0, events = 0, rank = 0;
    for (unsigned i = 1; i <= 10; i++) {
        double a = evidence_power_install(20000, 20000 + 20000 * i, 100, level());
        double b = evidence_power_events(200000, EVIDENCE_EVENTS_EQUAL, 1 + i, 30, level());
        double c = evidence_power_rank(4, 0, 0.1 * i, 60, level());
        cr_expect(a > install && b > events && c > rank, "effect %u", i);
        install = a, events = b, rank = c;
    }
    install = events = rank = 0;
    for (uint64_t n = 10; n <= 160; n *= 2) {
        double a = evidence_power_install(20000, 80000, n, level());
        double b = evidence_power_events(200000, EVIDENCE_EVENTS_EQUAL, 3, n, level());
        double c = evidence_power_rank(4, 0, 0.6, n, level());
        cr_expect(a >= install && b >= events && c >= rank, "n %u", (unsigned)n);
        install = a, events = b, rank = c;
    }
    cr_expect(install > 0.5 && events > 0.9 && rank > 0.9);
}

Test(evidence_power, the_least_effect_is_the_least) {
    uint32_t ppm = evidence_power_least_install(20000, 100, level(), 800000);
    cr_expect(ppm > 20000 && ppm < 300000, "%u", ppm);
    cr_expect_geq(evidence_power_install(20000, ppm, 100, level()), 0.8);
    cr_expect_lt(evidence_power_install(20000, ppm - 1, 100, level()), 0.8);
    uint32_t ratio =
        evidence_power_least_events(200000, EVIDENCE_EVENTS_EQUAL, 40, level(), 800000);
    cr_expect(ratio > 1000000 && ratio < 10000000, "%u", ratio);
    cr_expect_geq(evidence_power_events(200000, EVIDENCE_EVENTS_EQUAL, ratio / 1e6, 40, level()),
                  0.8);
    cr_expect_lt(
        evidence_power_events(200000, EVIDENCE_EVENTS_EQUAL, (ratio - 1) / 1e6, 40, level()), 0.8);
    uint32_t millis = evidence_power_least_rank(4, 0, 40, level(), 800000);
    cr_expect(millis > 500 && millis < 1000, "%u", millis);
    cr_expect_geq(evidence_power_rank(4, 0, millis / 1e3, 40, level()), 0.8);
}

// As power.h says that passing is computed.
Test(evidence_power, of_passing_is_that_of_failing_in_a_mirror) {
    struct dice dice = {78};
    const struct evidence_rank_design design = {.intolerable = {NUM_DECIMAL_SCALE}};
    int ranks = 0, installs = 0;
    for (int run = 0; run < 600; run++) {
        struct evidence_rank rank = {.sets = 0};
        struct evidence_install install = {0, 0};
        bool passed = false, good = false;
        for (int i = 0; i < 30; i++) {
            struct evidence_rank_value set[5];
            for (int j = 0; j < 5; j++)
                set[j] = (struct evidence_rank_value){
                    (int64_t)(dice_normal(&dice) * NUM_DECIMAL_SCALE), false};
            evidence_rank_add(&rank, &design, &set[0], &set[1], 4);
            evidence_install_add(&install, dice_chance(&dice, 0.05));
            passed = passed || evidence_rank_better(&rank, EVIDENCE_RANK_INTOLERABLE) >= level();
            good = good || evidence_install_better(&install, 300000) >= level();
        }
        ranks += passed;
        installs += good;
    }
    expect_near(evidence_power_rank(4, 0, 1, 30, level()), ranks / 600.0, 0.08);
    expect_near(evidence_power_install(700000, 950000, 30, level()), installs / 600.0, 0.06);
}

Test(evidence_power, a_stage_that_is_too_small_sees_nothing) {
    cr_expect_eq(evidence_power_least_rank(4, 0, 2, level(), 800000), EVIDENCE_POWER_NOTHING);
    cr_expect_eq(evidence_power_least_install(400000, 2, level(), 800000), EVIDENCE_POWER_NOTHING);
    cr_expect_eq(evidence_power_least_events(900000, EVIDENCE_EVENTS_EQUAL, 20, level(), 800000),
                 EVIDENCE_POWER_NOTHING);
    cr_expect_eq(evidence_power_install(20000, EVIDENCE_PPM, 0, level()), 0);
    cr_expect_eq(evidence_power_rank(4, 0, 5, 0, level()), 0);
    cr_expect_eq(evidence_power_install(20000, EVIDENCE_PPM, 100, EVIDENCE_LOG_MAX), 0);
    cr_expect_eq(evidence_power_rank(4, 0, 5, 100, EVIDENCE_LOG_MAX), 0);
}

Test(evidence_power, the_largest_sample_is_answered) {
    double power = evidence_power_install(500000, 510000, UINT64_MAX, level());
    cr_expect(power > 0.02 && power < 1, "%g", power);
    cr_expect_gt(evidence_power_rank(4, 0, 0.3, UINT64_MAX, level()), 0.9);
    cr_expect_gt(evidence_power_rank(32, 0, 0.3, 200, level()), 0.5);
}
