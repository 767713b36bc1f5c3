// SPDX-License-Identifier: Apache-2.0
//
// The bounds of a plan, and when devices call.
#include "ctl/rollout/plan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "ctl/rollout/batch.h"
#include "ctl/rollout/plan/pace.h"
#include "ctl/rollout/plan/reach.h"
#include "ctl/rollout/unit.h"

// ── Ages ──

// Sixteen buckets to each doubling: the highest bit, and the four behind it.
static size_t bucket_of(uint64_t age_s) {
    if (age_s < 16)
        return (size_t)age_s;
    unsigned top = 63U - (unsigned)__builtin_clzll(age_s);
    size_t at = (size_t)(top - 3) * 16 + (size_t)((age_s >> (top - 4)) & 15);
    return at < ROLLOUT_PLAN_AGE_BUCKETS ? at : ROLLOUT_PLAN_AGE_BUCKETS - 1;
}

// The largest age in a bucket.
static uint64_t age_of(size_t bucket) {
    if (bucket < 16)
        return bucket;
    unsigned shift = (unsigned)(bucket / 16) - 1;
    return ((16 + (uint64_t)(bucket % 16) + 1) << shift) - 1;
}

void rollout_plan_age_add(struct rollout_plan_ages *ages, uint64_t age_s) {
    ages->n++;
    ages->bucket[bucket_of(age_s)]++;
}

uint64_t rollout_plan_age_at(const struct rollout_plan_ages *ages, uint32_t ppm) {
    uint64_t wanted = (ages->n * ppm + ROLLOUT_PPM - 1) / ROLLOUT_PPM, seen = 0;
    if (ages->n == 0)
        return 0;
    for (size_t i = 0; i < ROLLOUT_PLAN_AGE_BUCKETS; i++) {
        seen += ages->bucket[i];
        if (seen >= wanted && seen > 0)
            return age_of(i);
    }
    return age_of(ROLLOUT_PLAN_AGE_BUCKETS - 1);
}

// ── Calls ──

#define WEEK_S (7 * 86400)
#define SLICES 16 // of a gap

void rollout_plan_call_add(struct rollout_plan_calls *calls, const struct rollout_gaps *gaps,
                           bool seen, uint64_t age_s) {
    if (!seen || age_s > WEEK_S) {
        calls->silent++;
        return;
    }
    calls->until.n += ROLLOUT_PLAN_CALL;
    if (rollout_gaps_weigh(gaps, ROLLOUT_PLAN_CALL, calls->gaps))
        calls->known++;
    else
        calls->until.bucket[bucket_of(age_s)] += ROLLOUT_PLAN_CALL;
}

void rollout_plan_call_spread(struct rollout_plan_calls *calls) {
    uint64_t parts = 0;
    for (unsigned class = 0; class < ROLLOUT_GAPS_CLASSES; class ++) {
        uint64_t middle = rollout_gaps_middle(class), left = calls->gaps[class];
        for (unsigned i = 0; i < SLICES; i++) {
            uint64_t part = left / (SLICES - i);
            calls->until.bucket[bucket_of(middle * (2 * i + 1) / (2 * SLICES))] += part;
            left -= part;
        }
        calls->gaps[class] = 0;
    }
    for (size_t i = 0; i < ROLLOUT_PLAN_AGE_BUCKETS; i++)
        parts += calls->until.bucket[i];
    calls->until.n = parts; // without what weighing rounded away
}

// ── Bounds ──

// A stage cannot begin before those before it took what they take at least.
static void find_times(const struct rollout_policy *policy, struct rollout_plan *io) {
    int64_t at = policy->not_before_s > io->made_s ? policy->not_before_s : io->made_s;
    size_t n = policy->n_stages;
    uint64_t size = 0;
    for (size_t i = 0; i < n; i++) {
        io->not_before_s[i] = at;
        plan_pace_ramp(policy, io->adds[i], size, &io->ramp[i]);
        at += (int64_t)plan_pace_least(policy, io, i, &size);
    }
    io->not_before_s[n] = at;
    if (policy->gates.holdback_release_s > 0)
        io->not_before_s[n] = io->not_before_s[n - 1] + (int64_t)policy->gates.holdback_release_s;
    plan_pace_ramp(policy, io->held_back, size, &io->ramp[n]);
    int64_t released_s = io->not_before_s[n] + (int64_t)io->ramp[n].whole_s;
    io->over_s = io->held_back > 0 && released_s > at ? released_s : at;
}

// Units as devices have them: they stand first among the members.
static void find_units(const struct rollout_policy *policy,
                       const struct rollout_plan_census *census, struct rollout_plan *io) {
    memset(io->unit_sizes, 0, sizeof io->unit_sizes);
    memset(io->unit_adds, 0, sizeof io->unit_adds);
    for (size_t s = 0; s < io->n_strata && !rollout_unit_is_site(&policy->gates); s++) {
        io->unit_sizes[s] = io->sizes[s];
        memcpy(io->unit_adds[s], io->strata[s].planned, sizeof io->unit_adds[s]);
    }
    for (size_t i = 0; i < io->units && rollout_unit_is_site(&policy->gates); i++) {
        const struct rollout_member *unit = &census->members[i];
        size_t stage = rollout_strata_stage(policy, &io->strata[unit->stratum], unit->rank);
        io->unit_sizes[unit->stratum]++;
        if (stage < policy->n_stages && unit->rank <= rollout_batch_holdback(policy))
            io->unit_adds[unit->stratum][stage]++;
    }
}

void rollout_plan_make(const struct rollout_policy *policy, struct rollout_plan_census *census,
                       struct rollout_plan *io) {
    assert(census->n_strata <= BUNDLE_STRATA_MAX);
    io->n_strata = census->n_strata;
    memset(io->sizes, 0, sizeof io->sizes);
    memset(io->adds, 0, sizeof io->adds);
    io->held_back = 0;
    io->units =
        rollout_strata_plan(policy, census->members, census->n_members, io->strata, io->n_strata);
    if (census->groups != NULL)
        rollout_strata_join(policy, census->members, census->n_members, census->groups,
                            census->n_groups, io->strata, io->n_strata);
    rollout_strata_newcomer(policy, io->units, &io->newcomers);
    for (size_t i = 0; i < census->n_members; i++)
        io->sizes[census->members[i].stratum]++;
    for (size_t s = 0; s < io->n_strata; s++) {
        for (size_t i = 0; i < policy->n_stages; i++)
            io->adds[i] += io->strata[s].planned[i];
        io->held_back += io->strata[s].held_back;
    }
    find_units(policy, census, io);
    find_times(policy, io);
    plan_reach_find(policy, census, io);
}

void rollout_plan_bounds(const struct rollout_policy *policy,
                         const struct rollout_stratum_plan *plan,
                         char ret[static ROLLOUT_PLAN_BOUNDS_BYTES]) {
    ret[0] = '\0';
    for (size_t i = 0; i < policy->n_stages; i++)
        (void)snprintf(ret + 16 * i, 17, "%016llx", (unsigned long long)plan->bound[i]);
}
