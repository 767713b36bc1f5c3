// SPDX-License-Identifier: Apache-2.0
//
// What the gates of a plan can see: power.h asked for each gate and stage, each question once.
// Within ctl/rollout/plan*.
#pragma once

#include "ctl/rollout/plan.h"

// Questions that were asked, and their answers: many gates ask the same.
#define PLAN_SIGHT_ASKED_MAX 128
struct plan_sight_memo {
    size_t n;
    struct plan_sight_asked {
        enum rollout_gate_kind kind;
        int64_t level;
        uint64_t n, parameter, share;
        uint32_t answer;
    } asked[PLAN_SIGHT_ASKED_MAX];
};

// The level that a gate has to reach by itself.
int64_t plan_sight_level(const struct rollout_gates *gates, const struct rollout_gate_policy *gate)
    __attribute__((nonnull));

// "gates" of the document: weights, levels, and the sample each needs. NULL when memory ran out.
json_t *plan_sight_gates(const struct rollout_policy *policy) __attribute__((nonnull));
// "gates" of a stage that is expected to be open for so long. NULL when memory ran out.
struct plan_sight_view {
    const struct rollout_policy *policy;
    const struct rollout_plan_census *census;
    const struct rollout_plan *plan;
    struct plan_sight_memo *memo;
};
json_t *plan_sight_stage(const struct plan_sight_view *view, size_t stage, uint64_t expected_s)
    __attribute__((nonnull));
// Whether every gate of a stage may pass a harmless release.
bool plan_sight_passes(const json_t *gates);
