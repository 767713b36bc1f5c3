// SPDX-License-Identifier: Apache-2.0
//
// When probes run during probation and what their results mean. Pure: `now_s` is powered-on time
// since the watch began (the agent's start or the swap), given by the caller.
//
// A probe first runs start_delay_s after the watch began, then every interval_s; `failures`
// consecutive failures end the probation. It is over when its time is up and the last run of every
// probe passed: a probe that has not run yet, or failed just now, prolongs it until that is
// decided.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fsm_probation_probe {
    uint64_t start_delay_s;
    uint64_t interval_s;
    uint64_t failures; // allowed to be reached never
    uint64_t next_s;
    uint64_t consecutive; // failures up to now
    bool ran;
};

enum fsm_probation_verdict { FSM_PROBATION_OPEN, FSM_PROBATION_HEALTHY, FSM_PROBATION_UNHEALTHY };

// Begins the watch: next_s of each from its start delay.
void fsm_probation_begin(struct fsm_probation_probe *probes, size_t n);
// The probe that is due (the most overdue), or n. *ret_wait_s is the time until the next is, when
// none.
size_t fsm_probation_due(const struct fsm_probation_probe *probes, size_t n, uint64_t now_s,
                         uint64_t *ret_wait_s) __attribute__((nonnull(4)));
void fsm_probation_note(struct fsm_probation_probe *probe, bool passed, uint64_t now_s)
    __attribute__((nonnull));
// done_s: powered-on time in probation, that of earlier starts included.
enum fsm_probation_verdict fsm_probation_judge(const struct fsm_probation_probe *probes, size_t n,
                                               uint64_t done_s, uint64_t duration_s);
