// SPDX-License-Identifier: Apache-2.0
//
// A short list, searched from front to back; see sham.h.
#include "agent/fsm/sham.h"

#include <assert.h>
#include <string.h>

int fsm_sham_admits(const struct fsm_record *record, const char *rollout, uint64_t attempt,
                    int64_t now_s) {
    size_t recent = 0;
    for (size_t i = 0; i < record->n_shams; i++) {
        const struct fsm_sham_taken *taken = &record->shams[i];
        if (strcmp(taken->rollout, rollout) == 0 && taken->attempt >= attempt)
            return FSM_SHAM_KNOWN;
        recent += now_s - taken->at_s < FSM_SHAMS_PERIOD_S;
    }
    return recent < FSM_SHAMS_MAX ? 0 : FSM_SHAM_OFTEN;
}

void fsm_sham_note(struct fsm_record *record, const char *rollout, uint64_t attempt,
                   int64_t now_s) {
    struct fsm_sham_taken taken = {.attempt = attempt, .at_s = now_s};
    size_t len = strlen(rollout);
    assert(len < sizeof taken.rollout);
    memcpy(taken.rollout, rollout, len);
    if (record->n_shams == FSM_SHAMS_MAX) {
        record->n_shams--;
        memmove(&record->shams[0], &record->shams[1], record->n_shams * sizeof record->shams[0]);
    }
    record->shams[record->n_shams++] = taken;
}
