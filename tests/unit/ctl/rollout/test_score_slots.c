// SPDX-License-Identifier: Apache-2.0
//
// Readings by slots.
#include "ctl/rollout/score_slots.h"

#include <criterion/criterion.h>

Test(score_slots, who_calls_often_within_a_slot_weighs_as_much_as_who_calls_once) {
    static struct rollout_score score;
    static struct rollout_score_device often, once;
    struct rollout_score_news news = {.shared = false};
    const struct rollout_gates gates = {
        .n = 1, .gate = {{.kind = ROLLOUT_GATE_METRIC}}, .window_s = 10800, .grace_s = 3600};
    int64_t slot = rollout_score_slots_of(&gates, 1800000000), start_s = slot * 1200;
    for (int64_t i = 0; i < 3; i++) {
        struct rollout_score_checkin checkin = {
            .now_s = start_s + i * 1200, .given = 1, .nano = {i * 10}};
        rollout_score_slots_hear(&score, &gates, &checkin, &once, &news);
        rollout_score_slots_hear(&score, &gates, &checkin, &often, &news);
    }
    // Minutes before its set begins, at an hour when the metric is higher.
    for (int64_t i = 1; i < 5; i++) {
        struct rollout_score_checkin checkin = {
            .now_s = start_s + 2 * 1200 + i * 60, .given = 1, .nano = {20 + i}};
        rollout_score_slots_hear(&score, &gates, &checkin, &often, &news);
    }
    struct rollout_score_mean a = rollout_score_slots_sum(&once.history[0], slot, slot + 2);
    struct rollout_score_mean b = rollout_score_slots_sum(&often.history[0], slot, slot + 2);
    cr_assert_eq(a.n, 3);
    cr_assert_eq(b.n, 3);
    cr_assert_eq(rollout_score_slots_mean(&a), 10);
    cr_assert_eq(rollout_score_slots_mean(&b), 10);
}
