// SPDX-License-Identifier: Apache-2.0
//
// See probation.h.
#include "agent/fsm/probation.h"

void fsm_probation_begin(struct fsm_probation_probe *probes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        probes[i].next_s = probes[i].start_delay_s;
        probes[i].consecutive = 0;
        probes[i].ran = false;
    }
}

size_t fsm_probation_due(const struct fsm_probation_probe *probes, size_t n, uint64_t now_s,
                         uint64_t *ret_wait_s) {
    size_t first = n;
    for (size_t i = 0; i < n; i++) {
        if (first == n || probes[i].next_s < probes[first].next_s)
            first = i;
    }
    if (first == n)
        return n;
    if (probes[first].next_s <= now_s)
        return first;
    *ret_wait_s = probes[first].next_s - now_s;
    return n;
}

void fsm_probation_note(struct fsm_probation_probe *probe, bool passed, uint64_t now_s) {
    probe->ran = true;
    probe->consecutive = passed ? 0 : probe->consecutive + 1;
    uint64_t interval_s = probe->interval_s > 0 ? probe->interval_s : 1;
    probe->next_s = now_s + interval_s;
}

enum fsm_probation_verdict fsm_probation_judge(const struct fsm_probation_probe *probes, size_t n,
                                               uint64_t done_s, uint64_t duration_s) {
    bool settled = true;
    for (size_t i = 0; i < n; i++) {
        uint64_t allowed = probes[i].failures > 0 ? probes[i].failures : 1;
        if (probes[i].consecutive >= allowed)
            return FSM_PROBATION_UNHEALTHY;
        settled = settled && probes[i].ran && probes[i].consecutive == 0;
    }
    return settled && done_s >= duration_s ? FSM_PROBATION_HEALTHY : FSM_PROBATION_OPEN;
}
