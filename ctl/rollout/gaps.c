// SPDX-License-Identifier: Apache-2.0
//
// Gaps between check-ins, by doublings.
#include "ctl/rollout/gaps.h"

#define FIRST_S 60 // up to it: the first class

// The end of a class; the last one has none.
static uint64_t end_of(unsigned class) {
    return (uint64_t)FIRST_S << class;
}

void rollout_gaps_note(struct rollout_gaps *io, uint64_t gap_s) {
    unsigned class = 0;
    while (class < ROLLOUT_GAPS_CLASSES - 1 && gap_s >= end_of(class))
        class ++;
    if (io->count[class] == UINT8_MAX)
        for (unsigned i = 0; i < ROLLOUT_GAPS_CLASSES; i++)
            io->count[i] = (uint8_t)(io->count[i] / 2);
    io->count[class]++;
}

uint64_t rollout_gaps_middle(unsigned class) {
    return end_of(class) * 3 / 4;
}

bool rollout_gaps_weigh(const struct rollout_gaps *gaps, uint64_t weight,
                        uint64_t io[static ROLLOUT_GAPS_CLASSES]) {
    uint64_t n = 0, all_s = 0;
    for (unsigned i = 0; i < ROLLOUT_GAPS_CLASSES; i++) {
        n += gaps->count[i];
        all_s += gaps->count[i] * rollout_gaps_middle(i);
    }
    if (n < ROLLOUT_GAPS_LEAST)
        return false;
    for (unsigned i = 0; i < ROLLOUT_GAPS_CLASSES; i++)
        io[i] += weight * gaps->count[i] * rollout_gaps_middle(i) / all_s;
    return true;
}
