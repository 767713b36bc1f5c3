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
