// SPDX-License-Identifier: Apache-2.0
//
// What windows and the rate of offers add to the time that a stage takes.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ctl/rollout/plan/hours.h"
#include "ctl/rollout/plan/pace.h"

#define HOUR 3600

static struct bundle_window_list span(unsigned from, unsigned to, unsigned days) {
    return (struct bundle_window_list){
        .n = 1, .list = {{(uint16_t)(from * 60), (uint16_t)(to * 60), (uint8_t)days}}};
}

Test(rollout_plan_hours, each_window_costs_what_it_is_ever_shut_for) {
    struct bundle_windows w = {.install.n = 0};
    cr_expect_eq(plan_hours_find(&w, 5 * HOUR), 0);
    w.install = span(2, 6, BUNDLE_WINDOW_EVERY_DAY);
    cr_expect_eq(plan_hours_find(&w, 0), 20 * HOUR);
    // Of a day four hours are open.
    cr_expect_eq(plan_hours_find(&w, 4 * HOUR), 20 * HOUR + 20 * HOUR);
    w.download = span(20, 8, BUNDLE_WINDOW_EVERY_DAY);
    cr_expect_eq(plan_hours_find(&w, 4 * HOUR), 12 * HOUR + 20 * HOUR + 20 * HOUR);
    w.install = span(0, 0, 1U << 6); // Saturdays
    cr_expect_eq(plan_hours_find(&w, HOUR), 12 * HOUR + 6 * 24 * HOUR + 6 * HOUR);
}

Test(rollout_plan_hours, a_stage_takes_no_less_than_its_offers) {
    struct rollout_policy *policy = calloc(1, sizeof *policy);
    struct rollout_plan *plan = calloc(1, sizeof *plan);
    struct rollout_plan_ages *ages = calloc(1, sizeof *ages);
    struct plan_pace_stage pace;
    uint64_t size = 0;
    cr_assert(policy != NULL && plan != NULL && ages != NULL);
    policy->n_stages = 2;
    plan->adds[0] = 600;
    plan_pace_find(policy, ages, plan, 0, &size, &pace);
    cr_expect_eq(pace.calls_s, 0);
    policy->offer_rate = 10;
    policy->windows.install = span(0, 12, BUNDLE_WINDOW_EVERY_DAY);
    plan_pace_find(policy, ages, plan, 0, &size, &pace);
    cr_expect_eq(pace.calls_s, HOUR);
    cr_expect_eq(pace.hours_s, 12 * HOUR + HOUR);
    plan_pace_find(policy, ages, plan, 1, &size, &pace);
    cr_expect_eq(pace.hours_s, 0, "of nobody");
    free(policy);
    free(plan);
    free(ages);
}
