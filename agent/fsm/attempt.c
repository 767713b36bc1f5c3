// SPDX-License-Identifier: Apache-2.0
//
// A short list, searched from front to back; see attempt.h.
#include "agent/fsm/attempt.h"

#include <assert.h>
#include <string.h>

static size_t find(const struct fsm_record *record, const struct keys_digest *bundle) {
    size_t i = 0;
    while (i < record->n_failures && !keys_digest_equal(&record->failures[i].bundle, bundle))
        i++;
    return i;
}

void fsm_attempt_failed(struct fsm_record *record, const struct keys_digest *bundle,
                        uint64_t attempt) {
    struct fsm_failure *list = record->failures;
    size_t at = find(record, bundle);
    if (at < record->n_failures && list[at].attempt > attempt)
        attempt = list[at].attempt;
    if (at == record->n_failures && record->n_failures == FSM_FAILURES_MAX)
        at = 0;
    if (at < record->n_failures) {
        memmove(&list[at], &list[at + 1], (record->n_failures - at - 1) * sizeof list[0]);
        record->n_failures--;
    }
    list[record->n_failures++] = (struct fsm_failure){.bundle = *bundle, .attempt = attempt};
    assert(!fsm_attempt_admits(record, bundle, attempt) && "I4: what failed is not tried again");
}

void fsm_attempt_forget(struct fsm_record *record, const struct keys_digest *bundle) {
    size_t at = find(record, bundle);
    if (at == record->n_failures)
        return;
    record->n_failures--;
    memmove(&record->failures[at], &record->failures[at + 1],
            (record->n_failures - at) * sizeof record->failures[0]);
}

uint64_t fsm_attempt_last(const struct fsm_record *record, const struct keys_digest *bundle) {
    size_t at = find(record, bundle);
    return at < record->n_failures ? record->failures[at].attempt : 0;
}

bool fsm_attempt_admits(const struct fsm_record *record, const struct keys_digest *bundle,
                        uint64_t attempt) {
    return attempt > fsm_attempt_last(record, bundle);
}

bool fsm_attempt_interrupted(const struct fsm_record *record) {
    switch (record->state) {
    case FSM_OFFERED:
    case FSM_FETCHING:
    case FSM_STAGED:
        return record->update.restarts > FSM_RESTARTS_STAGING_MAX;
    case FSM_ACTIVATING:
    case FSM_REBOOTING:
    case FSM_PROBATION:
    case FSM_SHAM_RESTARTING:
    case FSM_SHAM_PROBATION:
        return record->update.restarts > record->update.restarts_max;
    default:
        return false;
    }
}
