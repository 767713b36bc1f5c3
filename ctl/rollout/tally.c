// SPDX-License-Identifier: Apache-2.0
//
// Counts of devices by what became of them.
#include "ctl/rollout/tally.h"

#include <assert.h>

void rollout_tally_move(struct rollout_tally *tally, enum rollout_task from, enum rollout_task to) {
    if (from == to)
        return;
    if (from != ROLLOUT_TASK_NONE) {
        assert(tally->now[from] > 0);
        tally->now[from]--;
    }
    if (to != ROLLOUT_TASK_NONE)
        tally->now[to]++;
}

void rollout_tally_add(struct rollout_tally *sum, const struct rollout_tally *tally) {
    sum->planned += tally->planned;
    for (unsigned i = 0; i < ROLLOUT_TASKS; i++)
        sum->now[i] += tally->now[i];
}

uint64_t rollout_tally_unresolved(const struct rollout_tally *tally) {
    return tally->now[ROLLOUT_TASK_OFFERED] + tally->now[ROLLOUT_TASK_STAGED] +
           tally->now[ROLLOUT_TASK_ACTIVATED];
}

uint64_t rollout_tally_took(const struct rollout_tally *tally) {
    return rollout_tally_unresolved(tally) + tally->now[ROLLOUT_TASK_COMMITTED] +
           tally->now[ROLLOUT_TASK_LOST];
}

uint64_t rollout_tally_offered(const struct rollout_tally *tally) {
    return rollout_tally_unresolved(tally) + rollout_tally_good(tally) + rollout_tally_bad(tally) +
           tally->now[ROLLOUT_TASK_CANCELLED];
}

uint64_t rollout_tally_good(const struct rollout_tally *tally) {
    return tally->now[ROLLOUT_TASK_COMMITTED];
}

uint64_t rollout_tally_bad(const struct rollout_tally *tally) {
    return tally->now[ROLLOUT_TASK_FAILED] + tally->now[ROLLOUT_TASK_REVERTED] +
           tally->now[ROLLOUT_TASK_LOST];
}

uint64_t rollout_tally_reached(const struct rollout_tally *tally) {
    return rollout_tally_offered(tally) + rollout_tally_moot(tally) -
           tally->now[ROLLOUT_TASK_CANCELLED];
}

uint64_t rollout_tally_moot(const struct rollout_tally *tally) {
    return tally->now[ROLLOUT_TASK_CANCELLED] + tally->now[ROLLOUT_TASK_ALREADY] +
           tally->now[ROLLOUT_TASK_SKIPPED];
}
