// SPDX-License-Identifier: Apache-2.0
//
// Bounds per stage and stratum.
#include "ctl/rollout/strata.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/rollout/batch.h"

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

static void plan_stratum(const struct rollout_policy *policy, const struct rollout_member *members,
                         size_t size, uint64_t counts[][BUNDLE_STRATA_MAX], size_t stratum,
                         struct rollout_stratum_plan *ret) {
    uint64_t before = 0;
    *ret = (struct rollout_stratum_plan){0};
    for (size_t i = 0; i < policy->n_stages; i++) {
        if (policy->stages[i].by_device) { // no share of ranks
            ret->bound[i] = i == 0 ? 0 : ret->bound[i - 1];
            continue;
        }
        uint64_t k =
            is_whole(&policy->stages[i]) ? size : wanted(policy, i, counts[i][stratum], size);
        k = k > size ? size : k;
        k = k < before ? before : k;
        ret->bound[i] = is_whole(&policy->stages[i]) ? UINT64_MAX : members[k - 1].rank;
        before = k;
    }
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
    size_t n_pooled;
    struct rollout_member pooled[BUNDLE_STRATA_MAX * (ROLLOUT_STRATA_POOL_MIN - 1)];
};

static bool is_small(size_t size) {
    return size > 0 && size < ROLLOUT_STRATA_POOL_MIN;
}

static void group(const struct rollout_policy *policy, const struct rollout_member *members,
                  size_t n_members, const size_t *sizes, size_t n_strata, struct groups *ret) {
    size_t small = 0;
    ret->first = ret->n = ret->n_pooled = 0;
    for (size_t s = n_strata; s-- > 0;)
        if (is_small(sizes[s])) {
            small++;
            ret->first = s;
        }
    bool pools = policy->gates.n > 0 && small > 1;
    for (size_t s = 0; s < n_strata; s++)
        if (sizes[s] > 0 && !(pools && is_small(sizes[s]))) {
            ret->of[s] = ret->n;
            ret->sizes[ret->n++] = sizes[s];
        }
    ret->pool = ret->n;
    if (!pools)
        return;
    for (size_t i = 0; i < n_members; i++)
        if (is_small(sizes[members[i].stratum])) {
            ret->of[members[i].stratum] = ret->pool;
            ret->pooled[ret->n_pooled] = members[i];
            ret->pooled[ret->n_pooled++].stratum = 0; // by rank alone
        }
    qsort(ret->pooled, ret->n_pooled, sizeof *ret->pooled, by_stratum_and_rank);
    ret->sizes[ret->n++] = ret->n_pooled;
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

// The bounds alone.
static void find_bounds(const struct rollout_policy *policy, struct rollout_member *members,
                        size_t n_members, struct rollout_stratum_plan *ret, size_t n_strata) {
    size_t sizes[BUNDLE_STRATA_MAX] = {0}, first = 0;
    uint64_t counts[ROLLOUT_POLICY_STAGES_MAX][BUNDLE_STRATA_MAX] = {{0}};
    struct rollout_stratum_plan pool = {0};
    struct groups groups;
    assert(n_strata <= BUNDLE_STRATA_MAX);
    if (n_members > 0)
        qsort(members, n_members, sizeof *members, by_stratum_and_rank);
    for (size_t i = 0; i < n_members; i++) {
        assert(members[i].stratum < n_strata);
        sizes[members[i].stratum]++;
    }
    group(policy, members, n_members, sizes, n_strata, &groups);
    for (size_t i = 0; i < policy->n_stages && n_members > 0; i++)
        if (policy->stages[i].by_count)
            share_out(policy->stages[i].count, groups.sizes, groups.n, n_members, counts[i]);
    if (groups.pool < groups.n) {
        plan_stratum(policy, groups.pooled, groups.n_pooled, counts, groups.pool, &pool);
        pool.pool = (uint32_t)groups.first + 1;
    }
    for (size_t s = 0; s < n_strata; s++) {
        if (sizes[s] == 0)
            rollout_strata_newcomer(policy, n_members, &ret[s]);
        else if (groups.of[s] == groups.pool)
            ret[s] = pool;
        else
            plan_stratum(policy, members + first, sizes[s], counts, groups.of[s], &ret[s]);
        first += sizes[s];
    }
}

void rollout_strata_plan(const struct rollout_policy *policy, struct rollout_member *members,
                         size_t n_members, struct rollout_stratum_plan *ret, size_t n_strata) {
    find_bounds(policy, members, n_members, ret, n_strata);
    rollout_strata_count(policy, members, n_members, ret, n_strata);
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
    find_bounds(policy, members, n_members, plans, n_groups);
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

void rollout_strata_newcomer(const struct rollout_policy *policy, size_t n_members,
                             struct rollout_stratum_plan *ret) {
    uint64_t before = 0;
    *ret = (struct rollout_stratum_plan){0};
    for (size_t i = 0; i < policy->n_stages; i++) {
        const struct rollout_stage_policy *stage = &policy->stages[i];
        uint64_t bound = UINT64_MAX;
        if (stage->by_count && n_members == 0)
            bound = 0; // before the fleet was counted nobody is one of so many
        else if (stage->by_count)
            bound =
                stage->count >= n_members ? UINT64_MAX : scale(UINT64_MAX, stage->count, n_members);
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
