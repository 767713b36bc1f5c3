// SPDX-License-Identifier: Apache-2.0
//
// A gate judges a stage by the outcomes so far. It is an interface, so that other ways to judge
// (comparisons with devices that do not have the release) can stand beside the thresholds.
//
// rollout_gate_threshold: failure comes first. It fails when more than failure_ppm of the devices
// with an outcome did not commit and there are at least min_sample of them, or when already so many
// did not that the stage can no longer stay within failure_ppm, or reach success_ppm. It passes
// when at least success_ppm committed. A stage with fewer devices than min_sample needs all of them
// instead. Exactly at a bound is within it.
#pragma once

#include <stddef.h>

#include "ctl/rollout/policy.h"
#include "ctl/rollout/tally.h"
#include "ctl/rollout/why.h"

enum rollout_gate_verdict { ROLLOUT_VERDICT_PASS, ROLLOUT_VERDICT_WAIT, ROLLOUT_VERDICT_FAIL };

struct rollout_gate_ops {
    const char *name;
    // strata: what became of the stage's devices, one tally for each stratum. why says what was
    // found when the verdict is not PASS.
    enum rollout_gate_verdict (*judge)(const struct rollout_gate_bounds *bounds,
                                       const struct rollout_tally *strata, size_t n_strata,
                                       struct rollout_why *why);
};

extern const struct rollout_gate_ops rollout_gate_threshold;
