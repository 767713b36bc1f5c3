// SPDX-License-Identifier: Apache-2.0
//
// Whom a stolen controller could reach.
#include "ctl/rollout/plan/reach.h"

#include <string.h>

#include "ctl/rollout/batch.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

// A stage's bounds as they are signed: what is held back is a stage of its own.
static uint64_t signed_bound(const struct rollout_policy *policy,
                             const struct rollout_stratum_plan *plan, size_t stage) {
    return stage == policy->n_stages ? plan->bound[stage - 1]
                                     : least(plan->bound[stage], rollout_batch_holdback(policy));
}

// The first step of the stage that lets a rank through; ramp->n: none before all of it is open.
static size_t step_of(const struct rollout_policy *policy, const struct rollout_plan_ramp *ramp,
                      const struct rollout_stratum_plan *plan, size_t stage, uint64_t rank) {
    uint64_t low = stage == 0 ? 0 : signed_bound(policy, plan, stage - 1);
    uint64_t all = signed_bound(policy, plan, stage) - low;
    size_t step = 0;
    while (step < ramp->n &&
           rank > low + (uint64_t)((unsigned __int128)all * ramp->steps[step].share >> 32))
        step++;
    return step;
}

static void add(const struct rollout_policy *policy, const struct rollout_member *member,
                struct rollout_plan *io) {
    const struct rollout_stratum_plan *plan = &io->strata[member->stratum];
    size_t stage = 0, n = policy->n_stages;
    while (stage < n && member->named != stage + 1 &&
           (policy->stages[stage].by_device || member->rank > signed_bound(policy, plan, stage)))
        stage++;
    if (stage == n && (io->held_back == 0 || member->rank > signed_bound(policy, plan, n)))
        return;
    if (stage < n)
        io->reach[stage]++;
    struct rollout_plan_ramp *ramp = &io->ramp[stage];
    size_t step = member->named == stage + 1 ? 0 : step_of(policy, ramp, plan, stage, member->rank);
    if (step < ramp->n)
        ramp->steps[step].reach++;
}

void plan_reach_find(const struct rollout_policy *policy, const struct rollout_plan_census *census,
                     struct rollout_plan *io) {
    memset(io->reach, 0, sizeof io->reach);
    for (size_t m = 0; m < census->n_members; m++)
        add(policy, &census->members[m], io);
    for (size_t i = 1; i < policy->n_stages; i++)
        io->reach[i] += io->reach[i - 1];
    for (size_t i = 0; i <= policy->n_stages; i++) {
        uint64_t before = i == 0 ? 0 : io->reach[i - 1];
        for (size_t k = 0; k < io->ramp[i].n; k++)
            before = io->ramp[i].steps[k].reach += before;
    }
}
