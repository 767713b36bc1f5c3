// SPDX-License-Identifier: Apache-2.0
//
// Further attempts of a device.
#include "ctl/rollout/retry.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct rollout_policy policy(void) {
    return (struct rollout_policy){.timeout_s = 500,
                                   .retries = {.max = 2, .delay_s = 60, .backoff_ppm = 3000000}};
}

Test(rollout_retry, so_many_as_the_policy_gives) {
    struct rollout_policy p = policy();
    cr_assert(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 4, 4, ""));
    cr_assert(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 4, 5, ""));
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 4, 6, ""));
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 4, 3, "")); // of an attempt before
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_REVERTED, 4, 4, ""));
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_LOST, 4, 4, ""));
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_COMMITTED, 4, 4, ""));
    p.retries.max = 0;
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 4, 4, ""));
}

Test(rollout_retry, only_for_the_codes_named_when_some_are) {
    struct rollout_policy p = policy();
    p.retries.n_codes = 2;
    (void)snprintf(p.retries.codes[0], sizeof p.retries.codes[0], "network");
    (void)snprintf(p.retries.codes[1], sizeof p.retries.codes[1], "probe_failed");
    cr_assert(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 1, 1, "probe_failed"));
    cr_assert(rollout_retry_left(&p, ROLLOUT_TASK_REVERTED, 1, 1, "probe_failed"));
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 1, 1, "no_space"));
    cr_assert_not(rollout_retry_left(&p, ROLLOUT_TASK_FAILED, 1, 1, ""));
}

Test(rollout_retry, later_each_time_and_not_for_ever) {
    struct rollout_policy p = policy();
    cr_assert_eq(rollout_retry_due_s(&p, 7, 7, 1000), 1060);
    cr_assert_eq(rollout_retry_due_s(&p, 7, 8, 1000), 1180);
    cr_assert_eq(rollout_retry_due_s(&p, 7, 9, 1000), 1540);
    cr_assert_eq(rollout_retry_due_s(&p, 0, UINT64_MAX, 1000),
                 1000 + (int64_t)ROLLOUT_POLICY_TIME_MAX_S);
}

Test(rollout_retry, a_resumed_rollout_is_above_all_retries) {
    struct rollout_policy p = policy();
    cr_assert_eq(rollout_retry_step(&p), 3);
    p.retries.max = 0;
    cr_assert_eq(rollout_retry_step(&p), 1);
}

Test(rollout_retry, silence_is_judged_by_phase) {
    struct rollout_policy p = policy();
    p.timeouts = (struct rollout_timeouts){.offered_s = 10, .staged_s = 20};
    cr_assert_eq(rollout_retry_silence_s(&p, ROLLOUT_TASK_OFFERED), 10);
    cr_assert_eq(rollout_retry_silence_s(&p, ROLLOUT_TASK_STAGED), 20);
    cr_assert_eq(rollout_retry_silence_s(&p, ROLLOUT_TASK_ACTIVATED), 500);
    cr_assert_eq(rollout_retry_silence_s(&p, ROLLOUT_TASK_COMMITTED), 500);
}

Test(rollout_retry, who_calls_gets_eight_days_or_as_long_as_who_is_silent) {
    struct rollout_policy p = policy();
    cr_assert_eq(rollout_retry_stuck_s(&p), 8 * 86400);
    p.timeouts.staged_s = 9 * 86400;
    cr_assert_eq(rollout_retry_stuck_s(&p), 9 * 86400);
    p.timeouts.stuck_s = 600;
    cr_assert_eq(rollout_retry_stuck_s(&p), 600);
}

Test(rollout_retry, who_does_not_return_for_its_next_try_is_gone) {
    struct rollout_policy p = policy();
    struct rollout_downtime down = {.last_s = 5000, .gap = {{2000, 3000}}};
    struct rollout_retry_wait wait = {.first = 1,
                                      .attempt = 1,
                                      .task = ROLLOUT_TASK_FAILED,
                                      .code = "",
                                      .since_s = 1000,
                                      .seen_s = 1000,
                                      .silent_s = INT64_MIN};
    // Due at 1060, and then 500 s.
    cr_assert_not(rollout_retry_gone(&p, &wait, &down, 1559));
    cr_assert(rollout_retry_gone(&p, &wait, &down, 1560));
    down.n = 1;
    wait.seen_s = 1700; // it called since; 1000 s nobody listened
    cr_assert_not(rollout_retry_gone(&p, &wait, &down, 3199));
    cr_assert(rollout_retry_gone(&p, &wait, &down, 3200));
    wait.silent_s = 3100;
    cr_assert_not(rollout_retry_gone(&p, &wait, &down, 3599));
    cr_assert(rollout_retry_gone(&p, &wait, &down, 3600));
    wait.attempt = 3; // no try is left: it has its outcome
    cr_assert_not(rollout_retry_gone(&p, &wait, &down, 9999));
}
