// SPDX-License-Identifier: Apache-2.0
//
// A policy with one gate of each kind, by which the tests of scores count.
#pragma once

#include "ctl/rollout/policy.h"

#define T0 1700000000

enum { INSTALL, LOST, COUNTER, METRIC };

// Devices are the units; all but the time-out and the gates is left as it is.
static inline void bench_policy_init(struct rollout_policy *ret) {
    static const enum rollout_gate_kind kinds[] = {ROLLOUT_GATE_INSTALL, ROLLOUT_GATE_LOST,
                                                   ROLLOUT_GATE_COUNTER, ROLLOUT_GATE_METRIC};
    ret->timeout_s = 3600;
    ret->gates = (struct rollout_gates){.n = 4,
                                        .alpha_ppm = 25000,
                                        .alpha_pass_ppm = 50000,
                                        .compared = 4,
                                        .horizon_s = 36000,
                                        .window_s = 18000,
                                        .grace_s = 3600,
                                        .settle_s = 900,
                                        .newcomer_s = 86400,
                                        .rhythm_s = 1800,
                                        .drift_ppm = 200000};
    for (size_t i = 0; i < 4; i++)
        ret->gates.gate[i] = (struct rollout_gate_policy){.kind = kinds[i],
                                                          .weight_ppm = 250000,
                                                          .baseline_ppm = 20000,
                                                          .intolerable_ppm = 100000,
                                                          .ratio_ok_ppm = 1000000,
                                                          .ratio_bad_ppm = 2000000,
                                                          .intolerable = {NUM_DECIMAL_SCALE}};
}
