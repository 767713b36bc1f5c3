// SPDX-License-Identifier: Apache-2.0
//
// How long the stages of a plan take, and how many devices a release that fails is expected to
// reach. Within ctl/rollout/plan*.
#pragma once

#include "ctl/rollout/plan.h"

struct plan_pace_stage {
    uint64_t batches;
    uint64_t calls_s; // until the devices of a batch called, for all batches
    uint64_t waits_s; // soak, horizon and grace, and until a loss could be seen
    // With a gate of losses: how long after the last batch opened a device may fall silent at the latest
    // to be seen by this stage, and how long after it fell silent it is; else 0.
    uint64_t dies_by_s, seen_after_s;
    uint64_t hours_s; // for windows (plan/hours.h)
};

// size: of the last batch of the stage before, 0 before the first; set to the last one of this.
void plan_pace_find(const struct rollout_policy *policy, const struct rollout_plan_ages *ages,
                    const struct rollout_plan *plan, size_t stage, uint64_t *io_size,
                    struct plan_pace_stage *ret) __attribute__((nonnull));
// What a stage takes at least: a rhythm for each of its batches, soak, and with a metric horizon and
// grace, with a gate of losses the time after which one is seen. size as above.
uint64_t plan_pace_least(const struct rollout_policy *policy, const struct rollout_plan *plan,
                         size_t stage, uint64_t *io_size) __attribute__((nonnull));
// How so many devices of a stage open at the fastest, when each batch is full and clean and takes a
// rhythm. size: of the last batch before, 0 before the first. Of more batches than steps some are put
// together, and open with the first of them. reach is 0.
void plan_pace_ramp(const struct rollout_policy *policy, uint64_t devices, uint64_t size,
                    struct rollout_plan_ramp *ret) __attribute__((nonnull));
// "exposure" of the document. NULL when memory ran out.
json_t *plan_pace_exposure(const struct rollout_policy *policy, const struct rollout_plan *plan)
    __attribute__((nonnull));
// "installs": what past rollouts came to, and the baseline that follows. NULL when memory ran out.
json_t *plan_pace_installs(const struct rollout_policy *policy,
                           const struct rollout_plan_past *past) __attribute__((nonnull));
