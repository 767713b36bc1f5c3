// SPDX-License-Identifier: Apache-2.0
//
// Further attempts of a device.
#include "ctl/rollout/retry.h"

#include <string.h>

uint64_t rollout_retry_step(const struct rollout_policy *policy) {
    return 1 + (uint64_t)policy->retries.max;
}

static bool is_named(const struct rollout_retries *retries, const char *code) {
    for (size_t i = 0; i < retries->n_codes; i++)
        if (strcmp(retries->codes[i], code) == 0)
            return true;
    return false;
}

bool rollout_retry_left(const struct rollout_policy *policy, enum rollout_task task, uint64_t first,
                        uint64_t attempt, const char *code) {
    const struct rollout_retries *retries = &policy->retries;
    if (attempt < first || attempt - first >= retries->max)
        return false;
    // A release that was swapped in and went back is tried again only where people named why.
    return (task == ROLLOUT_TASK_FAILED && retries->n_codes == 0) ||
           ((task == ROLLOUT_TASK_FAILED || task == ROLLOUT_TASK_REVERTED) &&
            is_named(retries, code));
}

int64_t rollout_retry_due_s(const struct rollout_policy *policy, uint64_t first, uint64_t attempt,
                            int64_t since_s) {
    const struct rollout_retries *retries = &policy->retries;
    unsigned __int128 delay = retries->delay_s;
    for (uint64_t i = first; i < attempt && delay < ROLLOUT_POLICY_TIME_MAX_S; i++)
        delay = delay * retries->backoff_ppm / ROLLOUT_PPM;
    return since_s +
           (int64_t)(delay > ROLLOUT_POLICY_TIME_MAX_S ? ROLLOUT_POLICY_TIME_MAX_S : delay);
}

uint64_t rollout_retry_silence_s(const struct rollout_policy *policy, enum rollout_task task) {
    const struct rollout_timeouts *timeouts = &policy->timeouts;
    uint64_t own = task == ROLLOUT_TASK_OFFERED     ? timeouts->offered_s
                   : task == ROLLOUT_TASK_STAGED    ? timeouts->staged_s
                   : task == ROLLOUT_TASK_ACTIVATED ? timeouts->activated_s
                                                    : 0;
    return own == 0 ? policy->timeout_s : own;
}

uint64_t rollout_retry_stuck_s(const struct rollout_policy *policy) {
    static const enum rollout_task phases[] = {ROLLOUT_TASK_OFFERED, ROLLOUT_TASK_STAGED,
                                               ROLLOUT_TASK_ACTIVATED};
    uint64_t most = policy->timeouts.stuck_s;
    if (most > 0)
        return most;
    most = ROLLOUT_POLICY_STUCK_DEFAULT_S;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        uint64_t silence_s = rollout_retry_silence_s(policy, phases[i]);
        most = most > silence_s ? most : silence_s;
    }
    return most;
}

static int64_t latest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

bool rollout_retry_gone(const struct rollout_policy *policy, const struct rollout_retry_wait *wait,
                        const struct rollout_downtime *down, int64_t now_s) {
    if (wait->attempt < wait->first ||
        !rollout_retry_left(policy, wait->task, wait->first, wait->attempt, wait->code))
        return false;
    int64_t due_s = rollout_retry_due_s(policy, wait->first, wait->attempt, wait->since_s);
    int64_t quiet_s = latest(latest(due_s, wait->seen_s), wait->silent_s);
    return quiet_s <= rollout_downtime_before_s(down, now_s, policy->timeout_s);
}
