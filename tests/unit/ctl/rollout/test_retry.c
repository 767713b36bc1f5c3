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
