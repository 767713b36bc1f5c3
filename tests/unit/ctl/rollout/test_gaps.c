// SPDX-License-Identifier: Apache-2.0
//
// How long devices are silent, and when they are to be expected.
#include <criterion/criterion.h>
#include <string.h>

#include "ctl/rollout/gaps.h"
#include "ctl/rollout/plan.h"

static struct rollout_gaps of(uint64_t gap_s, unsigned n) {
    struct rollout_gaps gaps = {.count = {0}};
    for (unsigned i = 0; i < n; i++)
        rollout_gaps_note(&gaps, gap_s);
    return gaps;
}

Test(rollout_gaps, each_doubling_has_a_count_and_the_ends_take_the_rest) {
    static const struct {
        uint64_t gap_s;
        unsigned class;
    } cases[] = {{0, 0},    {59, 0},     {60, 1},      {119, 1},       {120, 2},
                 {1800, 5}, {86400, 11}, {604800, 14}, {60 << 14, 15}, {UINT64_MAX, 15}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rollout_gaps gaps = of(cases[i].gap_s, 1);
        cr_expect_eq(gaps.count[cases[i].class], 1, "%llu", (unsigned long long)cases[i].gap_s);
    }
}

Test(rollout_gaps, what_was_long_ago_weighs_less) {
    struct rollout_gaps gaps = of(30, UINT8_MAX);
    rollout_gaps_note(&gaps, 1800);
    cr_expect_eq(gaps.count[0], UINT8_MAX);
    rollout_gaps_note(&gaps, 30);
    cr_expect_eq(gaps.count[0], 128, "halved, and one more: %u", gaps.count[0]);
    for (unsigned i = 0; i < 2000; i++)
        rollout_gaps_note(&gaps, 86400);
    cr_expect_leq(gaps.count[0], 1, "a device that calls daily now: %u", gaps.count[0]);
}

static uint64_t at(const struct rollout_plan_calls *calls, uint32_t ppm) {
    return rollout_plan_age_at(&calls->until, ppm);
}

// Called every half hour: at any time the next call is up to that far, evenly.
Test(rollout_gaps, the_next_call_is_what_is_left_of_a_gap) {
    struct rollout_plan_calls calls;
    struct rollout_gaps gaps = of(1440, 100); // the middle of its class
    memset(&calls, 0, sizeof calls);
    for (unsigned i = 0; i < 1000; i++)
        rollout_plan_call_add(&calls, &gaps, true, 5);
    rollout_plan_call_spread(&calls);
    cr_expect_eq(calls.known, 1000);
    cr_expect(at(&calls, 500000) > 600 && at(&calls, 500000) < 840, "%llu",
              (unsigned long long)at(&calls, 500000));
    cr_expect(at(&calls, 950000) > 1250 && at(&calls, 950000) < 1500,
              "and not the five seconds: %llu", (unsigned long long)at(&calls, 950000));
}

// In haste for an update, and silent for a day otherwise.
Test(rollout_gaps, haste_does_not_hide_the_silence_between) {
    struct rollout_plan_calls calls;
    struct rollout_gaps gaps = of(1, 100);
    for (unsigned i = 0; i < 20; i++)
        rollout_gaps_note(&gaps, 86400);
    memset(&calls, 0, sizeof calls);
    rollout_plan_call_add(&calls, &gaps, true, 1);
    rollout_plan_call_spread(&calls);
    cr_expect_gt(at(&calls, 500000), 20000, "%llu", (unsigned long long)at(&calls, 500000));
}

Test(rollout_gaps, without_a_history_the_silence_of_now_stands_for_it) {
    struct rollout_plan_calls calls;
    struct rollout_gaps gaps = of(86400, ROLLOUT_GAPS_LEAST - 1);
    memset(&calls, 0, sizeof calls);
    rollout_plan_call_add(&calls, &gaps, true, 300);
    rollout_plan_call_add(&calls, &gaps, true, 7 * 86400 + 1);
    rollout_plan_call_add(&calls, &gaps, false, 300);
    rollout_plan_call_spread(&calls);
    cr_expect_eq(calls.known, 0);
    cr_expect_eq(calls.silent, 2, "not for a week, and never");
    cr_expect(at(&calls, 500000) >= 300 && at(&calls, 500000) <= 315);
}
