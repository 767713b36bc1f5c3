// SPDX-License-Identifier: Apache-2.0
//
// Fleets that live through a rollout: harmless releases are stopped no more often than promised,
// harmful ones are. Every number is of fixed seeds, so that these tests say the same on every run.
#include "tests/unit/ctl/rollout/fleet.h"

#include <criterion/criterion.h>

static size_t stops(const struct fleet_world *world, size_t runs, uint64_t seed) {
    static struct fleet f;
    size_t n = 0;
    for (size_t i = 0; i < runs; i++) {
        fleet_make(&f, world, seed + i * 7919);
        n += fleet_run(&f);
        cr_assert_eq(f.over_size, 0, "more at work than the batch allows");
    }
    return n;
}

// At 0.025 ten of 400 are what is promised at most; e-values are far from it.
#define RUNS 400

Test(rollout_score_fleet, a_harmless_release_is_hardly_ever_stopped, .timeout = 600) {
    struct fleet_world w = {
        .n = 120, .fails = 0.05, .crashes_day = 0.5, .crash_ratio = 1, .days = 2, .stages = 3};
    size_t n = stops(&w, RUNS, 1);
    cr_log_info("plain: %zu of %d", n, RUNS);
    cr_assert_leq(n, 5, "%zu", n);
}

Test(rollout_score_fleet, nor_in_a_fleet_in_which_half_are_seldom_heard_of, .timeout = 600) {
    struct fleet_world w = {.n = 120,
                            .fails = 0.03,
                            .crashes_day = 2,
                            .crash_ratio = 1,
                            .rare = 0.5,
                            .days = 3,
                            .stages = 3};
    size_t n = stops(&w, RUNS, 1000003);
    cr_log_info("rare: %zu of %d", n, RUNS);
    cr_assert_leq(n, 5, "%zu", n);
}

Test(rollout_score_fleet, nor_where_sites_fail_together_and_tails_are_heavy, .timeout = 600) {
    struct fleet_world w = {.n = 120,
                            .crashes_day = 0.2,
                            .crash_ratio = 1,
                            .sites = 1,
                            .heavy = 1,
                            .days = 2,
                            .stages = 3};
    size_t n = stops(&w, RUNS, 2000003);
    cr_log_info("sites: %zu of %d", n, RUNS);
    cr_assert_leq(n, 5, "%zu", n);
}

Test(rollout_score_fleet, a_release_that_breaks_installs_is_stopped_early, .timeout = 600) {
    struct fleet_world w = {
        .n = 200, .fails = 0.03, .breaks = 0.3, .crash_ratio = 1, .days = 2, .stages = 3};
    static struct fleet f;
    size_t stopped = 0, exposed = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        fleet_make(&f, &w, 77 + seed);
        stopped += fleet_run(&f);
        exposed += f.score.next_number - f.score.first_number;
    }
    cr_log_info("breaks: %zu of 20, %zu exposed on average", stopped, exposed / 20);
    cr_assert_eq(stopped, 20);
    cr_assert_lt(exposed / 20, 60);
}

Test(rollout_score_fleet, one_that_crashes_more_often_is_stopped, .timeout = 600) {
    struct fleet_world w = {
        .n = 200, .fails = 0.01, .crashes_day = 1, .crash_ratio = 8, .days = 2, .stages = 3};
    size_t n = stops(&w, 10, 5);
    cr_log_info("crashes: %zu of 10", n);
    cr_assert_geq(n, 9);
}

Test(rollout_score_fleet, one_that_lets_devices_die_is_stopped, .timeout = 600) {
    struct fleet_world w = {
        .n = 200, .fails = 0.01, .crash_ratio = 1, .dies_day = 2, .days = 3, .stages = 3};
    size_t n = stops(&w, 10, 6);
    cr_log_info("dies: %zu of 10", n);
    cr_assert_geq(n, 9);
}

Test(rollout_score_fleet, one_that_shifts_a_metric_is_stopped, .timeout = 600) {
    struct fleet_world w = {
        .n = 200, .fails = 0.01, .crash_ratio = 1, .shift_sd = 2, .days = 2, .stages = 3};
    size_t n = stops(&w, 10, 7);
    cr_log_info("shift: %zu of 10", n);
    cr_assert_geq(n, 9);
}

// The same seed is the same rollout.
Test(rollout_score_fleet, the_same_fleet_gives_the_same_score) {
    struct fleet_world w = {
        .n = 60, .fails = 0.05, .crashes_day = 1, .crash_ratio = 2, .days = 1, .stages = 2};
    static struct fleet a, b;
    fleet_make(&a, &w, 9);
    fleet_make(&b, &w, 9);
    (void)fleet_run(&a);
    (void)fleet_run(&b);
    cr_assert_gt(a.score.known_resolved, 0);
    cr_assert_eq(memcmp(&a.score, &b.score, sizeof a.score), 0);
}
