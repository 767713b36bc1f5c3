// SPDX-License-Identifier: Apache-2.0
//
// Bounds per stage and stratum.
#include "ctl/rollout/strata.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/rollout/batch.h"
#include "ctl/rollout/evidence/binomial.h"
#include "ctl/rollout/unit.h"

// A bound that is higher comes about in one of two million draws.
#define MOST_ALPHA_PPM 1

static int by_stratum_and_rank(const void *left, const void *right) {
    const struct rollout_member *a = left, *b = right;
    if (a->stratum != b->stratum)
        return a->stratum < b->stratum ? -1 : 1;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static bool is_whole(const struct rollout_stage_policy *stage) {
    return !stage->by_count && stage->ppm == ROLLOUT_PPM;
}

static uint64_t scale(uint64_t n, uint64_t part, uint64_t whole) {
    return (uint64_t)((unsigned __int128)n * part / whole);
}

// How many devices of each stratum a stage by count takes: in proportion, at least one, the rest to
// those that lost most by rounding down (lower index first), so that the sum is the count when it
// can.
static void share_out(uint64_t count, const size_t *sizes, size_t n_strata, size_t total,
                      uint64_t *ret) {
    uint64_t given = 0;
    bool topped[BUNDLE_STRATA_MAX] = {false};
    for (size_t s = 0; s < n_strata; s++) {
        ret[s] = scale(sizes[s], count < total ? count : total, total);
        topped[s] = ret[s] == 0;
        ret[s] = topped[s] ? 1 : ret[s];
        given += ret[s];
    }
    while (given < count && given < total) {
        size_t best = n_strata;
        uint64_t most = 0;
        for (size_t s = 0; s < n_strata; s++) {
            uint64_t lost = (uint64_t)((unsigned __int128)sizes[s] * count % total) + 1;
            if (!topped[s] && ret[s] < sizes[s] && lost > most) {
                most = lost;
                best = s;
            }
        }
        if (best == n_strata)
            return;
        topped[best] = true;
        ret[best]++;
        given++;
    }
}

// The number of the stratum's devices that have it when the stage is done: of evidence at least the
// share, else the nearest.
static uint64_t wanted(const struct rollout_policy *policy, size_t stage, uint64_t by_count,
                       size_t size) {
    if (policy->stages[stage].by_count)
        return by_count;
    uint64_t more = policy->gates.n > 0 ? ROLLOUT_PPM - 1 : ROLLOUT_PPM / 2;
    uint64_t k = ((uint64_t)size * policy->stages[stage].ppm + more) / ROLLOUT_PPM;
    return k == 0 ? 1 : k;
}

// How many of `size` devices, by rank, have it when each stage is done.
static void find_taken(const struct rollout_policy *policy, size_t size,
                       uint64_t counts[][BUNDLE_STRATA_MAX], size_t stratum, uint64_t *ret) {
    uint64_t before = 0;
    for (size_t i = 0; i < policy->n_stages; i++) {
        const struct rollout_stage_policy *stage = &policy->stages[i];
        uint64_t k = stage->by_device  ? 0 // no share of ranks
                     : is_whole(stage) ? size
                                       : wanted(policy, i, counts[i][stratum], size);
        k = k > size ? size : k;
        ret[i] = before = k < before ? before : k;
    }
}

static void plan_stratum(const struct rollout_policy *policy, const struct rollout_member *members,
                         size_t size, uint64_t counts[][BUNDLE_STRATA_MAX], size_t stratum,
                         struct rollout_stratum_plan *ret) {
    uint64_t taken[ROLLOUT_POLICY_STAGES_MAX];
    find_taken(policy, size, counts, stratum, taken);
    *ret = (struct rollout_stratum_plan){0};
    for (size_t i = 0; i < policy->n_stages; i++)
        ret->bound[i] = policy->stages[i].by_device    ? (i == 0 ? 0 : ret->bound[i - 1])
                        : is_whole(&policy->stages[i]) ? UINT64_MAX
                                                       : members[taken[i] - 1].rank;
}

// Who is named by an earlier stage than the one that its rank admits it to is planned there.
static void plan_named(const struct rollout_policy *policy, const struct rollout_member *members,
                       size_t n_members, struct rollout_stratum_plan *ret) {
    for (size_t i = 0; i < n_members && policy->n_devices > 0; i++) {
        struct rollout_stratum_plan *plan = &ret[members[i].stratum];
        size_t by_rank = rollout_strata_stage(policy, plan, members[i].rank);
        if (members[i].named == 0 || members[i].named > by_rank)
            continue;
        if (by_rank < policy->n_stages && members[i].rank > rollout_batch_holdback(policy))
            plan->held_back--;
        else if (by_rank < policy->n_stages)
            plan->planned[by_rank]--;
        plan->planned[members[i].named - 1]++;
    }
}

// Groups of strata that are planned as one: each by itself, and those that are pooled, as the last.
struct groups {
    size_t n;
    size_t sizes[BUNDLE_STRATA_MAX];
    size_t of[BUNDLE_STRATA_MAX]; // stratum → group
    size_t pool;                  // the pooled group; n: there is none
    size_t first;                 // the first stratum in it
    uint64_t counts[ROLLOUT_POLICY_STAGES_MAX]
                   [BUNDLE_STRATA_MAX]; // of stages by count: each group's
};

static bool is_small(size_t size) {
    return size > 0 && size < ROLLOUT_STRATA_POOL_MIN;
}

static void group(const struct rollout_policy *policy, const size_t *sizes, size_t n_strata,
                  struct groups *ret) {
    size_t small = 0, n_pooled = 0, total = 0;
    *ret = (struct groups){0};
    for (size_t s = n_strata; s-- > 0;) {
        total += sizes[s];
        if (!is_small(sizes[s]))
            continue;
        small++;
        n_pooled += sizes[s];
        ret->first = s;
    }
    bool pools = policy->gates.n > 0 && small > 1;
    for (size_t s = 0; s < n_strata; s++)
        if (sizes[s] > 0 && !(pools && is_small(sizes[s]))) {
            ret->of[s] = ret->n;
            ret->sizes[ret->n++] = sizes[s];
        }
    ret->pool = ret->n;
    for (size_t s = 0; pools && s < n_strata; s++)
        if (is_small(sizes[s]))
            ret->of[s] = ret->pool;
    if (pools)
        ret->sizes[ret->n++] = n_pooled;
    for (size_t i = 0; i < policy->n_stages && total > 0; i++)
        if (policy->stages[i].by_count)
            share_out(policy->stages[i].count, ret->sizes, ret->n, total, ret->counts[i]);
}

// The pooled group, which is planned by rank alone.
static void plan_pool(const struct rollout_policy *policy, const struct rollout_member *members,
                      size_t n_members, const size_t *sizes, struct groups *groups,
                      struct rollout_stratum_plan *ret) {
    struct rollout_member pooled[BUNDLE_STRATA_MAX * (ROLLOUT_STRATA_POOL_MIN - 1)];
    size_t n = 0;
    for (size_t i = 0; i < n_members; i++)
        if (is_small(sizes[members[i].stratum])) {
            pooled[n] = members[i];
            pooled[n++].stratum = 0;
        }
    qsort(pooled, n, sizeof *pooled, by_stratum_and_rank);
    plan_stratum(policy, pooled, n, groups->counts, groups->pool, ret);
    ret->pool = (uint32_t)groups->first + 1;
}

void rollout_strata_count(const struct rollout_policy *policy, const struct rollout_member *members,
                          size_t n_members, struct rollout_stratum_plan *io, size_t n_strata) {
    for (size_t s = 0; s < n_strata; s++) {
        io[s].held_back = 0;
        memset(io[s].planned, 0, sizeof io[s].planned);
    }
    for (size_t i = 0; i < n_members; i++) {
        struct rollout_stratum_plan *plan = &io[members[i].stratum];
        size_t stage = rollout_strata_stage(policy, plan, members[i].rank);
        if (stage == policy->n_stages)
            continue;
        if (members[i].rank > rollout_batch_holdback(policy))
            plan->held_back++;
        else
            plan->planned[stage]++;
    }
    plan_named(policy, members, n_members, io);
}

// Those of a site have one rank. Of two sites that the hash throws together none is more than the other:
// they are one.
size_t rollout_strata_units(const struct rollout_policy *policy, struct rollout_member *members,
                            size_t n_members) {
    size_t n = 0;
    if (n_members > 0)
        qsort(members, n_members, sizeof *members, by_stratum_and_rank);
    if (!rollout_unit_is_site(&policy->gates))
        return n_members;
    for (size_t i = 0; i < n_members; i++) {
        const struct rollout_member one = members[i];
        if (n > 0 && by_stratum_and_rank(&members[n - 1], &one) == 0)
            continue;
        members[i] = members[n];
        members[n++] = one;
    }
    return n;
}

// The bounds alone, from units; how many these are.
static size_t find_bounds(const struct rollout_policy *policy, struct rollout_member *members,
                          size_t n_devices, struct rollout_stratum_plan *ret, size_t n_strata) {
    size_t n_members = rollout_strata_units(policy, members, n_devices);
    size_t sizes[BUNDLE_STRATA_MAX] = {0}, first = 0;
    struct rollout_stratum_plan pool = {0};
    struct groups groups;
    assert(n_strata <= BUNDLE_STRATA_MAX);
    for (size_t i = 0; i < n_members; i++) {
        assert(members[i].stratum < n_strata);
        sizes[members[i].stratum]++;
    }
    group(policy, sizes, n_strata, &groups);
    if (groups.pool < groups.n)
        plan_pool(policy, members, n_members, sizes, &groups, &pool);
    for (size_t s = 0; s < n_strata; s++) {
        if (sizes[s] == 0)
            rollout_strata_newcomer(policy, n_members, &ret[s]);
        else if (groups.of[s] == groups.pool)
            ret[s] = pool;
        else
            plan_stratum(policy, members + first, sizes[s], groups.counts, groups.of[s], &ret[s]);
        first += sizes[s];
    }
    return n_members;
}

// Above the k-th lowest of n ranks lies what fewer than k of n devices are within.
static uint64_t most_of(uint64_t n, uint64_t k) {
    uint32_t lower_ppm, upper_ppm;
    evidence_binomial_bounds(n, k - 1, MOST_ALPHA_PPM, &lower_ppm, &upper_ppm);
    return scale(UINT64_MAX, upper_ppm, ROLLOUT_PPM);
}

void rollout_strata_most(const struct rollout_policy *policy, const size_t *sizes, size_t n_strata,
                         struct rollout_stratum_plan *ret) {
    struct groups groups;
    uint64_t taken[ROLLOUT_POLICY_STAGES_MAX];
    assert(n_strata <= BUNDLE_STRATA_MAX);
    group(policy, sizes, n_strata, &groups);
    for (size_t s = 0; s < n_strata; s++) {
        assert(sizes[s] > 0);
        size_t size = groups.sizes[groups.of[s]];
        find_taken(policy, size, groups.counts, groups.of[s], taken);
        ret[s] = (struct rollout_stratum_plan){0};
        for (size_t i = 0; i < policy->n_stages; i++)
            ret[s].bound[i] = is_whole(&policy->stages[i]) ? UINT64_MAX
                              : taken[i] == 0              ? 0
                                                           : most_of(size, taken[i]);
    }
}

size_t rollout_strata_plan(const struct rollout_policy *policy, struct rollout_member *members,
                           size_t n_members, struct rollout_stratum_plan *ret, size_t n_strata) {
    size_t n_units = find_bounds(policy, members, n_members, ret, n_strata);
    rollout_strata_count(policy, members, n_members, ret, n_strata);
    return n_units;
}

void rollout_strata_join(const struct rollout_policy *policy, struct rollout_member *members,
                         size_t n_members, const uint32_t *groups, size_t n_groups,
                         struct rollout_stratum_plan *io, size_t n_strata) {
    struct rollout_stratum_plan plans[BUNDLE_STRATA_MAX];
    assert(n_groups <= BUNDLE_STRATA_MAX && n_strata <= BUNDLE_STRATA_MAX);
    _Static_assert(ROLLOUT_POLICY_STAGES_MAX < 256, "a stage that names a device is a byte");
    // Bounds do not look at who is named: the stratum waits behind it.
    for (size_t i = 0; i < n_members; i++) {
        members[i].named |= members[i].stratum << 8;
        members[i].stratum = groups[members[i].stratum];
    }
    (void)find_bounds(policy, members, n_members, plans, n_groups);
    for (size_t i = 0; i < n_members; i++) {
        members[i].stratum = members[i].named >> 8;
        members[i].named &= 0xff;
    }
    for (size_t s = 0; s < n_strata; s++) {
        memcpy(io[s].bound, plans[groups[s]].bound, sizeof io[s].bound);
        if (io[s].pool != 0 && groups[s] != groups[io[s].pool - 1])
            io[s].pool = 0;
    }
    rollout_strata_count(policy, members, n_members, io, n_strata);
}

size_t rollout_strata_pool(const struct rollout_stratum_plan *plan, size_t stratum) {
    return plan->pool == 0 ? stratum : plan->pool - 1;
}

void rollout_strata_newcomer(const struct rollout_policy *policy, size_t n_units,
                             struct rollout_stratum_plan *ret) {
    uint64_t before = 0;
    *ret = (struct rollout_stratum_plan){0};
    for (size_t i = 0; i < policy->n_stages; i++) {
        const struct rollout_stage_policy *stage = &policy->stages[i];
        uint64_t bound = UINT64_MAX;
        if (stage->by_count && n_units == 0)
            bound = 0; // before the fleet was counted nobody is one of so many
        else if (stage->by_count)
            bound = stage->count >= n_units ? UINT64_MAX : scale(UINT64_MAX, stage->count, n_units);
        else if (stage->ppm < ROLLOUT_PPM)
            bound = scale(UINT64_MAX, stage->ppm, ROLLOUT_PPM);
        ret->bound[i] = before = bound < before ? before : bound;
    }
}

size_t rollout_strata_stage(const struct rollout_policy *policy,
                            const struct rollout_stratum_plan *plan, uint64_t rank) {
    size_t stage = 0;
    while (stage < policy->n_stages && rank > plan->bound[stage])
        stage++;
    return stage;
}

size_t rollout_strata_admits(const struct rollout_policy *policy,
                             const struct rollout_stratum_plan *plan, const char *device,
                             uint64_t rank) {
    size_t by_rank = rollout_strata_stage(policy, plan, rank);
    size_t by_name = rollout_policy_named(policy, device);
    return by_name < by_rank ? by_name : by_rank;
}
