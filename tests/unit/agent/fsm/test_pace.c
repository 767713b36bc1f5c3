// SPDX-License-Identifier: Apache-2.0
//
// Waiting: polls, back-off; and the schedule of probes.
#include <criterion/criterion.h>

#include "agent/fsm/pace.h"
#include "agent/fsm/probation.h"

Test(fsm_pace, polls_are_spread_by_half_of_the_interval_to_both_sides) {
    cr_expect_eq(fsm_pace_poll_ms(1800, 0), 900000);
    cr_expect_eq(fsm_pace_poll_ms(1800, UINT32_MAX), 2699999);
    cr_expect_eq(fsm_pace_poll_ms(1800, 1U << 31), 1800000);
    cr_expect_eq(fsm_pace_poll_ms(604800, UINT32_MAX), 907199999);
}

Test(fsm_pace, a_back_off_begins_at_its_base_and_ends_at_its_cap) {
    int64_t pause = 0;
    cr_expect_eq(fsm_pace_backoff_ms(0, 1000, 60000, UINT32_MAX), 1000);
    for (int i = 0; i < 50; i++) {
        int64_t next = fsm_pace_backoff_ms(pause, 1000, 60000, UINT32_MAX);
        cr_expect(next >= pause || next == 60000);
        pause = next;
    }
    cr_expect(pause >= 59999 && pause <= 60000, "%lld", (long long)pause);
    cr_expect_eq(fsm_pace_backoff_ms(60000, 1000, 60000, 0), 1000,
                 "decorrelated: it may fall again");
}

Test(fsm_pace, a_server_cannot_send_a_device_away_for_more_than_a_day) {
    cr_expect_eq(fsm_pace_retry_after_ms(UINT64_MAX, 0), 86400000);
    cr_expect_leq(fsm_pace_retry_after_ms(UINT64_MAX, UINT32_MAX), 86400000 + 8640000);
    cr_expect_eq(fsm_pace_retry_after_ms(10, 0), 10000);
}

Test(fsm_probation, probes_run_after_their_delay_and_at_their_interval) {
    struct fsm_probation_probe probes[2] = {{.start_delay_s = 10, .interval_s = 30, .failures = 2},
                                            {.start_delay_s = 20, .interval_s = 5, .failures = 1}};
    uint64_t wait = 0;
    fsm_probation_begin(probes, 2);
    cr_expect_eq(fsm_probation_due(probes, 2, 0, &wait), 2);
    cr_expect_eq(wait, 10);
    cr_expect_eq(fsm_probation_due(probes, 2, 10, &wait), 0);
    fsm_probation_note(&probes[0], true, 11);
    cr_expect_eq(fsm_probation_due(probes, 2, 25, &wait), 1);
    fsm_probation_note(&probes[1], true, 26);
    cr_expect_eq(fsm_probation_due(probes, 2, 26, &wait), 2);
    cr_expect_eq(wait, 5);
}

Test(fsm_probation, only_failures_in_a_row_end_it) {
    struct fsm_probation_probe probe = {.interval_s = 1, .failures = 3};
    fsm_probation_begin(&probe, 1);
    for (int i = 0; i < 4; i++) {
        fsm_probation_note(&probe, i == 2, (uint64_t)i);
        cr_expect_eq(fsm_probation_judge(&probe, 1, 0, 100), FSM_PROBATION_OPEN);
    }
    fsm_probation_note(&probe, false, 5);
    fsm_probation_note(&probe, false, 6);
    cr_expect_eq(fsm_probation_judge(&probe, 1, 0, 100), FSM_PROBATION_UNHEALTHY);
}

Test(fsm_probation, i3_it_is_not_over_before_every_probe_has_passed) {
    struct fsm_probation_probe probe = {.start_delay_s = 500, .interval_s = 10, .failures = 2};
    fsm_probation_begin(&probe, 1);
    cr_expect_eq(fsm_probation_judge(&probe, 1, 100, 100), FSM_PROBATION_OPEN, "it has not run");
    fsm_probation_note(&probe, false, 500);
    cr_expect_eq(fsm_probation_judge(&probe, 1, 500, 100), FSM_PROBATION_OPEN,
                 "it failed just now");
    fsm_probation_note(&probe, true, 510);
    cr_expect_eq(fsm_probation_judge(&probe, 1, 510, 100), FSM_PROBATION_HEALTHY);
    cr_expect_eq(fsm_probation_judge(&probe, 1, 99, 100), FSM_PROBATION_OPEN);
    cr_expect_eq(fsm_probation_judge(NULL, 0, 100, 100), FSM_PROBATION_HEALTHY);
}
